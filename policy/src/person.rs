//! People and their SSH public keys.

use core::fmt;
use std::collections::BTreeSet;

use serde::Deserialize;
use ssh_key::public::KeyData;
use ssh_key::{HashAlg, PublicKey};

use crate::names::{PersonName, RoleName};
use crate::reason::{Reason, Refusal};

/// What a person's signatures must prove beyond possession of the key.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Ord, PartialEq, PartialOrd)]
#[serde(rename_all = "lowercase")]
pub enum Requirement {
    /// Any accepted key; a security key must still have been touched.
    #[default]
    Key,
    /// A security key that was touched.
    Touch,
    /// A security key that was touched and verified its user by PIN or biometrics.
    Verification,
}

impl Requirement {
    /// The word in a policy: `key`, `touch` or `verification`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Touch => "touch",
            Self::Verification => "verification",
        }
    }
}

/// The algorithms accepted, by their names on the wire. RSA is left out for good: one padding and
/// size question less, and every reviewer can make one of these.
const ACCEPTED_ALGORITHMS: [&str; 6] = [
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
];

/// Whether `name` is the wire name of an accepted algorithm.
pub(crate) fn is_accepted_algorithm(name: &[u8]) -> bool {
    ACCEPTED_ALGORITHMS
        .iter()
        .any(|accepted| accepted.as_bytes() == name)
}

/// The beginning of every application string that OpenSSH makes keys for. Others belong to web
/// sites, whose assertions must not become signatures of ours.
const APPLICATION_PREFIX: &str = "ssh:";

/// An SSH public key that this crate accepts: Ed25519, ECDSA on P-256, P-384 or P-521, or a
/// security key of the first two kinds.
#[derive(Clone, Eq, PartialEq)]
pub struct PersonKey {
    /// Without comment, so that equality is equality of keys.
    pub(crate) key: PublicKey,
}

impl PersonKey {
    /// Reads one line as in `id_ed25519.pub`; the comment is dropped.
    ///
    /// # Errors
    ///
    /// [`Reason::KeyUnusable`] for unreadable lines, RSA, DSA, certificates, keys of small order,
    /// and security keys with an application that does not begin with `ssh:`.
    pub fn parse(line: &str) -> Result<Self, Refusal> {
        let key = PublicKey::from_openssh(line.trim())
            .map_err(|error| unusable(format!("not an SSH public key: {error}")))?;
        let accepted = Self::accept(key.key_data().clone())?;
        // `ssh-key` 0.6 reads past wrong inner lengths: one key has one text.
        let mut words = line.split_ascii_whitespace();
        let text = accepted.to_openssh();
        if words.next().zip(words.next()) != text.split_once(' ') {
            return Err(unusable("not the canonical encoding of this key"));
        }
        Ok(accepted)
    }

    /// Reads the key that a signature names, in wire encoding. Only good for comparison with keys
    /// that were accepted: it is not checked itself.
    pub(crate) fn presented(blob: &[u8]) -> Result<Self, Refusal> {
        let key = PublicKey::from_bytes(blob)
            .map_err(|error| unusable(format!("not an SSH public key: {error}")))?;
        if key.to_bytes().ok().as_deref() != Some(blob) {
            return Err(unusable("not the canonical encoding of this key"));
        }
        Ok(Self {
            key: PublicKey::new(key.key_data().clone(), ""),
        })
    }

    fn accept(key_data: KeyData) -> Result<Self, Refusal> {
        let accepted = Self {
            key: PublicKey::new(key_data, ""),
        };
        let algorithm = accepted.algorithm();
        if !is_accepted_algorithm(algorithm.as_bytes()) {
            return Err(unusable(format!(
                "keys of kind {algorithm} are not accepted"
            )));
        }
        if let Some(application) = accepted.application()
            && !application.starts_with(APPLICATION_PREFIX)
        {
            return Err(unusable(format!(
                "application {application:?} does not begin with ssh:"
            )));
        }
        accepted.check_point()?;
        Ok(accepted)
    }

    /// Refuses points that no honest key pair has: with a key of small order, one signature holds
    /// over many messages.
    fn check_point(&self) -> Result<(), Refusal> {
        let ed25519 = match self.key.key_data() {
            KeyData::Ed25519(key) => Some(key),
            KeyData::SkEd25519(key) => Some(key.public_key()),
            _ => None,
        };
        if let Some(key) = ed25519 {
            let sound =
                ed25519_dalek::VerifyingKey::from_bytes(&key.0).is_ok_and(|point| !point.is_weak());
            return if sound {
                Ok(())
            } else {
                Err(unusable("weak or impossible Ed25519 key"))
            };
        }
        // SEC 1 uncompressed points only, so that one key has one encoding.
        if self.point().first() == Some(&4) {
            Ok(())
        } else {
            Err(unusable("the curve point is not in uncompressed form"))
        }
    }

