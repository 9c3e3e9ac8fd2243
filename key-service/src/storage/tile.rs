//! The table of tiles, and hashes of the tree from what is stored.
//!
//! A level-0 tile becomes a row when it is full; until then its hashes are those of the entries. See
//! [`super::tree::due_tiles`].

use narthex_ledger::{Hash, HashSource, node_hash};
use rusqlite::{Connection, OptionalExtension, params};

use super::{
    entry,
    epoch::Epoch,
    error::StoreError,
    schema::to_integer,
    tree::{TILE_HEIGHT, TILE_WIDTH, Tree, due_tiles},
};

const TABLE: &str = "tile";

/// Writes the rows that change when the tree grows from `before` entries to what it has now.
pub(crate) fn put_due(
    connection: &Connection,
    epoch: u32,
    tree: &Tree,
    before: u64,
) -> Result<(), StoreError> {
    for due in due_tiles(before, tree.size()) {
        // What a group appended is kept in memory until it is durable.
        let hashes = tree
            .hashes(due.level * TILE_HEIGHT, due.from, due.until)
            .ok_or(StoreError::Cryptography)?;
        connection
            .prepare_cached(
                "INSERT INTO tile (epoch, level, position, hashes) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (epoch, level, position) DO UPDATE SET hashes = ?4",
            )?
            .execute(params![
                epoch,
                due.level,
                to_integer(due.position)?,
                to_bytes(&hashes)
            ])?;
    }
    Ok(())
}

pub(crate) fn to_bytes(hashes: &[Hash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| hash.0).collect()
}

/// The hashes of a row, if there is one that holds hashes.
pub(crate) fn find(
    connection: &Connection,
    epoch: u32,
    level: u32,
    position: u64,
) -> Result<Option<Vec<Hash>>, StoreError> {
    let bytes: Option<Vec<u8>> = connection
        .prepare_cached(
            "SELECT hashes FROM tile WHERE epoch = ?1 AND level = ?2 AND position = ?3",
        )?
        .query_row(params![epoch, level, to_integer(position)?], |row| {
            row.get(0)
        })
        .optional()?;
    bytes
        .map(|bytes| {
            let (hashes, rest) = bytes.as_chunks::<32>();
            if rest.is_empty() && hashes.len() as u64 <= TILE_WIDTH {
                Ok(hashes.iter().map(|hash| Hash(*hash)).collect())
            } else {
                Err(altered(epoch, level, position))
            }
        })
        .transpose()
}

/// How many rows there are.
pub(crate) fn count(connection: &Connection) -> Result<u64, StoreError> {
    let count: super::schema::Natural =
        connection.query_row("SELECT count(*) FROM tile", [], |row| row.get(0))?;
    Ok(count.0)
}

pub(crate) fn altered(epoch: u32, level: u32, position: u64) -> StoreError {
    StoreError::Altered {
        table: TABLE,
        row: format!("epoch {epoch}, level {level}, tile {position}"),
    }
}

/// Hashes `from` to `until` (without) of a tile level of an epoch, all in one tile; `None` when there are fewer.
/// The caller knows that the tree is large enough.
pub(crate) fn hashes(
    connection: &Connection,
    epoch: &Epoch,
    level: u32,
    from: u64,
    until: u64,
) -> Result<Option<Vec<Hash>>, StoreError> {
    let position = from / TILE_WIDTH;
    let row = find(connection, epoch.number, level, position)?;
    let hashes = match row {
        Some(hashes) => {
            let place = |number: u64| usize::try_from(number - position * TILE_WIDTH).ok();
            place(from)
                .zip(place(until))
                .and_then(|(from, until)| hashes.get(from..until).map(<[Hash]>::to_vec))
        }
        None if level == 0 => {
            let first = epoch.first_sequence;
            let found = entry::hashes(connection, first + from, first + until)?;
            (found.len() as u64 == until - from).then_some(found)
        }
        None => None,
    };
    Ok(hashes)
}

/// The tree of one epoch as it is stored, for proofs about entries that are no longer in memory.
pub(crate) struct StoredTree<'c> {
    pub(crate) connection: &'c Connection,
    pub(crate) epoch: &'c Epoch,
}

impl HashSource for StoredTree<'_> {
    type Error = StoreError;

    fn subtree(&self, level: u8, index: u64) -> Result<Hash, StoreError> {
        let height = u32::from(level);
        let (level, inside) = (height / TILE_HEIGHT, height % TILE_HEIGHT);
        let missing = || altered(self.epoch.number, level, index);
        let from = index.checked_shl(inside).ok_or_else(missing)?;
        let until = from.checked_add(1 << inside).ok_or_else(missing)?;
        let mut row =
            hashes(self.connection, self.epoch, level, from, until)?.ok_or_else(missing)?;
        // A power of two of neighbours, so pairs come out even at every step.
        while row.len() > 1 {
            row = row
                .as_chunks::<2>()
                .0
                .iter()
                .map(|[left, right]| node_hash(left, right))
                .collect();
        }
        row.first().copied().ok_or_else(missing)
    }
}
