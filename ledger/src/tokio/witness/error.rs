//! Why a witness cannot start, in words that say what to do.

use core::fmt;
use std::io;
use std::path::PathBuf;

/// Why a witness cannot use its folder.
#[derive(Debug)]
#[non_exhaustive]
pub enum StateError {
    /// The operating system says no.
    Io {
        /// Which file or folder.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// What it said.
        error: io::Error,
    },
    /// Another process uses the folder.
    InUse(PathBuf),
    /// The folder was never made a witness's.
    NotAFolder(PathBuf),
    /// The folder is a witness's already.
    Exists(PathBuf),
    /// The folder is another key's.
    OtherKey {
        /// The folder.
        path: PathBuf,
        /// Whose it is.
        found: String,
    },
    /// A file was cut off, edited, or is not what its name says.
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The folder says that the witness watches a log, and the file with what it saw of it is not there.
    Lost {
        /// The file.
        path: PathBuf,
        /// The log.
        origin: String,
    },
    /// The witness's own configuration cannot be used.
    Setup(String),
}

impl fmt::Display for StateError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { path, doing, error } => {
                write!(formatter, "{}: cannot {doing} it: {error}", path.display())
            }
            Self::InUse(path) => write!(
                formatter,
                "{}: another witness runs on this folder; two would cosign two histories",
                path.display()
            ),
            Self::NotAFolder(path) => write!(
                formatter,
                "{}: not the folder of a witness. If this key never cosigned anything, make a new one; if it \
                 did, find the folder it used or restore it from the disk it was on: a witness that starts \
                 without its memory can be made to cosign another history. If it is lost for good, retire the \
                 key, make a new one, and have the policy name that",
                path.display()
            ),
            Self::Exists(path) => write!(
                formatter,
                "{}: this folder is a witness's already",
                path.display()
            ),
            Self::OtherKey { path, found } => write!(
                formatter,
                "{}: this folder belongs to the witness key {found}; use that key, or another folder",
                path.display()
            ),
            Self::Damaged { path, what } => write!(
                formatter,
                "{}: {what}. Do not remove it: a witness that starts without its memory can be made to cosign \
                 another history. Restore the file as it was, or retire the key and have the policy name a new one",
                path.display()
            ),
            Self::Lost { path, origin } => write!(
                formatter,
                "{}: the file with what this witness saw of the log {origin} is missing. Restore it as it was, or \
                 retire the key and have the policy name a new one",
                path.display()
            ),
            Self::Setup(what) => formatter.write_str(what),
        }
    }
}

impl std::error::Error for StateError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { error, .. } => Some(error),
            _ => None,
        }
    }
}
