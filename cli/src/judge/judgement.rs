//! The verdict with everything that qualifies it: live or replay, which root, what was expected.

use narthex_policy::Refusal as PolicyRefusal;
use narthex_verifier::{
    AnchorKind, Outcome as CheckOutcome, Refusal, ReplayAt, Report, TrustAnchors, UnixMillis,
};
use serde_json::{Value, json};

use super::document::Document;
use super::expected::{Expected, FromPolicy};
use crate::exit::Exit;
use crate::failure::Outcome;
use crate::output::{Output, Symbols};
use crate::printable::printable;
use crate::table::Table;

/// At which time a document is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// At this computer's clock.
    Live(UnixMillis),
    /// At a time that the caller states; `None` if that is the document's own and it has none.
    Replay(Option<UnixMillis>),
}

impl Mode {
    /// For a document that could not be read.
    pub(crate) fn from_arguments(replay_at: Option<ReplayAt>, now: UnixMillis) -> Self {
        match replay_at {
            None => Mode::Live(now),
            Some(ReplayAt::Time(time)) => Mode::Replay(Some(time)),
            Some(ReplayAt::DocumentTimestamp) => Mode::Replay(None),
        }
    }

    /// The time that everything is judged at.
    pub(crate) fn judged_at(self) -> UnixMillis {
        match self {
            Mode::Live(time) | Mode::Replay(Some(time)) => time,
            Mode::Replay(None) => UnixMillis::from_millis(0),
        }
    }

    fn word(self) -> &'static str {
        match self {
            Mode::Live(_) => "live",
            Mode::Replay(_) => "replay",
        }
    }

    fn text(self) -> String {
        match self {
            Mode::Live(now) => format!("live, at {now}"),
            Mode::Replay(Some(time)) => format!("REPLAY, as of {time}: says nothing about now"),
            Mode::Replay(None) => "REPLAY: says nothing about now".to_owned(),
        }
    }

    fn time_json(self) -> Option<String> {
        match self {
            Mode::Live(time) | Mode::Replay(Some(time)) => Some(time.to_string()),
            Mode::Replay(None) => None,
        }
    }
}

/// Whether expectations were part of the question.
#[derive(Clone, Copy)]
pub(crate) enum Appraisal<'a> {
    /// `inspect`: signature and chain only.
    None,
    /// `verify`; without a value where the document could not even be read.
    Expected(Option<&'a Expected>),
}

/// A verdict.
pub(crate) struct Judgement<'a> {
    mode: Mode,
    appraisal: Appraisal<'a>,
    anchors: &'a TrustAnchors,
    reason: Option<Reason>,
    report: Option<&'a Report>,
}

/// Why not.
struct Reason {
    id: &'static str,
    words: String,
}

impl<'a> Judgement<'a> {
    pub(crate) fn accepted(
        mode: Mode,
        appraisal: Appraisal<'a>,
        anchors: &'a TrustAnchors,
        report: &'a Report,
    ) -> Self {
        Self {
            mode,
            appraisal,
            anchors,
            reason: None,
            report: Some(report),
        }
    }

    pub(crate) fn refused(
        mode: Mode,
        appraisal: Appraisal<'a>,
        anchors: &'a TrustAnchors,
        refusal: &'a Refusal,
    ) -> Self {
        let reason = Reason {
            id: refusal.reason().id(),
            words: refusal.to_string(),
        };
        Self {
            mode,
            appraisal,
            anchors,
            reason: Some(reason),
            report: Some(refusal.report()),
        }
    }

    /// The policy says no before the document is judged.
    pub(crate) fn refused_by_policy(
        mode: Mode,
        expected: &'a Expected,
        anchors: &'a TrustAnchors,
        refusal: &PolicyRefusal,
    ) -> Self {
        let reason = Reason {
            id: refusal.id(),
            words: refusal.to_string(),
        };
        let appraisal = Appraisal::Expected(Some(expected));
        Self {
            mode,
            appraisal,
            anchors,
            reason: Some(reason),
            report: None,
        }
    }

    /// Writes it, and returns the exit code that goes with it.
    pub(crate) fn show(&self, document: Option<&Document<'_>>, output: &Output) -> Outcome<Exit> {
        output.result(&self.to_json(document), || {
            self.text(document, output.symbols())
        })?;
        Ok(match self.reason {
            None => Exit::Done,
            Some(_) => Exit::Refused,
        })
    }

