//! seccomp: the list of allowed system calls; any other ends the process with SIGSYS.

use std::collections::BTreeMap;

use nix::libc;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

use super::SandboxError;

/// Which system calls a process needs for its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// Accepts connections on an inherited listener and speaks on them.
    Gate,
    /// Speaks on one inherited connection.
    Fetcher,
}

#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: TargetArch = TargetArch::x86_64;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: TargetArch = TargetArch::aarch64;

/// What an event loop over inherited descriptors needs, in whatever order libc spells it.
///
/// Absent, and that is the point: everything that opens, creates or changes a file, every way to make a
/// socket, to connect or bind one, to pass or receive descriptors (`sendmsg` and `recvmsg` are absent),
/// every way to make a process or thread or start a program, and every call that names another process.
const ALWAYS: &[libc::c_long] = &[
    libc::SYS_brk,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_close,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_futex,
    libc::SYS_getpeername,
    libc::SYS_getrandom,
    libc::SYS_getsockopt,
    libc::SYS_madvise,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_recvfrom,
    libc::SYS_restart_syscall,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_yield,
    libc::SYS_shutdown,
    libc::SYS_sigaltstack,
    libc::SYS_write,
    libc::SYS_writev,
    // Old spellings that exist on x86-64 only.
    #[cfg(target_arch = "x86_64")]
    libc::SYS_epoll_wait,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_poll,
];

/// Installs the filter of `profile` on every thread of this process.
pub(super) fn install(profile: Profile) -> Result<(), SandboxError> {
    let program = program(profile).map_err(|_| SandboxError::Seccomp)?;
    seccompiler::apply_filter_all_threads(&program).map_err(|_| SandboxError::Seccomp)
}

fn program(profile: Profile) -> Result<BpfProgram, seccompiler::BackendError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        ALWAYS.iter().map(|call| (*call, Vec::new())).collect();
    // Memory may be mapped and protected, but never executable: no code can be brought in.
    rules.insert(
        libc::SYS_mmap,
        vec![rule(2, without_bits(libc::PROT_EXEC))?],
    );
    rules.insert(
        libc::SYS_mprotect,
        vec![rule(2, without_bits(libc::PROT_EXEC))?],
    );
    // Descriptors may be made non-blocking, not duplicated or given owners (F_SETOWN sends signals).
    let fcntl_commands = [libc::F_GETFD, libc::F_SETFD, libc::F_GETFL, libc::F_SETFL];
    rules.insert(
        libc::SYS_fcntl,
        fcntl_commands
            .into_iter()
            .map(|command| rule(1, equals(u64::try_from(command).unwrap_or(u64::MAX))))
            .collect::<Result<_, _>>()?,
    );
    // `send` is `sendto` without an address. With one, MSG_FASTOPEN connects a TCP socket, a listener that was
    // shut down among them, past `connect` and past Landlock's rule about it.
    let no_address = SeccompCondition::new(4, SeccompCmpArgLen::Qword, SeccompCmpOp::Eq, 0)?;
    rules.insert(libc::SYS_sendto, vec![SeccompRule::new(vec![no_address])?]);
    rules.insert(libc::SYS_ioctl, vec![rule(1, equals(libc::FIONBIO))?]);
    if profile == Profile::Gate {
        // Only the inherited listener is a listening socket, and no other can be made.
        rules.insert(libc::SYS_accept4, Vec::new());
    }
    let filter = SeccompFilter::new(
        rules,
        SeccompAction::KillProcess,
        SeccompAction::Allow,
        ARCHITECTURE,
    )?;
    filter.try_into()
}

/// A comparison of one 32-bit argument.
struct Comparison {
    operator: SeccompCmpOp,
    value: u64,
}

fn equals(value: u64) -> Comparison {
    Comparison {
        operator: SeccompCmpOp::Eq,
        value,
    }
}

fn without_bits(bits: libc::c_int) -> Comparison {
    let mask = u64::try_from(bits).unwrap_or(u64::MAX);
    Comparison {
        operator: SeccompCmpOp::MaskedEq(mask),
        value: 0,
    }
}

fn rule(argument: u8, comparison: Comparison) -> Result<SeccompRule, seccompiler::BackendError> {
    let Comparison { operator, value } = comparison;
    let condition = SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value)?;
    SeccompRule::new(vec![condition])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_profiles_compile() {
        for profile in [Profile::Gate, Profile::Fetcher] {
            assert!(program(profile).is_ok_and(|program| !program.is_empty()));
        }
    }

    #[test]
    fn what_the_sandbox_is_for_is_absent() {
        let denied = [
            libc::SYS_openat,
            libc::SYS_openat2,
            libc::SYS_open_by_handle_at,
            libc::SYS_socket,
            libc::SYS_socketpair,
            libc::SYS_connect,
            libc::SYS_bind,
            libc::SYS_listen,
            libc::SYS_sendmsg,
            libc::SYS_recvmsg,
            libc::SYS_execve,
            libc::SYS_execveat,
            libc::SYS_clone,
            libc::SYS_clone3,
            libc::SYS_ptrace,
            libc::SYS_process_vm_readv,
            libc::SYS_pidfd_open,
            libc::SYS_pidfd_getfd,
            libc::SYS_kill,
            libc::SYS_tgkill,
            libc::SYS_mount,
            libc::SYS_unshare,
            libc::SYS_setns,
            libc::SYS_chroot,
            libc::SYS_pivot_root,
            libc::SYS_io_uring_setup,
            libc::SYS_bpf,
            libc::SYS_prctl,
            libc::SYS_setuid,
        ];
        for call in denied {
            assert!(!ALWAYS.contains(&call), "system call {call} is allowed");
        }
    }
}
