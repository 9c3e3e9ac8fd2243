//! Chains whose signatures have been checked before.
//!
//! A signature that held once holds always, so what a cache may remember is that; what it must not
//! remember is that a chain was valid in time, or not denied: both are judged anew at every use.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::certificate::{Certificate, Position, PublicKey};
use crate::time::UnixMillis;

/// Remembers verified chains, so that a repeated enclave costs one signature check, and a known
/// instance with a new leaf two.
///
/// An argument of every call by way of [`VerificationContext`](crate::VerificationContext), never
/// a global; several contexts, one per thread, may share one. An entry is dropped after the
/// *earliest* `notAfter` in its chain (R19). It only counts for the root it was verified under.
#[derive(Debug)]
pub struct ChainCache {
    capacity: usize,
    /// Held to look up or to add an entry, never while a signature is checked.
    entries: Mutex<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    /// By the bytes of `cabundle`.
    authorities: BTreeMap<Box<[u8]>, Arc<Authority>>,
    /// By the DER of the leaf.
    leaves: BTreeMap<Box<[u8]>, KnownLeaf>,
}

/// What identifies and limits one certificate of a chain.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) position: Position,
    pub(crate) issuer: Box<[u8]>,
    pub(crate) serial: Box<[u8]>,
    pub(crate) not_before: UnixMillis,
    pub(crate) not_after: UnixMillis,
}

impl Link {
    pub(crate) fn new(certificate: &Certificate<'_>, position: Position) -> Self {
        Self {
            position,
            issuer: certificate.issuer.into(),
            serial: certificate.serial.into(),
            not_before: certificate.not_before,
            not_after: certificate.not_after,
        }
    }
}

/// The certificates above a leaf, down to the one that issues it.
#[derive(Debug)]
pub(crate) struct Authority {
    pub(crate) root_sha256: [u8; 32],
    pub(crate) cabundle: Box<[u8]>,
    pub(crate) links: Vec<Link>,
    /// Of the last certificate, the leaf's issuer.
    pub(crate) subject: Box<[u8]>,
    pub(crate) public_key: PublicKey,
}

impl Authority {
    fn not_after(&self) -> Option<UnixMillis> {
        self.links.iter().map(|link| link.not_after).min()
    }
}

/// A leaf that was verified under its authority.
#[derive(Clone, Debug)]
pub(crate) struct KnownLeaf {
    pub(crate) authority: Arc<Authority>,
    pub(crate) link: Link,
    pub(crate) public_key: PublicKey,
}

impl KnownLeaf {
    fn not_after(&self) -> Option<UnixMillis> {
        Some(self.authority.not_after()?.min(self.link.not_after))
    }
}

impl ChainCache {
    /// A cache of at most `capacity` leaves and as many instances; about 4 KiB each.
    /// With 0 nothing is remembered.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        Self {
            capacity,
            entries: Mutex::default(),
        }
    }

    /// How many leaves are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries().leaves.len()
    }

    /// Whether no leaf is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The chain of exactly these bytes, if it was verified under this root and has not ended.
    pub(crate) fn leaf(
        &self,
        certificate: &[u8],
        cabundle: &[u8],
        root_sha256: &[u8; 32],
        now: UnixMillis,
    ) -> Option<KnownLeaf> {
        let mut entries = self.entries();
        let known = entries.leaves.get(certificate)?;
        if known.not_after() < Some(now) {
            entries.leaves.remove(certificate);
            return None;
        }
        let same =
            *known.authority.cabundle == *cabundle && known.authority.root_sha256 == *root_sha256;
        same.then(|| known.clone())
    }

    /// The authority of exactly these bytes, on the same conditions.
    pub(crate) fn authority(
        &self,
        cabundle: &[u8],
        root_sha256: &[u8; 32],
        now: UnixMillis,
    ) -> Option<Arc<Authority>> {
        let mut entries = self.entries();
        let known = entries.authorities.get(cabundle)?;
        if known.not_after() < Some(now) {
            entries.authorities.remove(cabundle);
            return None;
        }
        (known.root_sha256 == *root_sha256).then(|| Arc::clone(known))
    }

    pub(crate) fn remember_authority(&self, authority: &Arc<Authority>) {
        let (key, value) = (authority.cabundle.clone(), Arc::clone(authority));
        let mut entries = self.entries();
        remember(
            &mut entries.authorities,
            self.capacity,
            key,
            value,
            |known| known.not_after(),
        );
    }

    pub(crate) fn remember_leaf(&self, certificate: &[u8], known: KnownLeaf) {
        let mut entries = self.entries();
        let key = certificate.into();
        remember(
            &mut entries.leaves,
            self.capacity,
            key,
            known,
            KnownLeaf::not_after,
        );
    }

    /// A panic elsewhere leaves whole entries behind, so a poisoned lock is as good as another.
    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Adds an entry; when there is no room, the one that ends first goes.
fn remember<V>(
    entries: &mut BTreeMap<Box<[u8]>, V>,
    capacity: usize,
    key: Box<[u8]>,
    value: V,
    not_after: impl Fn(&V) -> Option<UnixMillis>,
) {
    if entries.len() >= capacity && !entries.contains_key(&key) {
        let first = entries.iter().min_by_key(|(_, value)| not_after(value));
        let first = first.map(|(key, _)| key.clone());
        first.map(|key| entries.remove(&key));
    }
    if capacity > 0 {
        entries.insert(key, value);
    }
}
