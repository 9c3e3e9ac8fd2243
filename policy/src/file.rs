//! A signed file: exact bytes and the armoured signatures beside them.

use serde::de::DeserializeOwned;

use crate::digest::Digest384;
use crate::names::ProjectName;
use crate::reason::{Reason, Refusal};

/// Bounds on what is read. A file beyond them is refused before its signatures are checked.
pub mod limits {
    /// Largest bundle: a few hundred people and keys.
    pub const MAX_BUNDLE_BYTES: usize = 256 * 1024;
    /// Largest release or stop statement.
    pub const MAX_STATEMENT_BYTES: usize = 32 * 1024;
    /// Largest order; it must fit a diagnostics request with its approvals.
    pub const MAX_ORDER_BYTES: usize = 16 * 1024;
    /// Largest call; its fields are fixed, so this is generous.
    pub const MAX_CALL_BYTES: usize = 256;
    /// Largest ticket of a reader of the log; its fields are bounded, so this is generous.
    pub const MAX_TICKET_BYTES: usize = 512;
    /// Largest `Authorization` header with a ticket and its signature in base64.
    pub const MAX_TICKET_HEADER_BYTES: usize =
        (MAX_TICKET_BYTES + MAX_SIGNATURE_BYTES).div_ceil(3) * 4 + 8;
    /// Largest armoured signature; the largest accepted kind (P-521) needs under 600 bytes.
    pub const MAX_SIGNATURE_BYTES: usize = 2048;
    /// Signatures looked at per file; each costs a curve operation.
    pub const MAX_SIGNATURES: usize = 32;
}

/// The bytes of a policy file, with the armoured SSH signatures that came with it. Says nothing
/// about trust.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SignedFile {
    /// The file, exactly as signed.
    pub bytes: Vec<u8>,
    /// `-----BEGIN SSH SIGNATURE-----` texts.
    pub signatures: Vec<String>,
}

impl SignedFile {
    /// SHA-384 of the bytes: the name of this file everywhere.
    pub fn digest(&self) -> Digest384 {
        Digest384::of(&self.bytes)
    }
}

/// Reads `bytes` as TOML of the schema `schema`, refusing fields it does not know. Callers have
/// checked signatures before (or say why not).
pub(crate) fn parse_toml<T: DeserializeOwned>(
    bytes: &[u8],
    max_bytes: usize,
    schema: &str,
) -> Result<T, Refusal> {
    check_size(bytes, max_bytes)?;
    let text = text_of(bytes)?;
    let found = schema_of(text)?;
    if found != schema {
        return Err(Refusal::new(
            Reason::FileSchema,
            format!("expected schema {schema:?}, found {found:?}"),
        ));
    }
    toml::from_str(text).map_err(|error| not_toml(&error))
}

/// Where it is and what is wrong, in one line: `toml` would draw the place below it, on lines of their own.
pub(crate) fn not_toml(error: &toml::de::Error) -> Refusal {
    let drawn = error.to_string();
    let place = drawn.lines().next().unwrap_or_default();
    Refusal::new(
        Reason::FileMalformed,
        format!("{place}: {}", error.message()),
    )
}

/// Refuses `bytes` beyond `max_bytes`.
pub(crate) fn check_size(bytes: &[u8], max_bytes: usize) -> Result<(), Refusal> {
    if bytes.len() > max_bytes {
        return Err(Refusal::new(
            Reason::FileTooLarge,
            format!("{} bytes, at most {max_bytes}", bytes.len()),
        ));
    }
    Ok(())
}

/// Refuses a file about another project.
pub(crate) fn check_project(found: &str, expected: &ProjectName) -> Result<(), Refusal> {
    if found != expected.as_str() {
        return Err(Refusal::new(
            Reason::FileProject,
            format!("the file is about project {found:?}, this policy about {expected}"),
        ));
    }
    Ok(())
}

/// The `schema` field, read first so that a file of another kind is named as such instead of
/// failing at its first unknown field.
fn schema_of(text: &str) -> Result<String, Refusal> {
    #[derive(serde::Deserialize)]
    struct Head {
        schema: String,
    }
    toml::from_str::<Head>(text)
        .map(|head| head.schema)
        .map_err(|error| not_toml(&error))
}

/// The `schema` field of any of our files.
pub(crate) fn schema_of_bytes(bytes: &[u8]) -> Result<String, Refusal> {
    check_size(bytes, limits::MAX_BUNDLE_BYTES)?;
    schema_of(text_of(bytes)?)
}

fn text_of(bytes: &[u8]) -> Result<&str, Refusal> {
    core::str::from_utf8(bytes)
        .map_err(|error| Refusal::new(Reason::FileMalformed, format!("not UTF-8: {error}")))
}
