//! What a process says about itself to the kernel, and who descends from it.
#![allow(unsafe_code)] // waitpid(2): the wrapper in `nix` loses a child that a real-time signal ended.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use nix::errno::Errno;
use nix::libc;
use nix::sys::prctl;
use nix::unistd::Pid;

use super::process_stat::ProcessStat;

/// Makes the calling process unreadable to others of its user: no core dump, no `ptrace`, no
/// `/proc/PID/mem`. The agent, the shepherd and the gate call it first thing.
///
/// # Errors
///
/// The kernel's; none is known for these arguments.
pub fn forbid_dumps() -> Result<(), Errno> {
    prctl::set_dumpable(false)
}

/// Makes the kernel, when it is out of memory, take nearly anything else before the calling process and those that it
/// starts. Needs root; without, the kernel's own choice stands, which prefers whoever has the most memory: seldom a
/// process of the agent's.
pub fn spare_from_oom_kill() {
    const NEARLY_NEVER: &str = "-900";
    let _ = fs::write("/proc/self/oom_score_adj", NEARLY_NEVER);
}

/// Makes orphaned descendants become children of the calling process.
///
/// # Errors
///
/// The kernel's; none is known for these arguments.
pub fn become_subreaper() -> Result<(), Errno> {
    prctl::set_child_subreaper(true)
}

/// Every process that descends from `ancestor`, itself excluded, by one reading of `/proc`.
///
/// A process that is forked while this reads may be missing: callers that need all of them repeat
/// until the kernel says that no child is left.
pub fn descendants(ancestor: Pid) -> Vec<Pid> {
    let mut children: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        // A process that has gone in the meantime has no descendants of interest.
        let Ok(stat) = fs::read(entry.path().join("stat")) else {
            continue;
        };
        let Some(stat) = ProcessStat::parse(&stat) else {
            continue;
        };
        children.entry(stat.parent).or_default().push(pid);
    }
    let mut found = BTreeSet::new();
    let mut next = vec![ancestor.as_raw()];
    while let Some(pid) = next.pop() {
        for &child in children.get(&pid).map_or(&[][..], Vec::as_slice) {
            if found.insert(child) {
                next.push(child);
            }
        }
    }
    found.into_iter().map(Pid::from_raw).collect()
}

/// What [`collect_child`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Collected {
    /// This child has ended and is now collected.
    Ended(Pid, ChildEnd),
    /// There are children, and all of them run.
    AllRunning,
    /// There is no child.
    NoneLeft,
}

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChildEnd {
    /// It called `exit`; the kernel keeps eight bits of the code.
    Code(u8),
    /// A signal, real-time signals included.
    Signal(u8),
}

/// Collects one child that has ended, without waiting.
pub fn collect_child() -> Collected {
    let mut status = 0;
    loop {
        // SAFETY: the status is written to a variable of ours.
        let result = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) };
        return match Errno::result(result) {
            Ok(0) => Collected::AllRunning,
            Ok(pid) => Collected::Ended(Pid::from_raw(pid), ChildEnd::from_status(status)),
            Err(Errno::EINTR) => continue,
            Err(_) => Collected::NoneLeft, // ECHILD is the only other one for these arguments.
        };
    }
}

impl ChildEnd {
    fn from_status(status: libc::c_int) -> Self {
        let byte = |number: libc::c_int| u8::try_from(number & 0xff).unwrap_or(u8::MAX);
        if libc::WIFSIGNALED(status) {
            Self::Signal(byte(libc::WTERMSIG(status)))
        } else {
            Self::Code(byte(libc::WEXITSTATUS(status)))
        }
    }
}
