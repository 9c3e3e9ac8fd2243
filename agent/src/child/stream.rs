//! An inherited stream socket under tokio, whatever kind of address it came from.
//!
//! Tokio's own types would each want another constructor and other system calls; a confined process
//! reads and writes, and that is all.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A connected stream socket.
#[derive(Debug)]
pub struct InheritedStream(AsyncFd<OwnedFd>);

impl InheritedStream {
    /// Takes over `socket` and makes it non-blocking.
    ///
    /// # Errors
    ///
    /// When the event loop or the kernel refuses it.
    pub fn new(socket: OwnedFd) -> io::Result<Self> {
        set_nonblocking(&socket)?;
        register(socket).map(Self)
    }
}

/// Registers a descriptor with the event loop of the caller.
#[allow(unsafe_code)] // `AsyncFd::register` relies on its argument to keep the descriptor.
pub(crate) fn register(socket: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` owns one open descriptor and keeps it until it is dropped.
    Ok(unsafe { AsyncFd::register(socket) }?)
}

pub(crate) fn set_nonblocking(socket: &OwnedFd) -> io::Result<()> {
    let flags = OFlag::from_bits_retain(fcntl(socket, FcntlArg::F_GETFL)?);
    fcntl(socket, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    Ok(())
}

/// Repeats what a signal interrupted.
fn uninterrupted<T>(mut call: impl FnMut() -> nix::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(nix::errno::Errno::EINTR) => {}
            result => return result.map_err(io::Error::from),
        }
    }
}

impl AsyncRead for InheritedStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let mut guard = ready!(self.0.poll_read_ready(context))?;
            let unfilled = buffer.initialize_unfilled();
            let read = guard
                .try_io(|socket| uninterrupted(|| nix::unistd::read(socket.as_fd(), unfilled)));
            if let Ok(result) = read {
                return Poll::Ready(result.map(|bytes| buffer.advance(bytes)));
            }
        }
    }
}

impl AsyncWrite for InheritedStream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            let mut guard = ready!(self.0.poll_write_ready(context))?;
            // SIGPIPE is ignored in Rust programs: a closed peer is an error here.
            let written =
                guard.try_io(|socket| uninterrupted(|| nix::unistd::write(socket.as_fd(), bytes)));
            if let Ok(result) = written {
                return Poll::Ready(result);
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Nothing depends on half-closed sockets (R46): closing is dropping.
    fn poll_shutdown(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
