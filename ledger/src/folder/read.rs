//! Reading a file below a folder, and nothing else.

use std::{
    fs::{File, Metadata},
    io::{self, Read as _},
    os::unix::fs::MetadataExt as _,
    path::Path,
};

use super::failed;
use crate::{StoreError, StoreErrorKind};

/// The bytes of the file at `below` in `folder`; `None` if there is none.
pub(super) fn read(
    folder: &Path,
    below: &str,
    max_bytes: usize,
) -> Result<Option<Vec<u8>>, StoreError> {
    let mut path = folder.to_path_buf();
    let mut expected: Option<Metadata> = None;
    for part in below.split('/') {
        if expected.as_ref().is_some_and(|found| !found.is_dir()) {
            return Err(refused(&path, "not a folder"));
        }
        path.push(part);
        // Not through a link: it could lead anywhere.
        expected = match path.symlink_metadata() {
            Ok(found) => Some(found),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed("read", &path, &error)),
        };
    }
    let Some(expected) = expected.filter(Metadata::is_file) else {
        return Err(refused(&path, "not a plain file"));
    };
    let file = match File::open(&path) {
        Ok(file) => file,
        // Replaced files never go away; removed ones may.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed("read", &path, &error)),
    };
    let found = file
        .metadata()
        .map_err(|error| failed("read", &path, &error))?;
    // A checkpoint may have been replaced in between: another file, and as plain.
    if !found.is_file() || found.dev() != expected.dev() {
        return Err(refused(&path, "not a plain file"));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(found.len()).unwrap_or(0).min(max_bytes));
    let limit = u64::try_from(max_bytes)
        .unwrap_or(u64::MAX)
        .saturating_add(1);
    file.take(limit)
        .read_to_end(&mut bytes)
        .map_err(|error| failed("read", &path, &error))?;
    if bytes.len() > max_bytes {
        return Err(refused(&path, &format!("larger than {max_bytes} bytes")));
    }
    Ok(Some(bytes))
}

fn refused(path: &Path, what: &str) -> StoreError {
    StoreError::new(
        StoreErrorKind::Malformed,
        format!("{} is {what}", path.display()),
    )
}
