//! What a job may do while it holds the writer: read rows, check them, change them, record entries. The greater part is
//! in [`super::recording`] and [`super::keys`].
//!
//! The writer's memory says what the rows must be, so an edit of the file under a running service is noticed, too, and
//! an older row put back in place of a newer one. Changes of the memory are noted in an undo list, because a job or a
//! whole group can fail after them.

use rusqlite::Connection;

use super::{
    error::StoreError,
    keyring::Keyring,
    policy_file::PolicyFile,
    setting::{self, Setting},
    state::{State, Undo},
};

/// The writer's hand, lent to one job. Dropping out with an error takes back everything the job did.
pub struct Writing<'a> {
    pub(crate) connection: &'a Connection,
    pub(crate) state: &'a mut State,
}

impl Writing<'_> {
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

    /// The connection, for what the log's own housekeeping writes (purges).
    pub(crate) fn connection(&self) -> &Connection {
        self.connection
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

    /// Something was deleted or replaced that nobody is to find in the files any more: the write-ahead log, where it may
    /// stand for as long as the service runs, is emptied before the job is answered.
    pub(crate) fn destroyed(&mut self) {
        self.state.destroyed = true;
    }

    /// Runs `work` on the writer once everything is durable, before anybody is answered.
    pub fn after_commit(&mut self, work: impl FnOnce() + Send + 'static) {
        self.state.after_commit.push(Box::new(work));
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

    pub(crate) fn keyring(&self) -> &Keyring {
        &self.state.keyring
    }
}
