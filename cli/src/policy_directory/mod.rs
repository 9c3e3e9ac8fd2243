//! A policy directory: what was signed, as files, with the signatures beside them.
//!
//! ```text
//! DIR/bundles/0001.toml           DIR/bundles/0001.toml.alice.sig
//! DIR/releases/0001-shop.toml     DIR/releases/0001-shop.toml.alice.sig
//! DIR/stops/0001.toml             DIR/stops/0001.toml.alice.sig
//! ```
//!
//! Whoever can write the directory can leave newer files out, or, where nobody gave the first
//! bundle's digest (`--genesis`), replace all of it. Nothing in it counts without its signatures.

mod held;
mod signed_file;

pub(crate) use held::{Bundle, HeldPolicy, LeftOut};
pub(crate) use signed_file::{FileOnDisk, read_signatures};

use std::fs;
use std::path::{Path, PathBuf};

use narthex_policy::limits;

use crate::failure::{Failure, Outcome};

/// More files than this in one folder are somebody's mistake.
const MAX_FILES: usize = 4096;

/// The three folders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Folder {
    /// Bundles, by version.
    Bundles,
    /// Release statements, by serial.
    Releases,
    /// Stop statements, by serial.
    Stops,
}

impl Folder {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Folder::Bundles => "bundles",
            Folder::Releases => "releases",
            Folder::Stops => "stops",
        }
    }

    pub(crate) fn limit_bytes(self) -> usize {
        match self {
            Folder::Bundles => limits::MAX_BUNDLE_BYTES,
            Folder::Releases | Folder::Stops => limits::MAX_STATEMENT_BYTES,
        }
    }
}

/// The files of a directory, read and not judged.
#[derive(Clone, Debug)]
pub(crate) struct PolicyDirectory {
    /// The directory.
    pub(crate) path: PathBuf,
    /// In the order of their names, which begin with a number of four or more digits.
    pub(crate) bundles: Vec<FileOnDisk>,
    pub(crate) releases: Vec<FileOnDisk>,
    pub(crate) stops: Vec<FileOnDisk>,
}

impl PolicyDirectory {
    /// Reads all files.
    ///
    /// # Errors
    /// `file.*`; `policy.not_a_directory` if there is no `bundles/` in it.
    pub(crate) fn read(path: &Path) -> Outcome<Self> {
        let bundles = path.join(Folder::Bundles.name());
        if path.is_dir() && !bundles.is_dir() {
            return Err(Failure::misuse(
                "policy.not_a_directory",
                format!(
                    "{} is not a policy directory: it has no bundles/",
                    path.display()
                ),
            )
            .next("`narthex policy init DIR` starts one"));
        }
        let read = |folder| read_folder(path, folder);
        Ok(Self {
            path: path.to_owned(),
            bundles: read(Folder::Bundles)?,
            releases: read(Folder::Releases)?,
            stops: read(Folder::Stops)?,
        })
    }

    /// The last bundle, signed or not.
    ///
    /// # Errors
    /// `bundle.missing`.
    pub(crate) fn newest_bundle(&self) -> Outcome<&FileOnDisk> {
        self.bundles.last().ok_or_else(|| {
            Failure::misuse(
                "bundle.missing",
                format!("{} holds no bundle", self.path.display()),
            )
            .next("`narthex policy init DIR` writes a first one")
        })
    }

    /// Where the file with `number` goes: `0007.toml`, or `0007-NAME.toml`.
    pub(crate) fn place(&self, folder: Folder, number: u64, name: Option<&str>) -> PathBuf {
        let name = match name {
            Some(name) => format!("{number:04}-{name}.toml"),
            None => format!("{number:04}.toml"),
        };
        self.path.join(folder.name()).join(name)
    }
}

fn read_folder(directory: &Path, folder: Folder) -> Outcome<Vec<FileOnDisk>> {
    let path = directory.join(folder.name());
    let entries = match fs::read_dir(&path) {
        Ok(entries) => entries,
        // A young policy has no releases or stops yet.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && folder != Folder::Bundles => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(Failure::file("read", &path, &error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| Failure::file("read", &path, &error))?;
        if let Some(name) = entry.file_name().to_str() {
            names.push(name.to_owned());
        }
        if names.len() > MAX_FILES {
            return Err(Failure::misuse(
                "policy.too_many_files",
                format!("{} holds more than {MAX_FILES} files", path.display()),
            ));
        }
    }
    let mut files: Vec<(u64, &String)> = names
        .iter()
        .filter(|name| name.ends_with(".toml"))
        .filter_map(|name| Some((leading_number(name)?, name)))
        .collect();
    files.sort();
    files
        .into_iter()
        .map(|(_, name)| FileOnDisk::read(&path.join(name), folder.limit_bytes(), &names))
        .collect()
}

/// `0007-shop.toml` → 7. By number, not by text: 10000 comes after 9999.
fn leading_number(name: &str) -> Option<u64> {
    let digits = name.find(|character: char| !character.is_ascii_digit())?;
    name.get(..digits)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_ordered_by_number() {
        let directory = tempfile::tempdir().unwrap();
        let bundles = directory.path().join("bundles");
        fs::create_dir(&bundles).unwrap();
        for name in [
            "9999.toml",
            "10000.toml",
            "0002.toml",
            "0002.toml.bob.sig",
            "notes.txt",
            "x.toml",
        ] {
            fs::write(bundles.join(name), name).unwrap();
        }
        let read = PolicyDirectory::read(directory.path()).unwrap();
        let names: Vec<_> = read
            .bundles
            .iter()
            .map(|file| file.path.file_name().unwrap().to_str().unwrap())
            .collect();
        assert_eq!(names, ["0002.toml", "9999.toml", "10000.toml"]);
        assert_eq!(read.bundles[0].signed.signatures, ["0002.toml.bob.sig"]);
        assert!(read.releases.is_empty() && read.stops.is_empty());
    }

    #[test]
    fn a_directory_without_bundles_is_named_as_such() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(
            PolicyDirectory::read(directory.path()).unwrap_err().id(),
            "policy.not_a_directory"
        );
        let missing = directory.path().join("missing");
        assert_eq!(
            PolicyDirectory::read(&missing).unwrap_err().id(),
            "file.not_found"
        );
    }
}
