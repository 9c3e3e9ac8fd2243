//! The release manifest: an in-toto Statement v1 that says what an image measures to and what it was
//! made of. People sign its exact bytes; whoever rebuilds the image compares.
//!
//! There is one spelling: fields in one order, one file a line, so that `diff` shows what changed. A
//! manifest in any other spelling is refused. `docs/manifest.md` has every field.

use std::collections::BTreeMap;

pub use self::compare::{Difference, Part, compare};
use crate::digest::{Sha256Digest, Sha384Digest};
use crate::eif::Architecture;
use crate::recipe::{Compression, Runtime};
use crate::refusal::Refusal;
use crate::tree::TreePath;

mod check;
mod compare;
mod spelling;
mod text;

/// Longest manifest that is read or written, bytes.
pub const MAX_MANIFEST_BYTES: usize = 64 * 1024 * 1024;
/// `_type` of an in-toto Statement v1.
pub const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";
/// `predicateType` of a manifest.
pub const PREDICATE_TYPE: &str = "urn:narthex:enclave-image:1";
/// Namespace of the SSH signatures over a manifest's bytes.
pub const SIGNATURE_NAMESPACE: &str = "image@narthex";

/// What an image measures to and what it was made of. Says nothing about who signed it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Manifest {
    /// SHA-256 of the unsigned EIF file.
    pub image_sha256: Sha256Digest,
    /// SHA-384 of the unsigned EIF file.
    pub image_sha384: Sha384Digest,
    /// Name of the release.
    pub name: String,
    /// Version of the release.
    pub version: String,
    /// What processor it runs on.
    pub architecture: Architecture,
    /// The registers of an enclave that runs it. A signed image has PCR8 besides, which is the signing
    /// certificate's and says nothing about the image.
    pub measurements: ManifestMeasurements,
    /// Digest of the recipe's bytes.
    pub recipe_sha256: Sha256Digest,
    /// The kernel's command line.
    pub command_line: String,
    /// How the ramdisks are packed.
    pub compression: Compression,
    /// Memory that the enclave needs, MiB.
    pub memory_mib: u64,
    /// Language runtimes in the workload.
    pub runtimes: Vec<Runtime>,
    /// What was let in that weakens the image.
    pub insecure: Vec<Insecure>,
    /// Names and versions of what made the inputs, as the recipe has them, and `narthex-image`.
    pub toolchain: BTreeMap<String, String>,
    /// Every file that went in as a whole, by name: `kernel`, `agent`, `agent.toml`, …
    pub inputs: BTreeMap<String, Input>,
    /// The workload's root file system.
    pub files: BTreeMap<TreePath, ManifestFile>,
}

/// PCR0, PCR1 and PCR2.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ManifestMeasurements {
    /// The whole image.
    pub pcr0: Sha384Digest,
    /// Kernel, command line and first ramdisk.
    pub pcr1: Sha384Digest,
    /// All further ramdisks.
    pub pcr2: Sha384Digest,
}

/// A file that went in as a whole.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Input {
    /// Its digest.
    pub sha256: Sha256Digest,
    /// Its size, bytes.
    pub size: u64,
}

/// Something in the image that weakens it, which the recipe allowed by name.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Insecure {
    /// A shell.
    Shell,
}

impl Insecure {
    /// The word in manifests.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Shell => "shell",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        (name == Self::Shell.name()).then_some(Self::Shell)
    }
}

/// One entry of the workload's root file system.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ManifestFile {
    /// Permission bits, with set-user-id, set-group-id and sticky: at most `0o7777`.
    pub mode: u16,
    /// Numeric user id.
    pub user: u32,
    /// Numeric group id.
    pub group: u32,
    /// What it is.
    pub content: ManifestContent,
}

/// What an entry is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ManifestContent {
    /// A directory.
    Directory,
    /// A regular file.
    File {
        /// Bytes.
        size: u64,
        /// Digest of the content.
        sha256: Sha256Digest,
    },
    /// A symbolic link.
    Link {
        /// Where it points.
        target: String,
    },
}

impl Manifest {
    /// Reads a manifest. Whether anybody signed these bytes is for the caller to check first.
    ///
    /// # Errors
    ///
    /// `manifest.format`, `manifest.type`, `manifest.field`, `manifest.spelling`.
    pub fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        check::manifest(bytes)
    }

    /// The one spelling, ending with a line feed.
    #[must_use]
    pub fn to_json(&self) -> String {
        spelling::write(&text::Statement::from(self))
    }

    /// SHA-384 of the one spelling: how a release statement names a manifest.
    #[must_use]
    pub fn sha384(&self) -> Sha384Digest {
        Sha384Digest::of(self.to_json().as_bytes())
    }

    /// SHA-256 of the one spelling.
    #[must_use]
    pub fn sha256(&self) -> Sha256Digest {
        Sha256Digest::of(self.to_json().as_bytes())
    }
}
