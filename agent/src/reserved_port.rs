//! vsock ports that the workload cannot take.
//!
//! A socket that connects has a port of its own as well. Left to itself the kernel counts ports upwards and gives up after
//! 24 that are taken (`__vsock_bind_connectible`, net/vmw_vsock/af_vsock.c). A workload that may use vsock could therefore take
//! the next thousand and so cut the agent off from its parent: from policies, revocations and keys. Ports
//! up to 1023 are root's (`CAP_NET_BIND_SERVICE`), so the agent connects from those.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{VsockAddr, bind};

/// Below are ports on which services may listen by custom.
const FIRST: u32 = 512;
/// The kernel's `LAST_RESERVED_PORT`.
const LAST: u32 = 1023;
const COUNT: u32 = LAST - FIRST + 1;

/// Gives a vsock socket that is going to connect a reserved port of its own. Without the right to one, or when all are taken
/// (a port stays taken until the peer has confirmed the end of its connection), the kernel will choose one.
///
/// # Errors
///
/// The kernel's, for something that is no unbound vsock socket.
pub fn bind_reserved(socket: &OwnedFd) -> io::Result<()> {
    // In turn, because the last one is likely not free yet.
    static NEXT: AtomicU32 = AtomicU32::new(0);
    for _ in 0..COUNT {
        let port = FIRST + NEXT.fetch_add(1, Ordering::Relaxed) % COUNT;
        let address = VsockAddr::new(libc::VMADDR_CID_ANY, port);
        match bind(socket.as_raw_fd(), &address) {
            Ok(()) | Err(Errno::EACCES) => return Ok(()),
            Err(Errno::EADDRINUSE) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrLike, getsockname, socket};

    use super::*;

    fn new_socket() -> Option<OwnedFd> {
        let flags = SockFlag::SOCK_CLOEXEC;
        let made = socket(AddressFamily::Vsock, SockType::Stream, flags, None).ok();
        if made.is_none() || !nix::unistd::geteuid().is_root() {
            eprintln!("skipped: needs vsock and root");
            return None;
        }
        made
    }

    fn port(socket: &OwnedFd) -> u32 {
        let address: VsockAddr = getsockname(socket.as_raw_fd()).unwrap();
        assert_eq!(address.family(), Some(AddressFamily::Vsock));
        address.port()
    }

    #[test]
    fn ports_are_reserved_ones_and_taken_ones_are_passed_over() {
        let Some(first) = new_socket() else { return };
        bind_reserved(&first).unwrap();
        assert!((FIRST..=LAST).contains(&port(&first)));
        // Taken by somebody else, wherever the turn is: every second one.
        let mut others = Vec::new();
        for port in (FIRST..=LAST).step_by(2) {
            let other = new_socket().unwrap();
            let _ = bind(
                other.as_raw_fd(),
                &VsockAddr::new(libc::VMADDR_CID_ANY, port),
            );
            others.push(other);
        }
        let ours: Vec<OwnedFd> = (0..COUNT / 2 - 1)
            .map(|_| {
                let socket = new_socket().unwrap();
                bind_reserved(&socket).unwrap();
                socket
            })
            .collect();
        let mut ports: Vec<u32> = ours.iter().map(port).collect();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), ours.len());
        assert!(ports.iter().all(|port| (FIRST..=LAST).contains(port)));
    }

    #[test]
    fn another_kind_of_socket_is_an_error() {
        let kind = SockType::Stream;
        let socket = socket(AddressFamily::Unix, kind, SockFlag::SOCK_CLOEXEC, None).unwrap();
        bind_reserved(&socket).unwrap_err();
    }
}
