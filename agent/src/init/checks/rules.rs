//! The rules. Values in, verdict out.

use super::reading::{DeviceNode, Reading, clock_source};
use crate::probes::{random_source, stated_trust};
use crate::sandbox::FULL_LANDLOCK_ABI;
use narthex_channel::diagnostics::State;

/// Older kernels lack Landlock's ABI 6 (`sandbox`); and before 5.17.12 a kernel's random numbers after a start were
/// weaker.
pub const OLDEST_KERNEL: [u64; 2] = [6, 12];
/// What devices of root's own have.
const ROOT_ONLY: u32 = 0o600;

/// A self-check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SelfCheck {
    /// The NSM feeds the kernel's random numbers.
    EntropyRngCurrent,
    /// The kernel was told not to trust the processor's random numbers.
    EntropyTrustCpu,
    /// The kernel was told not to trust the boot loader's random numbers.
    EntropyTrustBootloader,
    /// The kernel is new enough.
    KernelVersion,
    /// seccomp filters.
    KernelSeccomp,
    /// Landlock.
    KernelLandlock,
    /// Control groups limit memory.
    KernelCgroupMemory,
    /// Control groups limit processes.
    KernelCgroupPids,
    /// Control groups share out processor time.
    KernelCgroupCpu,
    /// Pressure is measured.
    KernelPressure,
    /// All kinds of namespace.
    KernelNamespaces,
    /// vsock, and an address of our own.
    KernelVsock,
    /// An accepted clock source.
    ClockSource,
    /// `/dev/nsm` is root's alone.
    NsmDevice,
}

impl SelfCheck {
    /// All checks, in the order in which they are judged.
    pub const ALL: [Self; 14] = [
        Self::EntropyRngCurrent,
        Self::EntropyTrustCpu,
        Self::EntropyTrustBootloader,
        Self::KernelVersion,
        Self::KernelSeccomp,
        Self::KernelLandlock,
        Self::KernelCgroupMemory,
        Self::KernelCgroupPids,
        Self::KernelCgroupCpu,
        Self::KernelPressure,
        Self::KernelNamespaces,
        Self::KernelVsock,
        Self::ClockSource,
        Self::NsmDevice,
    ];

    /// Stable text.
    pub fn id(self) -> &'static str {
        super::super::code::BootCode::from(self).id()
    }

    /// What is wrong and what to do, for the console and `--local`.
    pub fn advice(self) -> &'static str {
        match self {
            Self::EntropyRngCurrent => {
                "the kernel's random numbers must come from the NSM (nsm-hwrng): use a kernel with its driver"
            }
            Self::EntropyTrustCpu => "the kernel's command line must say random.trust_cpu=off",
            Self::EntropyTrustBootloader => {
                "the kernel's command line must say random.trust_bootloader=off"
            }
            Self::KernelVersion => "the kernel must be Linux 6.12 or newer",
            Self::KernelSeccomp => "the kernel must have CONFIG_SECCOMP_FILTER",
            Self::KernelLandlock => {
                "the kernel must have CONFIG_SECURITY_LANDLOCK, with landlock among its LSMs, ABI 6 or newer"
            }
            Self::KernelCgroupMemory => {
                "the kernel must have CONFIG_MEMCG, under control groups of version 2"
            }
            Self::KernelCgroupPids => {
                "the kernel must have CONFIG_CGROUP_PIDS, under control groups of version 2"
            }
            Self::KernelCgroupCpu => {
                "the kernel must have CONFIG_CGROUP_SCHED and CONFIG_FAIR_GROUP_SCHED, under control groups of version 2"
            }
            Self::KernelPressure => "the kernel must have CONFIG_PSI, and psi=1 where it is off",
            Self::KernelNamespaces => {
                "the kernel must have CONFIG_NAMESPACES with UTS, PID and NET, and IPC if it has SYSVIPC"
            }
            Self::KernelVsock => "the kernel must have vsock with the virtio transport",
            Self::ClockSource => {
                "the kernel's clock source must be kvm-clock, tsc or arch_sys_counter"
            }
            Self::NsmDevice => "/dev/nsm must be a device, root's alone",
        }
    }
}

/// What kind of clock source it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockKind {
    /// `kvm-clock`: the hypervisor's.
    Kvm,
    /// `tsc`: the processor's counter, which KVM scales; modern kernels prefer it where it is stable.
    Tsc,
    /// `arch_sys_counter`: the counter of aarch64.
    Arm,
    /// Any other.
    Other,
    /// It could not be read.
    Unknown,
}

impl ClockKind {
    /// The kind of this machine's source.
    pub fn read() -> Self {
        Self::of(clock_source().as_deref())
    }

