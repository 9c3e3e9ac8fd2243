//! Reading the whole database once, believing nothing, before anything is served.
//!
//! Steps: settings hold under the root keys; the tree over the entries of each epoch is the one that the authenticated
//! head, the epoch's end, the tiles and the signed checkpoints say; the entries say which keys and policy files there
//! must be, in which state; every row is there, is authentic and agrees. An altered setting, entry, tile, checkpoint or
//! policy file stops the start. An altered key row stops that key only: it is named in the log and the metrics and
//! released to nobody. Evidence is read by `check` alone: there is much of it, and nothing is decided on it again.

use std::{collections::BTreeMap, sync::Arc};

use narthex_ledger::{Entry, Hash, PurgeEntry, SaltedEvidence, SigningKey};
use rusqlite::Connection;

use super::{
    account::Account,
    checkpoint::{self, CheckpointKind},
    entry::{self, Stored},
    epoch::{self, Epoch},
    error::StoreError,
    evidence, key_version,
    keyring::Keyring,
    mark::Mark,
    policy_file::{self, PolicyFile},
    record::Head,
    schema::Natural,
    setting::{self, Setting},
    tile,
    tree::{TILE_HEIGHT, TILE_WIDTH, Tree, due_tiles},
    writing::{Log, State},
};
use crate::{log::Shown, root_key::RootKeys};

/// What a database that passed holds.
pub(crate) struct Loaded {
    pub(crate) state: State,
    /// The newest signed checkpoint, which is over all of the tree.
    pub(crate) newest: Shown,
    pub(crate) policy_files: Vec<PolicyFile>,
    /// Key rows that are not what was written.
    pub(crate) altered_keys: Vec<StoreError>,
    /// Key rows that are not under the root key in use: a rotation was cut off.
    pub(crate) rows_to_rewrap: u64,
}

/// Checks everything but the evidence. The caller holds a transaction, so that it sees one state of the file.
///
/// `log_key` is what further checkpoints will be signed with, if any will; it must be the one that signed so far.
pub(crate) fn load(
    connection: &Connection,
    root_keys: &RootKeys,
    log_key: Option<Arc<SigningKey>>,
) -> Result<Loaded, StoreError> {
    let (genesis, active) = setting::unauthenticated(connection)?;
    let keyring = Keyring::new(genesis, active, root_keys)?;
    for setting in [Setting::Genesis, Setting::ActiveRootKey] {
        setting::get(connection, &keyring, setting)?;
    }
    let head = setting::get(connection, &keyring, Setting::Head)?;
    let head = Head::from_bytes(&head).ok_or_else(|| wrong("setting", "head".to_owned()))?;

    let Walk {
        epochs,
        tree,
        account,
        ends_with_current,
        ..
    } = Walk::through(connection, &head, |_| {})?;
    check_log_key(log_key.as_deref(), &epochs)?;
    if account.root_key.is_some_and(|expected| expected != active) {
        return Err(wrong("setting", "active_root_key".to_owned()));
    }
    let newest = checkpoint::find(connection, &epochs, CheckpointKind::Signed)?
        .ok_or_else(|| CheckpointKind::Signed.altered())?;

    let policy_files = policy_file::all(connection, &keyring)?;
    compare_policy_files(&account, &policy_files)?;
    if policy_files.first().map(PolicyFile::digest) != Some(genesis) {
        return Err(wrong("policy_file", "file 0".to_owned()));
    }
    let altered_keys = compare_keys(&account, connection, &keyring)?;
    let rows_to_rewrap: Natural = connection.query_row(
        "SELECT (SELECT count(*) FROM key_version WHERE root_key <> ?1)
              + (SELECT count(*) FROM policy_file WHERE root_key <> ?1)",
        [active.0.as_slice()],
        |row| row.get(0),
    )?;
    Ok(Loaded {
        state: State {
            keyring,
            log: Log {
                key: log_key,
                epochs,
                tree,
                ends_with_current,
                current_due: None,
            },
            account,
            undo: Vec::new(),
            after_commit: Vec::new(),
        },
        newest: Shown {
            size: newest.checkpoint.size,
            root: newest.checkpoint.root.0,
            note: newest.note.to_string(),
        },
        policy_files,
        altered_keys,
        rows_to_rewrap: rows_to_rewrap.0,
    })
}

