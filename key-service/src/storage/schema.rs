//! The tables, and how a connection to them is opened.
//!
//! | Table | Holds | Authenticated by |
//! |---|---|---|
//! | `setting` | genesis, active root key, head of the log | HMAC-SHA384 |
//! | `policy_file` | bundles, release and stop statements as they were signed | HMAC-SHA384 |
//! | `key_version` | wrapped keys and their state | AES-256-GCM, associated data |
//! | `entry` | every entry of the log, by sequence over all epochs | the tree of its epoch, see `head` |
//! | `tile` | hashes of the tree, 256 in a row | the tree |
//! | `evidence` | what entries were decided on, salted | the digest in its entry |
//! | `checkpoint` | the newest signed note, and the newest one with the witnesses' quorum | signatures |
//! | `epoch` | the logs that there were: key, first entry, and how each ended | digest in `head`; signatures |
//!
//! Rows cannot be edited, swapped, deleted or replaced by an older one unnoticed: each is authenticated with
//! its place, and the entries say what the rows of the other tables must be. Putting back an older copy of
//! the *whole* database is noticed by the witnesses, which know a larger log then.

use std::{fs::OpenOptions, io, os::unix::fs::OpenOptionsExt, path::Path, time::Duration};

use rusqlite::{Connection, OpenFlags, config::DbConfig};

use super::error::StoreError;

/// Rises when the tables change.
pub(super) const FORMAT: i64 = 2;

/// `application_id` of our files, so that `file` and people can tell: "Nrtx".
const APPLICATION_ID: i64 = 0x4e72_7478;

const TABLES: &str = "
CREATE TABLE setting (
    name     TEXT PRIMARY KEY,
    value    BLOB NOT NULL,
    root_key BLOB NOT NULL,
    mac      BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE policy_file (
    position   INTEGER PRIMARY KEY,
    kind       TEXT NOT NULL,
    sha384     BLOB NOT NULL,
    content    BLOB NOT NULL,
    signatures BLOB NOT NULL,
    accepted   INTEGER NOT NULL,
    entry      INTEGER NOT NULL,
    root_key   BLOB NOT NULL,
    mac        BLOB NOT NULL
) STRICT;

CREATE TABLE key_version (
    name       TEXT NOT NULL,
    version    INTEGER NOT NULL,
    state      TEXT NOT NULL,
    origin     TEXT NOT NULL,
    shares     TEXT NOT NULL,
    bytes      INTEGER NOT NULL,
    commitment BLOB NOT NULL,
    created    INTEGER NOT NULL,
    changed    INTEGER NOT NULL,
    entry      INTEGER NOT NULL,
    root_key   BLOB NOT NULL,
    nonce      BLOB NOT NULL,
    wrapped    BLOB NOT NULL,
    PRIMARY KEY (name, version)
) STRICT, WITHOUT ROWID;

CREATE INDEX key_version_root_key ON key_version (root_key);

CREATE TABLE entry (
    sequence INTEGER PRIMARY KEY,
    epoch    INTEGER NOT NULL,
    leaf     BLOB NOT NULL,
    hash     BLOB NOT NULL,
    mark     BLOB
) STRICT;

CREATE UNIQUE INDEX entry_mark ON entry (mark) WHERE mark IS NOT NULL;

CREATE TABLE tile (
    epoch    INTEGER NOT NULL,
    level    INTEGER NOT NULL,
    position INTEGER NOT NULL,
    hashes   BLOB NOT NULL,
    PRIMARY KEY (epoch, level, position)
) STRICT;

CREATE TABLE evidence (
    number   INTEGER PRIMARY KEY,
    sequence INTEGER NOT NULL,
    time     INTEGER NOT NULL,
    kind     TEXT NOT NULL,
    digest   BLOB NOT NULL,
    content  BLOB NOT NULL
) STRICT;

CREATE UNIQUE INDEX evidence_digest ON evidence (digest);

CREATE TABLE checkpoint (
    kind  TEXT PRIMARY KEY,
    epoch INTEGER NOT NULL,
    size  INTEGER NOT NULL,
    note  TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE epoch (
    number         INTEGER PRIMARY KEY,
    log_key        TEXT NOT NULL,
    first_sequence INTEGER NOT NULL,
    size           INTEGER,
    root           BLOB,
    note           TEXT
) STRICT;
";

/// How long a connection waits for another one that holds what it needs.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Creates the tables in a fresh file. The caller is inside a transaction.
pub(crate) fn create(connection: &Connection) -> Result<(), StoreError> {
    connection.execute_batch(TABLES)?;
    connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    connection.pragma_update(None, "user_version", FORMAT)?;
    Ok(())
}

/// Opens the file and sets what durability and bounds need; creates an empty file if asked to.
pub(crate) fn connect(
    path: &Path,
    create: CreateFile,
    max_mebibytes: u32,
) -> Result<Connection, StoreError> {
    if create == CreateFile::Allow {
        // Not by SQLite, which would leave it, and the files it makes beside it, to others.
        make_private(path).map_err(|error| StoreError::Io(path.to_owned(), error.to_string()))?;
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    distrust_file(&connection)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // FULL: the WAL is synced before a commit returns. NORMAL would lose answered keys in a power cut.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", "ON")?;
    // Destroyed keys are overwritten with zeros, not merely unlinked. For what stands in the write-ahead log besides, see
    // `Writing::destroyed`.
    connection.pragma_update(None, "secure_delete", "ON")?;
    let page_bytes: i64 = connection.pragma_query_value(None, "page_size", |row| row.get(0))?;
    let pages = i64::from(max_mebibytes) * 1024 * 1024 / page_bytes.max(512);
    connection.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()))?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

/// An empty file that is ours alone, unless there is one.
fn make_private(path: &Path) -> io::Result<()> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(nix::fcntl::OFlag::O_NOFOLLOW.bits())
        .open(path)
        .map(drop)
}

/// Whoever can write the file can write its schema, too. What the service has no use for, it does not run.
fn distrust_file(connection: &Connection) -> Result<(), StoreError> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.pragma_update(None, "trusted_schema", "OFF")?;
    connection.pragma_update(None, "cell_size_check", "ON")?;
    connection.query_row("PRAGMA mmap_size = 0", [], |_| Ok(()))?;
    Ok(())
}

