//! The real agent as a process.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use narthex_agent::sandbox::{FULL_LANDLOCK_ABI, kernel_landlock_abi};

/// A running agent; killed when dropped.
pub struct Agent {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
}

/// The program under test: the one just built, or the one that `NARTHEX_TEST_AGENT` names.
pub fn program() -> PathBuf {
    let built = || PathBuf::from(env!("CARGO_BIN_EXE_narthex-agent"));
    std::env::var_os("NARTHEX_TEST_AGENT").map_or_else(built, PathBuf::from)
}

impl Agent {
    /// Starts `narthex-agent --local` with this configuration.
    pub fn start(directory: &Path, config: &str) -> Self {
        let path = directory.join("agent.toml");
        std::fs::write(&path, config).expect("write");
        let mut child = Command::new(program())
            .arg("--local")
            .arg(&path)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("start");
        let lines: Arc<Mutex<Vec<String>>> = Arc::default();
        let (stderr, kept) = (child.stderr.take().expect("piped"), lines.clone());
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                kept.lock().unwrap().push(line);
            }
        });
        Self { child, lines }
    }

    /// What it said so far.
    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    /// Waits until it says something that contains `text`.
    pub fn wait_for(&self, text: &str) {
        let end = Instant::now() + Duration::from_secs(30);
        while !self.lines().iter().any(|line| line.contains(text)) {
            assert!(Instant::now() < end, "no {text:?} in {:#?}", self.lines());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) {
        let id = nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).expect("small"));
        nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGTERM).expect("signal");
    }

    /// Waits for its end and returns its exit code.
    pub fn exit_code(&mut self) -> Option<i32> {
        let end = Instant::now() + Duration::from_secs(30);
        loop {
            if let Some(status) = self.child.try_wait().expect("wait") {
                return status.code();
            }
            assert!(Instant::now() < end, "still running: {:#?}", self.lines());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The ids of its children.
    pub fn children(&self) -> Vec<(u32, String)> {
        let mut children = Vec::new();
        for entry in std::fs::read_dir("/proc").expect("proc").flatten() {
            let Some(id) = entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok())
            else {
                continue;
            };
            let parent = status_of(id, "PPid:");
            if parent.as_deref() == Some(&self.child.id().to_string()) {
                let line = std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
                children.push((id, String::from_utf8_lossy(&line).replace('\0', " ")));
            }
        }
        children
    }

    /// The id of the gate.
    pub fn gate(&self) -> Option<u32> {
        self.children()
            .into_iter()
            .find(|(_, line)| line.contains("gate"))
            .map(|(id, _)| id)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One value out of `/proc/ID/status`.
pub fn status_of(id: u32, name: &str) -> Option<String> {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let value = status.lines().find_map(|line| line.strip_prefix(name))?;
    Some(value.trim().to_owned())
}

/// Lines of `[gate]` that depend on who runs the test, and on which kernel.
pub fn gate_user() -> String {
    let root = nix::unistd::geteuid().is_root();
    let user = if root {
        "user = 64123\ngroup = 64123\n"
    } else {
        ""
    };
    let older = if has_full_landlock() {
        ""
    } else {
        "insecure_older_landlock = true\n"
    };
    format!("{user}{older}")
}

/// Whether this kernel's Landlock is all that the sandbox wants.
pub fn has_full_landlock() -> bool {
    kernel_landlock_abi() >= FULL_LANDLOCK_ABI
}

/// The same for the workload.
pub fn workload_user() -> &'static str {
    if nix::unistd::geteuid().is_root() {
        "user = 64124\ngroup = 64124\n"
    } else {
        ""
    }
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
    listener.local_addr().expect("address").port()
}

/// A directory that other users may pass through.
pub fn directory() -> (tempfile::TempDir, PathBuf) {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().expect("directory");
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(directory.path(), mode).expect("mode");
    let path = directory.path().to_owned();
    (directory, path)
}
