//! The forms of the texts that entries hold. None of them is free text.

use super::{json::MAX_TEXT, wrong};
use crate::LogError;

fn check(text: &str, max: usize, what: &str, allowed: impl Fn(u8) -> bool) -> Result<(), LogError> {
    if !text.is_empty() && text.len() <= max && text.bytes().all(allowed) {
        Ok(())
    } else {
        Err(wrong(format!("{text:?} is not {what}")))
    }
}

const fn is_name_byte(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-')
}

/// The id of an enclave: `[A-Za-z0-9._-]{1,128}`.
pub(crate) fn module_id(text: &str) -> Result<(), LogError> {
    check(text, 128, "the id of an enclave", |byte| {
        is_name_byte(byte) || byte.is_ascii_uppercase()
    })
}

/// The name of a key: `[a-z0-9._-]{1,64}`.
pub(crate) fn key_name(text: &str) -> Result<(), LogError> {
    check(text, 64, "the name of a key", is_name_byte)
}

/// A reason: `[a-z0-9._-]{1,64}`.
pub(crate) fn reason(text: &str) -> Result<(), LogError> {
    check(text, 64, "a reason", is_name_byte)
}

/// An action or operation: `[a-z0-9._-]{1,64}`.
pub(crate) fn action(text: &str) -> Result<(), LogError> {
    check(text, 64, "an action or operation", is_name_byte)
}

/// A version of a policy file, a release with its version: printable, at most 160 bytes. Quotes and
/// backslashes are refused when the text is spelled.
pub(crate) fn version(text: &str) -> Result<(), LogError> {
    check(text, 160, "a version", |byte| matches!(byte, b' '..=b'~'))
}

/// The origin of a log: printable without spaces, at most 255 bytes.
pub(crate) fn origin(text: &str) -> Result<(), LogError> {
    check(text, MAX_TEXT, "the origin of a log", |byte| {
        byte.is_ascii_graphic() && byte != b'+'
    })
}
