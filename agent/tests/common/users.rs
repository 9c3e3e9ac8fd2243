//! Running a test as root and as an ordinary user, on a machine where we are one of the two.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::workloads::{AGENT_VARIABLE, agent};

/// An ordinary user and group that own nothing: nobody.
pub const ORDINARY: u32 = 65_534;
/// The user that stands for the workload's own in tests as root. It owns nothing, and has no name.
pub const WORKLOAD: u32 = 61_234;

pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Says why a test ends early; a test that needs root cannot do anything else as an ordinary user.
pub fn skip_without_root(test: &str) -> bool {
    if is_root() {
        return false;
    }
    eprintln!("{test}: skipped, needs root");
    true
}

/// Runs `body` as an ordinary user: directly when we are one, otherwise by running this very test
/// again as [`ORDINARY`]. `test` is the full name of the calling test.
pub fn as_ordinary_user(test: &str, body: impl FnOnce()) {
    if !is_root() {
        return body();
    }
    let copies = tempfile::tempdir().unwrap();
    fs::set_permissions(copies.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let this_test = reachable(&std::env::current_exe().unwrap(), copies.path());
    let output = Command::new(this_test)
        .args(["--exact", test, "--nocapture"])
        .env(AGENT_VARIABLE, reachable(&agent(), copies.path()))
        .uid(ORDINARY)
        .gid(ORDINARY)
        .current_dir("/")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "as an ordinary user: {text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// The program, or a copy of it where the way to it is closed to others (a checkout in `/root`).
pub fn reachable(program: &Path, copies: &Path) -> PathBuf {
    let open = |path: &Path| {
        fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o001 != 0)
    };
    if program.ancestors().all(open) {
        return program.to_owned();
    }
    let copy = copies.join(program.file_name().unwrap());
    fs::copy(program, &copy).unwrap();
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).unwrap();
    copy
}
