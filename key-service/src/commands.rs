//! What the program's subcommands do, apart from `run` (see [`crate::server`]) and `init` ([`crate::init`]).
//!
//! Every one that changes a file takes the lock of the database first, so that it never works beside a running
//! service; those that only look need none.

use std::path::Path;

use crate::{
    config::StorageConfig,
    root_key::{RootKeyError, RootKeyId, RootKeys},
    storage::{self, Database, Findings, Recorded, StoreError},
};

/// Why a command failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum CommandError {
    /// The root key file.
    RootKey(RootKeyError),
    /// The database.
    Store(StoreError),
    /// The database has rows under this root key.
    RootKeyInUse(RootKeyId),
    /// Not 32 hex digits.
    RootKeyId(String),
}

impl CommandError {
    /// Stable identifier.
    #[must_use]
    pub fn id(&self) -> &'static str {
        match self {
            Self::RootKey(error) => error.id(),
            Self::Store(error) => error.id(),
            Self::RootKeyInUse(_) => "root_key.in_use",
            Self::RootKeyId(_) => "root_key.id",
        }
    }
}

impl std::fmt::Display for CommandError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::RootKey(error) => error.fmt(f),
            Self::Store(error) => error.fmt(f),
            Self::RootKeyInUse(id) => write!(
                f,
                "the database has rows under root key {id}; rotate first (`narthex keys`), then forget"
            ),
            Self::RootKeyId(text) => write!(f, "{text:?} is not a root key id (32 hex digits)"),
        }
    }
}

impl std::error::Error for CommandError {}

impl From<RootKeyError> for CommandError {
    fn from(error: RootKeyError) -> Self {
        Self::RootKey(error)
    }
}

impl From<StoreError> for CommandError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Checks every row of the database, and all evidence.
///
/// # Errors
///
/// [`CommandError`]; altered key rows and evidence are in the findings.
pub fn check(config: &StorageConfig) -> Result<Findings, CommandError> {
    let root_keys = RootKeys::load(&config.root_key)?;
    Ok(storage::check(config, &root_keys)?)
}

/// Shows every entry of the log in order, once the whole log is checked.
///
/// # Errors
///
/// [`CommandError`]
pub fn entries(config: &StorageConfig, each: impl FnMut(&Recorded)) -> Result<(), CommandError> {
    let root_keys = RootKeys::load(&config.root_key)?;
    Ok(storage::entries(config, &root_keys, each)?)
}

/// The keys of the root key file, oldest first, and whether the database needs each.
///
/// # Errors
///
/// [`CommandError`]
pub fn list_root_keys(config: &StorageConfig) -> Result<Vec<(RootKeyId, bool)>, CommandError> {
    let root_keys = RootKeys::load(&config.root_key)?;
    let used = storage::root_keys_in_use(config)?;
    Ok(root_keys
        .iter()
        .map(|key| (key.id(), used.contains(&key.id())))
        .collect())
}

/// Adds the keys of another root key file and returns how many were new.
///
/// # Errors
///
/// [`CommandError`]
pub fn import_root_keys(config: &StorageConfig, from: &Path) -> Result<usize, CommandError> {
    let _database = Database::lock(config)?;
    let mut ours = RootKeys::load(&config.root_key)?;
    let theirs = RootKeys::load(from)?;
    let before = ours.iter().count();
    for key in theirs.iter() {
        ours.add_oldest(key.clone())?;
    }
    ours.replace(&config.root_key)?;
    Ok(ours.iter().count() - before)
}

/// Removes a key that no row needs.
///
/// # Errors
///
/// [`CommandError::RootKeyInUse`] when a row needs it.
pub fn forget_root_key(config: &StorageConfig, id: &str) -> Result<RootKeyId, CommandError> {
    let id = hex::decode(id)
        .ok()
        .and_then(|bytes| RootKeyId::from_slice(&bytes))
        .ok_or_else(|| CommandError::RootKeyId(id.to_owned()))?;
    let _database = Database::lock(config)?;
    if storage::root_keys_in_use(config)?.contains(&id) {
        return Err(CommandError::RootKeyInUse(id));
    }
    let mut keys = RootKeys::load(&config.root_key)?;
    keys.forget(id)?;
    keys.replace(&config.root_key)?;
    Ok(id)
}
