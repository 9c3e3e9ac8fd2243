//! The trust anchor baked into a measured image.

use serde::Deserialize;

use crate::names::ProjectName;
use crate::person::Person;

/// The first reviewers. `Deserialize` reads the agent's `[trust]` table:
/// `project`, `threshold`, `minimum_bundle_version`, `[[trust.reviewer]] name, keys, requires`.
#[derive(Clone)]
pub struct TrustAnchor {
    /// The project.
    pub project: ProjectName,
    /// The reviewers.
    pub reviewers: Vec<Person>,
    /// How many of them must sign, at least 2.
    pub threshold: usize,
    /// The lowest acceptable version of the newest bundle.
    pub minimum_bundle_version: u64,
}

impl<'de> Deserialize<'de> for TrustAnchor {
    fn deserialize<D: serde::Deserializer<'de>>(_deserializer: D) -> Result<Self, D::Error> {
        todo!()
    }
}
