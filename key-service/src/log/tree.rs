//! Proofs about the epoch that is being written to, from its newest hashes in memory and its tiles in the database.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use narthex_ledger::{
    Frontier, Hash, HashSource, LogError, LogReason, LogStore, Resource, TILE_WIDTH, Tile,
    prove_consistency, prove_inclusion, root_of, verify_consistency,
};

use super::recent::Recent;

/// Levels of the tree that one level of tiles spans.
const TILE_HEIGHT: u8 = 8;

/// The tree, for those who prove something about it.
pub(super) struct Tree {
    store: Arc<dyn LogStore>,
    recent: Mutex<Option<Recent>>,
}

impl Tree {
    /// The tree whose tiles are in `store`.
    pub(super) fn new(store: Arc<dyn LogStore>) -> Self {
        Self {
            store,
            recent: Mutex::new(None),
        }
    }

    /// Proves that entry `index` is in the tree of `size` entries, which are durable.
    ///
    /// # Errors
    ///
    /// `log.inclusion` when there is no such entry; what the database says.
    pub(super) fn prove_inclusion(&self, index: u64, size: u64) -> Result<Vec<Hash>, LogError> {
        self.with(size, |view| prove_inclusion(view, index, size))
    }

    /// Proves that the tree of `new` entries with this root continues the one of `old`. The proof is checked here:
    /// whoever refuses it saw another log.
    ///
    /// # Errors
    ///
    /// `log.consistency` when the tree is not what was signed; what the database says.
    pub(super) fn prove_consistency(
        &self,
        old: u64,
        new: u64,
        root: &Hash,
    ) -> Result<Vec<Hash>, LogError> {
        self.with(new, |view| {
            let proof = prove_consistency(view, old, new)?;
            let old_root = Frontier::from_source(view, old)?.root();
            verify_consistency(old, &old_root, new, root, &proof)?;
            Ok(proof)
        })
    }

    fn with<T>(
        &self,
        size: u64,
        work: impl FnOnce(&View<'_>) -> Result<T, LogError>,
    ) -> Result<T, LogError> {
        let mut recent: MutexGuard<'_, Option<Recent>> =
            self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let tiles = Tiles(self.store.as_ref());
        let taken_up = match recent.take() {
            Some(recent) => recent,
            None => Recent::take_up(size, |level, index| tiles.subtree(level, index))?,
        };
        let recent = recent.insert(taken_up);
        while recent.size() < size {
            for leaf in tiles.leaves(recent.size(), size)? {
                recent.append(leaf);
            }
        }
        work(&View { recent, tiles })
    }
}

/// Memory first, then the database.
struct View<'a> {
    recent: &'a Recent,
    tiles: Tiles<'a>,
}

impl HashSource for View<'_> {
    type Error = LogError;

    fn subtree(&self, level: u8, index: u64) -> Result<Hash, LogError> {
        match self.recent.get(level, index) {
            Some(hash) => Ok(hash),
            None => self.tiles.subtree(level, index),
        }
    }
}

/// The tiles of our own database. They were checked when it was opened, and everything proved with them is checked by
/// others.
struct Tiles<'a>(&'a dyn LogStore);

impl Tiles<'_> {
    fn subtree(&self, level: u8, index: u64) -> Result<Hash, LogError> {
        let height = level % TILE_HEIGHT;
        let count = 1_u64 << height;
        let first = index
            .checked_mul(count)
            .ok_or_else(|| missing("a tile beyond any tree"))?;
        let hashes = self.range(level / TILE_HEIGHT, first, first + count)?;
        Ok(root_of(&hashes))
    }

    /// The leaves from `from` on, up to the end of their tile or to `to`.
    fn leaves(&self, from: u64, to: u64) -> Result<Vec<Hash>, LogError> {
        let width = u64::from(TILE_WIDTH);
        let end = (from / width + 1).saturating_mul(width).min(to);
        self.range(0, from, end)
    }

    /// Neighbouring hashes of one tile.
    fn range(&self, level: u8, from: u64, to: u64) -> Result<Vec<Hash>, LogError> {
        let tile_width = u64::from(TILE_WIDTH);
        let (index, offset) = (from / tile_width, from % tile_width);
        let end = offset + to.saturating_sub(from);
        let tile = Tile {
            level,
            index,
            width: u16::try_from(end).map_err(|_| missing("a range over several tiles"))?,
        };
        let bytes = self
            .0
            .get(&Resource::Tile(tile))?
            .ok_or_else(|| missing(&tile.path()))?;
        let skipped = usize::try_from(offset).unwrap_or(usize::MAX);
        let hashes: Vec<Hash> = bytes
            .chunks_exact(Hash::LENGTH)
            .skip(skipped)
            .filter_map(Hash::from_slice)
            .collect();
        if hashes.len() as u64 == to.saturating_sub(from) {
            Ok(hashes)
        } else {
            Err(missing(&tile.path()))
        }
    }
}

