//! `policy`: policy files were delivered.

use super::{
    Content, Decision, EntryKind,
    field::{Reading, Value, Writing, texts},
    json::Json,
    require, require_distinct, take_inner, text,
};
use crate::{Digest384, EvidenceDigest, LogError, PersonId};

texts! {
    /// What a policy file is.
    PolicyFileKind, "a kind of policy file" {
        /// A bundle.
        Bundle = "bundle",
        /// A release statement.
        Release = "release",
        /// A stop statement.
        Stop = "stop",
    }
}

/// Policy files were delivered, and are in force from here on, or were refused. Entry 0 of the first epoch is the
/// genesis bundle.
///
/// ```json
/// {"files":[{"evidence":"<96 hex>","kind":"bundle","sha384":"<96 hex>","signers":["p-<32 hex>"],"version":"7"}],
///  "outcome":"accepted","time":1767225600000,"type":"policy","v":1}
/// ```
/// A refused one has `"outcome":"refused","reason":"<id>"`, and lists what was refused.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PolicyEntry {
    /// When, in milliseconds since 1970.
    pub time: u64,
    /// Whether they are in force now.
    pub decision: Decision,
    /// The files, in the order in which they were taken up; at least one.
    pub files: Vec<PolicyFile>,
}

/// One policy file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PolicyFile {
    /// What it is.
    pub kind: PolicyFileKind,
    /// Plain SHA-384 of its bytes: the name of this file everywhere.
    pub sha384: Digest384,
    /// A bundle's version; name and version of a release, one space between; the serial of a stop. In a refused
    /// entry, of a file that could not be read, `?`.
    pub version: String,
    /// The file and its signatures.
    pub evidence: EvidenceDigest,
    /// Who signed it, as far as signatures held; nobody twice.
    pub signers: Vec<PersonId>,
}

impl Content for PolicyEntry {
    const KIND: EntryKind = EntryKind::Policy;

    fn put<'t>(&'t self, writing: Writing<'t>) -> Writing<'t> {
        self.decision.put(writing).put("files", &self.files)
    }

    fn take(reading: &mut Reading<'_>, time: u64) -> Result<Self, LogError> {
        Ok(Self {
            time,
            decision: Decision::take(reading)?,
            files: reading.get("files")?,
        })
    }

    fn check(&self) -> Result<(), LogError> {
        self.decision.check()?;
        require(
            !self.files.is_empty(),
            "no file in an entry about policy files",
        )?;
        for file in &self.files {
            text::version(&file.version)?;
            require_distinct(&file.signers, "a signer is listed twice")?;
            require(
                !self.decision.is_accepted() || !file.signers.is_empty(),
                "an accepted policy file without signers",
            )?;
        }
        Ok(())
    }

    fn time(&self) -> u64 {
        self.time
    }
}

impl Value for PolicyFile {
    fn to_json(&self) -> Json<'_> {
        Writing::default()
            .put("kind", &self.kind)
            .put("sha384", &self.sha384)
            .put("version", &self.version)
            .put("evidence", &self.evidence)
            .put("signers", &self.signers)
            .into_json()
    }

    fn from_json(json: Json<'_>) -> Result<Self, LogError> {
        take_inner(json, |reading| {
            Ok(Self {
                kind: reading.get("kind")?,
                sha384: reading.get("sha384")?,
                version: reading.get("version")?,
                evidence: reading.get("evidence")?,
                signers: reading.get("signers")?,
            })
        })
    }
}
