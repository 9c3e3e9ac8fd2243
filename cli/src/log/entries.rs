//! Entries of a log below a checkpoint that holds: each is compared with the tree before it is used.

use narthex_ledger::{
    Entry, LogError, LogReason, LogStore, Resource, TILE_WIDTH, TileReader, TrustedCheckpoint,
    leaf_hash, parse_entries, tile_at,
};

use super::failures::log_failure;
use super::words::Numbered;
use crate::failure::{Failure, Outcome};

/// Why a pass over entries ended early.
pub(crate) enum Ended {
    /// What speaks against the log or its source.
    Log(LogError),
    /// The command's own trouble: standard output, for example.
    Command(Failure),
}

impl From<LogError> for Ended {
    fn from(error: LogError) -> Self {
        Self::Log(error)
    }
}

impl Ended {
    /// In words; `what` is what was looked at.
    pub(crate) fn failure(self, what: &str) -> Failure {
        match self {
            Self::Log(error) => log_failure(what, &error),
            Self::Command(failure) => failure,
        }
    }
}

/// The entries below one checkpoint.
pub(crate) struct Entries<'s> {
    store: &'s (dyn LogStore + 's),
    tiles: TileReader<'s, dyn LogStore + 's>,
    size: u64,
}

impl<'s> Entries<'s> {
    /// Reads the tree's right edge, and checks it against the checkpoint.
    ///
    /// # Errors
    /// `log.*`.
    pub(crate) fn below(
        head: &TrustedCheckpoint,
        store: &'s (dyn LogStore + 's),
    ) -> Result<Self, LogError> {
        let at = head.checkpoint();
        Ok(Self {
            store,
            tiles: TileReader::new(store, at.size, &at.root)?,
            size: at.size,
        })
    }

    /// How many there are.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// The hashes of the tree, for proofs.
    pub(crate) fn tiles(&self) -> &TileReader<'s, dyn LogStore + 's> {
        &self.tiles
    }

    /// Hands every entry of `range` to `take`, in order, with its exact bytes, read strictly.
    ///
    /// # Errors
    /// `log.missing`, `log.malformed`, `log.root`, `log.entry`; what `take` fails with.
    pub(crate) fn each(
        &self,
        range: std::ops::Range<u64>,
        mut take: impl FnMut(Numbered, &Entry) -> Outcome<()>,
    ) -> Result<(), Ended> {
        let width = u64::from(TILE_WIDTH);
        let mut index = range.start;
        while index < range.end.min(self.size) {
            let bundle = index / width;
            let first = bundle * width;
            for (leaf, at) in self.bundle(bundle)?.iter().zip(first..) {
                if range.contains(&at) {
                    let within = |error: LogError| error.within(&format!("entry {at}"));
                    let entry = Entry::from_leaf(leaf).map_err(within)?;
                    take(Numbered::new(at, leaf), &entry).map_err(Ended::Command)?;
                }
            }
            index = first + width;
        }
        Ok(())
    }

    /// One entry's exact bytes.
    ///
    /// # Errors
    /// As [`Entries::each`]; `log.missing` if there is no such entry.
    pub(crate) fn leaf(&self, index: u64) -> Result<Vec<u8>, LogError> {
        let width = u64::from(TILE_WIDTH);
        let place = usize::try_from(index % width).unwrap_or(usize::MAX);
        self.bundle(index / width)?
            .into_iter()
            .nth(place)
            .ok_or_else(|| missing(&format!("entry {index}")))
    }

    /// The entries of one bundle, as many as the checkpoint covers.
    fn bundle(&self, index: u64) -> Result<Vec<Vec<u8>>, LogError> {
        let nothing = || missing(&format!("the bundle of entries {index}"));
        let width = tile_at(0, index, self.size).ok_or_else(nothing)?.width;
        let resource = |width| Resource::Entries { index, width };
        // A log that has grown may have let go of the narrower bundle.
        let (bytes, held) = match self.store.get(&resource(width))? {
            Some(bytes) => (bytes, width),
            None if width < TILE_WIDTH => {
                let bytes = self.store.get(&resource(TILE_WIDTH))?.ok_or_else(nothing)?;
                (bytes, TILE_WIDTH)
            }
            None => return Err(nothing()),
        };
        let leaves = parse_entries(&bytes, held)?;
        let hashes = self.tiles.hashes(0, index)?;
        let leaves = leaves.into_iter().take(usize::from(width));
        leaves
            .zip(hashes.iter())
            .zip(index.saturating_mul(u64::from(TILE_WIDTH))..)
            .map(|((leaf, hash), at)| match leaf_hash(leaf) == *hash {
                true => Ok(leaf.to_vec()),
                false => Err(LogError::new(
                    LogReason::Root,
                    format!("entry {at} was altered: it is not what the tree holds there"),
                )),
            })
            .collect()
    }
}

fn missing(what: &str) -> LogError {
    LogError::new(LogReason::Missing, format!("{what} is not there"))
}
