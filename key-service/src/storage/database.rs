//! Creating, locking, opening and checking the file.

use std::{
    ffi::OsString,
    fs::{File, OpenOptions},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    thread::JoinHandle,
};

use narthex_ledger::SigningKey;
use nix::fcntl::{Flock, FlockArg};
use rusqlite::Connection;

use super::{
    account::Account,
    epoch::Epoch,
    error::StoreError,
    evidence_check::{self, EvidenceFindings},
    integrity::{self, Loaded},
    keyring::Keyring,
    policy_file::PolicyFile,
    record::{Head, Record, Recorded},
    schema::{self, CreateFile},
    setting::{self, Setting},
    state::{Log, State},
    view,
    walk::Walk,
    writer::Store,
    writing::Writing,
};
use crate::{
    clock::UnixMillis,
    config::StorageConfig,
    digest::Digest,
    metrics::Metrics,
    root_key::{RootKeyId, RootKeys},
};

/// A database file that this process alone uses.
pub struct Database {
    path: PathBuf,
    max_mebibytes: u32,
    /// Held as long as this value lives. A lock of the kernel: it ends with the process, however it ends.
    _lock: Flock<File>,
}

/// A database that was checked and is being written to.
pub struct Opened {
    /// The way to the writer.
    pub store: Store,
    /// Ends after the last [`Store`] is dropped.
    pub writer: JoinHandle<()>,
    /// The lineage, in the order of acceptance.
    pub policy_files: Vec<PolicyFile>,
    /// Key rows that are not what was written.
    pub altered_keys: Vec<StoreError>,
    /// Rows that a cut-off rotation of the root key left behind.
    pub rows_to_rewrap: u64,
    /// Digest of the genesis bundle.
    pub genesis: Digest,
    /// The root key in use.
    pub root_key: RootKeyId,
    /// Where the log stands.
    pub head: Head,
    /// Every epoch of the log, oldest first.
    pub epochs: Vec<Epoch>,
}

/// What a check of a whole database found.
#[derive(Debug)]
pub struct Findings {
    /// Number of entries, over all epochs.
    pub entries: u64,
    /// Where the log stands.
    pub head: Head,
    /// What became of the evidence.
    pub evidence: EvidenceFindings,
    /// Number of key versions.
    pub keys: usize,
    /// Number of policy files.
    pub policy_files: usize,
    /// Key rows that are not what was written.
    pub altered_keys: Vec<StoreError>,
}

