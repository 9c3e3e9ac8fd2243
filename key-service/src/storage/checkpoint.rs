//! The newest checkpoints: the one that the log signed, and the one that the witnesses' quorum cosigned.

use narthex_ledger::{Checkpoint, SignedNote};
use rusqlite::{Connection, OptionalExtension, params};

use super::{
    epoch::Epoch,
    error::StoreError,
    schema::{Natural, to_integer},
};

const TABLE: &str = "checkpoint";

/// Which of the newest checkpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckpointKind {
    /// Signed by the log alone; covers every durable entry.
    Signed,
    /// With as many cosignatures as the bundle asks for.
    Cosigned,
}

impl CheckpointKind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Signed => "signed",
            Self::Cosigned => "cosigned",
        }
    }

    pub(crate) fn altered(self) -> StoreError {
        StoreError::Altered {
            table: TABLE,
            row: self.as_str().to_owned(),
        }
    }
}

/// A checkpoint as it is stored.
#[derive(Clone, Debug)]
pub struct StoredCheckpoint {
    /// The epoch it belongs to.
    pub epoch: u32,
    /// What it says.
    pub checkpoint: Checkpoint,
    /// The note with its signatures.
    pub note: SignedNote,
}

/// Puts the newest of its kind in place of the one before.
pub(crate) fn put(
    connection: &Connection,
    kind: CheckpointKind,
    epoch: u32,
    size: u64,
    note: &str,
) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO checkpoint (kind, epoch, size, note) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (kind) DO UPDATE SET epoch = ?2, size = ?3, note = ?4",
        )?
        .execute(params![kind.as_str(), epoch, to_integer(size)?, note])?;
    Ok(())
}

/// The newest of a kind, with a signature of its epoch's log that holds. Whether the tree has its root is for
/// the caller to say.
pub(crate) fn find(
    connection: &Connection,
    epochs: &[Epoch],
    kind: CheckpointKind,
) -> Result<Option<StoredCheckpoint>, StoreError> {
    let row: Option<rusqlite::Result<(u32, Natural, String)>> = connection
        .prepare_cached("SELECT epoch, size, note FROM checkpoint WHERE kind = ?1")?
        .query_row([kind.as_str()], |row| {
            Ok((|| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))())
        })
        .optional()?;
    let Some(row) = row else {
        return Ok(None);
    };
    let wrong = || kind.altered();
    let (number, size, text) = row.map_err(|_| wrong())?;
    let epoch = usize::try_from(number)
        .ok()
        .and_then(|number| epochs.get(number))
        .ok_or_else(wrong)?;
    let (checkpoint, note) = read_note(&text, epoch).ok_or_else(wrong)?;
    if checkpoint.size != size.0 {
        return Err(wrong());
    }
    Ok(Some(StoredCheckpoint {
        epoch: number,
        checkpoint,
        note,
    }))
}

/// Reads a note that the epoch's log must have signed.
pub(crate) fn read_note(text: &str, epoch: &Epoch) -> Option<(Checkpoint, SignedNote)> {
    let note = SignedNote::parse(text).ok()?;
    let signed = note.signatures().iter().any(|signature| {
        epoch.log_key.claims(signature) && epoch.log_key.verify(note.text(), signature).is_ok()
    });
    let checkpoint = Checkpoint::parse(note.text()).ok()?;
    (signed && checkpoint.origin == epoch.origin()).then_some((checkpoint, note))
}