    fn to_json(&self, document: Option<&Document<'_>>) -> Value {
        let policy = self.policy().map(FromPolicy::to_json);
        json!({
            "verdict": if self.reason.is_none() { "accepted" } else { "refused" },
            "reason": self.reason.as_ref().map(|reason| reason.id),
            "mode": self.mode.word(),
            "judged_at": self.mode.time_json(),
            "appraised": self.appraised() && self.reason.is_none(),
            "root": { "kind": self.anchors.anchor().id(), "sha256": hex::encode(self.anchors.anchor().sha256()) },
            "insecure_pcr0_only": self.insecure_pcr0_only(),
            "policy": policy,
            "checks": self.report.map(checks_json).unwrap_or_default(),
            "document": document.map(Document::to_json),
        })
    }

    fn text(&self, document: Option<&Document<'_>>, symbols: Symbols) -> String {
        let mut text = self.verdict_line();
        text.push('\n');
        let mut table = Table::indented(2);
        table.row(["judged", &self.mode.text()]);
        let root = match self.anchors.anchor().kind() {
            AnchorKind::Aws => "AWS Nitro Enclaves root G1".to_owned(),
            AnchorKind::InsecureDevelopment => {
                "DEVELOPMENT, given with --root: a mock made this, it shows nothing".to_owned()
            }
            _ => {
                let sha256 = hex::encode(self.anchors.anchor().sha256());
                format!("CUSTOM, given with --root: SHA-256 {sha256}")
            }
        };
        table.row(["root", &root]);
        if let Some(policy) = self.policy() {
            table.row(["policy", &policy.text()]);
        }
        if self.insecure_pcr0_only() {
            table.row(["INSECURE", "PCR0 only: PCR1 and PCR2 were not expected"]);
        }
        text.push_str(&table.text());
        if let Some(document) = document {
            text.push_str(&document.text(self.mode.judged_at().as_millis()));
        }
        if let Some(report) = self.report {
            text.push_str("\nChecks\n");
            text.push_str(&check_lines(report, symbols));
        }
        text
    }

    fn verdict_line(&self) -> String {
        match (&self.reason, self.appraisal) {
            (Some(reason), _) => format!("REFUSED  {}", printable(&reason.words)),
            (None, Appraisal::Expected(_)) => {
                "ACCEPTED  genuine, fresh enough, and as expected".to_owned()
            }
            (None, Appraisal::None) => {
                "GENUINE  signature and chain hold; nothing was expected of it (that is `narthex verify`)"
                    .to_owned()
            }
        }
    }

    fn appraised(&self) -> bool {
        matches!(self.appraisal, Appraisal::Expected(_))
    }

    fn policy(&self) -> Option<&FromPolicy> {
        match self.appraisal {
            Appraisal::Expected(Some(expected)) => expected.policy.as_ref(),
            Appraisal::Expected(None) | Appraisal::None => None,
        }
    }

    fn insecure_pcr0_only(&self) -> bool {
        match self.appraisal {
            Appraisal::Expected(Some(expected)) => expected.insecure_pcr0_only,
            Appraisal::Expected(None) | Appraisal::None => false,
        }
    }
}

fn checks_json(report: &Report) -> Vec<Value> {
    let lines = report.checks();
    lines
        .iter()
        .map(|check| {
            let observed = check.observed.to_string();
            json!({
                "id": check.id.id(),
                "outcome": check.outcome.id(),
                "expected": check.expected.to_string(),
                "observed": if observed.is_empty() { Value::Null } else { json!(observed) },
            })
        })
        .collect()
}

/// One line per check that was made; the others are counted.
pub(crate) fn check_lines(report: &Report, symbols: Symbols) -> String {
    let mut table = Table::indented(2);
    let mut not_applicable = 0;
    let mut not_reached = 0;
    for check in report.checks() {
        let observed = check.observed.to_string();
        let id = check.id.id();
        match (check.outcome, symbols) {
            (CheckOutcome::Pass, Symbols::Unicode) => table.row(["✓", id, &printable(&observed)]),
            (CheckOutcome::Pass, Symbols::Words) => table.row(["pass", id, &printable(&observed)]),
            (CheckOutcome::Fail, symbols) => {
                let mark = if symbols == Symbols::Unicode {
                    "✗"
                } else {
                    "FAIL"
                };
                let found = if observed.is_empty() {
                    "nothing"
                } else {
                    &observed
                };
                let words = format!("expected {}, found {found}", check.expected);
                table.row([mark, id, &printable(&words)]);
            }
            (CheckOutcome::NotApplicable, _) => not_applicable += 1,
            (CheckOutcome::NotReached, _) => not_reached += 1,
        }
    }
    let mut text = table.text();
    text.push_str(&format!(
        "  {not_applicable} had nothing to compare with, {not_reached} were not reached\n"
    ));
    text
}
