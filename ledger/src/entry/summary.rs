//! `summary`: counts of what was refused and not recorded one by one.

use std::{borrow::Cow, collections::BTreeMap};

use super::{
    Content, EntryKind,
    field::{Reading, Value, Writing},
    json::Json,
    require, text, wrong,
};
use crate::LogError;

/// Counts of what was refused and not recorded one by one: what nobody can be held to, and what went over a rate.
///
/// ```json
/// {"counts":{"channel.handshake":3,"order.signature":1},"from":1767225600000,"time":1767229200000,
///  "to":1767229200000,"type":"summary","v":1}
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SummaryEntry {
    /// When, in milliseconds since 1970.
    pub time: u64,
    /// How often, by reason; at least one, none of them zero.
    pub counts: BTreeMap<String, u64>,
    /// Begin of the time counted, in milliseconds since 1970.
    pub from: u64,
    /// End of it.
    pub to: u64,
}

impl Content for SummaryEntry {
    const KIND: EntryKind = EntryKind::Summary;

    fn put<'t>(&'t self, writing: Writing<'t>) -> Writing<'t> {
        writing
            .put("counts", &self.counts)
            .put("from", &self.from)
            .put("to", &self.to)
    }

    fn take(reading: &mut Reading<'_>, time: u64) -> Result<Self, LogError> {
        Ok(Self {
            time,
            counts: reading.get("counts")?,
            from: reading.get("from")?,
            to: reading.get("to")?,
        })
    }

    fn check(&self) -> Result<(), LogError> {
        require(!self.counts.is_empty(), "a summary of nothing")?;
        require(self.from <= self.to, "a summary that ends before it begins")?;
        self.counts.iter().try_for_each(|(reason, count)| {
            require(*count > 0, "a reason with a count of zero")?;
            text::reason(reason)
        })
    }

    fn time(&self) -> u64 {
        self.time
    }
}

impl Value for BTreeMap<String, u64> {
    fn to_json(&self) -> Json<'_> {
        Json::Object(
            self.iter()
                .map(|(reason, count)| (Cow::Borrowed(reason.as_str()), Json::Number(*count)))
                .collect(),
        )
    }

    fn from_json(json: Json<'_>) -> Result<Self, LogError> {
        match json {
            Json::Object(counts) => counts
                .into_iter()
                .map(|(reason, count)| Ok((reason.into_owned(), u64::from_json(count)?)))
                .collect(),
            other => Err(wrong(format!("{} where an object belongs", other.name()))),
        }
    }
}
