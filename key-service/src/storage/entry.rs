//! The table of entries.
//!
//! A row holds an entry's bytes and, so that an edit can be named, their leaf hash. Neither is believed: the tree
//! over all of them must have the root that the head and the signed checkpoint say.

use narthex_ledger::{Hash, leaf_hash};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{
    error::StoreError,
    mark::Mark,
    schema::{Natural, to_integer},
};

const TABLE: &str = "entry";

/// A row as it is stored.
pub(crate) struct Stored {
    pub(crate) sequence: u64,
    pub(crate) epoch: u32,
    pub(crate) leaf: Vec<u8>,
    pub(crate) hash: Hash,
    pub(crate) mark: Option<Vec<u8>>,
}

/// Appends a row.
pub(crate) fn insert(
    connection: &Connection,
    sequence: u64,
    epoch: u32,
    leaf: &[u8],
    hash: &Hash,
    mark: Option<Mark>,
) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO entry (sequence, epoch, leaf, hash, mark) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![
            to_integer(sequence)?,
            epoch,
            leaf,
            hash.0.as_slice(),
            mark.map(Mark::to_bytes)
        ])?;
    Ok(())
}

/// Sequence of the entry that made this mark.
pub(crate) fn find_mark(connection: &Connection, mark: Mark) -> Result<Option<u64>, StoreError> {
    Ok(connection
        .prepare_cached("SELECT sequence FROM entry WHERE mark = ?1")?
        .query_row([mark.to_bytes()], |row| row.get::<_, Natural>(0))
        .optional()?
        .map(|sequence| sequence.0))
}

/// One row.
pub(crate) fn find(connection: &Connection, sequence: u64) -> Result<Option<Stored>, StoreError> {
    connection
        .prepare_cached("SELECT sequence, epoch, leaf, hash, mark FROM entry WHERE sequence = ?1")?
        .query_row([to_integer(sequence)?], |row| Ok(read(row)))
        .optional()?
        .map(|read| read.map_err(|_| altered(sequence)))
        .transpose()
}

/// Shows rows `from` to `until` (without) in order, each checked to stand where it does and to have the hash
/// that stands beside it.
pub(crate) fn for_each(
    connection: &Connection,
    from: u64,
    until: u64,
    mut each: impl FnMut(Stored) -> Result<(), StoreError>,
) -> Result<u64, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT sequence, epoch, leaf, hash, mark FROM entry
         WHERE sequence >= ?1 AND sequence < ?2 ORDER BY sequence",
    )?;
    let until = until.min(i64::MAX.unsigned_abs());
    let mut rows = statement.query([to_integer(from)?, to_integer(until)?])?;
    let mut expected = from;
    while let Some(row) = rows.next()? {
        let wrong = || altered(expected);
        let stored = read(row).map_err(|_| wrong())?;
        if stored.sequence != expected || leaf_hash(&stored.leaf) != stored.hash {
            return Err(wrong());
        }
        each(stored)?;
        expected += 1;
    }
    Ok(expected)
}

/// Leaf hashes `from` to `until` (without), as many as there are.
pub(crate) fn hashes(
    connection: &Connection,
    from: u64,
    until: u64,
) -> Result<Vec<Hash>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT hash FROM entry WHERE sequence >= ?1 AND sequence < ?2 ORDER BY sequence",
    )?;
    let mut rows = statement.query([to_integer(from)?, to_integer(until)?])?;
    let mut hashes = Vec::new();
    while let Some(row) = rows.next()? {
        let place = from + hashes.len() as u64;
        let bytes: Vec<u8> = row.get(0).map_err(|_| altered(place))?;
        hashes.push(Hash::from_slice(&bytes).ok_or_else(|| altered(place))?);
    }
    Ok(hashes)
}

fn read(row: &Row<'_>) -> rusqlite::Result<Stored> {
    let hash: [u8; 32] = row.get(3)?;
    Ok(Stored {
        sequence: row.get::<_, Natural>(0)?.0,
        epoch: row.get(1)?,
        leaf: row.get(2)?,
        hash: Hash(hash),
        mark: row.get(4)?,
    })
}

pub(crate) fn altered(sequence: u64) -> StoreError {
    StoreError::Altered {
        table: TABLE,
        row: format!("entry {sequence}"),
    }
}
