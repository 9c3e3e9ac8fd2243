//! What a job may do with keys while it holds the writer, the root key among them.

use zeroize::Zeroizing;

use super::{
    account::Anchor,
    error::StoreError,
    key_version::{self, KeyReference, KeyRow, KeyState, KeyVersion},
    state::Undo,
    writing::Writing,
};
use crate::{
    clock::UnixMillis,
    root_key::{RootKey, RootKeyId},
};

impl Writing<'_> {
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
        if row.key.state == KeyState::Retired {
            self.destroyed();
        }
        self.anchor(&row.key);
        Ok(row.key)
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
            self.destroyed();
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
