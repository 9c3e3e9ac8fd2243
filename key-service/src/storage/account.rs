//! What the entries, read in order, say the other tables must hold.

use std::collections::{BTreeMap, HashSet};

use narthex_ledger as ledger;
use narthex_ledger::Entry;

use super::{
    entry,
    error::StoreError,
    key_version::{KeyReference, KeyState},
    mark::Mark,
};
use crate::{digest::Digest, root_key::RootKeyId};

/// What the entries say about a key version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// State after the last entry about it.
    pub state: KeyState,
    /// Sequence of that entry.
    pub entry: u64,
    /// Its commitment, which never changes.
    pub commitment: Digest,
}

/// The bundle in force, as the entries say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InForce {
    /// SHA-384 of its bytes.
    pub sha384: Digest,
    /// Its version.
    pub version: u64,
}

/// The consequences of all entries so far.
#[derive(Clone, Default)]
pub(crate) struct Account {
    pub(crate) anchors: BTreeMap<KeyReference, Anchor>,
    pub(crate) order_marks: HashSet<Digest>,
    /// Digest of each accepted file, and the sequence of its entry.
    pub(crate) policy_files: Vec<(Digest, u64)>,
    pub(crate) in_force: Option<InForce>,
    pub(crate) root_key: Option<RootKeyId>,
    /// The order that the entry before was about: see [`Self::mark`].
    pub(crate) last_order: Option<Digest>,
}

impl Account {
    /// The mark that the next entry makes.
    ///
    /// A call that changes more key versions than one entry holds makes several entries, one after the other; only the
    /// first leaves the order's mark.
    pub(crate) fn mark(&self, next: &Entry) -> Option<Mark> {
        match Mark::of(next)? {
            Mark::Order(order) if continues(next) && self.last_order == Some(order) => None,
            mark => Some(mark),
        }
    }

    /// Takes in the entry with this sequence.
    pub(crate) fn enter(&mut self, sequence: u64, entry: &Entry) -> Result<(), StoreError> {
        let order = match Mark::of(entry) {
            Some(Mark::Order(order)) => Some(order),
            Some(Mark::Session(_) | Mark::Statement(_)) | None => None,
        };
        self.order_marks.extend(order);
        self.last_order = order;
        match entry {
            Entry::Policy(policy) if policy.decision.is_accepted() => {
                for file in &policy.files {
                    self.policy_files.push((Digest(file.sha384.0), sequence));
                }
            }
            Entry::Epoch(epoch) => {
                self.policy_files.push((Digest(epoch.bundle.0), sequence));
            }
            Entry::Administration(call) if call.decision.is_accepted() => {
                for key in &call.keys {
                    let reference = KeyReference {
                        name: key.name.clone(),
                        version: key.version,
                    };
                    let anchor = Anchor {
                        state: key.state.into(),
                        entry: sequence,
                        commitment: Digest(key.commitment.0),
                    };
                    self.anchors.insert(reference, anchor);
                }
                if let Some(root_key) = call.root_key {
                    self.root_key = Some(RootKeyId(root_key.0));
                }
            }
            Entry::Restore(restore) => {
                for lost in &restore.lost {
                    let reference = KeyReference {
                        name: lost.name.clone(),
                        version: lost.version,
                    };
                    // Nobody loses a key that never was.
                    let anchor = self
                        .anchors
                        .get_mut(&reference)
                        .ok_or_else(|| entry::altered(sequence))?;
                    anchor.state = KeyState::Retired;
                    anchor.entry = sequence;
                }
            }
            _ => {}
        }
        if let Some(in_force) = in_force_after(sequence, entry)? {
            self.in_force = Some(in_force);
        }
        Ok(())
    }
}

/// Whether an entry may be one of several of the same call.
fn continues(entry: &Entry) -> bool {
    matches!(entry, Entry::Administration(call) if call.operation.as_deref() == Some("keys-restore"))
}

/// The bundle that an entry puts in force, if it does.
pub(crate) fn in_force_after(sequence: u64, entry: &Entry) -> Result<Option<InForce>, StoreError> {
    match entry {
        Entry::Policy(policy) if policy.decision.is_accepted() => policy
            .files
            .iter()
            .rfind(|file| file.kind == ledger::PolicyFileKind::Bundle)
            .map(|file| {
                let version = file.version.parse().map_err(|_| entry::altered(sequence))?;
                Ok(InForce {
                    sha384: Digest(file.sha384.0),
                    version,
                })
            })
            .transpose(),
        Entry::Epoch(epoch) => Ok(Some(InForce {
            sha384: Digest(epoch.bundle.0),
            version: epoch.version,
        })),
        _ => Ok(None),
    }
}

impl From<ledger::KeyState> for KeyState {
    fn from(state: ledger::KeyState) -> Self {
        match state {
            ledger::KeyState::Enabled => Self::Enabled,
            ledger::KeyState::Disabled => Self::Disabled,
            ledger::KeyState::Restored => Self::Restored,
            ledger::KeyState::Retired => Self::Retired,
        }
    }
}

impl From<KeyState> for ledger::KeyState {
    fn from(state: KeyState) -> Self {
        match state {
            KeyState::Enabled => Self::Enabled,
            KeyState::Disabled => Self::Disabled,
            KeyState::Restored => Self::Restored,
            KeyState::Retired => Self::Retired,
        }
    }
}