    /// The kind of this source.
    pub fn of(source: Option<&str>) -> Self {
        match source.map(str::trim) {
            Some("kvm-clock") => Self::Kvm,
            Some("tsc") => Self::Tsc,
            Some("arch_sys_counter") => Self::Arm,
            Some(_) => Self::Other,
            None => Self::Unknown,
        }
    }
}

impl Reading {
    /// The checks that fail, in the order of [`SelfCheck::ALL`].
    pub fn failed(&self) -> Vec<SelfCheck> {
        SelfCheck::ALL
            .into_iter()
            .filter(|check| !self.holds(*check))
            .collect()
    }

    fn holds(&self, check: SelfCheck) -> bool {
        let Self {
            random_source: source,
            command_line,
            kernel: [major, minor, _],
            seccomp_actions,
            landlock_abi,
            controllers,
            pressure,
            namespaces,
            system_v,
            system_v_namespaces,
            local_cid,
            clock_source,
            nsm_device,
        } = self;
        let distrusts =
            |key| stated_trust(command_line.as_deref().unwrap_or(""), key) == Some(false);
        let has_word =
            |text: &Option<String>, word| words(text.as_deref()).any(|found| found == word);
        match check {
            SelfCheck::EntropyRngCurrent => random_source(source.as_deref()) == State::NsmRandom,
            SelfCheck::EntropyTrustCpu => distrusts("random.trust_cpu"),
            SelfCheck::EntropyTrustBootloader => distrusts("random.trust_bootloader"),
            SelfCheck::KernelVersion => [*major, *minor] >= OLDEST_KERNEL,
            // The gate's filter ends it, the workload's answers with an error.
            SelfCheck::KernelSeccomp => ["kill_process", "errno"]
                .into_iter()
                .all(|action| has_word(seccomp_actions, action)),
            SelfCheck::KernelLandlock => *landlock_abi >= FULL_LANDLOCK_ABI,
            SelfCheck::KernelCgroupMemory => has_word(controllers, "memory"),
            SelfCheck::KernelCgroupPids => has_word(controllers, "pids"),
            SelfCheck::KernelCgroupCpu => has_word(controllers, "cpu"),
            SelfCheck::KernelPressure => has_word(pressure, "some"),
            SelfCheck::KernelNamespaces => {
                namespaces.iter().all(|exists| *exists) && (!*system_v || *system_v_namespaces)
            }
            SelfCheck::KernelVsock => local_cid.is_some_and(is_guest),
            SelfCheck::ClockSource => matches!(
                ClockKind::of(clock_source.as_deref()),
                ClockKind::Kvm | ClockKind::Tsc | ClockKind::Arm
            ),
            SelfCheck::NsmDevice => matches!(
                nsm_device,
                Some(DeviceNode {
                    character: true,
                    user: 0,
                    group: 0,
                    mode: ROOT_ONLY,
                })
            ),
        }
    }
}

/// 0 to 2 are the hypervisor, this machine's loopback and the host; 3 is the parent; all ones is nobody's (vsock(7), AWS's
/// description of vsock in enclaves).
fn is_guest(cid: u32) -> bool {
    (4..u32::MAX).contains(&cid)
}

