//! Files that hold secrets: mode 0600, owned by the user of the process, written whole or not at all.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use nix::fcntl::OFlag;
use zeroize::Zeroizing;

/// No secret file of this program comes near this size.
const MAX_BYTES: u64 = 64 * 1024;

/// Why a secret file could not be used.
#[derive(Debug)]
#[non_exhaustive]
pub enum SecretFileError {
    /// The file is not there.
    Missing(PathBuf),
    /// Somebody else may read or write it; `mode` is its permission bits.
    LoosePermissions {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It belongs to another user.
    ForeignOwner {
        /// The file.
        path: PathBuf,
        /// The user id it belongs to.
        owner: u32,
    },
    /// It is not a regular file (a symbolic link is refused, too).
    NotRegular(PathBuf),
    /// It is larger than any file this program writes.
    TooLarge(PathBuf),
    /// It is there already, and is not overwritten.
    Exists(PathBuf),
    /// The operating system refused.
    Io(PathBuf, io::Error),
}

impl SecretFileError {
    /// Stable identifier.
    #[must_use]
    pub fn id(&self) -> &'static str {
        match self {
            Self::Missing(_) => "secret_file.missing",
            Self::LoosePermissions { .. } => "secret_file.loose_permissions",
            Self::ForeignOwner { .. } => "secret_file.foreign_owner",
            Self::NotRegular(_) => "secret_file.not_regular",
            Self::TooLarge(_) => "secret_file.too_large",
            Self::Exists(_) => "secret_file.exists",
            Self::Io(..) => "secret_file.io",
        }
    }
}

impl std::fmt::Display for SecretFileError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Missing(path) => write!(f, "{} is not there", path.display()),
            Self::LoosePermissions { path, mode } => write!(
                f,
                "{} has mode {mode:04o}: others may reach it; run `chmod 0600` on it, and replace what it \
                 holds if somebody else could have read it",
                path.display()
            ),
            Self::ForeignOwner { path, owner } => write!(
                f,
                "{} belongs to user {owner}, not to the user of this process",
                path.display()
            ),
            Self::NotRegular(path) => write!(f, "{} is not a regular file", path.display()),
            Self::TooLarge(path) => write!(f, "{} is too large", path.display()),
            Self::Exists(path) => {
                write!(
                    f,
                    "{} exists already and is not overwritten",
                    path.display()
                )
            }
            Self::Io(path, error) => write!(f, "{}: {error}", path.display()),
        }
    }
}

impl std::error::Error for SecretFileError {}

/// Reads a secret file after checking, on the open file itself, who else may.
///
/// # Errors
///
/// [`SecretFileError`], without having read a byte, when the permissions are not 0600 or stricter.
pub fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, SecretFileError> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags((OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK).bits())
        .open(path)
        .map_err(|error| match error.raw_os_error() {
            Some(libc_eloop) if libc_eloop == nix::errno::Errno::ELOOP as i32 => {
                SecretFileError::NotRegular(path.to_owned())
            }
            _ if error.kind() == io::ErrorKind::NotFound => {
                SecretFileError::Missing(path.to_owned())
            }
            _ => SecretFileError::Io(path.to_owned(), error),
        })?;
    check(&file, path)?;
    // Allocated once at its full size, so that no reallocation leaves a copy behind.
    let mut content = Zeroizing::new(Vec::with_capacity(
        usize::try_from(MAX_BYTES).unwrap_or(0) + 1,
    ));
    file.take(MAX_BYTES + 1)
        .read_to_end(&mut content)
        .map_err(|error| SecretFileError::Io(path.to_owned(), error))?;
    if content.len() as u64 > MAX_BYTES {
        return Err(SecretFileError::TooLarge(path.to_owned()));
    }
    Ok(content)
}

