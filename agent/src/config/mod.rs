//! The agent's configuration: one TOML file inside the measured image.
//!
//! Nothing else changes the agent's behaviour: no environment variable, no boot argument (R35). Unknown
//! keys are refused, so a misspelt restriction cannot silently be absent. The file is read once, at
//! boot; changing it means building another image, with other measurements.
//!
//! Whoever can write this file in `--local` runs decides everything the agent does; inside an enclave
//! it is part of PCR0 and PCR2.

use std::fmt;
use std::path::{Path, PathBuf};

use narthex_channel::{Address, AddressError};
use narthex_policy::TrustAnchor;
use serde::Deserialize;

use crate::mode::{Mode, Privileges};

mod check;
mod workload;

pub use workload::{RestartPolicy, WorkloadConfig};

/// Longest configuration file that is read.
pub const MAX_CONFIG_BYTES: usize = 64 * 1024;
/// Most counters a workload may declare.
pub const MAX_COUNTERS: usize = 16;
/// Where in `runtime_directory` the workload's keys are.
pub const KEYS_FOLDER: &str = "keys";
/// Most keys an agent may ask for; the bound of a key request.
pub const MAX_KEYS: usize = 16;

/// The whole file.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// For development: `true` skips exactly three checks – that the log names the bundle as current, that an order
    /// is logged, and that the release of keys is – which the agent says in its session statement, in
    /// `health` and in every result. Only with `--local`. Default false: no proof, no action.
    #[serde(default)]
    pub insecure_without_ledger: bool,
    /// Whom the agent believes about policy: `project`, `threshold`, `minimum_bundle_version`, `log` (the log's
    /// verifier key; may be absent with `insecure_without_ledger` only), and `[[trust.reviewer]]` with `name` and
    /// `keys`.
    pub trust: TrustAnchor,
    /// Where the Nitro Security Module is.
    #[serde(default)]
    pub nsm: NsmConfig,
    /// Where policy comes from (untrusted; integrity is by signatures).
    pub policy: PolicyConfig,
    /// The keys the workload needs. Absent: none.
    #[serde(default)]
    pub keys: KeysConfig,
    /// The program that the enclave exists for. Absent: none is run (useful for tests of a policy).
    #[serde(default)]
    pub workload: Option<WorkloadConfig>,
    /// Numbers the workload may report, at most [`MAX_COUNTERS`].
    #[serde(default, rename = "counter")]
    pub counters: Vec<CounterConfig>,
    /// The Unix socket on which the workload talks to the agent. Absent: there is none.
    #[serde(default)]
    pub local_socket: Option<LocalSocketConfig>,
    /// The diagnostics listener.
    pub gate: GateConfig,
    /// The sandboxed processes that talk to the policy source and the key service.
    #[serde(default)]
    pub fetcher: FetcherConfig,
    /// Where the agent keeps its runtime files (the keys' tmpfs, the local socket).
    #[serde(default = "default_runtime_directory")]
    pub runtime_directory: PathBuf,
}

/// Where the NSM is. Inside an enclave always the device.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub enum NsmConfig {
    /// The kernel's device, `/dev/nsm`. (The path is fixed by AWS's client.)
    #[default]
    Device,
    /// A Unix socket that speaks the documented protocol of `narthex mock-nsm`. Only with `--local`.
    Socket(PathBuf),
}

/// Where policy comes from.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyConfig {
    /// Address of the policy source, for example `vsock:3:9101`.
    pub source: String,
    /// Seconds between two looks for successors, releases and stops; ±20 % jitter is added.
    /// Default 15, 1 to 3600.
    #[serde(default = "default_poll_seconds")]
    pub poll_seconds: u32,
}

/// The keys the workload needs.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeysConfig {
    /// Address of the key service. Required when any key is listed. Its static key comes from the
    /// policy, never from here.
    #[serde(default)]
    pub service: Option<String>,
    /// The keys, at most [`MAX_KEYS`], names distinct.
    #[serde(default, rename = "key")]
    pub keys: Vec<KeyConfig>,
}

/// One key the workload needs.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyConfig {
    /// The key's name in the policy.
    pub name: String,
    /// The wanted version. Absent: the newest.
    #[serde(default)]
    pub version: Option<u32>,
    /// Name of the file in the keys' directory. Absent: `name`. No directory separators.
    #[serde(default)]
    pub file: Option<String>,
}

impl KeyConfig {
    /// The file name under which the workload finds the key.
    pub fn file_name(&self) -> &str {
        self.file.as_deref().unwrap_or(&self.name)
    }
}