    /// The bare curve point: two keys with one point are one secret, whatever they are called.
    pub(crate) fn point(&self) -> &[u8] {
        match self.key.key_data() {
            KeyData::Ed25519(key) => &key.0,
            KeyData::SkEd25519(key) => &key.public_key().0,
            KeyData::Ecdsa(key) => key.as_sec1_bytes(),
            KeyData::SkEcdsaSha2NistP256(key) => key.ec_point().as_bytes(),
            _ => &[],
        }
    }

    /// The algorithm's name on the wire.
    pub fn algorithm(&self) -> String {
        self.key.algorithm().as_str().to_owned()
    }

    /// The application of a security key.
    pub fn application(&self) -> Option<&str> {
        match self.key.key_data() {
            KeyData::SkEd25519(key) => Some(key.application()),
            KeyData::SkEcdsaSha2NistP256(key) => Some(key.application()),
            _ => None,
        }
    }

    /// Whether it is a security key, which can prove touch and verification.
    pub fn is_security_key(&self) -> bool {
        self.application().is_some()
    }

    /// `SHA256:` and the unpadded base64 digest, as `ssh-keygen -l` prints it.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint(self.key.fingerprint(HashAlg::Sha256).to_string())
    }

    /// Algorithm and base64 text, without comment.
    pub fn to_openssh(&self) -> String {
        // Encoding a key that was decoded before cannot fail; an empty line would match nothing.
        self.key
            .to_openssh()
            .unwrap_or_default()
            .trim_end()
            .to_owned()
    }
}

impl fmt::Debug for PersonKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "PersonKey({})", self.fingerprint())
    }
}

/// `SHA256:…`, as `ssh-keygen -l` prints it.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Fingerprint(String);

impl Fingerprint {
    /// Takes text of the form `SHA256:` and 43 characters of base64.
    ///
    /// # Errors
    ///
    /// [`Reason::NameMalformed`] for anything else.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let base64 = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/';
        match text.strip_prefix("SHA256:") {
            Some(digest) if digest.len() == 43 && digest.bytes().all(base64) => {
                Ok(Self(text.to_owned()))
            }
            _ => Err(Refusal::new(
                Reason::NameMalformed,
                format!("{text:?} is not a fingerprint as ssh-keygen -l prints it (SHA256:...)"),
            )),
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// A person who signs.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Person {
    /// The name, which is also the end of signature file names.
    pub name: PersonName,
    /// The keys; any of them counts for this person, and the person counts once.
    pub keys: Vec<PersonKey>,
    /// What signatures must prove.
    pub requirement: Requirement,
    /// The roles, by name.
    pub roles: Vec<RoleName>,
}

/// `[[person]]` of a bundle, `[[reviewer]]` of an anchor.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PersonText {
    name: String,
    keys: Vec<String>,
    #[serde(default)]
    requires: Requirement,
    #[serde(default)]
    roles: Vec<String>,
}

impl Person {
    pub(crate) fn from_text(text: &PersonText) -> Result<Self, Refusal> {
        let PersonText {
            name,
            keys,
            requires,
            roles,
        } = text;
        let place = format!("person {name:?}");
        let name = PersonName::new(name)?;
        if keys.is_empty() {
            return Err(unusable("a person needs a key").within(&place));
        }
        let keys = keys
            .iter()
            .map(|line| PersonKey::parse(line).map_err(|refusal| refusal.within(&place)))
            .collect::<Result<Vec<_>, _>>()?;
        if *requires != Requirement::Key && !keys.iter().all(PersonKey::is_security_key) {
            return Err(Refusal::new(
                Reason::PersonRequirement,
                format!(
                    "{place}: requires = {:?} needs sk- keys only",
                    requires.name()
                ),
            ));
        }
        let roles = roles
            .iter()
            .map(|role| RoleName::new(role))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            name,
            keys,
            requirement: *requires,
            roles,
        })
    }
}

/// Checks that no two people share a name, and no two keys a secret.
pub(crate) fn check_distinct(people: &[Person]) -> Result<(), Refusal> {
    let mut names = BTreeSet::new();
    let mut points = BTreeSet::new();
    for Person {
        name,
        keys,
        requirement: _,
        roles: _,
    } in people
    {
        if !names.insert(name) {
            return Err(Refusal::new(
                Reason::PersonDuplicate,
                format!("two people named {name}"),
            ));
        }
        for key in keys {
            if !points.insert(key.point()) {
                return Err(Refusal::new(
                    Reason::PersonSharedKey,
                    format!("the key {} of {name} is listed before", key.fingerprint()),
                ));
            }
        }
    }
    Ok(())
}

fn unusable(detail: impl Into<String>) -> Refusal {
    Refusal::new(Reason::KeyUnusable, detail)
}
