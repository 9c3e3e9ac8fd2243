//! The folder of a witness: one file says whose it is and which logs it ever watched, one for each log holds what
//! was seen of it, and a lock keeps a second witness away.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::error::StateError;
use super::state::{
    Memory, Whose, at, file_name, read, read_text, with_checksum, without_checksum, write,
    write_text,
};
use crate::key::VerifierKey;

const MARKER: &str = "witness";
const MARKER_SCHEMA: &str = "narthex-witness/v1";
const LOCK: &str = "lock";

/// Makes `folder` (mode 0700) the memory of a witness that never cosigned anything. Only for a new key: a key
/// that has cosigned, started on an empty folder, can be made to cosign another history.
///
/// # Errors
///
/// [`StateError::Exists`] if it is a witness's already; [`StateError::Io`].
pub fn create_witness_folder(folder: &Path, key: &VerifierKey) -> Result<(), StateError> {
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(at(folder, "make")(error));
        }
        Ok(()) | Err(_) => {}
    }
    let marker = folder.join(MARKER);
    if marker.symlink_metadata().is_ok() {
        return Err(StateError::Exists(folder.to_owned()));
    }
    write_marker(&marker, key, &[])?;
    let above = match folder.parent() {
        Some(above) if !above.as_os_str().is_empty() => above,
        Some(_) | None => Path::new("."),
    };
    File::open(above)
        .and_then(|above| above.sync_all())
        .map_err(at(above, "sync"))
}

/// An open folder, locked until it is dropped.
pub(super) struct Folder {
    _lock: File,
}

/// What was read of one log, and where it is kept.
pub(super) struct Remembered {
    pub(super) path: PathBuf,
    pub(super) memory: Memory,
}

impl Folder {
    /// Locks `folder` and reads what is remembered of each of `logs`, in that order. A log that was never watched
    /// here begins with nothing; one that was and whose file is gone is an error.
    pub(super) fn open(
        folder: &Path,
        witness: &VerifierKey,
        logs: &[VerifierKey],
    ) -> Result<(Self, Vec<Remembered>), StateError> {
        let marker = folder.join(MARKER);
        if read_text(&marker)?.is_none() {
            return Err(StateError::NotAFolder(folder.to_owned()));
        }
        let lock = lock(folder)?;
        // Read again: it may have changed while another witness held the lock.
        let mut origins = read_marker(folder, &marker, witness)?;
        let mut remembered = Vec::new();
        let mut grown = false;
        for log in logs {
            let whose = Whose { witness, log };
            let path = folder.join(file_name(log.name()));
            let known = origins.iter().any(|origin| origin == log.name());
            let memory = match read(&path, &whose)? {
                Some(memory) => memory,
                None if known => {
                    return Err(StateError::Lost {
                        path,
                        origin: log.name().to_owned(),
                    });
                }
                None => {
                    let memory = Memory::nothing();
                    write(&path, &memory, &whose)?;
                    memory
                }
            };
            if !known {
                origins.push(log.name().to_owned());
                grown = true;
            }
            remembered.push(Remembered { path, memory });
        }
        // After the files: a log is on the list only if its file was there.
        if grown {
            write_marker(&marker, witness, &origins)?;
        }
        Ok((Self { _lock: lock }, remembered))
    }
}

fn lock(folder: &Path) -> Result<File, StateError> {
    let path = folder.join(LOCK);
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(at(&path, "open"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StateError::InUse(folder.to_owned())),
        Err(TryLockError::Error(error)) => Err(at(&path, "lock")(error)),
    }
}

fn write_marker(path: &Path, key: &VerifierKey, origins: &[String]) -> Result<(), StateError> {
    let mut body = format!("{MARKER_SCHEMA}\n{key}\n");
    for origin in origins {
        body.push_str(origin);
        body.push('\n');
    }
    write_text(path, &with_checksum(&body))
}

/// The logs that were ever watched here.
fn read_marker(folder: &Path, path: &Path, key: &VerifierKey) -> Result<Vec<String>, StateError> {
    let damaged = |what| StateError::Damaged {
        path: path.to_owned(),
        what,
    };
    let text = read_text(path)?.ok_or_else(|| StateError::NotAFolder(folder.to_owned()))?;
    let mut lines = without_checksum(&text).map_err(damaged)?.lines();
    if lines.next() != Some(MARKER_SCHEMA) {
        return Err(damaged(
            "the file is not of a version that this program reads",
        ));
    }
    let found = lines.next().unwrap_or_default();
    if found != key.to_string() {
        return Err(StateError::OtherKey {
            path: folder.to_owned(),
            found: found.to_owned(),
        });
    }
    Ok(lines.map(str::to_owned).collect())
}
