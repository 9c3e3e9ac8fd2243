//! What a process says about itself to the kernel, and who descends from it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use nix::errno::Errno;
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
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        // A process that has gone in the meantime has no descendants of interest.
        let Ok(stat) = fs::read(entry.path().join("stat")) else { continue };
        let Some(stat) = ProcessStat::parse(&stat) else { continue };
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
