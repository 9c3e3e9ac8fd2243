//! Tiles and the other resources of a log (C2SP tlog-tiles), and their paths.

mod builder;
mod entries;
mod path;
mod reader;

pub use builder::{TileBuilder, tile_hashes};
pub use entries::{MAX_ENTRY, encode_entries, parse_entries};
pub use path::{MAX_PATH, Resource};
pub use reader::TileReader;

/// How many hashes a full tile has, and entries a full bundle.
pub const TILE_WIDTH: u16 = 256;
/// The highest level that a tree of 2^63 entries has tiles of.
pub const MAX_LEVEL: u8 = 7;
/// Entries below one hash of a tile rise by this many bits with each level.
const BITS: u8 = 8;

/// A tile: up to 256 neighbouring hashes of one level. Serves as its name; the bytes are apart.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Tile {
    /// 0 for hashes of leaves; each level above has one hash for each full tile below.
    pub level: u8,
    /// Which tile of that level, from the left.
    pub index: u64,
    /// How many hashes, 1 to 256.
    pub width: u16,
}

impl Tile {
    /// How many bytes the tile has.
    #[must_use]
    pub fn length(&self) -> usize {
        usize::from(self.width) * crate::hash::Hash::LENGTH
    }

    /// Whether it has all its 256 hashes and will never change.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.width == TILE_WIDTH
    }

    /// The path, as in [`Resource::path`].
    #[must_use]
    pub fn path(&self) -> String {
        Resource::Tile(*self).path()
    }
}

/// How many hashes the tiles of `level` have together in a tree of `size` entries.
fn hashes_at(level: u8, size: u64) -> u64 {
    size.checked_shr(u32::from(level) * u32::from(BITS))
        .unwrap_or(0)
}

/// The tile `index` of `level` in a tree of `size` entries, as wide as it is there.
#[must_use]
pub fn tile_at(level: u8, index: u64, size: u64) -> Option<Tile> {
    let begin = index.checked_mul(u64::from(TILE_WIDTH))?;
    let left = hashes_at(level, size).checked_sub(begin)?;
    let width = u16::try_from(left.min(u64::from(TILE_WIDTH))).ok()?;
    (width > 0 && level <= MAX_LEVEL).then_some(Tile {
        level,
        index,
        width,
    })
}

/// The tiles that appear or grow when a tree grows from `old_size` to `new_size` entries, level
/// by level. An iterator, because `new_size` may be what a stranger claims.
pub fn tiles_of(old_size: u64, new_size: u64) -> impl Iterator<Item = Tile> + Clone {
    (0..=MAX_LEVEL).flat_map(move |level| {
        let (old, new) = (hashes_at(level, old_size), hashes_at(level, new_size));
        let first = old / u64::from(TILE_WIDTH);
        let end = if new > old {
            new.div_ceil(u64::from(TILE_WIDTH))
        } else {
            first
        };
        (first..end).filter_map(move |index| tile_at(level, index, new_size))
    })
}

/// The bundles of entries that appear or grow when a tree grows, as index and width.
pub fn bundles_of(old_size: u64, new_size: u64) -> impl Iterator<Item = (u64, u16)> + Clone {
    tiles_of(old_size, new_size)
        .take_while(|tile| tile.level == 0)
        .map(|tile| (tile.index, tile.width))
}
