//! The right edge of the log's tree, in memory: enough of it to append, to sign a checkpoint and to prove what was
//! logged lately without a look at the disk.
//!
//! Hashes are kept by height: at height h, number n is the hash of entries n·2^h to (n+1)·2^h − 1. Only complete
//! subtrees have one; they never change. Older ones are forgotten, and read from the tiles when somebody asks.

use std::collections::VecDeque;

use narthex_ledger::{Hash, HashSource, LogError, LogReason, empty_root, node_hash};

/// Entries before the end whose hashes are kept at least: proofs for these need no disk.
const KEPT_ENTRIES: u64 = 8192;
/// Hashes that are kept at every height at least: a whole tile and a bit.
const KEPT_HASHES: u64 = 320;
/// Heights from one row of tiles to the next.
pub(crate) const TILE_HEIGHT: u32 = 8;
/// Hashes in a full tile.
pub(crate) const TILE_WIDTH: u64 = 1 << TILE_HEIGHT;

/// The right edge of a tree.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    size: u64,
    heights: Vec<Height>,
}

/// The latest hashes of one height.
#[derive(Clone, Debug, Default)]
struct Height {
    /// Number of the first one that is kept.
    first: u64,
    hashes: VecDeque<Hash>,
}

impl Height {
    fn end(&self) -> u64 {
        self.first + self.hashes.len() as u64
    }

    fn get(&self, number: u64) -> Option<&Hash> {
        let place = number.checked_sub(self.first)?;
        self.hashes.get(usize::try_from(place).ok()?)
    }
}

impl Tree {
    /// A tree without entries.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many entries there are.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends the hash of the next entry's leaf.
    pub fn append(&mut self, leaf: Hash) {
        let mut hash = leaf;
        let mut number = self.size;
        self.size += 1;
        for height in 0.. {
            if self.heights.len() == height {
                self.heights.push(Height::default());
            }
            let Some(row) = self.heights.get_mut(height) else {
                return;
            };
            row.hashes.push_back(hash);
            // The right child of a pair completes its parent; the left one is always kept.
            let (1, Some(left)) = (number % 2, row.get(number - number % 2).copied()) else {
                return;
            };
            hash = node_hash(&left, &hash);
            number /= 2;
        }
    }

    /// Forgets every entry from `size` on; nothing that was pruned comes back.
    pub(crate) fn truncate(&mut self, size: u64) {
        self.size = self.size.min(size);
        for (height, row) in self.heights.iter_mut().enumerate() {
            let end = u32::try_from(height)
                .ok()
                .and_then(|height| self.size.checked_shr(height))
                .unwrap_or(0);
            while row.end() > end && row.hashes.pop_back().is_some() {}
        }
    }

    /// Forgets what is too old to be kept. Not inside a group that may still be taken back.
    pub(crate) fn prune(&mut self) {
        let mut wanted = KEPT_ENTRIES;
        for row in &mut self.heights {
            let wanted_here = usize::try_from(wanted.max(KEPT_HASHES)).unwrap_or(usize::MAX);
            // In steps, so that most calls have nothing to do.
            if row.hashes.len() > wanted_here * 2 {
                let extra = row.hashes.len() - wanted_here;
                row.hashes.drain(..extra);
                row.first += extra as u64;
            }
            wanted /= 2;
        }
    }

    /// The root over all entries.
    #[must_use]
    pub fn root(&self) -> Hash {
        let mut root: Option<Hash> = None;
        for (height, row) in self.heights.iter().enumerate() {
            let Some(bit) = u32::try_from(height)
                .ok()
                .and_then(|height| self.size.checked_shr(height))
            else {
                break;
            };
            // A subtree that stands alone is the last of its height.
            if bit % 2 == 1
                && let Some(peak) = row.hashes.back()
            {
                root = Some(root.map_or(*peak, |right| node_hash(peak, &right)));
            }
        }
        root.unwrap_or_else(empty_root)
    }

    /// Hashes `from` to `until` (without) of a height, if all are kept.
    pub(crate) fn hashes(&self, height: u32, from: u64, until: u64) -> Option<Vec<Hash>> {
        let row = self.heights.get(usize::try_from(height).ok()?)?;
        (from..until)
            .map(|number| row.get(number).copied())
            .collect()
    }
}

impl HashSource for Tree {
    type Error = LogError;

    /// `log.missing` when it is too old to be in memory, or not complete yet.
    fn subtree(&self, level: u8, index: u64) -> Result<Hash, LogError> {
        self.heights
            .get(usize::from(level))
            .and_then(|row| row.get(index))
            .copied()
            .ok_or_else(|| {
                let words = format!("hash {index} of height {level} is not in memory");
                LogError::new(LogReason::Missing, words)
            })
    }
}

