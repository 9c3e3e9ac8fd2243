//! Stage three: a verified document is compared with what the caller expects.

use crate::check::{CheckId, PcrIndex};
use crate::digest::{Digest384, same_bytes};
use crate::document::{DocumentKind, Fields};
use crate::expectations::Expectations;
use crate::report::{Detail, Failure, Outcome, Recorder};
use crate::time::UnixMillis;
use crate::verified::{Evidence, evidence_accessors};

/// Whether and when a document was judged fresh.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Freshness {
    /// At this time.
    JudgedAt(UnixMillis),
    /// Not at all: it was judged at its own timestamp.
    NotShown,
}

/// A document that is genuine, fresh, and says what the caller expects: the only proof to act on.
///
/// Only [`Expectations::appraise`] and
/// [`TrustAnchors::verify_and_appraise`](crate::TrustAnchors::verify_and_appraise) make one:
///
/// ```compile_fail
/// let appraised = narthex_verifier::Appraised(todo!());
/// ```
///
/// A function that takes one cannot be given less:
///
/// ```compile_fail
/// use narthex_verifier::{Appraised, ReplayAppraised};
/// fn release(_: &Appraised) {}
/// fn misuse(archived: &ReplayAppraised) {
///     release(archived);
/// }
/// ```
///
/// ```compile_fail
/// use narthex_verifier::{Appraised, Verified};
/// fn release(_: &Appraised) {}
/// fn misuse(verified: &Verified) {
///     release(verified);
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Appraised(pub(crate) Evidence);

evidence_accessors!(Appraised);

/// An archived document that said what the caller expects, at the time the caller stated.
///
/// Evidence about the past; releases nothing. Only [`Expectations::appraise_replay`] and
/// [`TrustAnchors::verify_and_appraise_replay`](crate::TrustAnchors::verify_and_appraise_replay)
/// make one:
///
/// ```compile_fail
/// let archived = narthex_verifier::ReplayAppraised(todo!());
/// ```
#[derive(Clone, Debug)]
pub struct ReplayAppraised(pub(crate) Evidence);

evidence_accessors!(ReplayAppraised);

macro_rules! appraised_accessors {
    ($type:ident) => {
        impl $type {
            /// The name of the enclave.
            #[must_use]
            pub fn module_id(&self) -> &str {
                self.fields().module_id()
            }

            /// When the hypervisor made the document.
            #[must_use]
            pub fn timestamp(&self) -> UnixMillis {
                self.fields().timestamp()
            }

            /// The value of a register, usually 48 bytes.
            #[must_use]
            pub fn pcr(&self, index: PcrIndex) -> Option<&[u8]> {
                self.fields().pcr(index)
            }

            /// The enclave's public key; absent when null, missing or empty.
            #[must_use]
            pub fn public_key(&self) -> Option<&[u8]> {
                self.fields().public_key()
            }

            /// The enclave's data.
            #[must_use]
            pub fn user_data(&self) -> Option<&[u8]> {
                self.fields().user_data()
            }

            /// The nonce in the document.
            #[must_use]
            pub fn nonce(&self) -> Option<&[u8]> {
                self.fields().nonce()
            }

            /// Whether PCR0 was accepted without PCR1 and PCR2.
            #[must_use]
            pub fn insecure_pcr0_only(&self) -> bool {
                self.0.insecure_pcr0_only
            }
        }
    };
}

appraised_accessors!(Appraised);
appraised_accessors!(ReplayAppraised);

/// Makes every comparison, whatever the ones before it gave: all that fail are in the report (R36).
pub(crate) fn compare(
    fields: &Fields<'_>,
    expectations: &Expectations,
    freshness: Freshness,
    recorder: &mut Recorder,
) {
    recorder.begin_appraisal();
    let enclave = check_kind(fields, recorder);
    if enclave {
        check_debug(fields, recorder);
        check_instance(fields, recorder);
    }
    check_freshness(fields, expectations, freshness, recorder);

    let Expectations {
        pcrs,
        user_data,
        nonce,
        public_key,
        ..
    } = expectations;
    let complete = CheckId::MeasurementsComplete;
    if expectations.is_insecure_pcr0_only() {
        recorder.not_applicable(complete, "waived by insecure_pcr0_only");
    } else if pcrs.contains_key(&PcrIndex::IMAGE) {
        recorder.pass(complete, "PCR0, PCR1 and PCR2".into());
    }
    for (index, allowed) in pcrs {
        // A TPM's registers measure something else: they are not read as an enclave's.
        let observed = if enclave { fields.pcr(*index) } else { None };
        check_pcr(*index, allowed, observed, recorder);
    }
    check_bytes(
        CheckId::BindUserData,
        user_data.as_deref(),
        fields.user_data(),
        recorder,
    );
    check_bytes(
        CheckId::BindNonce,
        nonce.as_deref(),
        fields.nonce(),
        recorder,
    );
    check_bytes(
        CheckId::BindPublicKey,
        public_key.as_deref(),
        fields.public_key(),
        recorder,
    );
}

