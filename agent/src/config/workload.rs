//! `[workload]`: the program that the enclave exists for, and what it may have.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;

use super::ConfigError;
use super::check::{Checked, check_id, check_path, require};
use crate::mode::Mode;

/// One page: less is no file system at all.
const MIN_FILE_SYSTEM_BYTES: u64 = 4096;

/// The workload: the program that the enclave exists for.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkloadConfig {
    /// Absolute path of the program, seen from `root`.
    pub command: PathBuf,
    /// Its arguments, without the program's own name.
    #[serde(default)]
    pub arguments: Vec<String>,
    /// Its whole environment; nothing is inherited. The agent adds `NARTHEX_KEYS` (the keys'
    /// directory) and `NARTHEX_SOCKET` (the local socket), which may not be named here.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// Its working directory, absolute. Default `/`.
    #[serde(default = "default_working_directory")]
    pub working_directory: PathBuf,
    /// Numeric user id, never 0 and never the gate's. Required when the agent runs as root; without
    /// root it must be absent.
    #[serde(default)]
    pub user: Option<u32>,
    /// Numeric group id, never 0. As `user`.
    #[serde(default)]
    pub group: Option<u32>,
    /// When it is started again after it ended.
    #[serde(default)]
    pub restart: RestartPolicy,
    /// Restarts after which it is left stopped. Absent: no limit.
    #[serde(default)]
    pub restarts_max: Option<u64>,
    /// Shows the workload's standard output and error on the agent's standard error. Refused outside
    /// `--local`; everywhere else they are discarded and counted.
    #[serde(default)]
    pub show_output: bool,
    /// Shortest pause before a restart, milliseconds; doubled after each quick death up to
    /// `restart_delay_max_millis`. Default 500.
    #[serde(default = "default_restart_delay_millis")]
    pub restart_delay_millis: u64,
    /// Longest pause before a restart, milliseconds. Default 30000.
    #[serde(default = "default_restart_delay_max_millis")]
    pub restart_delay_max_millis: u64,
    /// How long it may take to end after SIGTERM before it is killed, milliseconds. Default 5000.
    #[serde(default = "default_stop_grace_millis")]
    pub stop_grace_millis: u64,
    /// cgroup `memory.max`, bytes. Absent: in an enclave what is available at each start, less what the
    /// agent needs; with `--local` no limit.
    #[serde(default)]
    pub memory_max_bytes: Option<u64>,
    /// cgroup `pids.max`; threads count. Absent: in an enclave 1,024, or half of what the kernel allows in
    /// all where that is less; with `--local` no limit.
    #[serde(default)]
    pub pids_max: Option<u64>,
    /// Absolute path of the folder that is the workload's `/`: read-only, without set-user-id programs
    /// and devices, without the mounts below it. Everything else of the agent's file system is out of its
    /// sight. Absent: [`WorkloadConfig::ENCLAVE_ROOT`] in an enclave; with `--local` the machine's own
    /// file system. With `--local` it needs root.
    #[serde(default)]
    pub root: Option<PathBuf>,
    /// Most bytes in the workload's `/tmp`, a file system in memory that counts towards
    /// `memory_max_bytes`. Only with a root of its own. Default 64 MiB, at least 4096.
    #[serde(default = "default_file_system_bytes")]
    pub tmp_max_bytes: u64,
    /// The same for `/dev/shm` (POSIX shared memory). Default 64 MiB, at least 4096.
    #[serde(default = "default_file_system_bytes")]
    pub shm_max_bytes: u64,
    /// Lets the workload start programs and load libraries that it has written to `/tmp`. Default false:
    /// every program file that it can start is in the measured image.
    #[serde(default)]
    pub insecure_executable_tmp: bool,
    /// Whether the workload may use vsock, the only network of an enclave. Default true. It can then
    /// listen, and reach every port of the parent instance; the agent's gate turns it away.
    #[serde(default = "default_vsock")]
    pub vsock: bool,
}

/// When a workload is started again after it ended.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum RestartPolicy {
    /// After every end.
    Always,
    /// After a non-zero exit code or a signal.
    #[default]
    OnFailure,
    /// Never.
    Never,
}

impl WorkloadConfig {
    /// Where an image has the workload's file system.
    pub const ENCLAVE_ROOT: &str = "/rootfs";

    /// The folder that becomes the workload's `/`; `None` when it sees the machine's.
    pub fn effective_root(&self, mode: Mode) -> Option<&Path> {
        match (self.root.as_deref(), mode) {
            (Some(root), _) => Some(root),
            (None, Mode::Enclave) => Some(Path::new(Self::ENCLAVE_ROOT)),
            (None, Mode::Local) => None,
        }
    }
}

fn default_working_directory() -> PathBuf {
    PathBuf::from("/")
}

