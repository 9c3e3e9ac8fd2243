//! The right edge of a growing tree: all that is needed to append to it.

use super::level_of;
use super::prove::HashSource;
use crate::error::{LogError, LogReason};
use crate::hash::{Hash, empty_root, node_hash};

/// The full subtrees that make up a tree, largest first: one for each bit of its size.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Frontier {
    size: u64,
    subtrees: Vec<Hash>,
}

impl Frontier {
    /// The tree without entries.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            size: 0,
            subtrees: Vec::new(),
        }
    }

    /// Takes up a tree of `size` entries from the hashes of its full subtrees, largest first.
    ///
    /// # Errors
    ///
    /// `log.malformed` unless there is one hash for each bit that is set in `size`.
    pub fn from_parts(size: u64, subtrees: Vec<Hash>) -> Result<Self, LogError> {
        if u32::try_from(subtrees.len()) != Ok(size.count_ones()) {
            return Err(LogError::malformed(format!(
                "a tree of {size} entries has {} full subtrees, not {}",
                size.count_ones(),
                subtrees.len()
            )));
        }
        Ok(Self { size, subtrees })
    }

    /// Takes up a tree of `size` entries from wherever its hashes are kept: tiles, a database.
    ///
    /// # Errors
    ///
    /// What `source` fails with.
    pub fn from_source<S: HashSource + ?Sized>(source: &S, size: u64) -> Result<Self, S::Error> {
        let mut subtrees = Vec::new();
        for (level, index) in full_subtrees(0, size) {
            subtrees.push(source.subtree(level, index)?);
        }
        Ok(Self { size, subtrees })
    }

    /// Appends the hash of a leaf.
    ///
    /// # Errors
    ///
    /// `log.malformed` if the tree is as large as trees get.
    pub fn append(&mut self, leaf: Hash) -> Result<(), LogError> {
        if self.size >= crate::checkpoint::MAX_SIZE {
            return Err(LogError::new(LogReason::Malformed, "the tree is full"));
        }
        self.push(leaf);
        Ok(())
    }

    fn push(&mut self, leaf: Hash) {
        let mut hash = leaf;
        // Each trailing one bit is a full subtree of the same height as `hash`.
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.subtrees.pop() {
                hash = node_hash(&left, &hash);
            }
        }
        self.subtrees.push(hash);
        self.size = self.size.saturating_add(1);
    }

    /// The root of the tree as it is now.
    #[must_use]
    pub fn root(&self) -> Hash {
        join(&self.subtrees).unwrap_or_else(empty_root)
    }

    /// How many entries.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The hashes of the full subtrees, largest first.
    #[must_use]
    pub fn subtrees(&self) -> &[Hash] {
        &self.subtrees
    }
}

/// The root of a tree whose leaves have these hashes: of a full tile, the hash one level up.
#[must_use]
pub fn root_of(leaves: &[Hash]) -> Hash {
    let mut frontier = Frontier::new();
    for leaf in leaves {
        frontier.push(*leaf);
    }
    frontier.root()
}

/// Joins neighbouring subtrees, largest first, into one hash.
pub(super) fn join(subtrees: &[Hash]) -> Option<Hash> {
    let mut rest = subtrees.iter().rev();
    let last = *rest.next()?;
    Some(rest.fold(last, |right, left| node_hash(left, &right)))
}

/// The full subtrees that cover `begin..end`, largest first, as level and index in that level.
/// `begin` is a multiple of the largest power of two that is not above the length.
pub(super) fn full_subtrees(begin: u64, end: u64) -> impl Iterator<Item = (u8, u64)> {
    let mut at = begin;
    core::iter::from_fn(move || {
        let left = end.checked_sub(at).filter(|left| *left > 0)?;
        let level = level_of(left);
        let index = at >> level;
        at = at.saturating_add(1 << level);
        Some((level, index))
    })
}
