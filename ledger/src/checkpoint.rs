//! Checkpoints (C2SP tlog-checkpoint): the head of a tree as the text of a note.

use crate::error::{LogError, LogReason};
use crate::hash::Hash;
use crate::key::{KeyKind, SigningKey};
use crate::note::{MAX_NAME, SignedNote};

/// The largest size of a tree that is read. Proofs of larger trees could not be written either.
pub const MAX_SIZE: u64 = i64::MAX.unsigned_abs();

/// The head of a tree.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Checkpoint {
    /// Which log: the name of its key.
    pub origin: String,
    /// How many entries.
    pub size: u64,
    /// The root of the tree of these entries.
    pub root: Hash,
}

impl Checkpoint {
    /// Reads the text of a note. Extension lines are accepted and passed over: they stay in the
    /// note's text, which is what is signed.
    ///
    /// # Errors
    ///
    /// `log.malformed` for anything else.
    pub fn parse(text: &str) -> Result<Self, LogError> {
        let refuse = |what: &str| LogError::malformed(format!("not a checkpoint: {what}"));
        let body = text
            .strip_suffix('\n')
            .ok_or_else(|| refuse("its last line has no newline"))?;
        let mut lines = body.split('\n');
        let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next())
        else {
            return Err(refuse("it has fewer than three lines"));
        };
        if !is_origin(origin) {
            return Err(refuse("its first line is no origin"));
        }
        if lines.any(str::is_empty) {
            return Err(refuse("it has an empty line"));
        }
        Ok(Self {
            origin: origin.to_owned(),
            size: parse_decimal(size)
                .filter(|size| *size <= MAX_SIZE)
                .ok_or_else(|| refuse("its second line is no size of a tree"))?,
            root: Hash::from_base64(root).map_err(|_| refuse("its third line is no root hash"))?,
        })
    }

    /// The text that is signed: three lines, never an extension.
    #[must_use]
    pub fn to_text(&self) -> String {
        let Self { origin, size, root } = self;
        format!("{origin}\n{size}\n{}\n", root.to_base64())
    }
}

/// Signs a checkpoint with its log's key.
///
/// # Errors
///
/// `log.key` if the key is not a log's, or its name not the origin; `log.malformed` if the size
/// is beyond [`MAX_SIZE`].
pub fn sign_checkpoint(checkpoint: &Checkpoint, key: &SigningKey) -> Result<SignedNote, LogError> {
    if key.kind() != KeyKind::Log || key.name() != checkpoint.origin {
        return Err(LogError::new(
            LogReason::Key,
            format!(
                "the {} key {:?} does not sign for the log {:?}",
                key.kind(),
                key.name(),
                checkpoint.origin
            ),
        ));
    }
    let text = checkpoint.to_text();
    Checkpoint::parse(&text)?;
    let signature = key.sign(&[], text.as_bytes());
    let mut note = SignedNote::unsigned(text)?;
    note.add(signature)?;
    Ok(note)
}

/// Decimal digits without sign, space or superfluous zero.
pub(crate) fn parse_decimal(text: &str) -> Option<u64> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !plain || (text.len() > 1 && text.starts_with('0')) {
        return None;
    }
    text.parse().ok()
}

/// The format asks for something that is not empty, and no more.
fn is_origin(origin: &str) -> bool {
    !origin.is_empty() && origin.len() <= MAX_NAME && !origin.bytes().any(|byte| byte < b' ')
}
