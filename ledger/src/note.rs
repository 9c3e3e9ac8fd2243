//! Signed notes (C2SP signed-note): text, an empty line, and signature lines.
//!
//! Parsing says nothing about trust. Text is kept exactly as it came, because that is what was
//! signed; signature lines are base64 without slack, so what is written is what was read.

use core::fmt;

use base64ct::{Base64, Encoding as _};

use crate::error::LogError;

/// The longest note that is read, in bytes.
pub const MAX_NOTE: usize = 64 * 1024;
/// The most signatures that are read. The format asks for at least 16.
pub const MAX_SIGNATURES: usize = 64;
/// The longest name of a key, in bytes.
pub const MAX_NAME: usize = 255;

/// What a signature line begins with: an em dash and a space.
const LINE_START: &str = "\u{2014} ";

/// A note with its signatures, none of them checked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SignedNote {
    text: String,
    signatures: Vec<NoteSignature>,
}

/// One signature line.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NoteSignature {
    name: String,
    key_id: [u8; 4],
    signature: Vec<u8>,
}

impl SignedNote {
    /// Reads a note with at least one signature.
    ///
    /// # Errors
    ///
    /// `log.malformed` for everything else, for more than [`MAX_NOTE`] bytes and for more than
    /// [`MAX_SIGNATURES`] signatures.
    pub fn parse(note: &str) -> Result<Self, LogError> {
        if note.len() > MAX_NOTE {
            return Err(LogError::malformed(format!(
                "the note is longer than {MAX_NOTE} bytes"
            )));
        }
        check_characters(note)?;
        // The text may hold empty lines: the last one in the note is the one that ends it.
        let (text, lines) = note
            .rsplit_once("\n\n")
            .ok_or_else(|| LogError::malformed("a note without an empty line has no signatures"))?;
        let signatures = NoteSignature::parse_lines(lines)?;
        Ok(Self {
            text: format!("{text}\n"),
            signatures,
        })
    }

    /// A note that nobody has signed yet.
    pub(crate) fn unsigned(text: String) -> Result<Self, LogError> {
        check_characters(&text)?;
        if !text.ends_with('\n') || text.len() > MAX_NOTE {
            return Err(LogError::malformed("this text cannot be signed as a note"));
        }
        Ok(Self {
            text,
            signatures: Vec::new(),
        })
    }

    /// The signed text, its last newline included.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// All signatures, in the order they stand in.
    #[must_use]
    pub fn signatures(&self) -> &[NoteSignature] {
        &self.signatures
    }

    /// The signatures without copies: each line once, however often it stands there.
    pub(crate) fn distinct_signatures(&self) -> impl Iterator<Item = &NoteSignature> {
        let before = |place| self.signatures.iter().take(place);
        self.signatures
            .iter()
            .enumerate()
            .filter(move |(place, line)| !before(*place).any(|other| other == *line))
            .map(|(_, line)| line)
    }

    /// Adds a signature at the end. One that stands there already is not added again.
    ///
    /// # Errors
    ///
    /// `log.malformed` if the note has as many signatures or bytes as it may have.
    pub fn add(&mut self, signature: NoteSignature) -> Result<(), LogError> {
        if self.signatures.contains(&signature) {
            return Ok(());
        }
        if self.signatures.len() >= MAX_SIGNATURES {
            return Err(LogError::malformed(format!(
                "the note has {MAX_SIGNATURES} signatures already"
            )));
        }
        self.signatures.push(signature);
        if self.to_string().len() > MAX_NOTE {
            self.signatures.pop();
            return Err(LogError::malformed(format!(
                "the note would be longer than {MAX_NOTE} bytes"
            )));
        }
        Ok(())
    }

    /// The same text without the signatures for which `keep` is false.
    #[must_use]
    pub fn with_only(&self, keep: impl Fn(&NoteSignature) -> bool) -> Self {
        Self {
            text: self.text.clone(),
            signatures: self
                .signatures
                .iter()
                .filter(|line| keep(line))
                .cloned()
                .collect(),
        }
    }
}

impl fmt::Display for SignedNote {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}\n{}", self.text, Lines(&self.signatures))
    }
}

struct Lines<'a>(&'a [NoteSignature]);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|line| writeln!(formatter, "{line}"))
    }
}

impl NoteSignature {
    pub(crate) fn new(name: String, key_id: [u8; 4], signature: Vec<u8>) -> Self {
        Self {
            name,
            key_id,
            signature,
        }
    }

    /// Reads one or more signature lines, each with its newline, as a witness answers them.
    ///
    /// # Errors
    ///
    /// `log.malformed` for everything else.
    pub fn parse_lines(lines: &str) -> Result<Vec<Self>, LogError> {
        if lines.len() > MAX_NOTE {
            return Err(LogError::malformed(format!(
                "the signatures are longer than {MAX_NOTE} bytes"
            )));
        }
        check_characters(lines)?;
        let body = lines
            .strip_suffix('\n')
            .ok_or_else(|| LogError::malformed("the last signature line has no newline"))?;
        let mut signatures = Vec::new();
        for line in body.split('\n') {
            if signatures.len() >= MAX_SIGNATURES {
                return Err(LogError::malformed(format!(
                    "the note has more than {MAX_SIGNATURES} signatures"
                )));
            }
            signatures.push(Self::parse(line)?);
        }
        Ok(signatures)
    }

    /// Reads one signature line without its newline.
    ///
    /// # Errors
    ///
    /// `log.malformed` for everything else.
    pub fn parse(line: &str) -> Result<Self, LogError> {
        let refuse = |what: &str| LogError::malformed(format!("a signature line {what}"));
        let rest = line
            .strip_prefix(LINE_START)
            .ok_or_else(|| refuse("does not begin with an em dash and a space"))?;
        let (name, base64) = rest
            .split_once(' ')
            .ok_or_else(|| refuse("has no signature"))?;
        if !is_key_name(name) {
            return Err(refuse("has no name of a key"));
        }
        let bytes =
            Base64::decode_vec(base64).map_err(|_| refuse("holds something else than base64"))?;
        match bytes.split_first_chunk::<4>() {
            Some((key_id, signature)) if !signature.is_empty() => {
                Ok(Self::new(name.to_owned(), *key_id, signature.to_vec()))
            }
            Some(_) | None => Err(refuse("is too short")),
        }
    }

    /// The name of the key that is said to have signed.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The first four bytes of the key's hash. Easy to collide with: only a configured key counts.
    #[must_use]
    pub const fn key_id(&self) -> [u8; 4] {
        self.key_id
    }

    /// What follows the key id: how it is built depends on the kind of key.
    #[must_use]
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }
}

/// The line, without its newline.
impl fmt::Display for NoteSignature {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = self.key_id.to_vec();
        bytes.extend_from_slice(&self.signature);
        write!(
            formatter,
            "{LINE_START}{} {}",
            self.name,
            Base64::encode_string(&bytes)
        )
    }
}

/// Whether the format allows `name` for a key: not empty, no kind of space, no plus.
pub(crate) fn is_key_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= MAX_NAME
        && !name
            .chars()
            .any(|c| c.is_whitespace() || c == '+' || c < ' ')
}

/// No control characters of ASCII but newlines.
fn check_characters(text: &str) -> Result<(), LogError> {
    if text.bytes().any(|byte| byte < b' ' && byte != b'\n') {
        return Err(LogError::malformed("a note has no control characters"));
    }
    Ok(())
}
