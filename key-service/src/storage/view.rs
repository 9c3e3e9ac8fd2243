//! Looking at the log without writing: for readers, for proofs of what is long past, for other threads.

use std::sync::{Mutex, MutexGuard, PoisonError};

use narthex_ledger::{Entry, EvidenceDigest, Hash, HashSource, leaf_hash};
use rusqlite::Connection;

use super::{
    checkpoint::{self, CheckpointKind, StoredCheckpoint},
    database::connect_initialised,
    entry,
    epoch::{self, Epoch},
    error::StoreError,
    evidence,
    mark::Mark,
    record::Recorded,
    tile::{self, StoredTree},
};
use crate::config::StorageConfig;

/// A connection of its own, which changes nothing. Calls block; one at a time.
///
/// Nothing that comes out of it is checked against the tree: whoever gets it can do that, and must. The service
/// itself decides by the writer's memory.
pub struct LogView {
    connection: Mutex<Connection>,
}

impl LogView {
    /// Opens the database beside the writer.
    ///
    /// # Errors
    ///
    /// As when it is opened for writing.
    pub fn open(config: &StorageConfig) -> Result<Self, StoreError> {
        let connection = connect_initialised(&config.database, config.max_mebibytes)?;
        connection.pragma_update(None, "query_only", "ON")?;
        Ok(Self {
            connection: Mutex::new(connection),
        })
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        // A panic while reading leaves nothing half done.
        self.connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Every epoch, oldest first; the last one goes on.
    ///
    /// # Errors
    ///
    /// What SQLite says.
    pub fn epochs(&self) -> Result<Vec<Epoch>, StoreError> {
        epoch::all(&self.connection())
    }

    /// The newest checkpoint of a kind, with a signature of its epoch's log that holds.
    ///
    /// # Errors
    ///
    /// [`StoreError::Altered`] when there is no such signature; what SQLite says.
    pub fn checkpoint(&self, kind: CheckpointKind) -> Result<Option<StoredCheckpoint>, StoreError> {
        let connection = self.connection();
        checkpoint::find(&connection, &epoch::all(&connection)?, kind)
    }

    /// Leaves `from` to `until` (without) of an epoch, as many as there are.
    ///
    /// # Errors
    ///
    /// [`StoreError::Altered`] when a row makes no sense; what SQLite says.
    pub fn leaves(&self, epoch: &Epoch, from: u64, until: u64) -> Result<Vec<Vec<u8>>, StoreError> {
        let first = epoch.first_sequence;
        let mut leaves = Vec::new();
        entry::for_each(
            &self.connection(),
            first.saturating_add(from),
            first.saturating_add(until),
            |stored| {
                if stored.epoch == epoch.number {
                    leaves.push(stored.leaf);
                }
                Ok(())
            },
        )?;
        Ok(leaves)
    }

    /// Hashes `from` to `until` (without) of a tile level, all in one tile; `None` when there are fewer.
    ///
    /// # Errors
    ///
    /// [`StoreError::Altered`] when a row makes no sense; what SQLite says.
    pub fn hashes(
        &self,
        epoch: &Epoch,
        level: u8,
        from: u64,
        until: u64,
    ) -> Result<Option<Vec<Hash>>, StoreError> {
        tile::hashes(&self.connection(), epoch, level.into(), from, until)
    }

    /// Evidence, as it is stored: its salt, then its body. `None` when it was never here, or was purged.
    ///
    /// # Errors
    ///
    /// What SQLite says.
    pub fn evidence(&self, digest: &EvidenceDigest) -> Result<Option<Vec<u8>>, StoreError> {
        evidence::find(&self.connection(), digest)
    }

    /// The entry that made a mark.
    ///
    /// # Errors
    ///
    /// [`StoreError::Altered`] when it is not one; what SQLite says.
    pub fn entry_of(&self, mark: Mark) -> Result<Option<Recorded>, StoreError> {
        let connection = self.connection();
        entry::find_mark(&connection, mark)?
            .map(|sequence| read_recorded(&connection, &epoch::all(&connection)?, sequence))
            .transpose()
    }

    /// Makes a proof from the tree of an epoch as it is stored.
    pub fn with_tree<T>(
        &self,
        epoch: &Epoch,
        work: impl FnOnce(&dyn HashSource<Error = StoreError>) -> T,
    ) -> T {
        work(&StoredTree {
            connection: &self.connection(),
            epoch,
        })
    }
}

/// Reads an entry back; the caller decides what to compare its hash with.
pub(crate) fn read_recorded(
    connection: &Connection,
    epochs: &[Epoch],
    sequence: u64,
) -> Result<Recorded, StoreError> {
    let wrong = || entry::altered(sequence);
    let stored = entry::find(connection, sequence)?.ok_or_else(wrong)?;
    let epoch = usize::try_from(stored.epoch)
        .ok()
        .and_then(|number| epochs.get(number))
        .ok_or_else(wrong)?;
    let index = sequence
        .checked_sub(epoch.first_sequence)
        .ok_or_else(wrong)?;
    if leaf_hash(&stored.leaf) != stored.hash {
        return Err(wrong());
    }
    let entry = Entry::from_leaf(&stored.leaf).map_err(|_| wrong())?;
    let salt = entry
        .evidence()
        .first()
        .map(|digest| evidence::find(connection, digest))
        .transpose()?
        .flatten()
        .and_then(|bytes| bytes.first_chunk::<32>().copied())
        .map(narthex_ledger::Salt);
    Ok(Recorded {
        sequence,
        epoch: stored.epoch,
        index,
        entry,
        leaf: stored.leaf,
        hash: stored.hash,
        salt,
    })
}
