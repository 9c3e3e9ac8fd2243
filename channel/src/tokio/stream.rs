//! One connected socket of any kind.

use core::fmt;
use core::net::SocketAddr;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::sys::socket::{AddressFamily, SockaddrLike, SockaddrStorage, getsockname};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_vsock::VsockStream;

/// A connected stream socket.
#[derive(Debug)]
#[non_exhaustive]
pub enum Stream {
    /// A vsock connection.
    Vsock(VsockStream),
    /// A TCP connection.
    Tcp(TcpStream),
    /// A Unix connection, also one behind which a hybrid vsock port is.
    Unix(UnixStream),
}

/// Who is at the other end, as the kernel says. A parent instance can choose all of it except its
/// own CID, so it is good for limits and records, never for trust.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum PeerAddress {
    /// A vsock port.
    Vsock {
        /// Context id; 3 is the parent instance of an enclave.
        cid: u32,
        /// Port.
        port: u32,
    },
    /// A TCP port.
    Tcp(SocketAddr),
    /// A process on this machine, at the time it connected.
    Unix {
        /// Process id, if the kernel knows it.
        pid: Option<i32>,
        /// User id.
        uid: u32,
        /// Group id.
        gid: u32,
    },
}

impl fmt::Display for PeerAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Vsock { cid, port } => write!(formatter, "vsock:{cid}:{port}"),
            Self::Tcp(address) => write!(formatter, "tcp:{address}"),
            Self::Unix {
                pid: Some(pid),
                uid,
                gid,
            } => {
                write!(formatter, "unix (pid {pid}, uid {uid}, gid {gid})")
            }
            Self::Unix {
                pid: None,
                uid,
                gid,
            } => write!(formatter, "unix (uid {uid}, gid {gid})"),
        }
    }
}

impl Stream {
    /// Takes over a connected socket that was inherited or passed, whatever its family. Must be
    /// called within a tokio runtime.
    ///
    /// # Errors
    ///
    /// An [`io::Error`] of kind `InvalidInput` if it is not a vsock, TCP or Unix socket, or what
    /// the operating system says.
    pub fn from_fd(fd: OwnedFd) -> io::Result<Self> {
        match family(&fd)? {
            AddressFamily::Vsock => VsockStream::new(vsock::VsockStream::from(fd)).map(Self::Vsock),
            AddressFamily::Inet | AddressFamily::Inet6 => {
                let stream = std::net::TcpStream::from(fd);
                stream.set_nonblocking(true)?;
                TcpStream::from_std(stream).map(Self::Tcp)
            }
            AddressFamily::Unix => {
                let stream = std::os::unix::net::UnixStream::from(fd);
                stream.set_nonblocking(true)?;
                UnixStream::from_std(stream).map(Self::Unix)
            }
            _ => Err(io::Error::from(io::ErrorKind::InvalidInput)),
        }
    }

    /// Who is at the other end.
    ///
    /// # Errors
    ///
    /// What the operating system says, such as that the peer has gone.
    pub fn peer(&self) -> io::Result<PeerAddress> {
        match self {
            Self::Vsock(stream) => {
                let address = stream.peer_addr()?;
                Ok(PeerAddress::Vsock {
                    cid: address.cid(),
                    port: address.port(),
                })
            }
            Self::Tcp(stream) => stream.peer_addr().map(PeerAddress::Tcp),
            Self::Unix(stream) => {
                let credentials = stream.peer_cred()?;
                Ok(PeerAddress::Unix {
                    pid: credentials.pid(),
                    uid: credentials.uid(),
                    gid: credentials.gid(),
                })
            }
        }
    }
}

/// The address family of a socket.
pub(super) fn family(fd: &OwnedFd) -> io::Result<AddressFamily> {
    use std::os::fd::AsRawFd;

    let address: SockaddrStorage = getsockname(fd.as_raw_fd())?;
    address
        .family()
        .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Vsock(stream) => stream.as_fd(),
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Vsock(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tcp(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Unix(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Vsock(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Unix(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Vsock(stream) => Pin::new(stream).poll_flush(context),
            Self::Tcp(stream) => Pin::new(stream).poll_flush(context),
            Self::Unix(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Vsock(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
