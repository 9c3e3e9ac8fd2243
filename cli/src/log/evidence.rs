//! Evidence beside a log: what is there must be what was recorded; what is not there must have been
//! purged by an entry that says so.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use narthex_ledger::{Entry, EntryKind, EvidenceKind, LogError, LogReader, LogReason, LogStore};
use serde_json::{Value, json};

/// What was looked for so far. Shared by threads that see entries in no particular order.
#[derive(Default)]
pub(super) struct Evidence {
    present: AtomicU64,
    /// Time and kind of what is not there.
    absent: Mutex<Vec<(u64, EvidenceKind)>>,
    /// Until when which kinds were purged.
    purged: Mutex<Vec<(u64, Vec<EvidenceKind>)>>,
}

/// How it came out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct EvidenceCounts {
    /// There, and what was recorded.
    pub(super) present: u64,
    /// Not there, and an entry says why.
    pub(super) purged: u64,
    /// Not there, and nothing says why.
    pub(super) lacking: u64,
}

impl Evidence {
    /// Looks for all evidence of `entry`.
    ///
    /// # Errors
    /// `log.evidence` if what is there is something else; what the store fails with.
    pub(super) fn check(
        &self,
        reader: &LogReader<'_, dyn LogStore + '_>,
        index: u64,
        entry: &Entry,
    ) -> Result<(), LogError> {
        if let Entry::Purge(purge) = entry {
            let mut purged = self.purged.lock().unwrap_or_else(PoisonError::into_inner);
            purged.push((purge.before, purge.kinds.clone()));
        }
        let Some(kind) = kind_of(entry.kind()) else {
            return Ok(());
        };
        for digest in entry.evidence() {
            match reader.evidence(&digest)? {
                Some(found) if found.evidence.kind() == kind => {
                    self.present.fetch_add(1, Ordering::Relaxed);
                }
                Some(found) => {
                    return Err(LogError::new(
                        LogReason::Evidence,
                        format!(
                            "entry {index} is about a {kind}, its evidence about a {}",
                            found.evidence.kind()
                        ),
                    ));
                }
                None => {
                    let mut absent = self.absent.lock().unwrap_or_else(PoisonError::into_inner);
                    absent.push((entry.time(), kind));
                }
            }
        }
        Ok(())
    }

    /// The counts, once every entry was seen.
    pub(super) fn counts(self) -> EvidenceCounts {
        let absent = self
            .absent
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        let purges = self
            .purged
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        let explained = |time: u64, kind: EvidenceKind| {
            purges
                .iter()
                .any(|(before, kinds)| time < *before && kinds.contains(&kind))
        };
        let all = u64::try_from(absent.len()).unwrap_or(u64::MAX);
        let purged = absent
            .iter()
            .filter(|(time, kind)| explained(*time, *kind))
            .count();
        let purged = u64::try_from(purged).unwrap_or(u64::MAX);
        EvidenceCounts {
            present: self.present.into_inner(),
            purged,
            lacking: all.saturating_sub(purged),
        }
    }
}

impl EvidenceCounts {
    pub(super) fn to_json(self) -> Value {
        json!({ "present": self.present, "purged": self.purged, "missing": self.lacking })
    }

    pub(super) fn words(self) -> String {
        format!(
            "{} as recorded, {} purged, {} missing",
            self.present, self.purged, self.lacking
        )
    }
}

/// Which kind of evidence entries of a kind name.
fn kind_of(kind: EntryKind) -> Option<EvidenceKind> {
    match kind {
        EntryKind::Policy | EntryKind::Epoch => Some(EvidenceKind::PolicyFile),
        EntryKind::Order => Some(EvidenceKind::Order),
        EntryKind::Release => Some(EvidenceKind::KeyRequest),
        EntryKind::Administration => Some(EvidenceKind::Administration),
        EntryKind::Statement => Some(EvidenceKind::Statement),
        EntryKind::Current | EntryKind::Summary | EntryKind::Purge | EntryKind::Restore => None,
    }
}
