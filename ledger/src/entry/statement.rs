//! `statement`: an agent's own account of its decisions.

use super::{
    Content, EntryKind,
    field::{Reading, Writing},
    text,
};
use crate::{BootId, Digest384, EvidenceDigest, LogError, PersonId, SessionHash};

/// An agent's own account of its decisions since boot, as an operator's tool brought it back from a diagnostics
/// session. Only statements whose document holds are recorded.
///
/// ```json
/// {"accepted":12,"boot":"<32 hex>","bundle":"<96 hex>","chain_head":"<96 hex>","enclave":"<module id>",
///  "evidence":"<96 hex>","refused":1,"session":"<64 hex>","submitter":"p-<32 hex>","time":1767225600000,
///  "type":"statement","v":1}
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StatementEntry {
    /// When, in milliseconds since 1970.
    pub time: u64,
    /// The enclave's module id, from the document.
    pub enclave: String,
    /// The boot it speaks about.
    pub boot: BootId,
    /// Handshake hash of the diagnostics session.
    pub session: SessionHash,
    /// Handshake hash, document and statement.
    pub evidence: EvidenceDigest,
    /// Decisions since boot that accepted something.
    pub accepted: u64,
    /// Decisions since boot that refused something.
    pub refused: u64,
    /// Head of the hash chain of all these decisions.
    pub chain_head: Digest384,
    /// Plain SHA-384 of the bundle in force in the enclave.
    pub bundle: Digest384,
    /// Who brought it, if they signed.
    pub submitter: Option<PersonId>,
}

impl Content for StatementEntry {
    const KIND: EntryKind = EntryKind::Statement;

    fn put<'t>(&'t self, writing: Writing<'t>) -> Writing<'t> {
        writing
            .put("enclave", &self.enclave)
            .put("boot", &self.boot)
            .put("session", &self.session)
            .put("evidence", &self.evidence)
            .put("accepted", &self.accepted)
            .put("refused", &self.refused)
            .put("chain_head", &self.chain_head)
            .put("bundle", &self.bundle)
            .put_some("submitter", self.submitter.as_ref())
    }

    fn take(reading: &mut Reading<'_>, time: u64) -> Result<Self, LogError> {
        Ok(Self {
            time,
            enclave: reading.get("enclave")?,
            boot: reading.get("boot")?,
            session: reading.get("session")?,
            evidence: reading.get("evidence")?,
            accepted: reading.get("accepted")?,
            refused: reading.get("refused")?,
            chain_head: reading.get("chain_head")?,
            bundle: reading.get("bundle")?,
            submitter: reading.optional("submitter")?,
        })
    }

    fn check(&self) -> Result<(), LogError> {
        text::module_id(&self.enclave)
    }

    fn time(&self) -> u64 {
        self.time
    }
}
