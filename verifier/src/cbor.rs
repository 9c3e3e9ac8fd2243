//! A strict reader of the CBOR that attestation documents use (RFC 8949).
//!
//! One call reads one item head, and for strings their content, borrowed. Nothing recurses and
//! nothing allocates: the callers ask for exactly the items their format has, so depth and count
//! are bounded by the format (R7). Integers and lengths must be in shortest form, additional
//! information 28 to 30 is refused, and of the indefinite lengths only a map's is handed on, for
//! the caller to decide (R5).

use core::fmt;

use crate::check::CheckId;
use crate::report::Failure;

/// One item, or the head of one that has parts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Item<'a> {
    Unsigned(u64),
    /// The integer `-1 - n`.
    Negative(u64),
    Bytes(&'a [u8]),
    Text(&'a str),
    Array(u64),
    Map(u64),
    IndefiniteMap,
    Tag(u64),
    Null,
    /// Booleans, `undefined`, floating-point and unassigned simple values: no place in a document.
    Other,
    Break,
}

/// The kind of item, for people.
impl fmt::Display for Item<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsigned(number) => write!(f, "the integer {number}"),
            Self::Negative(number) => write!(f, "the integer {}", -1 - i128::from(*number)),
            Self::Bytes(bytes) => write!(f, "a byte string of {}", bytes.len()),
            Self::Text(text) => write!(f, "a text string of {}", text.len()),
            Self::Array(count) => write!(f, "an array of {count}"),
            Self::Map(count) => write!(f, "a map of {count}"),
            Self::IndefiniteMap => f.write_str("a map of indefinite length"),
            Self::Tag(tag) => write!(f, "tag {tag}"),
            Self::Null => f.write_str("null"),
            Self::Other => f.write_str("a simple or floating-point value"),
            Self::Break => f.write_str("a break"),
        }
    }
}

/// Why the bytes are not CBOR as we read it, and where.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct CborError {
    pub(crate) kind: CborErrorKind,
    pub(crate) offset: usize,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum CborErrorKind {
    Truncated,
    Reserved,
    NotShortest,
    IndefiniteLength,
    NotUtf8,
}

impl CborError {
    /// The check that this breaks; `part` names the bytes that were read.
    pub(crate) fn into_failure(self, part: &str) -> Failure {
        let (id, what) = match self.kind {
            CborErrorKind::Truncated => (CheckId::CborTruncated, "the bytes end too early"),
            CborErrorKind::Reserved => (CheckId::CborReserved, "reserved additional information"),
            CborErrorKind::NotShortest => (CheckId::CborShortestForm, "a longer form"),
            CborErrorKind::IndefiniteLength => {
                (CheckId::CborIndefiniteLength, "an indefinite length")
            }
            CborErrorKind::NotUtf8 => (CheckId::CborText, "text that is not UTF-8"),
        };
        Failure::new(id, format!("{what} at byte {} of the {part}", self.offset))
    }
}

