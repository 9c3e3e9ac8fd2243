//! Stage two: a parsed document becomes a [`Verified`] one, under a pinned root.

use core::fmt;

use crate::appraisal::{self, Appraised, Freshness, ReplayAppraised};
use crate::certificate::Certificate;
use crate::chain;
use crate::check::CheckId;
use crate::context::VerificationContext;
use crate::deny_list::NotACertificate;
use crate::digest::{sha256, write_hex};
use crate::document::Parsed;
use crate::expectations::Expectations;
use crate::report::{Detail, Failure, Recorder, Refusal};
use crate::time::UnixMillis;
use crate::verified::{Evidence, ReplayVerified, Verified};

/// SHA-256 over the DER of AWS's root for Nitro enclaves in the commercial partition: subject
/// `CN=aws.nitro-enclaves, OU=AWS, O=Amazon, C=US`, valid 2019-10-28 to 2049-10-28. From
/// `AWS_NitroEnclaves_Root-G1.zip`, whose SHA-256 AWS publishes as
/// `8cf60e2b2efca96c6a9e71e851d00c1b6991cc09eadbe64a6a1d1b1eb9faff7c`.
pub const AWS_ROOT_SHA256: [u8; 32] = [
    0x64, 0x1a, 0x03, 0x21, 0xa3, 0xe2, 0x44, 0xef, 0xe4, 0x56, 0x46, 0x31, 0x95, 0xd6, 0x06, 0x31,
    0x7e, 0xd7, 0xcd, 0xcc, 0x3c, 0x17, 0x56, 0xe0, 0x98, 0x93, 0xf3, 0xc6, 0x8f, 0x79, 0xbb, 0x5b,
];

/// Which root a document was verified under. Shown in every result, so that a result under
/// another root than AWS's cannot pass for one under AWS's.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Anchor {
    kind: AnchorKind,
    pub(crate) sha256: [u8; 32],
}

/// What kind of root it is.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum AnchorKind {
    /// AWS's root for the commercial partition.
    Aws,
    /// A root that the caller named.
    Custom,
    /// A development root that the caller named, in a build that can trust one. A mock made the
    /// document: it shows nothing about any enclave.
    InsecureDevelopment,
}

impl Anchor {
    /// What kind of root it is.
    #[must_use]
    pub const fn kind(&self) -> AnchorKind {
        self.kind
    }

    /// SHA-256 over the root's DER.
    #[must_use]
    pub const fn sha256(&self) -> &[u8; 32] {
        &self.sha256
    }

    /// `aws`, `custom` or `insecure-development`.
    #[must_use]
    pub const fn id(&self) -> &'static str {
        match self.kind {
            AnchorKind::Aws => "aws",
            AnchorKind::Custom => "custom",
            AnchorKind::InsecureDevelopment => "insecure-development",
        }
    }

    pub(crate) const fn is_development(&self) -> bool {
        matches!(self.kind, AnchorKind::InsecureDevelopment)
    }
}

impl fmt::Display for Anchor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} root ", self.id())?;
        write_hex(f, &self.sha256)
    }
}

/// The root that documents must chain to. There is no way to verify without one (R17).
#[derive(Clone, Debug)]
pub struct TrustAnchors {
    anchor: Anchor,
}

/// At which time an archived document is judged.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ReplayAt {
    /// At a time that the caller states; age and future are judged at it too.
    Time(UnixMillis),
    /// At the document's own timestamp. That it was fresh then is not shown, and the report says so.
    DocumentTimestamp,
}

/// Why a certificate cannot be an anchor.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum AnchorError {
    /// The bytes are not one certificate of the profile that documents have.
    NotACertificate(NotACertificate),
    /// The certificate is not self-issued, so it is no root.
    NotARoot,
    /// It is Narthex's development root, and this build trusts none (R56): build with the feature
    /// `dev-root` to work with mock documents.
    DevelopmentRoot,
}

impl AnchorError {
    /// A stable name; for a development root the id of the check that refuses its documents.
    #[must_use]
    pub const fn id(&self) -> &'static str {
        match self {
            Self::NotACertificate(_) => "anchor.not_a_certificate",
            Self::NotARoot => "anchor.not_a_root",
            Self::DevelopmentRoot => CheckId::ChainDevelopmentRoot.id(),
        }
    }
}

impl fmt::Display for AnchorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotACertificate(error) => write!(f, "{error}"),
            Self::NotARoot => f.write_str("the certificate is not self-issued, so it is no root"),
            Self::DevelopmentRoot => f.write_str(
                "this is Narthex's development root, which only a build with the feature \
                 `dev-root` can trust",
            ),
        }
    }
}

impl core::error::Error for AnchorError {}

impl TrustAnchors {
    /// AWS's root for the commercial partition, by its fingerprint.
    #[must_use]
    pub const fn aws() -> Self {
        Self {
            anchor: Anchor {
                kind: AnchorKind::Aws,
                sha256: AWS_ROOT_SHA256,
            },
        }
    }

