//! `current`: a bundle is in force.

use super::{
    Content, EntryKind,
    field::{Reading, Writing},
    read_extra, to_leaf, write_extra,
};
use crate::{Digest384, LogError};

/// A bundle is in force. The service writes it last in its group, whenever the policy changed, at every start, and
/// at least once an hour: a proof of it as the last entry of a freshly witnessed checkpoint shows that the log
/// names nothing newer.
///
/// ```json
/// {"bundle":"<96 hex>","time":1767225600000,"type":"current","v":1,"version":7}
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct CurrentEntry {
    /// When, in milliseconds since 1970.
    pub time: u64,
    /// Plain SHA-384 of the bundle's bytes.
    pub bundle: Digest384,
    /// Its version.
    pub version: u64,
}

/// What a verifier who knows the bundle cannot know: `{"time":1767225600000}`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct CurrentExtra {
    /// When, in milliseconds since 1970.
    pub time: u64,
}

impl CurrentExtra {
    /// The bytes in a proof.
    ///
    /// # Errors
    ///
    /// `log.entry` if the time is above 2^53 - 1.
    pub fn to_bytes(&self) -> Result<Vec<u8>, LogError> {
        write_extra(Writing::default().put("time", &self.time))
    }

    /// Reads the extra of a proof.
    ///
    /// # Errors
    ///
    /// `log.entry` unless it is exactly what [`CurrentExtra::to_bytes`] writes.
    pub fn from_bytes(extra: &[u8]) -> Result<Self, LogError> {
        let mut reading = read_extra(extra)?;
        let time = reading.get("time")?;
        reading.finish()?;
        Ok(Self { time })
    }
}

impl CurrentEntry {
    /// The entry that names this bundle as current, with what the proof adds.
    ///
    /// # Errors
    ///
    /// `log.entry` if the extra has another form.
    pub fn rebuild(bundle: &Digest384, version: u64, extra: &[u8]) -> Result<Self, LogError> {
        let CurrentExtra { time } = CurrentExtra::from_bytes(extra)?;
        Ok(Self {
            time,
            bundle: *bundle,
            version,
        })
    }

    /// The leaf that names this bundle as current: what a verifier looks for in the log.
    ///
    /// # Errors
    ///
    /// As [`CurrentEntry::rebuild`].
    pub fn accepted_leaf(
        bundle: &Digest384,
        version: u64,
        extra: &[u8],
    ) -> Result<Vec<u8>, LogError> {
        to_leaf(&Self::rebuild(bundle, version, extra)?)
    }

    /// What a proof of this entry must add.
    #[must_use]
    pub const fn extra(&self) -> CurrentExtra {
        CurrentExtra { time: self.time }
    }
}

impl Content for CurrentEntry {
    const KIND: EntryKind = EntryKind::Current;

    fn put<'t>(&'t self, writing: Writing<'t>) -> Writing<'t> {
        writing
            .put("bundle", &self.bundle)
            .put("version", &self.version)
    }

    fn take(reading: &mut Reading<'_>, time: u64) -> Result<Self, LogError> {
        Ok(Self {
            time,
            bundle: reading.get("bundle")?,
            version: reading.get("version")?,
        })
    }

    fn check(&self) -> Result<(), LogError> {
        Ok(())
    }

    fn time(&self) -> u64 {
        self.time
    }
}
