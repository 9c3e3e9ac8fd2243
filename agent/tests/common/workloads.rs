//! Small workloads: shell scripts, and a directory in which they leave what they saw.

use std::fs;
use std::future::Future;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use narthex_agent::config::WorkloadConfig;
use narthex_agent::mode::{Mode, Privileges};
use narthex_agent::workload::{
    KeyFile, WorkloadHandle, WorkloadSettings, WorkloadSnapshot, WorkloadState, spawn,
};
use zeroize::Zeroizing;

use super::users::{WORKLOAD, is_root};

/// Names another copy of the agent's binary, for a test that is run again as another user.
pub const AGENT_VARIABLE: &str = "NARTHEX_TEST_AGENT";

/// The agent's binary, which is the shepherd of every run.
pub fn agent() -> PathBuf {
    let built = || PathBuf::from(env!("CARGO_BIN_EXE_narthex-agent"));
    std::env::var_os(AGENT_VARIABLE).map_or_else(built, PathBuf::from)
}

/// A place for one test: a runtime directory, and a directory the workload may write to.
pub struct Place {
    root: tempfile::TempDir,
}

impl Place {
    /// Below `/tmp`; the workload then keeps the machine's `/tmp`.
    pub fn new() -> Self {
        Self::below(Path::new("/tmp"))
    }

    /// Below another directory.
    pub fn below(parent: &Path) -> Self {
        let root = tempfile::Builder::new()
            .prefix("narthex-test-")
            .tempdir_in(parent)
            .unwrap();
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let place = Self { root };
        fs::create_dir(place.out()).unwrap();
        if is_root() {
            chown(place.out(), Some(WORKLOAD), Some(WORKLOAD)).unwrap();
        }
        place
    }

    pub fn runtime(&self) -> PathBuf {
        self.root.path().join("run")
    }

    pub fn keys(&self) -> PathBuf {
        self.runtime().join("keys")
    }

    pub fn out(&self) -> PathBuf {
        self.root.path().join("out")
    }

    /// What the workload left in a file of that name.
    pub fn seen(&self, name: &str) -> String {
        String::from_utf8_lossy(&fs::read(self.out().join(name)).unwrap_or_default()).into_owned()
    }

    /// A workload that runs `script` with `$OUT` set, by a configuration with these further lines.
    pub fn config(&self, script: &str, extra: &str) -> WorkloadConfig {
        let users = if is_root() {
            format!("user = {WORKLOAD}\ngroup = {WORKLOAD}\n")
        } else {
            String::new()
        };
        let mut config: WorkloadConfig =
            toml::from_str(&format!("command = \"/bin/sh\"\n{users}{extra}")).unwrap();
        config.arguments = vec!["-c".to_owned(), script.to_owned()];
        let out = self.out().to_str().unwrap().to_owned();
        config.environment.insert("OUT".to_owned(), out);
        let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned();
        config.environment.insert("PATH".to_owned(), path);
        config
    }

    pub fn settings(&self, config: &WorkloadConfig, mode: Mode) -> WorkloadSettings {
        let privileges = Privileges::current();
        WorkloadSettings::resolve(config, &self.runtime(), None, mode, privileges)
            .unwrap()
            .with_shepherd_program(agent())
    }

    /// A handle for `script`, as with `--local`.
    pub fn workload(&self, script: &str, extra: &str) -> WorkloadHandle {
        spawn(Some(
            self.settings(&self.config(script, extra), Mode::Local),
        ))
    }
}

/// Runs a test's future as the agent runs its own: one thread, a `LocalSet`, and no longer than a
/// minute.
pub fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        tokio::time::timeout(Duration::from_secs(60), future)
            .await
            .expect("the test hangs")
    })
}

/// Waits until `holds`.
pub async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "did not happen: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Waits until the workload will not be started again by itself.
pub async fn ended(workload: &WorkloadHandle) -> WorkloadSnapshot {
    let over = |state| matches!(state, WorkloadState::Stopped | WorkloadState::Failed);
    until("the workload's end", || over(workload.snapshot().state)).await;
    workload.snapshot()
}

pub fn key(file: &str, bytes: &[u8]) -> KeyFile {
    KeyFile {
        file: file.to_owned(),
        bytes: Zeroizing::new(bytes.to_vec()),
    }
}

/// How many processes have `marker` among their arguments.
pub fn processes_with(marker: &str) -> usize {
    let Ok(entries) = fs::read_dir("/proc") else {
        return 0;
    };
    entries
        .flatten()
        .filter_map(|entry| fs::read(entry.path().join("cmdline")).ok())
        .filter(|line| {
            line.split(|&byte| byte == 0)
                .any(|word| word == marker.as_bytes())
        })
        .count()
}
