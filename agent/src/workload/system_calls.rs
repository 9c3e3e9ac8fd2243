//! The workload's seccomp filters: a list of refusals, not of permissions, because a workload is
//! any program.
//!
//! | Refused | With |
//! |---|---|
//! | calls that change the view of the file system, namespaces, the kernel or the machine; they need capabilities too, which the workload has not | `EPERM` |
//! | kernel interfaces with a long record of flaws that no workload of an enclave needs; ways into other processes | `EPERM` |
//! | `clone3`, which passes its flags in memory, where a filter cannot look; C libraries fall back to `clone` | `ENOSYS` |
//! | `memfd_create`, where no written file may be a program: its files lie on no mount that could be `noexec` | `ENOSYS` |
//! | sockets of other families than Unix, IPv4, IPv6, netlink (`NETLINK_ROUTE` only) and, unless configured otherwise, vsock | `EAFNOSUPPORT` |
//!
//! A process of another architecture (32-bit programs) is killed. A filter sees a socket's family, not its
//! addresses: whoever may use vsock reaches every port of the parent instance.

use std::collections::BTreeMap;

use nix::libc;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule,
};

use crate::platform::own_root::WrittenPrograms;

/// x86-64 kernels with x32 support take every call under a second number.
const X32_BIT: i64 = 0x4000_0000;

/// Whether the workload may make vsock sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Vsock {
    Allow,
    Deny,
}

/// Calls that are refused whatever their arguments.
const REFUSED: &[i64] = &[
    // The view of the file system. The root of an initramfs cannot be unmounted, only hidden (see
    // `platform::own_root`), so what could uncover it is refused a second time.
    libc::SYS_chroot,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fsopen,
    libc::SYS_fspick,
    libc::SYS_mount,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_open_by_handle_at, // Opens what no path leads to.
    libc::SYS_open_tree,
    OPEN_TREE_ATTR,
    libc::SYS_pivot_root,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_umount2,
    libc::SYS_setns,
    // Ways into other processes: its own are meant to be as safe from a stolen thread as can be.
    libc::SYS_kcmp,
    libc::SYS_pidfd_getfd,
    libc::SYS_process_madvise,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
    // Kernel keyrings are not per namespace and outlive the process.
    libc::SYS_add_key,
    libc::SYS_keyctl,
    libc::SYS_request_key,
    // Side channels, and help for exploits of the kernel.
    libc::SYS_bpf,
    libc::SYS_fanotify_init,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_io_uring_setup,
    libc::SYS_lookup_dcookie,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd, // Makes kernel races winnable.
    libc::SYS_vmsplice,
    // The kernel, the clock and the machine.
    libc::SYS_acct,
    libc::SYS_clock_adjtime,
    libc::SYS_clock_settime,
    libc::SYS_delete_module,
    libc::SYS_finit_module,
    libc::SYS_init_module,
    libc::SYS_kexec_file_load,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_setdomainname,
    libc::SYS_sethostname,
    libc::SYS_settimeofday,
    libc::SYS_syslog,
    libc::SYS_vhangup,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_modify_ldt,
];

/// `open_tree_attr`, Linux 6.15; the same on every architecture.
const OPEN_TREE_ATTR: i64 = 467;

/// x32 has numbers of its own for these (ptrace, kexec_load, vmsplice, process_vm_readv, process_vm_writev).
#[cfg(target_arch = "x86_64")]
const REFUSED_X32: [i64; 5] = [521, 528, 532, 539, 540];

/// Flags of `clone` and `unshare` that make a namespace (linux/sched.h): mount, control group, UTS, IPC, user, process
/// and network.
const NEW_NAMESPACE: [u64; 7] = [
    0x0002_0000,
    0x0200_0000,
    0x0400_0000,
    0x0800_0000,
    0x1000_0000,
    0x2000_0000,
    0x4000_0000,
];
/// The time namespace's flag means a signal to `clone`.
const NEW_TIME_NAMESPACE: u64 = 0x80;

