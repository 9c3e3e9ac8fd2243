//! Release statements: which measurements are a tested image (namespace `release@narthex`).

use crate::digest::{Digest384, Pcr};
use crate::names::{ProjectName, ReleaseName, ReleaseVersion};
use crate::time::UnixMillis;

/// `schema` of a release statement.
pub const RELEASE_SCHEMA: &str = "narthex/release/v1";

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

/// What a statement says about a release.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ReleaseStatus {
    /// In use.
    Current,
    /// Being replaced; still gets keys unless the key rule says otherwise.
    Previous,
    /// Never again.
    Revoked,
}

/// A release statement. Inside a [`Policy`](crate::Policy) it is verified.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Release {
    /// The project.
    pub project: ProjectName,
    /// Rises with every statement about this name.
    pub serial: u64,
    /// When it was written.
    pub issued: UnixMillis,
    /// From when on it holds no more.
    pub expires: UnixMillis,
    /// The image's name.
    pub name: ReleaseName,
    /// The image's version.
    pub version: ReleaseVersion,
    /// What it measures to.
    pub measurements: Measurements,
    /// What is said about it.
    pub status: ReleaseStatus,
    /// SHA-384 of the statement.
    pub digest: Digest384,
}
