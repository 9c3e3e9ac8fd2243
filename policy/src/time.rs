//! Time as an argument: unix milliseconds inside, RFC 3339 UTC in text.

use core::fmt;
use core::time::Duration;

use crate::reason::{Reason, Refusal};

/// A moment, in milliseconds since 1970-01-01T00:00:00Z. No clock is read anywhere in this crate.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct UnixMillis(pub u64);

impl UnixMillis {
    /// The moment as a plain number of milliseconds.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// This moment plus `duration`, or the last representable moment.
    pub fn saturating_add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(millis(duration)))
    }

    /// This moment minus `duration`, or the epoch.
    pub fn saturating_sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(millis(duration)))
    }

    /// How long after `earlier` this moment is; zero if it is not after it.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// Reads `2026-11-21T12:00:00Z`: RFC 3339, in UTC with a final `Z`, to the millisecond.
    ///
    /// # Errors
    ///
    /// [`Reason::TimeMalformed`] for any other text, for another offset than `Z`, for fractions
    /// finer than a millisecond and for moments before 1970.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let refuse = || {
            Refusal::new(
                Reason::TimeMalformed,
                format!("{text:?} is not a UTC time like 2026-11-21T12:00:00Z"),
            )
        };
        if !text.ends_with('Z') {
            return Err(refuse());
        }
        let timestamp: jiff::Timestamp = text.parse().map_err(|_| refuse())?;
        if timestamp.subsec_nanosecond() % 1_000_000 != 0 {
            return Err(refuse());
        }
        u64::try_from(timestamp.as_millisecond())
            .map(Self)
            .map_err(|_| refuse())
    }

    /// Takes a date-time of a TOML file under the same rules as [`UnixMillis::parse`].
    ///
    /// # Errors
    ///
    /// As [`UnixMillis::parse`].
    pub(crate) fn from_toml(datetime: &toml::value::Datetime) -> Result<Self, Refusal> {
        Self::parse(&datetime.to_string())
    }
}

impl fmt::Display for UnixMillis {
    /// RFC 3339 in UTC; moments that no calendar date names print as milliseconds.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let timestamp = i64::try_from(self.0)
            .ok()
            .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
        match timestamp {
            Some(timestamp) => write!(formatter, "{timestamp}"),
            None => write!(formatter, "{} ms", self.0),
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Reads a duration as people write it in a policy: a whole number and one unit out of `s`, `m`,
/// `h`, `d` (`90s`, `15m`, `12h`, `30d`).
///
/// # Errors
///
/// [`Reason::DurationMalformed`] for anything else, leading zeros and overflow included.
pub fn parse_duration(text: &str) -> Result<Duration, Refusal> {
    let refuse = || {
        Refusal::new(
            Reason::DurationMalformed,
            format!("{text:?} is not a duration like 90s, 15m, 12h or 30d"),
        )
    };
    let (digits, seconds_per_unit) = [('s', 1), ('m', 60), ('h', 3600), ('d', 86_400)]
        .into_iter()
        .find_map(|(unit, seconds)| text.strip_suffix(unit).map(|digits| (digits, seconds)))
        .ok_or_else(refuse)?;
    let plain = !digits.is_empty()
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && (digits == "0" || !digits.starts_with('0'));
    if !plain {
        return Err(refuse());
    }
    let count: u32 = digits.parse().map_err(|_| refuse())?;
    Ok(Duration::from_secs(u64::from(count) * seconds_per_unit))
}

/// Writes a duration in the largest unit that is exact; what [`parse_duration`] reads. Fractions
/// of a second are dropped.
pub fn format_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    [('d', 86_400), ('h', 3600), ('m', 60)]
        .into_iter()
        .find(|(_, size)| seconds != 0 && seconds.is_multiple_of(*size))
        .map_or_else(
            || format!("{seconds}s"),
            |(unit, size)| format!("{}{unit}", seconds / size),
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes_rfc_3339() {
        let moment = UnixMillis::parse("2026-11-21T12:00:00.250Z").unwrap();
        assert_eq!(moment, UnixMillis(1_795_262_400_250));
        assert_eq!(moment.to_string(), "2026-11-21T12:00:00.25Z");
        assert_eq!(UnixMillis::parse(&moment.to_string()), Ok(moment));
    }

    #[test]
    fn refuses_other_offsets_finer_fractions_and_early_moments() {
        for text in [
            "2026-11-21T13:00:00+01:00",
            "2026-11-21T12:00:00.0001Z",
            "1969-12-31T23:59:59Z",
            "2026-11-21",
            "2026-02-30T12:00:00Z",
            "",
        ] {
            assert_eq!(
                UnixMillis::parse(text).unwrap_err().reason(),
                Reason::TimeMalformed
            );
        }
    }

    #[test]
    fn durations_round_trip_and_refuse_the_rest() {
        for text in ["0s", "90s", "15m", "12h", "30d"] {
            assert_eq!(format_duration(parse_duration(text).unwrap()), text);
        }
        for text in [
            "",
            "5",
            "m",
            "05m",
            "-1s",
            "1.5h",
            "1w",
            "99999999999s",
            "1 m",
        ] {
            assert_eq!(
                parse_duration(text).unwrap_err().reason(),
                Reason::DurationMalformed,
                "{text}"
            );
        }
    }
}
