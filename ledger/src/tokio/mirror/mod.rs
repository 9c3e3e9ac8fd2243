//! A mirror: a copy of a log in a folder that grows with it and never takes back what it has seen.
//!
//! What a log is checked against must lie somewhere else than with the log: a mirror that somebody else keeps
//! shows when the log shrinks or forks, is what a service that lost its newest state catches up from, and keeps
//! evidence in the layout that every tool here reads.
//!
//! A run copies what is new, checks all of it against the new checkpoint, and only then replaces the old one. A
//! run that is killed is made up for by the next: what was copied is checked and kept.

mod copy;
mod epochs;
mod evidence;
mod report;

use core::time::Duration;
use std::fs::{File, OpenOptions, TryLockError};

pub use epochs::EarlierEpoch;
use report::missing_evidence;
pub use report::{MirrorProgress, MirrorReport, MissingEvidence};

use crate::{
    Folder, InEpoch, LogError, LogReader, LogReason, LogStore, Resource, SignedNote, StoreError,
    Trust, TrustedCheckpoint,
};

/// Requests at once.
const THREADS: usize = 8;
/// How often a run looks for a newer checkpoint when evidence is missing that a purge might explain.
const ROUNDS: u32 = 3;
/// The pause before that: a checkpoint that tells of a purge is cosigned meanwhile.
const PAUSE: Duration = Duration::from_secs(1);
const LOCK: &str = ".mirror.lock";
/// Where a checkpoint is kept that contradicts the copy.
const CONFLICT: &str = "conflicting-checkpoint";

/// What to copy from where to where. Its calls block; run them on a thread that may.
pub struct Mirror<'m> {
    source: &'m dyn LogStore,
    folder: &'m Folder,
    trust: &'m Trust,
    earlier: Vec<EarlierEpoch>,
    evidence: bool,
    accept_missing: bool,
    progress: Option<Progress<'m>>,
}

type Progress<'m> = Box<dyn Fn(MirrorProgress) + Sync + 'm>;

impl<'m> Mirror<'m> {
    /// A mirror of `source` in `folder`. Only checkpoints that `trust` accepts, quorum included, are taken.
    #[must_use]
    pub fn new(source: &'m dyn LogStore, folder: &'m Folder, trust: &'m Trust) -> Self {
        Self {
            source,
            folder,
            trust,
            earlier: Vec::new(),
            evidence: true,
            accept_missing: false,
            progress: None,
        }
    }

    /// The epochs before the one that `trust` is about, first to last, as the policy names them.
    #[must_use]
    pub fn with_earlier_epochs(mut self, earlier: Vec<EarlierEpoch>) -> Self {
        self.earlier = earlier;
        self
    }

    /// Copies no evidence: for logs whose entries are not ours.
    #[must_use]
    pub fn without_evidence(mut self) -> Self {
        self.evidence = false;
        self
    }

    /// Goes on when evidence is missing that no purge explains, and reports it once. What is missing then is not
    /// looked for again.
    #[must_use]
    pub fn accepting_missing_evidence(mut self) -> Self {
        self.accept_missing = true;
        self
    }

    /// Tells `progress` how far a run is, after each bundle of entries, from several threads.
    #[must_use]
    pub fn with_progress(mut self, progress: impl Fn(MirrorProgress) + Sync + 'm) -> Self {
        self.progress = Some(Box::new(progress));
        self
    }

    /// Copies what is new.
    ///
    /// # Errors
    ///
    /// The copy stays as it was, at its old checkpoint, when
    /// - the source went back (`log.behind`), forked (`log.forked`, `log.consistency`) or is another log
    ///   (`log.origin`): its checkpoint is then kept beside the copy, in `conflicting-checkpoint`;
    /// - its checkpoint is not signed or cosigned as `trust` asks (`log.signature`, `log.quorum`);
    /// - what it serves does not belong to its checkpoint (`log.root`, `log.tile`, `log.entries`, `log.missing`);
    /// - evidence is altered, or missing without an entry that says so (`log.evidence`);
    /// - source or folder cannot be read or written, or another mirror works in the folder (`log.unavailable`).
    pub fn run(&self) -> Result<MirrorReport, LogError> {
        let _lock = self.lock()?;
        let mut report = MirrorReport::default();
        for (number, earlier) in (0_u32..).zip(&self.earlier) {
            self.archive(number, earlier, &mut report)?;
        }
        let place = Place::newest(self.source);
        let old = self
            .local(&place)?
            .map(|note| self.accepted(&note))
            .transpose()?;
        report.from = old.as_ref().map_or(0, |old| old.checkpoint().size);
        for round in 1..=ROUNDS {
            let note = LogReader::newest(self.source)?;
            let head = self
                .trust
                .check(&note)
                .map_err(|error| self.explained(error))?;
            let mut this_round = MirrorReport::default();
            self.grow(&place, old.as_ref(), &head, &mut this_round)?;
            let excused = this_round.missing.is_empty() || (self.accept_missing && round == ROUNDS);
            if excused {
                self.finish(&place, old.as_ref(), &head)?;
                report.to = head.checkpoint().size;
                report.take(this_round);
                return Ok(report);
            }
            if round == ROUNDS {
                return Err(missing_evidence(&this_round.missing));
            }
            report.evidence = report.evidence.saturating_add(this_round.evidence);
            std::thread::sleep(PAUSE);
        }
        Ok(report)
    }