impl Database {
    /// Takes the file for this process.
    ///
    /// # Errors
    ///
    /// [`StoreError::Locked`] when another process has it.
    pub fn lock(config: &StorageConfig) -> Result<Self, StoreError> {
        let path = config.database.clone();
        // By its own name: two configurations may know one file by two. It is not there yet before `init`.
        let own = path.canonicalize().unwrap_or_else(|_| path.clone());
        let mut name = OsString::from(own.as_os_str());
        name.push(".lock");
        let lock_path = PathBuf::from(name);
        // Not the database file itself: SQLite's own locks on it must stay as SQLite made them.
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&lock_path)
            .map_err(|error| StoreError::Io(lock_path.clone(), error.to_string()))?;
        let lock = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, error)| {
            if error == nix::errno::Errno::EWOULDBLOCK {
                StoreError::Locked(path.clone())
            } else {
                StoreError::Io(lock_path.clone(), error.to_string())
            }
        })?;
        Ok(Self {
            path,
            max_mebibytes: config.max_mebibytes,
            _lock: lock,
        })
    }

    /// Demands that nothing was fixed yet, without making anything.
    ///
    /// # Errors
    ///
    /// [`StoreError::AlreadyInitialised`]; what SQLite says.
    pub fn require_uninitialised(&self) -> Result<(), StoreError> {
        if !self.path.exists() {
            return Ok(());
        }
        let connection = schema::connect(&self.path, CreateFile::Deny, self.max_mebibytes)?;
        match schema::format(&connection)? {
            0 => Ok(()),
            _ => Err(StoreError::AlreadyInitialised(self.path.clone())),
        }
    }

    /// Makes the tables and fixes the genesis, all or nothing. `first` becomes entry 0 of the log: the genesis as an
    /// accepted policy file.
    ///
    /// # Errors
    ///
    /// [`StoreError::AlreadyInitialised`]; what SQLite says.
    pub fn initialise(
        &self,
        root_keys: &RootKeys,
        log_key: Arc<SigningKey>,
        genesis: PolicyFile,
        first: Record,
    ) -> Result<Recorded, StoreError> {
        let connection = schema::connect(&self.path, CreateFile::Allow, self.max_mebibytes)?;
        if schema::format(&connection)? != 0 {
            return Err(StoreError::AlreadyInitialised(self.path.clone()));
        }
        let active = newest(root_keys)?;
        let digest = genesis.digest();
        let keyring = Keyring::new(digest, active, root_keys)?;
        let mut state = State {
            keyring,
            log: Log::begin(log_key),
            account: Account::default(),
            undo: Vec::new(),
            after_commit: Vec::new(),
            destroyed: false,
        };
        let transaction = connection.unchecked_transaction()?;
        schema::create(&connection)?;
        let begin = state.log.place();
        for epoch in &state.log.epochs {
            epoch.put(&connection)?;
        }
        let mut writing = Writing {
            connection: &connection,
            state: &mut state,
        };
        writing.insert_policy_file(genesis)?;
        let recorded = writing.record(first)?;
        writing.finish(begin)?;
        writing.rewrite_settings()?;
        transaction.commit()?;
        Ok(recorded)
    }

    /// Checks everything and starts the writer.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotInitialised`], [`StoreError::Format`], [`StoreError::Altered`],
    /// [`StoreError::RootKeyMissing`], [`StoreError::LogKey`]; what SQLite says.
    pub fn open(
        &self,
        root_keys: &RootKeys,
        log_key: Arc<SigningKey>,
        group_limit: usize,
        metrics: Arc<Metrics>,
    ) -> Result<Opened, StoreError> {
        self.open_with(root_keys, Some(log_key), group_limit, metrics)
    }

    /// [`Self::open`] without the key of the log: all that can be written is the beginning of a new epoch.
    ///
    /// # Errors
    ///
    /// As [`Self::open`].
    pub fn open_to_end_epoch(
        &self,
        root_keys: &RootKeys,
        metrics: Arc<Metrics>,
    ) -> Result<Opened, StoreError> {
        self.open_with(root_keys, None, 1, metrics)
    }

    fn open_with(
        &self,
        root_keys: &RootKeys,
        log_key: Option<Arc<SigningKey>>,
        group_limit: usize,
        metrics: Arc<Metrics>,
    ) -> Result<Opened, StoreError> {
        let connection = connect_initialised(&self.path, self.max_mebibytes)?;
        let Loaded {
            state,
            newest,
            policy_files,
            altered_keys,
            rows_to_rewrap,
        } = in_snapshot(&connection, |connection| {
            integrity::load(connection, root_keys, log_key)
        })?;
        let (genesis, root_key) = (*state.keyring.genesis(), state.keyring.active());
        let (head, epochs) = (state.log.head(), state.log.epochs.clone());
        let (store, writer) = Store::start(connection, state, newest, group_limit, metrics)?;
        Ok(Opened {
            store,
            writer,
            policy_files,
            altered_keys,
            rows_to_rewrap,
            genesis,
            root_key,
            head,
            epochs,
        })
    }
}

