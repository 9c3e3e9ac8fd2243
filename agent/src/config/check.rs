//! The rules of the configuration that types cannot state.

use std::collections::BTreeSet;
use std::path::Path;

use narthex_channel::Address;

use super::{
    Config, ConfigError, CounterConfig, FetcherConfig, GateConfig, KEYS_FOLDER, KeyConfig,
    KeysConfig, LocalSocketConfig, MAX_COUNTERS, MAX_KEYS, NsmConfig, PolicyConfig, WorkloadConfig,
    workload,
};
use crate::mode::{Mode, Privileges};

/// To setresuid(2) and chown(2) this number means "as it is".
const NO_ID: u32 = u32::MAX;
/// vsock's name for "this machine" (`VMADDR_CID_LOCAL`).
const LOCAL_CID: u32 = 1;

pub(super) type Checked = Result<(), ConfigError>;

pub(super) fn check(config: &Config) -> Checked {
    let Config {
        insecure_without_ledger,
        // Otherwise checked where it is read, by the policy's own rules.
        trust,
        nsm,
        policy,
        keys,
        workload,
        counters,
        local_socket,
        gate,
        fetcher,
        runtime_directory,
    } = config;
    require(
        *insecure_without_ledger || trust.log().is_some(),
        "trust.log",
        "is required: the verifier key of the log that must name the policy as current and hold every order",
    )?;
    check_nsm(nsm)?;
    check_policy(policy)?;
    check_keys(keys)?;
    if let Some(settings) = workload {
        workload::check(settings, runtime_directory)?;
        check_users(settings, gate)?;
    }
    check_counters(counters)?;
    if let Some(local_socket) = local_socket {
        check_local_socket(local_socket)?;
    }
    check_gate(gate)?;
    check_fetcher(fetcher)?;
    check_path(runtime_directory, "runtime_directory")
}

pub(super) fn check_mode(config: &Config, mode: Mode) -> Checked {
    if mode == Mode::Enclave {
        require(
            !config.insecure_without_ledger,
            "insecure_without_ledger",
            "is allowed with --local only: an enclave acts on nothing that is not in the log",
        )?;
        require(
            config.nsm == NsmConfig::Device,
            "nsm",
            "must be the device outside --local",
        )?;
        let shows = config
            .workload
            .as_ref()
            .is_some_and(|workload| workload.show_output);
        require(
            !shows,
            "workload.show_output",
            "is allowed with --local only",
        )?;
        require(
            !config.gate.insecure_older_landlock,
            "gate.insecure_older_landlock",
            "is allowed with --local only",
        )?;
        if config.workload.is_some() {
            workload::check_runtime_directory(&config.runtime_directory)?;
        }
        // The kernel vouches for a vsock peer's CID; on every other kind of address the workload would look like
        // an operator.
        require(
            matches!(config.gate.address()?, Address::Vsock { .. }),
            "gate.listen",
            "must be a vsock address outside --local: the workload could reach any other",
        )?;
    }
    Ok(())
}

pub(super) fn check_run(config: &Config, mode: Mode, privileges: Privileges) -> Checked {
    check_as(config, mode, privileges)?;
    match own_root(config, mode) {
        Some(root) => workload::check_root_exists(root),
        None => Ok(()),
    }
}

fn own_root(config: &Config, mode: Mode) -> Option<&Path> {
    let workload = config.workload.as_ref()?;
    workload.effective_root(mode)
}

pub(super) fn check_as(config: &Config, mode: Mode, privileges: Privileges) -> Checked {
    check_mode(config, mode)?;
    let users = [
        ("gate.user", Some(config.gate.user)),
        (
            "workload.user",
            config.workload.as_ref().map(|workload| workload.user),
        ),
    ];
    for (field, user) in users {
        match (privileges, user) {
            (Privileges::Root, Some(None)) => {
                return Err(ConfigError::rule(
                    field,
                    "is required when the agent runs as root",
                ));
            }
            (Privileges::Unprivileged, Some(Some(_))) => {
                return Err(ConfigError::rule(
                    field,
                    "needs root: leave it out to run without",
                ));
            }
            (Privileges::Root, Some(Some(_)) | None) | (Privileges::Unprivileged, _) => {}
        }
    }
    require(
        own_root(config, mode).is_none() || privileges == Privileges::Root,
        "workload.root",
        "needs root, to mount: leave it out to run on the machine's file system",
    )
}

fn check_nsm(nsm: &NsmConfig) -> Checked {
    match nsm {
        NsmConfig::Device => Ok(()),
        NsmConfig::Socket(path) => check_path(path, "nsm.socket"),
    }
}

fn check_policy(policy: &PolicyConfig) -> Checked {
    let PolicyConfig {
        source: _,
        poll_seconds,
    } = policy;
    policy.address()?;
    require(
        (1..=3600).contains(poll_seconds),
        "policy.poll_seconds",
        "must be 1 to 3600",
    )
}

fn check_keys(config: &KeysConfig) -> Checked {
    let KeysConfig { service, keys } = config;
    require(
        keys.len() <= MAX_KEYS,
        "keys.key",
        "lists more than 16 keys",
    )?;
    config.address()?;
    require(
        service.is_some() || keys.is_empty(),
        "keys.service",
        "is required when keys are listed",
    )?;
    let names: BTreeSet<&str> = keys.iter().map(|key| key.name.as_str()).collect();
    require(names.len() == keys.len(), "keys.key", "names a key twice")?;
    let files: BTreeSet<&str> = keys.iter().map(KeyConfig::file_name).collect();
    require(
        files.len() == keys.len(),
        "keys.key",
        "uses one file name twice",
    )?;
    require(
        files.iter().all(|file| is_file_name(file)),
        "keys.key.file",
        "must be a plain file name",
    )
}

