//! What the self-checks look at.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::sandbox::kernel_landlock_abi;

/// The kinds of namespace that must exist.
pub const NAMESPACES: [&str; 4] = ["mnt", "net", "pid", "uts"];

const CLOCK_SOURCE: &str = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
/// For about a second after its start a kernel uses the time stamp counter under this name, while it measures the
/// counter's frequency. What it settles on is what counts.
const PROVISIONAL_CLOCK: &str = "tsc-early";
/// How long to wait for that. Nobody has been seen to take more than two seconds.
const CLOCK_PATIENCE: Duration = Duration::from_secs(5);
const CLOCK_PAUSE: Duration = Duration::from_millis(20);

/// What was seen. `None`: it could not be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// `/sys/class/misc/hw_random/rng_current`.
    pub random_source: Option<String>,
    /// `/proc/cmdline`.
    pub command_line: Option<String>,
    /// The first three numbers of the kernel's release.
    pub kernel: [u64; 3],
    /// `/proc/sys/kernel/seccomp/actions_avail`; exists only with filters.
    pub seccomp_actions: Option<String>,
    /// Landlock's ABI; 0 without.
    pub landlock_abi: u8,
    /// `cgroup.subtree_control` of the root group: what child groups can be limited in.
    pub controllers: Option<String>,
    /// `/proc/pressure/memory`.
    pub pressure: Option<String>,
    /// Which of [`NAMESPACES`] exist, in that order.
    pub namespaces: [bool; NAMESPACES.len()],
    /// Whether the kernel has System V objects, which need a kind of namespace of their own.
    pub system_v: bool,
    /// Whether it has that kind, `ipc`.
    pub system_v_namespaces: bool,
    /// This machine's vsock CID.
    pub local_cid: Option<u32>,
    /// The kernel's clock source.
    pub clock_source: Option<String>,
    /// `/dev/nsm`.
    pub nsm_device: Option<DeviceNode>,
}

/// A file in `/dev`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceNode {
    /// Whether it is a character device.
    pub character: bool,
    /// Its owner.
    pub user: u32,
    /// Its group.
    pub group: u32,
    /// Permission bits.
    pub mode: u32,
}

impl Reading {
    /// Looks at this machine.
    pub fn read() -> Self {
        let read = |path: &str| fs::read_to_string(path).ok();
        Self {
            random_source: read("/sys/class/misc/hw_random/rng_current"),
            command_line: read("/proc/cmdline"),
            kernel: crate::probes::kernel_version(),
            seccomp_actions: read("/proc/sys/kernel/seccomp/actions_avail"),
            landlock_abi: kernel_landlock_abi(),
            controllers: read("/sys/fs/cgroup/cgroup.subtree_control"),
            pressure: read("/proc/pressure/memory"),
            namespaces: NAMESPACES.map(has_namespace),
            system_v: Path::new("/proc/sysvipc").exists(),
            system_v_namespaces: has_namespace("ipc"),
            local_cid: vsock::get_local_cid().ok(),
            clock_source: clock_source(),
            nsm_device: DeviceNode::read(Path::new(narthex_nsm::device::DEVICE_PATH)),
        }
    }

    /// The same, once the kernel has settled on a clock source.
    pub fn read_settled() -> Self {
        let patience = Instant::now() + CLOCK_PATIENCE;
        loop {
            let provisional =
                clock_source().is_some_and(|source| source.trim() == PROVISIONAL_CLOCK);
            if !provisional || Instant::now() >= patience {
                return Self::read();
            }
            std::thread::sleep(CLOCK_PAUSE);
        }
    }
}

/// The kernel's clock source.
pub(super) fn clock_source() -> Option<String> {
    fs::read_to_string(CLOCK_SOURCE).ok()
}

fn has_namespace(kind: &str) -> bool {
    fs::symlink_metadata(Path::new("/proc/self/ns").join(kind)).is_ok()
}

impl DeviceNode {
    fn read(path: &Path) -> Option<Self> {
        let found = fs::symlink_metadata(path).ok()?;
        Some(Self {
            character: found.file_type().is_char_device(),
            user: found.uid(),
            group: found.gid(),
            mode: found.mode() & 0o7777,
        })
    }
}
