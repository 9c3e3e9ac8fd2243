//! What a job may do while it holds the writer: read rows, check them, change them, record entries.
//!
//! The writer's memory says what the rows must be ([`Anchor`]), so an edit of the file under a running
//! service is noticed, too, and an older row put back in place of a newer one. Changes of the memory are noted in an undo list, because
//! a job or a whole group can fail after them.

use std::sync::Arc;

use narthex_ledger::{
    Checkpoint, CurrentEntry, Digest384, Entry, Salt, SigningKey, leaf_hash, sign_checkpoint,
};
use rusqlite::Connection;
use zeroize::Zeroizing;

use super::{
    account::{Account, Anchor, InForce, in_force_after},
    checkpoint::{self, CheckpointKind},
    entry,
    epoch::{self, Epoch, EpochEnd},
    error::StoreError,
    evidence,
    key_version::{self, KeyReference, KeyRow, KeyState, KeyVersion},
    keyring::Keyring,
    mark::Mark,
    policy_file::PolicyFile,
    record::{Head, Record, Recorded},
    setting::{self, Setting},
    tile,
    tree::Tree,
};
use crate::{
    clock::UnixMillis,
    digest::Digest,
    log::Shown,
    root_key::{RootKey, RootKeyId},
};

/// What the writer remembers between groups.
pub(crate) struct State {
    pub(crate) keyring: Keyring,
    pub(crate) log: Log,
    /// What the rows of the other tables must be. A release that was judged when there were fewer policy files is
    /// judged again.
    pub(crate) account: Account,
    pub(crate) undo: Vec<Undo>,
    pub(crate) after_commit: Vec<Box<dyn FnOnce() + Send>>,
}

/// The log as the writer has it.
#[derive(Clone)]
pub(crate) struct Log {
    /// What checkpoints are signed with; absent where nothing is written.
    pub(crate) key: Option<Arc<SigningKey>>,
    /// Oldest first; the last one goes on.
    pub(crate) epochs: Vec<Epoch>,
    /// The tree of the last epoch.
    pub(crate) tree: Tree,
    /// Whether its last entry says which bundle is in force.
    pub(crate) ends_with_current: bool,
    /// Set when the group is to end with such an entry, which bears this time.
    pub(crate) current_due: Option<UnixMillis>,
}

impl Log {
    /// Begins with this epoch.
    pub(crate) fn begin(key: Arc<SigningKey>) -> Self {
        let epoch = Epoch {
            number: 0,
            log_key: key.verifier_key(),
            first_sequence: 0,
            end: None,
        };
        Self {
            key: Some(key),
            epochs: vec![epoch],
            tree: Tree::new(),
            ends_with_current: false,
            current_due: None,
        }
    }

    /// The epoch that goes on; there always is one.
    pub(crate) fn epoch(&self) -> Option<&Epoch> {
        self.epochs.last()
    }

    fn epoch_number(&self) -> u32 {
        self.epoch().map_or(0, |epoch| epoch.number)
    }

    /// Number of entries over all epochs.
    pub(crate) fn count(&self) -> u64 {
        self.epoch().map_or(0, |epoch| epoch.first_sequence) + self.tree.size()
    }

    pub(crate) fn head(&self) -> Head {
        Head {
            epoch: self.epoch_number(),
            count: self.count(),
            size: self.tree.size(),
            root: self.tree.root(),
            epochs: epoch::digest_of(&self.epochs),
        }
    }

    /// Where the log stands.
    pub(crate) fn place(&self) -> Place {
        Place {
            epoch: self.epoch_number(),
            size: self.tree.size(),
        }
    }

    /// Signs a checkpoint over all of the tree.
    pub(crate) fn sign(&self) -> Result<Shown, StoreError> {
        let key = self.key.as_deref().ok_or(StoreError::Cryptography)?;
        let checkpoint = Checkpoint {
            origin: key.name().to_owned(),
            size: self.tree.size(),
            root: self.tree.root(),
        };
        let note = sign_checkpoint(&checkpoint, key).map_err(|_| StoreError::Cryptography)?;
        Ok(Shown {
            size: checkpoint.size,
            root: checkpoint.root.0,
            note: note.to_string(),
        })
    }
}

