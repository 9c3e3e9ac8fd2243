//! What is recorded, and what becomes of it.

use narthex_ledger::{Entry, Hash, Salt};

use super::{error::StoreError, evidence::SealedEvidence};
use crate::digest::Digest;

/// Something to be recorded: an entry of the log, and the evidence that it names.
#[derive(Clone)]
pub struct Record {
    /// What the log will say.
    pub entry: Entry,
    /// What it was decided on. Its digests stand in the entry.
    pub evidence: Vec<SealedEvidence>,
}

impl Record {
    /// An entry without evidence of its own.
    #[must_use]
    pub fn of(entry: Entry) -> Self {
        Self {
            entry,
            evidence: Vec::new(),
        }
    }
}

/// An entry that stands in the log.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// Its position over all epochs, from 0.
    pub sequence: u64,
    /// The epoch it is in.
    pub epoch: u32,
    /// Its position in the tree of that epoch, from 0.
    pub index: u64,
    /// What it says.
    pub entry: Entry,
    /// Its bytes, as they are hashed.
    pub leaf: Vec<u8>,
    /// The hash of its leaf.
    pub hash: Hash,
    /// The salt of its evidence, for the `extra` line of a proof; absent when it was read back.
    pub salt: Option<Salt>,
}

impl Recorded {
    /// The `extra` line of a proof of it: what whoever asked cannot know, for the kinds of entry that anybody rebuilds.
    ///
    /// # Errors
    ///
    /// [`StoreError::Entry`] when its evidence, and the salt with it, is gone.
    pub fn extra(&self) -> Result<Option<Vec<u8>>, StoreError> {
        let salt = || {
            self.salt
                .ok_or_else(|| StoreError::Entry("its salt is gone".to_owned()))
        };
        Ok(match &self.entry {
            Entry::Release(release) if release.decision.is_accepted() => {
                Some(release.extra(salt()?).to_bytes()?)
            }
            Entry::Order(order) if order.decision.is_accepted() => {
                Some(order.extra(salt()?).to_bytes()?)
            }
            Entry::Current(current) => Some(current.extra().to_bytes()?),
            _ => None,
        })
    }

    /// One JSON object, for people and tools: where it stands, and what it says.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        // An entry is JSON, so it shows as what it is.
        let entry: serde_json::Value = serde_json::from_slice(&self.leaf).unwrap_or_default();
        serde_json::json!({
            "sequence": self.sequence,
            "epoch": self.epoch,
            "index": self.index,
            "hash": self.hash.to_string(),
            "entry": entry,
        })
    }
}

/// Where the log ends. Authenticated under the root key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The epoch that goes on.
    pub epoch: u32,
    /// Number of entries over all epochs.
    pub count: u64,
    /// Number of entries in this epoch's tree.
    pub size: u64,
    /// Root over them.
    pub root: Hash,
    /// Digest of the table of epochs.
    pub epochs: Digest,
}

impl Head {
    /// 100 bytes: u32be epoch || u64be count || u64be size || root || digest of the epochs.
    pub(crate) fn to_bytes(self) -> Vec<u8> {
        [
            self.epoch.to_be_bytes().as_slice(),
            &self.count.to_be_bytes(),
            &self.size.to_be_bytes(),
            &self.root.0,
            self.epochs.as_bytes(),
        ]
        .concat()
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (epoch, rest) = bytes.split_first_chunk::<4>()?;
        let (count, rest) = rest.split_first_chunk::<8>()?;
        let (size, rest) = rest.split_first_chunk::<8>()?;
        let (root, epochs) = rest.split_first_chunk::<32>()?;
        Some(Self {
            epoch: u32::from_be_bytes(*epoch),
            count: u64::from_be_bytes(*count),
            size: u64::from_be_bytes(*size),
            root: Hash(*root),
            epochs: Digest::from_slice(epochs)?,
        })
    }
}