/// A number the workload may report through the local socket.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CounterConfig {
    /// `[a-z][a-z0-9-]{0,31}`; the only text that ever names it.
    pub name: String,
    /// Smallest value.
    pub min: u64,
    /// Largest value, above `min`.
    pub max: u64,
    /// Values are rounded down to `min` plus a multiple of this, at least 1. Coarse steps leave a
    /// colluding workload fewer bits.
    #[serde(default = "default_counter_step")]
    pub step: u64,
}

/// The workload's local socket.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LocalSocketConfig {
    /// File name inside `runtime_directory`, default `workload.sock`.
    #[serde(default = "default_local_socket_file")]
    pub file: String,
    /// Connections served at once, default 8, 1 to 64.
    #[serde(default = "default_local_socket_connections")]
    pub connections: u16,
    /// Seconds a request may take to arrive and its answer to be read, default 10.
    #[serde(default = "default_local_socket_timeout_seconds")]
    pub timeout_seconds: u32,
    /// Attestation documents the workload may ask for per minute, default 60.
    #[serde(default = "default_local_socket_attestations")]
    pub attestations_per_minute: u32,
}

/// The diagnostics listener and the process behind it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GateConfig {
    /// Where operators connect, for example `vsock:4294967295:5005`.
    pub listen: String,
    /// Numeric user id of the gate and the fetchers, never 0 and never the workload's. Required when
    /// the agent runs as root; without root it must be absent.
    #[serde(default)]
    pub user: Option<u32>,
    /// Numeric group id, as `user`.
    #[serde(default)]
    pub group: Option<u32>,
    /// Lets gate and fetchers run on a kernel whose Landlock is older than ABI 6 (Linux 6.12), confined by the
    /// newest that it has. Only with `--local`; shows in `health`. Default false: such a kernel is refused.
    #[serde(default)]
    pub insecure_older_landlock: bool,
    /// vsock peers that may connect, default `[3]`, the parent instance. Listeners of other kinds
    /// ignore it.
    #[serde(default = "default_gate_peer_cids")]
    pub peer_cids: Vec<u32>,
    /// Connections at once, default 16, 1 to 64. More are closed before a byte is read.
    #[serde(default = "default_gate_connections")]
    pub connections: u16,
    /// Seconds the handshake may take, default 5.
    #[serde(default = "default_gate_handshake_seconds")]
    pub handshake_seconds: u32,
    /// Seconds a connection may be silent, default 60.
    #[serde(default = "default_gate_idle_seconds")]
    pub idle_seconds: u32,
    /// Seconds a connection may live in all, default 900.
    #[serde(default = "default_gate_session_seconds")]
    pub session_seconds: u32,
    /// Sessions attested per minute (each costs one NSM request), default 120.
    #[serde(default = "default_gate_sessions_per_minute")]
    pub sessions_per_minute: u32,
    /// Accepted calls per operator and minute, default 120.
    #[serde(default = "default_gate_calls_per_minute")]
    pub calls_per_minute: u32,
}

/// The sandboxed processes that speak to the policy source and the key service.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FetcherConfig {
    /// Seconds one exchange may take in all, connecting included. Default 30: a key service waits up to 20 for the
    /// log's witnesses, and its refusal is heard only by whoever still listens.
    #[serde(default = "default_fetcher_seconds")]
    pub timeout_seconds: u32,
    /// Longest pause between two attempts, seconds. Default 15.
    #[serde(default = "default_retry_max_seconds")]
    pub retry_max_seconds: u32,
}

impl Config {
    /// Parses and checks a configuration.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names the field and the rule. Nothing is corrected silently.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        if text.len() > MAX_CONFIG_BYTES {
            return Err(ConfigError::rule("file", "is longer than 64 KiB"));
        }
        let config: Self = toml::from_str(text).map_err(|error: toml::de::Error| {
            // The first line names the place; the others would draw it.
            let drawn = error.to_string();
            let place = drawn.lines().next().unwrap_or_default();
            ConfigError::rule(
                "file",
                &format!("is not accepted: {place}: {}", error.message()),
            )
        })?;
        check::check(&config)?;
        Ok(config)
    }

    /// Checks what depends on how the agent runs.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names the field and the rule.
    pub fn check_mode(&self, mode: Mode) -> Result<(), ConfigError> {
        check::check_mode(self, mode)
    }

    /// Checks what depends on how and as whom the agent will run, on a machine that need not be the one it will run
    /// on: nothing is looked for in the file system.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names the field and the rule.
    pub fn check_as(&self, mode: Mode, privileges: Privileges) -> Result<(), ConfigError> {
        check::check_as(self, mode, privileges)
    }

    /// Checks what depends on how and as whom the agent runs, here: [`Config::check_as`], and that the workload's
    /// root is there.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names the field and the rule.
    pub fn check_run(&self, mode: Mode, privileges: Privileges) -> Result<(), ConfigError> {
        check::check_run(self, mode, privileges)
    }

    /// Reads, parses and checks the file at `path`.
    ///
    /// # Errors
    ///
    /// As [`Config::parse`], and when the file cannot be read.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let unreadable = |error: std::io::Error| ConfigError {
            field: path.display().to_string(),
            rule: format!("cannot be read: {error}"),
            fault: match error.kind() {
                // Not UTF-8.
                std::io::ErrorKind::InvalidData => ConfigFault::Content,
                _ => ConfigFault::File,
            },
        };
        let file = std::fs::File::open(path).map_err(unreadable)?;
        let mut text = String::new();
        // One byte more than allowed is read, so that `parse` sees what is too long.
        let limit = u64::try_from(MAX_CONFIG_BYTES)
            .unwrap_or(u64::MAX)
            .saturating_add(1);
        std::io::Read::read_to_string(&mut std::io::Read::take(file, limit), &mut text)
            .map_err(unreadable)?;
        Self::parse(&text)
    }
}