/// A tile to be written: level, position, and the range of hashes in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DueTile {
    pub(crate) level: u32,
    pub(crate) position: u64,
    pub(crate) from: u64,
    pub(crate) until: u64,
}

/// The rows of the table of tiles that change when a tree grows from `before` to `after` entries.
///
/// On level 0 only full tiles are rows: what is on their right stands in the entries. Above, where a tile
/// grows once in 256 entries, a row is written whenever it does.
pub(crate) fn due_tiles(before: u64, after: u64) -> Vec<DueTile> {
    let mut due = Vec::new();
    for level in 0.. {
        let shift = level * TILE_HEIGHT;
        let hashes_of = |size: u64| size.checked_shr(shift).unwrap_or(0);
        let (had, has) = (hashes_of(before), hashes_of(after));
        if had == has {
            break;
        }
        let first = had / TILE_WIDTH;
        for position in first..has.div_ceil(TILE_WIDTH) {
            let from = position * TILE_WIDTH;
            let until = has.min(from + TILE_WIDTH);
            if level > 0 || until == from + TILE_WIDTH {
                due.push(DueTile {
                    level,
                    position,
                    from,
                    until,
                });
            }
        }
    }
    due
}

#[cfg(test)]
mod tests {
    use super::*;
    use narthex_ledger::{leaf_hash, prove_consistency, prove_inclusion, verify_inclusion};

    fn leaf(number: u64) -> Hash {
        leaf_hash(&number.to_be_bytes())
    }

    /// RFC 6962, section 2.1, word for word.
    fn expected_root(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => empty_root(),
            [one] => *one,
            many => {
                let half = many.len().next_power_of_two() / 2;
                node_hash(&expected_root(&many[..half]), &expected_root(&many[half..]))
            }
        }
    }

    #[test]
    fn roots_are_those_of_the_standard() {
        let leaves: Vec<_> = (0..600).map(leaf).collect();
        let mut tree = Tree::new();
        for (size, hash) in leaves.iter().enumerate() {
            assert_eq!(tree.root(), expected_root(&leaves[..size]), "{size}");
            tree.append(*hash);
        }
    }

    #[test]
    fn what_was_taken_back_leaves_no_trace() {
        let mut tree = Tree::new();
        for number in 0..1000 {
            tree.append(leaf(number));
        }
        let before = (tree.root(), tree.size());
        for number in 0..300 {
            tree.append(leaf(90_000 + number));
        }
        tree.truncate(1000);
        assert_eq!((tree.root(), tree.size()), before);
        for number in 1000..1100 {
            tree.append(leaf(number));
        }
        let mut other = Tree::new();
        for number in 0..1100 {
            other.append(leaf(number));
        }
        assert_eq!(tree.root(), other.root());
    }

    #[test]
    fn late_entries_are_proved_from_memory_after_pruning() {
        let mut tree = Tree::new();
        for number in 0..60_000 {
            tree.append(leaf(number));
            if number % 100 == 0 {
                tree.prune();
            }
        }
        let size = tree.size();
        for index in [
            size - 1,
            size - 2,
            size - 257,
            size - 4096,
            size - KEPT_ENTRIES,
        ] {
            let proof = prove_inclusion(&tree, index, size).unwrap();
            verify_inclusion(index, size, &leaf(index), &proof, &tree.root()).unwrap();
        }
        prove_consistency(&tree, size - 5000, size).unwrap();
        assert!(prove_inclusion(&tree, 3, size).is_err(), "too old");
    }

    #[test]
    fn every_tile_becomes_due_once_it_grows() {
        assert!(due_tiles(0, 255).is_empty());
        let place = |tile: &DueTile| (tile.level, tile.position, tile.from, tile.until);
        let places =
            |before, after| -> Vec<_> { due_tiles(before, after).iter().map(place).collect() };
        assert_eq!(places(255, 256), [(0, 0, 0, 256), (1, 0, 0, 1)]);
        assert_eq!(places(256, 300), []);
        assert_eq!(
            places(300, 800),
            [(0, 1, 256, 512), (0, 2, 512, 768), (1, 0, 0, 3)]
        );
        assert_eq!(
            places(65_535, 65_536 + 256),
            [
                (0, 255, 65_280, 65_536),
                (0, 256, 65_536, 65_792),
                (1, 0, 0, 256),
                (1, 1, 256, 257),
                (2, 0, 0, 1)
            ]
        );
    }
}
