//! The recipe: one TOML file that says everything that goes into an image.
//!
//! Unknown fields are refused, so a misspelt one cannot silently be without effect. Every input file is
//! pinned by its SHA-256, except a folder's files, which the manifest lists one by one. `docs/recipe.md`
//! has every field.

use std::collections::BTreeMap;
use std::path::PathBuf;

pub(crate) use self::check::is_release_name;
pub use self::files::Patterns;
use crate::digest::Sha256Digest;
use crate::eif::Architecture;
use crate::refusal::Refusals;

mod check;
mod files;
mod text;

/// Longest recipe that is read, bytes.
pub const MAX_RECIPE_BYTES: usize = 256 * 1024;
/// The only `schema` of a recipe so far.
pub const RECIPE_SCHEMA: i64 = 1;
/// The kernel's command line when the recipe has none.
///
/// `random.trust_cpu=off random.trust_bootloader=off`: entropy comes from the NSM only, and the agent
/// refuses to serve without them. `lsm=landlock cgroup_no_v1=all`: what its sandboxes need.
pub const DEFAULT_COMMAND_LINE: &str = "reboot=k panic=1 pci=off nomodules console=ttyS0 i8042.noaux i8042.nomux i8042.nopnp \
i8042.dumbkbd random.trust_cpu=off random.trust_bootloader=off lsm=landlock cgroup_no_v1=all";

/// A recipe whose every field was checked; the files it names were not looked at.
#[derive(Clone, Debug)]
pub struct Recipe {
    /// Digest of the recipe's exact bytes.
    pub sha256: Sha256Digest,
    /// `[image]`.
    pub image: ImageSection,
    /// `[kernel]`.
    pub kernel: KernelSection,
    /// `[agent]`.
    pub agent: PinnedFile,
    /// `[workload]`.
    pub workload: WorkloadSection,
    /// `[toolchain]`: names and versions of what made the inputs, recorded as they are.
    pub toolchain: BTreeMap<String, String>,
    /// `[settings]`: the agent's configuration.
    pub settings: toml::Table,
}

/// What the image is called and how it is packed.
#[derive(Clone, Debug)]
pub struct ImageSection {
    /// Name of the release: a lower-case letter or digit, then up to 63 of these, `.`, `-` and `_`.
    pub name: String,
    /// Version of the release, of the same form.
    pub version: String,
    /// What processor it runs on.
    pub architecture: Architecture,
    /// How the ramdisks are packed.
    pub compression: Compression,
    /// The kernel's command line, printable ASCII.
    pub command_line: String,
    /// Processors that the image asks for by default; unmeasured, advice to whoever starts it.
    pub cpus: u64,
}

/// How ramdisks are packed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// gzip, without name or time.
    Gzip,
    /// As they are.
    None,
}

impl Compression {
    /// The word in recipes and manifests.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::None => "none",
        }
    }
}

/// A file pinned by its digest.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PinnedFile {
    /// Where it is, relative to the recipe's folder or absolute.
    pub path: PathBuf,
    /// What it must be.
    pub sha256: Sha256Digest,
}

/// The kernel and what is loaded into it.
#[derive(Clone, Debug)]
pub struct KernelSection {
    /// The kernel: a bzImage on x86-64, an Image on AArch64.
    pub file: PinnedFile,
    /// Modules that the agent loads in this order, for kernels that do not have the NSM driver built in.
    pub modules: Vec<PinnedFile>,
}

/// The workload's root file system and what is allowed in it.
#[derive(Clone, Debug)]
pub struct WorkloadSection {
    /// Where it comes from.
    pub source: WorkloadSource,
    /// Paths that are left out; empty when nothing is.
    pub exclude: Patterns,
    /// Whether shells are let in. Shows in the manifest.
    pub insecure_shell: bool,
    /// The language runtimes that are let in, and must be there.
    pub runtimes: Vec<Runtime>,
}

/// Where the workload's root file system comes from.
#[derive(Clone, Debug)]
pub enum WorkloadSource {
    /// Listed files of a folder. Owners become 0:0, modes 0755 or 0644.
    Folder {
        /// The folder that becomes the root.
        root: PathBuf,
        /// What is taken from it.
        files: Patterns,
    },
    /// A tar archive, plain or gzip; owners and modes are kept.
    Archive(PinnedFile),
    /// An OCI or `docker save` archive; owners, modes and the image's configuration are kept.
    Oci(PinnedFile),
}

/// A language runtime: something that runs programs that are not in the manifest as programs.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Runtime {
    /// A Java virtual machine.
    Java,
    /// Node.js.
    Node,
    /// Perl.
    Perl,
    /// PHP.
    Php,
    /// Python.
    Python,
    /// Ruby.
    Ruby,
}

impl Runtime {
    /// Every runtime that is recognised.
    pub const ALL: [Self; 6] = [
        Self::Java,
        Self::Node,
        Self::Perl,
        Self::Php,
        Self::Python,
        Self::Ruby,
    ];

    /// The word in recipes and manifests.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Java => "java",
            Self::Node => "node",
            Self::Perl => "perl",
            Self::Php => "php",
            Self::Python => "python",
            Self::Ruby => "ruby",
        }
    }

    /// The runtime of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|runtime| runtime.name() == name)
    }
}

impl Recipe {
    /// Reads and checks a recipe.
    ///
    /// # Errors
    ///
    /// `recipe.syntax`, `recipe.schema` or `recipe.field`; every field that is wrong is listed.
    pub fn parse(text: &str) -> Result<Self, Refusals> {
        check::recipe(text)
    }
}
