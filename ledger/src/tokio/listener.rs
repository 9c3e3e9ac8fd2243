//! One listening socket, TCP or Unix.

use core::pin::Pin;
use core::task::{Context, Poll};
use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use super::address::ListenAddress;

/// A listening socket. The file of a Unix socket goes when it is dropped.
#[derive(Debug)]
pub struct HttpListener {
    kind: Kind,
    file: Option<SocketFile>,
}

#[derive(Debug)]
enum Kind {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// An accepted connection.
#[derive(Debug)]
pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl HttpListener {
    /// Binds and listens. Must be called within a tokio runtime.
    ///
    /// A Unix socket file gets mode 0600, so only its owner can connect; widen it with `chmod` where others
    /// should. A file left behind by a process that has ended is replaced; one on which somebody listens is
    /// not, nor is anything that is not a socket.
    ///
    /// # Errors
    ///
    /// What the operating system says; `AddrInUse` for a path that is taken.
    pub async fn bind(address: &ListenAddress) -> io::Result<Self> {
        match address {
            ListenAddress::Tcp(address) => Ok(Self {
                kind: Kind::Tcp(TcpListener::bind(address).await?),
                file: None,
            }),
            ListenAddress::Unix(path) => {
                remove_if_abandoned(path)?;
                let listener = UnixListener::bind(path)?;
                let file = SocketFile::of(path.clone())?;
                fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
                Ok(Self {
                    kind: Kind::Unix(listener),
                    file: Some(file),
                })
            }
        }
    }

    /// Where it listens, with the port that was chosen if 0 was asked for.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    pub fn local_address(&self) -> io::Result<ListenAddress> {
        match (&self.kind, &self.file) {
            (Kind::Tcp(listener), _) => listener.local_addr().map(ListenAddress::Tcp),
            (Kind::Unix(_), Some(file)) => Ok(ListenAddress::Unix(file.path.clone())),
            (Kind::Unix(_), None) => Err(io::ErrorKind::InvalidInput.into()),
        }
    }

    /// An error concerns one connection or the moment, never the listener.
    pub(super) async fn accept(&self) -> io::Result<Stream> {
        match &self.kind {
            Kind::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                // Answers are written whole, so there is nothing to collect.
                stream.set_nodelay(true)?;
                Ok(Stream::Tcp(stream))
            }
            Kind::Unix(listener) => listener
                .accept()
                .await
                .map(|(stream, _)| Stream::Unix(stream)),
        }
    }
}

/// A socket that nobody listens on is removed.
fn remove_if_abandoned(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => {
            match std::os::unix::net::UnixStream::connect(path) {
                Ok(_somebody) => Err(io::ErrorKind::AddrInUse.into()),
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    fs::remove_file(path)
                }
                Err(error) => Err(error),
            }
        }
        Ok(_) => Err(io::ErrorKind::AddrInUse.into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// The file of a socket that was bound here: only that very file is removed at the end.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl SocketFile {
    fn of(path: PathBuf) -> io::Result<Self> {
        let found = fs::symlink_metadata(&path)?;
        Ok(Self {
            device: found.dev(),
            inode: found.ino(),
            path,
        })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|found| (found.dev(), found.ino()) == (self.device, self.inode));
        if ours {
            let _ = fs::remove_file(&self.path);
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
            Self::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Unix(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(context),
            Self::Unix(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
