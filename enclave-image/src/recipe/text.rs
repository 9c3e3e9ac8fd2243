//! The recipe as it is written, before its values are checked.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{Compression, Runtime};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Text {
    /// Looked at before the rest.
    #[serde(rename = "schema")]
    pub(super) _schema: IgnoredAny,
    pub(super) image: Image,
    pub(super) kernel: Kernel,
    pub(super) agent: Agent,
    pub(super) workload: Workload,
    #[serde(default)]
    pub(super) toolchain: BTreeMap<String, String>,
    pub(super) settings: toml::Table,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Image {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) architecture: Architecture,
    #[serde(default = "gzip")]
    pub(super) compression: Compression,
    pub(super) command_line: Option<String>,
    #[serde(default = "two")]
    pub(super) cpus: u64,
}

#[derive(Clone, Copy, Deserialize)]
pub(super) enum Architecture {
    #[serde(rename = "x86_64")]
    X86_64,
    #[serde(rename = "aarch64")]
    Aarch64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Kernel {
    pub(super) file: String,
    pub(super) sha256: String,
    #[serde(default)]
    pub(super) modules: Vec<Module>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Module {
    pub(super) file: String,
    pub(super) sha256: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Agent {
    pub(super) program: String,
    pub(super) sha256: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Workload {
    pub(super) root: Option<String>,
    pub(super) files: Option<Vec<String>>,
    pub(super) archive: Option<String>,
    pub(super) oci: Option<String>,
    pub(super) sha256: Option<String>,
    #[serde(default)]
    pub(super) exclude: Vec<String>,
    #[serde(default)]
    pub(super) insecure_shell: bool,
    #[serde(default)]
    pub(super) runtimes: Vec<Runtime>,
}

const fn gzip() -> Compression {
    Compression::Gzip
}

/// The fewest that `nitro-cli` gives on machines whose cores have two threads.
const fn two() -> u64 {
    2
}