fn missing(what: &str) -> LogError {
    LogError::new(LogReason::Missing, format!("{what} is not in the database"))
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, sync::atomic::AtomicUsize, sync::atomic::Ordering};

    use narthex_ledger::{StoreError, leaf_hash, verify_inclusion};

    use super::*;

    /// All hashes of all tile levels.
    #[derive(Default)]
    struct Folder {
        levels: Mutex<BTreeMap<u8, Vec<Hash>>>,
        reads: AtomicUsize,
    }

    impl Folder {
        fn grow(&self, leaves: impl Iterator<Item = Hash>) {
            let mut levels = self.levels.lock().unwrap();
            for leaf in leaves {
                let mut hash = leaf;
                for level in 0.. {
                    let hashes = levels.entry(level).or_default();
                    hashes.push(hash);
                    if hashes.len() % 256 != 0 {
                        break;
                    }
                    hash = root_of(&hashes[hashes.len() - 256..]);
                }
            }
        }
    }

    impl LogStore for Folder {
        fn get(&self, resource: &Resource) -> Result<Option<Vec<u8>>, StoreError> {
            self.reads.fetch_add(1, Ordering::Relaxed);
            let Resource::Tile(tile) = resource else {
                return Ok(None);
            };
            let levels = self.levels.lock().unwrap();
            let hashes = &levels[&tile.level];
            let first = usize::try_from(tile.index).unwrap() * 256;
            let hashes = hashes.get(first..first + usize::from(tile.width));
            Ok(hashes.map(|hashes| hashes.iter().flat_map(|hash| hash.0).collect()))
        }
    }

    fn leaf(index: u64) -> Hash {
        leaf_hash(&index.to_be_bytes())
    }

    #[test]
    fn old_and_new_entries_are_proved_while_the_log_grows() {
        let store = Arc::new(Folder::default());
        let mut frontier = Frontier::new();
        let mut roots = BTreeMap::from([(0, frontier.root())]);
        let trees: Vec<_> = (0..3).map(|_| Tree::new(store.clone())).collect();
        let mut size = 0;
        for (round, step) in [1, 1, 1, 252, 1, 1, 700, 66_000, 3].into_iter().enumerate() {
            store.grow((size..size + step).map(leaf));
            for index in size..size + step {
                frontier.append(leaf(index)).unwrap();
            }
            size += step;
            roots.insert(size, frontier.root());
            for (number, tree) in trees.iter().enumerate() {
                // One sees every size, the others begin in the middle.
                if round < number * 3 {
                    continue;
                }
                for index in [0, size / 2, size.saturating_sub(step), size - 1] {
                    let proof = tree.prove_inclusion(index, size).unwrap();
                    verify_inclusion(index, size, &leaf(index), &proof, &frontier.root()).unwrap();
                }
                for (old, root) in &roots {
                    let proof = tree
                        .prove_consistency(*old, size, &frontier.root())
                        .unwrap();
                    verify_consistency(*old, root, size, &frontier.root(), &proof).unwrap();
                }
            }
        }
        assert_eq!(
            trees[0].prove_inclusion(size, size).unwrap_err().id(),
            "log.inclusion"
        );
        let wrong = trees[0].prove_consistency(5, size, &leaf(0)).unwrap_err();
        assert_eq!(wrong.id(), "log.consistency");
    }

    #[test]
    fn a_proof_of_a_new_entry_reads_nothing_but_the_new_leaves() {
        let store = Arc::new(Folder::default());
        store.grow((0..100_000).map(leaf));
        let tree = Tree::new(store.clone());
        tree.prove_inclusion(99_999, 100_000).unwrap();
        let begin = store.reads.load(Ordering::Relaxed);
        for size in 100_001..100_200 {
            store.grow([leaf(size - 1)].into_iter());
            tree.prove_inclusion(size - 1, size).unwrap();
        }
        let reads = store.reads.load(Ordering::Relaxed) - begin;
        assert!(reads < 199 * 4, "{reads}");
    }
}
