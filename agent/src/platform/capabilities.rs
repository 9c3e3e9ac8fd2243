//! Giving up Linux capabilities for good.
#![allow(unsafe_code)] // capset(2), capget(2) and these prctl(2) operations have no wrapper in `nix`.

use nix::errno::Errno;
use nix::libc;

/// `_LINUX_CAPABILITY_VERSION_3`: 64 capabilities in two 32-bit words.
const CAPABILITY_VERSION_3: u32 = 0x2008_0522;
/// More than the kernel will ever number in version 3; the loop ends earlier, at the first unknown
/// one.
const MAX_CAPABILITY: libc::c_ulong = 63;

/// prctl(2) reads five `unsigned long`s; a narrower zero would leave half of a register undefined.
const UNUSED: libc::c_ulong = 0;
/// `PR_CAP_AMBIENT_CLEAR_ALL`, as wide as prctl(2) reads it.
const AMBIENT_CLEAR_ALL: libc::c_ulong = 4;

// Bits of `PR_SET_SECUREBITS`, linux/securebits.h.
const SECBIT_NOROOT: libc::c_ulong = 1 << 0;
const SECBIT_NOROOT_LOCKED: libc::c_ulong = 1 << 1;
const SECBIT_KEEP_CAPS_LOCKED: libc::c_ulong = 1 << 5;
const SECBIT_NO_CAP_AMBIENT_RAISE: libc::c_ulong = 1 << 6;
const SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED: libc::c_ulong = 1 << 7;

#[repr(C)]
struct Header {
    version: u32,
    pid: libc::c_int,
}

#[repr(C)]
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Words {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// Empties the bounding set, and locks the bits by which user 0 or an ambient set would bring
/// capabilities back. Needs `CAP_SETPCAP`; to be called before [`drop_held`].
///
/// # Errors
///
/// The kernel's; `EPERM` without the capability.
pub fn drop_bounding_set() -> Result<(), Errno> {
    let bits = SECBIT_NOROOT
        | SECBIT_NOROOT_LOCKED
        | SECBIT_KEEP_CAPS_LOCKED
        | SECBIT_NO_CAP_AMBIENT_RAISE
        | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;
    // SAFETY: takes integers only.
    Errno::result(unsafe { libc::prctl(libc::PR_SET_SECUREBITS, bits, UNUSED, UNUSED, UNUSED) })?;
    for capability in 0..=MAX_CAPABILITY {
        // SAFETY: takes integers only.
        let dropped =
            unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, UNUSED, UNUSED, UNUSED) };
        match Errno::result(dropped) {
            Ok(_) => {}
            Err(Errno::EINVAL) if capability > 0 => break, // The first one this kernel does not know.
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Empties the ambient, effective, permitted and inheritable sets of the calling thread, and reads
/// them back. Needs no privilege.
///
/// # Errors
///
/// The kernel's; `EPERM` when a capability is still there afterwards.
pub fn drop_held() -> Result<(), Errno> {
    // SAFETY: takes integers only.
    let cleared = unsafe {
        libc::prctl(
            libc::PR_CAP_AMBIENT,
            AMBIENT_CLEAR_ALL,
            UNUSED,
            UNUSED,
            UNUSED,
        )
    };
    Errno::result(cleared)?;
    let mut header = Header {
        version: CAPABILITY_VERSION_3,
        pid: 0,
    };
    let none = [Words::default(); 2];
    // SAFETY: both point to structures of the layout that version 3 asks for.
    let set = unsafe { libc::syscall(libc::SYS_capset, &raw mut header, none.as_ptr()) };
    Errno::result(set)?;
    if held()? == none {
        Ok(())
    } else {
        Err(Errno::EPERM)
    }
}

fn held() -> Result<[Words; 2], Errno> {
    let mut header = Header {
        version: CAPABILITY_VERSION_3,
        pid: 0,
    };
    let mut words = [Words::default(); 2];
    // SAFETY: both point to structures of the layout that version 3 asks for.
    let read = unsafe { libc::syscall(libc::SYS_capget, &raw mut header, words.as_mut_ptr()) };
    Errno::result(read)?;
    Ok(words)
}
