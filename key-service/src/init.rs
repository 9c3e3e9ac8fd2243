//! `init`: fixes the lineage of policies for good.
//!
//! The genesis bundle's digest becomes part of every wrapping and every authenticated row, so nobody can point
//! the database at another lineage afterwards, the staff of the service included. The order of things:
//! `static-key` and `log-key` make the keys that the bundle names, the reviewers sign the bundle, `init` takes it. It
//! becomes entry 0 of the log.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use narthex_channel::ArmoredSignature;
use narthex_ledger::SigningKey;
use narthex_policy::{Policy, SignedFile, limits::MAX_BUNDLE_BYTES};

use crate::{
    clock::UnixMillis,
    config::StorageConfig,
    digest::Digest,
    lineage::{AcceptedFile, AcceptedGenesis, Lineage, to_policy_digest, to_policy_time},
    log_key::{self, LogKeyError},
    root_key::{RootKeyError, RootKeyId, RootKeys},
    secret_file::SecretFileError,
    static_key::{self, StaticKeyError},
    storage::{Database, StoreError, genesis_file},
};

/// What was fixed.
#[derive(Debug)]
pub struct Initialised {
    /// Digest of the genesis bundle.
    pub genesis: Digest,
    /// The root key in use.
    pub root_key: RootKeyId,
}

/// Why nothing was fixed.
#[derive(Debug)]
#[non_exhaustive]
pub enum InitError {
    /// The policy crate refuses the bundle.
    Bundle(narthex_policy::Refusal),
    /// The bundle names no static key, or another one than this service's.
    StaticKeyMismatch {
        /// This service's.
        ours: String,
        /// The bundle's.
        bundle: Option<String>,
    },
    /// The bundle's log is another one than this service's.
    LogKeyMismatch {
        /// This service's.
        ours: String,
        /// The bundle's.
        bundle: String,
    },
    /// The log key could not be used.
    LogKey(LogKeyError),
    /// The bundle or a signature could not be read.
    Io(PathBuf, std::io::Error),
    /// The file is larger than any bundle or signature.
    TooLarge(PathBuf),
    /// The file holds no armored signature.
    Signature(PathBuf),
    /// The static key could not be used.
    StaticKey(StaticKeyError),
    /// The root key could not be used.
    RootKey(RootKeyError),
    /// The database could not be made.
    Store(StoreError),
}

impl InitError {
    /// Stable identifier.
    #[must_use]
    pub fn id(&self) -> &'static str {
        match self {
            Self::Bundle(refusal) => refusal.id(),
            Self::StaticKeyMismatch { .. } => "init.static_key",
            Self::LogKeyMismatch { .. } => "init.log_key",
            Self::LogKey(error) => error.id(),
            Self::Io(..) => "init.io",
            Self::TooLarge(_) => "file.too_large",
            Self::Signature(_) => "signature.malformed",
            Self::StaticKey(error) => error.id(),
            Self::RootKey(error) => error.id(),
            Self::Store(error) => error.id(),
        }
    }
}

