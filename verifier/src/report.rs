//! What was checked, what was expected, and what was seen.

use core::fmt;
use core::time::Duration;

use crate::check::{CheckId, Stage};
use crate::digest::write_hex;
use crate::time::UnixMillis;

/// What became of one check.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// It held.
    Pass,
    /// It did not hold.
    Fail,
    /// There was nothing to compare: no expectation, or no meaning in this mode. Not a success.
    NotApplicable,
    /// An earlier failure, or the call that was made, ended before it.
    NotReached,
}

impl Outcome {
    /// The name used in JSON: `pass`, `fail`, `not-applicable` or `not-reached`.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::NotApplicable => "not-applicable",
            Self::NotReached => "not-reached",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

/// An expected or observed value. `Display` is its only use: compare ids, never texts.
///
/// Kept as a value and written only when somebody looks, so that a passing check costs nothing.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Detail(Content);

#[derive(Clone, Debug, Eq, PartialEq)]
enum Content {
    Static(&'static str),
    Owned(Box<str>),
    Number(u64),
    ByteCount(u64),
    Time(UnixMillis),
    Bytes(Box<[u8]>),
    Limit(Box<Limit>),
}

/// A limit of time, and the time it was applied at.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Limit {
    words: &'static str,
    limit: Duration,
    now: UnixMillis,
}

impl Detail {
    pub(crate) const NONE: Self = Self(Content::Static(""));

    pub(crate) fn number(number: impl TryInto<u64>) -> Self {
        Self(Content::Number(number.try_into().unwrap_or(u64::MAX)))
    }

    pub(crate) fn byte_count(count: usize) -> Self {
        Self(Content::ByteCount(u64::try_from(count).unwrap_or(u64::MAX)))
    }

    pub(crate) fn bytes(bytes: &[u8]) -> Self {
        Self(Content::Bytes(bytes.into()))
    }

    pub(crate) fn limit(words: &'static str, limit: Duration, now: UnixMillis) -> Self {
        Self(Content::Limit(Box::new(Limit { words, limit, now })))
    }

    /// Whether there is nothing to show.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        matches!(self.0, Content::Static(""))
    }
}

impl From<&'static str> for Detail {
    fn from(text: &'static str) -> Self {
        Self(Content::Static(text))
    }
}

impl From<String> for Detail {
    fn from(text: String) -> Self {
        Self(Content::Owned(text.into()))
    }
}

impl From<UnixMillis> for Detail {
    fn from(time: UnixMillis) -> Self {
        Self(Content::Time(time))
    }
}

impl fmt::Display for Detail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Content::Static(text) => f.write_str(text),
            Content::Owned(text) => f.write_str(text),
            Content::Number(number) => write!(f, "{number}"),
            Content::ByteCount(1) => f.write_str("1 byte"),
            Content::ByteCount(count) => write!(f, "{count} bytes"),
            Content::Time(time) => write!(f, "{time}"),
            Content::Bytes(bytes) if bytes.is_empty() => f.write_str("empty"),
            Content::Bytes(bytes) => write_hex(f, bytes),
            Content::Limit(limit) => {
                let Limit { words, limit, now } = &**limit;
                write!(f, "{words} ({limit:?}, judged at {now})")
            }
        }
    }
}

/// One line of a report.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Check {
    /// Which check.
    pub id: CheckId,
    /// What became of it.
    pub outcome: Outcome,
    /// What had to be there.
    pub expected: Detail,
    /// What was there; empty when nothing was looked at.
    pub observed: Detail,
}

/// Everything that was checked about one document, in the order of [`CheckId::all`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Report {
    entries: Vec<Check>,
    /// The last stage that was completed or begun: what is missing in it was not applicable.
    appraised: bool,
}

impl Report {
    /// Every check there is, each once, with those that were not reached.
    #[must_use]
    pub fn checks(&self) -> Vec<Check> {
        CheckId::all().map(|id| self.check(id)).collect()
    }

    /// One check.
    #[must_use]
    pub fn check(&self, id: CheckId) -> Check {
        // The last word counts: appraisal may look again at what verification had passed.
        let found = self.entries.iter().rev().find(|check| check.id == id);
        found.cloned().unwrap_or_else(|| {
            let outcome = match id.stage() {
                Stage::Appraise if self.appraised => Outcome::NotApplicable,
                _ => Outcome::NotReached,
            };
            Check {
                id,
                outcome,
                expected: id.rule().into(),
                observed: Detail::NONE,
            }
        })
    }

    /// The outcome of one check.
    #[must_use]
    pub fn outcome(&self, id: CheckId) -> Outcome {
        self.check(id).outcome
    }

    /// Every check that failed, the reason of the refusal first.
    pub fn failures(&self) -> impl Iterator<Item = &Check> {
        self.entries
            .iter()
            .filter(|check| check.outcome == Outcome::Fail)
    }
}

/// A document was not accepted.
///
/// `Display` says which check failed, what it expected and what it saw.
#[derive(Clone, Eq, PartialEq)]
pub struct Refusal(Box<Inner>);

