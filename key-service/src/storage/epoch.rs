//! The logs that there were: an epoch begins with `init`, or with a signed bundle that says which log it goes on
//! from. Within an epoch, entries are numbered from 0 (their index); over all epochs they have a sequence.

use narthex_ledger::{Hash, VerifierKey};
use rusqlite::{Connection, params};

use super::{
    error::StoreError,
    schema::{Natural, to_integer},
};
use crate::digest::{Digest, compose};

const TABLE: &str = "epoch";

/// One log.
#[derive(Clone, Debug)]
pub struct Epoch {
    /// Its number, from 0.
    pub number: u32,
    /// The key that signs its checkpoints; its name is the log's origin.
    pub log_key: VerifierKey,
    /// Sequence of its first entry.
    pub first_sequence: u64,
    /// How it ended; `None` for the one that goes on.
    pub end: Option<EpochEnd>,
}

/// How an epoch ended.
#[derive(Clone, Debug)]
pub struct EpochEnd {
    /// Number of its entries.
    pub size: u64,
    /// Root over them.
    pub root: Hash,
    /// The last checkpoint of it, as signed.
    pub note: String,
}

impl Epoch {
    /// The log's origin.
    #[must_use]
    pub fn origin(&self) -> &str {
        self.log_key.name()
    }

    /// Writes the row, new or again.
    pub(crate) fn put(&self, connection: &Connection) -> Result<(), StoreError> {
        let size = self
            .end
            .as_ref()
            .map(|end| to_integer(end.size))
            .transpose()?;
        connection
            .prepare_cached(
                "INSERT INTO epoch (number, log_key, first_sequence, size, root, note)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                 ON CONFLICT (number) DO UPDATE SET size = ?4, root = ?5, note = ?6",
            )?
            .execute(params![
                self.number,
                self.log_key.to_string(),
                to_integer(self.first_sequence)?,
                size,
                self.end.as_ref().map(|end| end.root.0.to_vec()),
                self.end.as_ref().map(|end| end.note.as_str()),
            ])?;
        Ok(())
    }

    fn fields(&self) -> Vec<Vec<u8>> {
        let mut fields = vec![
            self.number.to_be_bytes().to_vec(),
            self.log_key.to_string().into_bytes(),
            self.first_sequence.to_be_bytes().to_vec(),
        ];
        if let Some(EpochEnd { size, root, note }) = &self.end {
            fields.extend([
                size.to_be_bytes().to_vec(),
                root.0.to_vec(),
                note.as_bytes().to_vec(),
            ]);
        }
        fields
    }
}

/// What the head says about all epochs together.
pub(crate) fn digest_of(epochs: &[Epoch]) -> Digest {
    let fields: Vec<Vec<Vec<u8>>> = epochs.iter().map(Epoch::fields).collect();
    let each: Vec<Vec<u8>> = fields
        .iter()
        .map(|fields| {
            let fields: Vec<&[u8]> = fields.iter().map(Vec::as_slice).collect();
            compose("narthex/v1/epoch", &fields)
        })
        .collect();
    let each: Vec<&[u8]> = each.iter().map(Vec::as_slice).collect();
    Digest::of(&compose("narthex/v1/epochs", &each))
}

/// Every epoch, oldest first; all but the last have an end. Not authenticated: see [`digest_of`].
pub(crate) fn all(connection: &Connection) -> Result<Vec<Epoch>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT number, log_key, first_sequence, size, root, note FROM epoch ORDER BY number",
    )?;
    let mut rows = statement.query([])?;
    let mut epochs: Vec<Epoch> = Vec::new();
    while let Some(row) = rows.next()? {
        let expected = epochs.len();
        let wrong = || altered(expected);
        let epoch = read(row).map_err(|_| wrong())?.ok_or_else(wrong)?;
        if u32::try_from(expected) != Ok(epoch.number) {
            return Err(wrong());
        }
        epochs.push(epoch);
    }
    let last = epochs.len().checked_sub(1).ok_or_else(|| altered(0))?;
    match epochs.iter().position(|epoch| epoch.end.is_none()) {
        Some(open) if open == last => Ok(epochs),
        Some(open) => Err(altered(open)),
        None => Err(altered(last)),
    }
}

fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Option<Epoch>> {
    let log_key: String = row.get(1)?;
    let size: Option<Natural> = row.get(3)?;
    let root: Option<Vec<u8>> = row.get(4)?;
    let note: Option<String> = row.get(5)?;
    let (Ok(log_key), root) = (
        VerifierKey::parse(&log_key),
        root.map(|root| Hash::from_slice(&root)),
    ) else {
        return Ok(None);
    };
    let end = match (size, root, note) {
        (None, None, None) => None,
        (Some(Natural(size)), Some(Some(root)), Some(note)) => Some(EpochEnd { size, root, note }),
        _ => return Ok(None),
    };
    Ok(Some(Epoch {
        number: row.get(0)?,
        log_key,
        first_sequence: row.get::<_, Natural>(2)?.0,
        end,
    }))
}

pub(crate) fn altered(number: usize) -> StoreError {
    StoreError::Altered {
        table: TABLE,
        row: format!("epoch {number}"),
    }
}
