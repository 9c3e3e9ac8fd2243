//! Keeping the development root's key on disk: made once, by whoever comes first.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::{error, fmt};

use p384::SecretKey;
use p384::pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _, LineEnding};
use zeroize::Zeroizing;

use super::key::KeyPair;

const KEY_FILE: &str = "development-root.key";
const DER_FILE: &str = "development-root.der";
const PEM_FILE: &str = "development-root.pem";

/// A PKCS #8 P-384 key in PEM has about 300 bytes.
const MAX_KEY_FILE_BYTES: u64 = 4096;

/// Any access for group or others.
const LOOSE_MODE_BITS: u32 = 0o077;

/// Why there is no development authority.
#[derive(Debug)]
#[non_exhaustive]
pub enum AuthorityError {
    /// Others can reach this file or directory.
    LoosePermissions {
        /// What is too open.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// This file or directory belongs to another user.
    ForeignOwner {
        /// What belongs to somebody else.
        path: PathBuf,
    },
    /// This is not a directory, or not a regular file.
    WrongKind {
        /// What is of the wrong kind.
        path: PathBuf,
    },
    /// The key file does not hold a P-384 key in PKCS #8 PEM.
    MalformedKey {
        /// The key file.
        path: PathBuf,
    },
    /// The operating system gave no random bytes, or refused an operation on this path.
    Io {
        /// What was being worked on.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
}

impl AuthorityError {
    /// Stable text for scripts and logs.
    #[must_use]
    pub fn id(&self) -> &'static str {
        match self {
            Self::LoosePermissions { .. } => "authority.loose_permissions",
            Self::ForeignOwner { .. } => "authority.foreign_owner",
            Self::WrongKind { .. } => "authority.wrong_kind",
            Self::MalformedKey { .. } => "authority.malformed_key",
            Self::Io { .. } => "authority.io",
        }
    }
}

impl fmt::Display for AuthorityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LoosePermissions { path, mode } => write!(
                f,
                "{} has mode {mode:04o}: others can reach it; run `chmod go= {0}`",
                path.display()
            ),
            Self::ForeignOwner { path } => {
                write!(
                    f,
                    "{} belongs to another user; use a directory of your own",
                    path.display()
                )
            }
            Self::WrongKind { path } => {
                write!(
                    f,
                    "{} is neither the directory nor the regular file expected here",
                    path.display()
                )
            }
            Self::MalformedKey { path } => write!(
                f,
                "{} holds no P-384 key; remove it to get a new development root",
                path.display()
            ),
            Self::Io { path, error } => write!(f, "{}: {error}", path.display()),
        }
    }
}

impl error::Error for AuthorityError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Io { error, .. } => Some(error),
            _ => None,
        }
    }
}

/// The key under `directory`, made on first use.
pub(crate) fn load_or_create_key(directory: &Path) -> Result<KeyPair, AuthorityError> {
    prepare_directory(directory)?;
    let path = directory.join(KEY_FILE);
    match load_key(&path) {
        Err(AuthorityError::Io { error, .. }) if error.kind() == io::ErrorKind::NotFound => {
            create_key(directory, &path)?;
            load_key(&path)
        }
        outcome => outcome,
    }
}

/// Writes the certificate beside the key, unless it is there already.
pub(crate) fn export_certificate(directory: &Path, der: &[u8]) -> Result<(), AuthorityError> {
    replace_file(directory, DER_FILE, der)?;
    replace_file(directory, PEM_FILE, certificate_pem(der).as_bytes())
}

/// PEM of a certificate (RFC 7468, section 5).
pub(crate) fn certificate_pem(der: &[u8]) -> String {
    // Fails only when the length overflows an address.
    p384::pkcs8::der::pem::encode_string("CERTIFICATE", LineEnding::LF, der).unwrap_or_default()
}

fn prepare_directory(directory: &Path) -> Result<(), AuthorityError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(at(directory))?;
    let metadata = fs::metadata(directory).map_err(at(directory))?;
    if !metadata.is_dir() {
        return Err(AuthorityError::WrongKind {
            path: directory.to_owned(),
        });
    }
    check_owner_and_mode(directory, &metadata)
}

