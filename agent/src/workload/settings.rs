//! What the runner needs to know, resolved from the configuration once.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::unistd::{Gid, Uid};

use super::key_files::Owner;
use super::limits::LimitRules;
use super::output::OutputFate;
use super::restart::RestartRules;
use crate::config::{KEYS_FOLDER, WorkloadConfig};
use crate::mode::{Mode, Privileges};

/// `RLIMIT_NOFILE` of a workload.
const OPEN_FILES: u64 = 65_536;
/// `RLIMIT_NPROC` of a workload whose configuration sets no `pids_max`; threads count.
const PROCESSES: u64 = 4096;
/// Below it, a private `/tmp` would hide the program or the local socket from the workload.
const TEMPORARY_FILES: &str = "/tmp";

/// A workload's settings.
#[derive(Clone)]
pub struct WorkloadSettings {
    pub(super) config: WorkloadConfig,
    pub(super) owner: Option<Owner>,
    pub(super) keys_place: PathBuf,
    pub(super) environment: Vec<Vec<u8>>,
    pub(super) cover_temporary_files: bool,
    pub(super) open_files: u64,
    pub(super) processes: Option<u64>,
    pub(super) limits: LimitRules,
    /// The folder that becomes the workload's `/`. Absent: the machine's file system.
    pub(super) root: Option<PathBuf>,
    pub(super) socket: Option<PathBuf>,
    pub(super) grace: Duration,
    pub(super) restart: RestartRules,
    pub(super) output: OutputFate,
    pub(super) tolerant: bool,
    pub(super) shepherd_program: PathBuf,
}

/// Why a configuration cannot be used as the agent runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettingsError {
    /// As root, the workload's user and group must be given, neither 0.
    UserRequired,
    /// Without root there is no changing to another user.
    UserNotPossible,
    /// An enclave's agent must be root: without, nothing can be confined.
    RootRequired,
    /// `show_output` outside `--local`.
    OutputMustNotShow,
    /// `root` without root's rights to mount it.
    RootNotPossible,
}

impl SettingsError {
    /// Stable text.
    pub fn id(self) -> &'static str {
        match self {
            Self::UserRequired => "workload.user_required",
            Self::UserNotPossible => "workload.user_not_possible",
            Self::RootRequired => "workload.root_required",
            Self::OutputMustNotShow => "workload.output_must_not_show",
            Self::RootNotPossible => "workload.root_not_possible",
        }
    }
}

impl WorkloadSettings {
    /// Resolves a configuration. `runtime_directory` gets the directory `keys`; `socket` is the
    /// local socket's path, if there is one. Both are told to the workload (`NARTHEX_KEYS`,
    /// `NARTHEX_SOCKET`).
    ///
    /// # Errors
    ///
    /// [`SettingsError`].
    pub fn resolve(
        config: &WorkloadConfig,
        runtime_directory: &Path,
        socket: Option<&Path>,
        mode: Mode,
        privileges: Privileges,
    ) -> Result<Self, SettingsError> {
        let owner = match (privileges, config.user, config.group) {
            (Privileges::Root, Some(user), Some(group)) if user != 0 && group != 0 => Some(Owner {
                user: Uid::from_raw(user),
                group: Gid::from_raw(group),
            }),
            (Privileges::Root, _, _) => return Err(SettingsError::UserRequired),
            (Privileges::Unprivileged, None, None) => None,
            (Privileges::Unprivileged, _, _) => return Err(SettingsError::UserNotPossible),
        };
        if mode == Mode::Enclave && privileges != Privileges::Root {
            return Err(SettingsError::RootRequired);
        }
        let output = match (mode, config.show_output) {
            (Mode::Enclave, true) => return Err(SettingsError::OutputMustNotShow),
            (Mode::Local, true) => OutputFate::ShowInsecurely,
            (_, false) => OutputFate::Discard,
        };
        let root = config.effective_root(mode);
        if root.is_some() && privileges != Privileges::Root {
            return Err(SettingsError::RootNotPossible);
        }
        let keys_place = runtime_directory.join(KEYS_FOLDER);
        let mut environment: Vec<Vec<u8>> = config
            .environment
            .iter()
            .map(|(name, value)| variable(name, value.as_bytes()))
            .collect();
        environment.push(variable("NARTHEX_KEYS", keys_place.as_os_str().as_bytes()));
        if let Some(socket) = socket {
            environment.push(variable("NARTHEX_SOCKET", socket.as_os_str().as_bytes()));
        }
        let seen = [
            config.command.as_path(),
            &config.working_directory,
            runtime_directory,
        ];
        Ok(Self {
            owner,
            keys_place,
            environment,
            cover_temporary_files: !seen.iter().any(|path| path.starts_with(TEMPORARY_FILES)),
            open_files: OPEN_FILES,
            processes: owner.map(|_| config.pids_max.unwrap_or(PROCESSES)),
            limits: LimitRules {
                memory_max_bytes: config.memory_max_bytes,
                pids_max: config.pids_max,
                mode,
            },
            root: root.map(Path::to_owned),
            socket: socket.map(Path::to_owned),
            grace: Duration::from_millis(config.stop_grace_millis),
            restart: RestartRules {
                policy: config.restart,
                delay: Duration::from_millis(config.restart_delay_millis),
                delay_max: Duration::from_millis(config.restart_delay_max_millis),
                restarts_max: config.restarts_max,
            },
            output,
            tolerant: mode == Mode::Local,
            shepherd_program: PathBuf::from("/proc/self/exe"),
            config: config.clone(),
        })
    }

