//! Keys of logs and witnesses, in the text forms of C2SP signed-note. All are Ed25519.

use core::fmt;

use base64ct::{Base64, Encoding as _};
use ed25519_dalek::{Signature, Signer as _, VerifyingKey};
use sha2::{Digest as _, Sha256};
use zeroize::{Zeroize as _, Zeroizing};

use crate::cosignature;
use crate::error::{LogError, LogReason};
use crate::note::{NoteSignature, is_key_name};

/// What a key signs. The byte is part of the key's id, so one text cannot serve the other use.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum KeyKind {
    /// `0x01`: the text of a note. Keys of logs.
    Log,
    /// `0x04`: a checkpoint together with the time (cosignature/v1). Keys of witnesses.
    Witness,
}

impl KeyKind {
    /// The type byte of the format.
    #[must_use]
    pub const fn byte(self) -> u8 {
        match self {
            Self::Log => 0x01,
            Self::Witness => 0x04,
        }
    }

    const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0x01 => Some(Self::Log),
            0x04 => Some(Self::Witness),
            _ => None,
        }
    }
}

impl fmt::Display for KeyKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Log => "log",
            Self::Witness => "witness",
        })
    }
}

/// A public key: `name+hash+base64`.
#[derive(Clone, Eq, PartialEq)]
pub struct VerifierKey {
    name: String,
    kind: KeyKind,
    key: VerifyingKey,
    id: [u8; 4],
}

impl VerifierKey {
    /// Reads `name+hash+base64`, and checks that the hash belongs to name and key.
    ///
    /// # Errors
    ///
    /// `log.key` for anything else, for keys that are not Ed25519 for logs (`0x01`) or witnesses
    /// (`0x04`), and for keys of small order, under which anybody can sign.
    pub fn parse(text: &str) -> Result<Self, LogError> {
        let refuse = |what: &str| {
            LogError::new(
                LogReason::Key,
                format!("{text:?} is not a verifier key: {what}"),
            )
        };
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(hash), Some(base64)) = (parts.next(), parts.next(), parts.next())
        else {
            return Err(refuse("it is not name+hash+base64"));
        };
        check_name(name)?;
        let bytes = Base64::decode_vec(base64).map_err(|_| refuse("its key is not base64"))?;
        let (Some(kind), Some(key)) = (
            bytes.first().copied().and_then(KeyKind::from_byte),
            bytes
                .get(1..)
                .and_then(|key| <&[u8; 32]>::try_from(key).ok()),
        ) else {
            return Err(refuse(
                "only Ed25519 keys of logs (type 01) and witnesses (type 04) are known here",
            ));
        };
        let key = VerifyingKey::from_bytes(key)
            .ok()
            .filter(|key| !key.is_weak())
            .ok_or_else(|| refuse("its key is not a point that can be used"))?;
        let parsed = Self::new(name, kind, key);
        if hash != hex::encode(parsed.id) {
            return Err(refuse("its hash does not belong to its name and key"));
        }
        Ok(parsed)
    }

    fn new(name: &str, kind: KeyKind, key: VerifyingKey) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            id: key_id(name, kind, key.as_bytes()),
            key,
        }
    }

    /// The name: a log's origin, or a witness's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the key signs.
    #[must_use]
    pub const fn kind(&self) -> KeyKind {
        self.kind
    }

    /// The Ed25519 public key.
    #[must_use]
    pub fn public_key(&self) -> &[u8; 32] {
        self.key.as_bytes()
    }

    /// First four bytes of SHA-256 over name, newline, type byte and public key.
    #[must_use]
    pub const fn key_id(&self) -> [u8; 4] {
        self.id
    }

    /// Whether `signature` claims to be of this key: same name and id.
    #[must_use]
    pub fn claims(&self, signature: &NoteSignature) -> bool {
        signature.name() == self.name && signature.key_id() == self.id
    }

    /// Checks one signature over the text of a note. The time in seconds comes with a witness's
    /// signature only.
    ///
    /// # Errors
    ///
    /// `log.signature` if it is of another key or does not hold. Ed25519 is checked strictly: no
    /// second encoding of a signature, no points of small order.
    pub fn verify(&self, text: &str, signature: &NoteSignature) -> Result<Option<u64>, LogError> {
        let refuse = |what: &str| {
            LogError::new(
                LogReason::Signature,
                format!("the signature of {:?} {what}", self.name),
            )
        };
        if !self.claims(signature) {
            return Err(refuse("is of another key"));
        }
        let (message, bytes, time) = match self.kind {
            KeyKind::Log => (text.as_bytes().to_vec(), signature.signature(), None),
            KeyKind::Witness => {
                let (time, bytes) = cosignature::split(signature.signature())
                    .ok_or_else(|| refuse("is not a cosignature"))?;
                (cosignature::message(text, time), bytes, Some(time))
            }
        };
        let bytes = Signature::from_slice(bytes).map_err(|_| refuse("has not 64 bytes"))?;
        self.key
            .verify_strict(&message, &bytes)
            .map_err(|_| refuse("does not hold over this text"))?;
        Ok(time)
    }
}

/// `name+hash+base64`.
impl fmt::Display for VerifierKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = vec![self.kind.byte()];
        bytes.extend_from_slice(self.key.as_bytes());
        write!(
            formatter,
            "{}+{}+{}",
            self.name,
            hex::encode(self.id),
            Base64::encode_string(&bytes)
        )
    }
}

impl fmt::Debug for VerifierKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "VerifierKey({self})")
    }
}

