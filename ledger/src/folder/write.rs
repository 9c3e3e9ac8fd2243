//! Writing: each file whole or not at all, the checkpoint last.

use std::{
    collections::BTreeSet,
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::PoisonError,
};

use super::{Folder, failed, max_bytes};
use crate::{Resource, StoreError, StoreErrorKind};

impl Folder {
    /// Writes `resource` in one step: a reader sees it whole or not at all, also when the power fails. Its name is
    /// durable after [`Folder::sync`].
    ///
    /// A checkpoint is special: it speaks for everything else, so all that was written before is made durable first,
    /// and the checkpoint itself is durable when this returns.
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::Malformed`] if `bytes` are more than this resource can have,
    /// [`StoreErrorKind::Unavailable`] or [`StoreErrorKind::Forbidden`] if it cannot be written.
    pub fn put(&self, resource: &Resource, bytes: &[u8]) -> Result<(), StoreError> {
        let path = self.path().join(resource.path());
        if bytes.len() > max_bytes(resource) {
            return Err(StoreError::new(
                StoreErrorKind::Malformed,
                format!("{} bytes are too many for {}", bytes.len(), path.display()),
            ));
        }
        let is_checkpoint = is_checkpoint(resource);
        if is_checkpoint {
            self.sync()?;
        }
        self.put_file(&path, bytes)
            .map_err(|error| failed("write", &path, &error))?;
        if is_checkpoint {
            self.sync()?;
        }
        Ok(())
    }

    /// Makes everything durable that was written or removed before.
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::Unavailable`] or [`StoreErrorKind::Forbidden`] if the system cannot; then nothing is forgotten, and it can be
    /// tried again.
    pub fn sync(&self) -> Result<(), StoreError> {
        let folders =
            core::mem::take(&mut *self.unsynced.lock().unwrap_or_else(PoisonError::into_inner));
        if !self.durable {
            return Ok(());
        }
        for folder in &folders {
            let synced = File::open(folder).and_then(|open| open.sync_all());
            match synced {
                // A folder that is gone has no names to lose.
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    self.remember(folders.clone());
                    return Err(failed("sync", folder, &error));
                }
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }

    /// Removes `resource` if it is there: evidence that was purged, a partial tile that was filled.
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::Unavailable`] or [`StoreErrorKind::Forbidden`] if it cannot be removed.
    pub fn remove(&self, resource: &Resource) -> Result<(), StoreError> {
        let path = self.path().join(resource.path());
        match fs::remove_file(&path) {
            Ok(()) => {
                self.remember(path.parent().map(Path::to_path_buf).into_iter().collect());
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(failed("remove", &path, &error)),
        }
    }

    fn put_file(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let folder = path.parent().unwrap_or(self.path());
        let made = self.make_folders(folder)?;
        let temporary = folder.join(format!(".{}.part", random_name()?));
        let written = self
            .write_new(&temporary, bytes)
            .and_then(|()| fs::rename(&temporary, path));
        if let Err(error) = written {
            // Best effort: what is left over has a name that nobody reads.
            let _ = fs::remove_file(&temporary);
            return Err(error);
        }
        self.remember(made);
        Ok(())
    }

    /// A new file: never through a link that somebody put there.
    fn write_new(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
        file.write_all(bytes)?;
        if self.durable {
            file.sync_all()?;
        }
        Ok(())
    }

    /// Makes `folder` and those above it, down from the log's own; refuses links on the way. Gives back the folders
    /// whose names are to be synced.
    fn make_folders(&self, folder: &Path) -> io::Result<BTreeSet<PathBuf>> {
        let mut changed = BTreeSet::from([folder.to_path_buf()]);
        let below = folder
            .strip_prefix(self.path())
            .map_err(|_| io::Error::other("outside of the folder"))?;
        let mut at = self.path().to_path_buf();
        for part in below.components() {
            let parent = at.clone();
            at.push(part);
            match at.symlink_metadata() {
                Ok(found) if found.is_dir() => {}
                Ok(_) => return Err(io::Error::other("a folder's place is taken")),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    match fs::create_dir(&at) {
                        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                            return Err(error);
                        }
                        Ok(()) | Err(_) => {}
                    }
                    changed.insert(parent);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(changed)
    }

    fn remember(&self, folders: BTreeSet<PathBuf>) {
        self.unsynced
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(folders);
    }
}

fn is_checkpoint(resource: &Resource) -> bool {
    match resource {
        Resource::Checkpoint => true,
        Resource::Epoch(_, inner) => is_checkpoint(inner),
        Resource::Tile(_) | Resource::Entries { .. } | Resource::Evidence(_) => false,
    }
}

/// A name that no other writer has.
fn random_name() -> io::Result<String> {
    let mut bytes = [0; 12];
    getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(hex::encode(bytes))
}
