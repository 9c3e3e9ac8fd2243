//! How much memory and how many processes a workload may have.
//!
//! A limit that the configuration does not set is computed in an enclave: without one, a leak or an endless fork
//! would take the agent's memory and process ids with it, and nobody could be told why. Computed at each start, because
//! what is available then is what there is.

use std::io;

use super::cgroup::ControlGroupLimits;
use crate::mode::Mode;

/// The agent's processes, and what the kernel needs for itself: never given to a workload by default.
const SMALLEST_RESERVE_BYTES: u64 = 32 << 20;
/// The reserve is at least this part of all memory: the kernel's own tables grow with it.
const RESERVE_PART: u64 = 16;
/// A computed limit is never lower, so that a workload starts at all; when memory is that short the kernel's choice
/// of whom to kill protects the agent.
const SMALLEST_MEMORY_BYTES: u64 = 16 << 20;
/// Threads count. Far above what servers use, far below 32,768, the kernel's usual number of process ids.
const PROCESSES: u64 = 1024;

/// The configured limits, and what stands in for absent ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LimitRules {
    pub(super) memory_max_bytes: Option<u64>,
    pub(super) pids_max: Option<u64>,
    pub(super) mode: Mode,
}

impl LimitRules {
    /// The limits of a run that starts now.
    ///
    /// # Errors
    ///
    /// In an enclave, when the kernel does not say what there is to be divided.
    pub(super) fn now(self) -> io::Result<ControlGroupLimits> {
        let unknown = || io::Error::from(io::ErrorKind::InvalidData);
        let Self {
            mut memory_max_bytes,
            mut pids_max,
            mode,
        } = self;
        if mode == Mode::Enclave && memory_max_bytes.is_none() {
            let meminfo = std::fs::read_to_string("/proc/meminfo")?;
            memory_max_bytes = Some(memory_for_workload(&meminfo).ok_or_else(unknown)?);
        }
        if mode == Mode::Enclave && pids_max.is_none() {
            let threads = std::fs::read_to_string("/proc/sys/kernel/threads-max")?;
            let threads = threads.trim().parse().map_err(|_| unknown())?;
            pids_max = Some(processes_for_workload(threads));
        }
        Ok(ControlGroupLimits {
            memory_max_bytes,
            pids_max,
        })
    }
}

/// What is available, less the reserve. `None` for a text that is not the kernel's.
fn memory_for_workload(meminfo: &str) -> Option<u64> {
    let value = |key: &str| {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(key))?;
        let kibibytes: u64 = line.strip_suffix("kB")?.trim().parse().ok()?;
        kibibytes.checked_mul(1024)
    };
    // The image's own files are not in it: an initramfs cannot be given back.
    let available = value("MemAvailable:")?;
    let reserve = (value("MemTotal:")? / RESERVE_PART).max(SMALLEST_RESERVE_BYTES);
    let rest = available.saturating_sub(reserve);
    Some(rest.max(SMALLEST_MEMORY_BYTES))
}

/// Half of what the kernel allows in all where that is less: a small machine has few.
fn processes_for_workload(threads_max: u64) -> u64 {
    (threads_max / 2).clamp(1, PROCESSES)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn meminfo(total_mib: u64, available_mib: u64) -> String {
        let (total, available) = (total_mib * 1024, available_mib * 1024);
        format!("MemTotal:     {total} kB\nMemFree:   1 kB\nMemAvailable: {available} kB\n")
    }

    #[test]
    fn the_agent_keeps_a_reserve() {
        for (total, available, limit) in [
            (256, 160, 128),    // The smallest reserve.
            (512, 400, 368),    // A sixteenth is the same.
            (4096, 4000, 3744), // A sixteenth.
            (256, 48, 16),
            (256, 10, 16), // The smallest limit.
        ] {
            let found = memory_for_workload(&meminfo(total, available));
            assert_eq!(found, Some(limit * MIB), "{available} of {total}");
        }
    }

    #[test]
    fn what_the_kernel_does_not_say_is_not_guessed() {
        for text in [
            "",
            "MemTotal: 1 kB\n",
            "MemTotal: x kB\nMemAvailable: 1 kB\n",
        ] {
            assert_eq!(memory_for_workload(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_small_machine_has_few_processes() {
        for (threads, processes) in [(1_000_000, 1024), (2048, 1024), (1500, 750), (1, 1)] {
            assert_eq!(processes_for_workload(threads), processes);
        }
    }

    #[test]
    fn only_an_enclave_computes_and_what_is_configured_stands() {
        let rules = |memory_max_bytes, pids_max, mode| LimitRules {
            memory_max_bytes,
            pids_max,
            mode,
        };
        let none = rules(None, None, Mode::Local).now().unwrap();
        assert_eq!(none, ControlGroupLimits::default());
        let both = rules(Some(5), Some(7), Mode::Enclave).now().unwrap();
        assert_eq!((both.memory_max_bytes, both.pids_max), (Some(5), Some(7)));
        let computed = rules(None, None, Mode::Enclave).now().unwrap();
        assert!(computed.not_asked().is_empty());
    }
}
