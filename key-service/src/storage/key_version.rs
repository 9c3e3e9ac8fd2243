//! Stored keys: one row for each version of each key.

use rusqlite::{Connection, OptionalExtension, Row, params};
use zeroize::Zeroizing;

use super::{
    error::StoreError,
    keyring::{Keyring, Wrapped},
    schema::{Natural, to_integer},
    texts::texts,
};
use crate::{clock::UnixMillis, digest::Digest, root_key::RootKeyId};
use serde::{Deserialize, Serialize};

const TABLE: &str = "key_version";

texts! {
    /// What may happen with a key version.
    KeyState {
        /// May be released.
        Enabled = "enabled",
        /// Kept, not released.
        Disabled = "disabled",
        /// Came from a backup; inert until a person enables it.
        Restored = "restored",
        /// Its material is destroyed; the row stays, so that it cannot come back.
        Retired = "retired",
    }
}

texts! {
    /// Where a key came from.
    KeyOrigin {
        /// Random bytes made by the service; no person has seen them.
        Created = "created",
        /// Brought by a person, who has seen it.
        Imported = "imported",
    }
}

texts! {
    /// Who holds what part of a key.
    KeyShares {
        /// The service holds the whole key.
        Service = "service",
    }
}

/// Name and version: what a key version is known by.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyReference {
    /// Name.
    pub name: String,
    /// Version, from 1.
    pub version: u32,
}

/// Everything about a key version but the key. Every field is authenticated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyVersion {
    /// Name and version.
    pub reference: KeyReference,
    /// What may happen with it.
    pub state: KeyState,
    /// Where it came from.
    pub origin: KeyOrigin,
    /// Who holds what part.
    pub shares: KeyShares,
    /// Length of the key in bytes.
    pub bytes: u32,
    /// SHA-384 over label, name, version and key.
    pub commitment: Digest,
    /// When the key came into being here.
    pub created: UnixMillis,
    /// When its state last changed.
    pub changed: UnixMillis,
    /// Sequence of the entry that last changed it.
    pub entry: u64,
}

impl KeyVersion {
    /// How an entry speaks about it.
    #[must_use]
    pub fn to_change(&self) -> narthex_ledger::KeyChange {
        narthex_ledger::KeyChange {
            name: self.reference.name.clone(),
            version: self.reference.version,
            state: self.state.into(),
            commitment: narthex_ledger::Digest384(self.commitment.0),
        }
    }

    fn with_security_columns<T>(&self, work: impl FnOnce(&[&[u8]]) -> T) -> T {
        // Destructured, so that a new column does not compile until it is authenticated.
        let Self {
            reference: KeyReference { name, version },
            state,
            origin,
            shares,
            bytes,
            commitment,
            created,
            changed,
            entry,
        } = self;
        work(&[
            name.as_bytes(),
            &version.to_be_bytes(),
            state.as_str().as_bytes(),
            origin.as_str().as_bytes(),
            shares.as_str().as_bytes(),
            &bytes.to_be_bytes(),
            commitment.as_bytes(),
            &created.0.to_be_bytes(),
            &changed.0.to_be_bytes(),
            &entry.to_be_bytes(),
        ])
    }
}

/// A row: what it says, and the wrapped key.
pub(crate) struct KeyRow {
    pub(crate) key: KeyVersion,
    pub(crate) wrapped: Wrapped,
}

impl KeyRow {
    /// Wraps `secret` (empty for a retired key) under the active root key.
    pub(crate) fn seal(
        keyring: &Keyring,
        key: KeyVersion,
        secret: &[u8],
    ) -> Result<Self, StoreError> {
        let wrapped = key.with_security_columns(|columns| keyring.wrap(columns, secret))?;
        Ok(Self { key, wrapped })
    }

