//! The socket's name in the file system: private from its first moment, gone with the server.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// A name that is removed on drop, if it is still ours.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl SocketFile {
    /// Binds under a name of its own, takes the rights of others away, and only then puts the
    /// socket under `path`: nobody else can connect at any moment.
    pub(super) fn bind(path: &Path) -> io::Result<(UnixListener, Self)> {
        remove_stale(path)?;
        let temporary = temporary_name(path)?;
        let listener = UnixListener::bind(&temporary)?;
        let named = fs::set_permissions(&temporary, Permissions::from_mode(0o600))
            .and_then(|()| fs::hard_link(&temporary, path))
            .and_then(|()| identity(path));
        fs::remove_file(&temporary)?;
        Ok((
            listener,
            Self {
                path: path.to_owned(),
                identity: named?,
            },
        ))
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Another server may have taken the name over in the meantime.
        if identity(&self.path).is_ok_and(|present| present == self.identity) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Removes a socket that nobody listens on; refuses anything else that has the name.
fn remove_stale(path: &Path) -> io::Result<()> {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !metadata.file_type().is_socket() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    match UnixStream::connect(path) {
        Ok(_) => Err(io::ErrorKind::AddrInUse.into()),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) => Err(error),
    }
}

/// A short name in the same directory: socket addresses hold 107 bytes.
fn temporary_name(path: &Path) -> io::Result<PathBuf> {
    let mut random = [0; 4];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    Ok(path.with_file_name(format!(".{:08x}", u32::from_be_bytes(random))))
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|metadata| (metadata.dev(), metadata.ino()))
}