    /// A root of the caller's, given as DER: for AWS's other partitions and for tests.
    /// Every result says that it was verified under it.
    ///
    /// # Errors
    ///
    /// [`AnchorError`]; among others for a development root when the feature `dev-root` is off.
    pub fn from_root_certificate(der: &[u8]) -> Result<Self, AnchorError> {
        let root = Certificate::parse(der)
            .map_err(|failure| AnchorError::NotACertificate(NotACertificate::from(failure)))?;
        if root.issuer != root.subject {
            return Err(AnchorError::NotARoot);
        }
        let sha256 = sha256(der);
        let kind = if sha256 == AWS_ROOT_SHA256 {
            AnchorKind::Aws
        } else if root.names_development_root() {
            if !cfg!(feature = "dev-root") {
                return Err(AnchorError::DevelopmentRoot);
            }
            AnchorKind::InsecureDevelopment
        } else {
            AnchorKind::Custom
        };
        Ok(Self {
            anchor: Anchor { kind, sha256 },
        })
    }

    /// Which root this is.
    #[must_use]
    pub const fn anchor(&self) -> &Anchor {
        &self.anchor
    }

    /// Checks chain and signature at the verifier's clock (R18).
    ///
    /// `now` is the time at the verifier, from a source that the document's sender cannot steer.
    /// When the expectations are known already, call
    /// [`verify_and_appraise`](Self::verify_and_appraise): it refuses more at less cost.
    ///
    /// # Errors
    ///
    /// [`Refusal`] with a reason of [`Stage::Chain`](crate::Stage::Chain) or
    /// [`Stage::Signature`](crate::Stage::Signature).
    pub fn verify(
        &self,
        parsed: &Parsed<'_>,
        now: UnixMillis,
        context: &mut VerificationContext,
    ) -> Result<Verified, Refusal> {
        let freshness = Freshness::JudgedAt(now);
        self.check(parsed, None, now, freshness, context)
            .map(Verified::new)
    }

    /// Checks chain and signature of an archived document at another time than now. The result is
    /// another type, and nothing that releases anything takes it.
    ///
    /// # Errors
    ///
    /// As for [`verify`](Self::verify).
    pub fn verify_replay(
        &self,
        parsed: &Parsed<'_>,
        at: ReplayAt,
        context: &mut VerificationContext,
    ) -> Result<ReplayVerified, Refusal> {
        let (at, freshness) = replay_time(parsed, at);
        self.check(parsed, None, at, freshness, context)
            .map(ReplayVerified::new)
    }

    /// [`verify`](Self::verify) and [`Expectations::appraise`] in one, the costly part last: a
    /// document with a wrong measurement, too old, or otherwise not as expected is refused before
    /// any signature is checked. What a service that anybody can reach should call.
    ///
    /// # Errors
    ///
    /// [`Refusal`] with a reason of any stage but the first. When the expectations are not met,
    /// the report has every one of them that is not (R36).
    pub fn verify_and_appraise(
        &self,
        parsed: &Parsed<'_>,
        expectations: &Expectations,
        now: UnixMillis,
        context: &mut VerificationContext,
    ) -> Result<Appraised, Refusal> {
        let freshness = Freshness::JudgedAt(now);
        let evidence = self.check(parsed, Some(expectations), now, freshness, context)?;
        Ok(Appraised::new(evidence))
    }

    /// The same for an archived document, with another type of result.
    ///
    /// # Errors
    ///
    /// As for [`verify_and_appraise`](Self::verify_and_appraise).
    pub fn verify_and_appraise_replay(
        &self,
        parsed: &Parsed<'_>,
        expectations: &Expectations,
        at: ReplayAt,
        context: &mut VerificationContext,
    ) -> Result<ReplayAppraised, Refusal> {
        let (at, freshness) = replay_time(parsed, at);
        let evidence = self.check(parsed, Some(expectations), at, freshness, context)?;
        Ok(ReplayAppraised::new(evidence))
    }

    fn check(
        &self,
        parsed: &Parsed<'_>,
        expectations: Option<&Expectations>,
        at: UnixMillis,
        freshness: Freshness,
        context: &mut VerificationContext,
    ) -> Result<Evidence, Refusal> {
        let fields = parsed.fields();
        let mut recorder = Recorder::resume(&parsed.report);
        let path = match chain::prepare(&fields, &self.anchor, at, context, &mut recorder) {
            Ok(path) => path,
            Err(failure) => return Err(recorder.refuse(failure)),
        };
        let validity = path.validity;
        let mut insecure_pcr0_only = false;
        if let Some(expectations) = expectations {
            appraisal::compare(&fields, expectations, freshness, &mut recorder);
            recorder = recorder.settle()?;
            insecure_pcr0_only = expectations.is_insecure_pcr0_only();
        }

        let key = match path.check_signatures(context, &mut recorder) {
            Ok(key) => key,
            Err(failure) => return Err(recorder.refuse(failure)),
        };
        if context
            .check_signature(&key, &parsed.signed_bytes(), parsed.signature())
            .is_err()
        {
            let observed = "another signature on the document";
            return Err(recorder.refuse(Failure::new(CheckId::CoseSignature, observed)));
        }
        recorder.pass(CheckId::CoseSignature, Detail::NONE);
        Ok(Evidence {
            payload: fields.payload().into(),
            layout: parsed.layout.clone(),
            report: recorder.finish(),
            anchor: self.anchor,
            validity,
            freshness,
            skew: context.skew(),
            insecure_pcr0_only,
        })
    }
}

fn replay_time(parsed: &Parsed<'_>, at: ReplayAt) -> (UnixMillis, Freshness) {
    match at {
        ReplayAt::Time(time) => (time, Freshness::JudgedAt(time)),
        ReplayAt::DocumentTimestamp => (parsed.fields().timestamp(), Freshness::NotShown),
    }
}
