//! Reducing documents and certificates to their skeletons. Test code: it panics on anything odd.

use minicbor::Decoder;
use minicbor::data::Type;

/// A document taken apart far enough to compare it.
pub(crate) struct Document<'b> {
    envelope: &'b [u8],
    payload: &'b [u8],
    entries: Vec<(String, &'b [u8])>,
}

impl<'b> Document<'b> {
    /// Takes a well-formed document apart.
    pub(crate) fn read(bytes: &'b [u8]) -> Self {
        let mut decoder = Decoder::new(bytes);
        assert_eq!(decoder.array().unwrap(), Some(4));
        decoder.skip().unwrap();
        decoder.skip().unwrap();
        let payload = decoder.bytes().unwrap();
        Self {
            envelope: bytes,
            payload,
            entries: entries(payload),
        }
    }

    /// The keys of the payload.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|(key, _)| key.as_str())
    }

    /// A text field.
    pub(crate) fn text(&self, key: &str) -> &'b str {
        self.value(key).str().unwrap()
    }

    /// A number field.
    pub(crate) fn number(&self, key: &str) -> u64 {
        self.value(key).u64().unwrap()
    }

    /// An optional byte field.
    pub(crate) fn bytes(&self, key: &str) -> Option<&'b [u8]> {
        let mut value = self.value(key);
        if value.datatype().unwrap() == Type::Null {
            None
        } else {
            Some(value.bytes().unwrap())
        }
    }

    /// The registers that the document shows.
    pub(crate) fn register_indices(&self) -> Vec<u64> {
        let mut value = self.value("pcrs");
        let count = value.map().unwrap().unwrap();
        (0..count)
            .map(|_| {
                let index = value.u64().unwrap();
                assert_eq!(value.bytes().unwrap().len(), 48);
                index
            })
            .collect()
    }

    /// Root first, leaf last.
    pub(crate) fn certificates(&self) -> Vec<&'b [u8]> {
        let mut cabundle = self.value("cabundle");
        let count = cabundle.array().unwrap().unwrap();
        let mut all: Vec<&[u8]> = (0..count).map(|_| cabundle.bytes().unwrap()).collect();
        all.push(self.value("certificate").bytes().unwrap());
        all
    }

    /// Every item of the envelope and of the payload, without the bytes in them.
    pub(crate) fn skeleton(&self) -> Vec<String> {
        let mut lines = items(self.envelope);
        lines.extend(items(self.payload));
        lines
    }

    fn value(&self, key: &str) -> Decoder<'b> {
        let (_, bytes) = self
            .entries
            .iter()
            .find(|(present, _)| present == key)
            .unwrap();
        Decoder::new(bytes)
    }
}

fn entries(payload: &[u8]) -> Vec<(String, &[u8])> {
    let mut decoder = Decoder::new(payload);
    let count = decoder.map().unwrap();
    let mut entries = Vec::new();
    while count.is_none_or(|count| entries.len() < usize::try_from(count).unwrap()) {
        if decoder.datatype().unwrap() == Type::Break {
            break;
        }
        let key = decoder.str().unwrap().to_owned();
        let start = decoder.position();
        decoder.skip().unwrap();
        entries.push((key, &payload[start..decoder.position()]));
    }
    entries
}

/// Every item with the byte of its head, which says kind and width; texts that are keys and the
/// lengths of short byte strings stay.
fn items(mut bytes: &[u8]) -> Vec<String> {
    let mut lines = Vec::new();
    while let [head, rest @ ..] = bytes {
        let (argument, rest) = argument(*head, rest);
        let string = usize::try_from(argument).unwrap();
        let (line, rest) = match head >> 5 {
            // Signature, registers and protected header have fixed sizes; others have a width.
            2 if argument < 128 => (format!("{argument} bytes"), &rest[string..]),
            2 => ("bytes".to_owned(), &rest[string..]),
            3 if rest.starts_with(b"i-") => ("module id".to_owned(), &rest[string..]),
            3 => (
                String::from_utf8(rest[..string].to_vec()).unwrap(),
                &rest[string..],
            ),
            _ => (String::new(), rest),
        };
        lines.push(format!("{head:02x} {line}"));
        bytes = rest;
    }
    lines
}

/// The argument of a head (RFC 8949, section 3), zero when it has none.
fn argument(head: u8, rest: &[u8]) -> (u64, &[u8]) {
    let width = match head & 0x1f {
        small @ 0..=23 => return (u64::from(small), rest),
        31 => return (0, rest),
        width => 1 << (width - 24),
    };
    let (argument, rest) = rest.split_at(width);
    (
        argument
            .iter()
            .fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
        rest,
    )
}

/// Every value of a certificate, with its depth and tag. Contents stay for identifiers and
/// booleans, and for the small values inside of extensions.
pub(crate) fn certificate_skeleton(der: &[u8]) -> Vec<String> {
    let mut lines = Vec::new();
    walk(der, 0, &mut lines);
    lines
}

const BOOLEAN: u8 = 0x01;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const OBJECT_IDENTIFIER: u8 = 0x06;
const CONSTRUCTED: u8 = 0x20;

fn walk(mut bytes: &[u8], depth: usize, lines: &mut Vec<String>) {
    while let [tag, rest @ ..] = bytes {
        let (content, after) = content(rest);
        bytes = after;
        match *tag {
            BOOLEAN | OBJECT_IDENTIFIER => lines.push(format!("{depth} {tag:02x} {content:02x?}")),
            // Key usages: unused bits and flags. Keys and signatures: unused bits alone.
            BIT_STRING if content.len() <= 3 => {
                lines.push(format!("{depth} {tag:02x} {content:02x?}"));
            }
            BIT_STRING => lines.push(format!("{depth} {tag:02x} {:02x}", content[0])),
            // The value of an extension is DER again; a key identifier's is not.
            OCTET_STRING if content.len() != 20 => {
                lines.push(format!("{depth} {tag:02x}"));
                walk(content, depth + 1, lines);
            }
            tag if tag & CONSTRUCTED != 0 => {
                lines.push(format!("{depth} {tag:02x}"));
                walk(content, depth + 1, lines);
            }
            // Path lengths are one byte; serial numbers are not compared.
            0x02 if content.len() == 1 => lines.push(format!("{depth} 02 {}", content[0])),
            tag => lines.push(format!("{depth} {tag:02x}")),
        }
    }
}

/// Content of the value whose length comes first, and what follows it.
fn content(bytes: &[u8]) -> (&[u8], &[u8]) {
    let (first, rest) = bytes.split_first().unwrap();
    let (length, rest) = if *first < 0x80 {
        (usize::from(*first), rest)
    } else {
        let (length, rest) = rest.split_at(usize::from(first & 0x7f));
        (
            length
                .iter()
                .fold(0, |sum, byte| sum << 8 | usize::from(*byte)),
            rest,
        )
    };
    rest.split_at(length)
}
