//! What a caller expects of a document before acting on it.

use core::fmt;
use core::time::Duration;
use std::collections::BTreeMap;

use crate::appraisal::{self, Appraised, ReplayAppraised};
use crate::check::{CheckId, PcrIndex};
use crate::digest::Digest384;
use crate::limits::{
    DEFAULT_MAX_AGE, DEFAULT_SKEW, MAX_OPTIONAL_FIELD_BYTES, MAX_SKEW, MIN_NONCE_BYTES,
};
use crate::report::{Failure, Recorder, Refusal};
use crate::time::UnixMillis;
use crate::verified::{ReplayVerified, Verified};

/// What a document must say: measurements, binding and age. Never empty (R30).
///
/// Whoever holds one got it from [`ExpectationsBuilder::build`]; there is no default:
///
/// ```compile_fail
/// let expectations = narthex_verifier::Expectations::default();
/// ```
#[derive(Clone, Debug)]
pub struct Expectations {
    pub(crate) pcrs: BTreeMap<PcrIndex, Vec<Digest384>>,
    pub(crate) user_data: Option<Box<[u8]>>,
    pub(crate) nonce: Option<Box<[u8]>>,
    pub(crate) public_key: Option<Box<[u8]>>,
    pub(crate) max_age: Duration,
    pub(crate) skew: Duration,
    insecure_pcr0_only: bool,
}

impl Expectations {
    /// Begins with nothing expected.
    pub fn builder() -> ExpectationsBuilder {
        ExpectationsBuilder {
            inner: Self {
                pcrs: BTreeMap::new(),
                user_data: None,
                nonce: None,
                public_key: None,
                max_age: DEFAULT_MAX_AGE,
                skew: DEFAULT_SKEW,
                insecure_pcr0_only: false,
            },
            error: None,
        }
    }

    /// Compares a verified document with these expectations at the verifier's clock.
    ///
    /// # Errors
    ///
    /// [`Refusal`] with every expectation that is not met in its report (R36).
    pub fn appraise(&self, verified: &Verified, now: UnixMillis) -> Result<Appraised, Refusal> {
        let mut evidence = verified.0.clone();
        let mut recorder = Recorder::resume(&evidence.report);
        // Time has passed since the chain was judged; the caller decides how much.
        let validity = evidence.validity;
        if now > validity.not_after {
            let ended = format!(
                "a chain that ended {} (judged at {now})",
                validity.not_after
            );
            recorder.fail(Failure::new(CheckId::ChainExpired, ended));
        }
        if now.saturating_add(evidence.skew) < validity.not_before {
            let begins = format!(
                "a chain that begins {} (judged at {now})",
                validity.not_before
            );
            recorder.fail(Failure::new(CheckId::ChainNotYetValid, begins));
        }
        let freshness = appraisal::Freshness::JudgedAt(now);
        appraisal::compare(&verified.fields(), self, freshness, &mut recorder);
        evidence.report = recorder.settle()?.finish();
        evidence.freshness = freshness;
        evidence.insecure_pcr0_only = self.insecure_pcr0_only;
        Ok(Appraised::new(evidence))
    }

    /// Compares an archived document with these expectations, at the time it was verified for.
    ///
    /// # Errors
    ///
    /// As for [`appraise`](Self::appraise).
    pub fn appraise_replay(&self, replayed: &ReplayVerified) -> Result<ReplayAppraised, Refusal> {
        let mut evidence = replayed.0.clone();
        let mut recorder = Recorder::resume(&evidence.report);
        appraisal::compare(&replayed.fields(), self, evidence.freshness, &mut recorder);
        evidence.report = recorder.settle()?.finish();
        evidence.insecure_pcr0_only = self.insecure_pcr0_only;
        Ok(ReplayAppraised::new(evidence))
    }

    /// The maximum age.
    #[must_use]
    pub fn max_age(&self) -> Duration {
        self.max_age
    }

    /// The allowance for a clock that is behind.
    #[must_use]
    pub fn skew(&self) -> Duration {
        self.skew
    }

    pub(crate) fn is_insecure_pcr0_only(&self) -> bool {
        self.insecure_pcr0_only
    }
}

/// Collects expectations; [`build`](Self::build) looks whether they make sense.
#[derive(Clone, Debug)]
#[must_use = "expectations are compared with nothing until they are built"]
pub struct ExpectationsBuilder {
    inner: Expectations,
    /// The first mistake, told by `build` so that calls can be chained.
    error: Option<ExpectationError>,
}

/// Expectations that would not protect anything, or contradict themselves.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ExpectationError {
    /// Nothing is expected (R30).
    Empty,
    /// A register is expected twice; give several allowed values in one call.
    Twice(PcrIndex),
    /// A register is expected without any allowed value.
    NoValue(PcrIndex),
    /// A register is expected to be zero, which is what debug mode shows (R31), and what a
    /// register shows that nothing was measured into.
    Zero(PcrIndex),
    /// PCR0 is expected without PCR1 and PCR2 (R33).
    Pcr0Alone,
    /// An IAM role's name begins with `arn:`.
    NotARoleArn,
    /// An instance's id begins with `i-`.
    NotAnInstanceId,
    /// A nonce has at least 128 bits (R26).
    ShortNonce,
    /// An empty public key counts as absent (R13), so it cannot be expected.
    EmptyPublicKey,
    /// A field is longer than any document's: 1024 bytes.
    TooLong,
    /// A skew above 15 minutes.
    Skew,
}