fn default_restart_delay_millis() -> u64 {
    500
}

fn default_restart_delay_max_millis() -> u64 {
    30_000
}

fn default_stop_grace_millis() -> u64 {
    5_000
}

fn default_file_system_bytes() -> u64 {
    64 * 1024 * 1024
}

fn default_vsock() -> bool {
    true
}

pub(super) fn check(workload: &WorkloadConfig, runtime_directory: &Path) -> Checked {
    let WorkloadConfig {
        command,
        arguments,
        environment,
        working_directory,
        user,
        group,
        restart: _,
        restarts_max: _,
        show_output: _,
        restart_delay_millis,
        restart_delay_max_millis,
        stop_grace_millis,
        memory_max_bytes,
        pids_max,
        root,
        tmp_max_bytes,
        shm_max_bytes,
        insecure_executable_tmp: _,
        vsock: _,
    } = workload;
    check_path(command, "workload.command")?;
    require(
        arguments.iter().all(|argument| !argument.contains('\0')),
        "workload.arguments",
        "must not contain NUL",
    )?;
    for (name, value) in environment {
        let sound = !name.is_empty() && !name.contains(['=', '\0']) && !value.contains('\0');
        require(
            sound,
            "workload.environment",
            "has a name or value that cannot be passed on",
        )?;
        require(
            !matches!(name.as_str(), "NARTHEX_KEYS" | "NARTHEX_SOCKET"),
            "workload.environment",
            "names a variable that the agent sets",
        )?;
    }
    check_path(working_directory, "workload.working_directory")?;
    check_id(*user, "workload.user")?;
    check_id(*group, "workload.group")?;
    require(
        user.is_some() == group.is_some(),
        "workload.group",
        "must be given with `user`, or neither",
    )?;
    require(
        *restart_delay_millis >= 10,
        "workload.restart_delay_millis",
        "must be at least 10",
    )?;
    require(
        restart_delay_max_millis >= restart_delay_millis && *restart_delay_max_millis <= 3_600_000,
        "workload.restart_delay_max_millis",
        "must be between restart_delay_millis and one hour",
    )?;
    require(
        *stop_grace_millis <= 600_000,
        "workload.stop_grace_millis",
        "must be at most 600000",
    )?;
    require(
        *memory_max_bytes != Some(0),
        "workload.memory_max_bytes",
        "must not be 0",
    )?;
    require(*pids_max != Some(0), "workload.pids_max", "must not be 0")?;
    for (field, bytes) in [
        ("workload.tmp_max_bytes", *tmp_max_bytes),
        ("workload.shm_max_bytes", *shm_max_bytes),
    ] {
        // The kernel takes 0 for "no limit".
        require(
            bytes >= MIN_FILE_SYSTEM_BYTES,
            field,
            "must be at least 4096",
        )?;
    }
    root.as_deref()
        .map_or(Ok(()), |root| check_root(root, runtime_directory))
}

fn check_root(root: &Path, runtime_directory: &Path) -> Checked {
    let field = "workload.root";
    check_path(root, field)?;
    require(!climbs(root), field, "must not contain `..`")?;
    require(
        root.components().count() > 1,
        field,
        "must not be `/`: leave it out to run on the machine's file system (--local only)",
    )?;
    let kernels = ["/proc", "/sys", "/dev"];
    require(
        !kernels.iter().any(|kernels| root.starts_with(kernels)),
        field,
        "must not lie in /proc, /sys or /dev",
    )?;
    require(
        !root.starts_with(runtime_directory) && !runtime_directory.starts_with(root),
        field,
        "must be apart from runtime_directory, where the keys are",
    )?;
    check_runtime_directory(runtime_directory)
}

/// A workload with a root of its own finds keys and local socket at the agent's own paths, and the only places
/// in which they can be made there are its file systems in memory.
pub(super) fn check_runtime_directory(runtime_directory: &Path) -> Checked {
    let below =
        |place| runtime_directory.starts_with(place) && runtime_directory != Path::new(place);
    require(
        (below("/run") || below("/tmp")) && !climbs(runtime_directory),
        "runtime_directory",
        "must lie below /run or /tmp when the workload has a root of its own",
    )
}

/// Checks the folder itself, on the machine on which the workload will run.
pub(super) fn check_root_exists(root: &Path) -> Checked {
    let found = std::fs::symlink_metadata(root).map_err(|error| {
        ConfigError::rule(
            "workload.root",
            &format!("({}) cannot be used: {error}", root.display()),
        )
    })?;
    require(
        found.is_dir(),
        "workload.root",
        "must be a directory, and no link to one",
    )
}

fn climbs(path: &Path) -> bool {
    path.components().any(|part| part == Component::ParentDir)
}