fn load_key(path: &Path) -> Result<KeyPair, AuthorityError> {
    let file = OpenOptions::new()
        .read(true)
        // A link could lead to a file of somebody else's choice; a pipe would block.
        .custom_flags(nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK)
        .open(path)
        .map_err(at(path))?;
    let metadata = file.metadata().map_err(at(path))?;
    if !metadata.is_file() {
        return Err(AuthorityError::WrongKind {
            path: path.to_owned(),
        });
    }
    check_owner_and_mode(path, &metadata)?;
    let mut text = Zeroizing::new(String::new());
    file.take(MAX_KEY_FILE_BYTES)
        .read_to_string(&mut text)
        .map_err(at(path))?;
    SecretKey::from_pkcs8_pem(&text)
        .ok()
        .and_then(|secret| KeyPair::from_scalar(&secret.to_bytes()))
        .ok_or_else(|| AuthorityError::MalformedKey {
            path: path.to_owned(),
        })
}

/// Writes a new key under a name of its own, then links it to the final name. The link fails when
/// the name is taken, so the first process wins, and nobody ever sees half a file.
fn create_key(directory: &Path, path: &Path) -> Result<(), AuthorityError> {
    let pem = new_key_pem().map_err(at(path))?;
    let temporary = write_temporary(directory, KEY_FILE, pem.as_bytes())?;
    let linked = fs::hard_link(&temporary, path);
    fs::remove_file(&temporary).map_err(at(&temporary))?;
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(at(path)(error)),
        _ => sync_directory(directory),
    }
}

fn new_key_pem() -> io::Result<Zeroizing<String>> {
    loop {
        let mut scalar = Zeroizing::new([0_u8; 48]);
        getrandom::fill(scalar.as_mut_slice()).map_err(io::Error::other)?;
        // Out of range about once in 2^190 draws.
        if let Ok(secret) = SecretKey::from_slice(scalar.as_slice()) {
            return secret
                .to_pkcs8_pem(LineEnding::LF)
                .map_err(io::Error::other);
        }
    }
}

/// Puts `content` under `name` in one step, unless it is there already.
fn replace_file(directory: &Path, name: &str, content: &[u8]) -> Result<(), AuthorityError> {
    let path = directory.join(name);
    if fs::read(&path).is_ok_and(|present| present == content) {
        return Ok(());
    }
    let temporary = write_temporary(directory, name, content)?;
    fs::rename(&temporary, &path).map_err(at(&path))?;
    sync_directory(directory)
}

fn write_temporary(
    directory: &Path,
    name: &str,
    content: &[u8],
) -> Result<PathBuf, AuthorityError> {
    let mut suffix = [0_u8; 8];
    getrandom::fill(&mut suffix).map_err(|error| at(directory)(io::Error::other(error)))?;
    let path = directory.join(format!(".{name}.{:016x}", u64::from_be_bytes(suffix)));
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)
        .map_err(at(&path))?;
    file.write_all(content)
        .and_then(|()| file.sync_all())
        .map_err(at(&path))?;
    Ok(path)
}

fn sync_directory(directory: &Path) -> Result<(), AuthorityError> {
    File::open(directory)
        .and_then(|handle| handle.sync_all())
        .map_err(at(directory))
}

