//! Cosignatures (C2SP tlog-cosignature, version 1, Ed25519): a witness states that at a time this
//! was the largest tree it had seen of the log.

use crate::checkpoint::Checkpoint;
use crate::error::{LogError, LogReason};
use crate::key::{KeyKind, SigningKey};
use crate::note::{NoteSignature, SignedNote};

/// The latest time that a cosignature may carry, in seconds.
const MAX_TIME: u64 = i64::MAX.unsigned_abs();

/// Cosigns the checkpoint in `note` at `unix_seconds`. Whoever calls this has checked that the tree
/// continues everything the witness saw before, and has written it down.
///
/// # Errors
///
/// `log.key` if the key is not a witness's, `log.malformed` if the note is no checkpoint or the
/// time cannot be written.
pub fn cosign(
    note: &SignedNote,
    key: &SigningKey,
    unix_seconds: u64,
) -> Result<NoteSignature, LogError> {
    if key.kind() != KeyKind::Witness {
        return Err(LogError::new(
            LogReason::Key,
            format!("{:?} is a log's key: it does not cosign", key.name()),
        ));
    }
    Checkpoint::parse(note.text())?;
    if unix_seconds > MAX_TIME {
        return Err(LogError::malformed("the time is too large to be written"));
    }
    Ok(key.sign(
        &unix_seconds.to_be_bytes(),
        &message(note.text(), unix_seconds),
    ))
}

/// What a witness signs.
pub(crate) fn message(text: &str, unix_seconds: u64) -> Vec<u8> {
    format!("cosignature/v1\ntime {unix_seconds}\n{text}").into_bytes()
}

/// Time and Ed25519 signature of a signature field.
pub(crate) fn split(field: &[u8]) -> Option<(u64, &[u8])> {
    let (time, signature) = field.split_first_chunk::<8>()?;
    let time = u64::from_be_bytes(*time);
    (time <= MAX_TIME && signature.len() == 64).then_some((time, signature))
}
