//! Entries: what the log says, one decision or event each.
//!
//! An entry is one JSON object in its canonical form (`ENTRIES.md` beside this crate has every field, and an
//! example of each kind). It holds digests of evidence and pseudonyms of people, never names of people and never
//! content. Reading is strict: an unknown field, another order of keys, white space or another spelling of a
//! number is an error, so that one entry has exactly one leaf, and every reader reads the same.

mod administration;
mod current;
mod epoch;
pub(crate) mod field;
pub(crate) mod json;
mod order;
mod policy;
mod purge;
mod release;
mod restore;
mod search;
mod statement;
mod summary;
mod text;

#[cfg(test)]
mod tests;

use std::borrow::Cow;

pub(crate) use self::field::texts;
pub use self::{
    administration::{AdministrationEntry, KeyChange, KeyState},
    current::{CurrentEntry, CurrentExtra},
    epoch::EpochEntry,
    order::{OrderEntry, OrderExtra, OrderFacts, OrderKind, OrderScope},
    policy::{PolicyEntry, PolicyFile, PolicyFileKind},
    purge::PurgeEntry,
    release::{ReleaseEntry, ReleaseExtra, ReleaseFacts, ReleasedKey},
    restore::{LostKey, RestoreEntry},
    statement::StatementEntry,
    summary::SummaryEntry,
};
use self::{
    field::{Reading, Writing},
    json::{Json, read_object},
};
use crate::{LogError, LogReason, MAX_ENTRY};

/// The largest `extra` of a proof that is read.
pub const MAX_EXTRA: usize = 4096;
/// Version of all entries.
const VERSION: u64 = 1;

texts! {
    /// What an entry is about.
    EntryKind, "a type of entry" {
        /// Policy files were delivered.
        Policy = "policy",
        /// A bundle is in force.
        Current = "current",
        /// Somebody wants to diagnose an enclave.
        Order = "order",
        /// An enclave asked for keys.
        Release = "release",
        /// Somebody administered keys.
        Administration = "administration",
        /// An agent's own account of its decisions.
        Statement = "statement",
        /// Counts of what was refused and not recorded one by one.
        Summary = "summary",
        /// Evidence was deleted.
        Purge = "purge",
        /// A new log continues an older one.
        Epoch = "epoch",
        /// The service caught up with its own log.
        Restore = "restore",
    }

    /// How it ended.
    Outcome, "an outcome" {
        /// Done. Entries that record no decision count as accepted.
        Accepted = "accepted",
        /// Not done.
        Refused = "refused",
    }
}

/// What was decided.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Decision {
    /// Done.
    Accepted,
    /// Not done.
    Refused {
        /// The stable id of the reason, `[a-z0-9._-]{1,64}`.
        reason: String,
    },
}

impl Decision {
    /// Without the reason.
    #[must_use]
    pub const fn outcome(&self) -> Outcome {
        match self {
            Self::Accepted => Outcome::Accepted,
            Self::Refused { .. } => Outcome::Refused,
        }
    }

    /// Why it was refused.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Accepted => None,
            Self::Refused { reason } => Some(reason),
        }
    }

    /// Whether it was accepted.
    #[must_use]
    pub const fn is_accepted(&self) -> bool {
        matches!(self, Self::Accepted)
    }

    fn put<'t>(&'t self, writing: Writing<'t>) -> Writing<'t> {
        let writing = writing.put_text("outcome", self.outcome().as_str());
        match self.reason() {
            Some(reason) => writing.put_text("reason", reason),
            None => writing,
        }
    }

    fn take(reading: &mut Reading<'_>) -> Result<Self, LogError> {
        match reading.get("outcome")? {
            Outcome::Accepted => Ok(Self::Accepted),
            Outcome::Refused => Ok(Self::Refused {
                reason: reading.get("reason")?,
            }),
        }
    }

    fn check(&self) -> Result<(), LogError> {
        self.reason().map_or(Ok(()), text::reason)
    }
}

/// One kind of entry: its fields to and from an object, and the rules that its fields keep among themselves.
trait Content: Sized {
    const KIND: EntryKind;

