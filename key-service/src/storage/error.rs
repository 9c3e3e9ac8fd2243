//! Why storage could not do what it was asked.

use std::path::PathBuf;

use crate::{
    reason::Reason,
    root_key::{RootKeyError, RootKeyId},
};

/// An error of storage. Whose fault: [`StoreError::Altered`] and [`StoreError::RootKeyMissing`] are
/// findings about the database, the rest is the environment.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreError {
    /// A row is not what this service wrote, is missing, or is an older one put back.
    Altered {
        /// The table.
        table: &'static str,
        /// Which row, in words.
        row: String,
    },
    /// A row names a root key that is not in the root key file.
    RootKeyMissing(RootKeyId),
    /// The disk, or the configured size of the database, is full. Nothing of the group was written.
    Full,
    /// What was to be recorded cannot be spelled as an entry, or is none.
    Entry(String),
    /// The log key is not the one that the database was begun with.
    LogKey {
        /// The one in the file.
        ours: String,
        /// The one of the database.
        expected: String,
    },
    /// The mark of a single use is in the database already.
    MarkUsed,
    /// The policy changed between judging and writing; judge again.
    PolicyMoved,
    /// The disk failed. What it holds is unknown, so nothing is decided until the next start.
    Failed(String),
    /// SQLite refused for another reason.
    Sqlite(String),
    /// Another process uses the database.
    Locked(PathBuf),
    /// There is no database yet.
    NotInitialised(PathBuf),
    /// There is one already.
    AlreadyInitialised(PathBuf),
    /// The database was written by another version of the program.
    Format(i64),
    /// The writer has ended.
    Stopped,
    /// A root key could not be used.
    RootKey(String),
    /// The cryptographic library or the random source failed.
    Cryptography,
    /// The operating system refused.
    Io(PathBuf, String),
}

impl StoreError {
    /// What the peer is told.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::Altered { .. } => Reason::StorageRowAltered,
            Self::RootKeyMissing(_) => Reason::StorageRootKey,
            Self::Full => Reason::StorageFull,
            Self::MarkUsed => Reason::SessionUsed,
            Self::PolicyMoved => Reason::ServiceBusy,
            Self::Stopped => Reason::ServiceStopping,
            Self::Cryptography | Self::Entry(_) => Reason::ServiceInternal,
            Self::Failed(_)
            | Self::Sqlite(_)
            | Self::Locked(_)
            | Self::NotInitialised(_)
            | Self::AlreadyInitialised(_)
            | Self::Format(_)
            | Self::LogKey { .. }
            | Self::RootKey(_)
            | Self::Io(..) => Reason::StorageUnavailable,
        }
    }

    /// Stable identifier, finer than the reason that a peer sees.
    #[must_use]
    pub fn id(&self) -> &'static str {
        match self {
            Self::Altered { .. } => "storage.row_altered",
            Self::RootKeyMissing(_) => "storage.root_key",
            Self::Full => "storage.full",
            Self::Entry(_) => "storage.entry",
            Self::LogKey { .. } => "storage.log_key",
            Self::MarkUsed => "storage.mark_used",
            Self::PolicyMoved => "storage.policy_moved",
            Self::Failed(_) => "storage.failed",
            Self::Sqlite(_) => "storage.sqlite",
            Self::Locked(_) => "storage.locked",
            Self::NotInitialised(_) => "storage.not_initialised",
            Self::AlreadyInitialised(_) => "storage.already_initialised",
            Self::Format(_) => "storage.format",
            Self::Stopped => "storage.stopped",
            Self::RootKey(_) => "storage.root_key_file",
            Self::Cryptography => "storage.cryptography",
            Self::Io(..) => "storage.io",
        }
    }
}

impl std::fmt::Display for StoreError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Altered { table, row } => write!(
                f,
                "table {table}, {row}: this is not what the service wrote; somebody edited the database, or \
                 the root key file belongs to another one"
            ),
            Self::RootKeyMissing(id) => write!(
                f,
                "the root key file holds no key {id}, which the database needs; put the right root key \
                 file back, or add the key with `root-key import`"
            ),
            Self::Full => f.write_str(
                "the disk is full, or the database has reached [storage] max_mebibytes; nothing is decided \
                 until there is room",
            ),
            Self::Entry(message) => write!(f, "this is no entry of the log: {message}"),
            Self::LogKey { ours, expected } => write!(
                f,
                "the log key file holds {ours}, and the log was signed with {expected} so far; put the right \
                 file back, or begin a new epoch with `new-epoch` under a bundle that names the new key"
            ),
            Self::MarkUsed => f.write_str("this was used before"),
            Self::PolicyMoved => f.write_str("the policy changed meanwhile"),
            Self::Failed(message) => write!(
                f,
                "the disk failed, or has no room for SQLite's files ({message}); nothing is decided until the service \
                 is started again"
            ),
            Self::Sqlite(message) => write!(f, "SQLite: {message}"),
            Self::Locked(path) => write!(
                f,
                "another narthex-key-service uses {}; only one may",
                path.display()
            ),
            Self::NotInitialised(path) => write!(
                f,
                "there is no database at {}; make one with `init --genesis`",
                path.display()
            ),
            Self::AlreadyInitialised(path) => write!(
                f,
                "{} is initialised already; its genesis bundle is fixed for good",
                path.display()
            ),
            Self::Format(1) => f.write_str(
                "the database is from a version without the transparency log and cannot be taken over; move it \
                 away, and make a new one with `init`",
            ),
            Self::Format(found) => write!(
                f,
                "the database has format {found}, and this program knows format {}",
                super::schema::FORMAT
            ),
            Self::Stopped => f.write_str("the writer has ended"),
            Self::RootKey(message) => f.write_str(message),
            Self::Cryptography => f.write_str("the cryptographic library failed"),
            Self::Io(path, message) => write!(f, "{}: {message}", path.display()),
        }
    }
}

impl std::error::Error for StoreError {}

impl From<RootKeyError> for StoreError {
    fn from(error: RootKeyError) -> Self {
        Self::RootKey(error.to_string())
    }
}

impl From<narthex_ledger::LogError> for StoreError {
    fn from(error: narthex_ledger::LogError) -> Self {
        Self::Entry(error.to_string())
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode;
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full,
            Some(
                ErrorCode::SystemIoFailure
                | ErrorCode::DatabaseCorrupt
                | ErrorCode::NotADatabase
                | ErrorCode::ReadOnly
                | ErrorCode::CannotOpen,
            ) => Self::Failed(error.to_string()),
            _ => Self::Sqlite(error.to_string()),
        }
    }
}
