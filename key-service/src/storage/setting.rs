//! The few single values: genesis, active root key, head of the log.

use rusqlite::{Connection, OptionalExtension, params};

use super::{
    error::StoreError,
    keyring::{Keyring, Mac},
};
use crate::{digest::Digest, root_key::RootKeyId};

const TABLE: &str = "setting";

/// Name of a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Setting {
    /// SHA-384 of the genesis bundle.
    Genesis,
    /// Id of the root key in use.
    ActiveRootKey,
    /// Where the log ends: [`super::Head`].
    Head,
}

impl Setting {
    pub(crate) const ALL: [Self; 3] = [Self::Genesis, Self::ActiveRootKey, Self::Head];

    const fn name(self) -> &'static str {
        match self {
            Self::Genesis => "genesis",
            Self::ActiveRootKey => "active_root_key",
            Self::Head => "head",
        }
    }

    fn altered(self) -> StoreError {
        StoreError::Altered {
            table: TABLE,
            row: self.name().to_owned(),
        }
    }
}

/// Writes a value, authenticated under the active root key.
pub(crate) fn put(
    connection: &Connection,
    keyring: &Keyring,
    setting: Setting,
    value: &[u8],
) -> Result<(), StoreError> {
    let mac = keyring.sign_row(TABLE, &[setting.name().as_bytes(), value])?;
    connection
        .prepare_cached(
            "INSERT INTO setting (name, value, root_key, mac) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (name) DO UPDATE SET value = ?2, root_key = ?3, mac = ?4",
        )?
        .execute(params![
            setting.name(),
            value,
            mac.root_key.0.as_slice(),
            mac.tag
        ])?;
    Ok(())
}

/// Reads a value and checks that it is what was written.
pub(crate) fn get(
    connection: &Connection,
    keyring: &Keyring,
    setting: Setting,
) -> Result<Vec<u8>, StoreError> {
    let (value, root_key, tag) = read(connection, setting)?;
    let root_key = RootKeyId::from_slice(&root_key).ok_or_else(|| setting.altered())?;
    let mac = Mac { root_key, tag };
    if keyring.row_is_ours(TABLE, &[setting.name().as_bytes(), &value], &mac)? {
        Ok(value)
    } else {
        Err(setting.altered())
    }
}

/// Genesis and active root key before anything can be checked: they say with which keys to check. A false
/// genesis gives keys under which no row holds.
pub(crate) fn unauthenticated(connection: &Connection) -> Result<(Digest, RootKeyId), StoreError> {
    let (genesis, ..) = read(connection, Setting::Genesis)?;
    let (active, ..) = read(connection, Setting::ActiveRootKey)?;
    Ok((
        Digest::from_slice(&genesis).ok_or_else(|| Setting::Genesis.altered())?,
        RootKeyId::from_slice(&active).ok_or_else(|| Setting::ActiveRootKey.altered())?,
    ))
}

type Columns = (Vec<u8>, Vec<u8>, Vec<u8>);

fn read(connection: &Connection, setting: Setting) -> Result<Columns, StoreError> {
    connection
        .prepare_cached("SELECT value, root_key, mac FROM setting WHERE name = ?1")?
        .query_row([setting.name()], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .optional()?
        .ok_or_else(|| setting.altered())
}
