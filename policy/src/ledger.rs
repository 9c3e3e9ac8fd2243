//! What a bundle says about the log: its key, its witnesses, and how many of them must agree.
//!
//! Keys are verifier keys of the signed-note format (`name+hash+base64`, C2SP signed-note). Checking
//! proofs is not done here.

use base64ct::{Base64, Encoding as _};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::reason::{Reason, Refusal};

/// The log of a project.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Ledger {
    /// The log's key; its name is the log's origin.
    pub log: VerifierKey,
    /// The witnesses' keys.
    pub witnesses: Vec<VerifierKey>,
    /// How many witnesses must have cosigned.
    pub quorum: usize,
}

/// A verifier key of the signed-note format.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct VerifierKey {
    text: String,
    name: String,
    /// Signature type and public key.
    key: Vec<u8>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LedgerText {
    log: String,
    #[serde(default)]
    witnesses: Vec<String>,
    #[serde(default)]
    quorum: usize,
}

/// Signature types with a 32-byte Ed25519 key: plain notes, and cosignatures of witnesses.
const ED25519_TYPES: [u8; 2] = [0x01, 0x04];

impl VerifierKey {
    /// Reads `name+hash+base64`, and checks that the hash belongs to name and key.
    ///
    /// # Errors
    ///
    /// [`Reason::BundleLedger`] for anything else, and for other keys than Ed25519.
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
        let named = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic());
        let key = Base64::decode_vec(base64).map_err(|_| refuse())?;
        let known = key.first().is_some_and(|kind| ED25519_TYPES.contains(kind)) && key.len() == 33;
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
        if !named || !known || hash != expected {
            return Err(refuse());
        }
        Ok(Self {
            text: text.to_owned(),
            name: name.to_owned(),
            key,
        })
    }

    /// The whole text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The name: an origin, or a witness's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// One byte of signature type, 32 bytes of Ed25519 public key.
    pub fn key(&self) -> &[u8] {
        &self.key
    }
}

impl Ledger {
    pub(crate) fn from_text(text: &LedgerText) -> Result<Self, Refusal> {
        let LedgerText {
            log,
            witnesses,
            quorum,
        } = text;
        Ok(Self {
            log: VerifierKey::parse(log)?,
            witnesses: witnesses
                .iter()
                .map(|key| VerifierKey::parse(key))
                .collect::<Result<_, _>>()?,
            quorum: *quorum,
        })
    }

    /// One key is one witness, and the quorum can be reached.
    pub(crate) fn check(&self) -> Result<(), Refusal> {
        let Self {
            log,
            witnesses,
            quorum,
        } = self;
        let mut keys = std::collections::BTreeSet::from([log.key()]);
        let mut names = std::collections::BTreeSet::from([log.name()]);
        for witness in witnesses {
            if !keys.insert(witness.key()) || !names.insert(witness.name()) {
                return Err(Refusal::new(
                    Reason::BundleLedger,
                    format!("the key or name of {} is listed before", witness.name()),
                ));
            }
        }
        if *quorum > witnesses.len() {
            return Err(Refusal::new(
                Reason::BundleLedger,
                format!("quorum {quorum} of {} witnesses", witnesses.len()),
            ));
        }
        Ok(())
    }
}