/// Reads items from the front of some bytes.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    /// How many bytes have been read.
    pub(crate) fn position(&self) -> usize {
        self.position
    }

    /// How many bytes are left.
    pub(crate) fn remaining(&self) -> usize {
        self.bytes.len().saturating_sub(self.position)
    }

    /// Reads the next item: all of it for integers, strings and simple values, only the head for
    /// arrays, maps and tags.
    pub(crate) fn item(&mut self) -> Result<Item<'a>, CborError> {
        let start = self.position;
        let fail = |kind| CborError {
            kind,
            offset: start,
        };
        let first = self.take(1, start)?.first().copied().unwrap_or(0);
        let (major, information) = (first >> 5, first & 0x1f);

        // RFC 8949, section 3.2: 31 begins an indefinite length or is the "break" that ends one.
        if information == 31 {
            return match major {
                2..=4 => Err(fail(CborErrorKind::IndefiniteLength)),
                5 => Ok(Item::IndefiniteMap),
                7 => Ok(Item::Break),
                _ => Err(fail(CborErrorKind::Reserved)),
            };
        }
        if major == 7 {
            return self.simple(information, start);
        }
        let argument = self.argument(information, start)?;
        Ok(match major {
            0 => Item::Unsigned(argument),
            1 => Item::Negative(argument),
            2 => Item::Bytes(self.content(argument, start)?),
            3 => {
                let text = core::str::from_utf8(self.content(argument, start)?);
                Item::Text(text.map_err(|_| fail(CborErrorKind::NotUtf8))?)
            }
            4 => Item::Array(argument),
            5 => Item::Map(argument),
            _ => Item::Tag(argument),
        })
    }

    /// The argument of a head (RFC 8949, section 3), in shortest form only.
    fn argument(&mut self, information: u8, start: usize) -> Result<u64, CborError> {
        let (width, least) = match information {
            0..=23 => return Ok(u64::from(information)),
            24 => (1, 24),
            25 => (2, 1 << 8),
            26 => (4, 1 << 16),
            27 => (8, 1 << 32),
            _ => {
                return Err(CborError {
                    kind: CborErrorKind::Reserved,
                    offset: start,
                });
            }
        };
        let bytes = self.take(width, start)?;
        let argument = bytes
            .iter()
            .fold(0, |number, byte| (number << 8) | u64::from(*byte));
        if argument < least {
            return Err(CborError {
                kind: CborErrorKind::NotShortest,
                offset: start,
            });
        }
        Ok(argument)
    }

    /// Major type 7. Only `null` means anything here; the rest is stepped over so that the caller
    /// can say what it found.
    fn simple(&mut self, information: u8, start: usize) -> Result<Item<'a>, CborError> {
        let width = match information {
            22 => return Ok(Item::Null),
            0..=23 => return Ok(Item::Other),
            24 => 1,
            25 => 2,
            26 => 4,
            27 => 8,
            _ => {
                return Err(CborError {
                    kind: CborErrorKind::Reserved,
                    offset: start,
                });
            }
        };
        let value = self.take(width, start)?;
        // RFC 8949, section 3.3: a simple value below 32 in two bytes is not well-formed.
        if information == 24 && value.first().is_some_and(|value| *value < 32) {
            return Err(CborError {
                kind: CborErrorKind::NotShortest,
                offset: start,
            });
        }
        Ok(Item::Other)
    }

    /// The content of a string: a length that does not fit is refused before it is believed.
    fn content(&mut self, length: u64, start: usize) -> Result<&'a [u8], CborError> {
        let length = usize::try_from(length).map_err(|_| CborError {
            kind: CborErrorKind::Truncated,
            offset: start,
        })?;
        self.take(length, start)
    }

    fn take(&mut self, count: usize, start: usize) -> Result<&'a [u8], CborError> {
        let end = self.position.checked_add(count);
        let bytes = end.and_then(|end| self.bytes.get(self.position..end));
        let bytes = bytes.ok_or(CborError {
            kind: CborErrorKind::Truncated,
            offset: start,
        })?;
        self.position += count;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(bytes: &[u8]) -> Result<Item<'_>, CborErrorKind> {
        let mut reader = Reader::new(bytes);
        let item = reader.item().map_err(|error| error.kind)?;
        assert_eq!(reader.remaining(), 0, "{item}");
        Ok(item)
    }

    #[test]
    fn well_formed_items_are_read() {
        // RFC 8949, appendix A.
        assert_eq!(one(&[0x00]), Ok(Item::Unsigned(0)));
        assert_eq!(one(&[0x17]), Ok(Item::Unsigned(23)));
        assert_eq!(one(&[0x18, 0x18]), Ok(Item::Unsigned(24)));
        assert_eq!(one(&[0x19, 0x03, 0xe8]), Ok(Item::Unsigned(1000)));
        assert_eq!(
            one(&[0x1a, 0x00, 0x0f, 0x42, 0x40]),
            Ok(Item::Unsigned(1_000_000))
        );
        assert_eq!(
            one(&[0x1b, 0, 0, 0, 1, 0, 0, 0, 0]),
            Ok(Item::Unsigned(1 << 32))
        );
        assert_eq!(one(&[0x38, 0x22]), Ok(Item::Negative(34)));
        assert_eq!(one(&[0x42, 1, 2]), Ok(Item::Bytes(&[1, 2])));
        assert_eq!(one(&[0x62, 0xc3, 0xbc]), Ok(Item::Text("\u{fc}")));
        assert_eq!(one(&[0x84]), Ok(Item::Array(4)));
        assert_eq!(one(&[0xa9]), Ok(Item::Map(9)));
        assert_eq!(one(&[0xbf]), Ok(Item::IndefiniteMap));
        assert_eq!(one(&[0xff]), Ok(Item::Break));
        assert_eq!(one(&[0xd2]), Ok(Item::Tag(18)));
        assert_eq!(one(&[0xf6]), Ok(Item::Null));
        for other in [
            &[0xf4][..],
            &[0xf5],
            &[0xf7],
            &[0xf8, 32],
            &[0xf9, 0, 0],
            &[0xfa, 0, 0, 0, 0],
        ] {
            assert_eq!(one(other), Ok(Item::Other));
        }
    }

    #[test]
    fn longer_forms_are_refused_on_both_sides_of_each_boundary() {
        let longer: [&[u8]; 8] = [
            &[0x18, 23],
            &[0x19, 0, 255],
            &[0x1a, 0, 0, 255, 255],
            &[0x1b, 0, 0, 0, 0, 255, 255, 255, 255],
            &[0x58, 1, 0],
            &[0x98, 4],
            &[0xd8, 18],
            &[0xf8, 31],
        ];
        for bytes in longer {
            assert_eq!(one(bytes), Err(CborErrorKind::NotShortest), "{bytes:02x?}");
        }
        assert_eq!(one(&[0x19, 1, 0]), Ok(Item::Unsigned(256)));
        assert_eq!(one(&[0x1a, 0, 1, 0, 0]), Ok(Item::Unsigned(65_536)));
    }

    #[test]
    fn reserved_and_indefinite_heads_are_refused() {
        for major in 0..8_u8 {
            for information in 28..=30 {
                assert_eq!(
                    one(&[(major << 5) | information]),
                    Err(CborErrorKind::Reserved)
                );
            }
        }
        for head in [0x1f, 0x3f, 0xdf] {
            assert_eq!(one(&[head]), Err(CborErrorKind::Reserved));
        }
        for head in [0x5f, 0x7f, 0x9f] {
            assert_eq!(one(&[head]), Err(CborErrorKind::IndefiniteLength));
        }
    }

    #[test]
    fn what_ends_early_is_truncated() {
        let short: [&[u8]; 6] = [
            &[],
            &[0x18],
            &[0x1b, 1, 2, 3, 4, 5, 6, 7],
            &[0x42, 1],
            &[0x5b, 255, 255, 255, 255, 255, 255, 255, 255],
            &[0xf9, 1],
        ];
        for bytes in short {
            assert_eq!(one(bytes), Err(CborErrorKind::Truncated), "{bytes:02x?}");
        }
        assert_eq!(one(&[0x61, 0xff]), Err(CborErrorKind::NotUtf8));
    }
}
