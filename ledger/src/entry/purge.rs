//! `purge`: evidence was deleted.

use super::{
    Content, EntryKind,
    field::{Reading, Writing},
    require,
};
use crate::{EvidenceKind, LogError};

/// Evidence was deleted because it had been kept long enough. The entries that name it stay. Policy files are never
/// deleted: without them nothing could be judged again.
///
/// ```json
/// {"before":1735689600000,"count":4711,"kinds":["key-request","order"],"time":1767225600000,"type":"purge","v":1}
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PurgeEntry {
    /// When, in milliseconds since 1970.
    pub time: u64,
    /// Evidence of entries with a time before this is gone, in milliseconds since 1970.
    pub before: u64,
    /// Of these kinds, by their texts in ascending order, each once.
    pub kinds: Vec<EvidenceKind>,
    /// How many pieces.
    pub count: u64,
}

impl Content for PurgeEntry {
    const KIND: EntryKind = EntryKind::Purge;

    fn put<'t>(&'t self, writing: Writing<'t>) -> Writing<'t> {
        writing
            .put("before", &self.before)
            .put("kinds", &self.kinds)
            .put("count", &self.count)
    }

    fn take(reading: &mut Reading<'_>, time: u64) -> Result<Self, LogError> {
        Ok(Self {
            time,
            before: reading.get("before")?,
            kinds: reading.get("kinds")?,
            count: reading.get("count")?,
        })
    }

    fn check(&self) -> Result<(), LogError> {
        require(!self.kinds.is_empty(), "a purge of no kind of evidence")?;
        require(
            self.kinds
                .is_sorted_by(|one, next| one.as_str() < next.as_str()),
            "kinds of evidence do not ascend",
        )?;
        require(
            !self.kinds.contains(&EvidenceKind::PolicyFile),
            "policy files are never deleted",
        )
    }

    fn time(&self) -> u64 {
        self.time
    }
}
