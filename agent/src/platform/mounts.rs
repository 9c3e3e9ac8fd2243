//! The calling process's own view of the file system.
#![allow(unsafe_code)] // move_mount(2) has no wrapper in `nix`.

use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd};

use nix::errno::Errno;
use nix::libc;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use super::filesystems::{self, Attributes};

// linux/mount.h; the same on every architecture.
const MOVE_MOUNT_F_EMPTY_PATH: libc::c_uint = 0x04;
const MOVE_MOUNT_T_SYMLINKS: libc::c_uint = 0x10;

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
    filesystems::forbid_below(c"/", Attributes::NO_SET_USER_ID)
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

/// Moves a detached mount to `place`, which must exist, in the calling process's namespace. Links on the way are
/// followed, as everywhere.
///
/// # Errors
///
/// The kernel's; `ENOENT` when there is no such place, `EINVAL` for a folder over a file or a file over a folder.
pub fn attach(detached: BorrowedFd<'_>, place: &CStr) -> Result<(), Errno> {
    // SAFETY: both paths are C strings that outlive the call.
    let moved = unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            detached.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_FDCWD,
            place.as_ptr(),
            MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_SYMLINKS,
        )
    };
    Errno::result(moved).map(drop)
}
