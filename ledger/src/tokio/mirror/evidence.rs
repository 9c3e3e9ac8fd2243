//! Copying what entries were decided on, as far as it has not been purged.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{MirrorReport, MissingEvidence};
use crate::evidence::EvidenceKind;
use crate::{Entry, EntryKind, Folder, LogError, LogStore, PurgeEntry, Resource, SaltedEvidence};

/// What a run found about evidence.
#[derive(Default)]
pub(super) struct Evidences {
    found: Mutex<Found>,
}

#[derive(Default)]
struct Found {
    fetched: u64,
    purged: u64,
    unreadable: u64,
    purges: Vec<(u64, PurgeEntry)>,
    missing: Vec<MissingEvidence>,
}

impl Found {
    /// Whether an entry says that this was deleted.
    fn was_purged(&self, piece: &MissingEvidence) -> bool {
        self.purges.iter().any(|(index, purge)| {
            *index > piece.index && purge.before > piece.time && purge.kinds.contains(&piece.kind)
        })
    }
}

impl Evidences {
    /// Copies the evidence of one entry.
    pub(super) fn copy(
        &self,
        source: &dyn LogStore,
        folder: &Folder,
        index: u64,
        leaf: &[u8],
    ) -> Result<(), LogError> {
        let Ok(entry) = Entry::from_leaf(leaf) else {
            let mut found = self.found();
            found.unreadable = found.unreadable.saturating_add(1);
            return Ok(());
        };
        let pieces = entry.evidence();
        let (time, kind) = (entry.time(), evidence_kind(entry.kind()));
        if let Entry::Purge(purge) = entry {
            self.found().purges.push((index, purge));
            return Ok(());
        }
        for digest in pieces {
            let piece = MissingEvidence {
                index,
                digest,
                time,
                kind,
            };
            self.copy_piece(source, folder, piece)?;
        }
        Ok(())
    }

    fn copy_piece(
        &self,
        source: &dyn LogStore,
        folder: &Folder,
        piece: MissingEvidence,
    ) -> Result<(), LogError> {
        let name = Resource::Evidence(piece.digest);
        // What is in the copy and damaged is fetched again.
        let held = folder.get(&name).ok().flatten();
        if held.is_some_and(|bytes| SaltedEvidence::open(&piece.digest, &bytes).is_ok()) {
            return Ok(());
        }
        {
            let mut found = self.found();
            if found.was_purged(&piece) {
                found.purged = found.purged.saturating_add(1);
                return Ok(());
            }
        }
        let Some(bytes) = source.get(&name)? else {
            self.found().missing.push(piece);
            return Ok(());
        };
        let genuine = SaltedEvidence::open(&piece.digest, &bytes);
        genuine.map_err(|error| error.within(&format!("evidence of entry {}", piece.index)))?;
        folder.put(&name, &bytes)?;
        let mut found = self.found();
        found.fetched = found.fetched.saturating_add(1);
        Ok(())
    }

    pub(super) fn fetched(&self) -> u64 {
        self.found().fetched
    }

    /// Adds up; a purge that was read after what it deleted counts, too.
    pub(super) fn report(self, report: &mut MirrorReport) {
        let mut found = self
            .found
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        let mut missing = core::mem::take(&mut found.missing);
        let before = missing.len();
        missing.retain(|piece| !found.was_purged(piece));
        missing.sort_by_key(|piece| piece.index);
        let excused = u64::try_from(before.saturating_sub(missing.len())).unwrap_or(u64::MAX);
        report.evidence = report.evidence.saturating_add(found.fetched);
        report.purged = report
            .purged
            .saturating_add(found.purged.saturating_add(excused));
        report.unreadable = report.unreadable.saturating_add(found.unreadable);
        report.missing.extend(missing);
    }

    fn found(&self) -> MutexGuard<'_, Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What kind of evidence entries of a kind name.
fn evidence_kind(kind: EntryKind) -> EvidenceKind {
    match kind {
        EntryKind::Order => EvidenceKind::Order,
        EntryKind::Release => EvidenceKind::KeyRequest,
        EntryKind::Administration => EvidenceKind::Administration,
        EntryKind::Statement => EvidenceKind::Statement,
        // Policy files, which are never purged; the others name none.
        _ => EvidenceKind::PolicyFile,
    }
}