/// Families of sockets that a workload has uses for. Netlink tells it its network interfaces, by its protocol 0
/// (`NETLINK_ROUTE`); the others tell of others' sockets, or are ways into the kernel.
const FAMILIES: [libc::c_int; 4] = [
    libc::AF_UNIX,
    libc::AF_INET,
    libc::AF_INET6,
    libc::AF_NETLINK,
];

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// The filters, to be installed in this order by the process that becomes the workload.
///
/// # Errors
///
/// Only if the tables above are not valid for this architecture.
pub(super) fn filters(
    vsock: Vsock,
    written_programs: WrittenPrograms,
) -> Result<Vec<BpfProgram>, seccompiler::Error> {
    let mut unknown = Rules::new();
    add(&mut unknown, libc::SYS_clone3, Vec::new());
    match written_programs {
        WrittenPrograms::Deny => add(&mut unknown, libc::SYS_memfd_create, Vec::new()),
        WrittenPrograms::InsecurelyAllow => {}
    }
    Ok(vec![
        program(refused()?, libc::EPERM)?,
        program(unknown, libc::ENOSYS)?,
        program(other_sockets(vsock)?, libc::EAFNOSUPPORT)?,
    ])
}

fn refused() -> Result<Rules, seccompiler::Error> {
    let mut rules = Rules::new();
    for &number in REFUSED {
        add(&mut rules, number, Vec::new());
    }
    #[cfg(target_arch = "x86_64")]
    for number in REFUSED_X32 {
        rules.insert(number | X32_BIT, Vec::new());
    }
    // unshare(flags) and clone(flags, ...) on every architecture that the agent runs on.
    let namespaces = NEW_NAMESPACE.into_iter();
    let clone = namespaces.clone().map(asks_for).collect::<Result<_, _>>()?;
    add(&mut rules, libc::SYS_clone, clone);
    let unshare = namespaces
        .chain([NEW_TIME_NAMESPACE])
        .map(asks_for)
        .collect::<Result<_, _>>()?;
    add(&mut rules, libc::SYS_unshare, unshare);
    Ok(rules)
}

fn asks_for(flag: u64) -> Result<SeccompRule, seccompiler::BackendError> {
    let operator = SeccompCmpOp::MaskedEq(flag);
    let condition = SeccompCondition::new(0, SeccompCmpArgLen::Qword, operator, flag)?;
    SeccompRule::new(vec![condition])
}

/// socket(family, ...) and socketpair(family, ...) with a family that is none of the allowed, or one protocol too many.
fn other_sockets(vsock: Vsock) -> Result<Rules, seccompiler::Error> {
    let vsock = match vsock {
        Vsock::Allow => Some(libc::AF_VSOCK),
        Vsock::Deny => None,
    };
    // The kernel takes each as an `int`: what is above its 32 bits is not looked at.
    let int = |argument, operator, value: libc::c_int| {
        let value = u64::try_from(value).unwrap_or(u64::MAX);
        SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value)
    };
    let from_all = FAMILIES
        .into_iter()
        .chain(vsock)
        .map(|family| int(0, SeccompCmpOp::Ne, family))
        .collect::<Result<_, _>>()?;
    let other_netlink = SeccompRule::new(vec![
        int(0, SeccompCmpOp::Eq, libc::AF_NETLINK)?,
        int(2, SeccompCmpOp::Ne, libc::NETLINK_ROUTE)?,
    ])?;
    let refused = vec![SeccompRule::new(from_all)?, other_netlink];
    let mut rules = Rules::new();
    for number in [libc::SYS_socket, libc::SYS_socketpair] {
        add(&mut rules, number, refused.clone());
    }
    Ok(rules)
}

fn add(rules: &mut Rules, number: i64, conditions: Vec<SeccompRule>) {
    if cfg!(target_arch = "x86_64") {
        rules.insert(number | X32_BIT, conditions.clone());
    }
    rules.insert(number, conditions);
}

fn program(rules: Rules, error: libc::c_int) -> Result<BpfProgram, seccompiler::Error> {
    let architecture = std::env::consts::ARCH.try_into()?;
    let filter = SeccompFilter::new(
        rules,
        SeccompAction::Allow,
        SeccompAction::Errno(error.unsigned_abs()),
        architecture,
    )?;
    Ok(filter.try_into()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filters_compile_for_this_architecture() {
        for vsock in [Vsock::Allow, Vsock::Deny] {
            for written in [WrittenPrograms::Deny, WrittenPrograms::InsecurelyAllow] {
                assert_eq!(filters(vsock, written).unwrap().len(), 3);
            }
        }
    }
}
