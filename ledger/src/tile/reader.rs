//! Reading a tree from tiles that nobody vouches for, against a root that somebody signed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::{BITS, MAX_LEVEL, TILE_WIDTH, Tile, tile_at, tile_hashes};
use crate::checkpoint::MAX_SIZE;
use crate::error::{LogError, LogReason};
use crate::hash::{Hash, empty_root};
use crate::merkle::{Frontier, HashSource, root_of};
use crate::store::LogStore;
use crate::tile::Resource;

/// How many tiles are kept: 4 MiB.
const CACHED_TILES: usize = 512;

type Hashes = Arc<[Hash]>;

/// The hashes of a tree, read from a store and checked up to the trusted root before use.
pub struct TileReader<'s, S: ?Sized> {
    store: &'s S,
    size: u64,
    /// The unfinished tiles, level by level: together they make the root.
    edge: Vec<Option<Hashes>>,
    full: Mutex<HashMap<(u8, u64), Hashes>>,
}

impl<'s, S: LogStore + ?Sized> TileReader<'s, S> {
    /// Reads the right edge of the tree, and checks that it adds up to `root`.
    ///
    /// # Errors
    ///
    /// `log.root` if it does not, `log.missing` if a tile is not there, `log.malformed` if a tile
    /// is of another length, and what the store fails with.
    pub fn new(store: &'s S, size: u64, root: &Hash) -> Result<Self, LogError> {
        if size > MAX_SIZE {
            return Err(LogError::malformed("no tree is that large"));
        }
        let mut edge = Vec::new();
        let mut subtrees = Vec::new();
        for level in 0..=MAX_LEVEL {
            let hashes = super::hashes_at(level, size);
            let tile = tile_at(level, hashes / u64::from(TILE_WIDTH), size);
            edge.push(
                tile.map(|tile| fetch(store, tile))
                    .transpose()?
                    .map(Hashes::from),
            );
        }
        // The full subtrees of the whole tree, largest first, are those of its edge.
        for hashes in edge.iter().rev().flatten() {
            let mut part = Frontier::new();
            for hash in hashes.iter() {
                part.append(*hash)?;
            }
            subtrees.extend_from_slice(part.subtrees());
        }
        let found = if subtrees.is_empty() {
            empty_root()
        } else {
            Frontier::from_parts(size, subtrees)?.root()
        };
        if found != *root {
            return Err(LogError::new(
                LogReason::Root,
                format!("the tiles of a log of {size} entries do not add up to the signed root"),
            ));
        }
        Ok(Self {
            store,
            size,
            edge,
            full: Mutex::new(HashMap::new()),
        })
    }

    /// How many entries the trusted tree has.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The hashes of one tile, as wide as it is in the trusted tree; of level 0 the hashes of
    /// the leaves in the bundle of entries with the same index.
    ///
    /// # Errors
    ///
    /// `log.tile` if a tile is not the one that the tree has there; `log.missing`, `log.malformed` as for
    /// [`TileReader::new`].
    pub fn hashes(&self, level: u8, index: u64) -> Result<Arc<[Hash]>, LogError> {
        let tile = tile_at(level, index, self.size).ok_or_else(|| {
            LogError::new(
                LogReason::Missing,
                format!(
                    "a log of {} entries has no tile {index} of level {level}",
                    self.size
                ),
            )
        })?;
        if let Some(known) = self.known(tile.level, tile.index) {
            return Ok(known);
        }
        // Up to a tile that is known to be right, and down again: each hash vouches for one tile.
        let mut unknown = vec![tile];
        let mut above;
        let mut at = tile;
        loop {
            let (level, index) = (at.level + 1, at.index / u64::from(TILE_WIDTH));
            above = self.known(level, index);
            if above.is_some() {
                break;
            }
            // A full tile always has one above it, and on the highest level that is at the edge.
            at = tile_at(level, index, self.size)
                .ok_or_else(|| LogError::new(LogReason::Root, "the tree has no edge"))?;
            unknown.push(at);
        }
        for tile in unknown.iter().rev() {
            let hashes = Hashes::from(fetch(self.store, *tile)?);
            let place = usize::try_from(tile.index % u64::from(TILE_WIDTH)).unwrap_or(0);
            let expected = above.as_ref().and_then(|above| above.get(place));
            if expected != Some(&root_of(&hashes)) {
                return Err(LogError::new(
                    LogReason::Tile,
                    format!("{} does not belong to the signed tree", tile.path()),
                ));
            }
            self.keep(tile.level, tile.index, &hashes);
            above = Some(hashes);
        }
        above.ok_or_else(|| LogError::new(LogReason::Root, "the tree has no edge"))
    }

    fn known(&self, level: u8, index: u64) -> Option<Hashes> {
        let tile = tile_at(level, index, self.size)?;
        if tile.is_full() {
            let full = self.full.lock().unwrap_or_else(PoisonError::into_inner);
            return full.get(&(level, index)).cloned();
        }
        self.edge.get(usize::from(level)).cloned().flatten()
    }

    fn keep(&self, level: u8, index: u64, hashes: &Hashes) {
        let mut full = self.full.lock().unwrap_or_else(PoisonError::into_inner);
        if full.len() >= CACHED_TILES {
            full.retain(|(level, _), _| *level > 0);
        }
        if full.len() >= CACHED_TILES {
            full.clear();
        }
        full.insert((level, index), Arc::clone(hashes));
    }
}

impl<S: LogStore + ?Sized> HashSource for TileReader<'_, S> {
    type Error = LogError;

    fn subtree(&self, level: u8, index: u64) -> Result<Hash, LogError> {
        let refuse = || {
            LogError::new(
                LogReason::Missing,
                format!(
                    "a log of {} entries has no subtree {index} of 2^{level} leaves",
                    self.size
                ),
            )
        };
        let complete = self.size.checked_shr(u32::from(level)).unwrap_or(0);
        if index >= complete {
            return Err(refuse());
        }
        let (tile_level, height) = (level / BITS, level % BITS);
        let first = index << height;
        let tile = self.hashes(tile_level, first / u64::from(TILE_WIDTH))?;
        let place = usize::try_from(first % u64::from(TILE_WIDTH)).map_err(|_| refuse())?;
        let leaves = tile
            .get(place..)
            .and_then(|rest| rest.get(..1 << height))
            .ok_or_else(refuse)?;
        Ok(root_of(leaves))
    }
}

/// The hashes of one tile, unchecked. A partial tile may be gone once the full one is there.
fn fetch<S: LogStore + ?Sized>(store: &S, tile: Tile) -> Result<Vec<Hash>, LogError> {
    let found = |tile: Tile| -> Result<Option<Vec<Hash>>, LogError> {
        store
            .get(&Resource::Tile(tile))?
            .map(|bytes| tile_hashes(&bytes, tile.width))
            .transpose()
            .map_err(|error| error.within(&tile.path()))
    };
    if let Some(hashes) = found(tile)? {
        return Ok(hashes);
    }
    let full = Tile {
        width: TILE_WIDTH,
        ..tile
    };
    if !tile.is_full()
        && let Some(mut hashes) = found(full)?
    {
        hashes.truncate(usize::from(tile.width));
        return Ok(hashes);
    }
    Err(LogError::new(
        LogReason::Missing,
        format!("{} is not there", tile.path()),
    ))
}