/// The gate reads hostile bytes; sharing the workload's user would let it signal or read the workload.
fn check_users(workload: &WorkloadConfig, gate: &GateConfig) -> Checked {
    require(
        workload.user.is_none() || workload.user != gate.user,
        "gate.user",
        "must differ from workload.user",
    )?;
    require(
        workload.group.is_none() || workload.group != gate.group,
        "gate.group",
        "must differ from workload.group",
    )
}

fn check_counters(counters: &[CounterConfig]) -> Checked {
    require(
        counters.len() <= MAX_COUNTERS,
        "counter",
        "declares more than 16 counters",
    )?;
    let names: BTreeSet<&str> = counters
        .iter()
        .map(|counter| counter.name.as_str())
        .collect();
    require(
        names.len() == counters.len(),
        "counter",
        "names a counter twice",
    )?;
    for counter in counters {
        let CounterConfig {
            name,
            min,
            max,
            step,
        } = counter;
        require(
            is_declared_name(name),
            "counter.name",
            "must be a lower-case letter and then up to 31 lower-case letters, digits or hyphens",
        )?;
        require(min < max, "counter.max", "must be above `min`")?;
        require(
            *step >= 1 && *step <= max - min,
            "counter.step",
            "must be 1 to max - min",
        )?;
    }
    Ok(())
}

fn check_local_socket(local_socket: &LocalSocketConfig) -> Checked {
    let LocalSocketConfig {
        file,
        connections,
        timeout_seconds,
        attestations_per_minute,
    } = local_socket;
    require(
        is_file_name(file),
        "local_socket.file",
        "must be a plain file name",
    )?;
    require(
        file != KEYS_FOLDER,
        "local_socket.file",
        "must not be `keys`, the name of the keys' folder beside it",
    )?;
    require(
        (1..=64).contains(connections),
        "local_socket.connections",
        "must be 1 to 64",
    )?;
    require(
        (1..=300).contains(timeout_seconds),
        "local_socket.timeout_seconds",
        "must be 1 to 300",
    )?;
    require(
        (1..=6000).contains(attestations_per_minute),
        "local_socket.attestations_per_minute",
        "must be 1 to 6000",
    )
}

fn check_gate(gate: &GateConfig) -> Checked {
    let GateConfig {
        listen: _,
        user,
        group,
        insecure_older_landlock: _,
        peer_cids,
        connections,
        handshake_seconds,
        idle_seconds,
        session_seconds,
        sessions_per_minute,
        calls_per_minute,
    } = gate;
    gate.address()?;
    check_id(*user, "gate.user")?;
    check_id(*group, "gate.group")?;
    require(
        user.is_some() == group.is_some(),
        "gate.group",
        "must be given with `user`, or neither",
    )?;
    require(
        (1..=16).contains(&peer_cids.len()),
        "gate.peer_cids",
        "must list 1 to 16 peers",
    )?;
    require(
        !peer_cids.contains(&LOCAL_CID) && !peer_cids.contains(&Address::ANY_CID),
        "gate.peer_cids",
        "must not list 1 or 4294967295, by which the workload itself could connect",
    )?;
    require(
        (1..=64).contains(connections),
        "gate.connections",
        "must be 1 to 64",
    )?;
    require(
        (1..=60).contains(handshake_seconds),
        "gate.handshake_seconds",
        "must be 1 to 60",
    )?;
    require(
        (1..=3600).contains(idle_seconds),
        "gate.idle_seconds",
        "must be 1 to 3600",
    )?;
    require(
        (1..=43_200).contains(session_seconds),
        "gate.session_seconds",
        "must be 1 to 43200",
    )?;
    require(
        (1..=6000).contains(sessions_per_minute),
        "gate.sessions_per_minute",
        "must be 1 to 6000",
    )?;
    require(
        (1..=6000).contains(calls_per_minute),
        "gate.calls_per_minute",
        "must be 1 to 6000",
    )
}

fn check_fetcher(fetcher: &FetcherConfig) -> Checked {
    let FetcherConfig {
        timeout_seconds,
        retry_max_seconds,
    } = fetcher;
    require(
        (1..=300).contains(timeout_seconds),
        "fetcher.timeout_seconds",
        "must be 1 to 300",
    )?;
    require(
        (1..=3600).contains(retry_max_seconds),
        "fetcher.retry_max_seconds",
        "must be 1 to 3600",
    )
}

/// A user or group that is not root's, and is one at all.
pub(super) fn check_id(id: Option<u32>, field: &str) -> Checked {
    require(
        !matches!(id, Some(0 | NO_ID)),
        field,
        "must not be 0 or 4294967295",
    )
}

fn is_file_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 64
        && !name.starts_with('.')
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
}

fn is_declared_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|byte| byte.is_ascii_lowercase())
        && name.len() <= 32
        && bytes.all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

/// No system call takes a NUL in a path.
pub(super) fn check_path(path: &Path, field: &'static str) -> Checked {
    let nul = path.as_os_str().as_encoded_bytes().contains(&0);
    require(path.is_absolute(), field, "must be an absolute path")?;
    require(!nul, field, "must not contain NUL")
}

pub(super) fn require(holds: bool, field: &str, rule: &str) -> Checked {
    if holds {
        Ok(())
    } else {
        Err(ConfigError::rule(field, rule))
    }
}
