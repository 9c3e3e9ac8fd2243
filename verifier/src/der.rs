//! The strictness of DER (ITU-T X.690) that certificate parsers tend to leave out.
//!
//! [`lint`] walks every item of a certificate once, without recursion; [`Items`] reads the few
//! small structures that the verifier interprets itself. Which certificate field is which is
//! `x509-parser`'s business, in `certificate.rs`.

use crate::check::CheckId;
use crate::limits::MAX_DER_DEPTH;
use crate::report::Failure;
use crate::time::{Civil, UnixMillis};

pub(crate) const BOOLEAN: u8 = 0x01;
pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const OCTET_STRING: u8 = 0x04;
const NULL: u8 = 0x05;
pub(crate) const OBJECT_IDENTIFIER: u8 = 0x06;
const UTF8_STRING: u8 = 0x0c;
const PRINTABLE_STRING: u8 = 0x13;
const IA5_STRING: u8 = 0x16;
pub(crate) const UTC_TIME: u8 = 0x17;
pub(crate) const GENERALIZED_TIME: u8 = 0x18;
pub(crate) const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
pub(crate) const CONTEXT_0: u8 = 0xa0;
pub(crate) const CONTEXT_3: u8 = 0xa3;

/// One item: its tag byte and its content.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Item<'a> {
    pub(crate) tag: u8,
    pub(crate) content: &'a [u8],
    /// Tag, length and content.
    pub(crate) whole: &'a [u8],
}

/// Reads items one after another.
#[derive(Clone, Debug)]
pub(crate) struct Items<'a> {
    rest: &'a [u8],
}

impl<'a> Items<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// How many bytes are left.
    pub(crate) fn remaining(&self) -> usize {
        self.rest.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next item, which has `tag`.
    pub(crate) fn expect(&mut self, tag: u8) -> Result<Item<'a>, Failure> {
        let item = self.next()?;
        if item.tag == tag {
            Ok(item)
        } else {
            Err(der(format!("tag {:#04x} instead of {tag:#04x}", item.tag)))
        }
    }

    /// The next item: definite length in shortest form, low tag number (X.690, 10.1).
    pub(crate) fn next(&mut self) -> Result<Item<'a>, Failure> {
        let whole = self.rest;
        let (&tag, rest) = whole.split_first().ok_or_else(|| der("a missing item"))?;
        if tag & 0x1f == 0x1f {
            return Err(der("a tag number above 30"));
        }
        let (&first, rest) = rest.split_first().ok_or_else(|| der("a missing length"))?;
        let (length, rest) = match (first, rest) {
            (0..=0x7f, rest) => (usize::from(first), rest),
            (0x81, [low @ 0x80..=0xff, rest @ ..]) => (usize::from(*low), rest),
            (0x82, [high @ 1..=0xff, low, rest @ ..]) => {
                (usize::from(*high) << 8 | usize::from(*low), rest)
            }
            // Indefinite (80), longer than needed, or beyond any certificate.
            _ => return Err(der("a length not in shortest definite form")),
        };
        let (content, rest) = rest
            .split_at_checked(length)
            .ok_or_else(|| der("an item longer than its bytes"))?;
        self.rest = rest;
        let whole = whole.get(..whole.len() - rest.len()).unwrap_or_default();
        Ok(Item {
            tag,
            content,
            whole,
        })
    }
}