fn check_kind(fields: &Fields<'_>, recorder: &mut Recorder) -> bool {
    let enclave = fields.kind() == DocumentKind::Enclave;
    if enclave {
        recorder.pass(CheckId::DocumentKind, fields.kind().id().into());
    } else {
        recorder.fail(Failure::new(CheckId::DocumentKind, fields.kind().id()));
    }
    enclave
}

/// R31: debug mode shows as zero where an image is measured; PCR4, and PCR3 with a role, are set
/// even then, and PCR8 is zero in every unsigned image. There is no switch that allows it.
fn check_debug(fields: &Fields<'_>, recorder: &mut Recorder) {
    let zero = |index: &PcrIndex| {
        fields
            .pcr(*index)
            .is_none_or(|value| value.iter().all(|byte| *byte == 0))
    };
    let measured = [PcrIndex::IMAGE, PcrIndex::KERNEL, PcrIndex::APPLICATION];
    let zeros: Vec<u8> = measured
        .iter()
        .filter(|i| zero(i))
        .map(|i| i.as_u8())
        .collect();
    if zeros.is_empty() {
        recorder.pass(CheckId::DocumentDebug, Detail::NONE);
    } else {
        let observed = format!("zero or absent: {zeros:?}; the enclave runs in debug mode");
        recorder.fail(Failure::new(CheckId::DocumentDebug, observed));
    }
}

/// The instance is measured and named: both must say the same. Holds in every genuine document.
fn check_instance(fields: &Fields<'_>, recorder: &mut Recorder) {
    let id = CheckId::DocumentPcr4ModuleId;
    let Some(instance) = fields.instance_id() else {
        recorder.fail(Failure::new(id, "a module_id that names no instance"));
        return;
    };
    let measured = fields.pcr(PcrIndex::INSTANCE).unwrap_or_default();
    if same_bytes(measured, Digest384::of_instance_id(instance).as_bytes()) {
        recorder.pass(id, Detail::NONE);
    } else {
        recorder.fail(Failure::new(id, "the measurement of another instance"));
    }
}

/// R27: not from the future beyond the skew, and not older than the maximum age; both inclusive.
fn check_freshness(
    fields: &Fields<'_>,
    expectations: &Expectations,
    freshness: Freshness,
    recorder: &mut Recorder,
) {
    let Freshness::JudgedAt(now) = freshness else {
        let why = "judged at the document's own timestamp: freshness is not shown";
        recorder.not_applicable(CheckId::FreshFuture, why);
        recorder.not_applicable(CheckId::FreshAge, why);
        return;
    };
    let timestamp = fields.timestamp();
    let Expectations { skew, max_age, .. } = expectations;
    let outcome = |held| if held { Outcome::Pass } else { Outcome::Fail };

    let not_future = timestamp <= now.saturating_add(*skew);
    let expected = Detail::limit("at or before now plus skew", *skew, now);
    recorder.record(
        CheckId::FreshFuture,
        outcome(not_future),
        expected,
        timestamp.into(),
    );

    // A timestamp a little in the future has no age.
    let age = now.since(timestamp).unwrap_or_default();
    let young = age <= *max_age;
    let expected = Detail::limit("not older than the maximum age", *max_age, now);
    let observed = if young {
        timestamp.into()
    } else {
        format!("{timestamp}, {age:?} old").into()
    };
    recorder.record(CheckId::FreshAge, outcome(young), expected, observed);
}

fn check_pcr(
    index: PcrIndex,
    allowed: &[Digest384],
    observed: Option<&[u8]>,
    recorder: &mut Recorder,
) {
    let expected = match allowed {
        [only] => Detail::bytes(only.as_bytes()),
        several => Detail::from(format!("one of {several:?}")),
    };
    let holds = |value: &[u8]| {
        allowed
            .iter()
            .any(|digest| same_bytes(digest.as_bytes(), value))
    };
    let outcome = if observed.is_some_and(holds) {
        Outcome::Pass
    } else {
        Outcome::Fail
    };
    let observed = observed.map_or_else(|| "absent".into(), Detail::bytes);
    recorder.record(CheckId::Pcr(index), outcome, expected, observed);
}

fn check_bytes(
    id: CheckId,
    expected: Option<&[u8]>,
    observed: Option<&[u8]>,
    recorder: &mut Recorder,
) {
    let Some(expected) = expected else {
        recorder.not_applicable(id, "nothing expected");
        return;
    };
    let same = observed.is_some_and(|observed| same_bytes(expected, observed));
    let outcome = if same { Outcome::Pass } else { Outcome::Fail };
    let observed = observed.map_or_else(|| "absent".into(), Detail::bytes);
    recorder.record(id, outcome, Detail::bytes(expected), observed);
}
