//! A small CBOR writer that can also write what a strict reader must refuse.

/// One CBOR item to be written (RFC 8949, section 3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cbor {
    /// Major type 0.
    Unsigned(u64),
    /// Major type 1: the value is -1 minus this number.
    Negative(u64),
    /// Major type 2.
    Bytes(Vec<u8>),
    /// Major type 3.
    Text(String),
    /// Major type 3 with bytes that need not be UTF-8.
    TextBytes(Vec<u8>),
    /// Major type 4.
    Array(Vec<Cbor>),
    /// Major type 5; order and duplicates are the caller's.
    Map(Vec<(Cbor, Cbor)>),
    /// Major type 6.
    Tag(u64, Box<Cbor>),
    /// `true` or `false`.
    Bool(bool),
    /// `null`.
    Null,
    /// `undefined`.
    Undefined,
    /// A byte string in chunks.
    IndefiniteBytes(Vec<Vec<u8>>),
    /// A text string in chunks.
    IndefiniteText(Vec<String>),
    /// An array closed by a break.
    IndefiniteArray(Vec<Cbor>),
    /// A map closed by a break.
    IndefiniteMap(Vec<(Cbor, Cbor)>),
    /// The item with its outermost argument written at this width, shortest or not.
    Wide(HeadWidth, Box<Cbor>),
    /// A lone head: major type (0 to 7) and argument, shortest form. Its content may be missing.
    Head(u8, u64),
    /// These bytes as they are.
    Raw(Vec<u8>),
    /// The items one after another, without anything around them.
    Sequence(Vec<Cbor>),
}

/// How many bytes carry the argument of a head (RFC 8949, section 3, additional information).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadWidth {
    /// One byte follows (24).
    One,
    /// Two bytes follow (25).
    Two,
    /// Four bytes follow (26).
    Four,
    /// Eight bytes follow (27).
    Eight,
}

/// How a map or an array says where it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContainerForm {
    /// Its true number of entries, in the shortest head.
    Definite,
    /// Its true number of entries, in a head of this width.
    DefiniteWide(HeadWidth),
    /// This number of entries, true or not.
    DefiniteClaiming(u64),
    /// A break after the last entry.
    Indefinite,
    /// Indefinite, and the break is missing.
    IndefiniteUnclosed,
}

impl ContainerForm {
    pub(crate) fn map(self, entries: Vec<(Cbor, Cbor)>) -> Cbor {
        let flat = || {
            entries
                .iter()
                .flat_map(|(key, value)| [key.clone(), value.clone()])
                .collect()
        };
        match self {
            Self::Definite => Cbor::Map(entries),
            Self::DefiniteWide(width) => Cbor::Map(entries).wide(width),
            Self::DefiniteClaiming(count) => prefixed(Cbor::Head(5, count), flat()),
            Self::Indefinite => Cbor::IndefiniteMap(entries),
            Self::IndefiniteUnclosed => prefixed(Cbor::Raw(vec![0xbf]), flat()),
        }
    }

    pub(crate) fn array(self, items: Vec<Cbor>) -> Cbor {
        match self {
            Self::Definite => Cbor::Array(items),
            Self::DefiniteWide(width) => Cbor::Array(items).wide(width),
            Self::DefiniteClaiming(count) => prefixed(Cbor::Head(4, count), items),
            Self::Indefinite => Cbor::IndefiniteArray(items),
            Self::IndefiniteUnclosed => prefixed(Cbor::Raw(vec![0x9f]), items),
        }
    }
}

fn prefixed(head: Cbor, items: Vec<Cbor>) -> Cbor {
    Cbor::Sequence(std::iter::once(head).chain(items).collect())
}

impl Cbor {
    /// A text string.
    #[must_use]
    pub fn text(text: &str) -> Self {
        Self::Text(text.to_owned())
    }

    /// A byte string, or `null` when absent: how the NSM writes its optional fields.
    #[must_use]
    pub fn bytes_or_null(bytes: Option<&[u8]>) -> Self {
        bytes.map_or(Self::Null, |bytes| Self::Bytes(bytes.to_vec()))
    }

    /// The same item with its head in a wider form.
    #[must_use]
    pub fn wide(self, width: HeadWidth) -> Self {
        Self::Wide(width, Box::new(self))
    }

    /// The encoded bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(None, &mut out);
        out
    }

    fn write(&self, width: Option<HeadWidth>, out: &mut Vec<u8>) {
        match self {
            Self::Unsigned(value) => head(0, *value, width, out),
            Self::Negative(value) => head(1, *value, width, out),
            Self::Bytes(bytes) => string(2, bytes, width, out),
            Self::Text(text) => string(3, text.as_bytes(), width, out),
            Self::TextBytes(bytes) => string(3, bytes, width, out),
            Self::Array(items) => {
                head(4, items.len() as u64, width, out);
                items.iter().for_each(|item| item.write(None, out));
            }
            Self::Map(entries) => {
                head(5, entries.len() as u64, width, out);
                write_entries(entries, out);
            }
            Self::Tag(number, item) => {
                head(6, *number, width, out);
                item.write(None, out);
            }
            Self::Bool(value) => out.push(if *value { 0xf5 } else { 0xf4 }),
            Self::Null => out.push(0xf6),
            Self::Undefined => out.push(0xf7),
            Self::IndefiniteBytes(chunks) => {
                out.push(0x5f);
                chunks.iter().for_each(|chunk| string(2, chunk, None, out));
                out.push(0xff);
            }
            Self::IndefiniteText(chunks) => {
                out.push(0x7f);
                chunks
                    .iter()
                    .for_each(|chunk| string(3, chunk.as_bytes(), None, out));
                out.push(0xff);
            }
            Self::IndefiniteArray(items) => {
                out.push(0x9f);
                items.iter().for_each(|item| item.write(None, out));
                out.push(0xff);
            }
            Self::IndefiniteMap(entries) => {
                out.push(0xbf);
                write_entries(entries, out);
                out.push(0xff);
            }
            Self::Wide(width, item) => item.write(Some(*width), out),
            Self::Head(major, argument) => head(*major, *argument, width, out),
            Self::Raw(bytes) => out.extend_from_slice(bytes),
            Self::Sequence(items) => items.iter().for_each(|item| item.write(None, out)),
        }
    }
}

