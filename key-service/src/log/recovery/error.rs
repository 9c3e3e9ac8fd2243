//! Why the log could not be recovered.

use narthex_ledger::{LogError, LogReason, StoreError as LogStoreError, tokio::ClientError};

use super::super::LogStop;
use crate::{init::InitError, log_key::LogKeyError, root_key::RootKeyError, storage::StoreError};

/// Why the log could not be recovered. What was imported by then is there, and the command can be run again.
#[derive(Debug)]
#[non_exhaustive]
pub enum RecoveryError {
    /// The database.
    Store(StoreError),
    /// The root key file.
    RootKey(RootKeyError),
    /// The log key file.
    LogKey(LogKeyError),
    /// The mirror, or what it holds, is not this log.
    Mirror(LogError),
    /// The mirror's address.
    Address(String),
    /// A policy file is refused.
    Policy(narthex_policy::Refusal),
    /// A file of the command line.
    File(Box<InitError>),
    /// A witness saw more than the mirror holds, or something else.
    Stop(LogStop),
    /// Too few witnesses have confirmed that the mirror is complete.
    Quorum(String),
    /// The bundle does not open an epoch here.
    Epoch(String),
}

impl RecoveryError {
    /// Stable identifier.
    #[must_use]
    pub fn id(&self) -> &'static str {
        match self {
            Self::Store(error) => error.id(),
            Self::RootKey(error) => error.id(),
            Self::LogKey(error) => error.id(),
            Self::Mirror(error) => error.id(),
            Self::Address(_) => "config.address",
            Self::Policy(refusal) => refusal.id(),
            Self::File(error) => error.id(),
            Self::Stop(stop) => stop.id(),
            Self::Quorum(_) => LogReason::Quorum.id(),
            Self::Epoch(_) => "log.epoch",
        }
    }
}

impl std::fmt::Display for RecoveryError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Store(error) => error.fmt(f),
            Self::RootKey(error) => error.fmt(f),
            Self::LogKey(error) => error.fmt(f),
            Self::Mirror(error) => write!(f, "the mirror: {}", error.detail()),
            Self::Address(words) | Self::Quorum(words) | Self::Epoch(words) => f.write_str(words),
            Self::Policy(refusal) => write!(f, "a policy file is refused: {refusal}"),
            Self::File(error) => error.fmt(f),
            Self::Stop(LogStop::Behind {
                witness,
                known,
                here,
            }) => write!(
                f,
                "the witness {witness} saw this log with {known} entries, and the mirror holds {here}: find a mirror \
                 that is complete. Nothing was changed"
            ),
            Self::Stop(stop) => stop.fmt(f),
        }
    }
}

impl std::error::Error for RecoveryError {}

impl From<StoreError> for RecoveryError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<RootKeyError> for RecoveryError {
    fn from(error: RootKeyError) -> Self {
        Self::RootKey(error)
    }
}

impl From<LogKeyError> for RecoveryError {
    fn from(error: LogKeyError) -> Self {
        Self::LogKey(error)
    }
}

impl From<LogError> for RecoveryError {
    fn from(error: LogError) -> Self {
        Self::Mirror(error)
    }
}

impl From<LogStoreError> for RecoveryError {
    fn from(error: LogStoreError) -> Self {
        Self::Mirror(error.into())
    }
}

impl From<ClientError> for RecoveryError {
    fn from(error: ClientError) -> Self {
        Self::Address(error.to_string())
    }
}

impl From<narthex_policy::Refusal> for RecoveryError {
    fn from(refusal: narthex_policy::Refusal) -> Self {
        Self::Policy(refusal)
    }
}

impl From<LogStop> for RecoveryError {
    fn from(stop: LogStop) -> Self {
        Self::Stop(stop)
    }
}
