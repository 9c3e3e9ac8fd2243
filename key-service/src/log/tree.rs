//! Proofs about the epoch that goes on: from the right edge of its tree in memory, and where that is not enough from
//! the stored tiles.

use std::sync::Arc;

use narthex_ledger::{
    Frontier, Hash, HashSource, LogError, LogReason, prove_consistency, prove_inclusion,
    verify_consistency,
};

use super::views::Views;
use crate::storage::{Epoch, SharedTree, StoreError, Tree};

/// The tree, for those who prove something about it.
pub(crate) struct Proofs {
    shared: SharedTree,
    views: Arc<Views>,
    epoch: Epoch,
}

impl Proofs {
    pub(crate) fn new(shared: SharedTree, views: Arc<Views>, epoch: Epoch) -> Self {
        Self {
            shared,
            views,
            epoch,
        }
    }

    /// Proves that entry `index` is in the tree of `size` entries, which are durable.
    ///
    /// # Errors
    ///
    /// `log.inclusion` when there is no such entry; `log.unavailable` with what the database says.
    pub(crate) fn inclusion(&self, index: u64, size: u64) -> Result<Vec<Hash>, LogError> {
        self.with(|source| prove_inclusion(source, index, size))
    }

    /// Proves that the tree of `new` entries with this root continues the one of `old`. The proof is checked here:
    /// whoever refuses it saw another log.
    ///
    /// # Errors
    ///
    /// `log.consistency` when the tree is not what was signed; `log.unavailable` with what the database says.
    pub(crate) fn consistency(
        &self,
        old: u64,
        new: u64,
        root: &Hash,
    ) -> Result<Vec<Hash>, LogError> {
        self.with(|source| {
            let proof = prove_consistency(source, old, new)?;
            let old_root = Frontier::from_source(source, old)?.root();
            verify_consistency(old, &old_root, new, root, &proof)?;
            Ok(proof)
        })
    }

    fn with<T>(
        &self,
        work: impl FnOnce(&Source<'_>) -> Result<T, LogError>,
    ) -> Result<T, LogError> {
        self.shared
            .with(self.epoch.number, |tree| {
                let (views, epoch) = (&*self.views, &self.epoch);
                work(&Source { tree, views, epoch })
            })
            .unwrap_or_else(|| {
                let words = "the tree in memory is of another epoch";
                Err(LogError::new(LogReason::Unavailable, words))
            })
    }
}

/// Memory first, then the database.
struct Source<'a> {
    tree: &'a Tree,
    views: &'a Views,
    epoch: &'a Epoch,
}

impl HashSource for Source<'_> {
    type Error = LogError;

    fn subtree(&self, level: u8, index: u64) -> Result<Hash, LogError> {
        if let Ok(hash) = self.tree.subtree(level, index) {
            return Ok(hash);
        }
        self.views
            .with(|view| view.with_tree(self.epoch, |stored| stored.subtree(level, index)))
            .map_err(|error| unavailable(&error))
    }
}

/// Storage's words as the log's.
pub(super) fn unavailable(error: &StoreError) -> LogError {
    LogError::new(LogReason::Unavailable, error.to_string())
}
