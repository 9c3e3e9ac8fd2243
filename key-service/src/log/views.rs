//! Looking at the log beside the writer: a few connections that change nothing, lent to whoever reads.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::{
    config::StorageConfig,
    storage::{Epoch, LogView, StoreError},
};

/// Connections that are kept open: one for each reader that the HTTP server lets read at once. More are opened while
/// more read.
const KEPT: usize = 16;

/// The connections.
pub(crate) struct Views {
    config: StorageConfig,
    /// Oldest first; the last one goes on. None is added while the service runs.
    epochs: Vec<Epoch>,
    idle: Mutex<Vec<LogView>>,
}

impl Views {
    /// Opens the first one.
    ///
    /// # Errors
    ///
    /// What SQLite says.
    pub(crate) fn open(config: &StorageConfig, epochs: Vec<Epoch>) -> Result<Self, StoreError> {
        let first = LogView::open(config)?;
        Ok(Self {
            config: config.clone(),
            epochs,
            idle: Mutex::new(vec![first]),
        })
    }

    /// Lends a connection to `work`. Blocks.
    ///
    /// # Errors
    ///
    /// What `work` or SQLite says.
    pub(crate) fn with<T>(
        &self,
        work: impl FnOnce(&LogView) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let idle = self.lock().pop();
        let view = match idle {
            Some(view) => view,
            None => LogView::open(&self.config)?,
        };
        let result = work(&view);
        // One that failed may be broken; the next reader gets a new one.
        if result.is_ok() {
            let mut idle = self.lock();
            if idle.len() < KEPT {
                idle.push(view);
            }
        }
        result
    }

    /// An epoch by its number.
    pub(crate) fn epoch(&self, number: u32) -> Option<&Epoch> {
        self.epochs.get(usize::try_from(number).ok()?)
    }

    /// The epoch that goes on.
    pub(crate) fn newest_epoch(&self) -> Option<&Epoch> {
        self.epochs.last()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<LogView>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