#[derive(Clone, Debug, Eq, PartialEq)]
struct Inner {
    reason: CheckId,
    report: Report,
}

impl Refusal {
    /// The first check that failed.
    #[must_use]
    pub fn reason(&self) -> CheckId {
        self.0.reason
    }

    /// Every check, those that failed after the reason among them.
    #[must_use]
    pub fn report(&self) -> &Report {
        &self.0.report
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let check = self.0.report.check(self.0.reason);
        write!(f, "{}: expected {}", check.id, check.expected)?;
        if !check.observed.is_empty() {
            write!(f, ", found {}", check.observed)?;
        }
        match self.0.report.failures().count() {
            0 | 1 => Ok(()),
            count => write!(f, " (and {} more)", count - 1),
        }
    }
}

/// As `Display`: the report is for [`Refusal::report`].
impl fmt::Debug for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Refusal({self})")
    }
}

impl core::error::Error for Refusal {}

/// A failed check on its way up, before the checks that passed are joined to it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Failure {
    pub(crate) id: CheckId,
    pub(crate) observed: Detail,
}

impl Failure {
    pub(crate) fn new(id: CheckId, observed: impl Into<Detail>) -> Self {
        Self {
            id,
            observed: observed.into(),
        }
    }
}

/// Collects the lines of a report.
#[derive(Clone, Debug)]
pub(crate) struct Recorder(Report);

impl Recorder {
    pub(crate) fn new() -> Self {
        // Enough for every check, so that a whole verification allocates once.
        Self(Report {
            entries: Vec::with_capacity(96),
            appraised: false,
        })
    }

    /// Goes on where an earlier stage ended.
    pub(crate) fn resume(report: &Report) -> Self {
        let mut recorder = Self::new();
        recorder.0.entries.extend_from_slice(&report.entries);
        recorder.0.appraised = report.appraised;
        recorder
    }

    pub(crate) fn pass(&mut self, id: CheckId, observed: Detail) {
        self.record(id, Outcome::Pass, id.rule().into(), observed);
    }

    pub(crate) fn fail(&mut self, failure: Failure) {
        let Failure { id, observed } = failure;
        self.record(id, Outcome::Fail, id.rule().into(), observed);
    }

    pub(crate) fn not_applicable(&mut self, id: CheckId, why: impl Into<Detail>) {
        self.record(id, Outcome::NotApplicable, id.rule().into(), why.into());
    }

    pub(crate) fn record(
        &mut self,
        id: CheckId,
        outcome: Outcome,
        expected: Detail,
        observed: Detail,
    ) {
        self.0.entries.push(Check {
            id,
            outcome,
            expected,
            observed,
        });
    }

    /// From here on, what has no entry among the checks of appraisal had nothing to compare.
    pub(crate) fn begin_appraisal(&mut self) {
        self.0.appraised = true;
    }

    /// Goes on if nothing failed.
    pub(crate) fn settle(self) -> Result<Self, Refusal> {
        let first = self.0.failures().next().map(|check| check.id);
        match first {
            None => Ok(self),
            Some(reason) => Err(Refusal(Box::new(Inner {
                reason,
                report: self.0,
            }))),
        }
    }

    /// Ends with one failure.
    pub(crate) fn refuse(mut self, failure: Failure) -> Refusal {
        let reason = failure.id;
        self.fail(failure);
        Refusal(Box::new(Inner {
            reason,
            report: self.0,
        }))
    }

    pub(crate) fn finish(self) -> Report {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::PcrIndex;

    #[test]
    fn a_report_lists_every_check_once() {
        let mut recorder = Recorder::new();
        recorder.pass(CheckId::DocumentSize, Detail::byte_count(7));
        let refusal = recorder.refuse(Failure::new(CheckId::CoseTag, "tag 19"));
        let checks = refusal.report().checks();
        assert_eq!(checks.len(), CheckId::all().count());
        assert_eq!(refusal.reason(), CheckId::CoseTag);
        assert_eq!(
            refusal.report().outcome(CheckId::DocumentSize),
            Outcome::Pass
        );
        assert_eq!(
            refusal.report().outcome(CheckId::CoseSignature),
            Outcome::NotReached
        );
        assert_eq!(
            refusal.to_string(),
            "cose.tag: expected tag 18 or no tag, found tag 19"
        );
    }

    #[test]
    fn what_has_no_expectation_is_not_applicable_only_once_appraised() {
        let id = CheckId::Pcr(PcrIndex::SIGNER);
        let mut recorder = Recorder::new();
        assert_eq!(recorder.0.outcome(id), Outcome::NotReached);
        recorder.begin_appraisal();
        assert_eq!(recorder.0.outcome(id), Outcome::NotApplicable);
    }

    #[test]
    fn details_are_words_for_people() {
        assert_eq!(Detail::byte_count(1).to_string(), "1 byte");
        assert_eq!(Detail::bytes(&[0xab, 1]).to_string(), "ab01");
        assert_eq!(Detail::bytes(&[]).to_string(), "empty");
        assert_eq!(
            Detail::from(UnixMillis::from_millis(0)).to_string(),
            "1970-01-01T00:00:00.000Z"
        );
    }
}