impl ExpectationError {
    /// A stable name.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::Empty => "expectations.empty",
            Self::Twice(_) => "expectations.twice",
            Self::NoValue(_) => "expectations.no_value",
            Self::Zero(_) => "expectations.zero",
            Self::Pcr0Alone => "expectations.pcr0_alone",
            Self::NotARoleArn => "expectations.role_arn",
            Self::NotAnInstanceId => "expectations.instance_id",
            Self::ShortNonce => "expectations.short_nonce",
            Self::EmptyPublicKey => "expectations.empty_public_key",
            Self::TooLong => "expectations.too_long",
            Self::Skew => "expectations.skew",
        }
    }
}

impl fmt::Display for ExpectationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("nothing is expected, so every document would do"),
            Self::Twice(index) => write!(f, "PCR{} is expected twice", index.as_u8()),
            Self::NoValue(index) => write!(f, "PCR{} has no allowed value", index.as_u8()),
            Self::Zero(index) => {
                write!(
                    f,
                    "PCR{} is expected to be zero, which measures nothing",
                    index.as_u8()
                )
            }
            Self::Pcr0Alone => f.write_str("PCR0 is expected without PCR1 and PCR2"),
            Self::NotARoleArn => f.write_str("the IAM role is not an ARN (arn:...)"),
            Self::NotAnInstanceId => f.write_str("the instance is not an id (i-...)"),
            Self::ShortNonce => f.write_str("the nonce is shorter than 16 bytes"),
            Self::EmptyPublicKey => f.write_str("an empty public key is no key"),
            Self::TooLong => f.write_str("the expected value is longer than 1024 bytes"),
            Self::Skew => f.write_str("the skew is above 15 minutes"),
        }
    }
}

impl core::error::Error for ExpectationError {}

impl ExpectationsBuilder {
    /// Register `index` has this value.
    pub fn pcr(self, index: PcrIndex, value: Digest384) -> Self {
        self.pcr_any_of(index, [value])
    }

    /// Register `index` has one of these values.
    pub fn pcr_any_of(
        mut self,
        index: PcrIndex,
        values: impl IntoIterator<Item = Digest384>,
    ) -> Self {
        let values: Vec<Digest384> = values.into_iter().collect();
        if values.is_empty() {
            self.mistake(ExpectationError::NoValue(index));
        }
        if values.iter().any(Digest384::is_zero) {
            self.mistake(ExpectationError::Zero(index));
        }
        if self.inner.pcrs.insert(index, values).is_some() {
            self.mistake(ExpectationError::Twice(index));
        }
        self
    }

    /// PCR0, PCR1 and PCR2, the three that measure an image.
    pub fn image(self, pcr0: Digest384, pcr1: Digest384, pcr2: Digest384) -> Self {
        self.pcr(PcrIndex::IMAGE, pcr0)
            .pcr(PcrIndex::KERNEL, pcr1)
            .pcr(PcrIndex::APPLICATION, pcr2)
    }

    /// PCR3: the parent instance has this IAM role.
    pub fn role_arn(mut self, role_arn: &str) -> Self {
        if !role_arn.starts_with("arn:") {
            self.mistake(ExpectationError::NotARoleArn);
        }
        self.pcr(PcrIndex::ROLE, Digest384::of_role_arn(role_arn))
    }

    /// PCR4: the parent is this instance.
    pub fn instance_id(mut self, instance_id: &str) -> Self {
        if !instance_id.starts_with("i-") {
            self.mistake(ExpectationError::NotAnInstanceId);
        }
        self.pcr(PcrIndex::INSTANCE, Digest384::of_instance_id(instance_id))
    }

    /// PCR16: a Narthex agent booted with the policy bundle of this SHA-384.
    pub fn bundle(self, bundle: &Digest384) -> Self {
        self.pcr(PcrIndex::BUNDLE, Digest384::of_bundle_digest(bundle))
    }

    /// `user_data` is exactly this, at most 1024 bytes.
    pub fn user_data(mut self, user_data: &[u8]) -> Self {
        self.inner.user_data = Some(self.bounded(user_data));
        self
    }

    /// `nonce` is exactly this: at least 16 random bytes that the caller made for this one
    /// document (R26).
    pub fn nonce(mut self, nonce: &[u8]) -> Self {
        if nonce.len() < MIN_NONCE_BYTES {
            self.mistake(ExpectationError::ShortNonce);
        }
        self.insecure_short_nonce(nonce)
    }

    /// `nonce` is exactly this, though it may be shorter than 16 bytes: for looking at archived
    /// documents of others. Whoever can guess a nonce can ask for the document in advance.
    pub fn insecure_short_nonce(mut self, nonce: &[u8]) -> Self {
        self.inner.nonce = Some(self.bounded(nonce));
        self
    }

