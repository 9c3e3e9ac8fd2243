//! Rate limits: token buckets over the boot clock.

use std::collections::BTreeMap;

use crate::trusted_time::BootMillis;

const MILLIS_PER_MINUTE: u64 = 60_000;

/// A bucket that fills at so many tokens a minute, up to one minute's worth.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    per_minute: u32,
    /// Thousandths of a minute's share: one token is [`MILLIS_PER_MINUTE`].
    level: u64,
    filled: BootMillis,
}

impl Bucket {
    /// A full bucket.
    pub fn full(per_minute: u32, now: BootMillis) -> Self {
        Self {
            per_minute,
            level: Self::capacity(per_minute),
            filled: now,
        }
    }

    fn capacity(per_minute: u32) -> u64 {
        u64::from(per_minute).saturating_mul(MILLIS_PER_MINUTE)
    }

    fn fill(&mut self, now: BootMillis) {
        let elapsed = now.0.saturating_sub(self.filled.0);
        let gained = elapsed.saturating_mul(u64::from(self.per_minute));
        self.level = self
            .level
            .saturating_add(gained)
            .min(Self::capacity(self.per_minute));
        self.filled = now;
    }

    /// Takes one token, if there is one.
    pub fn take(&mut self, now: BootMillis) -> bool {
        self.fill(now);
        match self.level.checked_sub(MILLIS_PER_MINUTE) {
            Some(level) => {
                self.level = level;
                true
            }
            None => false,
        }
    }

    fn is_full(&mut self, now: BootMillis) -> bool {
        self.fill(now);
        self.level == Self::capacity(self.per_minute)
    }
}

/// A bucket for each of a bounded number of callers.
#[derive(Debug)]
pub struct Buckets<K> {
    per_minute: u32,
    max_callers: usize,
    buckets: BTreeMap<K, Bucket>,
}

impl<K: Ord + Clone> Buckets<K> {
    /// No caller yet.
    pub fn new(per_minute: u32, max_callers: usize) -> Self {
        Self {
            per_minute,
            max_callers,
            buckets: BTreeMap::new(),
        }
    }

    /// Takes one of `caller`'s tokens, if there is one. With the table full, a caller that is not in it has
    /// none until others have been quiet for a minute.
    pub fn take(&mut self, caller: &K, now: BootMillis) -> bool {
        if let Some(bucket) = self.buckets.get_mut(caller) {
            return bucket.take(now);
        }
        if self.buckets.len() >= self.max_callers {
            // A full bucket remembers nothing worth keeping.
            self.buckets.retain(|_, bucket| !bucket.is_full(now));
        }
        if self.buckets.len() >= self.max_callers {
            return false;
        }
        let mut bucket = Bucket::full(self.per_minute, now);
        let taken = bucket.take(now);
        self.buckets.insert(caller.clone(), bucket);
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_its_share_and_refills() {
        let mut bucket = Bucket::full(2, BootMillis(0));
        assert!(bucket.take(BootMillis(0)));
        assert!(bucket.take(BootMillis(0)));
        assert!(!bucket.take(BootMillis(29_999)));
        assert!(bucket.take(BootMillis(30_000)));
        assert!(!bucket.take(BootMillis(30_000)));
    }

    #[test]
    fn a_bucket_holds_no_more_than_a_minute() {
        let mut bucket = Bucket::full(2, BootMillis(0));
        assert!(bucket.take(BootMillis(10_000_000)));
        assert!(bucket.take(BootMillis(10_000_000)));
        assert!(!bucket.take(BootMillis(10_000_000)));
    }

    #[test]
    fn callers_do_not_share() {
        let mut buckets = Buckets::new(1, 8);
        assert!(buckets.take(&"alice", BootMillis(0)));
        assert!(!buckets.take(&"alice", BootMillis(0)));
        assert!(buckets.take(&"bob", BootMillis(0)));
    }

    #[test]
    fn the_table_is_bounded_and_forgets_the_quiet() {
        let mut buckets = Buckets::new(1, 1);
        assert!(buckets.take(&"alice", BootMillis(0)));
        assert!(!buckets.take(&"bob", BootMillis(1)));
        assert!(buckets.take(&"bob", BootMillis(60_001)));
    }
}
