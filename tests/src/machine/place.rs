//! Room for virtual machines: each emulates two processors, so two at a time are enough for a small computer.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// How many machines may run at once in this process.
const PLACES: usize = 2;

/// Places that are taken. Held for single operations only.
static TAKEN: Mutex<usize> = Mutex::new(0);
static FREED: Condvar = Condvar::new();

/// Room for machines, until it is dropped.
#[derive(Debug)]
pub struct Places(usize);

impl Places {
    /// Waits for room for this many machines, all at once: who waits for a second place with the first one taken may
    /// wait for good.
    #[must_use]
    pub fn wait(count: usize) -> Self {
        let count = count.min(PLACES);
        let taken = FREED.wait_while(lock(), |taken| *taken + count > PLACES);
        *taken.unwrap_or_else(PoisonError::into_inner) += count;
        Self(count)
    }
}

impl Drop for Places {
    fn drop(&mut self) {
        *lock() -= self.0;
        FREED.notify_all();
    }
}

fn lock() -> MutexGuard<'static, usize> {
    TAKEN.lock().unwrap_or_else(PoisonError::into_inner)
}
