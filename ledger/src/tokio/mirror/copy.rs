//! Copying one tree: bundle by bundle from the newest, each checked against the tree, then the tiles.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::evidence::Evidences;
use super::{Mirror, MirrorProgress, MirrorReport, Place, THREADS};
use crate::{
    Hash, LogError, LogReader, LogStore, Resource, TILE_WIDTH, bundles_of, encode_entries,
    leaf_hash, parse_entries, tiles_of,
};

/// What several threads find.
#[derive(Default)]
struct Found {
    entries: u64,
    error: Option<LogError>,
}

impl Mirror<'_> {
    /// Copies what grew since `from` entries. On resuming, what lies in the copy is checked and kept.
    pub(super) fn copy(
        &self,
        place: &Place<'_>,
        reader: &LogReader<'_, Place<'_>>,
        from: u64,
        report: &mut MirrorReport,
    ) -> Result<(), LogError> {
        let evidences = Evidences::default();
        self.copy_entries(place, reader, from, &evidences)?;
        for tile in tiles_of(from, reader.size()) {
            let hashes = reader.tiles().hashes(tile.level, tile.index)?;
            let bytes: Vec<u8> = hashes.iter().flat_map(|hash| hash.0).collect();
            self.put(&place.of(Resource::Tile(tile)), &bytes)?;
        }
        evidences.report(report);
        Ok(())
    }

    fn copy_entries(
        &self,
        place: &Place<'_>,
        reader: &LogReader<'_, Place<'_>>,
        from: u64,
        evidences: &Evidences,
    ) -> Result<(), LogError> {
        let first = from / u64::from(TILE_WIDTH);
        let bundles = bundles_of(from, reader.size()).count();
        // From the newest: a purge stands after what it deleted.
        let left = AtomicU64::new(u64::try_from(bundles).unwrap_or(u64::MAX));
        let found = Mutex::new(Found::default());
        let of = reader.size().saturating_sub(from);
        let work = || {
            while let Some(index) = take_last(&left).and_then(|last| first.checked_add(last)) {
                let copied = self.copy_bundle(place, reader, index, from, evidences);
                let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                match copied {
                    Ok(entries) => {
                        found.entries = found.entries.saturating_add(entries);
                        let progress = MirrorProgress {
                            entries: found.entries,
                            of,
                            evidence: evidences.fetched(),
                        };
                        drop(found);
                        if let Some(told) = &self.progress {
                            told(progress);
                        }
                    }
                    Err(error) => {
                        left.store(0, Ordering::Relaxed);
                        found.error.get_or_insert(error);
                        return;
                    }
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..THREADS.min(bundles) {
                // A thread that the system does not give is done without.
                let _ = std::thread::Builder::new().spawn_scoped(scope, work);
            }
            work();
        });
        let found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
        found.error.map_or(Ok(()), Err)
    }

    /// How many entries of the bundle are new.
    fn copy_bundle(
        &self,
        place: &Place<'_>,
        reader: &LogReader<'_, Place<'_>>,
        index: u64,
        from: u64,
        evidences: &Evidences,
    ) -> Result<u64, LogError> {
        let hashes = reader.tiles().hashes(0, index)?;
        let width = u16::try_from(hashes.len()).unwrap_or(TILE_WIDTH);
        let name = place.of(Resource::Entries { index, width });
        let begin = index.saturating_mul(u64::from(TILE_WIDTH));
        let entries = match self.held(&name, width, &hashes)? {
            Some(entries) => entries,
            None => {
                let end = begin.saturating_add(u64::from(width));
                let entries = reader
                    .entries(begin..end)
                    .map(|entry| entry.map(|(_, entry)| entry))
                    .collect::<Result<Vec<_>, _>>()?;
                self.folder.put(&name, &encode_entries(&entries)?)?;
                entries
            }
        };
        let new = (begin..)
            .zip(&entries)
            .filter(|(number, _)| *number >= from);
        if self.evidence {
            // Newest first, as above.
            for (number, entry) in new.clone().collect::<Vec<_>>().into_iter().rev() {
                evidences.copy(self.source, self.folder, number, entry)?;
            }
        }
        Ok(u64::try_from(new.count()).unwrap_or(u64::MAX))
    }

    /// The entries of a bundle that is in the copy already, if it is the right one.
    fn held(
        &self,
        name: &Resource,
        width: u16,
        hashes: &[Hash],
    ) -> Result<Option<Vec<Vec<u8>>>, LogError> {
        // What cannot be in the copy, such as a file that is too large, is replaced.
        let Ok(Some(bytes)) = self.folder.get(name) else {
            return Ok(None);
        };
        let Ok(entries) = parse_entries(&bytes, width) else {
            return Ok(None);
        };
        let right = entries.len() == hashes.len()
            && entries
                .iter()
                .zip(hashes)
                .all(|(entry, hash)| leaf_hash(entry) == *hash);
        Ok(right.then(|| entries.into_iter().map(<[u8]>::to_vec).collect()))
    }

    /// Writes what is not there yet.
    fn put(&self, name: &Resource, bytes: &[u8]) -> Result<(), LogError> {
        if !matches!(self.folder.get(name), Ok(Some(held)) if held == bytes) {
            self.folder.put(name, bytes)?;
        }
        Ok(())
    }

    /// Partial tiles and bundles whose full ones are there now. Best effort: they only take room.
    pub(super) fn remove_filled(&self, place: &Place<'_>, old_size: u64, new_size: u64) {
        for tile in tiles_of(old_size, new_size).filter(crate::Tile::is_full) {
            let mut names = vec![place.of(Resource::Tile(tile))];
            if tile.level == 0 {
                names.push(place.of(Resource::Entries {
                    index: tile.index,
                    width: TILE_WIDTH,
                }));
            }
            for name in names {
                let partial = self.folder.path().join(format!("{}.p", name.path()));
                if partial.symlink_metadata().is_ok_and(|found| found.is_dir()) {
                    let _ = std::fs::remove_dir_all(partial);
                }
            }
        }
    }
}

/// Counts down; the number that was taken.
fn take_last(left: &AtomicU64) -> Option<u64> {
    let one_less = |left: u64| left.checked_sub(1);
    let before = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less);
    before.ok().and_then(one_less)
}
