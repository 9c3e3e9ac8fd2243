//! Times and durations as people type them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;

use crate::failure::{Failure, Outcome};

/// The computer's clock, in unix milliseconds. The one place where the command reads it.
///
/// # Errors
/// `clock.unusable` if it is before 1970.
pub(crate) fn now_unix_millis() -> Outcome<u64> {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|elapsed| u64::try_from(elapsed.as_millis()).ok())
        .ok_or_else(|| {
            Failure::environment("clock.unusable", "this computer's clock is before 1970")
                .next("set the clock; nothing can be judged without it")
        })
}

/// The same without the milliseconds, for files that people read.
///
/// # Errors
/// As [`now_unix_millis`].
pub(crate) fn now_to_the_second() -> Outcome<u64> {
    now_unix_millis().map(|millis| millis - millis % 1000)
}

/// Parses RFC 3339, for example `2026-11-21T14:00:00Z`, into unix milliseconds. For `clap`.
///
/// # Errors
/// A sentence that shows the expected form.
pub(crate) fn parse_time(text: &str) -> Result<u64, String> {
    let timestamp: Timestamp = text
        .parse()
        .map_err(|_| "expected a time like 2026-11-21T14:00:00Z (RFC 3339, with its zone)")?;
    u64::try_from(timestamp.as_millisecond()).map_err(|_| "the time is before 1970".to_owned())
}

/// Unix milliseconds as RFC 3339 in UTC; milliseconds only where there are any.
pub(crate) fn time_text(unix_millis: u64) -> String {
    i64::try_from(unix_millis)
        .ok()
        .and_then(|millis| Timestamp::from_millisecond(millis).ok())
        .map_or_else(
            || format!("{unix_millis} ms after 1970"),
            |timestamp| timestamp.to_string(),
        )
}

/// Parses `90s`, `5m`, `1h30m`, `12h`, `7d`, `2w`, `250ms`. For `clap`.
///
/// # Errors
/// A sentence that shows the expected form.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    const FORM: &str = "expected a duration like 90s, 5m, 1h30m or 7d";
    let mut total_millis: u64 = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest
            .find(|character: char| !character.is_ascii_digit())
            .ok_or_else(|| format!("{FORM}; a number needs its unit (ms, s, m, h, d or w)"))?;
        let (number, after) = rest.split_at(digits);
        let number: u64 = number.parse().map_err(|_| FORM)?;
        let letters = after
            .find(|character: char| character.is_ascii_digit())
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        let unit_millis: u64 = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "w" => 604_800_000,
            _ => return Err(format!("{FORM}; `{unit}` is no unit (ms, s, m, h, d or w)")),
        };
        total_millis = number
            .checked_mul(unit_millis)
            .and_then(|millis| total_millis.checked_add(millis))
            .ok_or("the duration is too long")?;
        rest = after;
    }
    match text.is_empty() {
        true => Err(FORM.to_owned()),
        false => Ok(Duration::from_millis(total_millis)),
    }
}

/// A duration for people: the two largest units, `3 h 5 m`, `250 ms`.
pub(crate) fn duration_text(millis: u64) -> String {
    const UNITS: [(u64, &str); 5] = [
        (86_400_000, "d"),
        (3_600_000, "h"),
        (60_000, "m"),
        (1_000, "s"),
        (1, "ms"),
    ];
    let mut parts = Vec::new();
    let mut rest = millis;
    for (unit_millis, unit) in UNITS {
        let count = rest / unit_millis;
        rest %= unit_millis;
        if count > 0 {
            parts.push(format!("{count} {unit}"));
        } else if !parts.is_empty() {
            break;
        }
        if parts.len() == 2 {
            break;
        }
    }
    match parts.is_empty() {
        true => "0 s".to_owned(),
        false => parts.join(" "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_as_typed() {
        assert_eq!(parse_duration("1h30m"), Ok(Duration::from_secs(5_400)));
        assert_eq!(parse_duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse_duration("2w"), Ok(Duration::from_secs(14 * 86_400)));
        for wrong in [
            "",
            "5",
            "m",
            "5x",
            "5 m",
            "-5m",
            "99999999999999999999s",
            "9999999999999w",
        ] {
            assert!(parse_duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn times_need_a_zone() {
        assert_eq!(parse_time("1970-01-01T00:00:01.500Z"), Ok(1_500));
        assert_eq!(parse_time("1970-01-01T01:00:00+01:00"), Ok(0));
        assert!(parse_time("2026-11-21T14:00:00").is_err());
        assert!(parse_time("1969-12-31T23:59:59Z").is_err());
        assert_eq!(time_text(1_500), "1970-01-01T00:00:01.5Z");
    }

    #[test]
    fn durations_for_people() {
        assert_eq!(duration_text(0), "0 s");
        assert_eq!(duration_text(11_100_000), "3 h 5 m");
        assert_eq!(duration_text(3_600_005), "1 h");
        assert_eq!(duration_text(1_250), "1 s 250 ms");
    }
}
