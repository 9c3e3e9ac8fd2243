//! Reading a whole log from a place that nobody vouches for: every byte is checked against a signed checkpoint.

mod entries;
mod verify;

pub use entries::LogEntries;
pub use verify::{MAX_THREADS, VerifiedLog};

use std::ops::Range;

use crate::{
    EvidenceDigest, Frontier, LogError, LogReason, LogStore, Proof, Resource, SaltedEvidence,
    SignedNote, TileReader, Trust, TrustedCheckpoint, prove_inclusion,
};

/// A log of which the newest checkpoint was checked. Nothing that it gives out is unchecked: what does not belong to
/// that checkpoint is an error.
pub struct LogReader<'s, S: ?Sized> {
    store: &'s S,
    head: TrustedCheckpoint,
    tiles: TileReader<'s, S>,
}

impl<'s, S: LogStore + ?Sized> LogReader<'s, S> {
    /// Takes the newest checkpoint in `store`, checks that its log signed it and enough witnesses cosigned it, and
    /// that the right edge of the tree adds up to it.
    ///
    /// # Errors
    ///
    /// As [`LogReader::newest`], [`Trust::check`] and [`LogReader::at`].
    pub fn open(store: &'s S, trust: &Trust) -> Result<Self, LogError> {
        Self::at(store, trust.check(&Self::newest(store)?)?)
    }

    /// The same with the signature of the log alone: the log may show others something else.
    ///
    /// # Errors
    ///
    /// As [`LogReader::newest`], [`Trust::check_log_only`] and [`LogReader::at`].
    pub fn open_log_only(store: &'s S, trust: &Trust) -> Result<Self, LogError> {
        Self::at(store, trust.check_log_only(&Self::newest(store)?)?)
    }

    /// The newest checkpoint in `store`, of which nothing is checked.
    ///
    /// # Errors
    ///
    /// `log.missing` if there is none, `log.malformed` if it is no signed note, and what the store fails with.
    pub fn newest(store: &S) -> Result<SignedNote, LogError> {
        let bytes = store.get(&Resource::Checkpoint)?.ok_or_else(|| {
            LogError::new(
                LogReason::Missing,
                "there is no checkpoint: this is no log, or an unfinished copy of one",
            )
        })?;
        let text = core::str::from_utf8(&bytes)
            .map_err(|_| LogError::new(LogReason::Malformed, "the checkpoint is not text"))?;
        SignedNote::parse(text).map_err(|error| error.within("checkpoint"))
    }

    /// Reads `store` as it was at a checkpoint that was checked before.
    ///
    /// # Errors
    ///
    /// As [`TileReader::new`]: `log.root`, `log.missing`, `log.malformed`, and what the store fails with.
    pub fn at(store: &'s S, head: TrustedCheckpoint) -> Result<Self, LogError> {
        let checkpoint = head.checkpoint();
        let tiles = TileReader::new(store, checkpoint.size, &checkpoint.root)?;
        Ok(Self { store, head, tiles })
    }

    /// The checkpoint against which everything is checked.
    #[must_use]
    pub const fn head(&self) -> &TrustedCheckpoint {
        &self.head
    }

    /// How many entries.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.tiles.size()
    }

    /// The hashes of the tree.
    #[must_use]
    pub const fn tiles(&self) -> &TileReader<'s, S> {
        &self.tiles
    }

    /// The entries of `range`, one after the other; what lies beyond the end is left out. Each is checked before it
    /// is given out. After an error there is nothing more.
    #[must_use]
    pub fn entries(&self, range: Range<u64>) -> LogEntries<'_, 's, S> {
        LogEntries::new(self, range)
    }

    /// One entry.
    ///
    /// # Errors
    ///
    /// `log.missing` if there is no such entry, and as for [`LogReader::entries`].
    pub fn entry(&self, index: u64) -> Result<Vec<u8>, LogError> {
        let found = self.entries(index..index.saturating_add(1)).next();
        found.map_or_else(
            || {
                let words = format!("a log of {} entries has no entry {index}", self.size());
                Err(LogError::new(LogReason::Missing, words))
            },
            |entry| entry.map(|(_, leaf)| leaf),
        )
    }

    /// A proof that entry `index` is in this log, as of its checkpoint.
    ///
    /// # Errors
    ///
    /// `log.missing` if there is no such entry, and as for [`TileReader::hashes`].
    pub fn prove(&self, index: u64, extra: Option<Vec<u8>>) -> Result<Proof, LogError> {
        if index >= self.size() {
            let words = format!("a log of {} entries has no entry {index}", self.size());
            return Err(LogError::new(LogReason::Missing, words));
        }
        Ok(Proof {
            extra,
            index,
            hashes: prove_inclusion(&self.tiles, index, self.size())?,
            checkpoint: self.head.note().clone(),
        })
    }

    /// Evidence that an entry names; `None` if it is not there (any more).
    ///
    /// # Errors
    ///
    /// `log.evidence` if what is stored under this digest is something else, and what the store fails with.
    pub fn evidence(&self, digest: &EvidenceDigest) -> Result<Option<SaltedEvidence>, LogError> {
        self.store
            .get(&Resource::Evidence(*digest))?
            .map(|bytes| SaltedEvidence::open(digest, &bytes))
            .transpose()
    }

    /// Checks that this log continues `older`, a checkpoint of it that somebody kept.
    ///
    /// # Errors
    ///
    /// `log.origin` if it is of another log, `log.behind` if it has more entries than this one (which was rolled
    /// back, or is an older copy), `log.forked` if it has as many and another root, `log.consistency` if it has
    /// fewer and they are not the first ones of this log; and as for [`TileReader::hashes`].
    pub fn check_extends(&self, older: &TrustedCheckpoint) -> Result<(), LogError> {
        let (older, newer) = (older.checkpoint(), self.head.checkpoint());
        if older.origin != newer.origin {
            return Err(LogError::new(
                LogReason::Origin,
                format!(
                    "the older checkpoint is of {:?}, this log is {:?}",
                    older.origin, newer.origin
                ),
            ));
        }
        if older.size > newer.size {
            return Err(LogError::new(
                LogReason::Behind,
                format!("the log has {} entries and had {}", newer.size, older.size),
            ));
        }
        let found = if older.size == newer.size {
            newer.root
        } else {
            // The hashes are checked up to the signed root, so this is the root that the log had then.
            Frontier::from_source(&self.tiles, older.size)?.root()
        };
        if found == older.root {
            return Ok(());
        }
        let (reason, words) = if older.size == newer.size {
            (
                LogReason::Forked,
                "and shows others another tree of the same size",
            )
        } else {
            (
                LogReason::Consistency,
                "which are not the first ones of this log",
            )
        };
        Err(LogError::new(
            reason,
            format!(
                "the log signed a checkpoint of {} entries {words}",
                older.size
            ),
        ))
    }
}
