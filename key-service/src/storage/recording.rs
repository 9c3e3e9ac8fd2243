//! What a job may do with the log while it holds the writer, and how a group ends.

use std::sync::Arc;

use narthex_ledger::{CurrentEntry, Digest384, Entry, Salt, SigningKey, leaf_hash};

use super::{
    account::{InForce, in_force_after},
    checkpoint::{self, CheckpointKind},
    entry,
    epoch::{Epoch, EpochEnd},
    error::StoreError,
    evidence,
    mark::Mark,
    record::{Record, Recorded},
    setting::{self, Setting},
    state::{Place, Undo},
    tile,
    tree::Tree,
    writing::Writing,
};
use crate::{clock::UnixMillis, digest::Digest, log::Shown};

impl Writing<'_> {
    /// Sequence that the next recorded entry gets.
    #[must_use]
    pub fn next_sequence(&self) -> u64 {
        self.state.log.count()
    }

    /// Appends an entry, and stores its evidence.
    ///
    /// # Errors
    ///
    /// [`StoreError::MarkUsed`] when what it is about happened before (see [`Mark`]); [`StoreError::Entry`] when
    /// it cannot be spelled; what SQLite says.
    pub fn record(&mut self, record: Record) -> Result<Recorded, StoreError> {
        let Record { entry, evidence } = record;
        let leaf = entry
            .to_leaf()
            .map_err(|error| StoreError::Entry(error.to_string()))?;
        let sequence = self.next_sequence();
        for evidence in &evidence {
            evidence::insert(
                self.connection,
                sequence,
                UnixMillis(entry.time()),
                evidence,
            )?;
        }
        // Keys, policy files and root keys were changed by the job itself.
        if let Some(in_force) = in_force_after(sequence, &entry)? {
            let before = self.state.account.in_force.replace(in_force);
            self.state.undo.push(Undo::InForce(before));
        }
        let mark = self.state.account.mark(&entry);
        if let Some(mark) = mark {
            self.leave(mark)?;
        }
        let order = match Mark::of(&entry) {
            Some(Mark::Order(order)) => Some(order),
            Some(Mark::Session(_) | Mark::Statement(_)) | None => None,
        };
        let before = std::mem::replace(&mut self.state.account.last_order, order);
        self.state.undo.push(Undo::LastOrder(before));
        let salt = evidence.first().map(super::SealedEvidence::salt);
        self.append(entry, leaf, mark, salt)
    }

    /// Writes the entry and its mark, and adds it to the tree.
    fn append(
        &mut self,
        entry: Entry,
        leaf: Vec<u8>,
        mark: Option<Mark>,
        salt: Option<Salt>,
    ) -> Result<Recorded, StoreError> {
        let sequence = self.next_sequence();
        let log = &mut self.state.log;
        let (epoch, index) = (log.epoch_number(), log.tree.size());
        let hash = leaf_hash(&leaf);
        entry::insert(self.connection, sequence, epoch, &leaf, &hash, mark)?;
        self.state.undo.push(Undo::Tree(index));
        log.tree.append(hash);
        log.ends_with_current = matches!(entry, Entry::Current(_));
        Ok(Recorded {
            sequence,
            epoch,
            index,
            entry,
            leaf,
            hash,
            salt,
        })
    }

    fn leave(&mut self, mark: Mark) -> Result<(), StoreError> {
        if let Mark::Order(order) = mark {
            // The database says so, too; this holds even when somebody deletes rows meanwhile.
            if !self.state.account.order_marks.insert(order) {
                return Err(StoreError::MarkUsed);
            }
            self.state.undo.push(Undo::Order(order));
        }
        match entry::find_mark(self.connection, mark)? {
            Some(_) => Err(StoreError::MarkUsed),
            None => Ok(()),
        }
    }

    /// Has the group end with an entry that says which bundle is in force.
    pub fn request_current(&mut self, now: UnixMillis) {
        let before = self.state.log.current_due.replace(now);
        self.state.undo.push(Undo::CurrentDue(before));
    }

    /// The entry that made this mark, if there is one.
    ///
    /// # Errors
    ///
    /// [`StoreError::Altered`] when it is not what was written.
    pub fn entry_of(&self, mark: Mark) -> Result<Option<Recorded>, StoreError> {
        entry::find_mark(self.connection, mark)?
            .map(|sequence| self.entry(sequence))
            .transpose()
    }

    /// The entry with this sequence.
    ///
    /// # Errors
    ///
    /// [`StoreError::Altered`] when it is not what was written, as far as its tile is at hand.
    pub fn entry(&self, sequence: u64) -> Result<Recorded, StoreError> {
        let log = &self.state.log;
        let recorded = super::view::read_recorded(self.connection, &log.epochs, sequence)?;
        // What is at hand of the tree is not what somebody may have edited.
        let kept = (recorded.epoch == log.epoch_number())
            .then(|| log.tree.hashes(0, recorded.index, recorded.index + 1))
            .flatten();
        match kept.as_deref() {
            Some([hash]) if *hash != recorded.hash => Err(entry::altered(sequence)),
            _ => Ok(recorded),
        }
    }

    /// Puts a checkpoint with the witnesses' quorum in place of the one before, unless that is larger: readers have seen
    /// it.
    ///
    /// # Errors
    ///
    /// [`StoreError::Altered`] when the one before is not what was written; what SQLite says.
    pub fn store_cosigned(&mut self, epoch: u32, size: u64, note: &str) -> Result<(), StoreError> {
        let (log, kind) = (&self.state.log, CheckpointKind::Cosigned);
        let before = checkpoint::find(self.connection, &log.epochs, kind)?;
        if before.is_some_and(|before| before.epoch == epoch && before.checkpoint.size > size) {
            return Ok(());
        }
        checkpoint::put(self.connection, CheckpointKind::Cosigned, epoch, size, note)
    }

    /// Every epoch, oldest first; the last one goes on.
    #[must_use]
    pub fn epochs(&self) -> &[Epoch] {
        &self.state.log.epochs
    }

    /// Number of entries of the epoch that goes on.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.state.log.tree.size()
    }

    /// The bundle in force, as the log has it.
    #[must_use]
    pub fn in_force(&self) -> Option<InForce> {
        self.state.account.in_force
    }

    /// Takes over entries of this log that were written elsewhere, as they are; the caller has checked that they
    /// continue it. Keys and policy files must follow: what the entries say about them is demanded at the next start.
    ///
    /// # Errors
    ///
    /// [`StoreError::Entry`] when one is not an entry; [`StoreError::MarkUsed`] when one repeats what may happen once;
    /// what SQLite says.
    pub fn import(&mut self, leaves: Vec<Vec<u8>>) -> Result<Vec<Recorded>, StoreError> {
        self.note_all();
        let mut imported = Vec::with_capacity(leaves.len());
        for leaf in leaves {
            let entry =
                Entry::from_leaf(&leaf).map_err(|error| StoreError::Entry(error.to_string()))?;
            let mark = self.state.account.mark(&entry);
            if let Some(Mark::Order(order)) = mark
                && self.state.account.order_marks.contains(&order)
            {
                return Err(StoreError::MarkUsed);
            }
            self.state.account.enter(self.next_sequence(), &entry)?;
            imported.push(self.append(entry, leaf, mark, None)?);
        }
        Ok(imported)
    }

    /// Stores evidence of an entry that was imported. Several entries of one call name the same, which is stored once.
    ///
    /// # Errors
    ///
    /// What SQLite says.
    pub fn import_evidence(
        &mut self,
        recorded: &Recorded,
        evidence: &super::SealedEvidence,
    ) -> Result<(), StoreError> {
        if evidence::find(self.connection, &evidence.digest())?.is_some() {
            return Ok(());
        }
        let time = UnixMillis(recorded.entry.time());
        evidence::insert(self.connection, recorded.sequence, time, evidence)
    }

    /// Ends the epoch and begins the next one, whose checkpoints `key` signs. Its first entry is for the caller to
    /// record. Call it in a group of its own.
    ///
    /// # Errors
    ///
    /// [`StoreError::Altered`] when the newest checkpoint is not over all entries; what SQLite says.
    pub fn begin_epoch(&mut self, key: Arc<SigningKey>) -> Result<EpochEnd, StoreError> {
        self.note_all();
        let wrong = || CheckpointKind::Signed.altered();
        let log = &mut self.state.log;
        let stored = checkpoint::find(self.connection, &log.epochs, CheckpointKind::Signed)?
            .filter(|stored| {
                stored.checkpoint.size == log.tree.size()
                    && stored.checkpoint.root == log.tree.root()
            })
            .ok_or_else(wrong)?;
        let end = EpochEnd {
            size: stored.checkpoint.size,
            root: stored.checkpoint.root,
            note: stored.note.to_string(),
        };
        let count = log.count();
        let last = log.epochs.last_mut().ok_or_else(wrong)?;
        last.end = Some(end.clone());
        let next = Epoch {
            number: last.number.checked_add(1).ok_or_else(wrong)?,
            log_key: key.verifier_key(),
            first_sequence: count,
            end: None,
        };
        last.put(self.connection)?;
        next.put(self.connection)?;
        log.epochs.push(next);
        log.key = Some(key);
        log.tree = Tree::new();
        log.ends_with_current = false;
        Ok(end)
    }

    fn note_all(&mut self) {
        let before = (self.state.log.clone(), self.state.account.clone());
        self.state.undo.push(Undo::All(Box::new(before)));
    }

    /// Ends a group: the word about the bundle in force if it is due, then tiles, checkpoint and head. `None` when
    /// nothing was recorded since `before`.
    pub(crate) fn finish(&mut self, before: Place) -> Result<Option<Shown>, StoreError> {
        let due = self.state.log.current_due.take();
        self.state.undo.push(Undo::CurrentDue(due));
        if let Some(time) = due
            && let Some(in_force) = self.state.account.in_force
        {
            self.record(Record::of(Entry::Current(CurrentEntry {
                time: time.0,
                bundle: Digest384(in_force.sha384.0),
                version: in_force.version,
            })))?;
        }
        let place = self.state.log.place();
        if place == before {
            return Ok(None);
        }
        let had = if place.epoch == before.epoch {
            before.size
        } else {
            0
        };
        tile::put_due(self.connection, place.epoch, &self.state.log.tree, had)?;
        let shown = self.state.log.sign()?;
        checkpoint::put(
            self.connection,
            CheckpointKind::Signed,
            place.epoch,
            shown.size,
            &shown.note,
        )?;
        let head = self.state.log.head().to_bytes();
        setting::put(self.connection, &self.state.keyring, Setting::Head, &head)?;
        Ok(Some(shown))
    }

    /// Whether an order was carried out before.
    #[must_use]
    pub fn order_is_used(&self, order: &Digest) -> bool {
        self.state.account.order_marks.contains(order)
    }

    /// Up to `limit` entries, newest first.
    ///
    /// # Errors
    ///
    /// [`StoreError::Altered`] when one is not what was written.
    pub fn newest_entries(&self, limit: u64) -> Result<Vec<Recorded>, StoreError> {
        let count = self.next_sequence();
        (count.saturating_sub(limit)..count)
            .rev()
            .map(|sequence| self.entry(sequence))
            .collect()
    }
}