/// Refuses a schema that is not exactly ours: no trigger, view, table or index more, and none less.
pub(crate) fn verify(connection: &Connection) -> Result<(), StoreError> {
    let ours = Connection::open_in_memory()?;
    ours.execute_batch(TABLES)?;
    let (expected, found) = (entries(&ours)?, entries(connection)?);
    let differs = |one: &[Entry], other: &[Entry]| {
        let different = one.iter().find(|entry| !other.contains(entry));
        different.map(|(_, name, ..)| name.clone())
    };
    match differs(&found, &expected).or_else(|| differs(&expected, &found)) {
        None => Ok(()),
        Some(name) => Err(StoreError::Altered {
            table: "sqlite_schema",
            row: name,
        }),
    }
}

/// Type, name, table and text.
type Entry = (String, String, String, Option<String>);

fn entries(connection: &Connection) -> Result<Vec<Entry>, StoreError> {
    let mut statement =
        connection.prepare("SELECT type, name, tbl_name, sql FROM sqlite_schema")?;
    let rows = statement.query_map([], |row| {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Whether a missing file may be created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CreateFile {
    Allow,
    Deny,
}

/// The format of an opened file; 0 for an empty one.
pub(crate) fn format(connection: &Connection) -> Result<i64, StoreError> {
    Ok(connection.pragma_query_value(None, "user_version", |row| row.get(0))?)
}

/// A number that is never negative; SQLite's integers are signed.
pub(crate) struct Natural(pub(crate) u64);

impl rusqlite::types::FromSql for Natural {
    fn column_result(value: rusqlite::types::ValueRef<'_>) -> rusqlite::types::FromSqlResult<Self> {
        let number = i64::column_result(value)?;
        u64::try_from(number)
            .map(Self)
            .map_err(|_| rusqlite::types::FromSqlError::OutOfRange(number))
    }
}

/// SQLite's integers are signed; nothing of ours comes near the limit.
pub(crate) fn to_integer(value: u64) -> Result<i64, StoreError> {
    i64::try_from(value).map_err(|_| StoreError::Sqlite("a number is too large".to_owned()))
}
