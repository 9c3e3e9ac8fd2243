//! The service's X25519 static key: whom agents and administrators expect at the other end.
//!
//! The bundle names its public half, and the genesis bundle is fixed at `init`, so the key comes first: it is
//! created by `static-key`, its public half goes into the bundle, the reviewers sign, then `init`.

use std::path::Path;

use narthex_channel::{StaticPublic, StaticSecret};
use zeroize::Zeroizing;

use crate::secret_file::{self, SecretFileError};

const HEADER: &str = "narthex-static-key v1";

/// Why the static key could not be used.
#[derive(Debug)]
#[non_exhaustive]
pub enum StaticKeyError {
    /// The file could not be read or written, or others may reach it.
    File(SecretFileError),
    /// The file is not one of ours.
    Malformed,
    /// The operating system gave no random bytes.
    Random,
}

impl StaticKeyError {
    /// Stable identifier.
    #[must_use]
    pub fn id(&self) -> &'static str {
        match self {
            Self::File(error) => error.id(),
            Self::Malformed => "static_key.malformed",
            Self::Random => "static_key.random",
        }
    }
}

impl std::fmt::Display for StaticKeyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(error) => error.fmt(f),
            Self::Malformed => f.write_str("the static key file is damaged"),
            Self::Random => f.write_str("the operating system gave no random bytes"),
        }
    }
}

impl std::error::Error for StaticKeyError {}

impl From<SecretFileError> for StaticKeyError {
    fn from(error: SecretFileError) -> Self {
        Self::File(error)
    }
}

/// Reads the static key.
///
/// # Errors
///
/// [`StaticKeyError`]
pub fn load(path: &Path) -> Result<StaticSecret, StaticKeyError> {
    let content = secret_file::read(path)?;
    let text = std::str::from_utf8(&content).map_err(|_| StaticKeyError::Malformed)?;
    let mut secret = Zeroizing::new([0_u8; 32]);
    let digits = text
        .strip_prefix(HEADER)
        .and_then(|rest| rest.strip_prefix('\n'))
        .and_then(|rest| rest.strip_suffix('\n'))
        .ok_or(StaticKeyError::Malformed)?;
    hex::decode_to_slice(digits, secret.as_mut()).map_err(|_| StaticKeyError::Malformed)?;
    Ok(StaticSecret::from_bytes(&secret))
}

/// Reads the static key, or makes one if there is none, and returns its public half.
///
/// # Errors
///
/// [`StaticKeyError`]
pub fn load_or_create(path: &Path) -> Result<StaticPublic, StaticKeyError> {
    match load(path) {
        Err(StaticKeyError::File(SecretFileError::Missing(_))) => create(path),
        Ok(secret) => Ok(secret.public()),
        Err(error) => Err(error),
    }
}

fn create(path: &Path) -> Result<StaticPublic, StaticKeyError> {
    let secret = StaticSecret::generate().map_err(|_| StaticKeyError::Random)?;
    let mut text = Zeroizing::new(String::with_capacity(HEADER.len() + 66));
    text.push_str(HEADER);
    text.push('\n');
    text.push_str(&Zeroizing::new(hex::encode(secret.as_bytes())));
    text.push('\n');
    secret_file::create(path, text.as_bytes())?;
    Ok(secret.public())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_made_once_and_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("static.key");
        let made = load_or_create(&path).unwrap();
        assert_eq!(load_or_create(&path).unwrap(), made);
        assert_eq!(load(&path).unwrap().public(), made);
    }

    #[test]
    fn damage_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("static.key");
        load_or_create(&path).unwrap();
        let good = secret_file::read(&path).unwrap().to_vec();
        for bad in [&good[..good.len() - 1], &good[1..], b"", &[0xff; 10]] {
            secret_file::replace(&path, bad).unwrap();
            assert_eq!(
                load(&path).err().map(|error| error.id()),
                Some("static_key.malformed")
            );
        }
    }
}
