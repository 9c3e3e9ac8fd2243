//! A connection to the parent for a few bytes, with one limit of time for all of it.
//!
//! Process 1 has no event loop and must not wait for a parent that does not want to listen, so every
//! step here is a non-blocking call and a `poll` until the deadline.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use narthex_channel::Address;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::sockopt::SocketError;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockType, SockaddrLike, UnixAddr, VsockAddr, connect,
    getsockopt, recv, send, socket,
};

use crate::reserved_port::bind_reserved;

/// A connected stream.
#[derive(Debug)]
pub struct Link {
    socket: OwnedFd,
    deadline: Instant,
}

impl Link {
    /// Connects to a vsock port or a Unix socket. `limit` counts for this and for all that follows.
    ///
    /// # Errors
    ///
    /// The system's; `TimedOut` at the limit; `Unsupported` for other kinds of address.
    pub fn connect(address: &Address, limit: Duration) -> io::Result<Self> {
        let deadline = Instant::now() + limit;
        match address {
            Address::Vsock { cid, port } => {
                Self::connect_to(AddressFamily::Vsock, &VsockAddr::new(*cid, *port), deadline)
            }
            Address::Unix(path) => {
                Self::connect_to(AddressFamily::Unix, &UnixAddr::new(path)?, deadline)
            }
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    fn connect_to(
        family: AddressFamily,
        address: &dyn SockaddrLike,
        deadline: Instant,
    ) -> io::Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket(family, SockType::Stream, flags, None)?;
        if family == AddressFamily::Vsock {
            bind_reserved(&socket)?;
        }
        let link = Self { socket, deadline };
        match connect(link.socket.as_raw_fd(), address) {
            Ok(()) => return Ok(link),
            Err(Errno::EINPROGRESS | Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        link.wait(PollFlags::POLLOUT)?;
        match getsockopt(&link.socket, SocketError)? {
            0 => Ok(link),
            error => Err(io::Error::from_raw_os_error(error)),
        }
    }

    /// Writes all of `bytes`.
    ///
    /// # Errors
    ///
    /// The system's; `TimedOut` at the limit.
    pub fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match send(self.socket.as_raw_fd(), bytes, MsgFlags::MSG_NOSIGNAL) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
                Err(Errno::EAGAIN) => self.wait(PollFlags::POLLOUT)?,
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// The next byte; `None` when the peer has closed. What is there already is read without a look at the clock,
    /// so a caller must not read for as long as a peer sends.
    ///
    /// # Errors
    ///
    /// The system's; `TimedOut` at the limit.
    pub fn read_byte(&mut self) -> io::Result<Option<u8>> {
        let mut byte = [0];
        loop {
            match recv(self.socket.as_raw_fd(), &mut byte, MsgFlags::empty()) {
                Ok(0) => return Ok(None),
                Ok(_) => {
                    let [byte] = byte;
                    return Ok(Some(byte));
                }
                Err(Errno::EAGAIN) => self.wait(PollFlags::POLLIN)?,
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn wait(&self, events: PollFlags) -> io::Result<()> {
        loop {
            let rest = self.deadline.saturating_duration_since(Instant::now());
            if rest.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            // Rounded up, so that the loop does not spin in the last millisecond.
            let rest = rest.saturating_add(Duration::from_millis(1));
            let timeout = PollTimeout::try_from(rest).unwrap_or(PollTimeout::MAX);
            let mut polled = [PollFd::new(self.socket.as_fd(), events)];
            match poll(&mut polled, timeout) {
                Ok(0) | Err(Errno::EINTR) => {}
                Ok(_) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }
}
