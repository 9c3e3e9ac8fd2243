//! The document that QEMU's NSM makes: AWS's shape, with zeros where somebody would sign.

use std::fmt;

use minicbor::Decoder;
use minicbor::data::Type;

use crate::mock::mint::{Identity, Measurement};
use crate::nsm::{MAX_RESPONSE_BYTES, PCR_COUNT};
use crate::time::UnixMillis;

/// The longest document that is read: more than the NSM's answer buffer cannot arrive in a guest.
pub const MAX_UNSIGNED_BYTES: usize = MAX_RESPONSE_BYTES;

/// What QEMU writes for a signature and for each certificate.
const PLACEHOLDER: [u8; 64] = [0; 64];
/// `{1: -1}`: an algorithm that COSE reserves, so that nobody takes the document for a signed one.
const PROTECTED_HEADER: [u8; 3] = [0xa1, 0x01, 0x20];
/// Most bytes of `public_key`, `user_data` and `nonce` each (attestation_process.md, section 3.1).
const MAX_FIELD_BYTES: usize = 1024;

/// What a machine says about itself, read and not yet believed by anybody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnsignedDocument {
    /// Instance and enclave that `module_id` names. The machine has no region; it is the example's.
    pub identity: Identity,
    /// When QEMU made it, by the host's clock; always a whole second.
    pub timestamp: UnixMillis,
    /// The locked registers, in ascending order.
    pub pcrs: Vec<(u8, Measurement)>,
    /// At most 1024 bytes.
    pub public_key: Option<Vec<u8>>,
    /// At most 1024 bytes.
    pub user_data: Option<Vec<u8>>,
    /// At most 1024 bytes.
    pub nonce: Option<Vec<u8>>,
}