    /// The key itself; an error when any column of the row is not what was written.
    pub(crate) fn open(&self, keyring: &Keyring) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        let secret = self
            .key
            .with_security_columns(|columns| keyring.unwrap_key(columns, &self.wrapped))?
            .ok_or_else(|| altered(&self.key.reference))?;
        let expected = match self.key.state {
            KeyState::Retired => 0,
            KeyState::Enabled | KeyState::Disabled | KeyState::Restored => self.key.bytes,
        };
        if u32::try_from(secret.len()) == Ok(expected) {
            Ok(secret)
        } else {
            Err(altered(&self.key.reference))
        }
    }

    pub(crate) fn insert(&self, connection: &Connection) -> Result<(), StoreError> {
        self.write(
            connection,
            "INSERT INTO key_version (name, version, state, origin, shares, bytes, commitment, created,
                changed, entry, root_key, nonce, wrapped)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
        )
    }

    pub(crate) fn update(&self, connection: &Connection) -> Result<(), StoreError> {
        self.write(
            connection,
            "UPDATE key_version SET state = ?3, origin = ?4, shares = ?5, bytes = ?6, commitment = ?7,
                created = ?8, changed = ?9, entry = ?10, root_key = ?11, nonce = ?12, wrapped = ?13
             WHERE name = ?1 AND version = ?2",
        )
    }

    pub(crate) fn delete(&self, connection: &Connection) -> Result<(), StoreError> {
        let KeyReference { name, version } = &self.key.reference;
        connection
            .prepare_cached("DELETE FROM key_version WHERE name = ?1 AND version = ?2")?
            .execute(params![name, version])?;
        Ok(())
    }

    fn write(&self, connection: &Connection, sql: &str) -> Result<(), StoreError> {
        let KeyVersion {
            reference: KeyReference { name, version },
            state,
            origin,
            shares,
            bytes,
            commitment,
            created,
            changed,
            entry,
        } = &self.key;
        let Wrapped {
            root_key,
            nonce,
            ciphertext,
        } = &self.wrapped;
        let changed_rows = connection.prepare_cached(sql)?.execute(params![
            name,
            version,
            state.as_str(),
            origin.as_str(),
            shares.as_str(),
            bytes,
            commitment.as_bytes().as_slice(),
            to_integer(created.0)?,
            to_integer(changed.0)?,
            to_integer(*entry)?,
            root_key.0.as_slice(),
            nonce.as_slice(),
            ciphertext,
        ])?;
        if changed_rows == 1 {
            Ok(())
        } else {
            Err(altered(&self.key.reference))
        }
    }
}

const COLUMNS: &str = "name, version, state, origin, shares, bytes, commitment, created, changed, entry, \
                       root_key, nonce, wrapped";

/// One row, or none.
pub(crate) fn find(
    connection: &Connection,
    reference: &KeyReference,
) -> Result<Option<KeyRow>, StoreError> {
    connection
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM key_version WHERE name = ?1 AND version = ?2"
        ))?
        .query_row(params![reference.name, reference.version], |row| {
            Ok(read(row))
        })
        .optional()?
        .transpose()
}

/// Every row in order of name and version, shown to `each` as it is read. The outer result is of the
/// database; a row that makes no sense is shown as its error.
pub(crate) fn for_each(
    connection: &Connection,
    mut each: impl FnMut(Result<KeyRow, StoreError>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut statement = connection.prepare(&format!(
        "SELECT {COLUMNS} FROM key_version ORDER BY name, version"
    ))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        each(read(row))?;
    }
    Ok(())
}

/// Up to `limit` rows after `after` that are not wrapped under `root_key`.
///
/// A row whose columns make no sense is left out: nothing can be done with it, and it is released to
/// nobody.
pub(crate) fn wrapped_otherwise(
    connection: &Connection,
    root_key: RootKeyId,
    after: Option<&KeyReference>,
    limit: u32,
) -> Result<Vec<KeyRow>, StoreError> {
    let (name, version) = after.map_or(("", 0), |after| (after.name.as_str(), after.version));
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM key_version WHERE root_key <> ?1 AND (name, version) > (?2, ?3)
         ORDER BY name, version LIMIT ?4"
    ))?;
    let mut rows = statement.query(params![root_key.0.as_slice(), name, version, limit])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.extend(read(row).ok());
    }
    Ok(found)
}

fn read(row: &Row<'_>) -> Result<KeyRow, StoreError> {
    let reference = KeyReference {
        name: column(row, 0, "a row without a name")?,
        version: column(row, 1, "a row without a version")?,
    };
    let wrong = || altered(&reference);
    let place = format!("{} version {}", reference.name, reference.version);
    let text = |index| column::<String>(row, index, &place);
    let bytes = |index| column::<Vec<u8>>(row, index, &place);
    let number = |index| column::<Natural>(row, index, &place).map(|number| number.0);
    Ok(KeyRow {
        key: KeyVersion {
            state: KeyState::from_text(&text(2)?).ok_or_else(wrong)?,
            origin: KeyOrigin::from_text(&text(3)?).ok_or_else(wrong)?,
            shares: KeyShares::from_text(&text(4)?).ok_or_else(wrong)?,
            bytes: column(row, 5, &place)?,
            commitment: Digest::from_slice(&bytes(6)?).ok_or_else(wrong)?,
            created: UnixMillis(number(7)?),
            changed: UnixMillis(number(8)?),
            entry: number(9)?,
            reference: reference.clone(),
        },
        wrapped: Wrapped {
            root_key: RootKeyId::from_slice(&bytes(10)?).ok_or_else(wrong)?,
            nonce: bytes(11)?.try_into().map_err(|_| wrong())?,
            ciphertext: bytes(12)?,
        },
    })
}

fn column<T: rusqlite::types::FromSql>(
    row: &Row<'_>,
    index: usize,
    place: &str,
) -> Result<T, StoreError> {
    row.get(index).map_err(|_| StoreError::Altered {
        table: TABLE,
        row: place.to_owned(),
    })
}

pub(crate) fn altered(reference: &KeyReference) -> StoreError {
    StoreError::Altered {
        table: TABLE,
        row: format!("{} version {}", reference.name, reference.version),
    }
}
