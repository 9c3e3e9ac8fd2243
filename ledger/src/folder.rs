//! A log in a folder, in the layout of the HTTP paths: what a mirror keeps and an export is.
//!
//! A folder may come from anybody. Nothing outside it is read: symbolic links, devices and pipes in it are
//! refused, and so is anything larger than its kind may be. Files appear whole or not at all.

mod read;
mod write;

use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
    sync::Mutex,
};

use crate::{LogStore, MAX_ENTRY, MAX_EVIDENCE, MAX_NOTE, Resource, StoreError, StoreErrorKind};

/// A log in a folder.
///
/// Several may read while one writes: the newest checkpoint is replaced only when all that belongs to it is durable.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    /// Folders with new names in them that may not be durable yet.
    unsynced: Mutex<BTreeSet<PathBuf>>,
    durable: bool,
}

impl Folder {
    /// Takes a folder that is there.
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::Unavailable`] if there is none, or it cannot be looked at.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let path = path.into();
        let found = std::fs::metadata(&path).map_err(|error| failed("open", &path, &error))?;
        if !found.is_dir() {
            return Err(StoreError::unavailable(format!(
                "{} is not a folder",
                path.display()
            )));
        }
        Ok(Self {
            path,
            unsynced: Mutex::default(),
            durable: true,
        })
    }

    /// Takes a folder, and makes it if it is not there.
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::Unavailable`] if it cannot be made.
    pub fn create(path: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let path = path.into();
        std::fs::create_dir_all(&path).map_err(|error| failed("make", &path, &error))?;
        Self::open(path)
    }

    /// Writes that need not survive a loss of power: for tests, which make many logs.
    #[cfg(feature = "mock")]
    pub(crate) fn without_durability(self) -> Self {
        Self {
            durable: false,
            ..self
        }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl LogStore for Folder {
    fn get(&self, resource: &Resource) -> Result<Option<Vec<u8>>, StoreError> {
        read::read(&self.path, &resource.path(), max_bytes(resource))
    }
}

/// The largest a resource can be.
fn max_bytes(resource: &Resource) -> usize {
    match resource {
        Resource::Checkpoint => MAX_NOTE,
        Resource::Tile(tile) => tile.length(),
        Resource::Entries { width, .. } => usize::from(*width) * (MAX_ENTRY + 2),
        Resource::Evidence(_) => MAX_EVIDENCE,
        Resource::Epoch(_, inner) => max_bytes(inner),
    }
}

fn failed(what: &str, path: &Path, error: &io::Error) -> StoreError {
    let kind = match error.kind() {
        io::ErrorKind::PermissionDenied => StoreErrorKind::Forbidden,
        _ => StoreErrorKind::Unavailable,
    };
    StoreError::new(kind, format!("cannot {what} {}: {error}", path.display()))
}
