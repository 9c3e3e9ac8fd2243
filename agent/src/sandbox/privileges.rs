//! User, capabilities, process flags and resource limits.

// Two system calls have no safe wrapper: `capset`, and `prctl` on the bounding set.
#![allow(unsafe_code)]

use nix::libc;
use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::Signal;
use nix::unistd::{Gid, Uid, getresgid, getresuid, setgroups, setresgid, setresuid};

use super::SandboxError;

/// A user and group of no consequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserIds {
    /// User id, never 0.
    pub user: u32,
    /// Group id, never 0.
    pub group: u32,
}

/// Limits that differ between the kinds of process.
pub(super) struct Limits {
    pub(super) max_open_files: u64,
}

/// Most bytes of heap: far above what the bounded tables need, far below what would hurt the workload.
const MAX_DATA_BYTES: u64 = 64 * 1024 * 1024;

/// Landlock and seccomp confine threads, not processes: with two, one would stay free.
pub(super) fn require_one_thread() -> Result<(), SandboxError> {
    let threads = std::fs::read_dir("/proc/self/task")
        .map_err(|_| SandboxError::SeveralThreads)?
        .count();
    if threads == 1 {
        Ok(())
    } else {
        Err(SandboxError::SeveralThreads)
    }
}

/// Drops everything that can be dropped, and looks afterwards whether it is gone.
pub(super) fn drop_all(user: Option<UserIds>, limits: &Limits) -> Result<(), SandboxError> {
    let root = nix::unistd::geteuid().is_root();
    match user {
        Some(ids) => {
            if root {
                drop_bounding_set()?;
            }
            become_user(ids)?;
        }
        None if root => return Err(SandboxError::UserMissing),
        None => {}
    }
    drop_capabilities()?;
    set_process_flags()?;
    set_resource_limits(limits)
}

fn become_user(ids: UserIds) -> Result<(), SandboxError> {
    let UserIds { user, group } = ids;
    if user == 0 || group == 0 {
        return Err(SandboxError::User);
    }
    let (uid, gid) = (Uid::from_raw(user), Gid::from_raw(group));
    let change = || -> nix::Result<bool> {
        setgroups(&[])?;
        setresgid(gid, gid, gid)?;
        setresuid(uid, uid, uid)?;
        let (users, groups) = (getresuid()?, getresgid()?);
        Ok(users.real == uid
            && users.effective == uid
            && users.saved == uid
            && groups.real == gid
            && groups.effective == gid
            && groups.saved == gid)
    };
    match change() {
        Ok(true) => Ok(()),
        Ok(false) | Err(_) => Err(SandboxError::User),
    }
}

/// Empties the bounding set, so that no program file could give a capability back.
fn drop_bounding_set() -> Result<(), SandboxError> {
    // The kernel answers EINVAL for the first number that is no capability.
    for capability in 0..=63_u64 {
        // SAFETY: PR_CAPBSET_DROP takes one integer and touches no memory.
        let result = unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) };
        if result != 0 {
            return match nix::errno::Errno::last() {
                nix::errno::Errno::EINVAL if capability > 0 => Ok(()),
                _ => Err(SandboxError::Capabilities),
            };
        }
    }
    Ok(())
}

/// The header of `capset` (linux/capability.h), version 3.
#[repr(C)]
struct CapabilityHeader {
    version: u32,
    pid: libc::c_int,
}

/// One of the two 32-bit halves of the three sets.
#[repr(C)]
#[derive(Clone, Copy)]
struct CapabilityData {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

const CAPABILITY_VERSION_3: u32 = 0x2008_0522;
const NO_CAPABILITIES: [CapabilityData; 2] = [CapabilityData {
    effective: 0,
    permitted: 0,
    inheritable: 0,
}; 2];

fn drop_capabilities() -> Result<(), SandboxError> {
    let mut header = CapabilityHeader {
        version: CAPABILITY_VERSION_3,
        pid: 0,
    };
    let mut data = NO_CAPABILITIES;
    // SAFETY: both structures are laid out as linux/capability.h says and live through the calls; the
    // kernel only reads them in `capset` and only writes them in `capget`.
    let (set, get) = unsafe {
        let set = libc::syscall(libc::SYS_capset, &raw mut header, NO_CAPABILITIES.as_ptr());
        let get = libc::syscall(libc::SYS_capget, &raw mut header, data.as_mut_ptr());
        (set, get)
    };
    let empty = data
        .iter()
        .all(|half| half.effective == 0 && half.permitted == 0 && half.inheritable == 0);
    // With an empty inheritable set the ambient set is empty as well (capabilities(7)).
    if set == 0 && get == 0 && empty {
        Ok(())
    } else {
        Err(SandboxError::Capabilities)
    }
}

fn set_process_flags() -> Result<(), SandboxError> {
    let set = || -> nix::Result<bool> {
        // Set after the change of user, which clears it.
        prctl::set_pdeathsig(Signal::SIGKILL)?;
        prctl::set_dumpable(false)?;
        prctl::set_no_new_privs()?;
        prctl::get_no_new_privs()
    };
    match set() {
        Ok(true) => Ok(()),
        Ok(false) | Err(_) => Err(SandboxError::ProcessFlags),
    }
}

fn set_resource_limits(limits: &Limits) -> Result<(), SandboxError> {
    let Limits { max_open_files } = limits;
    let limits = [
        (Resource::RLIMIT_NOFILE, *max_open_files),
        (Resource::RLIMIT_NPROC, 0),
        (Resource::RLIMIT_FSIZE, 0),
        (Resource::RLIMIT_CORE, 0),
        (Resource::RLIMIT_DATA, MAX_DATA_BYTES),
    ];
    limits
        .into_iter()
        .try_for_each(|(resource, limit)| setrlimit(resource, limit, limit))
        .map_err(|_| SandboxError::ResourceLimits)
}
