//! What people read when a command does not do what they asked, and the exit code that says whose fault it is.

use std::{fmt, process::ExitCode};

use narthex_key_service::{
    commands::CommandError,
    config::ConfigError,
    init::InitError,
    log::{LogStop, recovery::RecoveryError},
    log_key::LogKeyError,
    root_key::RootKeyError,
    secret_file::SecretFileError,
    server::StartError,
    static_key::StaticKeyError,
    storage::StoreError,
};
use narthex_ledger::LogReason;

/// Whose fault it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Fault {
    /// The bundle, or the database, is not what it should be.
    Refused = 1,
    /// Arguments or configuration.
    Misuse = 2,
    /// Files, devices, the network.
    Environment = 3,
}

/// A command that failed.
#[derive(Debug)]
pub(crate) struct Failure {
    fault: Fault,
    id: &'static str,
    message: String,
}

impl Failure {
    pub(crate) fn new(fault: Fault, id: &'static str, message: String) -> Self {
        Self { fault, id, message }
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.fault as u8)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.id)
    }
}

fn store_fault(error: &StoreError) -> Fault {
    match error {
        StoreError::Altered { .. }
        | StoreError::RootKeyMissing(_)
        | StoreError::LogKey { .. }
        | StoreError::Entry(_) => Fault::Refused,
        StoreError::NotInitialised(_)
        | StoreError::AlreadyInitialised(_)
        | StoreError::Format(_) => Fault::Misuse,
        _ => Fault::Environment,
    }
}

fn secret_file_fault(error: &SecretFileError) -> Fault {
    match error {
        SecretFileError::LoosePermissions { .. }
        | SecretFileError::ForeignOwner { .. }
        | SecretFileError::NotRegular(_) => Fault::Refused,
        _ => Fault::Environment,
    }
}

fn root_key_fault(error: &RootKeyError) -> Fault {
    match error {
        RootKeyError::File(error) => secret_file_fault(error),
        RootKeyError::Malformed { .. } => Fault::Refused,
        RootKeyError::Unknown(_) | RootKeyError::LastOne | RootKeyError::TooMany => Fault::Misuse,
        _ => Fault::Environment,
    }
}

fn static_key_fault(error: &StaticKeyError) -> Fault {
    match error {
        StaticKeyError::File(error) => secret_file_fault(error),
        StaticKeyError::Malformed => Fault::Refused,
        _ => Fault::Environment,
    }
}

fn log_key_fault(error: &LogKeyError) -> Fault {
    match error {
        LogKeyError::File(error) => secret_file_fault(error),
        LogKeyError::Malformed => Fault::Refused,
        _ => Fault::Misuse,
    }
}

impl From<LogKeyError> for Failure {
    fn from(error: LogKeyError) -> Self {
        Self::new(log_key_fault(&error), error.id(), error.to_string())
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        let fault = match error {
            ConfigError::Io(..) => Fault::Environment,
            _ => Fault::Misuse,
        };
        Self::new(fault, error.id(), error.to_string())
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::new(store_fault(&error), error.id(), error.to_string())
    }
}

impl From<StaticKeyError> for Failure {
    fn from(error: StaticKeyError) -> Self {
        Self::new(static_key_fault(&error), error.id(), error.to_string())
    }
}

impl From<InitError> for Failure {
    fn from(error: InitError) -> Self {
        let fault = match &error {
            InitError::Bundle(_)
            | InitError::StaticKeyMismatch { .. }
            | InitError::LogKeyMismatch { .. }
            | InitError::TooLarge(_)
            | InitError::Signature(_) => Fault::Refused,
            InitError::StaticKey(error) => static_key_fault(error),
            InitError::LogKey(error) => log_key_fault(error),
            InitError::RootKey(error) => root_key_fault(error),
            InitError::Store(error) => store_fault(error),
            _ => Fault::Environment,
        };
        Self::new(fault, error.id(), error.to_string())
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        let fault = match &error {
            StartError::Store(error) => store_fault(error),
            StartError::RootKey(error) => root_key_fault(error),
            StartError::StaticKey(error) => static_key_fault(error),
            StartError::LogKey(error) => log_key_fault(error),
            StartError::Lineage(_) | StartError::Trust(_) | StartError::Log(_) => Fault::Refused,
            StartError::Address(..)
            | StartError::LogAddress(..)
            | StartError::DevelopmentRoot(_) => Fault::Misuse,
            _ => Fault::Environment,
        };
        Self::new(fault, error.id(), error.to_string())
    }
}

impl From<RecoveryError> for Failure {
    fn from(error: RecoveryError) -> Self {
        let fault = match &error {
            RecoveryError::Store(error) => store_fault(error),
            RecoveryError::RootKey(error) => root_key_fault(error),
            RecoveryError::LogKey(error) => log_key_fault(error),
            RecoveryError::Mirror(error) if error.reason() != LogReason::Unavailable => {
                Fault::Refused
            }
            RecoveryError::Policy(_) | RecoveryError::Stop(_) | RecoveryError::Quorum(_) => {
                Fault::Refused
            }
            RecoveryError::Epoch(_) => Fault::Refused,
            RecoveryError::Address(_) => Fault::Misuse,
            _ => Fault::Environment,
        };
        Self::new(fault, error.id(), error.to_string())
    }
}

impl From<LogStop> for Failure {
    fn from(stop: LogStop) -> Self {
        let fault = match stop {
            LogStop::Behind { .. } | LogStop::Forked { .. } => Fault::Refused,
            LogStop::Ended => Fault::Environment,
        };
        Self::new(fault, stop.id(), stop.to_string())
    }
}

impl From<CommandError> for Failure {
    fn from(error: CommandError) -> Self {
        let fault = match &error {
            CommandError::Store(error) => store_fault(error),
            CommandError::RootKey(error) => root_key_fault(error),
            CommandError::RootKeyInUse(_) => Fault::Refused,
            _ => Fault::Misuse,
        };
        Self::new(fault, error.id(), error.to_string())
    }
}
