//! Release statements: which measurements are a tested image (namespace `release@narthex`).

use core::fmt;
use core::time::Duration;

use serde::Deserialize;
use toml::value::Datetime;

use crate::digest::{Digest384, Pcr};
use crate::file::{limits, parse_toml};
use crate::names::{ProjectName, ReleaseName, ReleaseVersion};
use crate::reason::{Reason, Refusal};
use crate::time::UnixMillis;

/// `schema` of a release statement.
pub const RELEASE_SCHEMA: &str = "narthex/release/v1";
/// Longest time between `issued` and `expires` of a release statement.
pub const MAX_RELEASE_LIFETIME: Duration = Duration::from_secs(366 * 86_400);

/// What an image measures to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Measurements {
    /// The whole image.
    pub pcr0: Pcr,
    /// Kernel and boot ramdisk.
    pub pcr1: Pcr,
    /// The application.
    pub pcr2: Pcr,
    /// The image's signing certificate. In a statement: demanded if present. In an enclave:
    /// `None` if the document has no PCR8 or a zero one.
    pub pcr8: Option<Pcr>,
}

impl Measurements {
    /// Refuses all-zero registers: debug mode, or a statement that would match it.
    ///
    /// # Errors
    ///
    /// [`Reason::ReleaseZeroPcr`].
    pub(crate) fn check_not_zero(&self) -> Result<(), Refusal> {
        let Self {
            pcr0,
            pcr1,
            pcr2,
            pcr8,
        } = self;
        let registers = [
            (0, Some(pcr0)),
            (1, Some(pcr1)),
            (2, Some(pcr2)),
            (8, pcr8.as_ref()),
        ];
        match registers.iter().find(|(_, pcr)| *pcr == Some(&Pcr::ZERO)) {
            Some((index, _)) => Err(Refusal::new(
                Reason::ReleaseZeroPcr,
                format!("PCR{index} is all zero: an enclave in debug mode measures like that"),
            )),
            None => Ok(()),
        }
    }

    /// Whether an enclave that measures to `observed` runs the image with these measurements.
    pub fn met_by(&self, observed: &Self) -> bool {
        self.same_image(observed) && (self.pcr8.is_none() || self.pcr8 == observed.pcr8)
    }

    /// Whether PCR0, PCR1 and PCR2 are equal; narrowing statements look no further.
    pub(crate) fn same_image(&self, other: &Self) -> bool {
        self.pcr0 == other.pcr0 && self.pcr1 == other.pcr1 && self.pcr2 == other.pcr2
    }
}

/// What a statement says about a release.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd)]
#[serde(rename_all = "lowercase")]
pub enum ReleaseStatus {
    /// In use.
    Current,
    /// Being replaced; still gets keys unless the key rule says otherwise.
    Previous,
    /// Never again.
    Revoked,
}

impl ReleaseStatus {
    /// The word in statements and policies.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Previous => "previous",
            Self::Revoked => "revoked",
        }
    }
}

impl fmt::Display for ReleaseStatus {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// What stands behind the measurements of a statement.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Provenance {
    /// The release manifest whose exact bytes have this SHA-384: what went into the image, so that
    /// others can build it again and compare.
    Manifest(Digest384),
    /// Nothing: somebody gave the numbers by hand.
    InsecureByHand,
}

impl Provenance {
    /// Exactly one of the two must be said, and the insecure one cannot be said to be false: a
    /// statement about which nobody knows where its numbers come from must not exist.
    fn from_text(
        manifest_sha384: Option<&str>,
        insecure_measurements_by_hand: Option<bool>,
    ) -> Result<Self, Refusal> {
        match (manifest_sha384, insecure_measurements_by_hand) {
            (Some(digest), None) => Ok(Self::Manifest(Digest384::from_hex(digest)?)),
            (None, Some(true)) => Ok(Self::InsecureByHand),
            (None, None) => Err(Refusal::new(
                Reason::ReleaseProvenance,
                "the statement does not say where its measurements come from, as those from before \
                 there were manifests; write it again with `narthex release new` and sign it",
            )),
            _ => Err(Refusal::new(
                Reason::ReleaseProvenance,
                "a release statement has either manifest_sha384, or \
                 insecure_measurements_by_hand = true, and not both",
            )),
        }
    }
}

/// The field as it stands in a statement.
impl fmt::Display for Provenance {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Manifest(digest) => write!(formatter, "manifest_sha384 = \"{digest}\""),
            Self::InsecureByHand => formatter.write_str("insecure_measurements_by_hand = true"),
        }
    }
}

