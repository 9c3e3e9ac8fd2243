//! The workload's seccomp filters: a list of refusals, not of permissions, because a workload is
//! any program.
//!
//! Refused with `EPERM`: new user namespaces (the usual first step of kernel exploits, and a way to
//! mount), and kernel interfaces with a long record of flaws that no workload of an enclave needs.
//! `clone3` passes its flags in memory, where a filter cannot look; it answers `ENOSYS`, whereupon
//! every C library falls back to `clone`. A process of another architecture (32-bit programs) is
//! killed.

use std::collections::BTreeMap;

use nix::libc;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule,
};

const NEW_USER_NAMESPACE: u64 = 0x1000_0000; // CLONE_NEWUSER
/// x86-64 kernels with x32 support take every call under a second number.
const X32_BIT: i64 = 0x4000_0000;
const EPERM: u32 = 1;
const ENOSYS: u32 = 38;

/// Calls that are refused whatever their arguments. Those that need a capability are not listed: the
/// workload has none.
const REFUSED: [i64; 11] = [
    libc::SYS_add_key, // Kernel keyrings are not per namespace and outlive the process.
    libc::SYS_keyctl,
    libc::SYS_request_key,
    libc::SYS_bpf,
    libc::SYS_perf_event_open, // Side channels on the agent.
    libc::SYS_ptrace, // Of its own processes only, but a stolen thread should not read all.
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_userfaultfd, // Makes kernel races winnable.
    libc::SYS_io_uring_setup,
    libc::SYS_setns,
];

/// x32 has numbers of its own for these (ptrace, process_vm_readv, process_vm_writev).
#[cfg(target_arch = "x86_64")]
const REFUSED_X32: [i64; 3] = [521, 539, 540];

/// The filters, to be installed in this order by the process that becomes the workload.
///
/// # Errors
///
/// Only if the tables above are not valid for this architecture.
pub(super) fn filters() -> Result<Vec<BpfProgram>, seccompiler::Error> {
    let mut refused = BTreeMap::new();
    for number in REFUSED {
        add(&mut refused, number, Vec::new());
    }
    #[cfg(target_arch = "x86_64")]
    for number in REFUSED_X32 {
        refused.insert(number | X32_BIT, Vec::new());
    }
    // unshare(flags) and clone(flags, ...) on every architecture that the agent runs on.
    for number in [libc::SYS_unshare, libc::SYS_clone] {
        let asks_for_user_namespace = SeccompCondition::new(
            0,
            SeccompCmpArgLen::Qword,
            SeccompCmpOp::MaskedEq(NEW_USER_NAMESPACE),
            NEW_USER_NAMESPACE,
        )?;
        add(
            &mut refused,
            number,
            vec![SeccompRule::new(vec![asks_for_user_namespace])?],
        );
    }
    let mut unknown = BTreeMap::new();
    add(&mut unknown, libc::SYS_clone3, Vec::new());
    Ok(vec![program(refused, EPERM)?, program(unknown, ENOSYS)?])
}

fn add(rules: &mut BTreeMap<i64, Vec<SeccompRule>>, number: i64, conditions: Vec<SeccompRule>) {
    if cfg!(target_arch = "x86_64") {
        rules.insert(number | X32_BIT, conditions.clone());
    }
    rules.insert(number, conditions);
}

fn program(
    rules: BTreeMap<i64, Vec<SeccompRule>>,
    error: u32,
) -> Result<BpfProgram, seccompiler::Error> {
    let architecture = std::env::consts::ARCH.try_into()?;
    let filter = SeccompFilter::new(
        rules,
        SeccompAction::Allow,
        SeccompAction::Errno(error),
        architecture,
    )?;
    Ok(filter.try_into()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filters_compile_for_this_architecture() {
        assert_eq!(filters().unwrap().len(), 2);
    }
}
