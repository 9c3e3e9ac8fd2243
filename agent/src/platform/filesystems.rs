//! File systems that are mounted nowhere yet: each is a descriptor, not a place.
//!
//! Whoever holds the descriptor can write into it and attach it somewhere in their own mount namespace
//! ([`mounts::attach`](super::mounts::attach)). No other process has a path to it, and it disappears with the last
//! descriptor or mount of it.
#![allow(unsafe_code)] // fsopen(2) and its family have no wrapper in `nix`.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::errno::Errno;
use nix::libc;

/// How much a keys' tmpfs may hold: 16 keys of the largest size, with room for a reload of them
/// all.
const KEYS_BYTES: u64 = 4 << 20;
/// Files and directories in a keys' tmpfs.
const KEYS_INODES: u64 = 256;

// linux/mount.h; the same on every architecture.
const FSOPEN_CLOEXEC: libc::c_uint = 1;
const FSCONFIG_SET_FLAG: libc::c_uint = 0;
const FSCONFIG_SET_STRING: libc::c_uint = 1;
const FSCONFIG_CMD_CREATE: libc::c_uint = 6;
const FSMOUNT_CLOEXEC: libc::c_uint = 1;
const OPEN_TREE_CLONE: libc::c_uint = 1;
const NO_AUXILIARY: libc::c_int = 0;
const AT_RECURSIVE: libc::c_uint = 0x8000;

/// What a mount forbids, whatever its file system holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes(u64);

impl Attributes {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// Writing (`MOUNT_ATTR_RDONLY`).
    pub const READ_ONLY: Self = Self(1);
    /// set-user-id bits and file capabilities (`MOUNT_ATTR_NOSUID`).
    pub const NO_SET_USER_ID: Self = Self(2);
    /// Device nodes (`MOUNT_ATTR_NODEV`).
    pub const NO_DEVICES: Self = Self(4);
    /// Programs, and libraries mapped as such (`MOUNT_ATTR_NOEXEC`).
    pub const NO_PROGRAMS: Self = Self(8);

    /// Both.
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// A tmpfs. Its memory is its writers': it counts in the control group of whoever writes.
#[derive(Clone, Copy, Debug)]
pub struct TmpfsOptions {
    /// Most bytes of content, never 0, which the kernel takes for "no limit".
    pub max_bytes: u64,
    /// Most files, directories and links.
    pub max_inodes: u64,
    /// Mode of its root directory, which is root's.
    pub mode: u32,
    /// What its mount forbids.
    pub attributes: Attributes,
}

/// Makes a tmpfs.
///
/// # Errors
///
/// The kernel's; `EPERM` without `CAP_SYS_ADMIN`, `EINVAL` for a size of 0.
pub fn tmpfs(options: TmpfsOptions) -> Result<OwnedFd, Errno> {
    mount_of(tmpfs_context(options)?, options.attributes)
}

/// Makes a tmpfs for keys: small, `nosuid`, `nodev`, `noexec`, root's, mode 0711 until the caller
/// changes it. It is kept out of swap where the kernel can (6.4 and later; enclaves have no swap at
/// all).
///
/// # Errors
///
/// The kernel's; `EPERM` without `CAP_SYS_ADMIN`.
pub fn key_tmpfs() -> Result<OwnedFd, Errno> {
    let attributes = Attributes::NO_SET_USER_ID
        .and(Attributes::NO_DEVICES)
        .and(Attributes::NO_PROGRAMS);
    let context = tmpfs_context(TmpfsOptions {
        max_bytes: KEYS_BYTES,
        max_inodes: KEYS_INODES,
        mode: 0o711,
        attributes,
    })?;
    match configure(&context, FSCONFIG_SET_FLAG, Some(c"noswap"), None) {
        Ok(()) | Err(Errno::EINVAL) => {} // Unknown to older kernels.
        Err(error) => return Err(error),
    }
    mount_of(context, attributes)
}

/// Makes a `/proc` of its own in which a process sees only those processes that it could trace: the ones of its
/// user. Read-only, so that no setting of the kernel can be changed through it whoever asks.
///
/// `subset=pid` is not used: it takes away `cpuinfo`, `meminfo` and `stat`, whereupon Node.js reports a
/// machine without processors. What is left beside the processes are numbers about the machine; the files that would
/// tell more are root's.
///
/// # Errors
///
/// The kernel's; `EPERM` without `CAP_SYS_ADMIN`, `EINVAL` before Linux 5.8.
pub fn proc_of_own_processes() -> Result<OwnedFd, Errno> {
    let context = open_context(c"proc")?;
    set(&context, c"hidepid", c"invisible")?;
    let attributes = Attributes::READ_ONLY
        .and(Attributes::NO_SET_USER_ID)
        .and(Attributes::NO_DEVICES)
        .and(Attributes::NO_PROGRAMS);
    mount_of(context, attributes)
}

/// Makes a second mount of what is at `place` (a folder or a file), without the mounts below it. A link in its
/// place is not followed.
///
/// # Errors
///
/// The kernel's; `ENOENT` when nothing is there, `EPERM` without `CAP_SYS_ADMIN`.
pub fn second_mount(place: &CStr, attributes: Attributes) -> Result<OwnedFd, Errno> {
    // The kernel's flag for close-on-exec is O_CLOEXEC itself.
    let flags = OPEN_TREE_CLONE
        | libc::c_uint::try_from(libc::O_CLOEXEC | libc::AT_SYMLINK_NOFOLLOW)
            .map_err(|_| Errno::EINVAL)?;
    // SAFETY: the path is a C string; a success is a new descriptor that nobody else owns.
    let mount = unsafe {
        let fd = libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, place.as_ptr(), flags);
        owned(fd)?
    };
    forbid(mount.as_fd(), attributes)?;
    Ok(mount)
}

