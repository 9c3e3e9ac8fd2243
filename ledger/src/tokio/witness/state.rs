//! What a witness remembers of one log, in a file that is either whole or refused.
//!
//! Losing this memory is the one thing a witness must not do: without it, it would cosign another history of
//! the log. So a file that is missing, torn or somebody else's is an error for people to look at, never a fresh
//! start.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::error::StateError;
use crate::checkpoint::{Checkpoint, parse_decimal};
use crate::key::VerifierKey;
use crate::note::{MAX_NOTE, SignedNote};
use crate::witness::Seen;

/// First line of a state file.
const STATE_SCHEMA: &str = "narthex-witness-state/v1";
/// A note, and room for the lines around it or for the names of some hundred logs.
const MAX_FILE: usize = MAX_NOTE + 64 * 1024;

/// What a witness remembers of one log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Memory {
    /// When the witness last cosigned, in Unix seconds; 0 if it never did.
    pub(super) time: u64,
    /// The head it cosigned last: what the next checkpoint must continue.
    pub(super) seen: Seen,
    /// The same as the log signed it; `None` if nothing was cosigned yet.
    pub(super) note: Option<SignedNote>,
}

impl Memory {
    pub(super) fn nothing() -> Self {
        Self {
            time: 0,
            seen: Seen::default(),
            note: None,
        }
    }

    fn to_text(&self, whose: &Whose<'_>) -> String {
        let Self { time, note, .. } = self;
        let note = note.as_ref().map(ToString::to_string).unwrap_or_default();
        let (witness, origin) = (whose.witness, whose.log.name());
        with_checksum(&format!(
            "{STATE_SCHEMA}\n{witness}\n{origin}\n{time}\n{note}"
        ))
    }

    /// Reads [`Memory::to_text`], and nothing else.
    fn parse(text: &str, whose: &Whose<'_>) -> Result<Self, &'static str> {
        let mut parts = without_checksum(text)?.splitn(5, '\n');
        let (Some(schema), Some(witness), Some(origin), Some(time), Some(note)) = (
            parts.next(),
            parts.next(),
            parts.next(),
            parts.next(),
            parts.next(),
        ) else {
            return Err("the file has too few lines");
        };
        if schema != STATE_SCHEMA {
            return Err("the file is not of a version that this program reads");
        }
        if witness != whose.witness.to_string() {
            return Err("the file is of another witness key");
        }
        if origin != whose.log.name() {
            return Err("the file is about another log than its name says");
        }
        let time = parse_decimal(time).ok_or("the file holds no time")?;
        if note.is_empty() {
            return Ok(Self {
                time,
                ..Self::nothing()
            });
        }
        let note = SignedNote::parse(note).map_err(|_| "the file holds no signed note")?;
        let checkpoint =
            Checkpoint::parse(note.text()).map_err(|_| "the file holds no checkpoint")?;
        if checkpoint.origin != origin {
            return Err("the file holds the checkpoint of another log");
        }
        Ok(Self {
            time,
            seen: Seen {
                size: checkpoint.size,
                root: checkpoint.root,
            },
            note: Some(note),
        })
    }
}

/// Whose memory of which log a file is.
#[derive(Clone, Copy)]
pub(super) struct Whose<'k> {
    pub(super) witness: &'k VerifierKey,
    pub(super) log: &'k VerifierKey,
}

/// A file is whole if its first line is the SHA-256 of the rest.
pub(super) fn with_checksum(body: &str) -> String {
    format!("{}\n{body}", checksum(body.as_bytes()))
}

pub(super) fn without_checksum(text: &str) -> Result<&str, &'static str> {
    text.split_once('\n')
        .filter(|(sum, body)| *sum == checksum(body.as_bytes()))
        .map(|(_, body)| body)
        .ok_or("the file was cut off or edited: its checksum does not fit")
}

fn checksum(body: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(body)))
}

/// The name of the file for `origin`: its SHA-256, which is a name that no origin can choose.
pub(super) fn file_name(origin: &str) -> String {
    hex::encode(Sha256::digest(origin.as_bytes()))
}

/// Reads what is remembered; `None` if there is no such file.
pub(super) fn read(path: &Path, whose: &Whose<'_>) -> Result<Option<Memory>, StateError> {
    let Some(text) = read_text(path)? else {
        return Ok(None);
    };
    Memory::parse(&text, whose)
        .map(Some)
        .map_err(|what| StateError::Damaged {
            path: path.to_owned(),
            what,
        })
}

/// Replaces the file by one with `memory`. When this returns, the new one survives a loss of power; until then,
/// the old one does.
pub(super) fn write(path: &Path, memory: &Memory, whose: &Whose<'_>) -> Result<(), StateError> {
    write_text(path, &memory.to_text(whose))
}

/// A text file of this folder, bounded; `None` if there is none.
pub(super) fn read_text(path: &Path) -> Result<Option<String>, StateError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(at(path, "open")(error)),
    };
    let mut text = String::new();
    let most = u64::try_from(MAX_FILE).unwrap_or(u64::MAX);
    match file.take(most.saturating_add(1)).read_to_string(&mut text) {
        Ok(length) if length <= MAX_FILE => Ok(Some(text)),
        Ok(_) => Err(StateError::Damaged {
            path: path.to_owned(),
            what: "the file is longer than this program would write it",
        }),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(StateError::Damaged {
            path: path.to_owned(),
            what: "the file is not text",
        }),
        Err(error) => Err(at(path, "read")(error)),
    }
}

/// Writes beside, syncs, renames, and syncs the folder.
pub(super) fn write_text(path: &Path, text: &str) -> Result<(), StateError> {
    let beside = path.with_extension("new");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&beside)
        .map_err(at(&beside, "make"))?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(at(&beside, "write"))?;
    std::fs::rename(&beside, path).map_err(at(path, "replace"))?;
    let folder = path.parent().unwrap_or(Path::new("."));
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(at(folder, "sync"))
}

pub(super) fn at(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> StateError {
    let path = path.to_owned();
    move |error| StateError::Io { path, doing, error }
}
