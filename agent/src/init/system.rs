//! Preparing the machine: what a kernel that has just started leaves to its first program.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::kmod::{ModuleInitFlags, finit_module};
use nix::libc;
use nix::mount::{MsFlags, mount};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Gid, Uid, chown, dup2_stderr, dup2_stdin, dup2_stdout, setsid};

use super::code::BootCode;

/// Why the machine could not be prepared.
#[derive(Debug)]
pub struct SystemFault {
    /// At which step.
    pub code: BootCode,
    /// The kernel's reason.
    pub error: io::Error,
}

/// One mount.
struct Mount {
    code: BootCode,
    place: &'static str,
    kind: &'static str,
    flags: MsFlags,
    options: &'static str,
}

const NO_SUID: MsFlags = MsFlags::MS_NOSUID;
const NO_SUID_EXEC: MsFlags = NO_SUID.union(MsFlags::MS_NOEXEC);
const NO_SUID_EXEC_DEV: MsFlags = NO_SUID_EXEC.union(MsFlags::MS_NODEV);

/// In this order. `/sys` becomes read-only in the end. The temporary ones are the agent's own and small: a workload
/// has its own.
const MOUNTS: [Mount; 6] = [
    Mount {
        code: BootCode::MountProc,
        place: "/proc",
        kind: "proc",
        flags: NO_SUID_EXEC_DEV,
        options: "",
    },
    Mount {
        code: BootCode::MountSys,
        place: "/sys",
        kind: "sysfs",
        flags: NO_SUID_EXEC_DEV,
        options: "",
    },
    Mount {
        code: BootCode::MountDev,
        place: "/dev",
        kind: "devtmpfs",
        flags: NO_SUID_EXEC,
        options: "mode=0755",
    },
    Mount {
        code: BootCode::MountRun,
        place: "/run",
        kind: "tmpfs",
        flags: NO_SUID_EXEC_DEV,
        options: "mode=0755,size=16m,nr_inodes=4096",
    },
    Mount {
        code: BootCode::MountTmp,
        place: "/tmp",
        kind: "tmpfs",
        flags: NO_SUID_EXEC_DEV,
        options: "mode=1777,size=4m,nr_inodes=1024",
    },
    Mount {
        code: BootCode::MountControlGroups,
        place: CONTROL_GROUPS,
        kind: "cgroup2",
        flags: NO_SUID_EXEC_DEV,
        options: "",
    },
];

const CONTROL_GROUPS: &str = "/sys/fs/cgroup";
/// The agent's own group: groups beside it can then be limited (cgroup v2 wants processes in leaves).
const OWN_GROUP: &str = "/sys/fs/cgroup/agent";
const CONTROLLERS: [&str; 3] = ["+memory", "+pids", "+cpu"];
/// The agent gets ten times a default group's share of processor time when there is not enough.
const OWN_GROUP_WEIGHT: &str = "1000";

const MODULES: &str = "/modules";
const LOOPBACK_FLAGS: &str = "/sys/class/net/lo/flags";
const IFF_UP: u64 = 1;
/// A driver's device may take a moment after its module was loaded.
const DEVICE_PATIENCE: Duration = Duration::from_secs(2);
const DEVICE_PAUSE: Duration = Duration::from_millis(5);

/// Kernel settings below `/proc/sys`. One that this kernel lacks it cannot do either.
///
/// `printk`: the kernel names the programs that crash or are killed, and a program can choose its name; so no message but of
/// the kernel's own end goes to the console. The agent counts them (`kernel-events`).
///
/// `file-max`: the kernel allows all processes together as many open files as there are tens of kilobytes of memory, and a workload
/// could open them all; the gate, which has no capability, could then accept nobody. Without that limit open files count in
/// their opener's control group like any memory.
const SETTINGS: [(&str, &str); 10] = [
    ("fs/file-max", "9223372036854775807"),
    ("kernel/printk", "1"),
    ("kernel/sysrq", "0"),
    ("kernel/dmesg_restrict", "1"),
    ("kernel/kptr_restrict", "2"),
    ("kernel/panic", "1"),
    ("kernel/panic_on_oops", "1"),
    ("kernel/kexec_load_disabled", "1"),
    ("kernel/unprivileged_bpf_disabled", "1"),
    ("vm/oom_dump_tasks", "0"),
];
/// After the image's own modules are in, none comes in any more.
const NO_MORE_MODULES: &str = "/proc/sys/kernel/modules_disabled";

/// Prepares the machine. Process 1 calls it once, first of all.
///
/// # Errors
///
/// [`SystemFault`]; the machine is then half prepared and must restart.
pub fn prepare() -> Result<(), SystemFault> {
    umask(Mode::S_IWGRP | Mode::S_IWOTH);
    for each in &MOUNTS {
        at(each.code, each.mount())?;
        if each.place == "/dev" {
            at(BootCode::Console, open_console())?;
        }
    }
    at(BootCode::KernelSettings, set_kernel())?;
    at(BootCode::Modules, load_modules(Path::new(MODULES)))?;
    at(BootCode::Loopback, bring_loopback_up())?;
    at(BootCode::NsmDevice, restrict_nsm())?;
    at(BootCode::ControlGroups, enter_own_group())?;
    at(BootCode::MountSys, make_sys_read_only())
}

