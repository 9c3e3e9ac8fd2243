//! What a process shares with others without a file: signals, abstract sockets, System V objects.
#![allow(unsafe_code)] // shmget(2) has no wrapper in `nix`.

use landlock::{
    ABI, Access, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetError, RulesetStatus, Scope,
};
use nix::errno::Errno;
use nix::libc;
use nix::sched::{CloneFlags, unshare};

/// Keeps the calling thread, and whatever it starts, from signalling processes that it has not started itself, and
/// from connecting to abstract Unix sockets of theirs. Files are not concerned. Needs `no_new_privs`.
///
/// # Errors
///
/// `ENOSYS` on a kernel whose Landlock is older than ABI 6 (Linux 6.12), or off.
pub fn confine_signals() -> Result<(), Errno> {
    match restrict() {
        Ok(RulesetStatus::FullyEnforced) => Ok(()),
        Ok(_) | Err(_) => Err(Errno::ENOSYS),
    }
}

/// Gives the calling process System V objects and POSIX message queues of its own, which end with the last process
/// that has them: otherwise shared memory would stay behind after every run.
///
/// # Errors
///
/// The kernel's; `EPERM` without `CAP_SYS_ADMIN`. A kernel that has no such objects at all is none.
pub fn separate_ipc() -> Result<(), Errno> {
    match unshare(CloneFlags::CLONE_NEWIPC) {
        Err(Errno::EINVAL) if has_no_shared_memory() => Ok(()),
        result => result,
    }
}

fn has_no_shared_memory() -> bool {
    const NOTHING: libc::c_long = 0;
    // SAFETY: takes integers only; a segment of size 0 is refused where there are segments.
    let segment = unsafe { libc::syscall(libc::SYS_shmget, NOTHING, NOTHING, NOTHING) };
    Errno::result(segment) == Err(Errno::ENOSYS)
}

fn restrict() -> Result<RulesetStatus, RulesetError> {
    let rules = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .scope(Scope::from_all(ABI::V6))?;
    Ok(rules.create()?.restrict_self()?.ruleset)
}
