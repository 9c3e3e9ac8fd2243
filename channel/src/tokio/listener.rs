//! One listening socket of any kind.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::sys::socket::AddressFamily;
use tokio::net::{TcpListener, UnixListener};
use tokio_vsock::{VsockAddr, VsockListener};

use super::stream::family;
use super::{PeerAddress, Phase, Stream, TransportError};
use crate::address::Address;

/// A listening stream socket. The file of a Unix socket that it made goes when it is dropped.
#[derive(Debug)]
pub struct Listener {
    kind: Kind,
    file: Option<SocketFile>,
}

#[derive(Debug)]
enum Kind {
    Vsock(VsockListener),
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    /// Binds and listens. Must be called within a tokio runtime.
    ///
    /// For `hybrid:PATH:PORT` this is the host's side: the Unix socket `PATH_PORT`. A Unix socket
    /// file gets mode 0600, so only its owner can connect; widen it with `chmod` where others
    /// should. A file left behind by a process that has ended is replaced; one on which somebody
    /// listens is not.
    ///
    /// # Errors
    ///
    /// [`TransportError::Io`].
    pub async fn bind(address: &Address) -> Result<Self, TransportError> {
        Self::open(address)
            .await
            .map_err(TransportError::io(Phase::Listen))
    }

    async fn open(address: &Address) -> io::Result<Self> {
        match address {
            Address::Vsock { cid, port } => {
                let listener = VsockListener::bind(VsockAddr::new(*cid, *port))?;
                Ok(Self {
                    kind: Kind::Vsock(listener),
                    file: None,
                })
            }
            Address::Tcp(address) => {
                let listener = TcpListener::bind(address).await?;
                Ok(Self {
                    kind: Kind::Tcp(listener),
                    file: None,
                })
            }
            Address::Unix(path) => Self::open_unix(path.clone()),
            Address::Hybrid { path, port } => {
                Self::open_unix(Address::hybrid_listening_path(path, *port))
            }
        }
    }

    fn open_unix(path: PathBuf) -> io::Result<Self> {
        remove_if_abandoned(&path)?;
        let listener = UnixListener::bind(&path)?;
        let file = SocketFile::of(path)?;
        fs::set_permissions(&file.path, fs::Permissions::from_mode(0o600))?;
        Ok(Self {
            kind: Kind::Unix(listener),
            file: Some(file),
        })
    }

    /// Takes over a listening socket that was inherited or passed, whatever its family. Must be
    /// called within a tokio runtime. The file of a Unix socket stays its maker's to remove.
    ///
    /// # Errors
    ///
    /// An [`io::Error`] of kind `InvalidInput` if it is not a vsock, TCP or Unix socket, or what
    /// the operating system says.
    ///
    /// # Panics
    ///
    /// For a vsock socket, if the runtime's poll instance does not take it: `tokio-vsock` offers
    /// no way to be told otherwise. That concerns the start of a program, never its input.
    pub fn from_fd(fd: OwnedFd) -> io::Result<Self> {
        let kind = match family(&fd)? {
            AddressFamily::Vsock => Kind::Vsock(VsockListener::from(fd)),
            AddressFamily::Inet | AddressFamily::Inet6 => {
                let listener = std::net::TcpListener::from(fd);
                listener.set_nonblocking(true)?;
                Kind::Tcp(TcpListener::from_std(listener)?)
            }
            AddressFamily::Unix => {
                let listener = std::os::unix::net::UnixListener::from(fd);
                listener.set_nonblocking(true)?;
                Kind::Unix(UnixListener::from_std(listener)?)
            }
            _ => return Err(io::Error::from(io::ErrorKind::InvalidInput)),
        };
        Ok(Self { kind, file: None })
    }

    /// Waits for the next connection. An error concerns one connection or the moment, never the
    /// listener: call again, after a pause. [`super::serve()`] does.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    pub async fn accept(&self) -> io::Result<(Stream, PeerAddress)> {
        let stream = match &self.kind {
            Kind::Vsock(listener) => Stream::Vsock(listener.accept().await?.0),
            Kind::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Stream::Tcp(stream)
            }
            Kind::Unix(listener) => Stream::Unix(listener.accept().await?.0),
        };
        let peer = stream.peer()?;
        Ok((stream, peer))
    }

    /// Where it listens, with the port that was chosen if 0 was asked for. The path of a hybrid
    /// address shows as the Unix socket that it is.
    ///
    /// # Errors
    ///
    /// What the operating system says; `InvalidInput` for a Unix socket without a path.
    pub fn local_address(&self) -> io::Result<Address> {
        match &self.kind {
            Kind::Vsock(listener) => {
                let address = listener.local_addr()?;
                Ok(Address::Vsock {
                    cid: address.cid(),
                    port: address.port(),
                })
            }
            Kind::Tcp(listener) => listener.local_addr().map(Address::Tcp),
            Kind::Unix(listener) => {
                let address = listener.local_addr()?;
                let path = address.as_pathname().map(Path::to_path_buf);
                path.map(Address::Unix)
                    .ok_or_else(|| io::ErrorKind::InvalidInput.into())
            }
        }
    }

    /// Gives the socket away, for a process that inherits it. A Unix socket's file stays.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    pub fn into_fd(self) -> io::Result<OwnedFd> {
        let Self { kind, file } = self;
        if let Some(file) = file {
            file.keep();
        }
        match kind {
            Kind::Vsock(listener) => Ok(OwnedFd::from(listener)),
            Kind::Tcp(listener) => Ok(OwnedFd::from(listener.into_std()?)),
            Kind::Unix(listener) => Ok(OwnedFd::from(listener.into_std()?)),
        }
    }
}

/// Removes the file of a socket on which nobody listens any more.
fn remove_if_abandoned(path: &Path) -> io::Result<()> {
    let Ok(metadata) = fs::symlink_metadata(path) else {
        return Ok(());
    };
    if !metadata.file_type().is_socket() {
        return Ok(()); // Binding will say that the name is taken.
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        _ => Ok(()),
    }
}

/// The file of a socket made here, removed when dropped unless somebody has replaced it.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl SocketFile {
    fn of(path: PathBuf) -> io::Result<Self> {
        let metadata = fs::symlink_metadata(&path)?;
        Ok(Self {
            path,
            device: metadata.dev(),
            inode: metadata.ino(),
        })
    }

    /// Leaves the file where it is.
    fn keep(mut self) {
        self.path = PathBuf::new();
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let Ok(metadata) = fs::symlink_metadata(&self.path) else {
            return;
        };
        if (metadata.dev(), metadata.ino()) == (self.device, self.inode) {
            // A file that cannot be removed is replaced by the next one to bind.
            let _left_behind = fs::remove_file(&self.path);
        }
    }
}