    /// `public_key` is exactly this, 1 to 1024 bytes.
    pub fn public_key(mut self, public_key: &[u8]) -> Self {
        if public_key.is_empty() {
            self.mistake(ExpectationError::EmptyPublicKey);
        }
        self.inner.public_key = Some(self.bounded(public_key));
        self
    }

    /// The document is not older than this; five minutes unless stated.
    pub fn max_age(mut self, max_age: Duration) -> Self {
        self.inner.max_age = max_age;
        self
    }

    /// The document may be this much in the future, for a clock that is behind; one minute unless
    /// stated, at most 15 minutes.
    pub fn skew(mut self, skew: Duration) -> Self {
        if skew > MAX_SKEW {
            self.mistake(ExpectationError::Skew);
        }
        self.inner.skew = skew;
        self
    }

    /// Allows PCR0 without PCR1 and PCR2. Every result says so.
    pub fn insecure_pcr0_only(mut self) -> Self {
        self.inner.insecure_pcr0_only = true;
        self
    }

    /// The expectations, if they make sense.
    ///
    /// # Errors
    ///
    /// [`ExpectationError`], the first there is.
    pub fn build(self) -> Result<Expectations, ExpectationError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        let expectations = self.inner;
        let Expectations {
            pcrs,
            user_data,
            nonce,
            public_key,
            ..
        } = &expectations;
        if pcrs.is_empty() && user_data.is_none() && nonce.is_none() && public_key.is_none() {
            return Err(ExpectationError::Empty);
        }
        let expects = |index| pcrs.contains_key(&index);
        let complete = expects(PcrIndex::KERNEL) && expects(PcrIndex::APPLICATION);
        if expects(PcrIndex::IMAGE) && !complete && !expectations.insecure_pcr0_only {
            return Err(ExpectationError::Pcr0Alone);
        }
        Ok(expectations)
    }

    fn bounded(&mut self, value: &[u8]) -> Box<[u8]> {
        if value.len() > MAX_OPTIONAL_FIELD_BYTES {
            self.mistake(ExpectationError::TooLong);
        }
        value.into()
    }

    fn mistake(&mut self, error: ExpectationError) {
        self.error.get_or_insert(error);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(byte: u8) -> Digest384 {
        Digest384::new([byte; 48])
    }

    #[test]
    fn expectations_that_protect_nothing_are_errors() {
        let builder = Expectations::builder;
        let zero = digest(0);
        let cases = [
            (builder(), ExpectationError::Empty),
            (
                builder().max_age(Duration::from_secs(1)),
                ExpectationError::Empty,
            ),
            (
                builder().pcr(PcrIndex::IMAGE, digest(1)),
                ExpectationError::Pcr0Alone,
            ),
            (
                builder()
                    .pcr(PcrIndex::IMAGE, digest(1))
                    .pcr(PcrIndex::KERNEL, digest(2)),
                ExpectationError::Pcr0Alone,
            ),
            (
                builder().image(zero, digest(1), digest(2)),
                ExpectationError::Zero(PcrIndex::IMAGE),
            ),
            (
                builder().image(digest(1), zero, digest(2)),
                ExpectationError::Zero(PcrIndex::KERNEL),
            ),
            (
                builder().pcr(PcrIndex::ROLE, zero),
                ExpectationError::Zero(PcrIndex::ROLE),
            ),
            (
                builder().pcr_any_of(PcrIndex::ROLE, []),
                ExpectationError::NoValue(PcrIndex::ROLE),
            ),
            (
                builder()
                    .role_arn("arn:aws:iam::1:role/a")
                    .pcr(PcrIndex::ROLE, digest(1)),
                ExpectationError::Twice(PcrIndex::ROLE),
            ),
            (builder().role_arn("role/a"), ExpectationError::NotARoleArn),
            (
                builder().instance_id("enc-1"),
                ExpectationError::NotAnInstanceId,
            ),
            (builder().nonce(&[1; 15]), ExpectationError::ShortNonce),
            (builder().public_key(&[]), ExpectationError::EmptyPublicKey),
            (builder().user_data(&[0; 1025]), ExpectationError::TooLong),
            (
                builder().skew(MAX_SKEW + Duration::from_millis(1)),
                ExpectationError::Skew,
            ),
        ];
        for (builder, expected) in cases {
            assert_eq!(builder.build().unwrap_err(), expected);
        }
    }

    #[test]
    fn the_other_side_of_each_limit_is_fine() {
        let builder = Expectations::builder;
        let good = [
            builder().image(digest(1), digest(2), digest(3)),
            builder()
                .pcr(PcrIndex::IMAGE, digest(1))
                .insecure_pcr0_only(),
            builder().pcr(PcrIndex::SIGNER, digest(1)),
            builder().nonce(&[1; 16]).skew(MAX_SKEW),
            builder().insecure_short_nonce(&[1; 15]),
            builder().user_data(&[0; 1024]),
            builder().user_data(&[]),
            builder().public_key(&[1]),
            builder()
                .role_arn("arn:aws:iam::1:role/a")
                .instance_id("i-1"),
        ];
        for builder in good {
            assert!(builder.build().is_ok());
        }
    }
}