/// Adds to what a mount forbids.
///
/// # Errors
///
/// The kernel's; `ENOSYS` before Linux 5.12.
pub fn forbid(mount: BorrowedFd<'_>, attributes: Attributes) -> Result<(), Errno> {
    let flags = libc::c_uint::try_from(libc::AT_EMPTY_PATH).map_err(|_| Errno::EINVAL)?;
    set_attributes(mount.as_raw_fd(), c"", flags, attributes)
}

/// Adds to what every mount at and below `place` forbids, in the calling process's namespace.
///
/// # Errors
///
/// The kernel's; `ENOSYS` before Linux 5.12.
pub fn forbid_below(place: &CStr, attributes: Attributes) -> Result<(), Errno> {
    set_attributes(libc::AT_FDCWD, place, AT_RECURSIVE, attributes)
}

#[repr(C)]
struct KernelAttributes {
    set: u64,
    clear: u64,
    propagation: u64,
    user_namespace_fd: u64,
}

fn set_attributes(
    directory: libc::c_int,
    path: &CStr,
    flags: libc::c_uint,
    Attributes(set): Attributes,
) -> Result<(), Errno> {
    let attributes = KernelAttributes {
        set,
        clear: 0,
        // What is mounted or unmounted here is nobody else's business, nor the other way round.
        propagation: libc::MS_PRIVATE,
        user_namespace_fd: 0,
    };
    // SAFETY: the path is a C string and the structure has the stated size.
    let changed = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            directory,
            path.as_ptr(),
            flags,
            &raw const attributes,
            size_of::<KernelAttributes>(),
        )
    };
    Errno::result(changed).map(drop)
}

fn tmpfs_context(options: TmpfsOptions) -> Result<OwnedFd, Errno> {
    let TmpfsOptions {
        max_bytes,
        max_inodes,
        mode,
        attributes: _,
    } = options;
    if max_bytes == 0 || max_inodes == 0 {
        return Err(Errno::EINVAL);
    }
    let context = open_context(c"tmpfs")?;
    for (key, value) in [
        (c"size", max_bytes.to_string()),
        (c"nr_inodes", max_inodes.to_string()),
        (c"mode", format!("{mode:o}")),
    ] {
        let value = CString::new(value).map_err(|_| Errno::EINVAL)?;
        set(&context, key, &value)?;
    }
    Ok(context)
}

fn open_context(kind: &CStr) -> Result<OwnedFd, Errno> {
    // SAFETY: the name is a C string; a success is a new descriptor that nobody else owns.
    unsafe {
        owned(libc::syscall(
            libc::SYS_fsopen,
            kind.as_ptr(),
            FSOPEN_CLOEXEC,
        ))
    }
}

fn set(context: &OwnedFd, key: &CStr, value: &CStr) -> Result<(), Errno> {
    configure(context, FSCONFIG_SET_STRING, Some(key), Some(value))
}

fn mount_of(context: OwnedFd, Attributes(attributes): Attributes) -> Result<OwnedFd, Errno> {
    configure(&context, FSCONFIG_CMD_CREATE, None, None)?;
    // SAFETY: takes integers; a success is a new descriptor that nobody else owns.
    unsafe {
        owned(libc::syscall(
            libc::SYS_fsmount,
            context.as_raw_fd(),
            FSMOUNT_CLOEXEC,
            attributes,
        ))
    }
}

fn configure(
    context: &OwnedFd,
    command: libc::c_uint,
    key: Option<&CStr>,
    value: Option<&CStr>,
) -> Result<(), Errno> {
    let pointer = |text: Option<&CStr>| text.map_or(std::ptr::null(), CStr::as_ptr);
    // SAFETY: both texts are C strings or null, as each command allows, and outlive the call.
    let done = unsafe {
        libc::syscall(
            libc::SYS_fsconfig,
            context.as_fd().as_raw_fd(),
            command,
            pointer(key),
            pointer(value),
            NO_AUXILIARY,
        )
    };
    Errno::result(done).map(drop)
}

/// # Safety
///
/// `result` must come from a call whose success is a new descriptor.
unsafe fn owned(result: libc::c_long) -> Result<OwnedFd, Errno> {
    let fd = Errno::result(result)?;
    let fd = libc::c_int::try_from(fd).map_err(|_| Errno::EBADF)?;
    // SAFETY: the caller's promise.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
