//! What the root keys do: wrap keys, authenticate rows.

use std::{collections::HashMap, sync::Arc};

use aws_lc_rs::{aead, hmac};
use zeroize::Zeroizing;

use super::error::StoreError;
use crate::{
    digest::{Digest, compose},
    root_key::{DerivedKeys, RootKey, RootKeyId, RootKeys},
};

/// The working keys of every root key in the file, and which of them is in use.
#[derive(Clone)]
pub(crate) struct Keyring {
    genesis: Digest,
    active: RootKeyId,
    derived: HashMap<RootKeyId, Arc<DerivedKeys>>,
}

/// What a wrapped key is stored as.
pub(crate) struct Wrapped {
    pub(crate) root_key: RootKeyId,
    pub(crate) nonce: [u8; 12],
    pub(crate) ciphertext: Vec<u8>,
}

impl Keyring {
    pub(crate) fn new(
        genesis: Digest,
        active: RootKeyId,
        keys: &RootKeys,
    ) -> Result<Self, StoreError> {
        let mut ring = Self {
            genesis,
            active,
            derived: HashMap::new(),
        };
        for key in keys.iter() {
            ring.add(key)?;
        }
        ring.get(active)?;
        Ok(ring)
    }

    pub(crate) fn add(&mut self, key: &RootKey) -> Result<(), StoreError> {
        let derived = key.derive(&self.genesis)?;
        self.derived.insert(derived.id, Arc::new(derived));
        Ok(())
    }

    pub(crate) fn genesis(&self) -> &Digest {
        &self.genesis
    }

    pub(crate) fn active(&self) -> RootKeyId {
        self.active
    }

    pub(crate) fn activate(&mut self, id: RootKeyId) -> Result<(), StoreError> {
        self.get(id)?;
        self.active = id;
        Ok(())
    }

    fn get(&self, id: RootKeyId) -> Result<&DerivedKeys, StoreError> {
        self.derived
            .get(&id)
            .map(Arc::as_ref)
            .ok_or(StoreError::RootKeyMissing(id))
    }

    /// Authenticates a row under the active key.
    pub(crate) fn sign_row(&self, table: &str, fields: &[&[u8]]) -> Result<Mac, StoreError> {
        let tag = hmac::sign(&self.get(self.active)?.rows, &self.row_bytes(table, fields));
        Ok(Mac {
            root_key: self.active,
            tag: tag.as_ref().to_vec(),
        })
    }

    /// Whether a row is what was signed.
    pub(crate) fn row_is_ours(
        &self,
        table: &str,
        fields: &[&[u8]],
        mac: &Mac,
    ) -> Result<bool, StoreError> {
        let keys = self.get(mac.root_key)?;
        Ok(hmac::verify(&keys.rows, &self.row_bytes(table, fields), &mac.tag).is_ok())
    }

    fn row_bytes(&self, table: &str, fields: &[&[u8]]) -> Vec<u8> {
        let mut all: Vec<&[u8]> = vec![self.genesis.as_bytes(), table.as_bytes()];
        all.extend_from_slice(fields);
        compose("narthex/v1/row", &all)
    }

    /// Authenticates a backup under the active key.
    pub(crate) fn sign_backup(&self, content: &[u8]) -> Result<Mac, StoreError> {
        let tag = hmac::sign(&self.get(self.active)?.backups, content);
        Ok(Mac {
            root_key: self.active,
            tag: tag.as_ref().to_vec(),
        })
    }

    /// Whether a backup is what was signed.
    pub(crate) fn backup_is_ours(&self, content: &[u8], mac: &Mac) -> Result<bool, StoreError> {
        let keys = self.get(mac.root_key)?;
        Ok(hmac::verify(&keys.backups, content, &mac.tag).is_ok())
    }

