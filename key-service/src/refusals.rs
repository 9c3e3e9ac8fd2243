//! Which refusals become entries of their own, and which are only counted.
//!
//! A refusal can be attributed when a genuine document or the signature of a known key came with it. Those are
//! recorded one by one, up to a rate for each identity and a rate over all. Everything else, which anybody can
//! cause at will, is counted by reason, and a periodic summary records the counts: nobody can fill the
//! record, and nothing goes unnoticed. Counts since the last summary are lost when the process is killed.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, PoisonError},
};

use crate::clock::UnixMillis;

/// Identities remembered at once. When more appear within a minute, the newcomers share one bucket.
const MAX_IDENTITIES: usize = 4096;
/// All identities together: this many times the rate of one.
const GLOBAL_FACTOR: u32 = 64;
const MINUTE_MILLIS: u64 = 60_000;

/// The counters and the buckets.
pub struct Refusals {
    per_minute: u32,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    identities: HashMap<String, Window>,
    everybody: Window,
    counts: BTreeMap<String, u64>,
}

/// A minute, and what was recorded in it.
#[derive(Clone, Copy, Default)]
struct Window {
    began: u64,
    recorded: u32,
}

impl Window {
    fn has_room(&mut self, now: UnixMillis, limit: u32) -> bool {
        // A clock that went back starts a new minute, too.
        if now.0.abs_diff(self.began) >= MINUTE_MILLIS {
            *self = Self {
                began: now.0,
                recorded: 0,
            };
        }
        self.recorded < limit
    }
}

/// What to do with a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Treatment {
    /// Record it by itself.
    Record,
    /// It was counted.
    Counted,
}

impl Refusals {
    /// Records at most `per_minute` a minute for each identity.
    #[must_use]
    pub fn new(per_minute: u32) -> Self {
        Self {
            per_minute,
            inner: Mutex::new(Inner::default()),
        }
    }

    /// Decides about a refusal; `identity` is `None` for what cannot be attributed.
    pub fn refused(&self, identity: Option<&str>, reason: &str, now: UnixMillis) -> Treatment {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(identity) = identity
            && inner.has_room(identity, now, self.per_minute)
        {
            return Treatment::Record;
        }
        *inner.counts.entry(reason.to_owned()).or_default() += 1;
        Treatment::Counted
    }

    /// Counts a refusal whose own record could not be written, so that the next summary has it.
    pub fn count(&self, reason: &str) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        *inner.counts.entry(reason.to_owned()).or_default() += 1;
    }

    /// Takes the counts since the last time.
    #[must_use]
    pub fn take_counts(&self) -> BTreeMap<String, u64> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut inner.counts)
    }

    /// Gives counts back whose summary could not be written.
    pub fn give_back(&self, counts: BTreeMap<String, u64>) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        for (reason, count) in counts {
            *inner.counts.entry(reason).or_default() += count;
        }
    }
}

impl Inner {
    fn has_room(&mut self, identity: &str, now: UnixMillis, limit: u32) -> bool {
        if !self
            .everybody
            .has_room(now, limit.saturating_mul(GLOBAL_FACTOR))
        {
            return false;
        }
        if self.identities.len() >= MAX_IDENTITIES && !self.identities.contains_key(identity) {
            self.identities
                .retain(|_, window| now.0.abs_diff(window.began) < MINUTE_MILLIS);
        }
        let crowded =
            self.identities.len() >= MAX_IDENTITIES && !self.identities.contains_key(identity);
        let key = if crowded { "" } else { identity };
        let window = self.identities.entry(key.to_owned()).or_default();
        let has_room = window.has_room(now, limit);
        if has_room {
            window.recorded += 1;
            self.everybody.recorded += 1;
        }
        has_room
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(10_000_000);

    fn recorded(
        refusals: &Refusals,
        identity: Option<&str>,
        now: UnixMillis,
        attempts: usize,
    ) -> usize {
        (0..attempts)
            .filter(|_| refusals.refused(identity, "x", now) == Treatment::Record)
            .count()
    }

    #[test]
    fn each_identity_has_its_own_rate_and_the_rest_is_counted() {
        let refusals = Refusals::new(3);
        assert_eq!(recorded(&refusals, Some("a"), NOW, 10), 3);
        assert_eq!(recorded(&refusals, Some("b"), NOW, 10), 3);
        assert_eq!(recorded(&refusals, None, NOW, 10), 0);
        assert_eq!(
            refusals.take_counts(),
            BTreeMap::from([("x".to_owned(), 24)])
        );
        assert!(refusals.take_counts().is_empty());
        assert_eq!(
            recorded(&refusals, Some("a"), UnixMillis(NOW.0 + 59_999), 1),
            0
        );
        assert_eq!(
            recorded(&refusals, Some("a"), UnixMillis(NOW.0 + 60_000), 10),
            3
        );
    }

    #[test]
    fn many_identities_can_not_fill_the_record_or_the_memory() {
        let refusals = Refusals::new(1);
        let total: usize = (0..100_000)
            .map(|index| recorded(&refusals, Some(&index.to_string()), NOW, 1))
            .sum();
        assert_eq!(total, 64);
        assert!(refusals.inner.lock().unwrap().identities.len() <= MAX_IDENTITIES + 1);
    }

    #[test]
    fn counts_can_be_given_back() {
        let refusals = Refusals::new(1);
        refusals.count("x");
        let counts = refusals.take_counts();
        refusals.count("x");
        refusals.give_back(counts);
        assert_eq!(
            refusals.take_counts(),
            BTreeMap::from([("x".to_owned(), 2)])
        );
    }
}