/// Why something is no document of a machine's NSM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UnsignedDocumentError {
    /// Longer than [`MAX_UNSIGNED_BYTES`].
    TooLong,
    /// This part is missing, of another type, or in another place.
    Malformed(&'static str),
    /// Bytes follow after the end of this part.
    Trailing(&'static str),
    /// This part is not the placeholder that QEMU writes: somebody may have signed already.
    NotUnsigned(&'static str),
    /// The digest is not `SHA384`.
    Digest,
    /// The module id has not AWS's shape: `i-`, 17 hexadecimal digits, `-enc`, 16 of them.
    ModuleId,
    /// The time is zero or not a whole second.
    Timestamp,
    /// A register above 31, out of order, there twice, or not of 48 bytes; or 0 to 15 not all there.
    Registers,
    /// This field has more than 1024 bytes.
    FieldTooLong(&'static str),
}

impl UnsignedDocument {
    /// Reads a document as QEMU 10 writes it, and nothing else: entries in its order, lengths
    /// definite, placeholders in place.
    ///
    /// # Errors
    ///
    /// The first part that is otherwise.
    pub fn parse(bytes: &[u8]) -> Result<Self, UnsignedDocumentError> {
        if bytes.len() > MAX_UNSIGNED_BYTES {
            return Err(UnsignedDocumentError::TooLong);
        }
        let mut envelope = Reader::new(bytes);
        envelope.array(4, "envelope")?;
        envelope.placeholder(&PROTECTED_HEADER, "protected header")?;
        envelope.map(0, "unprotected header")?;
        let payload = envelope.bytes("payload")?;
        envelope.placeholder(&PLACEHOLDER, "signature")?;
        envelope.end("envelope")?;
        Self::parse_payload(payload)
    }

    fn parse_payload(payload: &[u8]) -> Result<Self, UnsignedDocumentError> {
        let mut reader = Reader::new(payload);
        reader.map(9, "payload")?;
        reader.key("module_id")?;
        let module_id = reader.text("module_id")?;
        let identity =
            Identity::from_module_id(module_id).ok_or(UnsignedDocumentError::ModuleId)?;
        reader.key("digest")?;
        if reader.text("digest")? != "SHA384" {
            return Err(UnsignedDocumentError::Digest);
        }
        reader.key("timestamp")?;
        let timestamp = UnixMillis(reader.unsigned("timestamp")?);
        if timestamp.0 == 0 || !timestamp.0.is_multiple_of(1000) {
            return Err(UnsignedDocumentError::Timestamp);
        }
        reader.key("pcrs")?;
        let pcrs = reader.registers()?;
        reader.key("certificate")?;
        reader.placeholder(&PLACEHOLDER, "certificate")?;
        reader.key("cabundle")?;
        reader.array(1, "cabundle")?;
        reader.placeholder(&PLACEHOLDER, "cabundle")?;
        let public_key = reader.optional_bytes("public_key")?;
        let user_data = reader.optional_bytes("user_data")?;
        let nonce = reader.optional_bytes("nonce")?;
        reader.end("payload")?;
        Ok(Self {
            identity,
            timestamp,
            pcrs,
            public_key,
            user_data,
            nonce,
        })
    }
}

/// CBOR read part by part, each with its name.
struct Reader<'b>(Decoder<'b>);

impl<'b> Reader<'b> {
    fn new(bytes: &'b [u8]) -> Self {
        Self(Decoder::new(bytes))
    }

    fn array(&mut self, entries: u64, part: &'static str) -> Result<(), UnsignedDocumentError> {
        match self.0.array() {
            Ok(Some(present)) if present == entries => Ok(()),
            _ => Err(UnsignedDocumentError::Malformed(part)),
        }
    }

    fn map(&mut self, entries: u64, part: &'static str) -> Result<(), UnsignedDocumentError> {
        match self.0.map() {
            Ok(Some(present)) if present == entries => Ok(()),
            _ => Err(UnsignedDocumentError::Malformed(part)),
        }
    }

    fn bytes(&mut self, part: &'static str) -> Result<&'b [u8], UnsignedDocumentError> {
        self.0
            .bytes()
            .map_err(|_| UnsignedDocumentError::Malformed(part))
    }

    fn text(&mut self, part: &'static str) -> Result<&'b str, UnsignedDocumentError> {
        self.0
            .str()
            .map_err(|_| UnsignedDocumentError::Malformed(part))
    }

    fn unsigned(&mut self, part: &'static str) -> Result<u64, UnsignedDocumentError> {
        self.0
            .u64()
            .map_err(|_| UnsignedDocumentError::Malformed(part))
    }

    fn key(&mut self, name: &'static str) -> Result<(), UnsignedDocumentError> {
        if self.text(name)? == name {
            Ok(())
        } else {
            Err(UnsignedDocumentError::Malformed(name))
        }
    }

    fn placeholder(
        &mut self,
        expected: &[u8],
        part: &'static str,
    ) -> Result<(), UnsignedDocumentError> {
        if self.bytes(part)? == expected {
            Ok(())
        } else {
            Err(UnsignedDocumentError::NotUnsigned(part))
        }
    }

    fn optional_bytes(
        &mut self,
        name: &'static str,
    ) -> Result<Option<Vec<u8>>, UnsignedDocumentError> {
        self.key(name)?;
        if matches!(self.0.datatype(), Ok(Type::Null)) {
            return self
                .0
                .null()
                .map(|()| None)
                .map_err(|_| UnsignedDocumentError::Malformed(name));
        }
        let bytes = self.bytes(name)?;
        if bytes.len() > MAX_FIELD_BYTES {
            return Err(UnsignedDocumentError::FieldTooLong(name));
        }
        Ok(Some(bytes.to_vec()))
    }

    /// Registers in ascending order, 0 to 15 among them: those are locked before a machine starts.
    fn registers(&mut self) -> Result<Vec<(u8, Measurement)>, UnsignedDocumentError> {
        let entries = match self.0.map() {
            Ok(Some(entries)) if entries <= u64::from(PCR_COUNT) => entries,
            Ok(Some(_)) => return Err(UnsignedDocumentError::Registers),
            _ => return Err(UnsignedDocumentError::Malformed("pcrs")),
        };
        let mut registers: Vec<(u8, Measurement)> = Vec::new();
        for _ in 0..entries {
            let index = self
                .0
                .u8()
                .map_err(|_| UnsignedDocumentError::Malformed("pcrs"))?;
            let value = self
                .bytes("pcrs")?
                .try_into()
                .map_err(|_| UnsignedDocumentError::Registers)?;
            let ascends = registers.last().is_none_or(|(last, _)| *last < index);
            if !ascends || u16::from(index) >= PCR_COUNT {
                return Err(UnsignedDocumentError::Registers);
            }
            registers.push((index, value));
        }
        let first_sixteen = registers.iter().take(16).map(|(index, _)| *index);
        if first_sixteen.eq(0..16) {
            Ok(registers)
        } else {
            Err(UnsignedDocumentError::Registers)
        }
    }

    fn end(&self, part: &'static str) -> Result<(), UnsignedDocumentError> {
        if self.0.position() == self.0.input().len() {
            Ok(())
        } else {
            Err(UnsignedDocumentError::Trailing(part))
        }
    }
}

impl fmt::Display for UnsignedDocumentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "it is longer than {MAX_UNSIGNED_BYTES} bytes"),
            Self::Malformed(part) => write!(f, "its {part} is not as QEMU writes it"),
            Self::Trailing(part) => write!(f, "bytes follow after its {part}"),
            Self::NotUnsigned(part) => write!(f, "its {part} is not QEMU's placeholder"),
            Self::Digest => f.write_str("its digest is not SHA384"),
            Self::ModuleId => f.write_str(
                "its module id is none of AWS's; start QEMU with an id such as \
                 i-0123456789abcdef0-enc0123456789abcdef",
            ),
            Self::Timestamp => f.write_str("its time is not a whole second after 1970"),
            Self::Registers => {
                f.write_str("its registers are not 0 to 15 and others in ascending order")
            }
            Self::FieldTooLong(name) => {
                write!(f, "its {name} has more than {MAX_FIELD_BYTES} bytes")
            }
        }
    }
}

impl std::error::Error for UnsignedDocumentError {}

#[cfg(test)]
mod tests;
