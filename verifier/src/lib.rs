//! Verifies AWS Nitro attestation documents.
//!
//! A document proves, to whoever checks it, that a Nitro hypervisor runs an enclave with certain
//! measurements and that this enclave asked for certain bytes to be attested. Checking takes three
//! steps, and each has a type that only it can make:
//!
//! 1. [`AttestationDocument::parse`]: bytes become [`Parsed`]. Nothing in it is to be believed.
//! 2. [`TrustAnchors::verify`]: chain and signature hold under a pinned root at the verifier's
//!    clock. The result is [`Verified`].
//! 3. [`Expectations::appraise`]: the document is fresh and says what the caller expects. The
//!    result is [`Appraised`], the only proof to act on.
//!
//! [`TrustAnchors::verify_and_appraise`] makes steps two and three in one and refuses more before
//! the first signature; [`Workload::check`] makes all three for those who send data to a workload.
//! Archived documents go through [`TrustAnchors::verify_replay`] and
//! [`Expectations::appraise_replay`], with other types of result, so that evidence about the past
//! cannot release anything.
//!
//! ```
//! use narthex_verifier::{
//!     AttestationDocument, Digest384, Expectations, Refusal, TrustAnchors, UnixMillis,
//!     VerificationContext,
//! };
//!
//! # fn example(document: &[u8], pcrs: [Digest384; 3], nonce: &[u8], now: UnixMillis)
//! # -> Result<(), Box<dyn std::error::Error>> {
//! let [pcr0, pcr1, pcr2] = pcrs; // From a release statement that people signed.
//! let expectations = Expectations::builder()
//!     .image(pcr0, pcr1, pcr2)
//!     .role_arn("arn:aws:iam::123456789012:role/payments")
//!     .nonce(nonce) // At least 16 random bytes, made for this one document.
//!     .build()?;
//!
//! let mut context = VerificationContext::default(); // Keep it: it can hold a cache.
//! let parsed = AttestationDocument::parse(document)?;
//! let appraised =
//!     TrustAnchors::aws().verify_and_appraise(&parsed, &expectations, now, &mut context)?;
//! println!("{} at {}", appraised.module_id(), appraised.timestamp());
//! # Ok(())
//! # }
//!
//! // What is no document is refused by the name of the check that failed.
//! let refusal: Refusal = AttestationDocument::parse(b"hello").unwrap_err();
//! assert_eq!(refusal.reason().id(), "cbor.truncated");
//! ```
//!
//! Every check has a stable name ([`CheckId`]), and every result and refusal carries a [`Report`]
//! of all of them. `docs/verification.md` is the procedure, step by step.
//!
//! This crate reads no clock, opens no file, uses no randomness and keeps no global state: `now`,
//! the root, the cache and the deny-list are arguments. It does not say whether the *time* it is
//! given is right, whether the expected measurements are those of good software, or whether AWS
//! guards its root: those are assumptions of whoever calls it (R54).
//!
//! # Features
//!
//! - `p384` (default): signatures by `p384`, pure Rust.
//! - `aws-lc`: signatures by `aws-lc-rs`, about 2.75 times as fast.
//! - `dev-root`: [`TrustAnchors::from_root_certificate`] accepts Narthex's development root, under
//!   which the mock NSM makes documents. Without it no call can (R56). Never in what ships.

#![forbid(unsafe_code)]

mod anchors;
mod appraisal;
mod cache;
mod cbor;
mod certificate;
mod chain;
mod check;
mod context;
mod crypto;
mod deny_list;
mod der;
mod digest;
mod document;
mod expectations;
#[doc(hidden)]
pub mod internals;
pub mod limits;
mod report;
mod seen;
mod time;
mod verified;
mod workload;

pub use anchors::{AWS_ROOT_SHA256, Anchor, AnchorError, AnchorKind, ReplayAt, TrustAnchors};
pub use appraisal::{Appraised, ReplayAppraised};
pub use cache::ChainCache;
pub use certificate::{CertificateSummary, Position};
pub use check::{CheckId, PcrIndex, Stage};
pub use context::VerificationContext;
pub use crypto::Backend;
pub use deny_list::{DenyList, NotACertificate};
pub use digest::{Digest384, DigestError};
pub use document::{AttestationDocument, DocumentKind, Fields, Parsed};
pub use expectations::{ExpectationError, Expectations, ExpectationsBuilder};
pub use report::{Check, Detail, Outcome, Refusal, Report};
pub use seen::SeenDocuments;
pub use time::UnixMillis;
pub use verified::{ReplayVerified, Verified};
pub use workload::{WORKLOAD_PREFIX, Workload, WorkloadError};
