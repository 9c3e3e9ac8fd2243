//! The log key: what checkpoints of the transparency log are signed with.
//!
//! The bundle names its public half, so the key comes first, as the static key does: `log-key` makes it, what it prints
//! goes into the bundle's `[ledger] log`, the reviewers sign, then `init`. The file holds the private key in the text
//! form of signed notes; its name is the log's origin. Whoever has it can sign another tree; the witnesses would not.

use std::path::Path;

use narthex_ledger::{KeyKind, LogError, SigningKey, VerifierKey};
use zeroize::Zeroizing;

use crate::secret_file::{self, SecretFileError};

/// Why the log key could not be used.
#[derive(Debug)]
#[non_exhaustive]
pub enum LogKeyError {
    /// The file could not be read or written, or others may reach it.
    File(SecretFileError),
    /// The file is not one of ours.
    Malformed,
    /// The name is none that a log can have.
    Origin(LogError),
    /// There is a key already, of another log.
    OtherOrigin {
        /// The log it is for.
        found: String,
    },
}

impl LogKeyError {
    /// Stable identifier.
    #[must_use]
    pub fn id(&self) -> &'static str {
        match self {
            Self::File(error) => error.id(),
            Self::Malformed => "log_key.malformed",
            Self::Origin(_) => "log_key.origin",
            Self::OtherOrigin { .. } => "log_key.other_origin",
        }
    }
}

impl std::fmt::Display for LogKeyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(error) => error.fmt(f),
            Self::Malformed => f.write_str("the log key file is damaged, or is not a log's"),
            Self::Origin(error) => write!(f, "--origin: {error}"),
            Self::OtherOrigin { found } => write!(
                f,
                "the log key file holds the key of the log \"{found}\" already; a new log needs a file of its own \
                 ([storage] log_key)"
            ),
        }
    }
}

impl std::error::Error for LogKeyError {}

impl From<SecretFileError> for LogKeyError {
    fn from(error: SecretFileError) -> Self {
        Self::File(error)
    }
}

/// Reads the log key.
///
/// # Errors
///
/// [`LogKeyError`]
pub fn load(path: &Path) -> Result<SigningKey, LogKeyError> {
    let content = secret_file::read(path)?;
    let text = std::str::from_utf8(&content)
        .ok()
        .and_then(|text| text.strip_suffix('\n'))
        .ok_or(LogKeyError::Malformed)?;
    let key = SigningKey::parse(text).map_err(|_| LogKeyError::Malformed)?;
    match key.kind() {
        KeyKind::Log => Ok(key),
        KeyKind::Witness => Err(LogKeyError::Malformed),
    }
}

/// Reads the log key, or makes one for the log `origin` if there is none, and returns its public half.
///
/// # Errors
///
/// [`LogKeyError`]
pub fn load_or_create(path: &Path, origin: &str) -> Result<VerifierKey, LogKeyError> {
    match load(path) {
        Err(LogKeyError::File(SecretFileError::Missing(_))) => create(path, origin),
        Ok(key) if key.name() == origin => Ok(key.verifier_key()),
        Ok(key) => Err(LogKeyError::OtherOrigin {
            found: key.name().to_owned(),
        }),
        Err(error) => Err(error),
    }
}

fn create(path: &Path, origin: &str) -> Result<VerifierKey, LogKeyError> {
    let key = SigningKey::generate(origin, KeyKind::Log).map_err(LogKeyError::Origin)?;
    let secret = key.to_text();
    let mut text = Zeroizing::new(String::with_capacity(secret.len() + 1));
    text.push_str(&secret);
    text.push('\n');
    secret_file::create(path, text.as_bytes())?;
    Ok(key.verifier_key())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_made_once_and_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.key");
        let made = load_or_create(&path, "example.com/log").unwrap();
        assert_eq!(made.name(), "example.com/log");
        let again = load_or_create(&path, "example.com/log").unwrap();
        assert_eq!(again.to_string(), made.to_string());
        let loaded = load(&path).unwrap().verifier_key();
        assert_eq!(loaded.to_string(), made.to_string());
        let other = load_or_create(&path, "example.com/other").unwrap_err();
        assert_eq!(other.id(), "log_key.other_origin");
    }

    #[test]
    fn damage_and_strange_names_are_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.key");
        for origin in ["", "two words", "a+b", "line\nfeed"] {
            let error = load_or_create(&path, origin).unwrap_err();
            assert_eq!(error.id(), "log_key.origin", "{origin:?}");
            assert!(!path.exists());
        }
        load_or_create(&path, "example.com/log").unwrap();
        let good = secret_file::read(&path).unwrap().to_vec();
        let witness = SigningKey::generate("example.com/log", KeyKind::Witness).unwrap();
        let witness = format!("{}\n", *witness.to_text());
        for bad in [
            &good[..good.len() - 1],
            &good[..good.len() - 9],
            &good[1..],
            b"",
            &[0xff; 10],
            witness.as_bytes(),
        ] {
            secret_file::replace(&path, bad).unwrap();
            let error = load(&path).map(|_| ()).unwrap_err();
            assert_eq!(error.id(), "log_key.malformed");
        }
    }
}
