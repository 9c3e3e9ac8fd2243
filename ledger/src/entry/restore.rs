//! `restore`: the service caught up with its own log.

use super::{
    Content, EntryKind,
    field::{Reading, Value, Writing},
    json::Json,
    require, require_distinct, take_inner, text,
};
use crate::LogError;

/// The service had been set back, and caught up with its own log from a copy of it.
///
/// ```json
/// {"from_size":800,"lost":[{"name":"payments-db","version":3}],"time":1767225600000,"to_size":812,
///  "type":"restore","v":1}
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RestoreEntry {
    /// When, in milliseconds since 1970.
    pub time: u64,
    /// How many entries the service had.
    pub from_size: u64,
    /// How many it had afterwards.
    pub to_size: u64,
    /// Versions of keys that are in the log and whose material was lost; they count as retired.
    pub lost: Vec<LostKey>,
}

/// A version of a key whose material was lost.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct LostKey {
    /// The key's name.
    pub name: String,
    /// The version.
    pub version: u32,
}

impl Content for RestoreEntry {
    const KIND: EntryKind = EntryKind::Restore;

    fn put<'t>(&'t self, writing: Writing<'t>) -> Writing<'t> {
        writing
            .put("from_size", &self.from_size)
            .put("to_size", &self.to_size)
            .put("lost", &self.lost)
    }

    fn take(reading: &mut Reading<'_>, time: u64) -> Result<Self, LogError> {
        Ok(Self {
            time,
            from_size: reading.get("from_size")?,
            to_size: reading.get("to_size")?,
            lost: reading.get("lost")?,
        })
    }

    fn check(&self) -> Result<(), LogError> {
        require(self.from_size <= self.to_size, "a log that shrank")?;
        require_distinct(&self.lost, "a version of a key is listed twice")?;
        self.lost
            .iter()
            .try_for_each(|key| text::key_name(&key.name))
    }

    fn time(&self) -> u64 {
        self.time
    }
}

impl Value for LostKey {
    fn to_json(&self) -> Json<'_> {
        Writing::default()
            .put("name", &self.name)
            .put("version", &self.version)
            .into_json()
    }

    fn from_json(json: Json<'_>) -> Result<Self, LogError> {
        take_inner(json, |reading| {
            Ok(Self {
                name: reading.get("name")?,
                version: reading.get("version")?,
            })
        })
    }
}
