//! Points in time, as numbers and as RFC 3339 text.
//!
//! The verifier never reads a clock: every `now` is an argument of this type.

use core::fmt;
use core::time::Duration;

/// Milliseconds since 1970-01-01T00:00:00Z, without leap seconds: the time base of attestation
/// documents (AWS `attestation_process.md`, section 3.1, `timestamp`).
///
/// `Display` writes RFC 3339 in UTC with milliseconds, for example `2026-08-03T19:36:15.857Z`.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct UnixMillis(u64);

impl UnixMillis {
    /// A time from milliseconds since the epoch.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the epoch.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// This time moved into the future, at most to the end of the range.
    #[must_use]
    pub fn saturating_add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(whole_millis(duration)))
    }

    /// How long `earlier` lies in the past of this time; `None` if it lies in the future.
    #[must_use]
    pub fn since(self, earlier: Self) -> Option<Duration> {
        self.0.checked_sub(earlier.0).map(Duration::from_millis)
    }

    /// A civil date and time in UTC, or `None` when there is no such date (30 February, hour 24,
    /// a leap second) or it lies outside the years 1970 to 9999.
    pub(crate) fn from_civil(civil: Civil) -> Option<Self> {
        let Civil {
            year,
            month,
            day,
            hour,
            minute,
            second,
        } = civil;
        let valid = (1970..=9999).contains(&year)
            && (1..=12).contains(&month)
            && (1..=days_in_month(year, month)).contains(&day)
            && hour < 24
            && minute < 60
            && second < 60;
        if !valid {
            return None;
        }
        // Days since the epoch: whole years, the leap days in them, whole months, days.
        let leap_days = |y: u64| y / 4 - y / 100 + y / 400;
        let before = year - 1;
        let mut days = (year - 1970) * 365 + leap_days(before) - leap_days(1969);
        days += (1..month).map(|m| days_in_month(year, m)).sum::<u64>();
        days += day - 1;
        Some(Self(
            (((days * 24 + hour) * 60 + minute) * 60 + second) * 1000,
        ))
    }

    fn to_civil(self) -> Civil {
        let seconds = self.0 / 1000;
        let (mut days, in_day) = (seconds / 86_400, seconds % 86_400);
        // 400 years are exactly 146,097 days; 1970 lies 135,140 days after 1600-03-01 minus ten
        // months, so count from 0000-03-01 as usual for the proleptic Gregorian calendar.
        days += 719_468;
        let era = days / 146_097;
        let day_of_era = days % 146_097;
        let year_of_era =
            (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 {
            month_from_march + 3
        } else {
            month_from_march - 9
        };
        let year = year_of_era + era * 400 + u64::from(month <= 2);
        let (hour, minute, second) = (in_day / 3600, in_day / 60 % 60, in_day % 60);
        Civil {
            year,
            month,
            day,
            hour,
            minute,
            second,
        }
    }
}

impl fmt::Display for UnixMillis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Civil {
            year,
            month,
            day,
            hour,
            minute,
            second,
        } = self.to_civil();
        let millis = self.0 % 1000;
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z"
        )
    }
}

/// A date and time of day in UTC.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Civil {
    pub(crate) year: u64,
    pub(crate) month: u64,
    pub(crate) day: u64,
    pub(crate) hour: u64,
    pub(crate) minute: u64,
    pub(crate) second: u64,
}

fn days_in_month(year: u64, month: u64) -> u64 {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

pub(crate) fn whole_millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn civil(year: u64, month: u64, day: u64) -> Civil {
        Civil {
            year,
            month,
            day,
            hour: 0,
            minute: 0,
            second: 0,
        }
    }

    #[test]
    fn text_is_rfc_3339() {
        let cases = [
            (0, "1970-01-01T00:00:00.000Z"),
            (1_785_785_775_857, "2026-08-03T19:36:15.857Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
        ];
        for (millis, text) in cases {
            assert_eq!(UnixMillis::from_millis(millis).to_string(), text);
        }
        // The largest number does not panic either.
        assert!(UnixMillis::from_millis(u64::MAX).to_string().ends_with('Z'));
    }

    #[test]
    fn civil_dates_round_trip() {
        for year in 1970..2420 {
            for (month, day) in [(1, 1), (2, 28), (3, 1), (6, 30), (12, 31)] {
                let time = UnixMillis::from_civil(civil(year, month, day)).unwrap();
                assert_eq!(time.to_civil(), civil(year, month, day));
            }
        }
        let last = Civil {
            year: 2049,
            month: 10,
            day: 28,
            hour: 14,
            minute: 28,
            second: 5,
        };
        assert_eq!(
            UnixMillis::from_civil(last).unwrap().as_millis(),
            2_519_044_085_000
        );
    }

    #[test]
    fn impossible_dates_are_none() {
        for (year, month, day) in [
            (2023, 2, 29),
            (2024, 2, 30),
            (2100, 2, 29),
            (2024, 4, 31),
            (2024, 13, 1),
        ] {
            assert_eq!(UnixMillis::from_civil(civil(year, month, day)), None);
        }
        for (year, month, day) in [(2024, 0, 1), (2024, 1, 0), (1969, 12, 31), (10_000, 1, 1)] {
            assert_eq!(UnixMillis::from_civil(civil(year, month, day)), None);
        }
        let odd = [(24, 0, 0), (0, 60, 0), (23, 59, 60)];
        for (hour, minute, second) in odd {
            let time = Civil {
                hour,
                minute,
                second,
                ..civil(2024, 2, 29)
            };
            assert_eq!(UnixMillis::from_civil(time), None);
        }
    }

    #[test]
    fn distances_have_a_direction() {
        let (early, late) = (UnixMillis::from_millis(5), UnixMillis::from_millis(8));
        assert_eq!(late.since(early), Some(Duration::from_millis(3)));
        assert_eq!(early.since(late), None);
        assert_eq!(
            late.saturating_add(Duration::MAX),
            UnixMillis::from_millis(u64::MAX)
        );
    }
}
