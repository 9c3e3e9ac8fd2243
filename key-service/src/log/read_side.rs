//! The log as readers see it: the layout of tlog-tiles, out of the database.

use std::sync::{Arc, Mutex};

use narthex_ledger::{
    EvidenceDigest, Hash, LogStore, Resource, StoreError as LogStoreError, Tile, encode_entries,
};

use super::{
    agreement::{Agreement, Agreements},
    lock,
    views::Views,
};
use crate::storage::{CheckpointKind, Epoch, LogView, Store, StoreError};

/// Entries in a full bundle, hashes in a full tile.
const WIDTH: u64 = 256;

/// What the HTTP server reads from.
pub(crate) struct ReadSide {
    views: Arc<Views>,
    agreements: Arc<Agreements>,
    store: Store,
    /// The newest agreement that is known to be in the database.
    durable: Mutex<Option<Arc<Agreement>>>,
}

impl ReadSide {
    pub(crate) fn new(views: Arc<Views>, agreements: Arc<Agreements>, store: Store) -> Self {
        Self {
            views,
            agreements,
            store,
            durable: Mutex::new(None),
        }
    }

    fn find(&self, epoch: &Epoch, resource: &Resource) -> Result<Option<Vec<u8>>, StoreError> {
        match resource {
            Resource::Checkpoint => self.checkpoint(epoch),
            Resource::Tile(tile) => self.views.with(|view| hashes(view, epoch, *tile)),
            Resource::Entries { index, width } => {
                self.views.with(|view| entries(view, epoch, *index, *width))
            }
            Resource::Evidence(digest) => self.evidence(digest),
            // There is nothing like an epoch within an epoch.
            Resource::Epoch(..) => Ok(None),
        }
    }

    /// Of a finished epoch the last one. Otherwise the newest that the witnesses agree on, as long as there is one:
    /// readers are not shown what the log says to nobody else. It is durable before a reader sees it: a log that shows
    /// less after a crash than before it looks as if it was rolled back.
    fn checkpoint(&self, epoch: &Epoch) -> Result<Option<Vec<u8>>, StoreError> {
        if let Some(end) = &epoch.end {
            return Ok(Some(end.note.clone().into_bytes()));
        }
        if let Some(agreement) = self.agreements.newest()
            && self.is_durable(epoch, &agreement)
        {
            return Ok(Some(agreement.note.to_string().into_bytes()));
        }
        self.views.with(|view| {
            let of_epoch = |kind| -> Result<_, StoreError> {
                let found = view.checkpoint(kind)?;
                Ok(found.filter(|stored| stored.epoch == epoch.number))
            };
            let stored = match of_epoch(CheckpointKind::Cosigned)? {
                Some(cosigned) => Some(cosigned),
                None => of_epoch(CheckpointKind::Signed)?,
            };
            Ok(stored.map(|stored| stored.note.to_string().into_bytes()))
        })
    }

    /// Has an agreement written to the database unless it is there. If that fails, readers get the one that is.
    fn is_durable(&self, epoch: &Epoch, agreement: &Arc<Agreement>) -> bool {
        let mut durable = lock(&self.durable);
        let size = agreement.size;
        if durable.as_ref().is_some_and(|durable| durable.size == size) {
            return true;
        }
        let (epoch, note) = (epoch.number, agreement.note.to_string());
        let written = self
            .store
            .write_blocking(move |writing| writing.store_cosigned(epoch, size, &note));
        match written {
            Ok(()) => {
                *durable = Some(Arc::clone(agreement));
                true
            }
            Err(error) => {
                tracing::warn!(id = error.id(), %error, "a cosigned checkpoint could not be stored for readers");
                false
            }
        }
    }

    fn evidence(&self, digest: &EvidenceDigest) -> Result<Option<Vec<u8>>, StoreError> {
        self.views.with(|view| view.evidence(digest))
    }
}

impl LogStore for ReadSide {
    fn get(&self, resource: &Resource) -> Result<Option<Vec<u8>>, LogStoreError> {
        let (epoch, resource) = match resource {
            Resource::Epoch(number, inner) => (self.views.epoch(*number), inner.as_ref()),
            plain => (self.views.newest_epoch(), plain),
        };
        let Some(epoch) = epoch else {
            return Ok(None);
        };
        self.find(epoch, resource)
            .map_err(|error| LogStoreError::unavailable(error.to_string()))
    }
}

fn hashes(view: &LogView, epoch: &Epoch, tile: Tile) -> Result<Option<Vec<u8>>, StoreError> {
    let Some((from, until)) = range(tile.index, tile.width) else {
        return Ok(None);
    };
    let hashes: Option<Vec<Hash>> = view.hashes(epoch, tile.level, from, until)?;
    Ok(hashes.map(|hashes| hashes.iter().flat_map(|hash| hash.0).collect()))
}

fn entries(
    view: &LogView,
    epoch: &Epoch,
    index: u64,
    width: u16,
) -> Result<Option<Vec<u8>>, StoreError> {
    let Some((from, until)) = range(index, width) else {
        return Ok(None);
    };
    let leaves = view.leaves(epoch, from, until)?;
    if leaves.len() as u64 != until - from {
        return Ok(None);
    }
    Ok(encode_entries(&leaves).ok())
}

fn range(index: u64, width: u16) -> Option<(u64, u64)> {
    let from = index.checked_mul(WIDTH)?;
    Some((from, from.checked_add(width.into())?))
}
