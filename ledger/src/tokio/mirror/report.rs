//! What a run did, and how far it is.

use crate::evidence::EvidenceKind;
use crate::{EvidenceDigest, LogError, LogReason};

/// How far a run is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct MirrorProgress {
    /// Entries checked and written in this run.
    pub entries: u64,
    /// Of so many.
    pub of: u64,
    /// Pieces of evidence fetched in this run.
    pub evidence: u64,
}

/// What a run did.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct MirrorReport {
    /// Entries that the copy had before.
    pub from: u64,
    /// Entries that it has now.
    pub to: u64,
    /// Pieces of evidence that were fetched.
    pub evidence: u64,
    /// Pieces of evidence that are gone, as entries of the log say.
    pub purged: u64,
    /// Entries that this version cannot read; whether they name evidence is not known.
    pub unreadable: u64,
    /// Evidence that is gone and of which no entry says so. Not empty only if that was accepted.
    pub missing: Vec<MissingEvidence>,
    /// Earlier epochs that the source does not have, and neither does the copy.
    pub missing_epochs: Vec<u32>,
    /// Entries at the end of earlier epochs that only the copy has: the log went on without them.
    pub lost_by_source: u64,
}

/// A piece of evidence that should be there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct MissingEvidence {
    /// The entry that names it.
    pub index: u64,
    /// Its name.
    pub digest: EvidenceDigest,
    /// When the entry was made, in Unix milliseconds.
    pub(super) time: u64,
    pub(super) kind: EvidenceKind,
}

impl MirrorReport {
    pub(super) fn take(&mut self, other: Self) {
        self.evidence = self.evidence.saturating_add(other.evidence);
        self.purged = self.purged.saturating_add(other.purged);
        self.unreadable = self.unreadable.saturating_add(other.unreadable);
        self.missing.extend(other.missing);
    }
}

/// The refusal that names the first piece.
pub(super) fn missing_evidence(missing: &[MissingEvidence]) -> LogError {
    let first = missing.first();
    let words = first.map_or_else(String::new, |first| {
        format!(
            "{} pieces of evidence are not there, and no entry says that they were purged; the first is {} of entry \
             {}",
            missing.len(),
            first.digest,
            first.index
        )
    });
    LogError::new(LogReason::Evidence, words)
}
