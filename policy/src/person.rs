//! People and their SSH public keys.

use core::fmt;

use crate::names::{PersonName, RoleName};
use crate::reason::{Reason, Refusal};

/// What a person's signatures must prove beyond possession of the key.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
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

/// An SSH public key that this crate accepts: Ed25519, ECDSA on P-256, P-384 or P-521, or a
/// security key of the first two kinds.
#[derive(Clone, Eq, PartialEq)]
pub struct PersonKey {
    pub(crate) key: ssh_key::PublicKey,
}

impl PersonKey {
    /// Reads one line as in `id_ed25519.pub`; the comment is dropped.
    ///
    /// # Errors
    ///
    /// [`Reason::KeyUnusable`] for unreadable lines, RSA, DSA, certificates, keys of small order,
    /// and security keys with an application that does not begin with `ssh:`.
    pub fn parse(line: &str) -> Result<Self, Refusal> {
        todo!()
    }

    /// `SHA256:` and the unpadded base64 digest, as `ssh-keygen -l` prints it.
    pub fn fingerprint(&self) -> Fingerprint {
        todo!()
    }

    /// Algorithm and base64 text, without comment.
    pub fn to_openssh(&self) -> String {
        todo!()
    }

    /// Whether it is a security key, which can prove touch and verification.
    pub fn is_security_key(&self) -> bool {
        todo!()
    }
}

/// `SHA256:…`, as `ssh-keygen -l` prints it.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Fingerprint(String);

impl Fingerprint {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A person who signs.
#[derive(Clone, Eq, PartialEq)]
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