/// A private key of a log or a witness. Wiped when dropped; `Debug` shows the public half.
pub struct SigningKey {
    name: String,
    kind: KeyKind,
    key: ed25519_dalek::SigningKey,
}

impl SigningKey {
    /// Makes a new key with the operating system's random source.
    ///
    /// # Errors
    ///
    /// `log.key` if the name cannot be one, `log.random` if the random source fails.
    pub fn generate(name: &str, kind: KeyKind) -> Result<Self, LogError> {
        check_name(name)?;
        let mut seed = Zeroizing::new([0_u8; 32]);
        getrandom::fill(seed.as_mut_slice())
            .map_err(|error| LogError::new(LogReason::Random, error.to_string()))?;
        Ok(Self::from_seed(name, kind, &seed))
    }

    /// Reads `PRIVATE+KEY+name+hash+base64`; one newline at the end is allowed.
    ///
    /// # Errors
    ///
    /// `log.key` for anything else. The text is not quoted.
    pub fn parse(text: &str) -> Result<Self, LogError> {
        let refuse =
            |what: &str| LogError::new(LogReason::Key, format!("this is no signing key: {what}"));
        let line = text.strip_suffix('\n').unwrap_or(text);
        let rest = line
            .strip_prefix("PRIVATE+KEY+")
            .ok_or_else(|| refuse("it does not begin with PRIVATE+KEY+"))?;
        let mut parts = rest.splitn(3, '+');
        let (Some(name), Some(hash), Some(base64)) = (parts.next(), parts.next(), parts.next())
        else {
            return Err(refuse("it is not PRIVATE+KEY+name+hash+base64"));
        };
        check_name(name)?;
        let mut bytes = Zeroizing::new([0_u8; 33]);
        let length = Base64::decode(base64, bytes.as_mut_slice())
            .map_err(|_| refuse("its key is not base64 of 33 bytes"))?
            .len();
        let (kind, seed) = match bytes.split_first() {
            Some((kind, seed)) if length == 33 => (*kind, seed),
            Some(_) | None => return Err(refuse("its key is not base64 of 33 bytes")),
        };
        let (Some(kind), Ok(seed)) = (KeyKind::from_byte(kind), <&[u8; 32]>::try_from(seed)) else {
            return Err(refuse(
                "only Ed25519 keys of logs (type 01) and witnesses (type 04) are known here",
            ));
        };
        let key = Self::from_seed(name, kind, seed);
        if hash != hex::encode(key.verifier_key().key_id()) {
            return Err(refuse("its hash does not belong to its name and key"));
        }
        Ok(key)
    }

    fn from_seed(name: &str, kind: KeyKind, seed: &[u8; 32]) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            key: ed25519_dalek::SigningKey::from_bytes(seed),
        }
    }

    /// The private key as one line without newline, to be written with mode 0600.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut bytes = Zeroizing::new([0_u8; 33]);
        if let Some((kind, seed)) = bytes.split_first_mut() {
            *kind = self.kind.byte();
            seed.copy_from_slice(self.key.as_bytes());
        }
        let mut base64 = Base64::encode_string(bytes.as_slice());
        let id = hex::encode(self.verifier_key().key_id());
        // Grown once: a string that grows leaves its old bytes behind.
        let mut text = Zeroizing::new(String::with_capacity(64 + self.name.len() + base64.len()));
        for part in ["PRIVATE+KEY+", &self.name, "+", &id, "+", &base64] {
            text.push_str(part);
        }
        base64.zeroize();
        text
    }

    /// The public half.
    #[must_use]
    pub fn verifier_key(&self) -> VerifierKey {
        VerifierKey::new(&self.name, self.kind, self.key.verifying_key())
    }

    /// The name: a log's origin, or a witness's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the key signs.
    #[must_use]
    pub const fn kind(&self) -> KeyKind {
        self.kind
    }

    /// A signature line of this key: `prefix` (a witness's time), then the signature of `message`.
    pub(crate) fn sign(&self, prefix: &[u8], message: &[u8]) -> NoteSignature {
        let mut bytes = prefix.to_vec();
        bytes.extend_from_slice(&self.key.sign(message).to_bytes());
        let id = key_id(&self.name, self.kind, self.key.verifying_key().as_bytes());
        NoteSignature::new(self.name.clone(), id, bytes)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "SigningKey(of {})", self.verifier_key())
    }
}

fn key_id(name: &str, kind: KeyKind, key: &[u8; 32]) -> [u8; 4] {
    let digest: [u8; 32] = Sha256::new()
        .chain_update(name)
        .chain_update([b'\n', kind.byte()])
        .chain_update(key)
        .finalize()
        .into();
    let [a, b, c, d, ..] = digest;
    [a, b, c, d]
}

/// A name of a key that is trusted here is shown to people: stricter than what is read in notes.
fn check_name(name: &str) -> Result<(), LogError> {
    if is_key_name(name) && !name.chars().any(char::is_control) {
        return Ok(());
    }
    Err(LogError::new(
        LogReason::Key,
        format!(
            "{name:?} cannot name a key: 1 to 255 bytes without spaces, plus or control characters"
        ),
    ))
}

#[cfg(test)]
mod tests {
    /// Fails to compile if the feature that wipes keys is lost.
    #[test]
    fn a_signing_key_is_wiped_when_dropped() {
        const fn wiped<T: zeroize::ZeroizeOnDrop>() {}
        wiped::<ed25519_dalek::SigningKey>();
    }
}