/// Walks everything in one certificate and refuses what is not canonical (R22).
///
/// Exactly one item must be there; what follows it is for the caller to look at.
pub(crate) fn lint(certificate: &[u8]) -> Result<(), Failure> {
    // The rest of each container that has been entered; the depth is bounded, so no recursion.
    let mut open: [Items<'_>; MAX_DER_DEPTH] = core::array::from_fn(|_| Items::new(&[]));
    let mut depth = 0;
    let mut current = Items::new(Items::new(certificate).expect(SEQUENCE)?.content);
    loop {
        if current.is_empty() {
            if depth == 0 {
                return Ok(());
            }
            depth -= 1;
            current = open.get(depth).cloned().unwrap_or(Items::new(&[]));
            continue;
        }
        let item = current.next()?;
        let constructed = item.tag & 0x20 != 0;
        if constructed {
            if !matches!(item.tag, SEQUENCE | SET | 0xa0..) {
                return Err(der(format!("a constructed item of tag {:#04x}", item.tag)));
            }
            let slot = open.get_mut(depth).ok_or_else(|| der("deeper nesting"))?;
            *slot = current;
            depth += 1;
            current = Items::new(item.content);
        } else {
            primitive(item)?;
        }
    }
}

fn primitive(item: Item<'_>) -> Result<(), Failure> {
    let content = item.content;
    match item.tag {
        BOOLEAN => {
            // In a certificate proper the only BOOLEAN is `critical DEFAULT FALSE`, and DER leaves
            // a default out (X.690, 11.5): so TRUE is the only value that can stand there.
            if content != [0xff] {
                return Err(Failure::new(
                    CheckId::CertificateBoolean,
                    hex("a BOOLEAN of", content),
                ));
            }
            Ok(())
        }
        INTEGER => integer(content).map(|_| ()),
        BIT_STRING => bit_string(content).map(|_| ()),
        UTC_TIME | GENERALIZED_TIME => time(item).map(|_| ()),
        NULL if content.is_empty() => Ok(()),
        NULL => Err(der("a NULL with content")),
        OBJECT_IDENTIFIER => object_identifier(content),
        UTF8_STRING if core::str::from_utf8(content).is_err() => Err(der("text that is not UTF-8")),
        PRINTABLE_STRING if !content.iter().all(|c| is_printable(*c)) => {
            Err(der("a PrintableString with other characters"))
        }
        IA5_STRING if !content.is_ascii() => Err(der("an IA5String that is not ASCII")),
        UTF8_STRING | PRINTABLE_STRING | IA5_STRING | OCTET_STRING => Ok(()),
        // Context-specific, implicit: not ours to interpret.
        0x80..=0xbf => Ok(()),
        tag => Err(der(format!("an item of tag {tag:#04x}"))),
    }
}

/// X.690, 8.3.2: the content of an INTEGER, in the fewest bytes. Returned as it is.
pub(crate) fn integer(content: &[u8]) -> Result<&[u8], Failure> {
    match content {
        [] => Err(der("an empty INTEGER")),
        [0x00, 0x00..=0x7f, ..] | [0xff, 0x80..=0xff, ..] => Err(der("an INTEGER with padding")),
        _ => Ok(content),
    }
}

/// The digits of a positive INTEGER without the sign byte; `None` for zero and below.
pub(crate) fn positive_integer(content: &[u8]) -> Result<Option<&[u8]>, Failure> {
    Ok(match integer(content)? {
        [0x00] | [0x80..=0xff, ..] => None,
        [0x00, digits @ ..] | digits => Some(digits),
    })
}

/// X.690, 11.2: the bits, and how many of the last byte are unused, which must be zero.
pub(crate) fn bit_string(content: &[u8]) -> Result<(&[u8], u8), Failure> {
    let fault = || Failure::new(CheckId::CertificateBitString, "stray unused bits");
    let (&unused, bits) = content.split_first().ok_or_else(fault)?;
    let last = match bits.last() {
        None if unused == 0 => return Ok((bits, 0)),
        None => return Err(fault()),
        Some(last) => *last,
    };
    if unused > 7 || last & ((1 << unused) - 1) != 0 {
        return Err(fault());
    }
    Ok((bits, unused))
}

/// RFC 5280, section 4.1.2.5: UTCTime through 2049, GeneralizedTime from 2050, both with seconds,
/// in UTC, without fractions, and the date must exist.
pub(crate) fn time(item: Item<'_>) -> Result<UnixMillis, Failure> {
    let fault = || {
        let text = String::from_utf8_lossy(item.content);
        let kind = match item.tag {
            UTC_TIME => "UTCTime",
            GENERALIZED_TIME => "GeneralizedTime",
            _ => "no time",
        };
        Failure::new(CheckId::CertificateTime, format!("{kind} {text:?}"))
    };
    let digits = item.content.strip_suffix(b"Z").ok_or_else(fault)?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return Err(fault());
    }
    let number = |digits: &[u8]| digits.iter().fold(0, |n, d| n * 10 + u64::from(*d - b'0'));
    let (year, rest) = match (item.tag, digits.len()) {
        (UTC_TIME, 12) => {
            let (year, rest) = digits.split_at(2);
            // 50 to 99 means 19xx; of those only 1970 to 1999 are dates a certificate can have.
            let year = number(year);
            (if year < 50 { 2000 + year } else { 1900 + year }, rest)
        }
        (GENERALIZED_TIME, 14) => {
            let (year, rest) = digits.split_at(4);
            (
                Some(number(year))
                    .filter(|year| *year >= 2050)
                    .ok_or_else(fault)?,
                rest,
            )
        }
        _ => return Err(fault()),
    };
    let mut pairs = rest.chunks_exact(2).map(number);
    let mut next = || pairs.next().unwrap_or(0);
    let civil = Civil {
        year,
        month: next(),
        day: next(),
        hour: next(),
        minute: next(),
        second: next(),
    };
    UnixMillis::from_civil(civil).ok_or_else(fault)
}