/// Checks everything, evidence too, without changing anything; works beside a running service.
///
/// # Errors
///
/// What [`Database::open`] refuses; altered key rows and evidence are in the findings.
pub fn check(config: &StorageConfig, root_keys: &RootKeys) -> Result<Findings, StoreError> {
    let connection = connect_initialised(&config.database, config.max_mebibytes)?;
    in_snapshot(&connection, |connection| {
        let sound: String =
            connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
        if sound != "ok" {
            return Err(StoreError::Failed(sound));
        }
        let loaded = integrity::load(connection, root_keys, None)?;
        let head = loaded.state.log.head();
        Ok(Findings {
            entries: head.count,
            evidence: evidence_check::check_evidence(connection, &head)?,
            head,
            keys: loaded.state.account.anchors.len(),
            policy_files: loaded.policy_files.len(),
            altered_keys: loaded.altered_keys,
        })
    })
}

/// Shows every entry to `each`, in order, the whole log checked before; works beside a running service.
///
/// # Errors
///
/// What [`Database::open`] refuses about settings, entries, tiles and checkpoints.
pub fn entries(
    config: &StorageConfig,
    root_keys: &RootKeys,
    mut each: impl FnMut(&Recorded),
) -> Result<(), StoreError> {
    let connection = connect_initialised(&config.database, config.max_mebibytes)?;
    in_snapshot(&connection, |connection| {
        let (genesis, active) = setting::unauthenticated(connection)?;
        let keyring = Keyring::new(genesis, active, root_keys)?;
        let head = setting::get(connection, &keyring, Setting::Head)?;
        let head = Head::from_bytes(&head).ok_or_else(|| StoreError::Altered {
            table: "setting",
            row: "head".to_owned(),
        })?;
        Walk::through(connection, &head, |_| {})?;
        let epochs = super::epoch::all(connection)?;
        for sequence in 0..head.count {
            each(&view::read_recorded(connection, &epochs, sequence)?);
        }
        Ok(())
    })
}

/// Which root keys rows of the database are under; works beside a running service.
///
/// # Errors
///
/// What SQLite says.
pub fn root_keys_in_use(config: &StorageConfig) -> Result<Vec<RootKeyId>, StoreError> {
    let connection = connect_initialised(&config.database, config.max_mebibytes)?;
    let mut statement = connection.prepare(
        "SELECT root_key FROM key_version UNION SELECT root_key FROM policy_file
         UNION SELECT root_key FROM setting",
    )?;
    let ids = statement.query_map([], |row| row.get::<_, Vec<u8>>(0))?;
    let mut found = Vec::new();
    for id in ids {
        found.extend(RootKeyId::from_slice(&id?));
    }
    Ok(found)
}

pub(super) fn connect_initialised(
    path: &Path,
    max_mebibytes: u32,
) -> Result<Connection, StoreError> {
    if !path.exists() {
        return Err(StoreError::NotInitialised(path.to_owned()));
    }
    let connection = schema::connect(path, CreateFile::Deny, max_mebibytes)?;
    match schema::format(&connection)? {
        0 => Err(StoreError::NotInitialised(path.to_owned())),
        schema::FORMAT => {
            schema::verify(&connection)?;
            Ok(connection)
        }
        other => Err(StoreError::Format(other)),
    }
}

fn in_snapshot<T>(
    connection: &Connection,
    work: impl FnOnce(&Connection) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let transaction = connection.unchecked_transaction()?;
    let result = work(connection);
    transaction.finish()?;
    result
}

fn newest(root_keys: &RootKeys) -> Result<RootKeyId, StoreError> {
    root_keys
        .iter()
        .last()
        .map(crate::root_key::RootKey::id)
        .ok_or(StoreError::Cryptography)
}

/// The genesis as a policy file, accepted at `now`.
#[must_use]
pub fn genesis_file(content: Vec<u8>, signatures: Vec<String>, now: UnixMillis) -> PolicyFile {
    PolicyFile {
        position: 0,
        kind: super::policy_file::PolicyFileKind::Bundle,
        content,
        signatures,
        accepted: now,
        entry: 0,
    }
}
