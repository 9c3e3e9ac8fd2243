//! Times in certificates (RFC 5280, section 4.1.2.5).

use jiff::Timestamp;
use jiff::tz::Offset;

use super::der::Der;
use crate::UnixMillis;

const TAG_UTC_TIME: u8 = 0x17;
const TAG_GENERALIZED_TIME: u8 = 0x18;

/// One Time of a Validity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TimeField {
    /// `YYMMDDHHMMSSZ` from seconds since the epoch: what AWS writes.
    Utc(u64),
    /// `YYYYMMDDHHMMSSZ` from seconds since the epoch.
    Generalized(u64),
    /// This tag byte and these content bytes, right or wrong.
    Raw(u8, Vec<u8>),
}

impl TimeField {
    /// A UTCTime at a moment in milliseconds, rounded down to the second.
    #[must_use]
    pub fn utc_from_millis(unix_millis: impl Into<UnixMillis>) -> Self {
        Self::Utc(unix_millis.into().seconds())
    }

    /// A UTCTime with these content bytes, such as `b"260230000000Z"` (30 February).
    #[must_use]
    pub fn utc_text(text: &str) -> Self {
        Self::Raw(TAG_UTC_TIME, text.as_bytes().to_vec())
    }

    /// A GeneralizedTime with these content bytes.
    #[must_use]
    pub fn generalized_text(text: &str) -> Self {
        Self::Raw(TAG_GENERALIZED_TIME, text.as_bytes().to_vec())
    }

    /// The DER value.
    #[must_use]
    pub fn to_der(&self) -> Der {
        match self {
            Self::Utc(seconds) => {
                let text = civil_text(*seconds);
                Der::Primitive(TAG_UTC_TIME, text.get(2..).unwrap_or_default().to_vec())
            }
            Self::Generalized(seconds) => {
                Der::Primitive(TAG_GENERALIZED_TIME, civil_text(*seconds))
            }
            Self::Raw(tag, content) => Der::Primitive(*tag, content.clone()),
        }
    }
}

/// `YYYYMMDDHHMMSSZ`. Seconds beyond the year 9999 are written as its last second.
fn civil_text(unix_seconds: u64) -> Vec<u8> {
    let timestamp = i64::try_from(unix_seconds)
        .ok()
        .and_then(|seconds| Timestamp::from_second(seconds).ok())
        .unwrap_or(Timestamp::MAX);
    let civil = Offset::UTC.to_datetime(timestamp);
    format!(
        "{:04}{:02}{:02}{:02}{:02}{:02}Z",
        civil.year(),
        civil.month(),
        civil.day(),
        civil.hour(),
        civil.minute(),
        civil.second()
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_time_are_written() {
        // The leaf of a genuine document: 2026-08-03 19:19:53 UTC.
        let utc = TimeField::Utc(1_785_784_793).to_der().to_bytes();
        assert_eq!(utc, [&[0x17, 13], b"260803191953Z".as_slice()].concat());
        let generalized = TimeField::Generalized(1_785_784_793).to_der().to_bytes();
        assert_eq!(
            generalized,
            [&[0x18, 15], b"20260803191953Z".as_slice()].concat()
        );
    }
}
