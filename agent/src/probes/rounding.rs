//! How coarse a number becomes before it leaves.
//!
//! Claim C2 does not hold against a workload that colludes with an operator: it can always signal
//! by what it uses. What can be done is to leave it few bits. Every number that a workload can
//! steer is rounded by one of these, and the machine is sampled every ten seconds at most
//! (`SAMPLE_INTERVAL`), which gives, per field:
//!
//! | Rounding | For | Distinct values | Bits per field and minute, at most |
//! |---|---|---|---|
//! | [`share`] | memory, space on filesystems | 65 | 37 |
//! | [`two_bits`] | counts of processes, sockets, events | 126 | 42 |
//! | [`magnitude`] | output bytes and other sums since boot | 65, only rising | 64 in all, ever |
//! | [`whole_seconds`] | durations and processor time | seconds | 6 × log2(10 × processors) |
//! | [`ratio`] | load and pressure | steps of 1 % | 40 for pressure |
//!
//! Rounding is always down, so that a reading never claims more than there is.

use std::time::Duration;

/// Space is shown in 64ths of the whole, but not finer than this.
const SMALLEST_SHARE: u64 = 1024 * 1024;
const SHARES: u64 = 64;
/// 1 % in parts per million.
const RATIO_STEP: u32 = 10_000;

/// Rounds down to a multiple of a 64th of `whole`, or of 1 MiB where that is more.
pub fn share(part: u64, whole: u64) -> u64 {
    let step = whole.div_ceil(SHARES).max(SMALLEST_SHARE);
    part - part % step
}

/// Keeps the two highest bits: 1, 2, 3, 4, 6, 8, 12, 16, 24 …
pub fn two_bits(number: u64) -> u64 {
    let dropped = (u64::BITS - number.leading_zeros()).saturating_sub(2);
    number >> dropped << dropped
}

/// Keeps the highest bit.
pub fn magnitude(number: u64) -> u64 {
    number.checked_ilog2().map_or(0, |highest| 1 << highest)
}

/// Milliseconds, in whole seconds.
pub fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs().saturating_mul(1000)
}

/// Parts per million, in whole hundredths.
pub fn ratio(parts_per_million: u32) -> u32 {
    parts_per_million - parts_per_million % RATIO_STEP
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_have_at_most_65_values() {
        let whole = 1 << 34;
        let mut values: Vec<_> = (0..=whole)
            .step_by(1 << 22)
            .map(|part| share(part, whole))
            .collect();
        values.dedup();
        assert_eq!(values.len(), 65);
        assert_eq!(share(whole, whole), whole);
        assert_eq!(share(SMALLEST_SHARE - 1, 5), 0);
        assert_eq!(share(u64::MAX, 0), u64::MAX - u64::MAX % SMALLEST_SHARE);
    }

    #[test]
    fn two_bits_have_at_most_126_values() {
        let few: Vec<_> = (0..=17).map(two_bits).collect();
        assert_eq!(
            few,
            [0, 1, 2, 3, 4, 4, 6, 6, 8, 8, 8, 8, 12, 12, 12, 12, 16, 16]
        );
        assert_eq!(two_bits(u64::MAX), 3 << 62);
    }

    #[test]
    fn magnitudes_have_at_most_65_values() {
        assert_eq!([0, 1, 2, 3, 4, 1023].map(magnitude), [0, 1, 2, 2, 4, 512]);
        assert_eq!(magnitude(u64::MAX), 1 << 63);
    }

    #[test]
    fn durations_and_ratios_round_down() {
        assert_eq!(whole_seconds(Duration::from_millis(1999)), 1000);
        assert_eq!(whole_seconds(Duration::MAX), u64::MAX);
        assert_eq!(ratio(19_999), 10_000);
    }
}