impl std::fmt::Display for InitError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bundle(refusal) => write!(f, "the genesis bundle is refused: {refusal}"),
            Self::StaticKeyMismatch { ours, bundle } => write!(
                f,
                "the bundle's [key_service] static_key is {}, and this service's is \"{ours}\" (from \
                 `static-key`); agents would refuse to talk to it",
                bundle
                    .as_ref()
                    .map_or_else(|| "missing".to_owned(), |key| format!("\"{key}\""))
            ),
            Self::LogKeyMismatch { ours, bundle } => write!(
                f,
                "the bundle's [ledger] log is \"{bundle}\", and this service's is \"{ours}\" (from `log-key`); \
                 nobody would believe what it signs"
            ),
            Self::LogKey(LogKeyError::File(SecretFileError::Missing(path))) => write!(
                f,
                "{} is not there; make it with `log-key`, and put what it prints into the bundle",
                path.display()
            ),
            Self::LogKey(error) => error.fmt(f),
            Self::Io(path, error) => write!(f, "{}: {error}", path.display()),
            Self::TooLarge(path) => write!(f, "{} is too large", path.display()),
            Self::Signature(path) => {
                write!(f, "{} holds no armored SSH signature", path.display())
            }
            Self::StaticKey(StaticKeyError::File(SecretFileError::Missing(path))) => write!(
                f,
                "{} is not there; make it with `static-key`, and put its public half into the bundle",
                path.display()
            ),
            Self::StaticKey(error) => error.fmt(f),
            Self::RootKey(error) => error.fmt(f),
            Self::Store(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for InitError {}

/// Judges the genesis bundle, makes the root key file unless there is one, and makes the database.
///
/// Cut off at any moment, it can be run again: the root key file is made before anything is under it, and the
/// database in one transaction.
///
/// # Errors
///
/// [`InitError`]
pub fn init(
    config: &StorageConfig,
    genesis: &Path,
    signatures: &[PathBuf],
    now: UnixMillis,
) -> Result<Initialised, InitError> {
    let content = read(genesis, MAX_BUNDLE_BYTES)?;
    let signatures = signatures
        .iter()
        .map(|path| read_signature(path))
        .collect::<Result<Vec<_>, _>>()?;
    judge(config, &content, &signatures, now)?;
    let file = genesis_file(content, signatures, now);
    let AcceptedGenesis {
        lineage,
        file: accepted,
    } = Lineage::begin(&file).map_err(InitError::Bundle)?;
    let log_key = log_key::load(&config.log_key).map_err(InitError::LogKey)?;
    judge_log(&lineage, &log_key)?;
    let first = AcceptedFile::record(&[accepted], now).map_err(InitError::Store)?;
    let database = Database::lock(config).map_err(InitError::Store)?;
    // Before a root key is made: beside a database that has one, another would be taken for it.
    database.require_uninitialised().map_err(InitError::Store)?;
    let root_keys = load_or_create(&config.root_key).map_err(InitError::RootKey)?;
    let genesis = file.digest();
    database
        .initialise(&root_keys, Arc::new(log_key), file, first)
        .map_err(InitError::Store)?;
    let root_key = root_keys
        .iter()
        .last()
        .map(crate::root_key::RootKey::id)
        .ok_or(InitError::RootKey(RootKeyError::LastOne))?;
    Ok(Initialised { genesis, root_key })
}

fn judge(
    config: &StorageConfig,
    content: &[u8],
    signatures: &[String],
    now: UnixMillis,
) -> Result<(), InitError> {
    let file = SignedFile {
        bytes: content.to_vec(),
        signatures: signatures.to_vec(),
    };
    let digest = to_policy_digest(&Digest::of(content));
    let policy =
        Policy::from_genesis(&file, &digest, to_policy_time(now)).map_err(InitError::Bundle)?;
    let ours = static_key::load(&config.static_key)
        .map_err(InitError::StaticKey)?
        .public();
    let named = policy
        .bundle()
        .key_service
        .as_ref()
        .map(|service| service.static_key);
    if named.is_some_and(|named| named.as_bytes() == ours.as_bytes()) {
        return Ok(());
    }
    Err(InitError::StaticKeyMismatch {
        ours: hex::encode(ours.as_bytes()),
        bundle: named.map(|named| hex::encode(named.as_bytes())),
    })
}

fn judge_log(lineage: &Lineage, log_key: &SigningKey) -> Result<(), InitError> {
    let ours = log_key.verifier_key().to_string();
    let named = lineage.ledger().map(|ledger| ledger.log.as_str());
    if named == Some(&ours) {
        return Ok(());
    }
    Err(InitError::LogKeyMismatch {
        ours,
        bundle: named.unwrap_or_default().to_owned(),
    })
}

fn load_or_create(path: &Path) -> Result<RootKeys, RootKeyError> {
    match RootKeys::load(path) {
        Err(RootKeyError::File(SecretFileError::Missing(_))) => {
            let keys = RootKeys::generate()?;
            keys.create(path)?;
            Ok(keys)
        }
        other => other,
    }
}

pub(crate) fn read_signature(path: &Path) -> Result<String, InitError> {
    let bytes = read(path, ArmoredSignature::MAX_BYTES)?;
    let text = String::from_utf8(bytes).map_err(|_| InitError::Signature(path.to_owned()))?;
    // Checked here because it will travel as one when agents ask for the policy.
    ArmoredSignature::new(&text).map_err(|_| InitError::Signature(path.to_owned()))?;
    Ok(text)
}

pub(crate) fn read(path: &Path, max_bytes: usize) -> Result<Vec<u8>, InitError> {
    use std::io::Read;
    let io_error = |error| InitError::Io(path.to_owned(), error);
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .map_err(io_error)?
        .take(max_bytes as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(io_error)?;
    if bytes.len() > max_bytes {
        return Err(InitError::TooLarge(path.to_owned()));
    }
    Ok(bytes)
}
