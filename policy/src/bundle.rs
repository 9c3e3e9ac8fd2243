//! Bundles.

use core::time::Duration;

use crate::digest::{Digest384, Pcr, StaticKey};
use crate::names::{KeyName, NamePattern, ProjectName};
use crate::release::ReleaseStatus;
use crate::time::UnixMillis;

/// A bundle.
#[derive(Clone)]
pub struct Bundle {
    /// The project.
    pub project: ProjectName,
    /// The version.
    pub version: u64,
    /// End of life.
    pub expires: UnixMillis,
    /// The service's static key.
    pub key_service: Option<StaticKey>,
    /// Key rules.
    pub keys: Vec<KeyRule>,
}

/// Who may have a key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct KeyRule {
    /// The key.
    pub name: KeyName,
    /// The releases that may have it.
    pub releases: Vec<NamePattern>,
    /// The statuses of releases that may have it.
    pub statuses: Vec<ReleaseStatus>,
    /// On whose machines.
    pub account: AccountRule,
    /// How old the document may be.
    pub max_document_age: Duration,
    /// Known commitments by version.
    pub commitments: Vec<KeyCommitment>,
}

/// Which parent instances a key rule accepts. The same image in a stranger's account has the same
/// PCR0 to PCR2 and PCR16; PCR3 and PCR4 tell the accounts apart.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum AccountRule {
    /// PCR3 or PCR4 is one of these. Zero never matches.
    Named {
        /// PCR3 values, those of role ARNs among them.
        pcr3: Vec<Pcr>,
        /// PCR4 values, those of instance ids among them.
        pcr4: Vec<Pcr>,
    },
    /// Any AWS account: `insecure_any_account = true`.
    InsecureAny,
}

/// A commitment to one version of a key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct KeyCommitment {
    /// The version.
    pub version: u32,
    /// SHA-384 over label, name, version and key (`narthex/v1/key-commitment`).
    pub sha384: Digest384,
}
