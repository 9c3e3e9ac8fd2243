//! How messages become bytes: CBOR (RFC 8949) arrays, read strictly.
//!
//! Every message is one array whose first item is the version of that message. Reading refuses
//! bytes after the message, lengths over the bound of each part before anything is allocated,
//! unknown codes, duplicates, and any encoding other than the one that writing produces (shortest
//! integers, definite lengths): [`Message::from_bytes`] encodes what it read again and compares.
//! So there is exactly one byte string for a message, and a digest of it means one thing.

use core::convert::Infallible;
use core::fmt;

use minicbor::data::Type;
use minicbor::{Decoder, Encoder};
use zeroize::Zeroizing;

use crate::digest::Digest384;

/// A message of one of the uses.
pub trait Message: Sized {
    /// The longest encoding accepted or produced, in bytes.
    const MAX_BYTES: usize;

    /// Writes the message's array. Called by [`Message::to_bytes`].
    ///
    /// # Errors
    ///
    /// [`MessageError`] if a part is longer than a reader would take.
    #[doc(hidden)]
    fn write(&self, writer: &mut Writer) -> Result<(), MessageError>;

    /// Reads the message's array. Called by [`Message::from_bytes`].
    ///
    /// # Errors
    ///
    /// [`MessageError`] naming the part that broke a rule.
    #[doc(hidden)]
    fn read(reader: &mut Reader<'_>) -> Result<Self, MessageError>;

    /// The message's only encoding. Wiped when dropped, because some messages carry secrets.
    ///
    /// # Errors
    ///
    /// [`MessageError`] if a part is longer than a reader would take: nothing is ever sent that
    /// the other end must refuse.
    fn to_bytes(&self) -> Result<Zeroizing<Vec<u8>>, MessageError> {
        let mut writer = Writer::default();
        self.write(&mut writer)?;
        let bytes = writer.finish();
        bounded("message", bytes.len(), Self::MAX_BYTES)?;
        Ok(bytes)
    }

    /// Reads a message from all of `bytes`, which may come from anybody.
    ///
    /// # Errors
    ///
    /// [`MessageError`] for the first rule broken.
    fn from_bytes(bytes: &[u8]) -> Result<Self, MessageError> {
        bounded("message", bytes.len(), Self::MAX_BYTES)?;
        let mut reader = Reader::new(bytes);
        let message = Self::read(&mut reader)?;
        reader.finish()?;
        if message.to_bytes()?.as_slice() != bytes {
            return Err(MessageError::NotCanonical);
        }
        Ok(message)
    }
}

/// Why bytes are not a message, or a message has no bytes.
///
/// When reading, the peer is at fault; when writing, the caller.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum MessageError {
    /// The part is missing, cut off, or of another CBOR type than expected.
    Malformed {
        /// The part of the message.
        part: &'static str,
    },
    /// The message's version is not one that this program speaks.
    Version {
        /// The version found.
        found: u64,
    },
    /// The part is longer than allowed.
    TooLong {
        /// The part of the message.
        part: &'static str,
        /// The most allowed: bytes of a string, items of a list, or the value of a number.
        max: usize,
    },
    /// The part is empty and must not be.
    Empty {
        /// The part of the message.
        part: &'static str,
    },
    /// The part has another length than the only one allowed.
    Length {
        /// The part of the message.
        part: &'static str,
        /// The length required, in bytes.
        expected: usize,
    },
    /// The text has a character outside its alphabet.
    Text {
        /// The part of the message.
        part: &'static str,
    },
    /// The code is not in the closed list.
    UnknownCode {
        /// The part of the message.
        part: &'static str,
        /// The code found.
        code: u64,
    },
    /// A list names the same thing twice.
    Duplicate {
        /// The part of the message.
        part: &'static str,
    },
    /// There are bytes after the message.
    Trailing,
    /// The bytes are CBOR for this message, but not the one encoding that it has.
    NotCanonical,
}

impl MessageError {
    /// The stable id of the reason.
    #[must_use]
    pub const fn id(&self) -> &'static str {
        match self {
            Self::Malformed { .. } => "message.malformed",
            Self::Version { .. } => "message.version",
            Self::TooLong { .. } => "message.too_long",
            Self::Empty { .. } => "message.empty",
            Self::Length { .. } => "message.length",
            Self::Text { .. } => "message.text",
            Self::UnknownCode { .. } => "message.unknown_code",
            Self::Duplicate { .. } => "message.duplicate",
            Self::Trailing => "message.trailing",
            Self::NotCanonical => "message.not_canonical",
        }
    }
}

