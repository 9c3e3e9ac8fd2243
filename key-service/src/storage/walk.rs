//! Reading all entries in order, and comparing the trees over them with everything that says what they are.

use narthex_ledger::{Entry, Hash};
use rusqlite::Connection;

use super::{
    account::Account,
    checkpoint::{self, CheckpointKind},
    entry::{self, Stored},
    epoch::{self, Epoch},
    error::StoreError,
    mark::Mark,
    record::Head,
    tile,
    tree::{TILE_HEIGHT, TILE_WIDTH, Tree, due_tiles},
};

/// Reading all entries in order, and the tree that grows over them.
pub(crate) struct Walk {
    pub(crate) epochs: Vec<Epoch>,
    /// Where in the epochs it is.
    number: usize,
    pub(crate) tree: Tree,
    pub(crate) account: Account,
    pub(crate) ends_with_current: bool,
    /// Rows of the table of tiles that were compared.
    tiles: u64,
    /// A checkpoint on the way whose root must be that of the tree at its size.
    waypoint: Option<(u32, u64, Hash)>,
}

impl Walk {
    /// Reads every entry, shows it to `each`, and compares the trees with everything that says what they are. Accepted
    /// releases, which are most of a log, are not taken apart.
    pub(crate) fn through(
        connection: &Connection,
        head: &Head,
        mut each: impl FnMut(&Entry),
    ) -> Result<Self, StoreError> {
        let epochs = epoch::all(connection)?;
        if epoch::digest_of(&epochs) != head.epochs {
            return Err(wrong("epoch", format!("one of {}", epochs.len())));
        }
        let signed = checkpoint::find(connection, &epochs, CheckpointKind::Signed)?
            .filter(|signed| {
                let checkpoint = &signed.checkpoint;
                (signed.epoch, checkpoint.size, checkpoint.root)
                    == (head.epoch, head.size, head.root)
            })
            .ok_or_else(|| CheckpointKind::Signed.altered())?;
        let cosigned = checkpoint::find(connection, &epochs, CheckpointKind::Cosigned)?;
        let mut walk = Self {
            epochs,
            number: 0,
            tree: Tree::new(),
            account: Account::default(),
            ends_with_current: false,
            tiles: 0,
            waypoint: cosigned.map(|cosigned| {
                let checkpoint = cosigned.checkpoint;
                (cosigned.epoch, checkpoint.size, checkpoint.root)
            }),
        };
        walk.pass_waypoint()?;
        let found = entry::for_each(connection, 0, u64::MAX, |stored| {
            if let Some(entry) = walk.step(connection, &stored)? {
                each(&entry);
            }
            Ok(())
        })?;
        // An epoch may have ended with the last entry.
        walk.turn_to(connection, found)?;
        if found != head.count || walk.number + 1 != walk.epochs.len() {
            return Err(wrong(
                "entry",
                format!("{found} entries instead of {}", head.count),
            ));
        }
        walk.finish_epoch(connection, signed.checkpoint.size, &signed.checkpoint.root)?;
        if walk.waypoint.is_some() {
            return Err(CheckpointKind::Cosigned.altered());
        }
        if tile::count(connection)? != walk.tiles {
            return Err(wrong("tile", format!("not {} tiles", walk.tiles)));
        }
        Ok(walk)
    }

    fn epoch(&self) -> Option<&Epoch> {
        self.epochs.get(self.number)
    }

    fn step(
        &mut self,
        connection: &Connection,
        stored: &Stored,
    ) -> Result<Option<Entry>, StoreError> {
        let altered = || entry::altered(stored.sequence);
        self.turn_to(connection, stored.sequence)?;
        if self.epoch().map(|epoch| epoch.number) != Some(stored.epoch) {
            return Err(altered());
        }
        let (entry, mark) = match Mark::of_release_leaf(&stored.leaf) {
            Some(mark) => {
                self.account.last_order = None;
                (None, mark)
            }
            None => {
                let entry = Entry::from_leaf(&stored.leaf).map_err(|_| altered())?;
                let mark = self.account.mark(&entry);
                self.account.enter(stored.sequence, &entry)?;
                (Some(entry), mark)
            }
        };
        if mark.map(Mark::to_bytes) != stored.mark {
            return Err(altered());
        }
        self.ends_with_current = matches!(entry, Some(Entry::Current(_)));
        let before = self.tree.size();
        self.tree.append(stored.hash);
        self.compare_full_tiles(connection, before)?;
        if self.tree.size().is_multiple_of(TILE_WIDTH) {
            self.tree.prune();
        }
        self.pass_waypoint()?;
        Ok(entry)
    }

