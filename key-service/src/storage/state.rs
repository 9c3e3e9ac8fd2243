//! What the writer remembers between groups, and how it takes back what a failed job or group changed.

use std::sync::Arc;

use narthex_ledger::{Checkpoint, SigningKey, sign_checkpoint};

use super::{
    account::{Account, Anchor, InForce},
    epoch::{self, Epoch},
    error::StoreError,
    key_version::KeyReference,
    keyring::Keyring,
    record::Head,
    tree::Tree,
};
use crate::{clock::UnixMillis, digest::Digest, log::Shown};

/// What the writer remembers between groups.
pub(crate) struct State {
    pub(crate) keyring: Keyring,
    pub(crate) log: Log,
    /// What the rows of the other tables must be. A release that was judged when there were fewer policy files is
    /// judged again.
    pub(crate) account: Account,
    pub(crate) undo: Vec<Undo>,
    pub(crate) after_commit: Vec<Box<dyn FnOnce() + Send>>,
    /// Something was destroyed that may still stand in the write-ahead log. Not taken back with what failed: to look once
    /// too often does no harm.
    pub(crate) destroyed: bool,
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

    pub(crate) fn epoch_number(&self) -> u32 {
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