impl fmt::Display for MessageError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed { part } => write!(formatter, "{part}: not the expected CBOR"),
            Self::Version { found } => write!(formatter, "message version {found} is not spoken"),
            Self::TooLong { part, max } => write!(formatter, "{part}: more than {max}"),
            Self::Empty { part } => write!(formatter, "{part}: empty"),
            Self::Length { part, expected } => write!(formatter, "{part}: not {expected} bytes"),
            Self::Text { part } => write!(formatter, "{part}: a character that is not allowed"),
            Self::UnknownCode { part, code } => write!(formatter, "{part}: unknown code {code}"),
            Self::Duplicate { part } => write!(formatter, "{part}: named twice"),
            Self::Trailing => formatter.write_str("bytes after the message"),
            Self::NotCanonical => formatter.write_str("not the canonical encoding"),
        }
    }
}

impl std::error::Error for MessageError {}

/// Refuses a length over its bound.
pub(crate) fn bounded(part: &'static str, found: usize, max: usize) -> Result<(), MessageError> {
    if found > max {
        Err(MessageError::TooLong { part, max })
    } else {
        Ok(())
    }
}

/// Refuses an empty part, or one over its bound.
pub(crate) fn filled(part: &'static str, found: usize, max: usize) -> Result<(), MessageError> {
    if found == 0 {
        return Err(MessageError::Empty { part });
    }
    bounded(part, found, max)
}

/// Reads the items of a message in order.
#[doc(hidden)]
pub struct Reader<'b>(Decoder<'b>);

impl<'b> Reader<'b> {
    pub(crate) fn new(bytes: &'b [u8]) -> Self {
        Self(Decoder::new(bytes))
    }

    pub(crate) fn finish(&self) -> Result<(), MessageError> {
        if self.0.position() == self.0.input().len() {
            Ok(())
        } else {
            Err(MessageError::Trailing)
        }
    }

    /// The head of an array that must have exactly `items` items.
    pub(crate) fn array(&mut self, part: &'static str, items: u64) -> Result<(), MessageError> {
        match self.0.array() {
            Ok(Some(found)) if found == items => Ok(()),
            _ => Err(MessageError::Malformed { part }),
        }
    }

    /// The head of an array of a message, and its version.
    pub(crate) fn versioned(
        &mut self,
        part: &'static str,
        items: u64,
        version: u64,
    ) -> Result<(), MessageError> {
        // The version comes first, so that an array of another length may be a newer message.
        let found_items = match self.0.array() {
            Ok(Some(found)) if found > 0 => found,
            _ => return Err(MessageError::Malformed { part }),
        };
        let found = self.u64(part)?;
        if found != version {
            return Err(MessageError::Version { found });
        }
        if found_items != items {
            return Err(MessageError::Malformed { part });
        }
        Ok(())
    }

    /// The head of a list, and its number of items, at most `max`.
    pub(crate) fn list(&mut self, part: &'static str, max: usize) -> Result<usize, MessageError> {
        let Ok(Some(found)) = self.0.array() else {
            return Err(MessageError::Malformed { part });
        };
        match usize::try_from(found) {
            Ok(items) if items <= max => Ok(items),
            _ => Err(MessageError::TooLong { part, max }),
        }
    }

    pub(crate) fn bytes(
        &mut self,
        part: &'static str,
        max: usize,
    ) -> Result<&'b [u8], MessageError> {
        let bytes = self
            .0
            .bytes()
            .map_err(|_| MessageError::Malformed { part })?;
        bounded(part, bytes.len(), max)?;
        Ok(bytes)
    }

    pub(crate) fn filled_bytes(
        &mut self,
        part: &'static str,
        max: usize,
    ) -> Result<&'b [u8], MessageError> {
        let bytes = self.bytes(part, max)?;
        filled(part, bytes.len(), max)?;
        Ok(bytes)
    }

    pub(crate) fn fixed<const N: usize>(
        &mut self,
        part: &'static str,
    ) -> Result<[u8; N], MessageError> {
        let bytes = self
            .0
            .bytes()
            .map_err(|_| MessageError::Malformed { part })?;
        bytes
            .try_into()
            .map_err(|_| MessageError::Length { part, expected: N })
    }

    pub(crate) fn digest(&mut self, part: &'static str) -> Result<Digest384, MessageError> {
        self.fixed(part).map(Digest384::from_bytes)
    }

    /// A text of any length: its type's constructor bounds it before it is copied.
    pub(crate) fn text(&mut self, part: &'static str) -> Result<&'b str, MessageError> {
        self.0.str().map_err(|_| MessageError::Malformed { part })
    }

    pub(crate) fn u64(&mut self, part: &'static str) -> Result<u64, MessageError> {
        self.0.u64().map_err(|_| MessageError::Malformed { part })
    }

    pub(crate) fn u32(&mut self, part: &'static str) -> Result<u32, MessageError> {
        self.0.u32().map_err(|_| MessageError::Malformed { part })
    }

    pub(crate) fn u16(&mut self, part: &'static str) -> Result<u16, MessageError> {
        self.0.u16().map_err(|_| MessageError::Malformed { part })
    }

    pub(crate) fn flag(&mut self, part: &'static str) -> Result<bool, MessageError> {
        self.0.bool().map_err(|_| MessageError::Malformed { part })
    }

    pub(crate) fn next_is_array(&self) -> bool {
        matches!(self.0.datatype(), Ok(Type::Array))
    }

    /// A closed code, looked up by `find`.
    pub(crate) fn code<T>(
        &mut self,
        part: &'static str,
        find: impl FnOnce(u16) -> Option<T>,
    ) -> Result<T, MessageError> {
        let code = self.u64(part)?;
        u16::try_from(code)
            .ok()
            .and_then(find)
            .ok_or(MessageError::UnknownCode { part, code })
    }

    /// `null`, or bytes that are not empty.
    pub(crate) fn optional_bytes(
        &mut self,
        part: &'static str,
        max: usize,
    ) -> Result<Option<Vec<u8>>, MessageError> {
        self.optional(part, |reader| {
            reader.filled_bytes(part, max).map(<[u8]>::to_vec)
        })
    }

    /// `null`, or what `read` reads.
    pub(crate) fn optional<T>(
        &mut self,
        part: &'static str,
        read: impl FnOnce(&mut Self) -> Result<T, MessageError>,
    ) -> Result<Option<T>, MessageError> {
        match self.0.datatype() {
            Ok(Type::Null) => {
                self.0
                    .null()
                    .map_err(|_| MessageError::Malformed { part })?;
                Ok(None)
            }
            Ok(_) => read(self).map(Some),
            Err(_) => Err(MessageError::Malformed { part }),
        }
    }
}