    /// Goes on to the next epoch if it begins with this sequence.
    fn turn_to(&mut self, connection: &Connection, sequence: u64) -> Result<(), StoreError> {
        while let Some(next) = self.epochs.get(self.number + 1)
            && next.first_sequence == sequence
        {
            let number = self.number;
            let wrong = || epoch::altered(number);
            let epoch = self.epochs.get(number).ok_or_else(wrong)?;
            let end = epoch.end.clone().ok_or_else(wrong)?;
            let (last, _) = checkpoint::read_note(&end.note, epoch).ok_or_else(wrong)?;
            if (last.size, last.root) != (end.size, end.root) {
                return Err(wrong());
            }
            self.finish_epoch(connection, end.size, &end.root)?;
            self.number += 1;
            self.tree = Tree::new();
            self.pass_waypoint()?;
        }
        Ok(())
    }

    /// The tree of an epoch is complete: it must be the one that was signed.
    fn finish_epoch(
        &mut self,
        connection: &Connection,
        size: u64,
        root: &Hash,
    ) -> Result<(), StoreError> {
        let first = self.epoch().map_or(0, |epoch| epoch.first_sequence);
        self.compare_partial_tiles(connection)?;
        if self.tree.size() != size {
            let row = format!(
                "{} entries instead of {}",
                first + self.tree.size(),
                first + size
            );
            return Err(wrong("entry", row));
        }
        if self.tree.root() == *root {
            return Ok(());
        }
        // Every full tile is as it was written, so it is one of those that are in none.
        let from = size - size % TILE_WIDTH;
        let row = format!(
            "one of the entries {} to {}",
            first + from,
            first + size - 1
        );
        Err(wrong("entry", row))
    }

    fn pass_waypoint(&mut self) -> Result<(), StoreError> {
        let Some((epoch, size, root)) = self.waypoint else {
            return Ok(());
        };
        if usize::try_from(epoch) != Ok(self.number) || size != self.tree.size() {
            return Ok(());
        }
        self.waypoint = None;
        if root == self.tree.root() {
            Ok(())
        } else {
            Err(CheckpointKind::Cosigned.altered())
        }
    }

    /// Tiles that the last entry completed.
    fn compare_full_tiles(
        &mut self,
        connection: &Connection,
        before: u64,
    ) -> Result<(), StoreError> {
        for due in due_tiles(before, self.tree.size()) {
            if due.until - due.from == TILE_WIDTH {
                self.compare_tile(connection, due.level, due.from, due.until)?;
            }
        }
        Ok(())
    }

    /// Tiles above the lowest level that are not full yet.
    fn compare_partial_tiles(&mut self, connection: &Connection) -> Result<(), StoreError> {
        for level in 1.. {
            let Some(hashes) = self
                .tree
                .size()
                .checked_shr(level * TILE_HEIGHT)
                .filter(|hashes| *hashes > 0)
            else {
                break;
            };
            if !hashes.is_multiple_of(TILE_WIDTH) {
                self.compare_tile(connection, level, hashes - hashes % TILE_WIDTH, hashes)?;
            }
        }
        Ok(())
    }

    fn compare_tile(
        &mut self,
        connection: &Connection,
        level: u32,
        from: u64,
        until: u64,
    ) -> Result<(), StoreError> {
        let (number, first) = self
            .epoch()
            .map_or((0, 0), |epoch| (epoch.number, epoch.first_sequence));
        let position = from / TILE_WIDTH;
        let altered = || tile::altered(number, level, position);
        let expected = self
            .tree
            .hashes(level * TILE_HEIGHT, from, until)
            .ok_or_else(altered)?;
        let found = tile::find(connection, number, level, position)?.ok_or_else(altered)?;
        self.tiles += 1;
        if found == expected {
            return Ok(());
        }
        let different = expected
            .iter()
            .zip(&found)
            .position(|(one, other)| one != other);
        match different {
            // Either the entry was altered together with its hash, or the tile was: the signed root says which, but
            // only for all of them.
            Some(place) if level == 0 => {
                let sequence = first + from + place as u64;
                Err(wrong(
                    "entry",
                    format!("entry {sequence}, or tile {position} over it"),
                ))
            }
            _ => Err(altered()),
        }
    }
}

fn wrong(table: &'static str, row: String) -> StoreError {
    StoreError::Altered { table, row }
}
