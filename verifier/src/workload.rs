//! The one call for those who send data to a workload.
//!
//! The image alone says which program runs, not under which policy: the same image with another
//! bundle would answer other operators. So PCR16 is always among the expectations.

use crate::anchors::TrustAnchors;
use crate::appraisal::Appraised;
use crate::context::VerificationContext;
use crate::digest::Digest384;
use crate::document::AttestationDocument;
use crate::expectations::{ExpectationError, Expectations, ExpectationsBuilder};
use crate::report::Refusal;
use crate::time::UnixMillis;

/// What a Narthex agent puts before the data of documents that its workload asks for, so that they
/// can never be mistaken for the agent's own.
pub const WORKLOAD_PREFIX: &[u8] = b"narthex/v1/workload\0";

/// What is known about the workload one is about to trust with data.
#[derive(Clone, Copy, Debug)]
pub struct Workload<'a> {
    /// PCR0, from the release statement.
    pub pcr0: Digest384,
    /// PCR1, from the release statement.
    pub pcr1: Digest384,
    /// PCR2, from the release statement.
    pub pcr2: Digest384,
    /// SHA-384 of the policy bundle that one has read and accepts.
    pub bundle: Digest384,
    /// What ties the document to this connection: the bytes that the workload was asked to have
    /// attested, at most 512 (a nonce of one's own together with a digest of the workload's key,
    /// for example). The agent's prefix is added here.
    pub attested_data: &'a [u8],
}

impl Workload<'_> {
    /// These as expectations, to which others may be added (PCR3, PCR4, PCR8, an age).
    #[must_use = "expectations are compared with nothing until they are built"]
    pub fn expectations(&self) -> ExpectationsBuilder {
        let Self {
            pcr0,
            pcr1,
            pcr2,
            bundle,
            attested_data,
        } = *self;
        let user_data = [WORKLOAD_PREFIX, attested_data].concat();
        Expectations::builder()
            .image(pcr0, pcr1, pcr2)
            .bundle(&bundle)
            .user_data(&user_data)
    }

    /// Judges a document that the workload handed over: genuine under AWS's root, fresh, this
    /// image, this policy bundle, these data.
    ///
    /// `now` is the caller's clock. Send nothing before this returns [`Ok`], and send it only over
    /// what `attested_data` ties the document to.
    ///
    /// # Errors
    ///
    /// [`WorkloadError`].
    pub fn check(&self, document: &[u8], now: UnixMillis) -> Result<Appraised, WorkloadError> {
        self.check_under(
            &TrustAnchors::aws(),
            document,
            now,
            &mut VerificationContext::default(),
        )
    }

    /// The same under another root, or with a context that is kept.
    ///
    /// # Errors
    ///
    /// [`WorkloadError`].
    pub fn check_under(
        &self,
        anchors: &TrustAnchors,
        document: &[u8],
        now: UnixMillis,
        context: &mut VerificationContext,
    ) -> Result<Appraised, WorkloadError> {
        let expectations = self.expectations().build().map_err(WorkloadError::Misuse)?;
        let parsed = AttestationDocument::parse(document).map_err(WorkloadError::Refused)?;
        anchors
            .verify_and_appraise(&parsed, &expectations, now, context)
            .map_err(WorkloadError::Refused)
    }
}

/// Why a workload is not to be trusted with data.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum WorkloadError {
    /// The caller's own values make no sense.
    Misuse(ExpectationError),
    /// The document was refused.
    Refused(Refusal),
}

impl core::fmt::Display for WorkloadError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Misuse(error) => write!(f, "{error}"),
            Self::Refused(refusal) => write!(f, "{refusal}"),
        }
    }
}

impl core::error::Error for WorkloadError {}
