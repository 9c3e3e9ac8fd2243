//! Where a log is read from: a folder, a database, a server. This crate only asks.

use core::fmt;

use crate::tile::Resource;

/// A place that holds a log in the layout of [`Resource::path`]. Calls may block.
///
/// What comes out of it is not trusted: whoever reads checks it against a signed checkpoint.
pub trait LogStore: Send + Sync {
    /// The bytes of `resource`, or `None` if there is no such thing here.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if it cannot be told whether there is.
    fn get(&self, resource: &Resource) -> Result<Option<Vec<u8>>, StoreError>;
}

impl<T: LogStore + ?Sized> LogStore for &T {
    fn get(&self, resource: &Resource) -> Result<Option<Vec<u8>>, StoreError> {
        (**self).get(resource)
    }
}

impl<T: LogStore + ?Sized> LogStore for std::sync::Arc<T> {
    fn get(&self, resource: &Resource) -> Result<Option<Vec<u8>>, StoreError> {
        (**self).get(resource)
    }
}

impl<T: LogStore + ?Sized> LogStore for Box<T> {
    fn get(&self, resource: &Resource) -> Result<Option<Vec<u8>>, StoreError> {
        (**self).get(resource)
    }
}

/// What kind of trouble a store has.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum StoreErrorKind {
    /// It cannot be reached, read or written.
    Unavailable,
    /// It does not let this reader see it.
    Forbidden,
    /// What it holds cannot be what was asked for: too large, or not in the layout.
    Malformed,
}

/// A store that could not answer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StoreError {
    /// What kind of trouble.
    pub kind: StoreErrorKind,
    /// What happened and where, for people.
    pub text: String,
}

impl StoreError {
    /// Puts kind and words together.
    pub fn new(kind: StoreErrorKind, text: impl Into<String>) -> Self {
        Self {
            kind,
            text: text.into(),
        }
    }

    /// The store cannot be reached, read or written.
    pub fn unavailable(text: impl Into<String>) -> Self {
        Self::new(StoreErrorKind::Unavailable, text)
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl std::error::Error for StoreError {}

/// A finished epoch of the log in `store`, as a log of its own. Evidence lies beside all epochs.
#[derive(Clone, Copy, Debug)]
pub struct InEpoch<S> {
    /// The whole log.
    pub store: S,
    /// The number of the epoch.
    pub epoch: u32,
}

impl<S: LogStore> LogStore for InEpoch<S> {
    fn get(&self, resource: &Resource) -> Result<Option<Vec<u8>>, StoreError> {
        match resource {
            Resource::Evidence(_) => self.store.get(resource),
            inner => self
                .store
                .get(&Resource::Epoch(self.epoch, Box::new(inner.clone()))),
        }
    }
}
