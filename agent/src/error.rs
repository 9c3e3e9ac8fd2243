//! Why the agent ends, and what people read about it.

use std::fmt;

use narthex_nsm::NsmError;

use crate::config::{ConfigError, ConfigFault};
use crate::init::checks::SelfCheck;
use crate::sandbox::SandboxError;

/// Why the agent does not start, or ends.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AgentError {
    /// The configuration is refused.
    Config(ConfigError),
    /// `--local` as PID 1: inside an enclave nothing may depend on the command line.
    LocalAsInit,
    /// In an enclave: this machine is not what it must be.
    SelfCheck(SelfCheck),
    /// The NSM does not answer.
    Nsm(NsmError),
    /// The NSM's own document cannot be read.
    NsmDocument,
    /// PCR16 was extended or locked before the agent started: something else ran first.
    PcrAlreadyExtended,
    /// PCR16 is not what it must be after the extension, or not every register is locked.
    PcrNotLocked,
    /// The system's random source failed.
    Random,
    /// A confined process could not be confined: the agent does not serve.
    Sandbox(SandboxError),
    /// A confined process ended, or said something else, before it reported its confinement.
    ConfinedProcess,
    /// The diagnostics listener could not be opened.
    Listen(std::io::ErrorKind),
    /// The runtime directory, the local socket or the workload's surroundings could not be made.
    Runtime {
        /// What was being made.
        what: &'static str,
        /// How it failed.
        kind: std::io::ErrorKind,
    },
    /// The workload's surroundings could not be made; the text is from a closed list.
    Workload(&'static str),
}

impl AgentError {
    /// Stable text.
    pub fn id(&self) -> &'static str {
        match self {
            Self::Config(_) => "agent.config",
            Self::LocalAsInit => "agent.local_as_init",
            Self::SelfCheck(check) => check.id(),
            Self::Nsm(error) => error.id(),
            Self::NsmDocument => "agent.nsm_document",
            Self::PcrAlreadyExtended => "agent.pcr_already_extended",
            Self::PcrNotLocked => "agent.pcr_not_locked",
            Self::Random => "agent.random",
            Self::Sandbox(error) => error.id(),
            Self::ConfinedProcess => "agent.confined_process",
            Self::Listen(_) => "agent.listen",
            Self::Runtime { .. } => "agent.runtime",
            Self::Workload(id) => id,
        }
    }

    /// The exit code: 1 refused, 2 misuse, 3 environment.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::PcrAlreadyExtended | Self::PcrNotLocked => 1,
            Self::Config(ConfigError {
                fault: ConfigFault::File,
                ..
            }) => 3,
            Self::Config(_) | Self::LocalAsInit => 2,
            Self::SelfCheck(_)
            | Self::Nsm(_)
            | Self::NsmDocument
            | Self::Random
            | Self::Sandbox(_)
            | Self::ConfinedProcess
            | Self::Listen(_)
            | Self::Runtime { .. }
            | Self::Workload(_) => 3,
        }
    }
}

impl fmt::Display for AgentError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => write!(formatter, "{error}"),
            Self::LocalAsInit => write!(formatter, "--local is refused for PID 1"),
            Self::SelfCheck(check) => write!(formatter, "{}", check.advice()),
            Self::Nsm(error) => write!(formatter, "{error}"),
            Self::NsmDocument => write!(formatter, "the NSM's own document cannot be read"),
            Self::PcrAlreadyExtended => write!(
                formatter,
                "PCR16 is extended or locked already: something used this NSM before the agent; \
                 start the enclave (or the mock NSM) anew"
            ),
            Self::PcrNotLocked => {
                write!(
                    formatter,
                    "the NSM did not extend PCR16 or lock all registers as asked"
                )
            }
            Self::Random => write!(formatter, "the system's random source failed"),
            Self::Sandbox(error) => {
                write!(
                    formatter,
                    "the sandbox cannot be enforced, so nothing is served: {error}"
                )
            }
            Self::ConfinedProcess => {
                write!(formatter, "a confined process ended before it was confined")
            }
            Self::Listen(kind) => write!(formatter, "gate.listen cannot be opened: {kind}"),
            Self::Runtime { what, kind } => write!(formatter, "{what} cannot be made: {kind}"),
            Self::Workload(id) => write!(formatter, "the workload cannot be prepared: {id}"),
        }
    }
}

impl std::error::Error for AgentError {}

impl From<ConfigError> for AgentError {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

impl From<NsmError> for AgentError {
    fn from(error: NsmError) -> Self {
        Self::Nsm(error)
    }
}

impl From<SandboxError> for AgentError {
    fn from(error: SandboxError) -> Self {
        Self::Sandbox(error)
    }
}
