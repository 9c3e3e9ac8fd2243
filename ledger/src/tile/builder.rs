//! Writing tiles while a tree grows.

use super::{BITS, MAX_LEVEL, TILE_WIDTH, Tile, hashes_at};
use crate::error::LogError;
use crate::hash::Hash;
use crate::merkle::{Frontier, HashSource, root_of};

/// A growing tree that gives out its tiles as they change.
#[derive(Clone, Debug)]
pub struct TileBuilder {
    frontier: Frontier,
    /// The unfinished tile of each level, and how many of its hashes have been given out.
    edge: Vec<(Vec<Hash>, usize)>,
    finished: Vec<(Tile, Vec<u8>)>,
}

impl Default for TileBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl TileBuilder {
    /// The tree without entries.
    #[must_use]
    pub fn new() -> Self {
        Self {
            frontier: Frontier::new(),
            edge: vec![(Vec::new(), 0); usize::from(MAX_LEVEL) + 1],
            finished: Vec::new(),
        }
    }

    /// Takes up a tree of `size` entries: reads the unfinished tile of each level.
    ///
    /// # Errors
    ///
    /// What `source` fails with.
    pub fn from_source<S: HashSource + ?Sized>(source: &S, size: u64) -> Result<Self, S::Error> {
        let mut builder = Self::new();
        builder.frontier = Frontier::from_source(source, size)?;
        for (level, (hashes, given_out)) in (0..=MAX_LEVEL).zip(&mut builder.edge) {
            let end = hashes_at(level, size);
            let begin = end - end % u64::from(TILE_WIDTH);
            for index in begin..end {
                hashes.push(source.subtree(level * BITS, index)?);
            }
            *given_out = hashes.len();
        }
        Ok(builder)
    }

    /// Appends the hash of a leaf.
    ///
    /// # Errors
    ///
    /// `log.malformed` if the tree is as large as trees get.
    pub fn append(&mut self, leaf: Hash) -> Result<(), LogError> {
        self.frontier.append(leaf)?;
        let size = self.frontier.size();
        let mut hash = leaf;
        for (level, (hashes, given_out)) in (0..=MAX_LEVEL).zip(&mut self.edge) {
            hashes.push(hash);
            if hashes.len() < usize::from(TILE_WIDTH) {
                break;
            }
            let tile = Tile {
                level,
                index: hashes_at(level, size) / u64::from(TILE_WIDTH) - 1,
                width: TILE_WIDTH,
            };
            hash = root_of(hashes);
            self.finished.push((tile, tile_bytes(hashes)));
            hashes.clear();
            *given_out = 0;
        }
        Ok(())
    }

    /// Every tile that appeared or grew since the last call, and its bytes.
    pub fn take_changed(&mut self) -> Vec<(Tile, Vec<u8>)> {
        let mut changed = core::mem::take(&mut self.finished);
        let size = self.frontier.size();
        for (level, (hashes, given_out)) in (0..=MAX_LEVEL).zip(&mut self.edge) {
            if hashes.len() == *given_out {
                continue;
            }
            *given_out = hashes.len();
            changed.push((
                Tile {
                    level,
                    index: hashes_at(level, size) / u64::from(TILE_WIDTH),
                    width: u16::try_from(hashes.len()).unwrap_or(TILE_WIDTH),
                },
                tile_bytes(hashes),
            ));
        }
        changed
    }

    /// How many entries.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.frontier.size()
    }

    /// The root of the tree as it is now.
    #[must_use]
    pub fn root(&self) -> Hash {
        self.frontier.root()
    }

    /// The right edge.
    #[must_use]
    pub const fn frontier(&self) -> &Frontier {
        &self.frontier
    }
}

fn tile_bytes(hashes: &[Hash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| hash.0).collect()
}

/// Reads the hashes of a tile of `width`.
///
/// # Errors
///
/// `log.malformed` unless `bytes` are exactly that many hashes.
pub fn tile_hashes(bytes: &[u8], width: u16) -> Result<Vec<Hash>, LogError> {
    if bytes.len() != usize::from(width) * Hash::LENGTH || !(1..=TILE_WIDTH).contains(&width) {
        return Err(LogError::malformed(format!(
            "a tile of {width} hashes has {} bytes",
            bytes.len()
        )));
    }
    Ok(bytes
        .chunks_exact(Hash::LENGTH)
        .filter_map(Hash::from_slice)
        .collect())
}
