//! What entries were decided on, as bytes that anybody may check later: salted, found by digest.

use narthex_ledger::{Entry, Evidence, EvidenceDigest, EvidenceKind, Salt, SaltedEvidence};
use rusqlite::{Connection, OptionalExtension, params};

use super::{error::StoreError, schema::to_integer};
use crate::clock::UnixMillis;

/// Evidence with its salt and digest, ready to be stored. Making one hashes all of it, so it is made before the
/// writer's turn.
#[derive(Clone)]
pub struct SealedEvidence {
    kind: EvidenceKind,
    salt: Salt,
    digest: EvidenceDigest,
    bytes: Vec<u8>,
}

impl SealedEvidence {
    /// Salts evidence with fresh random bytes.
    ///
    /// # Errors
    ///
    /// [`StoreError::Cryptography`] when the operating system gives none.
    pub fn new(evidence: Evidence) -> Result<Self, StoreError> {
        let mut salt = Salt([0; Salt::LENGTH]);
        getrandom::fill(&mut salt.0).map_err(|_| StoreError::Cryptography)?;
        Ok(Self::with_salt(&SaltedEvidence { salt, evidence }))
    }

    /// With the salt that it has already: evidence that comes back from a mirror.
    #[must_use]
    pub fn with_salt(evidence: &SaltedEvidence) -> Self {
        Self {
            kind: evidence.evidence.kind(),
            salt: evidence.salt,
            digest: evidence.digest(),
            bytes: evidence.to_bytes(),
        }
    }

    /// The digest by which its entry names it.
    #[must_use]
    pub fn digest(&self) -> EvidenceDigest {
        self.digest
    }

    /// The salt, which accepted requests are told.
    #[must_use]
    pub fn salt(&self) -> Salt {
        self.salt
    }
}

/// Stores evidence of the entry with this sequence.
pub(crate) fn insert(
    connection: &Connection,
    sequence: u64,
    time: UnixMillis,
    evidence: &SealedEvidence,
) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO evidence (sequence, time, kind, digest, content) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![
            to_integer(sequence)?,
            to_integer(time.0)?,
            evidence.kind.as_str(),
            evidence.digest.0.as_slice(),
            evidence.bytes,
        ])?;
    Ok(())
}

/// The bytes with this digest, as they are stored.
pub(crate) fn find(
    connection: &Connection,
    digest: &EvidenceDigest,
) -> Result<Option<Vec<u8>>, StoreError> {
    Ok(connection
        .prepare_cached("SELECT content FROM evidence WHERE digest = ?1")?
        .query_row([digest.0.as_slice()], |row| row.get(0))
        .optional()?)
}

/// The kind of evidence that an entry names.
pub(crate) fn kind_of(entry: &Entry) -> Option<EvidenceKind> {
    match entry {
        Entry::Policy(_) | Entry::Epoch(_) => Some(EvidenceKind::PolicyFile),
        Entry::Order(_) => Some(EvidenceKind::Order),
        Entry::Release(_) => Some(EvidenceKind::KeyRequest),
        Entry::Administration(_) => Some(EvidenceKind::Administration),
        Entry::Statement(_) => Some(EvidenceKind::Statement),
        Entry::Current(_) | Entry::Summary(_) | Entry::Purge(_) | Entry::Restore(_) => None,
    }
}
