//! The confined process's side: taking over what it inherited.

// Taking ownership of a descriptor by number is unsafe.
#![allow(unsafe_code)]

use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

use nix::errno::Errno;
use nix::libc;

/// The two descriptors of a confined process.
#[derive(Debug)]
pub struct Inherited {
    /// To the supervisor, blocking.
    pub supervisor: UnixStream,
    /// The listener or the connection.
    pub work: OwnedFd,
}

/// Takes over the descriptors numbered `supervisor` and `work`. Call once.
///
/// # Errors
///
/// When they are equal, are standard streams, or are not open sockets: then this process was not started by
/// the agent.
pub fn take_inherited(supervisor: RawFd, work: RawFd) -> Result<Inherited, Errno> {
    if supervisor == work || supervisor <= 2 || work <= 2 {
        return Err(Errno::EINVAL);
    }
    for fd in [supervisor, work] {
        require_socket(fd)?;
    }
    // SAFETY: both are open (checked above), distinct, and named by our parent for this process alone;
    // nothing else in this freshly started program owns them.
    let (supervisor, work) = unsafe {
        (
            UnixStream::from_raw_fd(supervisor),
            OwnedFd::from_raw_fd(work),
        )
    };
    Ok(Inherited { supervisor, work })
}

fn require_socket(fd: RawFd) -> Result<(), Errno> {
    let mut kind: libc::c_int = 0;
    let mut length: libc::socklen_t =
        libc::socklen_t::try_from(size_of::<libc::c_int>()).map_err(|_| Errno::EINVAL)?;
    // SAFETY: `kind` and `length` are live and of the sizes stated; a bad descriptor gives an error.
    let result = unsafe {
        libc::getsockopt(
            fd,
            libc::SOL_SOCKET,
            libc::SO_TYPE,
            (&raw mut kind).cast(),
            &raw mut length,
        )
    };
    Errno::result(result)?;
    if kind == libc::SOCK_STREAM {
        Ok(())
    } else {
        Err(Errno::EPROTOTYPE)
    }
}
