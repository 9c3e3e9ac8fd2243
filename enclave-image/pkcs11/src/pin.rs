//! The PIN: from a file that nobody else can read, or from the environment.

use std::env::{self, VarError};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use cryptoki::types::AuthPin;
use zeroize::{Zeroize, Zeroizing};

use crate::failure::{Failure, Kind};

/// The variable that holds the PIN where no file is given.
const VARIABLE: &str = "NARTHEX_PKCS11_PIN";

/// Longer than the PIN of any token.
const LIMIT_BYTES: u64 = 1024;

/// The PIN, `None` if nobody gave one.
///
/// # Errors
/// `pin.file`, `pin.permissions`, `pin.malformed`.
pub(crate) fn read(file: Option<&Path>) -> Result<Option<AuthPin>, Failure> {
    let Some(path) = file else {
        return match env::var(VARIABLE) {
            Ok(pin) => from_text(Zeroizing::new(pin)).map(Some),
            Err(VarError::NotPresent) => Ok(None),
            Err(VarError::NotUnicode(_)) => Err(malformed()),
        };
    };
    let failed = |error: io::Error| {
        Failure::new(
            Kind::Environment,
            "pin.file",
            format!("cannot read the PIN from {}: {error}", path.display()),
        )
    };
    let file = File::open(path).map_err(failed)?;
    // As ssh does with private keys: what others can read is no secret.
    if file.metadata().map_err(failed)?.permissions().mode() & 0o077 != 0 {
        return Err(Failure::new(
            Kind::Environment,
            "pin.permissions",
            format!(
                "{} can be read by other users; make it yours alone: chmod 600",
                path.display()
            ),
        ));
    }
    // With room for all of it, so that growing leaves no copies behind.
    let mut text = Zeroizing::new(String::with_capacity(2048));
    file.take(LIMIT_BYTES + 1)
        .read_to_string(&mut text)
        .map_err(failed)?;
    from_text(text).map(Some)
}

/// One line, with or without its line feed.
fn from_text(mut text: Zeroizing<String>) -> Result<AuthPin, Failure> {
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    let wrong = line.is_empty()
        || line.contains(char::is_control)
        || u64::try_from(text.len()).is_ok_and(|length| length > LIMIT_BYTES);
    let pin = (!wrong).then(|| AuthPin::from(line.to_owned()));
    text.zeroize();
    pin.ok_or_else(malformed)
}

fn malformed() -> Failure {
    Failure::new(
        Kind::Misuse,
        "pin.malformed",
        "the PIN must be one line of text, not empty",
    )
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};

    use super::*;

    fn from_file(content: &[u8], mode: u32) -> Result<bool, Failure> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pin");
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        read(Some(&path)).map(|pin| pin.is_some())
    }

    #[test]
    fn one_line_of_a_private_file() {
        assert_eq!(from_file(b"1234\n", 0o600), Ok(true));
        assert_eq!(from_file(b"a b c", 0o400), Ok(true));
        assert_eq!(from_file(b"1234\r\n", 0o600), Ok(true));
        let id = |content, mode| from_file(content, mode).unwrap_err().id().to_owned();
        assert_eq!(id(b"1234\n", 0o640), "pin.permissions");
        for wrong in [&b""[..], b"\n", b"1\n2\n", &[b'1'; 1025]] {
            assert_eq!(id(wrong, 0o600), "pin.malformed", "{wrong:?}");
        }
        assert_eq!(id(b"\xff", 0o600), "pin.file");
        let missing = read(Some(Path::new("/nowhere/pin"))).unwrap_err();
        assert_eq!(missing.id(), "pin.file");
    }
}
