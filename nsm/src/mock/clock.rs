//! Where the mock takes its time from.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::time::UnixMillis;

/// A source of the current time.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> UnixMillis;
}

/// The operating system's clock. Before 1970 it stands still at zero.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> UnixMillis {
        let elapsed = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        UnixMillis(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX))
    }
}

/// A clock that moves only when told to, in both directions.
#[derive(Debug)]
pub struct ManualClock {
    unix_millis: AtomicU64,
}

impl ManualClock {
    /// A clock that shows `now`.
    #[must_use]
    pub fn new(now: impl Into<UnixMillis>) -> Self {
        Self {
            unix_millis: AtomicU64::new(now.into().0),
        }
    }

    /// Shows another time from now on.
    pub fn set(&self, now: impl Into<UnixMillis>) {
        self.unix_millis.store(now.into().0, Ordering::SeqCst);
    }

    /// Moves forward.
    pub fn advance_millis(&self, millis: u64) {
        self.unix_millis.fetch_add(millis, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> UnixMillis {
        UnixMillis(self.unix_millis.load(Ordering::SeqCst))
    }
}