fn check(file: &File, path: &Path) -> Result<(), SecretFileError> {
    let metadata = file
        .metadata()
        .map_err(|error| SecretFileError::Io(path.to_owned(), error))?;
    if !metadata.is_file() {
        return Err(SecretFileError::NotRegular(path.to_owned()));
    }
    let mode = metadata.mode() & 0o7777;
    if mode & 0o177 != 0 {
        return Err(SecretFileError::LoosePermissions {
            path: path.to_owned(),
            mode,
        });
    }
    if metadata.uid() != nix::unistd::geteuid().as_raw() {
        return Err(SecretFileError::ForeignOwner {
            path: path.to_owned(),
            owner: metadata.uid(),
        });
    }
    Ok(())
}

/// Creates a secret file with mode 0600; an existing one is never overwritten.
///
/// # Errors
///
/// [`SecretFileError::Exists`] when there is one already; otherwise what the operating system said.
pub fn create(path: &Path, content: &[u8]) -> Result<(), SecretFileError> {
    let io_error = |error| SecretFileError::Io(path.to_owned(), error);
    let temporary = write_temporary(path, content)?;
    // A hard link fails when the name is taken, where a rename would silently replace the file.
    let linked = fs::hard_link(&temporary, path).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => SecretFileError::Exists(path.to_owned()),
        _ => SecretFileError::Io(path.to_owned(), error),
    });
    fs::remove_file(&temporary).map_err(io_error)?;
    linked?;
    sync_directory(path).map_err(io_error)
}

/// Replaces a secret file: after a crash either the old or the new content is there, whole.
///
/// # Errors
///
/// What the operating system said.
pub fn replace(path: &Path, content: &[u8]) -> Result<(), SecretFileError> {
    let io_error = |error| SecretFileError::Io(path.to_owned(), error);
    let temporary = write_temporary(path, content)?;
    fs::rename(&temporary, path).map_err(io_error)?;
    sync_directory(path).map_err(io_error)
}

fn write_temporary(path: &Path, content: &[u8]) -> Result<PathBuf, SecretFileError> {
    let mut name = OsString::from(path.as_os_str());
    name.push(".new");
    let temporary = PathBuf::from(name);
    let io_error = |error| SecretFileError::Io(temporary.clone(), error);
    // What a crash left behind is never read, so it may go.
    match fs::remove_file(&temporary) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(io_error(error)),
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)
        .map_err(io_error)?;
    file.write_all(content).map_err(io_error)?;
    file.sync_all().map_err(io_error)?;
    Ok(temporary)
}

/// Makes a created or renamed entry itself durable.
fn sync_directory(path: &Path) -> io::Result<()> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_is_created_is_private_and_reads_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        create(&path, b"x").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        assert_eq!(read(&path).unwrap().as_slice(), b"x");
        replace(&path, b"y").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        assert_eq!(read(&path).unwrap().as_slice(), b"y");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn an_existing_file_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        create(&path, b"x").unwrap();
        assert_eq!(create(&path, b"y").unwrap_err().id(), "secret_file.exists");
        assert_eq!(read(&path).unwrap().as_slice(), b"x");
    }

    #[test]
    fn loose_permissions_are_refused_bit_by_bit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        create(&path, b"x").unwrap();
        for bit in [0o100, 0o040, 0o020, 0o010, 0o004, 0o002, 0o001] {
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600 | bit)).unwrap();
            assert_eq!(
                read(&path).unwrap_err().id(),
                "secret_file.loose_permissions",
                "{bit:o}"
            );
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
        assert!(read(&path).is_ok(), "stricter than 0600 is fine");
    }

    #[test]
    fn links_folders_and_missing_files_have_their_own_reasons() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        assert_eq!(read(&path).unwrap_err().id(), "secret_file.missing");
        create(&path, b"x").unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert_eq!(read(&link).unwrap_err().id(), "secret_file.not_regular");
        assert_eq!(
            read(folder.path()).unwrap_err().id(),
            "secret_file.not_regular"
        );
        let large = folder.path().join("large");
        create(&large, &vec![b'x'; 64 * 1024]).unwrap();
        assert!(read(&large).is_ok());
        replace(&large, &vec![b'x'; 64 * 1024 + 1]).unwrap();
        assert_eq!(read(&large).unwrap_err().id(), "secret_file.too_large");
    }
}
