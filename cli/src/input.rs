//! Reading what people name: a path or `-`, bounded in size, binary, base64 or hex.

use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::failure::{Failure, Outcome};

/// A file, or standard input where the person typed `-`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// `-`.
    StandardInput,
    /// A path.
    File(PathBuf),
}

impl FromStr for Source {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "-" => Source::StandardInput,
            path => Source::File(PathBuf::from(path)),
        })
    }
}

impl Source {
    /// Its name in messages.
    pub(crate) fn name(&self) -> String {
        match self {
            Source::StandardInput => "standard input".to_owned(),
            Source::File(path) => path.display().to_string(),
        }
    }

    /// Reads at most `limit_bytes`.
    ///
    /// # Errors
    /// `file.*` if it cannot be read; `input.too_large` (a refusal) if there is more.
    pub(crate) fn read(&self, limit_bytes: usize) -> Outcome<Vec<u8>> {
        match self {
            Source::StandardInput => {
                let stdin = io::stdin();
                if stdin.is_terminal() {
                    eprintln!("narthex: reading from the keyboard; end with Ctrl-D");
                }
                read_bounded(stdin.lock(), Path::new("standard input"), limit_bytes)
            }
            Source::File(path) => read_file(path, limit_bytes),
        }
    }
}

/// Reads the file `path`, at most `limit_bytes`.
///
/// # Errors
/// As [`Source::read`].
pub(crate) fn read_file(path: &Path, limit_bytes: usize) -> Outcome<Vec<u8>> {
    let file = File::open(path).map_err(|error| Failure::file("read", path, &error))?;
    read_bounded(file, path, limit_bytes)
}

/// Reads the text file `path`, at most `limit_bytes`.
///
/// # Errors
/// As [`Source::read`]; `input.not_text` if it is not UTF-8.
pub(crate) fn read_text(path: &Path, limit_bytes: usize) -> Outcome<String> {
    String::from_utf8(read_file(path, limit_bytes)?).map_err(|_| {
        Failure::misuse(
            "input.not_text",
            format!("{} is not a text file", path.display()),
        )
    })
}

fn read_bounded(reader: impl Read, path: &Path, limit_bytes: usize) -> Outcome<Vec<u8>> {
    // Room from the start: a secret that is read leaves no copies behind in outgrown buffers.
    let mut bytes = Vec::with_capacity(limit_bytes.saturating_add(1).min(16 * 1024));
    let one_more = u64::try_from(limit_bytes)
        .unwrap_or(u64::MAX)
        .saturating_add(1);
    reader
        .take(one_more)
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::file("read", path, &error))?;
    match bytes.len() > limit_bytes {
        true => Err(Failure::refused(
            "input.too_large",
            format!("{} is larger than {limit_bytes} bytes", path.display()),
        )
        .next("it cannot be what was asked for; check that it is the right file")),
        false => Ok(bytes),
    }
}

/// The bytes of an attestation document that may come as binary, base64 (either alphabet, padded or
/// not) or hex, with white space anywhere in the text forms. What is none of these is returned as it
/// is, so that the verifier can say what is wrong with it.
pub(crate) fn decode_document(bytes: Vec<u8>) -> Vec<u8> {
    if starts_like_document(&bytes) {
        return bytes;
    }
    let text: Vec<u8> = bytes
        .iter()
        .copied()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    if let Ok(decoded) = hex::decode(&text) {
        return decoded;
    }
    for alphabet in [&alphabet::STANDARD, &alphabet::URL_SAFE] {
        let config =
            GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
        match GeneralPurpose::new(alphabet, config).decode(&text) {
            Ok(decoded) if !decoded.is_empty() => return decoded,
            _ => {}
        }
    }
    bytes
}

/// COSE_Sign1 is an array of four (0x84), with tag 18 (0xd2) before it or not. Neither byte is ASCII.
fn starts_like_document(bytes: &[u8]) -> bool {
    matches!(bytes.first(), Some(0x84 | 0xd2))
}

/// Parses bytes written as hex, `0x` allowed in front. For `clap`.
///
/// # Errors
/// A sentence that says what is wrong.
pub(crate) fn parse_hex(text: &str) -> Result<Vec<u8>, String> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    match hex::decode(digits) {
        Ok(bytes) if bytes.is_empty() => Err("expected hex digits, got none".to_owned()),
        Ok(bytes) => Ok(bytes),
        Err(hex::FromHexError::OddLength) => {
            Err("hex digits come in pairs; one is missing".to_owned())
        }
        Err(_) => Err("expected hex digits (0-9, a-f)".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recognises_the_three_forms() {
        let document = vec![0x84, 0x44, 0xa1, 0x01, 0x38, 0x22, 0xfb, 0xff];
        let hexadecimal = b"8444 a1013822\nFBff\n".to_vec();
        let standard = b"hEShATgi\r\n+/8=\n".to_vec();
        let url_safe = b"hEShATgi-_8".to_vec();
        for form in [document.clone(), hexadecimal, standard, url_safe] {
            assert_eq!(decode_document(form), document);
        }
    }

    #[test]
    fn what_is_none_of_them_stays() {
        for other in [&b""[..], b"<html>", b"\x00\x01"] {
            assert_eq!(decode_document(other.to_vec()), other);
        }
    }

    #[test]
    fn reading_is_bounded() {
        let exact = read_bounded(&b"abcd"[..], Path::new("x"), 4);
        assert_eq!(exact, Ok(b"abcd".to_vec()));
        let more = read_bounded(&b"abcde"[..], Path::new("x"), 4).unwrap_err();
        assert_eq!(more.id(), "input.too_large");
    }

    #[test]
    fn hex_says_what_is_wrong() {
        assert_eq!(parse_hex("0x00ff"), Ok(vec![0, 255]));
        assert!(parse_hex("abc").unwrap_err().contains("pairs"));
        assert!(parse_hex("zz").unwrap_err().contains("0-9"));
        assert!(parse_hex("").is_err());
    }
}