    /// Copies and checks everything up to `head`, except the checkpoint itself.
    fn grow(
        &self,
        place: &Place<'_>,
        old: Option<&TrustedCheckpoint>,
        head: &TrustedCheckpoint,
        report: &mut MirrorReport,
    ) -> Result<(), LogError> {
        let checked = self.compare(place, old, head);
        let reader = checked.inspect_err(|error| self.keep_conflict(error, head))?;
        let from = old.map_or(0, |old| old.checkpoint().size);
        self.copy(place, &reader, from, report)
    }

    fn compare<'p>(
        &self,
        place: &'p Place<'_>,
        old: Option<&TrustedCheckpoint>,
        head: &TrustedCheckpoint,
    ) -> Result<LogReader<'p, Place<'p>>, LogError>
    where
        'm: 'p,
    {
        if let Some(old) = old
            && old.checkpoint().size > head.checkpoint().size
        {
            // Before a tile is read: a log that was rolled back has none that would fit.
            return Err(LogError::new(
                LogReason::Behind,
                format!(
                    "the log has {} entries, and had {}: it was rolled back, or this is an older copy of it",
                    head.checkpoint().size,
                    old.checkpoint().size
                ),
            ));
        }
        let reader = LogReader::at(place, head.clone())?;
        if let Some(old) = old {
            reader.check_extends(old)?;
        }
        Ok(reader)
    }

    /// The checkpoint last: it speaks for everything else.
    fn finish(
        &self,
        place: &Place<'_>,
        old: Option<&TrustedCheckpoint>,
        head: &TrustedCheckpoint,
    ) -> Result<(), LogError> {
        let grew = old.is_none_or(|old| old.checkpoint().size < head.checkpoint().size);
        let fresher = old.is_none_or(|old| old.fresh_at() < head.fresh_at());
        if grew || fresher {
            let bytes = head.note().to_string();
            self.folder
                .put(&place.of(Resource::Checkpoint), bytes.as_bytes())?;
        }
        if let Some(old) = old.filter(|_| grew) {
            self.remove_filled(place, old.checkpoint().size, head.checkpoint().size);
        }
        Ok(())
    }

    /// The copy's own checkpoint.
    fn local(&self, place: &Place<'_>) -> Result<Option<SignedNote>, LogError> {
        let Some(bytes) = self.folder.get(&place.of(Resource::Checkpoint))? else {
            return Ok(None);
        };
        core::str::from_utf8(&bytes)
            .map_err(|_| LogError::new(LogReason::Malformed, "not text"))
            .and_then(SignedNote::parse)
            .map(Some)
            .map_err(|error| error.within("the copy's own checkpoint"))
    }

    /// The copy's own checkpoint was accepted when it was written; the witnesses may have changed since.
    fn accepted(&self, note: &SignedNote) -> Result<TrustedCheckpoint, LogError> {
        self.trust.check_log_only(note).map_err(|error| {
            error.within("the folder holds the copy of another log, or of an epoch that the policy does not name")
        })
    }

    fn explained(&self, error: LogError) -> LogError {
        match error.reason() {
            LogReason::Origin => error.within(
                "the source is another log than the policy names; if a new epoch has begun, use the policy that \
                 begins it",
            ),
            _ => error,
        }
    }

    fn keep_conflict(&self, error: &LogError, head: &TrustedCheckpoint) {
        let contradicts = matches!(
            error.reason(),
            LogReason::Behind | LogReason::Forked | LogReason::Consistency
        );
        let path = self.folder.path().join(CONFLICT);
        if contradicts && path.symlink_metadata().is_err() {
            // Best effort: the refusal itself must not depend on it.
            let _ = std::fs::write(&path, head.note().to_string());
        }
    }

    fn lock(&self) -> Result<File, LogError> {
        let path = self.folder.path().join(LOCK);
        let unavailable =
            |what: String| StoreError::unavailable(format!("{}: {what}", path.display()));
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|error| unavailable(error.to_string()))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => {
                Err(unavailable("another mirror works in this folder".to_owned()).into())
            }
            Err(TryLockError::Error(error)) => Err(unavailable(error.to_string()).into()),
        }
    }
}

/// The newest epoch of a log, or an earlier one: its resources in the source, and their names in the copy.
struct Place<'p> {
    source: &'p dyn LogStore,
    epoch: Option<u32>,
}

impl<'p> Place<'p> {
    fn newest(source: &'p dyn LogStore) -> Self {
        Self {
            source,
            epoch: None,
        }
    }

    fn earlier(source: &'p dyn LogStore, epoch: u32) -> Self {
        Self {
            source,
            epoch: Some(epoch),
        }
    }

    /// The name of `resource` in source and copy. Evidence lies beside all epochs.
    fn of(&self, resource: Resource) -> Resource {
        match (self.epoch, &resource) {
            (None, _) | (_, Resource::Evidence(_)) => resource,
            (Some(epoch), _) => Resource::Epoch(epoch, Box::new(resource)),
        }
    }
}

impl LogStore for Place<'_> {
    fn get(&self, resource: &Resource) -> Result<Option<Vec<u8>>, StoreError> {
        let store = self.source;
        match self.epoch {
            None => store.get(resource),
            Some(epoch) => InEpoch { store, epoch }.get(resource),
        }
    }
}