/// A size of a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) epoch: u32,
    pub(crate) size: u64,
}

/// How to take back one change of the memory.
pub(crate) enum Undo {
    Anchor(KeyReference, Option<Anchor>),
    Order(Digest),
    /// Back to this size of the tree.
    Tree(u64),
    LastOrder(Option<Digest>),
    InForce(Option<InForce>),
    CurrentDue(Option<UnixMillis>),
    PolicyFile,
    /// Everything that the log says, in one: for what is rare.
    All(Box<(Log, Account)>),
    Keyring(Box<Keyring>),
}

/// Where to return to.
#[derive(Clone, Copy)]
pub(crate) struct Bookmark {
    undo: usize,
    after_commit: usize,
}

impl State {
    pub(crate) fn bookmark(&self) -> Bookmark {
        Bookmark {
            undo: self.undo.len(),
            after_commit: self.after_commit.len(),
        }
    }

    pub(crate) fn roll_back_to(&mut self, bookmark: Bookmark) {
        self.after_commit.truncate(bookmark.after_commit);
        while self.undo.len() > bookmark.undo {
            match self.undo.pop() {
                Some(Undo::Anchor(reference, Some(anchor))) => {
                    self.account.anchors.insert(reference, anchor);
                }
                Some(Undo::Anchor(reference, None)) => {
                    self.account.anchors.remove(&reference);
                }
                Some(Undo::Order(digest)) => {
                    self.account.order_marks.remove(&digest);
                }
                Some(Undo::Tree(size)) => {
                    self.log.tree.truncate(size);
                    self.log.ends_with_current = false;
                }
                Some(Undo::LastOrder(before)) => self.account.last_order = before,
                Some(Undo::InForce(before)) => self.account.in_force = before,
                Some(Undo::CurrentDue(before)) => self.log.current_due = before,
                Some(Undo::All(before)) => (self.log, self.account) = *before,
                Some(Undo::PolicyFile) => {
                    self.account.policy_files.pop();
                }
                Some(Undo::Keyring(keyring)) => self.keyring = *keyring,
                None => return,
            }
        }
    }
}

/// The writer's hand, lent to one job. Dropping out with an error takes back everything the job did.
pub struct Writing<'a> {
    pub(crate) connection: &'a Connection,
    pub(crate) state: &'a mut State,
}