fn check_owner_and_mode(path: &Path, metadata: &Metadata) -> Result<(), AuthorityError> {
    if metadata.uid() != nix::unistd::geteuid().as_raw() {
        return Err(AuthorityError::ForeignOwner {
            path: path.to_owned(),
        });
    }
    let mode = metadata.mode() & 0o7777;
    if mode & LOOSE_MODE_BITS != 0 {
        return Err(AuthorityError::LoosePermissions {
            path: path.to_owned(),
            mode,
        });
    }
    Ok(())
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> AuthorityError {
    let path = path.to_owned();
    move |error| AuthorityError::Io { path, error }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mock::mint::DevelopmentAuthority;
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::thread;

    /// The temporary directory itself has the mode that the umask gives.
    fn private_directory() -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), Permissions::from_mode(0o700)).unwrap();
        directory
    }

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().mode() & 0o7777
    }

    fn refusal(directory: &Path) -> &'static str {
        DevelopmentAuthority::load_or_create(directory)
            .unwrap_err()
            .id()
    }

    #[test]
    fn the_root_is_made_once_and_found_again() {
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("state/narthex/mock");
        let made = DevelopmentAuthority::load_or_create(&directory).unwrap();
        let found = DevelopmentAuthority::load_or_create(&directory).unwrap();
        assert_eq!(made.root_certificate(), found.root_certificate());
        assert_eq!(
            fs::read(directory.join(DER_FILE)).unwrap(),
            made.root_certificate()
        );
        let pem = fs::read_to_string(directory.join(PEM_FILE)).unwrap();
        assert!(pem.starts_with("-----BEGIN CERTIFICATE-----\n"));
        assert_eq!(mode(&directory), 0o700);
        let names: Vec<_> = fs::read_dir(&directory)
            .unwrap()
            .map(|e| e.unwrap().path())
            .collect();
        assert_eq!(names.len(), 3);
        for name in names {
            assert_eq!(mode(&name), 0o600, "{}", name.display());
        }
        let other = DevelopmentAuthority::load_or_create(&parent.path().join("other")).unwrap();
        assert_ne!(other.root_certificate(), made.root_certificate());
    }

    #[test]
    fn a_spoilt_export_is_written_again() {
        let directory = private_directory();
        let authority = DevelopmentAuthority::load_or_create(directory.path()).unwrap();
        fs::write(directory.path().join(DER_FILE), b"something else").unwrap();
        DevelopmentAuthority::load_or_create(directory.path()).unwrap();
        let exported = fs::read(directory.path().join(DER_FILE)).unwrap();
        assert_eq!(exported, authority.root_certificate());
    }

    #[test]
    fn whoever_comes_first_wins_and_all_agree() {
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("state");
        let roots: Vec<Vec<u8>> = thread::scope(|scope| {
            let starters: Vec<_> = (0..16)
                .map(|_| {
                    scope.spawn(|| {
                        let authority = DevelopmentAuthority::load_or_create(&directory).unwrap();
                        authority.root_certificate().to_vec()
                    })
                })
                .collect();
            starters
                .into_iter()
                .map(|starter| starter.join().unwrap())
                .collect()
        });
        assert!(roots.iter().all(|root| *root == roots[0]));
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 3);
    }

    #[test]
    fn a_directory_that_others_can_reach_is_refused() {
        let directory = private_directory();
        for loose in [0o750, 0o705, 0o710] {
            fs::set_permissions(directory.path(), Permissions::from_mode(loose)).unwrap();
            assert_eq!(refusal(directory.path()), "authority.loose_permissions");
        }
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_key_file_that_others_can_reach_is_refused() {
        let directory = private_directory();
        DevelopmentAuthority::load_or_create(directory.path()).unwrap();
        let key = directory.path().join(KEY_FILE);
        for loose in [0o640, 0o604] {
            fs::set_permissions(&key, Permissions::from_mode(loose)).unwrap();
            assert_eq!(refusal(directory.path()), "authority.loose_permissions");
        }
    }

    #[test]
    fn a_file_that_is_no_key_is_refused_and_kept() {
        let directory = private_directory();
        let key = directory.path().join(KEY_FILE);
        fs::write(&key, "not a key").unwrap();
        fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
        assert_eq!(refusal(directory.path()), "authority.malformed_key");
        assert_eq!(fs::read(&key).unwrap(), b"not a key");
    }

    #[test]
    fn links_and_other_kinds_are_refused() {
        let directory = private_directory();
        let key = directory.path().join(KEY_FILE);
        symlink("/dev/null", &key).unwrap();
        assert_eq!(refusal(directory.path()), "authority.io");
        fs::remove_file(&key).unwrap();
        DirBuilder::new().mode(0o700).create(&key).unwrap();
        assert_eq!(refusal(directory.path()), "authority.wrong_kind");
        let file = directory.path().join("file");
        fs::write(&file, "").unwrap();
        assert_eq!(refusal(&file), "authority.io");
    }
}
