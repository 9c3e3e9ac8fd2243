//! What was tested, how often, and what did not hold.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::check::Check;
use super::claim::{Claim, Gap, Verdict, Weight};

/// Exceptions that are listed for each check; more are counted.
pub(crate) const MAX_LISTED: usize = 100;
/// Words of an exception may quote what was judged.
const MAX_WORDS: usize = 600;

/// Where in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// The epoch, counted from 0.
    pub(crate) epoch: u32,
    /// The entry in that epoch's tree.
    pub(crate) index: u64,
}

/// Why something does not hold: a stable id where there is one, and words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// The id of a reason of the policy, the verifier, the log or the key service.
    pub(crate) reason: String,
    /// What was expected and found.
    pub(crate) words: String,
}

impl Fault {
    pub(crate) fn new(reason: &str, words: impl fmt::Display) -> Self {
        let words = words.to_string();
        let words = match words.char_indices().nth(MAX_WORDS) {
            Some((end, _)) => format!("{}…", words.get(..end).unwrap_or_default()),
            None => words,
        };
        Self {
            reason: reason.to_owned(),
            words,
        }
    }

    /// The entry says something else than its evidence.
    pub(crate) fn differs(
        what: &str,
        entry: impl fmt::Display,
        evidence: impl fmt::Display,
    ) -> Self {
        Self::new(
            "entry.differs",
            format_args!("{what}: the entry says {entry}, its evidence {evidence}"),
        )
    }
}

impl From<&narthex_policy::Refusal> for Fault {
    fn from(refusal: &narthex_policy::Refusal) -> Self {
        Self::new(refusal.id(), refusal.detail())
    }
}

impl From<&narthex_verifier::Refusal> for Fault {
    fn from(refusal: &narthex_verifier::Refusal) -> Self {
        Self::new(refusal.reason().id(), refusal)
    }
}

impl From<&narthex_ledger::LogError> for Fault {
    fn from(error: &narthex_ledger::LogError) -> Self {
        Self::new(error.id(), error.detail())
    }
}

/// Something that does not hold.
#[derive(Clone, Debug)]
pub(crate) struct Exception {
    /// The check.
    pub(crate) check: Check,
    /// Where; `None` for what is not about one entry.
    pub(crate) place: Option<Place>,
    /// Why.
    pub(crate) fault: Fault,
}

/// What judging one entry gave.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    /// Checks and how they came out.
    pub(crate) outcomes: Vec<(Check, Result<(), Fault>)>,
    /// What the evidence could not show.
    pub(crate) gaps: Vec<Gap>,
    /// Checks that could not be made, because evidence is gone.
    pub(crate) unverified: Vec<Check>,
}

impl Notes {
    pub(crate) fn pass(&mut self, check: Check) {
        self.outcomes.push((check, Ok(())));
    }

    pub(crate) fn fail(&mut self, check: Check, fault: Fault) {
        self.outcomes.push((check, Err(fault)));
    }

    /// Notes the outcome, and says whether it held.
    pub(crate) fn put(&mut self, check: Check, outcome: Result<(), Fault>) -> bool {
        let held = outcome.is_ok();
        self.outcomes.push((check, outcome));
        held
    }
}

/// One check over the whole log.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tested {
    /// How many items were tested.
    pub(crate) items: u64,
    /// How many of them do not hold.
    pub(crate) exceptions: u64,
    /// How many could not be tested, because evidence is gone.
    pub(crate) unverified: u64,
    /// The first of the exceptions.
    pub(crate) listed: Vec<Exception>,
}

/// All checks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Findings {
    checks: BTreeMap<Check, Tested>,
    gaps: BTreeMap<Gap, u64>,
    /// Gaps that the auditor closed.
    closed: BTreeSet<Gap>,
}

impl Findings {
    pub(crate) fn pass(&mut self, check: Check) {
        self.tested(check).items += 1;
    }

    pub(crate) fn fail(&mut self, check: Check, place: Option<Place>, fault: Fault) {
        let tested = self.tested(check);
        tested.items += 1;
        tested.exceptions += 1;
        if tested.listed.len() < MAX_LISTED {
            tested.listed.push(Exception {
                check,
                place,
                fault,
            });
        }
    }

    pub(crate) fn put(&mut self, check: Check, place: Option<Place>, outcome: Result<(), Fault>) {
        match outcome {
            Ok(()) => self.pass(check),
            Err(fault) => self.fail(check, place, fault),
        }
    }

    pub(crate) fn take(&mut self, place: Place, notes: Notes) {
        for (check, outcome) in notes.outcomes {
            self.put(check, Some(place), outcome);
        }
        for gap in notes.gaps {
            self.gap(gap);
        }
        for check in notes.unverified {
            self.tested(check).unverified += 1;
        }
    }

    /// Notes once more that something is not shown.
    pub(crate) fn gap(&mut self, gap: Gap) {
        self.gaps(gap, 1);
    }

    /// Notes that something is not shown, however often it comes up.
    pub(crate) fn gap_once(&mut self, gap: Gap) {
        self.gaps.entry(gap).or_insert(1);
    }

    /// Notes that something is not shown, `count` times.
    pub(crate) fn gaps(&mut self, gap: Gap, count: u64) {
        if count > 0 {
            let noted = self.gaps.entry(gap).or_default();
            *noted = noted.saturating_add(count);
        }
    }

    /// The auditor has seen what the log does not show.
    pub(crate) fn close(&mut self, gap: Gap) {
        self.closed.insert(gap);
    }

    pub(crate) fn check(&self, check: Check) -> Tested {
        self.checks.get(&check).cloned().unwrap_or_default()
    }

    /// What is not shown, with how often that came up.
    pub(crate) fn open_gaps(&self) -> impl Iterator<Item = (Gap, u64)> {
        self.gaps
            .iter()
            .filter(|(gap, _)| !self.closed.contains(gap))
            .map(|(gap, count)| (*gap, *count))
    }

    /// All exceptions, those that are not listed among them.
    pub(crate) fn exceptions(&self) -> u64 {
        self.checks.values().map(|tested| tested.exceptions).sum()
    }

    /// How many items were tested in all.
    pub(crate) fn items(&self) -> u64 {
        self.checks.values().map(|tested| tested.items).sum()
    }

    pub(crate) fn verdict(&self, claim: Claim) -> Verdict {
        let of_claim = || {
            Check::ALL
                .iter()
                .filter(move |check| check.claim() == claim)
        };
        let sum = |count: fn(&Tested) -> u64| -> u64 {
            of_claim()
                .filter_map(|check| self.checks.get(check))
                .map(count)
                .sum()
        };
        if sum(|tested| tested.exceptions) > 0 {
            return Verdict::Exceptions;
        }
        let decided = self
            .open_gaps()
            .any(|(gap, _)| gap.weight() == Weight::Decides && gap.claims().contains(&claim));
        // Entries whose evidence is gone are still counted, but not one of them was verified. C6 is about what can be
        // seen, and a refusal shows nothing that an accepted entry must.
        let unseen = of_claim()
            .filter(|check| check.claim() != Claim::C6 && !check.is_of_refusals())
            .filter_map(|check| self.checks.get(check))
            .any(|tested| tested.items == 0 && tested.unverified > 0);
        match decided || unseen || sum(|tested| tested.items) == 0 {
            true => Verdict::NotShown,
            false => Verdict::Shown,
        }
    }

    fn tested(&mut self, check: Check) -> &mut Tested {
        self.checks.entry(check).or_default()
    }
}
