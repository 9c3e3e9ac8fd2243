//! What went on, for charts: counts over time, reasons, releases. Bounded, however long the log.

use std::collections::BTreeMap;

use narthex_ledger::{Entry, EntryKind, Outcome};

/// Time is counted in at most this many steps; when there are more, steps become twice as long.
const MAX_STEPS: usize = 120;
/// The shortest step: an hour.
const SHORTEST_STEP: u64 = 3_600_000;
/// Names that are counted one by one; the rest together.
const MAX_NAMES: usize = 200;
/// What the rest is called.
pub(crate) const REST: &str = "(others)";

/// Counts in one step of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Step {
    /// Decisions that accepted something, and entries that decide nothing.
    pub(crate) accepted: u64,
    /// Decisions that refused.
    pub(crate) refused: u64,
}

/// When a release got keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InUse {
    /// How many requests were answered.
    pub(crate) count: u64,
    /// The first time.
    pub(crate) first: u64,
    /// The last time.
    pub(crate) last: u64,
}

/// All counts.
#[derive(Clone, Debug)]
pub(crate) struct Activity {
    /// Length of a step in milliseconds.
    step: u64,
    steps: BTreeMap<u64, Step>,
    /// Entries by kind.
    pub(crate) kinds: BTreeMap<EntryKind, u64>,
    /// Refusals by reason, summaries among them.
    pub(crate) refusals: BTreeMap<String, u64>,
    /// Releases that got keys.
    pub(crate) releases: BTreeMap<String, InUse>,
    /// Time of the first and the last entry.
    pub(crate) span: Option<(u64, u64)>,
}

impl Default for Activity {
    fn default() -> Self {
        Self {
            step: SHORTEST_STEP,
            steps: BTreeMap::new(),
            kinds: BTreeMap::new(),
            refusals: BTreeMap::new(),
            releases: BTreeMap::new(),
            span: None,
        }
    }
}

impl Activity {
    pub(crate) fn count(&mut self, entry: &Entry) {
        let time = entry.time();
        self.span = Some(match self.span {
            None => (time, time),
            Some((first, last)) => (first.min(time), last.max(time)),
        });
        *self.kinds.entry(entry.kind()).or_default() += 1;
        self.step_at(time, entry.outcome());
        if let Some(reason) = entry.reason() {
            add(&mut self.refusals, reason, 1);
        }
        if let Entry::Summary(summary) = entry {
            for (reason, count) in &summary.counts {
                add(&mut self.refusals, reason, *count);
            }
        }
        if let Entry::Release(release) = entry
            && release.decision.is_accepted()
        {
            self.released(release.release.as_deref().unwrap_or("(unknown)"), time);
        }
    }

    fn step_at(&mut self, time: u64, outcome: Outcome) {
        let step = self.steps.entry(time / self.step * self.step).or_default();
        match outcome {
            Outcome::Accepted => step.accepted += 1,
            Outcome::Refused => step.refused += 1,
        }
        while self.spread() > MAX_STEPS {
            self.step = self.step.saturating_mul(2);
            let mut wider: BTreeMap<u64, Step> = BTreeMap::new();
            for (at, step) in &self.steps {
                let into = wider.entry(at / self.step * self.step).or_default();
                into.accepted += step.accepted;
                into.refused += step.refused;
            }
            self.steps = wider;
        }
    }

    /// How many steps there are from the first to the last, empty ones among them.
    fn spread(&self) -> usize {
        let first = self.steps.keys().next().copied().unwrap_or_default();
        let last = self.steps.keys().last().copied().unwrap_or_default();
        usize::try_from((last - first) / self.step)
            .unwrap_or(usize::MAX)
            .saturating_add(1)
    }

    fn released(&mut self, release: &str, time: u64) {
        let known = self.releases.contains_key(release) || self.releases.len() < MAX_NAMES;
        let name = if known { release } else { REST };
        let in_use = self.releases.entry(name.to_owned()).or_insert(InUse {
            count: 0,
            first: time,
            last: time,
        });
        in_use.count += 1;
        in_use.first = in_use.first.min(time);
        in_use.last = in_use.last.max(time);
    }

    /// Length of a step in milliseconds.
    pub(crate) fn step_millis(&self) -> u64 {
        self.step
    }

    /// Every step from the first to the last, with its begin.
    pub(crate) fn steps(&self) -> Vec<(u64, Step)> {
        let Some(first) = self.steps.keys().next().copied() else {
            return Vec::new();
        };
        (0..self.spread())
            .map(|number| {
                let number = u64::try_from(number).unwrap_or(u64::MAX);
                let at = first.saturating_add(number.saturating_mul(self.step));
                (at, self.steps.get(&at).copied().unwrap_or_default())
            })
            .collect()
    }
}

fn add(counts: &mut BTreeMap<String, u64>, name: &str, count: u64) {
    let known = counts.contains_key(name) || counts.len() < MAX_NAMES;
    let counted = counts
        .entry(if known { name } else { REST }.to_owned())
        .or_default();
    *counted = counted.saturating_add(count);
}

#[cfg(test)]
#[allow(clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn a_long_time_stays_within_bounds_and_loses_nothing() {
        let mut activity = Activity::default();
        for day in 0..4000_u64 {
            activity.step_at(day * 86_400_000, Outcome::Accepted);
            activity.step_at(day * 86_400_000 + 5, Outcome::Refused);
        }
        let steps = activity.steps();
        assert!(steps.len() <= MAX_STEPS);
        let sum = |of: fn(&Step) -> u64| steps.iter().map(|(_, step)| of(step)).sum::<u64>();
        assert_eq!(sum(|step| step.accepted), 4000);
        assert_eq!(sum(|step| step.refused), 4000);
    }

    #[test]
    fn names_beyond_the_bound_are_counted_together() {
        let mut counts = BTreeMap::new();
        for number in 0..1000 {
            add(&mut counts, &format!("reason.{number}"), 2);
        }
        assert_eq!(counts.len(), MAX_NAMES + 1);
        assert_eq!(counts.values().sum::<u64>(), 2000);
        assert_eq!(counts[REST], 2 * (1000 - 200));
    }
}
