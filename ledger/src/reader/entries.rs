//! Entries out of their bundles, each compared with the hash that the tree has for it.

use std::ops::Range;

use super::LogReader;
use crate::{
    LogError, LogReason, LogStore, Resource, TILE_WIDTH, leaf_hash, parse_entries, tile_at,
};

impl<S: LogStore + ?Sized> LogReader<'_, S> {
    /// Reads one bundle, checks each of its entries, and hands them to `take` with the index of the first.
    pub(super) fn with_bundle<T>(
        &self,
        index: u64,
        take: impl FnOnce(u64, &[&[u8]]) -> Result<T, LogError>,
    ) -> Result<T, LogError> {
        let width = tile_at(0, index, self.size()).map_or(0, |tile| tile.width);
        let path = Resource::Entries { index, width }.path();
        let (bytes, stored_width) = self.bundle(index, width)?;
        let mut entries =
            parse_entries(&bytes, stored_width).map_err(|error| error.within(&path))?;
        entries.truncate(usize::from(width));
        let hashes = self.tiles().hashes(0, index)?;
        let first = index.saturating_mul(u64::from(TILE_WIDTH));
        for (number, (entry, hash)) in (first..).zip(entries.iter().zip(hashes.iter())) {
            if leaf_hash(entry) != *hash {
                return Err(LogError::new(
                    LogReason::Entries,
                    format!(
                        "entry {number} is not the one that was logged: it was changed, moved, put in, or one \
                         before it was left out ({path})"
                    ),
                ));
            }
        }
        take(first, &entries)
    }

    /// A bundle and its width. What is partial in this tree may be gone once the full one is there.
    fn bundle(&self, index: u64, width: u16) -> Result<(Vec<u8>, u16), LogError> {
        let partial = Resource::Entries { index, width };
        if let Some(bytes) = self.store.get(&partial)? {
            return Ok((bytes, width));
        }
        let full = Resource::Entries {
            index,
            width: TILE_WIDTH,
        };
        if width < TILE_WIDTH
            && let Some(bytes) = self.store.get(&full)?
        {
            return Ok((bytes, TILE_WIDTH));
        }
        let words = format!("{} is not there", partial.path());
        Err(LogError::new(LogReason::Missing, words))
    }
}

/// Entries in their order, from [`LogReader::entries`]. At most one bundle is in memory.
pub struct LogEntries<'r, 's, S: ?Sized> {
    reader: &'r LogReader<'s, S>,
    next: u64,
    end: u64,
    /// Entries from `next` on.
    bundle: std::vec::IntoIter<Vec<u8>>,
}

impl<'r, 's, S: LogStore + ?Sized> LogEntries<'r, 's, S> {
    pub(super) fn new(reader: &'r LogReader<'s, S>, range: Range<u64>) -> Self {
        Self {
            reader,
            next: range.start,
            end: range.end.min(reader.size()),
            bundle: Vec::new().into_iter(),
        }
    }

    fn load(&mut self) -> Result<(), LogError> {
        let (index, next, end) = (self.next / u64::from(TILE_WIDTH), self.next, self.end);
        self.bundle = self.reader.with_bundle(index, |first, entries| {
            Ok((first..)
                .zip(entries)
                .filter(|(number, _)| (next..end).contains(number))
                .map(|(_, entry)| entry.to_vec())
                .collect::<Vec<_>>()
                .into_iter())
        })?;
        Ok(())
    }
}

impl<S: LogStore + ?Sized> Iterator for LogEntries<'_, '_, S> {
    /// Index and bytes.
    type Item = Result<(u64, Vec<u8>), LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next >= self.end {
            return None;
        }
        if self.bundle.len() == 0
            && let Err(error) = self.load()
        {
            self.next = self.end;
            return Some(Err(error));
        }
        let entry = self.bundle.next()?;
        let index = self.next;
        self.next = index.saturating_add(1);
        Some(Ok((index, entry)))
    }
}