impl Config {
    /// The path of the workload's local socket, if there is one.
    pub fn local_socket_path(&self) -> Option<PathBuf> {
        let socket = self.local_socket.as_ref()?;
        Some(self.runtime_directory.join(&socket.file))
    }
}

impl PolicyConfig {
    /// The policy source.
    ///
    /// # Errors
    ///
    /// [`ConfigError`], never for a configuration that was checked.
    pub fn address(&self) -> Result<Address, ConfigError> {
        address("policy.source", &self.source)
    }
}

impl KeysConfig {
    /// The key service, if there is one.
    ///
    /// # Errors
    ///
    /// [`ConfigError`], never for a configuration that was checked.
    pub fn address(&self) -> Result<Option<Address>, ConfigError> {
        self.service
            .as_deref()
            .map(|text| address("keys.service", text))
            .transpose()
    }
}

impl GateConfig {
    /// Where operators connect.
    ///
    /// # Errors
    ///
    /// [`ConfigError`], never for a configuration that was checked.
    pub fn address(&self) -> Result<Address, ConfigError> {
        address("gate.listen", &self.listen)
    }
}

fn address(field: &str, text: &str) -> Result<Address, ConfigError> {
    text.parse()
        .map_err(|error: AddressError| ConfigError::rule(field, &error.to_string()))
}

impl fmt::Debug for Config {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Config").finish_non_exhaustive()
    }
}

/// Why a configuration is refused: the field, and the rule it breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The field's path in the file, or `file`.
    pub field: String,
    /// What is wrong with it, continuing the field's name.
    pub rule: String,
    /// Whose fault it is.
    pub fault: ConfigFault,
}

/// Whether a configuration is wrong, or its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigFault {
    /// What it says breaks a rule.
    Content,
    /// The file cannot be read.
    File,
}

impl ConfigError {
    pub(crate) fn rule(field: &str, rule: &str) -> Self {
        Self {
            field: String::from(field),
            rule: String::from(rule),
            fault: ConfigFault::Content,
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "configuration: {} {}", self.field, self.rule)
    }
}

impl std::error::Error for ConfigError {}

impl Default for FetcherConfig {
    fn default() -> Self {
        Self {
            timeout_seconds: default_fetcher_seconds(),
            retry_max_seconds: default_retry_max_seconds(),
        }
    }
}

fn default_runtime_directory() -> PathBuf {
    PathBuf::from("/run/narthex")
}

fn default_poll_seconds() -> u32 {
    15
}

fn default_counter_step() -> u64 {
    1
}

fn default_local_socket_file() -> String {
    String::from("workload.sock")
}

fn default_local_socket_connections() -> u16 {
    8
}

fn default_local_socket_timeout_seconds() -> u32 {
    10
}

fn default_local_socket_attestations() -> u32 {
    60
}

fn default_gate_peer_cids() -> Vec<u32> {
    vec![3]
}

fn default_gate_connections() -> u16 {
    16
}

fn default_gate_handshake_seconds() -> u32 {
    5
}

fn default_gate_idle_seconds() -> u32 {
    60
}

fn default_gate_session_seconds() -> u32 {
    900
}

fn default_gate_sessions_per_minute() -> u32 {
    120
}

fn default_gate_calls_per_minute() -> u32 {
    120
}

fn default_fetcher_seconds() -> u32 {
    30
}

fn default_retry_max_seconds() -> u32 {
    15
}

#[cfg(test)]
mod tests;
