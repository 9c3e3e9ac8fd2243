//! The agent's `now`: the timestamp of a document from its own NSM, advanced by the boot-time clock.
//!
//! The hypervisor signs that timestamp and the parent cannot steer it (R28). Between two documents
//! `CLOCK_BOOTTIME` runs on; it counts suspended time as well, so a paused enclave does not gain life.
//! The system clock, and anything a peer says, is never used for a decision.
//!
//! The log's witnesses are a floor: when a quorum of them has signed at a moment, it is not earlier than that. They
//! lift the time by no more than [`MAX_WITNESS_LEAD`] above the documents' time, however often they sign, so
//! that witnesses with fast clocks, or with bad intentions, end nothing early by more than that.

use std::time::Duration;

use narthex_channel::UnixMillis;
use nix::time::{ClockId, clock_gettime};

/// How often the time is renewed from a fresh document.
pub const RENEWAL_INTERVAL: Duration = Duration::from_secs(600);

/// How far the witnesses' time may lie above that of the documents: what is ahead by more is from the future, and
/// refused by whoever checks a proof.
pub const MAX_WITNESS_LEAD: Duration = Duration::from_secs(60);

/// A reading of `CLOCK_BOOTTIME`, milliseconds since the machine started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BootMillis(pub u64);

impl BootMillis {
    /// Reads the clock. It cannot fail on a kernel that runs us; were it to, 0 would stop time, not move it
    /// on, because [`TrustedTime`] never goes backwards.
    pub fn read() -> Self {
        clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Self(0), |time| {
            let seconds = u64::try_from(time.tv_sec()).unwrap_or(0);
            let nanoseconds = u64::try_from(time.tv_nsec()).unwrap_or(0);
            Self(
                seconds
                    .saturating_mul(1000)
                    .saturating_add(nanoseconds / 1_000_000),
            )
        })
    }
}

