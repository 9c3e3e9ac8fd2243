//! Connecting and listening on behalf of processes that cannot.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use narthex_channel::Address;
use nix::errno::Errno;
use nix::sys::socket::sockopt::SocketError;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, VsockAddr, getsockopt, socket};
use tokio::net::{TcpStream, UnixStream};

use crate::child::register;
use crate::reserved_port::bind_reserved;

/// A connected socket, and what is still to be said on it.
#[derive(Debug)]
pub struct Connected {
    /// The socket, non-blocking.
    pub socket: OwnedFd,
    /// With a hybrid address, the port to ask for first.
    pub hybrid_port: Option<u32>,
}

/// Connects to `address`. Not one byte is read.
///
/// # Errors
///
/// The system's.
pub async fn connect(address: &Address) -> io::Result<Connected> {
    let plain = |socket| Connected {
        socket,
        hybrid_port: None,
    };
    match address {
        Address::Tcp(address) => {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            Ok(plain(stream.into_std()?.into()))
        }
        Address::Unix(path) => Ok(plain(UnixStream::connect(path).await?.into_std()?.into())),
        Address::Vsock { cid, port } => connect_vsock(*cid, *port).await.map(plain),
        Address::Hybrid { path, port } => {
            let socket = UnixStream::connect(path).await?.into_std()?.into();
            Ok(Connected {
                socket,
                hybrid_port: Some(*port),
            })
        }
        _ => Err(io::Error::from(io::ErrorKind::Unsupported)),
    }
}

/// From a port that the workload cannot take.
async fn connect_vsock(cid: u32, port: u32) -> io::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Vsock, SockType::Stream, flags, None)?;
    bind_reserved(&socket)?;
    match nix::sys::socket::connect(socket.as_raw_fd(), &VsockAddr::new(cid, port)) {
        Ok(()) => return Ok(socket),
        Err(Errno::EINPROGRESS | Errno::EINTR) => {}
        Err(error) => return Err(error.into()),
    }
    let connecting = register(socket)?;
    drop(connecting.writable().await?);
    match getsockopt(connecting.get_ref(), SocketError)? {
        0 => Ok(connecting.into_inner()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

/// Opens a listening socket, non-blocking.
///
/// # Errors
///
/// The system's.
pub fn listen(address: &Address) -> io::Result<OwnedFd> {
    match address {
        Address::Tcp(address) => {
            let listener = std::net::TcpListener::bind(address)?;
            listener.set_nonblocking(true)?;
            Ok(listener.into())
        }
        Address::Unix(path) => listen_on_path(path),
        Address::Hybrid { path, port } => {
            listen_on_path(&Address::hybrid_listening_path(path, *port))
        }
        Address::Vsock { cid, port } => {
            let listener = vsock::VsockListener::bind(&vsock::VsockAddr::new(*cid, *port))?;
            listener.set_nonblocking(true)?;
            listener.as_fd().try_clone_to_owned()
        }
        _ => Err(io::Error::from(io::ErrorKind::Unsupported)),
    }
}

fn listen_on_path(path: &Path) -> io::Result<OwnedFd> {
    remove_stale_socket(path)?;
    let listener = std::os::unix::net::UnixListener::bind(path)?;
    listener.set_nonblocking(true)?;
    Ok(listener.into())
}

/// Removes a socket that nobody listens on any more; anything else at that path stays, and binding fails.
fn remove_stale_socket(path: &Path) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Ok(metadata) if metadata.file_type().is_socket() => {
            match std::os::unix::net::UnixStream::connect(path) {
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    std::fs::remove_file(path)
                }
                Ok(_) => Err(io::Error::from(io::ErrorKind::AddrInUse)),
                Err(error) => Err(error),
            }
        }
        Ok(_) => Err(io::Error::from(io::ErrorKind::AlreadyExists)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
        let directory = std::env::temp_dir().join(format!("narthex-listen-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let path = directory.join("s");
        let address = Address::Unix(path.clone());
        let first = listen(&address).unwrap();
        assert_eq!(
            listen(&address).unwrap_err().kind(),
            io::ErrorKind::AddrInUse
        );
        drop(first);
        drop(listen(&address).unwrap());
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, b"").unwrap();
        assert_eq!(
            listen(&address).unwrap_err().kind(),
            io::ErrorKind::AlreadyExists
        );
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
