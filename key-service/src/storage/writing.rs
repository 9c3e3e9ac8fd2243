//! What a job may do while it holds the writer: read rows, check them, change them, record decisions.
//!
//! The writer's memory says what the rows must be ([`Anchor`]), so an edit of the file under a running
//! service is noticed, too, and an older row put back in place of a newer one. Changes of the memory are noted in an undo list, because
//! a job or a whole group can fail after them.

use std::collections::{BTreeMap, HashSet};

use rusqlite::Connection;
use zeroize::Zeroizing;

use super::{
    chain,
    decision::{Decision, Head, Mark, Recorded},
    error::StoreError,
    key_version::{self, KeyReference, KeyRow, KeyState, KeyVersion},
    keyring::Keyring,
    policy_file::PolicyFile,
    setting::{self, Setting},
};
use crate::{
    clock::UnixMillis,
    digest::Digest,
    root_key::{RootKey, RootKeyId},
};

/// What the chain of decisions says about a key version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// State after the last decision about it.
    pub state: KeyState,
    /// Sequence of that decision.
    pub decision: u64,
    /// Its commitment, which never changes.
    pub commitment: Digest,
}

/// What the writer remembers between groups.
pub(crate) struct State {
    pub(crate) keyring: Keyring,
    pub(crate) head: Head,
    pub(crate) anchors: BTreeMap<KeyReference, Anchor>,
    pub(crate) order_marks: HashSet<Digest>,
    /// How many policy files were accepted; a release judged under fewer is judged again.
    pub(crate) policy_files: u64,
    pub(crate) undo: Vec<Undo>,
    pub(crate) after_commit: Vec<Box<dyn FnOnce() + Send>>,
}

/// How to take back one change of the memory.
pub(crate) enum Undo {
    Anchor(KeyReference, Option<Anchor>),
    Order(Digest),
    Head(Head),
    PolicyFiles(u64),
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
                    self.anchors.insert(reference, anchor);
                }
                Some(Undo::Anchor(reference, None)) => {
                    self.anchors.remove(&reference);
                }
                Some(Undo::Order(digest)) => {
                    self.order_marks.remove(&digest);
                }
                Some(Undo::Head(head)) => self.head = head,
                Some(Undo::PolicyFiles(count)) => self.policy_files = count,
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
    /// Sequence that the next recorded decision gets.
    #[must_use]
    pub fn next_sequence(&self) -> u64 {
        self.state.head.count
    }

    /// Refuses work that was judged under another policy.
    ///
    /// # Errors
    ///
    /// [`StoreError::PolicyMoved`].
    pub fn require_policy(&self, policy_files: u64) -> Result<(), StoreError> {
        if self.state.policy_files == policy_files {
            Ok(())
        } else {
            Err(StoreError::PolicyMoved)
        }
    }

    /// Appends a decision.
    ///
    /// # Errors
    ///
    /// [`StoreError::MarkUsed`] when its mark is in the record already; what SQLite says.
    pub fn record(&mut self, decision: Decision) -> Result<Recorded, StoreError> {
        if let Some(Mark::Order(order)) = decision.mark {
            // The database says so, too; this holds even when somebody deletes rows meanwhile.
            if !self.state.order_marks.insert(order) {
                return Err(StoreError::MarkUsed);
            }
            self.state.undo.push(Undo::Order(order));
        }
        self.state.undo.push(Undo::Head(self.state.head));
        chain::append(
            self.connection,
            &self.state.keyring,
            &mut self.state.head,
            decision,
        )
    }

    /// Whether what is left of the database's size is kept for decisions that do something: a quarter of it.
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
        self.state.order_marks.contains(order)
    }

    /// The versions of a key, oldest first.
    #[must_use]
    pub fn versions(&self, name: &str) -> Vec<(u32, Anchor)> {
        let from = KeyReference {
            name: name.to_owned(),
            version: 0,
        };
        self.state
            .anchors
            .range(from..)
            .take_while(|(reference, _)| reference.name == name)
            .map(|(reference, anchor)| (reference.version, *anchor))
            .collect()
    }

    /// How many key versions there are.
    #[must_use]
    pub fn key_count(&self) -> usize {
        self.state.anchors.len()
    }

    /// Every key version that is known.
    #[must_use]
    pub fn references(&self) -> Vec<KeyReference> {
        self.state.anchors.keys().cloned().collect()
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
        let anchor = self.state.anchors.get(reference).ok_or_else(wrong)?;
        let row = key_version::find(self.connection, reference)?.ok_or_else(wrong)?;
        if row.key.anchor() == *anchor {
            Ok(row)
        } else {
            Err(wrong())
        }
    }

    /// Stores a new key version; `decision` becomes the next sequence.
    ///
    /// # Errors
    ///
    /// What SQLite says, also when there is such a row already.
    pub fn insert_key(
        &mut self,
        mut key: KeyVersion,
        secret: &[u8],
    ) -> Result<KeyVersion, StoreError> {
        key.decision = self.next_sequence();
        let row = KeyRow::seal(&self.state.keyring, key, secret)?;
        row.insert(self.connection)?;
        self.anchor(&row.key);
        Ok(row.key)
    }

    /// Writes a row again that somebody altered or removed; `decision` becomes the next sequence.
    ///
    /// # Errors
    ///
    /// What SQLite says.
    pub fn mend_key(
        &mut self,
        mut key: KeyVersion,
        secret: &[u8],
    ) -> Result<KeyVersion, StoreError> {
        key.decision = self.next_sequence();
        let row = KeyRow::seal(&self.state.keyring, key, secret)?;
        row.delete(self.connection)?;
        row.insert(self.connection)?;
        self.anchor(&row.key);
        Ok(row.key)
    }

    /// Up to `limit` decisions, newest first.
    ///
    /// # Errors
    ///
    /// [`StoreError::Altered`] when one is not what was written.
    pub fn newest_decisions(&self, limit: u64) -> Result<Vec<Recorded>, StoreError> {
        chain::newest(
            self.connection,
            &self.state.keyring,
            &self.state.head,
            limit,
        )
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
        key.decision = self.next_sequence();
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
            .anchors
            .insert(key.reference.clone(), key.anchor());
        self.state
            .undo
            .push(Undo::Anchor(key.reference.clone(), before));
    }

    /// Stores an accepted policy file; position and decision are filled in here.
    ///
    /// # Errors
    ///
    /// What SQLite says, also when the file is stored already.
    pub fn insert_policy_file(&mut self, mut file: PolicyFile) -> Result<PolicyFile, StoreError> {
        file.position = self.state.policy_files;
        file.decision = self.next_sequence();
        file.put(self.connection, &self.state.keyring)?;
        self.state
            .undo
            .push(Undo::PolicyFiles(self.state.policy_files));
        self.state.policy_files += 1;
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
                Setting::Head => self.state.head.to_bytes(),
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
            let ours = self.state.anchors.get(&row.key.reference) == Some(&row.key.anchor());
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
    /// What the chain of decisions must say about it.
    #[must_use]
    pub fn anchor(&self) -> Anchor {
        Anchor {
            state: self.state,
            decision: self.decision,
            commitment: self.commitment,
        }
    }
}