fn object_identifier(content: &[u8]) -> Result<(), Failure> {
    let complete = content.last().is_some_and(|last| last & 0x80 == 0);
    // A subidentifier begins at the start and after each byte without the top bit; 0x80 there is
    // a leading zero (X.690, 8.19.2).
    let mut begins = true;
    let padded = content.iter().any(|byte| {
        let pad = begins && *byte == 0x80;
        begins = byte & 0x80 == 0;
        pad
    });
    if complete && !padded {
        Ok(())
    } else {
        Err(der("an odd OBJECT IDENTIFIER"))
    }
}

fn is_printable(c: u8) -> bool {
    c.is_ascii_alphanumeric() || b" '()+,-./:=?".contains(&c)
}

pub(crate) fn der(observed: impl Into<crate::report::Detail>) -> Failure {
    Failure::new(CheckId::CertificateDer, observed)
}

fn hex(what: &str, bytes: &[u8]) -> String {
    bytes
        .iter()
        .take(8)
        .fold(what.to_owned(), |text, byte| format!("{text} {byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(bytes: &[u8]) -> CheckId {
        lint(bytes).unwrap_err().id
    }

    fn sequence(content: &[u8]) -> Vec<u8> {
        let mut bytes = vec![SEQUENCE, u8::try_from(content.len()).unwrap()];
        bytes.extend(content);
        bytes
    }

    #[test]
    fn lengths_have_one_form() {
        assert!(Items::new(&[4, 0]).next().is_ok());
        let mut long = vec![4, 0x81, 0x80];
        long.extend([0; 0x80]);
        assert_eq!(Items::new(&long).next().unwrap().content.len(), 0x80);
        let mut longer = vec![4, 0x82, 1, 0];
        longer.extend([0; 0x100]);
        assert_eq!(Items::new(&longer).next().unwrap().whole.len(), 0x104);

        let odd: [&[u8]; 7] = [
            &[4, 0x80, 0, 0],
            &[4, 0x81, 0x01, 0],
            &[4, 0x82, 0x00, 0x01, 0],
            &[4, 0x83, 0, 0, 1, 0],
            &[4, 2, 0],
            &[4],
            &[0x1f, 0x81, 0x01, 0],
        ];
        for bytes in odd {
            assert!(Items::new(bytes).next().is_err(), "{bytes:02x?}");
        }
        long[2] = 0x7f;
        assert!(Items::new(&long).next().is_err());
    }

    #[test]
    fn booleans_are_true_or_left_out() {
        assert_eq!(lint(&sequence(&[BOOLEAN, 1, 0xff])), Ok(()));
        for content in [&[0x00][..], &[0x01], &[0xfe], &[], &[0xff, 0xff]] {
            let mut item = vec![BOOLEAN, u8::try_from(content.len()).unwrap()];
            item.extend(content);
            assert_eq!(refused(&sequence(&item)), CheckId::CertificateBoolean);
        }
    }

    #[test]
    fn integers_are_not_padded() {
        for good in [&[0][..], &[0x7f], &[0x00, 0x80], &[0xff], &[0xff, 0x7f]] {
            assert!(integer(good).is_ok(), "{good:02x?}");
        }
        for bad in [&[][..], &[0, 0x7f], &[0, 0], &[0xff, 0x80], &[0xff, 0xff]] {
            assert_eq!(
                integer(bad).unwrap_err().id,
                CheckId::CertificateDer,
                "{bad:02x?}"
            );
        }
        assert_eq!(positive_integer(&[0x00, 0x80]), Ok(Some(&[0x80][..])));
        assert_eq!(positive_integer(&[0x05]), Ok(Some(&[0x05][..])));
        assert_eq!(positive_integer(&[0x00]), Ok(None));
        assert_eq!(positive_integer(&[0x80]), Ok(None));
    }

    #[test]
    fn unused_bits_are_zero_and_fewer_than_eight() {
        assert_eq!(bit_string(&[0]), Ok((&[][..], 0)));
        assert_eq!(bit_string(&[6, 0xc0]), Ok((&[0xc0][..], 6)));
        assert_eq!(bit_string(&[0, 0xff]), Ok((&[0xff][..], 0)));
        for bad in [&[][..], &[1], &[6, 0xe0], &[8, 0], &[255, 0]] {
            assert_eq!(
                bit_string(bad).unwrap_err().id,
                CheckId::CertificateBitString
            );
        }
    }

    #[test]
    fn times_have_the_right_type_and_exist() {
        let at = |tag, text: &str| {
            time(Item {
                tag,
                content: text.as_bytes(),
                whole: &[],
            })
            .map(|time| time.to_string())
        };
        assert_eq!(
            at(UTC_TIME, "260803191953Z").unwrap(),
            "2026-08-03T19:19:53.000Z"
        );
        assert_eq!(
            at(UTC_TIME, "491231235959Z").unwrap(),
            "2049-12-31T23:59:59.000Z"
        );
        assert_eq!(
            at(UTC_TIME, "700101000000Z").unwrap(),
            "1970-01-01T00:00:00.000Z"
        );
        assert_eq!(
            at(GENERALIZED_TIME, "20500101000000Z").unwrap(),
            "2050-01-01T00:00:00.000Z"
        );
        let bad = [
            (UTC_TIME, "2608031919Z"),       // No seconds.
            (UTC_TIME, "260803191953+0000"), // An offset instead of Z.
            (UTC_TIME, "260230000000Z"),     // 30 February.
            (UTC_TIME, "20260803191953Z"),   // Four digits of year.
            (UTC_TIME, "500101000000Z"),     // 1950.
            (UTC_TIME, "26080319195xZ"),
            (GENERALIZED_TIME, "20260803191953Z"), // Before 2050.
            (GENERALIZED_TIME, "20500101000000.5Z"),
            (GENERALIZED_TIME, "205001010000Z"),
            (GENERALIZED_TIME, "20500101000000"),
            (INTEGER, "260803191953Z"),
        ];
        for (tag, text) in bad {
            assert_eq!(
                at(tag, text).unwrap_err().id,
                CheckId::CertificateTime,
                "{text}"
            );
        }
    }

    #[test]
    fn nesting_is_bounded() {
        let nest = |levels: usize| (0..levels).fold(sequence(&[]), |inner, _| sequence(&inner));
        assert_eq!(lint(&nest(MAX_DER_DEPTH)), Ok(()));
        assert_eq!(refused(&nest(MAX_DER_DEPTH + 1)), CheckId::CertificateDer);
    }

    #[test]
    fn other_items_are_checked_too() {
        for good in [
            &[NULL, 0][..],
            &[OBJECT_IDENTIFIER, 2, 0x2a, 0x03],
            &[PRINTABLE_STRING, 2, b'U', b'S'],
            &[UTF8_STRING, 1, b'x'],
            &[0x80, 1, 9],
        ] {
            assert_eq!(lint(&sequence(good)), Ok(()), "{good:02x?}");
        }
        for bad in [
            &[NULL, 1, 0][..],
            &[OBJECT_IDENTIFIER, 2, 0x2a, 0x83],
            &[OBJECT_IDENTIFIER, 3, 0x2a, 0x80, 0x01],
            &[OBJECT_IDENTIFIER, 0],
            &[PRINTABLE_STRING, 1, b'*'],
            &[UTF8_STRING, 1, 0xff],
            &[IA5_STRING, 1, 0x80],
            &[0x24, 0],
            &[0x10, 0],
            &[0x0a, 1, 0],
        ] {
            assert_eq!(
                refused(&sequence(bad)),
                CheckId::CertificateDer,
                "{bad:02x?}"
            );
        }
    }
}
