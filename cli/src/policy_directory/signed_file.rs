//! A file and the signatures beside it.

use std::path::{Path, PathBuf};

use narthex_policy::{SignedFile, limits};

use crate::failure::{Failure, Outcome};
use crate::input::{read_file, read_text};

/// A signed file with its place, for messages.
#[derive(Clone, Debug)]
pub(crate) struct FileOnDisk {
    /// Where it was read from.
    pub(crate) path: PathBuf,
    /// Its exact bytes, and its signatures.
    pub(crate) signed: SignedFile,
    /// The names that the signature files claim, in the order of the signatures. For messages only:
    /// who signed is decided by keys.
    pub(crate) claimed: Vec<String>,
}

impl FileOnDisk {
    /// Reads `path` and, out of `names` (the names in its folder), each `FILE.PERSON.sig`.
    pub(super) fn read(path: &Path, limit_bytes: usize, names: &[String]) -> Outcome<Self> {
        let bytes = read_file(path, limit_bytes)?;
        let mut signatures = Vec::new();
        let mut claimed = Vec::new();
        for (person, signature) in signatures_among(path, names)? {
            claimed.push(person);
            signatures.push(signature);
        }
        Ok(Self {
            path: path.to_owned(),
            signed: SignedFile { bytes, signatures },
            claimed,
        })
    }

    /// The name of the file within its directory, for messages.
    pub(crate) fn short_name(&self) -> String {
        let mut parts: Vec<_> = self.path.iter().rev().take(2).collect();
        parts.reverse();
        parts.iter().collect::<PathBuf>().display().to_string()
    }
}

/// Reads every `FILE.PERSON.sig` beside `file`: (person, armored signature), by name.
///
/// # Errors
/// `file.*`.
pub(crate) fn read_signatures(file: &Path) -> Outcome<Vec<(String, String)>> {
    let folder = match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|error| Failure::file("read", folder, &error))? {
        let entry = entry.map_err(|error| Failure::file("read", folder, &error))?;
        if let Some(name) = entry.file_name().to_str() {
            names.push(name.to_owned());
        }
    }
    signatures_among(file, &names)
}

fn signatures_among(file: &Path, names: &[String]) -> Outcome<Vec<(String, String)>> {
    let own_name = file
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    let mut people: Vec<&str> = names
        .iter()
        .filter_map(|name| {
            name.strip_prefix(own_name)?
                .strip_prefix('.')?
                .strip_suffix(".sig")
        })
        .collect();
    people.sort_unstable();
    people
        .into_iter()
        .map(|person| {
            let path = crate::signing::signature_path(file, person);
            Ok((
                person.to_owned(),
                read_text(&path, limits::MAX_SIGNATURE_BYTES)?,
            ))
        })
        .collect()
}