fn write_entries(entries: &[(Cbor, Cbor)], out: &mut Vec<u8>) {
    for (key, value) in entries {
        key.write(None, out);
        value.write(None, out);
    }
}

fn string(major: u8, bytes: &[u8], width: Option<HeadWidth>, out: &mut Vec<u8>) {
    head(major, bytes.len() as u64, width, out);
    out.extend_from_slice(bytes);
}

fn head(major: u8, argument: u64, width: Option<HeadWidth>, out: &mut Vec<u8>) {
    let major = (major & 7) << 5;
    let [.., b4, b5, b6, b7] = argument.to_be_bytes();
    match width.or_else(|| shortest_width(argument)) {
        None => out.push(major | b7),
        Some(HeadWidth::One) => out.extend_from_slice(&[major | 24, b7]),
        Some(HeadWidth::Two) => out.extend_from_slice(&[major | 25, b6, b7]),
        Some(HeadWidth::Four) => out.extend_from_slice(&[major | 26, b4, b5, b6, b7]),
        Some(HeadWidth::Eight) => {
            out.push(major | 27);
            out.extend_from_slice(&argument.to_be_bytes());
        }
    }
}

/// `None` when the argument fits in the head byte itself.
fn shortest_width(argument: u64) -> Option<HeadWidth> {
    match argument {
        0..=23 => None,
        24..=0xff => Some(HeadWidth::One),
        0x100..=0xffff => Some(HeadWidth::Two),
        0x1_0000..=0xffff_ffff => Some(HeadWidth::Four),
        _ => Some(HeadWidth::Eight),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_follow_the_examples_of_rfc_8949() {
        // RFC 8949, appendix A.
        let cases: [(Cbor, &[u8]); 9] = [
            (Cbor::Unsigned(23), &[0x17]),
            (Cbor::Unsigned(24), &[0x18, 0x18]),
            (Cbor::Unsigned(1000), &[0x19, 0x03, 0xe8]),
            (Cbor::Unsigned(1_000_000), &[0x1a, 0x00, 0x0f, 0x42, 0x40]),
            (Cbor::Negative(99), &[0x38, 0x63]),
            (Cbor::Bytes(vec![1, 2, 3, 4]), &[0x44, 1, 2, 3, 4]),
            (Cbor::text("IETF"), &[0x64, 0x49, 0x45, 0x54, 0x46]),
            (
                Cbor::IndefiniteMap(vec![(Cbor::text("a"), Cbor::Unsigned(1))]),
                &[0xbf, 0x61, 0x61, 1, 0xff],
            ),
            (Cbor::Tag(18, Box::new(Cbor::Null)), &[0xd2, 0xf6]),
        ];
        for (item, bytes) in cases {
            assert_eq!(item.to_bytes(), bytes);
        }
    }

    #[test]
    fn wider_heads_can_be_asked_for() {
        assert_eq!(Cbor::Unsigned(1).wide(HeadWidth::One).to_bytes(), [0x18, 1]);
        assert_eq!(
            Cbor::Bytes(vec![9]).wide(HeadWidth::Two).to_bytes(),
            [0x59, 0, 1, 9]
        );
        assert_eq!(
            Cbor::Array(vec![]).wide(HeadWidth::Four).to_bytes(),
            [0x9a, 0, 0, 0, 0]
        );
        assert_eq!(
            Cbor::Unsigned(0).wide(HeadWidth::Eight).to_bytes(),
            [0x1b, 0, 0, 0, 0, 0, 0, 0, 0]
        );
    }

    #[test]
    fn containers_can_lie_about_their_length() {
        let entries = || vec![(Cbor::Unsigned(1), Cbor::Null)];
        let cases: [(ContainerForm, &[u8]); 5] = [
            (ContainerForm::Definite, &[0xa1, 1, 0xf6]),
            (
                ContainerForm::DefiniteWide(HeadWidth::One),
                &[0xb8, 1, 1, 0xf6],
            ),
            (ContainerForm::DefiniteClaiming(30), &[0xb8, 30, 1, 0xf6]),
            (ContainerForm::Indefinite, &[0xbf, 1, 0xf6, 0xff]),
            (ContainerForm::IndefiniteUnclosed, &[0xbf, 1, 0xf6]),
        ];
        for (form, bytes) in cases {
            assert_eq!(form.map(entries()).to_bytes(), bytes);
        }
        let claiming = ContainerForm::DefiniteClaiming(2).array(vec![Cbor::Bool(true)]);
        assert_eq!(claiming.to_bytes(), [0x82, 0xf5]);
    }
}