    fn put<'t>(&'t self, writing: Writing<'t>) -> Writing<'t>;
    fn take(reading: &mut Reading<'_>, time: u64) -> Result<Self, LogError>;
    fn check(&self) -> Result<(), LogError>;
    fn time(&self) -> u64;
}

/// An entry of the log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Entry {
    /// Policy files were delivered. Entry 0 is the genesis bundle.
    Policy(PolicyEntry),
    /// A bundle is in force.
    Current(CurrentEntry),
    /// An order for diagnostics was submitted.
    Order(OrderEntry),
    /// An enclave asked for keys.
    Release(ReleaseEntry),
    /// Keys were administered.
    Administration(AdministrationEntry),
    /// An agent's own account of its decisions.
    Statement(StatementEntry),
    /// Counts of what was not recorded one by one.
    Summary(SummaryEntry),
    /// Evidence was deleted.
    Purge(PurgeEntry),
    /// A new log continues an older one. Only entry 0 of a later epoch.
    Epoch(EpochEntry),
    /// The service caught up with its own log.
    Restore(RestoreEntry),
}

/// Runs `$body` with the content of `$entry`, whatever its kind.
macro_rules! each {
    ($entry:expr, $content:ident => $body:expr) => {
        match $entry {
            Entry::Policy($content) => $body,
            Entry::Current($content) => $body,
            Entry::Order($content) => $body,
            Entry::Release($content) => $body,
            Entry::Administration($content) => $body,
            Entry::Statement($content) => $body,
            Entry::Summary($content) => $body,
            Entry::Purge($content) => $body,
            Entry::Epoch($content) => $body,
            Entry::Restore($content) => $body,
        }
    };
}

impl Entry {
    /// The entry's bytes in the log.
    ///
    /// # Errors
    ///
    /// `log.entry` if a text has not its form, a number or the whole is too large, or fields contradict each
    /// other: what could not be read back is not written.
    pub fn to_leaf(&self) -> Result<Vec<u8>, LogError> {
        each!(self, content => to_leaf(content))
    }

    /// Reads an entry.
    ///
    /// # Errors
    ///
    /// `log.entry` unless `leaf` is exactly what [`Entry::to_leaf`] writes for some entry.
    pub fn from_leaf(leaf: &[u8]) -> Result<Self, LogError> {
        if leaf.len() > MAX_ENTRY {
            return Err(wrong(format!(
                "{} bytes; {MAX_ENTRY} are the most",
                leaf.len()
            )));
        }
        let entry = Self::read(leaf).map_err(|error| error.within("entry"))?;
        // Holds by construction; costs little; and nothing that hashes to another leaf can pass as this entry.
        if entry.to_leaf()? != leaf {
            return Err(wrong("the entry is not in its canonical form".to_owned()));
        }
        Ok(entry)
    }

    fn read(leaf: &[u8]) -> Result<Self, LogError> {
        let mut reading = Reading::new(read_object(leaf)?);
        let version: u64 = reading.get("v")?;
        if version != VERSION {
            return Err(wrong(format!(
                "version {version}; this program reads version {VERSION}"
            )));
        }
        let time = reading.get("time")?;
        let entry = match reading.get("type")? {
            EntryKind::Policy => Self::Policy(Content::take(&mut reading, time)?),
            EntryKind::Current => Self::Current(Content::take(&mut reading, time)?),
            EntryKind::Order => Self::Order(Content::take(&mut reading, time)?),
            EntryKind::Release => Self::Release(Content::take(&mut reading, time)?),
            EntryKind::Administration => Self::Administration(Content::take(&mut reading, time)?),
            EntryKind::Statement => Self::Statement(Content::take(&mut reading, time)?),
            EntryKind::Summary => Self::Summary(Content::take(&mut reading, time)?),
            EntryKind::Purge => Self::Purge(Content::take(&mut reading, time)?),
            EntryKind::Epoch => Self::Epoch(Content::take(&mut reading, time)?),
            EntryKind::Restore => Self::Restore(Content::take(&mut reading, time)?),
        };
        reading.finish()?;
        Ok(entry)
    }

