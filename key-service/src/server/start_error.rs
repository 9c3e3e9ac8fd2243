//! Why the service does not start.

use narthex_channel::tokio::TransportError;

use crate::{
    log::LogStop, log_key::LogKeyError, root_key::RootKeyError, secret_file::SecretFileError,
    static_key::StaticKeyError, storage::StoreError,
};

/// Why the service does not start.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// The database.
    Store(StoreError),
    /// The root key file.
    RootKey(RootKeyError),
    /// The static key file.
    StaticKey(StaticKeyError),
    /// The log key file.
    LogKey(LogKeyError),
    /// Stored policy files are refused by this version of the program.
    Lineage(narthex_policy::Refusal),
    /// An address of the configuration.
    Address(String, &'static str),
    /// A listener.
    Listen(String, TransportError),
    /// An address of `[listen] log` or `[ledger.witnesses]`.
    LogAddress(String, narthex_ledger::tokio::AddressError),
    /// A listener for readers of the log.
    ListenLog(String, std::io::Error),
    /// The bundle in force names no log that can be trusted.
    Trust(narthex_ledger::LogError),
    /// A witness saw another log than this one.
    Log(LogStop),
    /// The development root (builds with `dev-root` only).
    DevelopmentRoot(String),
}

impl StartError {
    /// Stable identifier.
    #[must_use]
    pub fn id(&self) -> &'static str {
        match self {
            Self::Store(error) => error.id(),
            Self::RootKey(error) => error.id(),
            Self::StaticKey(error) => error.id(),
            Self::LogKey(error) => error.id(),
            Self::Lineage(refusal) => refusal.id(),
            Self::Address(_, id) => id,
            Self::Listen(_, error) => error.id(),
            Self::LogAddress(..) => "config.address",
            Self::ListenLog(..) => "transport.io",
            Self::Trust(error) => error.id(),
            Self::Log(stop) => stop.id(),
            Self::DevelopmentRoot(_) => "config.development_root",
        }
    }
}

impl std::fmt::Display for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Store(error) => error.fmt(f),
            Self::RootKey(error @ RootKeyError::File(SecretFileError::Missing(_))) => write!(
                f,
                "{error}; put the root key file of this database back. A new database and its root key are made by \
                 `init`"
            ),
            Self::RootKey(error) => error.fmt(f),
            Self::StaticKey(error @ StaticKeyError::File(SecretFileError::Missing(_))) => write!(
                f,
                "{error}; put back the one that the bundle names, or make another with `static-key`, and put its \
                 public half into the next bundle"
            ),
            Self::StaticKey(error) => error.fmt(f),
            Self::LogKey(error @ LogKeyError::File(SecretFileError::Missing(_))) => write!(
                f,
                "{error}; put back the one that signed the log so far. If it is lost, make another with `log-key`, and \
                 begin a new epoch with `new-epoch` under a bundle that names it"
            ),
            Self::LogKey(error) => error.fmt(f),
            Self::Lineage(refusal) => write!(f, "a stored policy file is refused: {refusal}"),
            Self::Address(address, id) => write!(f, "[listen] {address}: not an address ({id})"),
            Self::Listen(address, error) => write!(f, "[listen] {address}: {error}"),
            Self::LogAddress(address, error) => write!(f, "{address}: {error}"),
            Self::ListenLog(address, error) => write!(f, "[listen] log {address}: {error}"),
            Self::Trust(error) => write!(f, "the log of the bundle in force: {error}"),
            Self::Log(stop) => stop.fmt(f),
            Self::DevelopmentRoot(message) => write!(f, "insecure_development_root: {message}"),
        }
    }
}

impl std::error::Error for StartError {}

impl From<StoreError> for StartError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}