/// Writes the items of a message in order.
#[doc(hidden)]
#[derive(Default)]
pub struct Writer(WipedBuffer);

impl Writer {
    pub(crate) fn finish(self) -> Zeroizing<Vec<u8>> {
        self.0.0
    }

    pub(crate) fn array(&mut self, items: u64) {
        self.put(|encoder| encoder.array(items).map(drop));
    }

    /// A list's head; its items follow.
    pub(crate) fn list(
        &mut self,
        part: &'static str,
        items: usize,
        max: usize,
    ) -> Result<(), MessageError> {
        bounded(part, items, max)?;
        self.array(items as u64);
        Ok(())
    }

    pub(crate) fn bytes(
        &mut self,
        part: &'static str,
        bytes: &[u8],
        max: usize,
    ) -> Result<(), MessageError> {
        bounded(part, bytes.len(), max)?;
        self.fixed(bytes);
        Ok(())
    }

    pub(crate) fn filled_bytes(
        &mut self,
        part: &'static str,
        bytes: &[u8],
        max: usize,
    ) -> Result<(), MessageError> {
        filled(part, bytes.len(), max)?;
        self.fixed(bytes);
        Ok(())
    }

    /// `null`, or bytes that are not empty.
    pub(crate) fn optional_bytes(
        &mut self,
        part: &'static str,
        bytes: Option<&[u8]>,
        max: usize,
    ) -> Result<(), MessageError> {
        match bytes {
            Some(bytes) => self.filled_bytes(part, bytes, max),
            None => {
                self.null();
                Ok(())
            }
        }
    }

    /// Bytes whose length a type already fixes.
    pub(crate) fn fixed(&mut self, bytes: &[u8]) {
        self.put(|encoder| encoder.bytes(bytes).map(drop));
    }

    /// A text whose type already bounds it.
    pub(crate) fn text(&mut self, text: &str) {
        self.put(|encoder| encoder.str(text).map(drop));
    }

    pub(crate) fn number(&mut self, number: impl Into<u64>) {
        let number = number.into();
        self.put(|encoder| encoder.u64(number).map(drop));
    }

    pub(crate) fn flag(&mut self, flag: bool) {
        self.put(|encoder| encoder.bool(flag).map(drop));
    }

    pub(crate) fn null(&mut self) {
        self.put(|encoder| encoder.null().map(drop));
    }

    fn put(
        &mut self,
        write: impl FnOnce(
            &mut Encoder<&mut WipedBuffer>,
        ) -> Result<(), minicbor::encode::Error<Infallible>>,
    ) {
        // Invariant: the buffer grows as needed and the items are primitive, so nothing can fail.
        let written = write(&mut Encoder::new(&mut self.0));
        debug_assert!(written.is_ok());
    }
}

/// A growing buffer that leaves no copy behind when it grows.
#[derive(Default)]
struct WipedBuffer(Zeroizing<Vec<u8>>);

impl minicbor::encode::Write for WipedBuffer {
    type Error = Infallible;

    fn write_all(&mut self, bytes: &[u8]) -> Result<(), Infallible> {
        let needed = self.0.len().saturating_add(bytes.len());
        if needed > self.0.capacity() {
            let mut grown = Zeroizing::new(Vec::with_capacity(needed.max(256).saturating_mul(2)));
            grown.extend_from_slice(&self.0);
            self.0 = grown; // The old bytes are wiped here.
        }
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}
