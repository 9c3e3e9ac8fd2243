//! The inherited listening socket, of whatever kind.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{SockFlag, SockaddrLike, SockaddrStorage, VsockAddr, accept4, getpeername};
use tokio::io::unix::AsyncFd;

use crate::child::{InheritedStream, register};

/// A listening socket.
pub(super) struct Listener(AsyncFd<OwnedFd>);

impl Listener {
    pub(super) fn new(socket: OwnedFd) -> io::Result<Self> {
        register(socket).map(Self)
    }

    /// The next connection; `None` for a vsock peer that is not in `peer_cids`.
    pub(super) async fn accept(&self, peer_cids: &[u32]) -> io::Result<Option<InheritedStream>> {
        let socket = loop {
            let mut guard = self.0.readable().await?;
            if let Ok(accepted) = guard.try_io(|listener| accept(listener.get_ref())) {
                break accepted?;
            }
        };
        // One that has gone before it could be looked at is none that may connect, and no failure to accept:
        // whoever connects and resets as fast as it can must not slow the others down.
        if !may_connect(&socket, peer_cids).unwrap_or(false) {
            return Ok(None);
        }
        InheritedStream::new(socket).map(Some)
    }
}

#[allow(unsafe_code)] // Taking ownership of the descriptor that `accept4` returns.
fn accept(listener: &OwnedFd) -> io::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    loop {
        match accept4(listener.as_raw_fd(), flags) {
            // SAFETY: the kernel just made this descriptor for us, and nobody else knows it.
            Ok(socket) => return Ok(unsafe { OwnedFd::from_raw_fd(socket) }),
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// R45: over vsock the peer's CID is the kernel's word, and only the parent's is expected.
fn may_connect(socket: &OwnedFd, peer_cids: &[u32]) -> io::Result<bool> {
    let peer = getpeername::<SockaddrStorage>(socket.as_raw_fd())?;
    let is_vsock = peer.family() == Some(nix::sys::socket::AddressFamily::Vsock);
    if !is_vsock {
        return Ok(true);
    }
    let peer = getpeername::<VsockAddr>(socket.as_raw_fd())?;
    Ok(peer_cids.contains(&peer.cid()))
}
