//! Keys of logs and witnesses, as the signed-note format writes them (`name+hash+base64`).

use base64ct::{Base64, Encoding as _};
use sha2::{Digest as _, Sha256};

use crate::reason::{Reason, Refusal};

/// Longest name of a log or witness, in bytes: a proof with the most signatures must fit its bound.
const MAX_NAME_BYTES: usize = 128;

/// What the text of trust policies (C2SP tlog-policy) calls the quorum that asks for no witness.
const NOBODY: &str = "none";

/// A verifier key of the signed-note format.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct VerifierKey {
    text: String,
    name: String,
    kind: VerifierKind,
    /// Signature type and public key.
    key: Vec<u8>,
}

/// What a key signs. Both kinds are Ed25519.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum VerifierKind {
    /// Checkpoints of a log (signature type 0x01).
    Log,
    /// Cosignatures of a witness (signature type 0x04).
    Witness,
}

impl VerifierKey {
    /// Reads `name+hash+base64`, and checks that the hash belongs to name and key.
    ///
    /// # Errors
    ///
    /// [`Reason::BundleLedger`] for anything else, for other keys than Ed25519, and for keys under
    /// which anybody could make signatures (points of small order).
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let refuse = || {
            Refusal::new(
                Reason::BundleLedger,
                format!("{text:?} is not an Ed25519 verifier key (name+hash+base64)"),
            )
        };
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(hash), Some(base64)) = (parts.next(), parts.next(), parts.next())
        else {
            return Err(refuse());
        };
        let key = Base64::decode_vec(base64).map_err(|_| refuse())?;
        let kind = match key.split_first() {
            Some((0x01, point)) if is_strong(point) => VerifierKind::Log,
            Some((0x04, point)) if is_strong(point) => VerifierKind::Witness,
            _ => return Err(refuse()),
        };
        let digest = Sha256::new()
            .chain_update(name)
            .chain_update(b"\n")
            .chain_update(&key)
            .finalize();
        let expected = digest
            .iter()
            .take(4)
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>();
        if !is_key_name(name) || hash != expected {
            return Err(refuse());
        }
        Ok(Self {
            text: text.to_owned(),
            name: name.to_owned(),
            kind,
            key,
        })
    }

    /// Reads the key of a log.
    ///
    /// # Errors
    ///
    /// As [`VerifierKey::parse`], and for the key of a witness.
    pub fn parse_log(text: &str) -> Result<Self, Refusal> {
        Self::parse_kind(text, VerifierKind::Log, "a log's, of type 1")
    }

    /// Reads the key of a witness.
    ///
    /// # Errors
    ///
    /// As [`VerifierKey::parse`], for the key of a log, and for a witness that is called `none`.
    pub fn parse_witness(text: &str) -> Result<Self, Refusal> {
        let key = Self::parse_kind(text, VerifierKind::Witness, "a witness's, of type 4")?;
        if key.name == NOBODY {
            return Err(Refusal::new(
                Reason::BundleLedger,
                "a witness cannot be called none: in trust policies that is nobody, so no agent would \
                 take the bundle; give it another name",
            ));
        }
        Ok(key)
    }

    fn parse_kind(text: &str, kind: VerifierKind, expected: &str) -> Result<Self, Refusal> {
        let key = Self::parse(text)?;
        if key.kind != kind {
            return Err(Refusal::new(
                Reason::BundleLedger,
                format!("the key of {} is not {expected}", key.name),
            ));
        }
        Ok(key)
    }

    /// The whole text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The name: an origin, or a witness's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it signs.
    pub fn kind(&self) -> VerifierKind {
        self.kind
    }

    /// One byte of signature type, 32 bytes of Ed25519 public key.
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// The Ed25519 public key alone: the same point under two signature types is one key.
    pub(crate) fn point(&self) -> &[u8] {
        self.key.get(1..).unwrap_or_default()
    }
}

impl core::fmt::Display for VerifierKey {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter.write_str(&self.text)
    }
}

/// Names that need no escape anywhere: narrower than the format, which only forbids spaces and `+`.
pub(crate) fn is_key_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_graphic() && !b"\"\\+".contains(&byte);
    (1..=MAX_NAME_BYTES).contains(&name.len()) && name.bytes().all(plain)
}

fn is_strong(point: &[u8]) -> bool {
    <&[u8; 32]>::try_from(point)
        .ok()
        .and_then(|point| ed25519_dalek::VerifyingKey::from_bytes(point).ok())
        .is_some_and(|key| !key.is_weak())
}
