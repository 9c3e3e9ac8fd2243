//! Session statements: what an agent said about itself, kept until the log has it.
//!
//! The agent's document binds the statement to one session, so whoever holds the three pieces can
//! hand them in, at any time. A kept one is a small JSON file.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use narthex_channel::HandshakeHash;
use narthex_channel::submissions::Submission;
use serde_json::{Value, json};

use crate::failure::{Failure, Outcome};
use crate::files::{Existing, write_private_file};
use crate::input::read_text;

/// What the file says it is.
const SCHEMA: &str = "narthex/kept-statement/v1";

/// The ending of every kept statement's name.
const ENDING: &str = ".statement.json";

/// A document and a statement are below 32 KiB together; text makes a third more of it.
const FILE_LIMIT_BYTES: usize = 128 * 1024;

/// What an agent said in one session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SessionRecord {
    /// The session's handshake hash.
    pub(crate) session: [u8; 32],
    /// The attestation document that binds the statement to it.
    pub(crate) document: Vec<u8>,
    /// The statement's exact bytes.
    pub(crate) statement: Vec<u8>,
}

impl SessionRecord {
    /// As it is handed in.
    pub(crate) fn submission(&self) -> Submission {
        Submission::Statement {
            session: HandshakeHash::from_bytes(self.session),
            document: self.document.clone(),
            statement: self.statement.clone(),
        }
    }

    /// Writes it into `folder`, which is made if it is not there. Keeping the same session twice
    /// changes nothing.
    ///
    /// # Errors
    /// `file.*`.
    pub(crate) fn keep(&self, folder: &Path) -> Outcome<PathBuf> {
        fs::create_dir_all(folder).map_err(|error| Failure::file("create", folder, &error))?;
        let path = folder.join(format!("{}{ENDING}", hex::encode(self.session)));
        let value = json!({
            "schema": SCHEMA,
            "session": hex::encode(self.session),
            "document": STANDARD.encode(&self.document),
            "statement": STANDARD.encode(&self.statement),
        });
        write_private_file(&path, format!("{value:#}\n").as_bytes(), Existing::Replace)?;
        Ok(path)
    }

    /// Reads a kept one.
    ///
    /// # Errors
    /// `file.*`; `statement.malformed` if it is none.
    pub(crate) fn read(path: &Path) -> Outcome<Self> {
        let malformed = || {
            Failure::misuse(
                "statement.malformed",
                format!("{} is not a kept session statement", path.display()),
            )
            .next("`narthex diag --keep-statement DIR` writes them")
        };
        let text = read_text(path, FILE_LIMIT_BYTES)?;
        let value: Value = serde_json::from_str(&text).map_err(|_| malformed())?;
        let member = |name: &str| {
            value
                .get(name)
                .and_then(Value::as_str)
                .ok_or_else(malformed)
        };
        let bytes = |name: &str| STANDARD.decode(member(name)?).map_err(|_| malformed());
        if member("schema")? != SCHEMA {
            return Err(malformed());
        }
        let session = hex::decode(member("session")?).map_err(|_| malformed())?;
        Ok(Self {
            session: session.try_into().map_err(|_| malformed())?,
            document: bytes("document")?,
            statement: bytes("statement")?,
        })
    }
}

/// The kept statements that `paths` name: files as they are, and those in folders.
///
/// # Errors
/// `file.*`.
pub(crate) fn kept(paths: &[PathBuf]) -> Outcome<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let failed = |error: std::io::Error| Failure::file("read", path, &error);
        let mut inside = Vec::new();
        for entry in fs::read_dir(path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if entry.file_name().to_string_lossy().ends_with(ENDING) {
                inside.push(entry.path());
            }
        }
        inside.sort();
        files.append(&mut inside);
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_read_back() {
        let directory = tempfile::tempdir().unwrap();
        let folder = directory.path().join("kept");
        let record = SessionRecord {
            session: [7; 32],
            document: vec![0x84, 0, 255],
            statement: vec![1, 2],
        };
        let path = record.keep(&folder).unwrap();
        assert_eq!(record.keep(&folder).unwrap(), path);
        assert_eq!(SessionRecord::read(&path).unwrap(), record);
        fs::write(folder.join("notes.txt"), "x").unwrap();
        assert_eq!(kept(&[folder]).unwrap(), [path]);
    }

    #[test]
    fn other_files_are_not_taken_for_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x");
        for text in ["", "{}", "[]", r#"{"schema":"narthex/kept-statement/v1"}"#] {
            fs::write(&path, text).unwrap();
            assert_eq!(
                SessionRecord::read(&path).unwrap_err().id(),
                "statement.malformed"
            );
        }
    }
}