fn check_log_key(log_key: Option<&SigningKey>, epochs: &[Epoch]) -> Result<(), StoreError> {
    let (Some(key), Some(epoch)) = (log_key, epochs.last()) else {
        return Ok(());
    };
    let (ours, expected) = (key.verifier_key().to_string(), epoch.log_key.to_string());
    if ours == expected {
        Ok(())
    } else {
        Err(StoreError::LogKey { ours, expected })
    }
}

/// Reading all entries in order, and the tree that grows over them.
pub(crate) struct Walk {
    epochs: Vec<Epoch>,
    /// Where in the epochs it is.
    number: usize,
    tree: Tree,
    pub(crate) account: Account,
    ends_with_current: bool,
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

fn compare_policy_files(account: &Account, files: &[PolicyFile]) -> Result<(), StoreError> {
    let expected = &account.policy_files;
    if files.len() != expected.len() {
        let row = format!("{} files instead of {}", files.len(), expected.len());
        return Err(wrong("policy_file", row));
    }
    for (file, (sha384, entry)) in files.iter().zip(expected) {
        if file.digest() != *sha384 || file.entry != *entry {
            return Err(wrong("policy_file", format!("file {}", file.position)));
        }
    }
    Ok(())
}

fn compare_keys(
    account: &Account,
    connection: &Connection,
    keyring: &Keyring,
) -> Result<Vec<StoreError>, StoreError> {
    let mut findings = Vec::new();
    let mut missing: BTreeMap<_, _> = account.anchors.iter().collect();
    key_version::for_each(connection, |row| {
        let checked = row.and_then(|row| {
            let anchor = missing.remove(&row.key.reference);
            row.open(keyring)?;
            if anchor == Some(&row.key.anchor()) {
                Ok(())
            } else {
                Err(key_version::altered(&row.key.reference))
            }
        });
        match checked {
            Ok(()) => Ok(()),
            Err(error @ (StoreError::Altered { .. } | StoreError::RootKeyMissing(_))) => {
                findings.push(error);
                Ok(())
            }
            Err(error) => Err(error),
        }
    })?;
    for reference in missing.into_keys() {
        findings.push(key_version::altered(reference));
    }
    findings.dedup();
    Ok(findings)
}

/// What a look at all evidence found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EvidenceFindings {
    /// Pieces that are what their entry says.
    pub sound: u64,
    /// Pieces that an entry says were purged.
    pub purged: u64,
    /// Pieces that are altered, or gone without an entry that says so.
    pub altered: Vec<StoreError>,
}

/// Reads every piece of evidence that an entry names.
pub(crate) fn check_evidence(
    connection: &Connection,
    head: &Head,
) -> Result<EvidenceFindings, StoreError> {
    let mut purges: Vec<PurgeEntry> = Vec::new();
    Walk::through(connection, head, |entry| {
        if let Entry::Purge(purge) = entry {
            purges.push(purge.clone());
        }
    })?;
    let mut findings = EvidenceFindings::default();
    entry::for_each(connection, 0, u64::MAX, |stored| {
        let entry = Entry::from_leaf(&stored.leaf).map_err(|_| entry::altered(stored.sequence))?;
        for digest in entry.evidence() {
            let altered = StoreError::Altered {
                table: "evidence",
                row: format!("of entry {}", stored.sequence),
            };
            match evidence::find(connection, &digest)? {
                Some(bytes) if SaltedEvidence::open(&digest, &bytes).is_ok() => findings.sound += 1,
                None if was_purged(&purges, &entry) => findings.purged += 1,
                _ => findings.altered.push(altered),
            }
        }
        Ok(())
    })?;
    Ok(findings)
}

/// Whether a purge took evidence of this entry's age and kind.
fn was_purged(purges: &[PurgeEntry], entry: &Entry) -> bool {
    evidence::kind_of(entry).is_some_and(|kind| {
        purges
            .iter()
            .any(|purge| entry.time() < purge.before && purge.kinds.contains(&kind))
    })
}

fn wrong(table: &'static str, row: String) -> StoreError {
    StoreError::Altered { table, row }
}
