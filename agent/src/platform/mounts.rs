//! The mount calls that give a workload its own view of the file system.
//!
//! The keys' tmpfs is made *detached*: it is a file descriptor, not a place. The agent writes into
//! it; the workload's process moves it into its own mount namespace. No other process has a path to
//! it, not even the agent's, and it disappears with the last of the two.
#![allow(unsafe_code)] // fsopen(2) and its family have no wrapper in `nix`.

use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::errno::Errno;
use nix::libc;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

/// How much a keys' tmpfs may hold: 16 keys of the largest size, with room for a reload of them
/// all.
const KEYS_SIZE: &CStr = c"4m";
/// Files and directories in a keys' tmpfs.
const KEYS_INODES: &CStr = c"256";

// linux/mount.h; the same on every architecture.
const FSOPEN_CLOEXEC: libc::c_uint = 1;
const FSCONFIG_SET_FLAG: libc::c_uint = 0;
const FSCONFIG_SET_STRING: libc::c_uint = 1;
const FSCONFIG_CMD_CREATE: libc::c_uint = 6;
const FSMOUNT_CLOEXEC: libc::c_uint = 1;
const MOUNT_ATTR_NOSUID: u64 = 2;
const MOUNT_ATTR_NODEV: u64 = 4;
const MOUNT_ATTR_NOEXEC: u64 = 8;
const MOVE_MOUNT_F_EMPTY_PATH: libc::c_uint = 4;
const NO_AUXILIARY: libc::c_int = 0;
const AT_RECURSIVE: libc::c_uint = 0x8000;

#[repr(C)]
struct MountAttributes {
    set: u64,
    clear: u64,
    propagation: u64,
    user_namespace_fd: u64,
}

/// Makes a tmpfs for keys that is mounted nowhere: small, `nosuid`, `nodev`, `noexec`, root's, mode
/// 0711 until the caller changes it. It is kept out of swap where the kernel can (6.4 and later;
/// enclaves have no swap at all).
///
/// # Errors
///
/// The kernel's; `EPERM` without `CAP_SYS_ADMIN`.
pub fn detached_key_tmpfs() -> Result<OwnedFd, Errno> {
    // SAFETY: the name is a C string; a success is a new descriptor that nobody else owns.
    let context = unsafe {
        let fd = libc::syscall(libc::SYS_fsopen, c"tmpfs".as_ptr(), FSOPEN_CLOEXEC);
        owned(fd)?
    };
    configure(
        &context,
        FSCONFIG_SET_STRING,
        Some(c"size"),
        Some(KEYS_SIZE),
    )?;
    configure(
        &context,
        FSCONFIG_SET_STRING,
        Some(c"nr_inodes"),
        Some(KEYS_INODES),
    )?;
    configure(&context, FSCONFIG_SET_STRING, Some(c"mode"), Some(c"0711"))?;
    match configure(&context, FSCONFIG_SET_FLAG, Some(c"noswap"), None) {
        Ok(()) | Err(Errno::EINVAL) => {} // Unknown to older kernels.
        Err(error) => return Err(error),
    }
    configure(&context, FSCONFIG_CMD_CREATE, None, None)?;
    let attributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
    // SAFETY: takes integers; a success is a new descriptor that nobody else owns.
    unsafe {
        let fd = libc::syscall(
            libc::SYS_fsmount,
            context.as_raw_fd(),
            FSMOUNT_CLOEXEC,
            attributes,
        );
        owned(fd)
    }
}

/// Gives the calling process a mount namespace of its own, out of which nothing propagates and into
/// which nothing does.
///
/// # Errors
///
/// The kernel's; `EPERM` without `CAP_SYS_ADMIN`.
pub fn enter_private_namespace() -> Result<(), Errno> {
    unshare(CloneFlags::CLONE_NEWNS)?;
    mount(
        None::<&str>,
        "/",
        None::<&str>,
        MsFlags::MS_REC | MsFlags::MS_PRIVATE,
        None::<&str>,
    )
}

/// Makes every mount of the calling process's namespace ignore set-user-id bits and file
/// capabilities.
///
/// # Errors
///
/// The kernel's; `ENOSYS` before Linux 5.12.
pub fn forbid_set_user_id() -> Result<(), Errno> {
    let attributes = MountAttributes {
        set: MOUNT_ATTR_NOSUID,
        clear: 0,
        propagation: 0,
        user_namespace_fd: 0,
    };
    // SAFETY: the path is a C string and the structure has the stated size.
    let changed = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            c"/".as_ptr(),
            AT_RECURSIVE,
            &raw const attributes,
            size_of::<MountAttributes>(),
        )
    };
    Errno::result(changed).map(drop)
}

/// Puts an empty tmpfs over `/tmp`, seen by this namespace only.
///
/// # Errors
///
/// The kernel's.
pub fn cover_temporary_files() -> Result<(), Errno> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(
        Some("tmpfs"),
        "/tmp",
        Some("tmpfs"),
        flags,
        Some("mode=1777"),
    )
}

/// Moves a detached mount to `place`, which must exist, in the calling process's namespace.
///
/// # Errors
///
/// The kernel's.
pub fn attach(detached: BorrowedFd<'_>, place: &CStr) -> Result<(), Errno> {
    // SAFETY: both paths are C strings that outlive the call.
    let moved = unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            detached.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_FDCWD,
            place.as_ptr(),
            MOVE_MOUNT_F_EMPTY_PATH,
        )
    };
    Errno::result(moved).map(drop)
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