fn words(text: Option<&str>) -> impl Iterator<Item = &str> {
    text.unwrap_or("").split_whitespace()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Reading {
        let text = |text: &str| Some(text.to_owned());
        Reading {
            random_source: text("nsm-hwrng\n"),
            command_line: text("panic=1 random.trust_cpu=off random.trust_bootloader=off\n"),
            kernel: [6, 12, 0],
            seccomp_actions: text(
                "kill_process kill_thread trap errno user_notif trace log allow\n",
            ),
            landlock_abi: 6,
            controllers: text("cpu memory pids\n"),
            pressure: text("some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"),
            namespaces: [true; 4],
            system_v: true,
            system_v_namespaces: true,
            local_cid: Some(16),
            clock_source: text("tsc\n"),
            nsm_device: Some(DeviceNode {
                character: true,
                user: 0,
                group: 0,
                mode: 0o600,
            }),
        }
    }

    fn assert_only(check: SelfCheck, change: impl FnOnce(&mut Reading)) {
        let mut reading = good();
        change(&mut reading);
        assert_eq!(reading.failed(), [check], "{reading:?}");
    }

    fn text(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn a_good_machine_passes() {
        assert_eq!(good().failed(), []);
        for clock in ["kvm-clock\n", "tsc\n", "arch_sys_counter\n"] {
            let mut reading = good();
            reading.clock_source = text(clock);
            assert_eq!(reading.failed(), []);
        }
        for kernel in [[6, 12, 0], [6, 13, 1], [7, 0, 0]] {
            let mut reading = good();
            reading.kernel = kernel;
            assert_eq!(reading.failed(), []);
        }
    }

    #[test]
    fn an_unreadable_machine_fails_every_check() {
        assert_eq!(Reading::default().failed(), SelfCheck::ALL);
    }

    #[test]
    fn random_numbers_come_from_the_nsm() {
        for source in [
            Some("virtio_rng.0\n"),
            Some("none\n"),
            Some(""),
            Some("nsm-hwrng2"),
            None,
        ] {
            assert_only(SelfCheck::EntropyRngCurrent, |reading| {
                reading.random_source = source.map(str::to_owned);
            });
        }
    }

    #[test]
    fn the_processor_is_not_trusted_for_them() {
        for line in [
            "random.trust_bootloader=off",
            "random.trust_cpu=on random.trust_bootloader=off",
            "random.trust_cpu=off random.trust_bootloader=off random.trust_cpu=1",
            "random.trust_cpu random.trust_bootloader=off",
            "random.trust_bootloader=off -- random.trust_cpu=off",
            "random.trust_bootloader=off x=\"a random.trust_cpu=off b\"",
        ] {
            assert_only(SelfCheck::EntropyTrustCpu, |reading| {
                reading.command_line = text(line);
            });
        }
    }

    #[test]
    fn nor_is_the_boot_loader() {
        for line in [
            "random.trust_cpu=off",
            "random.trust_cpu=off random.trust_bootloader=yes",
            "random.trust_cpu=off random.trust_bootloader=y",
        ] {
            assert_only(SelfCheck::EntropyTrustBootloader, |reading| {
                reading.command_line = text(line);
            });
        }
    }

    #[test]
    fn the_kernel_is_new_enough() {
        for kernel in [[6, 11, 99], [5, 99, 0], [0, 0, 0]] {
            assert_only(SelfCheck::KernelVersion, |reading| reading.kernel = kernel);
        }
    }

    #[test]
    fn seccomp_has_both_actions() {
        for actions in [
            None,
            text("kill_thread trap errno"),
            text("kill_process trap"),
            text(""),
        ] {
            assert_only(SelfCheck::KernelSeccomp, |reading| {
                reading.seccomp_actions = actions;
            });
        }
    }

    #[test]
    fn landlock_is_new_enough() {
        for abi in [0, 5] {
            assert_only(SelfCheck::KernelLandlock, |reading| {
                reading.landlock_abi = abi
            });
        }
    }

    #[test]
    fn control_groups_limit_memory() {
        assert_only(SelfCheck::KernelCgroupMemory, |reading| {
            reading.controllers = text("pids cpu memoryx\n");
        });
    }

    #[test]
    fn control_groups_limit_processes() {
        assert_only(SelfCheck::KernelCgroupPids, |reading| {
            reading.controllers = text("cpu memory\n");
        });
    }

    #[test]
    fn control_groups_share_out_processor_time() {
        assert_only(SelfCheck::KernelCgroupCpu, |reading| {
            reading.controllers = text("cpuset memory pids\n");
        });
    }

    #[test]
    fn pressure_is_measured() {
        for pressure in [None, text("")] {
            assert_only(SelfCheck::KernelPressure, |reading| {
                reading.pressure = pressure
            });
        }
    }

    #[test]
    fn every_kind_of_namespace_exists() {
        for index in 0..4 {
            assert_only(SelfCheck::KernelNamespaces, |reading| {
                reading.namespaces[index] = false;
            });
        }
        assert_only(SelfCheck::KernelNamespaces, |reading| {
            reading.system_v_namespaces = false;
        });
        let mut reading = good();
        (reading.system_v, reading.system_v_namespaces) = (false, false);
        assert_eq!(reading.failed(), []);
    }

    #[test]
    fn vsock_has_an_address() {
        for cid in [None, Some(0), Some(1), Some(2), Some(3), Some(u32::MAX)] {
            assert_only(SelfCheck::KernelVsock, |reading| reading.local_cid = cid);
        }
    }

    #[test]
    fn the_clock_source_is_accepted() {
        for source in [
            Some("refined-jiffies\n"),
            Some("tsc-early\n"),
            Some("hyperv_clocksource_tsc_page"),
            Some(""),
            None,
        ] {
            assert_only(SelfCheck::ClockSource, |reading| {
                reading.clock_source = source.map(str::to_owned);
            });
        }
    }

    #[test]
    fn the_nsm_is_roots_alone() {
        let device = good().nsm_device.unwrap();
        for wrong in [
            None,
            Some(DeviceNode {
                character: false,
                ..device
            }),
            Some(DeviceNode { user: 1, ..device }),
            Some(DeviceNode { group: 1, ..device }),
            Some(DeviceNode {
                mode: 0o666,
                ..device
            }),
            Some(DeviceNode {
                mode: 0o640,
                ..device
            }),
        ] {
            assert_only(SelfCheck::NsmDevice, |reading| reading.nsm_device = wrong);
        }
    }
}