impl Writing<'_> {
    /// Sequence that the next recorded entry gets.
    #[must_use]
    pub fn next_sequence(&self) -> u64 {
        self.state.log.count()
    }

    /// Refuses work that was judged under another policy.
    ///
    /// # Errors
    ///
    /// [`StoreError::PolicyMoved`].
    pub fn require_policy(&self, policy_files: u64) -> Result<(), StoreError> {
        if self.state.account.policy_files.len() as u64 == policy_files {
            Ok(())
        } else {
            Err(StoreError::PolicyMoved)
        }
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

    /// Puts the newest checkpoint with the witnesses' quorum in place of the one before.
    ///
    /// # Errors
    ///
    /// What SQLite says.
    pub fn store_cosigned(&mut self, epoch: u32, size: u64, note: &str) -> Result<(), StoreError> {
        checkpoint::put(self.connection, CheckpointKind::Cosigned, epoch, size, note)
    }

    /// The connection, for what the log's own housekeeping writes (purges).
    pub(crate) fn connection(&self) -> &Connection {
        self.connection
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

    /// Stores evidence of an entry that was imported.
    ///
    /// # Errors
    ///
    /// What SQLite says.
    pub fn import_evidence(
        &mut self,
        recorded: &Recorded,
        evidence: &super::SealedEvidence,
    ) -> Result<(), StoreError> {
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

    /// Whether what is left of the database's size is kept for entries that do something: a quarter of it.
    ///
    /// # Errors
    ///
    /// What SQLite says.
    pub fn is_nearly_full(&self) -> Result<bool, StoreError> {
        let pages = |name| -> Result<i64, StoreError> {
            Ok(self
                .connection
                .pragma_query_value(None, name, |row| row.get(0))?)
        };
        let used = pages("page_count")?.saturating_sub(pages("freelist_count")?);
        let most = pages("max_page_count")?;
        Ok(used >= most - most / 4)
    }

    /// Whether an order was carried out before.
    #[must_use]
    pub fn order_is_used(&self, order: &Digest) -> bool {
        self.state.account.order_marks.contains(order)
    }

    /// The versions of a key, oldest first.
    #[must_use]
    pub fn versions(&self, name: &str) -> Vec<(u32, Anchor)> {
        let from = KeyReference {
            name: name.to_owned(),
            version: 0,
        };
        self.state
            .account
            .anchors
            .range(from..)
            .take_while(|(reference, _)| reference.name == name)
            .map(|(reference, anchor)| (reference.version, *anchor))
            .collect()
    }

    /// How many key versions there are.
    #[must_use]
    pub fn key_count(&self) -> usize {
        self.state.account.anchors.len()
    }

    /// Every key version that is known.
    #[must_use]
    pub fn references(&self) -> Vec<KeyReference> {
        self.state.account.anchors.keys().cloned().collect()
    }

    /// Reads a key version and checks that its row is the one that was written last.
    ///
    /// # Errors
    ///
    /// [`StoreError::Altered`] when it is not, or when the row is gone.
    pub fn key(
        &self,
        reference: &KeyReference,
    ) -> Result<(KeyVersion, Zeroizing<Vec<u8>>), StoreError> {
        let row = self.row(reference)?;
        let secret = row.open(&self.state.keyring)?;
        Ok((row.key, secret))
    }

    pub(crate) fn row(&self, reference: &KeyReference) -> Result<KeyRow, StoreError> {
        let wrong = || key_version::altered(reference);
        let anchor = self
            .state
            .account
            .anchors
            .get(reference)
            .ok_or_else(wrong)?;
        let row = key_version::find(self.connection, reference)?.ok_or_else(wrong)?;
        if row.key.anchor() == *anchor {
            Ok(row)
        } else {
            Err(wrong())
        }
    }

    /// Stores a new key version; `entry` becomes the next sequence.
    ///
    /// # Errors
    ///
    /// What SQLite says, also when there is such a row already.
    pub fn insert_key(
        &mut self,
        mut key: KeyVersion,
        secret: &[u8],
    ) -> Result<KeyVersion, StoreError> {
        key.entry = self.next_sequence();
        let row = KeyRow::seal(&self.state.keyring, key, secret)?;
        row.insert(self.connection)?;
        self.anchor(&row.key);
        Ok(row.key)
    }

    /// Writes a row again that somebody altered or removed; `entry` becomes the next sequence.
    ///
    /// # Errors
    ///
    /// What SQLite says.
    pub fn mend_key(
        &mut self,
        mut key: KeyVersion,
        secret: &[u8],
    ) -> Result<KeyVersion, StoreError> {
        key.entry = self.next_sequence();
        let row = KeyRow::seal(&self.state.keyring, key, secret)?;
        row.delete(self.connection)?;
        row.insert(self.connection)?;
        self.anchor(&row.key);
        Ok(row.key)
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

    /// Changes the state of a key version; a retired one loses its material for good.
    ///
    /// # Errors
    ///
    /// [`StoreError::Altered`] when its row is not the one that was written last.
    pub fn change_key(
        &mut self,
        reference: &KeyReference,
        state: KeyState,
        now: UnixMillis,
    ) -> Result<KeyVersion, StoreError> {
        let (mut key, mut secret) = self.key(reference)?;
        key.state = state;
        key.changed = now;
        key.entry = self.next_sequence();
        if state == KeyState::Retired {
            secret = Zeroizing::new(Vec::new());
        }
        let row = KeyRow::seal(&self.state.keyring, key, &secret)?;
        row.update(self.connection)?;
        self.anchor(&row.key);
        Ok(row.key)
    }

    fn anchor(&mut self, key: &KeyVersion) {
        let before = self
            .state
            .account
            .anchors
            .insert(key.reference.clone(), key.anchor());
        self.state
            .undo
            .push(Undo::Anchor(key.reference.clone(), before));
    }

    /// Stores an accepted policy file; position and entry are filled in here. A bundle asks for the group to end
    /// with the word that it is in force.
    ///
    /// # Errors
    ///
    /// What SQLite says, also when the file is stored already.
    pub fn insert_policy_file(&mut self, mut file: PolicyFile) -> Result<PolicyFile, StoreError> {
        file.position = self.state.account.policy_files.len() as u64;
        file.entry = self.next_sequence();
        file.put(self.connection, &self.state.keyring)?;
        let (digest, entry) = (file.digest(), file.entry);
        self.state.account.policy_files.push((digest, entry));
        self.state.undo.push(Undo::PolicyFile);
        self.request_current(file.accepted);
        Ok(file)
    }

    /// Runs `work` on the writer once everything is durable, before anybody is answered.
    pub fn after_commit(&mut self, work: impl FnOnce() + Send + 'static) {
        self.state.after_commit.push(Box::new(work));
    }

    /// Id of the root key in use.
    #[must_use]
    pub fn root_key(&self) -> RootKeyId {
        self.state.keyring.active()
    }

    /// Puts another root key, which is in the root key file already, to use. Rows follow one by one with
    /// [`Self::rewrap_some`].
    ///
    /// # Errors
    ///
    /// What SQLite says.
    pub fn activate_root_key(&mut self, key: &RootKey) -> Result<(), StoreError> {
        let before = self.state.keyring.clone();
        self.state.undo.push(Undo::Keyring(Box::new(before)));
        self.state.keyring.add(key)?;
        self.state.keyring.activate(key.id())?;
        self.rewrite_settings()
    }

    pub(crate) fn rewrite_settings(&mut self) -> Result<(), StoreError> {
        let keyring = &self.state.keyring;
        for setting in Setting::ALL {
            let value = match setting {
                Setting::Genesis => keyring.genesis().as_bytes().to_vec(),
                Setting::ActiveRootKey => keyring.active().0.to_vec(),
                Setting::Head => self.state.log.head().to_bytes(),
            };
            setting::put(self.connection, keyring, setting, &value)?;
        }
        Ok(())
    }

    /// Wraps again up to `limit` key rows after `after` that are not under the root key in use.
    ///
    /// # Errors
    ///
    /// What SQLite says. A row that is not ours is left as it is, for it would look genuine afterwards.
    pub fn rewrap_some(
        &mut self,
        after: Option<&KeyReference>,
        limit: u32,
    ) -> Result<Rewrapped, StoreError> {
        let active = self.state.keyring.active();
        let mut step = Rewrapped::default();
        for row in key_version::wrapped_otherwise(self.connection, active, after, limit)? {
            step.last = Some(row.key.reference.clone());
            let ours =
                self.state.account.anchors.get(&row.key.reference) == Some(&row.key.anchor());
            match row.open(&self.state.keyring) {
                Ok(secret) if ours => {
                    KeyRow::seal(&self.state.keyring, row.key, &secret)?.update(self.connection)?;
                    step.rewrapped += 1;
                }
                Ok(_) | Err(StoreError::Altered { .. } | StoreError::RootKeyMissing(_)) => {
                    step.left += 1;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(step)
    }

    /// Authenticates the policy files again under the root key in use, and returns how many.
    ///
    /// # Errors
    ///
    /// [`StoreError::Altered`] when one is not ours.
    pub fn reauthenticate_policy_files(&mut self) -> Result<u32, StoreError> {
        let files =
            super::policy_file::authenticated_otherwise(self.connection, &self.state.keyring)?;
        let mut count = 0;
        for file in files {
            file.put(self.connection, &self.state.keyring)?;
            count += 1;
        }
        Ok(count)
    }

    pub(crate) fn keyring(&self) -> &Keyring {
        &self.state.keyring
    }
}

/// What one step of a rotation did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rewrapped {
    /// Rows that are under the root key in use now.
    pub rewrapped: u32,
    /// Rows that somebody altered; they stay as they are and are released to nobody.
    pub left: u32,
    /// The last row looked at; `None` when there was none, and the rotation is complete.
    pub last: Option<KeyReference>,
}

impl KeyVersion {
    /// What the entries must say about it.
    #[must_use]
    pub fn anchor(&self) -> Anchor {
        Anchor {
            state: self.state,
            entry: self.entry,
            commitment: self.commitment,
        }
    }
}
