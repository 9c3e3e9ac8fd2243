//! Writing files: whole or not at all, and never over something by accident.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::failure::{Failure, Outcome};

/// Whether an existing file may be replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Existing {
    /// Writing fails if the file is there.
    Keep,
    /// The file is replaced, whole or not at all.
    Replace,
}

/// Writes a file whole or not at all: a reader never sees half of it, and a full disk leaves the
/// old one.
///
/// # Errors
/// `file.*`.
pub(crate) fn write_file(path: &Path, bytes: &[u8], existing: Existing) -> Outcome<()> {
    write_with_mode(path, bytes, existing, 0o666)
}

/// The same for what only the owner may read.
///
/// # Errors
/// `file.*`.
pub(crate) fn write_private_file(path: &Path, bytes: &[u8], existing: Existing) -> Outcome<()> {
    write_with_mode(path, bytes, existing, 0o600)
}

fn write_with_mode(path: &Path, bytes: &[u8], existing: Existing, mode: u32) -> Outcome<()> {
    let failed = |error: io::Error| Failure::file("write", path, &error);
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let fresh = path.with_file_name(name);
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode) // Narrowed by the umask.
        .open(&fresh)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| match existing {
            Existing::Replace => fs::rename(&fresh, path),
            // A hard link fails if the name is taken, which a rename would not.
            Existing::Keep => fs::hard_link(&fresh, path).and_then(|()| fs::remove_file(&fresh)),
        });
    if written.is_err() {
        let _may_not_exist = fs::remove_file(&fresh);
    }
    written.map_err(failed)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn keeps_or_replaces_and_leaves_no_traces() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        write_file(&path, b"1", Existing::Keep).unwrap();
        assert_eq!(
            write_file(&path, b"2", Existing::Keep).unwrap_err().id(),
            "file.exists"
        );
        assert_eq!(fs::read(&path).unwrap(), b"1");
        write_private_file(&path, b"3", Existing::Replace).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"3");
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_missing_folder_is_named() {
        let failure = write_file(Path::new("/nowhere/a"), b"1", Existing::Keep).unwrap_err();
        assert_eq!(failure.id(), "file.not_found");
    }
}
