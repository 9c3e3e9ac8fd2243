//! The lineage: every accepted bundle, release and stop statement, as it was signed.

use rusqlite::{Connection, Row, params};

use super::{
    error::StoreError,
    keyring::{Keyring, Mac},
    schema::{Natural, to_integer},
    texts::texts,
};
use crate::{clock::UnixMillis, digest::Digest, root_key::RootKeyId};
use serde::{Deserialize, Serialize};

const TABLE: &str = "policy_file";

texts! {
    /// What kind of policy file.
    PolicyFileKind {
        /// A bundle; the first one is the genesis.
        Bundle = "bundle",
        /// A release statement.
        Release = "release",
        /// A stop statement.
        Stop = "stop",
    }
}

/// A policy file that was accepted. Every field is authenticated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyFile {
    /// Its place in the order of acceptance, from 0.
    pub position: u64,
    /// What it is.
    pub kind: PolicyFileKind,
    /// The exact bytes that were signed.
    pub content: Vec<u8>,
    /// Armored SSH signatures.
    pub signatures: Vec<String>,
    /// When it was accepted: the time at which it was judged, and is judged again at every start.
    pub accepted: UnixMillis,
    /// Sequence of the entry that accepted it.
    pub entry: u64,
}

impl PolicyFile {
    /// SHA-384 of the content.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(&self.content)
    }

    fn signatures_to_bytes(&self) -> Result<Vec<u8>, StoreError> {
        serde_json::to_vec(&self.signatures).map_err(|_| StoreError::Cryptography)
    }

    fn with_columns<T>(&self, signatures: &[u8], work: impl FnOnce(&[&[u8]]) -> T) -> T {
        let Self {
            position,
            kind,
            content,
            signatures: _, // In the form in which they are stored.
            accepted,
            entry,
        } = self;
        work(&[
            &position.to_be_bytes(),
            kind.as_str().as_bytes(),
            content,
            signatures,
            &accepted.0.to_be_bytes(),
            &entry.to_be_bytes(),
        ])
    }

    /// Writes the row, new or again under another root key.
    pub(crate) fn put(&self, connection: &Connection, keyring: &Keyring) -> Result<(), StoreError> {
        let signatures = self.signatures_to_bytes()?;
        let mac = self.with_columns(&signatures, |columns| keyring.sign_row(TABLE, columns))?;
        connection
            .prepare_cached(
                "INSERT INTO policy_file
                    (position, kind, sha384, content, signatures, accepted, entry, root_key, mac)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
                 ON CONFLICT (position) DO UPDATE SET root_key = ?8, mac = ?9",
            )?
            .execute(params![
                to_integer(self.position)?,
                self.kind.as_str(),
                self.digest().as_bytes().as_slice(),
                self.content,
                signatures,
                to_integer(self.accepted.0)?,
                to_integer(self.entry)?,
                mac.root_key.0.as_slice(),
                mac.tag,
            ])?;
        Ok(())
    }
}

/// Every file in the order of acceptance, each checked to be what was written.
pub(crate) fn all(
    connection: &Connection,
    keyring: &Keyring,
) -> Result<Vec<PolicyFile>, StoreError> {
    select(connection, keyring, "ORDER BY position")
}

/// Files that are not authenticated under the active root key.
pub(crate) fn authenticated_otherwise(
    connection: &Connection,
    keyring: &Keyring,
) -> Result<Vec<PolicyFile>, StoreError> {
    let files = select(connection, keyring, "ORDER BY position")?;
    let mut otherwise = Vec::new();
    for file in files {
        let root_key: Vec<u8> = connection
            .prepare_cached("SELECT root_key FROM policy_file WHERE position = ?1")?
            .query_row([to_integer(file.position)?], |row| row.get(0))?;
        if root_key != keyring.active().0 {
            otherwise.push(file);
        }
    }
    Ok(otherwise)
}

fn select(
    connection: &Connection,
    keyring: &Keyring,
    order: &str,
) -> Result<Vec<PolicyFile>, StoreError> {
    let mut statement = connection.prepare(&format!(
        "SELECT position, kind, sha384, content, signatures, accepted, entry, root_key, mac
         FROM policy_file {order}"
    ))?;
    let mut rows = statement.query([])?;
    let mut files = Vec::new();
    while let Some(row) = rows.next()? {
        let expected_position = files.len() as u64;
        files.push(read(row, keyring, expected_position)?);
    }
    Ok(files)
}

fn read(
    row: &Row<'_>,
    keyring: &Keyring,
    expected_position: u64,
) -> Result<PolicyFile, StoreError> {
    let wrong = || StoreError::Altered {
        table: TABLE,
        row: format!("file {expected_position}"),
    };
    let columns = || -> rusqlite::Result<_> {
        let kind: String = row.get(1)?;
        let sha384: Vec<u8> = row.get(2)?;
        let signatures: Vec<u8> = row.get(4)?;
        let root_key: Vec<u8> = row.get(7)?;
        let tag: Vec<u8> = row.get(8)?;
        let natural = |index| row.get::<_, Natural>(index).map(|number| number.0);
        let file = (natural(0)?, row.get(3)?, natural(5)?, natural(6)?);
        Ok((kind, sha384, signatures, root_key, tag, file))
    };
    let (kind, sha384, signatures, root_key, tag, (position, content, accepted, entry)) =
        columns().map_err(|_| wrong())?;
    let file = PolicyFile {
        position,
        kind: PolicyFileKind::from_text(&kind).ok_or_else(wrong)?,
        content,
        signatures: serde_json::from_slice(&signatures).map_err(|_| wrong())?,
        accepted: UnixMillis(accepted),
        entry,
    };
    let mac = Mac {
        root_key: RootKeyId::from_slice(&root_key).ok_or_else(wrong)?,
        tag,
    };
    let ours = file.with_columns(&signatures, |columns| {
        keyring.row_is_ours(TABLE, columns, &mac)
    })?;
    if ours && file.position == expected_position && file.digest().as_bytes().as_slice() == sha384 {
        Ok(file)
    } else {
        Err(wrong())
    }
}
