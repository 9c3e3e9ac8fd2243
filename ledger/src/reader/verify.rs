//! Verifying all of a log, on several threads, with a few bundles in memory.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use super::LogReader;
use crate::{Hash, LogError, LogStore, TILE_WIDTH};

/// The most threads that work on one log.
pub const MAX_THREADS: usize = 64;

/// What [`LogReader::verify_all`] found. Every entry hashes to what the tree says, every tile of the tree as it is
/// at this size is there, and all of it adds up to the root.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct VerifiedLog {
    /// How many entries.
    pub size: u64,
    /// The signed root.
    pub root: Hash,
    /// How many bytes the entries have together.
    pub bytes: u64,
}

impl<S: LogStore + ?Sized> LogReader<'_, S> {
    /// Reads every bundle of entries and every tile, and checks that the entries are those whose hashes add up, tile
    /// by tile, to the signed root. `each` is called with every entry, in no particular order and from all threads;
    /// its refusal counts like any other.
    ///
    /// `threads` is how many work at once, 1 to [`MAX_THREADS`]; each holds one bundle (at most 16 MiB, commonly
    /// 200 KiB).
    ///
    /// # Errors
    ///
    /// Of all that is wrong, what stands first in the log: `log.entries` if an entry is not the one that was logged,
    /// `log.tile` if a tile does not belong to the tree, `log.missing`, `log.malformed`, what `each` refuses, and
    /// what the store fails with.
    pub fn verify_all(
        &self,
        threads: usize,
        each: impl Fn(u64, &[u8]) -> Result<(), LogError> + Sync,
    ) -> Result<VerifiedLog, LogError> {
        let bundles = self.size().div_ceil(u64::from(TILE_WIDTH));
        let (next, bytes) = (AtomicU64::new(0), AtomicU64::new(0));
        let first_error: Mutex<Option<(u64, LogError)>> = Mutex::new(None);
        // Bundles from here on are of no interest any more.
        let end = AtomicU64::new(bundles);
        let work = || {
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= end.load(Ordering::Relaxed) {
                    return;
                }
                match self.verify_bundle(index, &each) {
                    Ok(length) => {
                        bytes.fetch_add(length, Ordering::Relaxed);
                    }
                    Err(error) => {
                        end.fetch_min(index, Ordering::Relaxed);
                        let mut first = first_error.lock().unwrap_or_else(PoisonError::into_inner);
                        if first.as_ref().is_none_or(|(known, _)| index < *known) {
                            *first = Some((index, error));
                        }
                    }
                }
            }
        };
        let threads = u64::try_from(threads.clamp(1, MAX_THREADS)).unwrap_or(1);
        std::thread::scope(|scope| {
            for _ in 1..threads.min(bundles) {
                scope.spawn(work);
            }
            work();
        });
        let error = first_error
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        match error {
            Some((_, error)) => Err(error),
            None => Ok(VerifiedLog {
                size: self.size(),
                root: self.head().checkpoint().root,
                bytes: bytes.into_inner(),
            }),
        }
    }

    /// Checks one bundle against its tile, and the tile against those above it; how many bytes its entries have.
    fn verify_bundle(
        &self,
        index: u64,
        each: &(impl Fn(u64, &[u8]) -> Result<(), LogError> + Sync),
    ) -> Result<u64, LogError> {
        self.with_bundle(index, |first, entries| {
            let mut bytes = 0_u64;
            for (number, entry) in (first..).zip(entries) {
                each(number, entry).map_err(|error| error.within(&format!("entry {number}")))?;
                bytes = bytes.saturating_add(u64::try_from(entry.len()).unwrap_or(u64::MAX));
            }
            Ok(bytes)
        })
    }
}
