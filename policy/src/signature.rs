//! SSH signatures (PROTOCOL.sshsig): armour, purpose, and what they must prove.
//!
//! `ssh-key` does the curve arithmetic. What it leaves to its caller is decided here, each with a
//! reason of its own: the namespace, the hash, the algorithms, the application and the flags of a
//! security key.

use core::fmt;

use base64ct::{Base64, Encoding as _};
use ssh_key::SshSig;

use crate::file::limits::MAX_SIGNATURE_BYTES;
use crate::names::PersonName;
use crate::person::{Fingerprint, Person, PersonKey, Requirement, is_accepted_algorithm};
use crate::reason::{Reason, Refusal};
use crate::wire::Reader;

/// The purpose of a signature. A signature for one never counts for another.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Namespace {
    /// A bundle.
    Policy,
    /// A release statement.
    Release,
    /// A release manifest, by somebody who built the image again.
    Image,
    /// A stop statement.
    Stop,
    /// An order, by its requester.
    Order,
    /// An order, by an approver.
    Approve,
    /// A call.
    Call,
    /// A ticket, by somebody who reads the log.
    ReadLog,
}

impl Namespace {
    /// All purposes.
    pub const ALL: &'static [Self] = &[
        Self::Policy,
        Self::Release,
        Self::Image,
        Self::Stop,
        Self::Order,
        Self::Approve,
        Self::Call,
        Self::ReadLog,
    ];

    /// The text given to `ssh-keygen -n`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Policy => "policy@narthex",
            Self::Release => "release@narthex",
            Self::Image => "image@narthex",
            Self::Stop => "stop@narthex",
            Self::Order => "order@narthex",
            Self::Approve => "approve@narthex",
            Self::Call => "call@narthex",
            Self::ReadLog => "read-log@narthex",
        }
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// Who made a signature that was checked, and with which key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Signer {
    /// The person, as the policy names them.
    pub person: PersonName,
    /// The key.
    pub fingerprint: Fingerprint,
}

/// Checks one armoured signature over `message` and says who of `people` made it.
///
/// # Errors
///
/// `signature.*`: see [`Reason`].
pub(crate) fn check_signature<'p>(
    armoured: &str,
    namespace: Namespace,
    message: &[u8],
    people: impl IntoIterator<Item = &'p Person>,
) -> Result<Signer, Refusal> {
    let blob = dearmour(armoured)?;
    let outer = Outer::read(&blob)?;
    if outer.namespace != namespace.name().as_bytes() {
        return Err(Refusal::new(
            Reason::SignatureNamespace,
            format!(
                "made for {:?}, expected {:?}",
                String::from_utf8_lossy(outer.namespace),
                namespace.name()
            ),
        ));
    }
    if outer.hash_algorithm != b"sha512" && outer.hash_algorithm != b"sha256" {
        return Err(Refusal::new(
            Reason::SignatureHash,
            format!(
                "hashed with {:?}",
                String::from_utf8_lossy(outer.hash_algorithm)
            ),
        ));
    }
    let presented = outer.key()?;
    let (person, key) = find_holder(&presented, people)?;
    let flags = outer.security_key_flags(key)?;

    let invalid = |_| {
        Refusal::new(
            Reason::SignatureInvalid,
            format!("by the key of {}", person.name),
        )
    };
    let signature = SshSig::from_pem(rearmour(&blob)).map_err(malformed)?;
    key.key
        .verify(namespace.name(), message, &signature)
        .map_err(invalid)?;

    check_flags(flags, person)?;
    Ok(Signer {
        person: person.name.clone(),
        fingerprint: key.fingerprint(),
    })
}

/// The person among `people` who holds exactly the key `presented`.
fn find_holder<'p>(
    presented: &PersonKey,
    people: impl IntoIterator<Item = &'p Person>,
) -> Result<(&'p Person, &'p PersonKey), Refusal> {
    let mut same_point = None;
    for person in people {
        for key in &person.keys {
            if key == presented {
                return Ok((person, key));
            }
            if key.point() == presented.point() {
                same_point = Some(person);
            }
        }
    }
    // The application is part of the key: a security key that signed for another one is known by
    // its point, and worth a reason of its own.
    Err(match same_point {
        Some(person) => Refusal::new(
            Reason::SignatureApplication,
            format!(
                "the key of {} was used as {}, with application {:?}",
                person.name,
                presented.algorithm(),
                presented.application().unwrap_or("none")
            ),
        ),
        None => Refusal::new(
            Reason::SignatureUnknownSigner,
            format!(
                "nobody who may sign this has the key {}",
                presented.fingerprint()
            ),
        ),
    })
}

/// PROTOCOL.u2f: bit 0 of the flags is user presence, bit 2 user verification. Neither `ssh-key`
/// nor `ssh-keygen -Y verify` insists on them by default.
const FLAG_PRESENCE: u8 = 0x01;
const FLAG_VERIFICATION: u8 = 0x04;

