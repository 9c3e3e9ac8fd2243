//! What a verification leaves behind: proofs, as types that only it can make.

use core::time::Duration;

use crate::anchors::Anchor;
use crate::appraisal::Freshness;
use crate::chain::Validity;
use crate::document::{Fields, Layout};
use crate::report::Report;
use crate::time::UnixMillis;

/// The common inside of all proofs.
#[derive(Clone, Debug)]
pub(crate) struct Evidence {
    pub(crate) payload: Box<[u8]>,
    pub(crate) layout: Layout,
    pub(crate) report: Report,
    pub(crate) anchor: Anchor,
    pub(crate) validity: Validity,
    pub(crate) freshness: Freshness,
    pub(crate) skew: Duration,
    pub(crate) insecure_pcr0_only: bool,
}

impl Evidence {
    pub(crate) fn fields(&self) -> Fields<'_> {
        Fields::new(&self.payload, &self.layout)
    }
}

/// What every proof can tell.
macro_rules! evidence_accessors {
    ($type:ident) => {
        impl $type {
            pub(crate) fn new(evidence: $crate::verified::Evidence) -> Self {
                Self(evidence)
            }

            /// What the document says.
            #[must_use]
            pub fn fields(&self) -> $crate::Fields<'_> {
                self.0.fields()
            }

            /// Every check and what became of it.
            #[must_use]
            pub fn report(&self) -> &$crate::Report {
                &self.0.report
            }

            /// The root it was verified under.
            #[must_use]
            pub fn anchor(&self) -> &$crate::Anchor {
                &self.0.anchor
            }

            /// When the first certificate of the chain ends.
            #[must_use]
            pub fn chain_not_after(&self) -> $crate::UnixMillis {
                self.0.validity.not_after
            }

            /// SHA-384 over the signed payload: the identity of a document, for records and for
            /// replay stores. The signature is no part of it, because ECDSA signatures can be
            /// changed into other valid ones (R26).
            #[must_use]
            pub fn payload_digest(&self) -> $crate::Digest384 {
                $crate::Digest384::sha384(&self.0.payload)
            }
        }
    };
}
pub(crate) use evidence_accessors;

/// A document whose chain and signature hold at the verifier's clock.
///
/// Says that a Nitro module under the anchor's root made it. Says nothing yet about *which*
/// program runs there, and nothing about freshness beyond the leaf's three hours: debug mode and
/// NitroTPM documents are verified too. [`Expectations::appraise`](crate::Expectations::appraise)
/// is the next step.
///
/// Only [`TrustAnchors::verify`](crate::TrustAnchors::verify) makes one:
///
/// ```compile_fail
/// let verified = narthex_verifier::Verified(todo!());
/// ```
///
/// A replayed one does not become live:
///
/// ```compile_fail
/// use narthex_verifier::{Expectations, ReplayVerified, UnixMillis};
/// fn appraise(expectations: &Expectations, replayed: &ReplayVerified, now: UnixMillis) {
///     let _ = expectations.appraise(replayed, now);
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Verified(pub(crate) Evidence);

evidence_accessors!(Verified);

/// An archived document whose chain and signature held at a time that the caller stated.
///
/// Evidence about the past; releases nothing. Only
/// [`TrustAnchors::verify_replay`](crate::TrustAnchors::verify_replay) makes one:
///
/// ```compile_fail
/// let replayed = narthex_verifier::ReplayVerified(todo!());
/// ```
#[derive(Clone, Debug)]
pub struct ReplayVerified(pub(crate) Evidence);

evidence_accessors!(ReplayVerified);

impl ReplayVerified {
    /// The time it was judged at; `None` when that was its own timestamp.
    #[must_use]
    pub fn judged_at(&self) -> Option<UnixMillis> {
        match self.0.freshness {
            Freshness::JudgedAt(time) => Some(time),
            Freshness::NotShown => None,
        }
    }
}