fn at<T>(code: BootCode, result: io::Result<T>) -> Result<T, SystemFault> {
    result.map_err(|error| SystemFault { code, error })
}

impl Mount {
    fn mount(&self) -> io::Result<()> {
        match fs::create_dir(self.place) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let source = Some(self.kind);
        mount(source, self.place, source, self.flags, Some(self.options))?;
        Ok(())
    }
}

/// Nothing to read from, and the console to write to.
fn open_console() -> io::Result<()> {
    // The kernel's own choice of session would do; with one of our own no terminal can become ours by accident.
    match setsid() {
        Ok(_) | Err(Errno::EPERM) => {}
        Err(error) => return Err(error.into()),
    }
    dup2_stdin(File::open("/dev/null")?)?;
    let console = OpenOptions::new()
        .write(true)
        .custom_flags(libc::O_NOCTTY)
        .open("/dev/console")?;
    dup2_stdout(console.as_fd())?;
    dup2_stderr(console.as_fd())?;
    Ok(())
}

fn set_kernel() -> io::Result<()> {
    for (name, value) in SETTINGS {
        set_existing(&Path::new("/proc/sys").join(name), value)?;
    }
    Ok(())
}

/// Writes to a file of the kernel's that may not exist.
fn set_existing(path: &Path, value: &str) -> io::Result<()> {
    match OpenOptions::new().write(true).open(path) {
        Ok(mut file) => io::Write::write_all(&mut file, value.as_bytes()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Loads every `*.ko` of the image in the order of their names, and then forbids more.
fn load_modules(directory: &Path) -> io::Result<()> {
    for path in module_files(directory)? {
        finit_module(File::open(path)?, c"", ModuleInitFlags::empty())?;
    }
    set_existing(Path::new(NO_MORE_MODULES), "1")
}

fn module_files(directory: &Path) -> io::Result<Vec<OsString>> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "ko") {
            files.push(path.into_os_string());
        }
    }
    files.sort();
    Ok(files)
}

/// By the kernel's file rather than the ioctl, which would need `unsafe` code.
fn bring_loopback_up() -> io::Result<()> {
    let flags = fs::read_to_string(LOOPBACK_FLAGS)?;
    let flags = flags.trim().strip_prefix("0x").unwrap_or_default();
    let flags = u64::from_str_radix(flags, 16).map_err(|_| io::ErrorKind::InvalidData)?;
    fs::write(LOOPBACK_FLAGS, format!("{:#x}", flags | IFF_UP))
}

/// `/dev/nsm` for root alone. Whether it is one is judged by the self-checks, which have a code of their own.
fn restrict_nsm() -> io::Result<()> {
    let path = Path::new(narthex_nsm::device::DEVICE_PATH);
    let patience = Instant::now() + DEVICE_PATIENCE;
    while fs::symlink_metadata(path).is_err() && Instant::now() < patience {
        std::thread::sleep(DEVICE_PAUSE);
    }
    chown(path, Some(Uid::from_raw(0)), Some(Gid::from_raw(0)))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))
}

/// Moves this process, and so all that it starts, into a group of its own, and lets the groups beside it be limited. A
/// controller that the kernel lacks is missed by the self-checks.
fn enter_own_group() -> io::Result<()> {
    fs::create_dir(OWN_GROUP)?;
    let own = Path::new(OWN_GROUP);
    fs::write(own.join("cgroup.procs"), "0")?;
    for controller in CONTROLLERS {
        let _ = fs::write(
            Path::new(CONTROL_GROUPS).join("cgroup.subtree_control"),
            controller,
        );
    }
    set_existing(&own.join("cpu.weight"), OWN_GROUP_WEIGHT)
}

fn make_sys_read_only() -> io::Result<()> {
    let flags = NO_SUID_EXEC_DEV | MsFlags::MS_RDONLY | MsFlags::MS_REMOUNT | MsFlags::MS_BIND;
    mount(None::<&str>, "/sys", None::<&str>, flags, None::<&str>)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_are_loaded_in_the_order_of_their_names() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["20-b.ko", "10-a.ko", "readme", "05-z.ko.xz"] {
            fs::write(directory.path().join(name), b"").unwrap();
        }
        let names: Vec<_> = module_files(directory.path())
            .unwrap()
            .iter()
            .map(|path| Path::new(path).file_name().unwrap().to_owned())
            .collect();
        assert_eq!(names, ["10-a.ko", "20-b.ko"]);
        assert_eq!(
            module_files(&directory.path().join("absent"))
                .unwrap()
                .len(),
            0
        );
    }

    #[test]
    fn a_setting_that_the_kernel_lacks_is_passed_over_and_others_are_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("setting");
        set_existing(&path, "1").unwrap();
        assert!(!path.exists());
        fs::write(&path, b"0").unwrap();
        set_existing(&path, "1").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"1");
        assert!(set_existing(directory.path(), "1").is_err());
    }
}