/// A release statement. Inside a [`Policy`](crate::Policy) its signatures were checked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Release {
    /// The project.
    pub project: ProjectName,
    /// Rises with every statement about this name.
    pub serial: u64,
    /// When it was written.
    pub issued: UnixMillis,
    /// First moment at which it holds no more. A revocation holds for good.
    pub expires: UnixMillis,
    /// The image's name.
    pub name: ReleaseName,
    /// The image's version.
    pub version: ReleaseVersion,
    /// What it measures to.
    pub measurements: Measurements,
    /// What stands behind these numbers.
    pub provenance: Provenance,
    /// What is said about it.
    pub status: ReleaseStatus,
    /// SHA-384 of the statement.
    pub digest: Digest384,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReleaseText {
    #[serde(rename = "schema")]
    _schema: String,
    project: String,
    serial: u64,
    issued: Datetime,
    expires: Datetime,
    name: String,
    version: String,
    status: ReleaseStatus,
    pcr0: String,
    pcr1: Option<String>,
    pcr2: Option<String>,
    pcr8: Option<String>,
    manifest_sha384: Option<String>,
    insecure_measurements_by_hand: Option<bool>,
}

impl Release {
    /// Reads a release statement and checks every rule that can be seen in the file alone. This
    /// says nothing about who signed it.
    ///
    /// # Errors
    ///
    /// `file.*`, `name.*`, `hex.*`, `time.*`, [`Reason::ReleasePartialPcrs`],
    /// [`Reason::ReleaseZeroPcr`], [`Reason::ReleaseProvenance`], [`Reason::ReleaseLifetime`].
    pub fn parse_unverified(bytes: &[u8]) -> Result<Self, Refusal> {
        let text: ReleaseText = parse_toml(bytes, limits::MAX_STATEMENT_BYTES, RELEASE_SCHEMA)?;
        let ReleaseText {
            _schema,
            project,
            serial,
            issued,
            expires,
            name,
            version,
            status,
            pcr0,
            pcr1,
            pcr2,
            pcr8,
            manifest_sha384,
            insecure_measurements_by_hand,
        } = text;
        let (Some(pcr1), Some(pcr2)) = (pcr1, pcr2) else {
            return Err(Refusal::new(
                Reason::ReleasePartialPcrs,
                "PCR0, PCR1 and PCR2 belong together: PCR0 alone does not pin what runs",
            ));
        };
        let release = Self {
            project: ProjectName::new(&project)?,
            serial,
            issued: UnixMillis::from_toml(&issued)?,
            expires: UnixMillis::from_toml(&expires)?,
            name: ReleaseName::new(&name)?,
            version: ReleaseVersion::new(&version)?,
            measurements: Measurements {
                pcr0: Pcr::from_hex(&pcr0)?,
                pcr1: Pcr::from_hex(&pcr1)?,
                pcr2: Pcr::from_hex(&pcr2)?,
                pcr8: pcr8.as_deref().map(Pcr::from_hex).transpose()?,
            },
            provenance: Provenance::from_text(
                manifest_sha384.as_deref(),
                insecure_measurements_by_hand,
            )?,
            status,
            digest: Digest384::of(bytes),
        };
        release.measurements.check_not_zero()?;
        if release.expires <= release.issued
            || release.expires.since(release.issued) > MAX_RELEASE_LIFETIME
        {
            return Err(Refusal::new(
                Reason::ReleaseLifetime,
                "a release statement lives more than 0 and at most 366 days",
            ));
        }
        Ok(release)
    }

    /// Writes the statement as TOML, ready to be signed. The digest is that of the result.
    pub fn to_toml(&self) -> String {
        let Self {
            project,
            serial,
            issued,
            expires,
            name,
            version,
            measurements,
            provenance,
            status,
            digest: _,
        } = self;
        let Measurements {
            pcr0,
            pcr1,
            pcr2,
            pcr8,
        } = measurements;
        let pcr8 = pcr8
            .map(|pcr| format!("pcr8 = \"{pcr}\"\n"))
            .unwrap_or_default();
        format!(
            "schema = \"{RELEASE_SCHEMA}\"\nproject = \"{project}\"\nserial = {serial}\n\
             issued = {issued}\nexpires = {expires}\n\nname = \"{name}\"\nversion = \"{version}\"\n\
             status = \"{status}\"\n\n{provenance}\npcr0 = \"{pcr0}\"\npcr1 = \"{pcr1}\"\npcr2 = \"{pcr2}\"\n{pcr8}"
        )
    }

    /// Whether it has expired at `now`.
    pub fn is_expired(&self, now: UnixMillis) -> bool {
        now >= self.expires
    }
}
