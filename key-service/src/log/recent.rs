//! The right edge of the tree, in memory: what almost every proof is made of.
//!
//! An entry is proved moments after it was appended, so its proof needs the newest hashes of each level and little
//! else. Keeping those costs four megabytes and saves each answer a dozen reads of the database. What is not
//! kept any more is read from the tiles.

use std::collections::VecDeque;

use narthex_ledger::{Hash, node_hash};

/// Hashes of leaves that are kept, and half as many of each further level: proofs of the newest this many entries need
/// nothing else but the tree's left part.
const KEPT: usize = 1 << 16;
/// Levels of the largest tree.
const LEVELS: usize = 64;

/// The newest hashes of full subtrees, level by level.
pub(super) struct Recent {
    size: u64,
    levels: Vec<Level>,
}

/// Neighbouring full subtrees of one height.
#[derive(Default)]
struct Level {
    /// Index of the first that is kept.
    first: u64,
    hashes: VecDeque<Hash>,
}

impl Level {
    fn next_index(&self) -> u64 {
        self.first + self.hashes.len() as u64
    }

    fn get(&self, index: u64) -> Option<Hash> {
        let offset = usize::try_from(index.checked_sub(self.first)?).ok()?;
        self.hashes.get(offset).copied()
    }

    fn push(&mut self, hash: Hash, most: usize) {
        self.hashes.push_back(hash);
        if self.hashes.len() > most {
            self.hashes.pop_front();
            self.first += 1;
        }
    }
}

impl Recent {
    /// Takes up a tree of `size` entries; `subtree` gives the hashes at its right edge.
    pub(super) fn take_up<E>(
        size: u64,
        mut subtree: impl FnMut(u8, u64) -> Result<Hash, E>,
    ) -> Result<Self, E> {
        let mut levels: Vec<Level> = Vec::new();
        levels.resize_with(LEVELS, Level::default);
        for (level, kept) in (0_u8..).zip(levels.iter_mut()) {
            let count = size.checked_shr(level.into()).unwrap_or(0);
            // The one full subtree of this height that still waits for its right neighbour.
            if count % 2 == 1 {
                kept.first = count - 1;
                kept.hashes.push_back(subtree(level, count - 1)?);
            } else {
                kept.first = count;
            }
        }
        Ok(Self { size, levels })
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Appends the hash of a leaf.
    pub(super) fn append(&mut self, leaf: Hash) {
        let mut hash = leaf;
        for (height, level) in (0_u32..).zip(&mut self.levels) {
            let index = level.next_index();
            level.push(hash, KEPT.checked_shr(height).unwrap_or(0) + 2);
            if index % 2 == 0 {
                break;
            }
            // A right one: it and its left neighbour make one of the next height.
            let Some(left) = level.get(index - 1) else {
                break;
            };
            hash = node_hash(&left, &hash);
        }
        self.size += 1;
    }

    /// The hash of a full subtree, if it is kept.
    pub(super) fn get(&self, level: u8, index: u64) -> Option<Hash> {
        self.levels.get(usize::from(level))?.get(index)
    }
}

#[cfg(test)]
mod tests {
    use narthex_ledger::{
        Frontier, HashSource, LogError, leaf_hash, prove_inclusion, verify_inclusion,
    };

    use super::*;

    fn leaf(index: u64) -> Hash {
        leaf_hash(&index.to_be_bytes())
    }

    struct Source<'a>(&'a Recent);

    impl HashSource for Source<'_> {
        type Error = LogError;

        fn subtree(&self, level: u8, index: u64) -> Result<Hash, LogError> {
            Ok(self.0.get(level, index).unwrap())
        }
    }

    fn grown(size: u64) -> (Recent, Frontier) {
        let mut recent = Recent::take_up(0, |_, _| Err(())).ok().unwrap();
        let mut frontier = Frontier::new();
        for index in 0..size {
            recent.append(leaf(index));
            frontier.append(leaf(index)).unwrap();
        }
        (recent, frontier)
    }

    #[test]
    fn every_entry_of_every_small_tree_is_proved() {
        for size in 1..70 {
            let (recent, frontier) = grown(size);
            for index in 0..size {
                let proof = prove_inclusion(&Source(&recent), index, size).unwrap();
                verify_inclusion(index, size, &leaf(index), &proof, &frontier.root()).unwrap();
            }
        }
    }

    #[test]
    fn a_tree_is_taken_up_where_it_was_left() {
        for size in [1, 2, 3, 7, 8, 255, 256, 1000] {
            let (whole, _) = grown(size);
            let mut again =
                Recent::take_up(size, |level, index| whole.get(level, index).ok_or(())).unwrap();
            let (reference, frontier) = grown(size + 300);
            for index in size..size + 300 {
                again.append(leaf(index));
            }
            assert_eq!(again.size(), reference.size());
            for index in size..size + 300 {
                let proof = prove_inclusion(&Fallback(&again, &whole), index, size + 300).unwrap();
                verify_inclusion(index, size + 300, &leaf(index), &proof, &frontier.root())
                    .unwrap();
            }
        }
    }

    /// What was appended before comes from elsewhere.
    struct Fallback<'a>(&'a Recent, &'a Recent);

    impl HashSource for Fallback<'_> {
        type Error = LogError;

        fn subtree(&self, level: u8, index: u64) -> Result<Hash, LogError> {
            Ok(self
                .0
                .get(level, index)
                .or_else(|| self.1.get(level, index))
                .unwrap())
        }
    }

    #[test]
    fn memory_is_bounded() {
        let (recent, _) = grown(200_000);
        let kept: usize = recent.levels.iter().map(|level| level.hashes.len()).sum();
        assert!(kept <= 2 * KEPT + 2 * LEVELS, "{kept}");
        assert!(recent.get(0, 200_000 - KEPT as u64).is_some());
        assert!(recent.get(0, 0).is_none());
    }
}
