//! `epoch`: a new log continues an older one.

use super::{
    Content, EntryKind,
    field::{Reading, Writing},
    require, require_distinct, text,
};
use crate::{Digest384, EvidenceDigest, Hash, LogError, PersonId};

/// A new log, with a key of its own, continues an older one that could not be continued itself. It stands as entry 0
/// of every epoch but the first, and only there; the bundle that several people signed for it names the old log too.
///
/// ```json
/// {"bundle":"<96 hex>","evidence":"<96 hex>","old_origin":"example.com/narthex","old_root":"<base64 of 32 bytes>",
///  "old_size":812,"signers":["p-<32 hex>","p-<32 hex>"],"time":1767225600000,"type":"epoch","v":1,"version":8}
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct EpochEntry {
    /// When, in milliseconds since 1970.
    pub time: u64,
    /// Origin of the older log.
    pub old_origin: String,
    /// Its size: how many of its entries count.
    pub old_size: u64,
    /// Its root at that size.
    pub old_root: Hash,
    /// Plain SHA-384 of the bundle that opens this epoch.
    pub bundle: Digest384,
    /// Its version.
    pub version: u64,
    /// The bundle and its signatures.
    pub evidence: EvidenceDigest,
    /// Who signed it; nobody twice.
    pub signers: Vec<PersonId>,
}

impl Content for EpochEntry {
    const KIND: EntryKind = EntryKind::Epoch;

    fn put<'t>(&'t self, writing: Writing<'t>) -> Writing<'t> {
        writing
            .put("old_origin", &self.old_origin)
            .put("old_size", &self.old_size)
            .put("old_root", &self.old_root)
            .put("bundle", &self.bundle)
            .put("version", &self.version)
            .put("evidence", &self.evidence)
            .put("signers", &self.signers)
    }

    fn take(reading: &mut Reading<'_>, time: u64) -> Result<Self, LogError> {
        Ok(Self {
            time,
            old_origin: reading.get("old_origin")?,
            old_size: reading.get("old_size")?,
            old_root: reading.get("old_root")?,
            bundle: reading.get("bundle")?,
            version: reading.get("version")?,
            evidence: reading.get("evidence")?,
            signers: reading.get("signers")?,
        })
    }

    fn check(&self) -> Result<(), LogError> {
        text::origin(&self.old_origin)?;
        require(!self.signers.is_empty(), "a new epoch that nobody signed")?;
        require_distinct(&self.signers, "a signer is listed twice")
    }

    fn time(&self) -> u64 {
        self.time
    }
}