    /// Wraps a key under the active root key. `security` is every security column of its row.
    pub(crate) fn wrap(&self, security: &[&[u8]], key: &[u8]) -> Result<Wrapped, StoreError> {
        let mut nonce = [0; 12];
        getrandom::fill(&mut nonce).map_err(|_| StoreError::Cryptography)?;
        // Random nonces are safe for 2^32 wrappings under one root key (NIST SP 800-38D, section 8.3); a row is
        // wrapped once for each change of its state.
        let mut buffer = Zeroizing::new(Vec::with_capacity(key.len() + aead::MAX_TAG_LEN));
        buffer.extend_from_slice(key);
        let keys = self.get(self.active)?;
        keys.wrapping
            .seal_in_place_append_tag(
                aead::Nonce::assume_unique_for_key(nonce),
                aead::Aad::from(self.associated_data(self.active, security)),
                &mut *buffer,
            )
            .map_err(|_| StoreError::Cryptography)?;
        Ok(Wrapped {
            root_key: self.active,
            nonce,
            ciphertext: buffer.to_vec(),
        })
    }

    /// Unwraps a key; `None` when the row, or the place it stands in, is not what was wrapped.
    pub(crate) fn unwrap_key(
        &self,
        security: &[&[u8]],
        wrapped: &Wrapped,
    ) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        let keys = self.get(wrapped.root_key)?;
        let mut buffer = Zeroizing::new(wrapped.ciphertext.clone());
        let opened = keys.wrapping.open_in_place(
            aead::Nonce::assume_unique_for_key(wrapped.nonce),
            aead::Aad::from(self.associated_data(wrapped.root_key, security)),
            &mut buffer,
        );
        let Ok(length) = opened.map(|plain| plain.len()) else {
            return Ok(None);
        };
        buffer.truncate(length);
        Ok(Some(buffer))
    }

    fn associated_data(&self, root_key: RootKeyId, security: &[&[u8]]) -> Vec<u8> {
        let mut all: Vec<&[u8]> = vec![self.genesis.as_bytes(), &root_key.0];
        all.extend_from_slice(security);
        compose("narthex/v1/wrapped-key", &all)
    }
}

/// An authentication tag and the root key it follows from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mac {
    pub(crate) root_key: RootKeyId,
    pub(crate) tag: Vec<u8>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(genesis: &[u8], keys: &RootKeys) -> Keyring {
        let active = keys.iter().last().unwrap().id();
        Keyring::new(Digest::of(genesis), active, keys).unwrap()
    }

    #[test]
    fn a_key_unwraps_only_in_its_place_and_lineage() {
        let keys = RootKeys::generate().unwrap();
        let ours = ring(b"genesis", &keys);
        let wrapped = ours.wrap(&[b"name", b"1"], b"secret").unwrap();
        let opened = |ring: &Keyring, place: &[&[u8]]| {
            ring.unwrap_key(place, &wrapped)
                .unwrap()
                .map(|key| key.to_vec())
        };
        assert_eq!(opened(&ours, &[b"name", b"1"]), Some(b"secret".to_vec()));
        assert_eq!(opened(&ours, &[b"name", b"2"]), None);
        assert_eq!(opened(&ours, &[b"name1", b""]), None);
        assert_eq!(opened(&ring(b"other", &keys), &[b"name", b"1"]), None);
        let stranger = ring(b"genesis", &RootKeys::generate().unwrap());
        assert_eq!(
            stranger.unwrap_key(&[b"name", b"1"], &wrapped).unwrap_err(),
            StoreError::RootKeyMissing(wrapped.root_key)
        );
    }

    #[test]
    fn every_bit_of_a_wrapped_key_counts() {
        let ring = ring(b"genesis", &RootKeys::generate().unwrap());
        let good = ring.wrap(&[b"place"], b"secret").unwrap();
        for bit in 0..good.ciphertext.len() * 8 {
            let mut ciphertext = good.ciphertext.clone();
            ciphertext[bit / 8] ^= 1 << (bit % 8);
            let bad = Wrapped {
                root_key: good.root_key,
                nonce: good.nonce,
                ciphertext,
            };
            assert!(ring.unwrap_key(&[b"place"], &bad).unwrap().is_none());
        }
    }

    #[test]
    fn a_row_belongs_to_its_table() {
        let ring = ring(b"genesis", &RootKeys::generate().unwrap());
        let mac = ring.sign_row("setting", &[b"a", b"b"]).unwrap();
        assert!(ring.row_is_ours("setting", &[b"a", b"b"], &mac).unwrap());
        assert!(!ring.row_is_ours("setting", &[b"ab", b""], &mac).unwrap());
        assert!(
            !ring
                .row_is_ours("policy_file", &[b"a", b"b"], &mac)
                .unwrap()
        );
    }
}