    /// Uses another binary as the shepherd: for tests, whose own binary is not the agent.
    pub fn with_shepherd_program(mut self, program: PathBuf) -> Self {
        self.shepherd_program = program;
        self
    }
}

fn variable(name: &str, value: &[u8]) -> Vec<u8> {
    let mut line = name.as_bytes().to_vec();
    line.push(b'=');
    line.extend_from_slice(value);
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(extra: &str) -> WorkloadConfig {
        toml::from_str(&format!("command = \"/bin/true\"\n{extra}")).unwrap()
    }

    fn resolve(
        extra: &str,
        mode: Mode,
        privileges: Privileges,
    ) -> Result<WorkloadSettings, SettingsError> {
        let socket = Some(Path::new("/run/narthex/workload.sock"));
        WorkloadSettings::resolve(
            &config(extra),
            Path::new("/run/narthex"),
            socket,
            mode,
            privileges,
        )
    }

    fn refusal(extra: &str, mode: Mode, privileges: Privileges) -> Option<SettingsError> {
        resolve(extra, mode, privileges).err()
    }

    #[test]
    fn user_0_is_refused_whatever_the_mode() {
        for extra in ["", "user = 0\ngroup = 5", "user = 5\ngroup = 0", "user = 5"] {
            for mode in [Mode::Enclave, Mode::Local] {
                let refused = refusal(extra, mode, Privileges::Root);
                assert_eq!(refused, Some(SettingsError::UserRequired), "{extra}");
            }
        }
    }

    #[test]
    fn another_user_needs_root() {
        let refused = refusal("user = 5\ngroup = 5", Mode::Local, Privileges::Unprivileged);
        assert_eq!(refused, Some(SettingsError::UserNotPossible));
    }

    #[test]
    fn an_enclave_needs_root() {
        let refused = refusal("", Mode::Enclave, Privileges::Unprivileged);
        assert_eq!(refused, Some(SettingsError::RootRequired));
    }

    #[test]
    fn output_shows_with_local_only() {
        let extra = "user = 5\ngroup = 5\nshow_output = true";
        let refused = refusal(extra, Mode::Enclave, Privileges::Root);
        assert_eq!(refused, Some(SettingsError::OutputMustNotShow));
        let local = resolve(extra, Mode::Local, Privileges::Root).unwrap();
        assert_eq!(local.output, OutputFate::ShowInsecurely);
    }

    #[test]
    fn the_environment_is_the_configured_one_and_two_paths() {
        let settings = resolve(
            "environment = { A = \"b=c\" }",
            Mode::Local,
            Privileges::Unprivileged,
        )
        .unwrap();
        let lines: Vec<_> = settings
            .environment
            .iter()
            .map(|line| String::from_utf8_lossy(line))
            .collect();
        assert_eq!(
            lines,
            [
                "A=b=c",
                "NARTHEX_KEYS=/run/narthex/keys",
                "NARTHEX_SOCKET=/run/narthex/workload.sock"
            ]
        );
    }

    #[test]
    fn only_local_tolerates_missing_measures() {
        let users = "user = 5\ngroup = 5";
        assert!(
            !resolve(users, Mode::Enclave, Privileges::Root)
                .unwrap()
                .tolerant
        );
        assert!(
            resolve(users, Mode::Local, Privileges::Root)
                .unwrap()
                .tolerant
        );
    }

    #[test]
    fn an_enclave_has_a_root_by_default_and_root_needs_rights() {
        let users = "user = 5\ngroup = 5";
        let root = |extra: &str, mode| resolve(extra, mode, Privileges::Root).unwrap().root;
        let default = PathBuf::from("/rootfs");
        assert_eq!(root(users, Mode::Enclave), Some(default.clone()));
        assert_eq!(root(users, Mode::Local), None);
        let elsewhere = format!("{users}\nroot = \"/image\"");
        for mode in [Mode::Enclave, Mode::Local] {
            assert_eq!(root(&elsewhere, mode), Some(PathBuf::from("/image")));
        }
        let refused = refusal("root = \"/image\"", Mode::Local, Privileges::Unprivileged);
        assert_eq!(refused, Some(SettingsError::RootNotPossible));
    }

    #[test]
    fn temporary_files_stay_when_the_program_is_among_them() {
        let covered = |command: &str| {
            let mut config = config("");
            config.command = PathBuf::from(command);
            let (mode, privileges) = (Mode::Local, Privileges::Unprivileged);
            WorkloadSettings::resolve(&config, Path::new("/run/narthex"), None, mode, privileges)
                .unwrap()
                .cover_temporary_files
        };
        assert!(covered("/bin/true"));
        assert!(covered("/tmpfoo/true"));
        assert!(!covered("/tmp/true"));
    }
}