    /// What it is about.
    #[must_use]
    pub const fn kind(&self) -> EntryKind {
        match self {
            Self::Policy(_) => EntryKind::Policy,
            Self::Current(_) => EntryKind::Current,
            Self::Order(_) => EntryKind::Order,
            Self::Release(_) => EntryKind::Release,
            Self::Administration(_) => EntryKind::Administration,
            Self::Statement(_) => EntryKind::Statement,
            Self::Summary(_) => EntryKind::Summary,
            Self::Purge(_) => EntryKind::Purge,
            Self::Epoch(_) => EntryKind::Epoch,
            Self::Restore(_) => EntryKind::Restore,
        }
    }

    /// When it was written, by the service's clock: milliseconds since 1970.
    #[must_use]
    pub fn time(&self) -> u64 {
        each!(self, content => content.time())
    }

    /// The decision, in entries that record one.
    #[must_use]
    pub const fn decision(&self) -> Option<&Decision> {
        match self {
            Self::Policy(entry) => Some(&entry.decision),
            Self::Order(entry) => Some(&entry.decision),
            Self::Release(entry) => Some(&entry.decision),
            Self::Administration(entry) => Some(&entry.decision),
            Self::Current(_)
            | Self::Statement(_)
            | Self::Summary(_)
            | Self::Purge(_)
            | Self::Epoch(_)
            | Self::Restore(_) => None,
        }
    }

    /// How it ended; what records no decision counts as accepted.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        self.decision().map_or(Outcome::Accepted, Decision::outcome)
    }

    /// Why it was refused.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        self.decision().and_then(Decision::reason)
    }
}

/// The leaf of any kind of entry.
fn to_leaf<C: Content>(content: &C) -> Result<Vec<u8>, LogError> {
    content.check().map_err(|error| error.within("entry"))?;
    let time = content.time();
    let writing = Writing::default()
        .put("time", &time)
        .put_text("type", C::KIND.as_str())
        .put("v", &VERSION);
    let mut leaf = Vec::with_capacity(512);
    // The fields of the entry borrow from it, `time` from here: one object of the shorter life.
    content.put(writing).into_json().write(&mut leaf)?;
    if leaf.len() > MAX_ENTRY {
        return Err(wrong(format!(
            "{} bytes; {MAX_ENTRY} are the most",
            leaf.len()
        )));
    }
    Ok(leaf)
}

/// The extra of a proof: what the verifier cannot know by itself, in canonical JSON.
fn read_extra(extra: &[u8]) -> Result<Reading<'_>, LogError> {
    if extra.len() > MAX_EXTRA {
        return Err(wrong(format!(
            "an extra of {} bytes; {MAX_EXTRA} are the most",
            extra.len()
        )));
    }
    read_object(extra)
        .map(Reading::new)
        .map_err(|error| error.within("extra"))
}

fn write_extra(writing: Writing<'_>) -> Result<Vec<u8>, LogError> {
    let mut extra = Vec::with_capacity(256);
    writing.into_json().write(&mut extra)?;
    if extra.len() > MAX_EXTRA {
        return Err(wrong(format!(
            "an extra of {} bytes; {MAX_EXTRA} are the most",
            extra.len()
        )));
    }
    Ok(extra)
}

/// `log.entry` with words.
fn wrong(detail: impl Into<Cow<'static, str>>) -> LogError {
    LogError::new(LogReason::Entry, detail.into().into_owned())
}

/// A rule among fields.
fn require(holds: bool, rule: &'static str) -> Result<(), LogError> {
    if holds { Ok(()) } else { Err(wrong(rule)) }
}

/// Each item once.
fn require_distinct<T: Ord>(items: &[T], rule: &'static str) -> Result<(), LogError> {
    let mut seen = std::collections::BTreeSet::new();
    require(items.iter().all(|item| seen.insert(item)), rule)
}

/// Reads an object inside a list.
fn take_inner<T>(
    json: Json<'_>,
    take: impl FnOnce(&mut Reading<'_>) -> Result<T, LogError>,
) -> Result<T, LogError> {
    let mut reading = Reading::from_json(json)?;
    let value = take(&mut reading)?;
    reading.finish()?;
    Ok(value)
}