/// What the system clock shows; only ever reported, never used.
pub fn danger_system_clock() -> UnixMillis {
    let since_epoch = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    UnixMillis(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
}

/// Trusted time. Pure: the boot clock's reading is an argument.
#[derive(Clone, Debug)]
pub struct TrustedTime {
    /// The timestamp of the newest document.
    document: UnixMillis,
    /// The boot clock just before that document was asked for.
    document_boot: BootMillis,
    /// `now` may not be below this at `anchor_boot`.
    anchor: UnixMillis,
    anchor_boot: BootMillis,
    renewals: u64,
    failures: u64,
    held: u64,
}

impl TrustedTime {
    /// Starts from a first document with `timestamp`, asked for when the boot clock showed `asked`.
    ///
    /// `asked`, not the moment of the answer: a slow NSM then makes the agent's time run ahead by that
    /// delay, which ends orders early, rather than behind, which would prolong them.
    pub fn start(timestamp: UnixMillis, asked: BootMillis) -> Self {
        Self {
            document: timestamp,
            document_boot: asked,
            anchor: timestamp,
            anchor_boot: asked,
            renewals: 0,
            failures: 0,
            held: 0,
        }
    }

    /// Trusted time when the boot clock shows `boot`.
    pub fn now(&self, boot: BootMillis) -> UnixMillis {
        let elapsed = boot.0.saturating_sub(self.anchor_boot.0);
        UnixMillis(self.anchor.0.saturating_add(elapsed))
    }

    /// Takes a newer document. Time never goes backwards: a document behind the present `now` is counted,
    /// and `now` simply runs on.
    pub fn renew(&mut self, timestamp: UnixMillis, asked: BootMillis) {
        let present = self.now(asked);
        self.document = timestamp;
        self.document_boot = asked;
        self.renewals = self.renewals.saturating_add(1);
        if timestamp < present {
            self.held = self.held.saturating_add(1);
            return;
        }
        self.anchor = timestamp;
        self.anchor_boot = asked;
    }

    /// Takes the time at which a quorum of witnesses has signed as a floor, up to [`MAX_WITNESS_LEAD`] above what the
    /// newest document says.
    pub fn raise_to(&mut self, witnessed: UnixMillis, boot: BootMillis) {
        let lead = u64::try_from(MAX_WITNESS_LEAD.as_millis()).unwrap_or(u64::MAX);
        let elapsed = boot.0.saturating_sub(self.document_boot.0);
        let by_document = self.document.0.saturating_add(elapsed);
        let floor = witnessed.0.min(by_document.saturating_add(lead));
        if floor > self.now(boot).0 {
            self.anchor = UnixMillis(floor);
            self.anchor_boot = boot;
        }
    }

    /// Counts a renewal that failed; time runs on by the boot clock.
    pub fn renewal_failed(&mut self) {
        self.failures = self.failures.saturating_add(1);
    }

    /// Timestamp of the newest document.
    pub fn document(&self) -> UnixMillis {
        self.document
    }

    /// How long ago the newest document was made.
    pub fn document_age(&self, boot: BootMillis) -> Duration {
        Duration::from_millis(boot.0.saturating_sub(self.document_boot.0))
    }

    /// Documents taken after the first.
    pub fn renewals(&self) -> u64 {
        self.renewals
    }

    /// Renewals that failed.
    pub fn failures(&self) -> u64 {
        self.failures
    }

    /// Documents that were behind and did not move the time.
    pub fn held(&self) -> u64 {
        self.held
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> BootMillis {
        BootMillis(millis)
    }

    #[test]
    fn the_boot_clock_advances_it() {
        let time = TrustedTime::start(UnixMillis(1_000_000), at(500));
        assert_eq!(time.now(at(500)), UnixMillis(1_000_000));
        assert_eq!(time.now(at(1500)), UnixMillis(1_001_000));
    }

    #[test]
    fn a_boot_clock_that_jumps_back_does_not_take_it_back() {
        let time = TrustedTime::start(UnixMillis(1_000_000), at(500));
        assert_eq!(time.now(at(0)), UnixMillis(1_000_000));
    }

    #[test]
    fn a_later_document_moves_it_forward() {
        let mut time = TrustedTime::start(UnixMillis(1_000_000), at(0));
        time.renew(UnixMillis(1_000_900), at(600));
        assert_eq!(time.now(at(600)), UnixMillis(1_000_900));
        assert_eq!((time.renewals(), time.held()), (1, 0));
    }

    #[test]
    fn an_earlier_document_is_held_and_counted() {
        let mut time = TrustedTime::start(UnixMillis(1_000_000), at(0));
        time.renew(UnixMillis(999_000), at(600));
        assert_eq!(time.now(at(600)), UnixMillis(1_000_600));
        assert_eq!(time.now(at(700)), UnixMillis(1_000_700));
        assert_eq!((time.renewals(), time.held()), (1, 1));
        assert_eq!(time.document(), UnixMillis(999_000));
    }

    #[test]
    fn witnesses_are_a_floor_and_no_more() {
        let mut time = TrustedTime::start(UnixMillis(1_000_000), at(0));
        time.raise_to(UnixMillis(999_000), at(100));
        assert_eq!(time.now(at(100)), UnixMillis(1_000_100), "never backwards");
        time.raise_to(UnixMillis(1_005_000), at(100));
        assert_eq!(time.now(at(100)), UnixMillis(1_005_000));
        assert_eq!(
            time.now(at(200)),
            UnixMillis(1_005_100),
            "it runs on from there"
        );
        // However often they try.
        for _ in 0..3 {
            let ahead = UnixMillis(time.now(at(200)).0 + 60_000);
            time.raise_to(ahead, at(200));
        }
        assert_eq!(time.now(at(200)), UnixMillis(1_060_200));
        time.renew(UnixMillis(1_000_400), at(300));
        assert_eq!(time.now(at(300)), UnixMillis(1_060_300));
        assert_eq!(time.held(), 1);
        assert_eq!(time.document_age(at(400)), Duration::from_millis(100));
    }

    #[test]
    fn the_age_is_that_of_the_newest_document() {
        let mut time = TrustedTime::start(UnixMillis(1_000_000), at(0));
        assert_eq!(time.document_age(at(5000)), Duration::from_secs(5));
        time.renew(UnixMillis(1), at(5000));
        assert_eq!(time.document_age(at(6000)), Duration::from_secs(1));
    }

    #[test]
    fn the_real_clock_runs() {
        assert!(BootMillis::read() > BootMillis(0));
    }
}