/// `flags` is absent for keys that are not security keys.
fn check_flags(flags: Option<u8>, person: &Person) -> Result<(), Refusal> {
    let present = flags.is_some_and(|flags| flags & FLAG_PRESENCE != 0);
    let verified = flags.is_some_and(|flags| flags & FLAG_VERIFICATION != 0);
    let presence_needed = flags.is_some() || person.requirement >= Requirement::Touch;
    if presence_needed && !present {
        return Err(Refusal::new(
            Reason::SignaturePresence,
            format!("{} did not touch the security key", person.name),
        ));
    }
    if person.requirement == Requirement::Verification && !verified {
        return Err(Refusal::new(
            Reason::SignatureVerification,
            format!(
                "the security key of {} did not verify its user",
                person.name
            ),
        ));
    }
    Ok(())
}

/// The blob of PROTOCOL.sshsig, borrowed.
struct Outer<'b> {
    public_key: &'b [u8],
    namespace: &'b [u8],
    hash_algorithm: &'b [u8],
    signature: &'b [u8],
}

impl<'b> Outer<'b> {
    fn read(blob: &'b [u8]) -> Result<Self, Refusal> {
        let mut reader = Reader::new(blob);
        let mut read = || {
            let magic = reader.take(6)?;
            let version = reader.u32()?;
            let public_key = reader.string()?;
            let namespace = reader.string()?;
            let reserved = reader.string()?;
            let hash_algorithm = reader.string()?;
            let signature = reader.string()?;
            // `reserved` is empty in every signature that exists; what it would mean is unknown.
            let known = magic == b"SSHSIG" && version == 1 && reserved.is_empty();
            (known && reader.is_empty()).then_some(Self {
                public_key,
                namespace,
                hash_algorithm,
                signature,
            })
        };
        read().ok_or_else(|| malformed("not an SSHSIG blob of version 1"))
    }

    /// The public key inside, and that the signature is of the key's own kind.
    fn key(&self) -> Result<PersonKey, Refusal> {
        let key_algorithm = Reader::new(self.public_key).string();
        let signature_algorithm = Reader::new(self.signature).string();
        let (Some(key_algorithm), Some(signature_algorithm)) = (key_algorithm, signature_algorithm)
        else {
            return Err(malformed("no algorithm name"));
        };
        if !is_accepted_algorithm(key_algorithm) || signature_algorithm != key_algorithm {
            return Err(Refusal::new(
                Reason::SignatureAlgorithm,
                format!(
                    "{} by a key of kind {}",
                    String::from_utf8_lossy(signature_algorithm),
                    String::from_utf8_lossy(key_algorithm)
                ),
            ));
        }
        PersonKey::presented(self.public_key).map_err(|refusal| malformed(refusal.detail()))
    }

    /// The flags byte, for a security key: after the inner signature come one byte of flags and a
    /// 32-bit counter (PROTOCOL.u2f).
    fn security_key_flags(&self, key: &PersonKey) -> Result<Option<u8>, Refusal> {
        if !key.is_security_key() {
            return Ok(None);
        }
        let mut reader = Reader::new(self.signature);
        let mut read = || {
            let (_algorithm, _signature) = (reader.string()?, reader.string()?);
            let flags = *reader.take(1)?.first()?;
            let _counter = reader.u32()?;
            reader.is_empty().then_some(flags)
        };
        read()
            .map(Some)
            .ok_or_else(|| malformed("no flags and counter after the signature"))
    }
}

pub(crate) const BEGIN: &str = "-----BEGIN SSH SIGNATURE-----";
pub(crate) const END: &str = "-----END SSH SIGNATURE-----";
/// Line length of the armour that `ssh-keygen` writes.
const ARMOUR_WIDTH: usize = 70;

/// The blob inside the armour. Lines may have any length (peers differ); nothing may stand before
/// or after.
fn dearmour(text: &str) -> Result<Vec<u8>, Refusal> {
    if text.len() > MAX_SIGNATURE_BYTES {
        return Err(malformed("longer than any accepted signature"));
    }
    let body = text
        .trim_ascii()
        .strip_prefix(BEGIN)
        .and_then(|rest| rest.strip_suffix(END))
        .ok_or_else(|| malformed("not between the two lines of an SSH signature"))?;
    if !body.starts_with(['\n', '\r']) || !body.ends_with('\n') {
        return Err(malformed("the first and last line stand alone"));
    }
    let joined: String = body
        .chars()
        .filter(|character| !matches!(character, '\n' | '\r'))
        .collect();
    Base64::decode_vec(&joined).map_err(|_| malformed("not base64"))
}

/// The armour exactly as `ssh-keygen` writes it.
pub(crate) fn rearmour(blob: &[u8]) -> String {
    let encoded = Base64::encode_string(blob);
    let mut text = String::from(BEGIN);
    for (index, character) in encoded.chars().enumerate() {
        if index % ARMOUR_WIDTH == 0 {
            text.push('\n');
        }
        text.push(character);
    }
    text.push('\n');
    text.push_str(END);
    text.push('\n');
    text
}

fn malformed(detail: impl fmt::Display) -> Refusal {
    Refusal::new(Reason::SignatureMalformed, detail.to_string())
}
