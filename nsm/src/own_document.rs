//! Reading the time and the module id out of a document from the program's *own* NSM.
//!
//! An agent's clock is the hypervisor's: it asks its NSM for a document and takes `timestamp` from
//! it. The device is the trust anchor there, so nothing is verified.
//!
//! **Never use this for a document that came from anybody else**: it checks no signature, no
//! certificate and no measurement. That is the job of `narthex-verifier`.

use std::{error, fmt};

use minicbor::Decoder;
use minicbor::data::{Tag, Type};

use crate::nsm::MAX_RESPONSE_BYTES;
use crate::time::UnixMillis;

/// More entries than any document has.
const MAX_ENTRIES: usize = 32;

/// What a program reads out of its own document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnDocument {
    /// `<instance id>-enc<16 hexadecimal digits>`.
    pub module_id: String,
    /// The hypervisor's time when it made the document.
    pub timestamp: UnixMillis,
}

/// The bytes are not a document that an NSM makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnDocumentError {
    /// Longer than an NSM's answers are.
    TooLarge,
    /// Not four items in an array, of which the third is the payload.
    Envelope,
    /// The payload is not a map with text keys.
    Payload,
    /// `module_id` or `timestamp` is missing, there twice, or of another type.
    Field,
}

impl OwnDocumentError {
    /// Stable text for diagnostics and logs.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::TooLarge => "own_document.too_large",
            Self::Envelope => "own_document.envelope",
            Self::Payload => "own_document.payload",
            Self::Field => "own_document.field",
        }
    }
}

impl fmt::Display for OwnDocumentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the document of this enclave's own NSM cannot be read ({})",
            self.id()
        )
    }
}

impl error::Error for OwnDocumentError {}

/// The `timestamp` of a document from the program's own NSM.
///
/// # Errors
///
/// See [`OwnDocumentError`].
pub fn timestamp(document: &[u8]) -> Result<UnixMillis, OwnDocumentError> {
    OwnDocument::read(document).map(|document| document.timestamp)
}

/// The `module_id` of a document from the program's own NSM.
///
/// # Errors
///
/// See [`OwnDocumentError`].
pub fn module_id(document: &[u8]) -> Result<String, OwnDocumentError> {
    OwnDocument::read(document).map(|document| document.module_id)
}

impl OwnDocument {
    /// Reads both fields.
    ///
    /// # Errors
    ///
    /// See [`OwnDocumentError`].
    pub fn read(document: &[u8]) -> Result<Self, OwnDocumentError> {
        if document.len() > MAX_RESPONSE_BYTES {
            return Err(OwnDocumentError::TooLarge);
        }
        let payload = payload(document).map_err(|_| OwnDocumentError::Envelope)?;
        Self::from_payload(payload)
    }

    fn from_payload(payload: &[u8]) -> Result<Self, OwnDocumentError> {
        let mut decoder = Decoder::new(payload);
        let (mut module_id, mut timestamp) = (None, None);
        let count = decoder.map().map_err(|_| OwnDocumentError::Payload)?;
        for entry in 0..=MAX_ENTRIES {
            if at_end(&mut decoder, count, entry)? {
                break;
            }
            let key = decoder.str().map_err(|_| OwnDocumentError::Payload)?;
            let known = match key {
                "module_id" => module_id
                    .replace(
                        decoder
                            .str()
                            .map_err(|_| OwnDocumentError::Field)?
                            .to_owned(),
                    )
                    .is_some(),
                "timestamp" => timestamp
                    .replace(decoder.u64().map_err(|_| OwnDocumentError::Field)?)
                    .is_some(),
                _ => {
                    decoder.skip().map_err(|_| OwnDocumentError::Payload)?;
                    false
                }
            };
            if known {
                return Err(OwnDocumentError::Field);
            }
        }
        match (module_id, timestamp) {
            (Some(module_id), Some(timestamp)) if !module_id.is_empty() && timestamp > 0 => {
                Ok(Self {
                    module_id,
                    timestamp: UnixMillis(timestamp),
                })
            }
            _ => Err(OwnDocumentError::Field),
        }
    }
}

/// The payload of a COSE_Sign1, with or without its tag.
fn payload(document: &[u8]) -> Result<&[u8], minicbor::decode::Error> {
    let mut decoder = Decoder::new(document);
    if decoder.datatype()? == Type::Tag && decoder.tag()? != Tag::new(18) {
        return Err(minicbor::decode::Error::message("not COSE_Sign1"));
    }
    if decoder.array()? != Some(4) {
        return Err(minicbor::decode::Error::message("not four items"));
    }
    decoder.skip()?;
    decoder.skip()?;
    decoder.bytes()
}

/// Whether all entries have been read: by their number, or by a break.
fn at_end(
    decoder: &mut Decoder<'_>,
    count: Option<u64>,
    entry: usize,
) -> Result<bool, OwnDocumentError> {
    if entry == MAX_ENTRIES {
        return Err(OwnDocumentError::Payload);
    }
    match count {
        Some(count) => Ok(u64::try_from(entry).is_ok_and(|entry| entry == count)),
        None => Ok(decoder.datatype().map_err(|_| OwnDocumentError::Payload)? == Type::Break),
    }
}

#[cfg(all(test, feature = "mock"))]
mod tests {
    use super::*;
    use crate::mock::mint::{Cbor, ContainerForm, DevelopmentAuthority, DocumentRecipe, Edit};

    const NOW: u64 = 1_785_785_775_857;

    fn read(change: impl FnOnce(&mut DocumentRecipe)) -> Result<OwnDocument, OwnDocumentError> {
        let mut recipe = DocumentRecipe::new(&DevelopmentAuthority::insecure_fixed(), NOW);
        change(&mut recipe);
        OwnDocument::read(&recipe.mint())
    }

    #[test]
    fn both_forms_of_the_payload_are_read() {
        let expected = OwnDocument {
            module_id: "i-0123456789abcdef0-enc0198c0ffee00d1ce".to_owned(),
            timestamp: UnixMillis(NOW),
        };
        assert_eq!(read(|_| ()), Ok(expected.clone()));
        assert_eq!(
            read(|r| r.payload.form = ContainerForm::Definite),
            Ok(expected.clone())
        );
        assert_eq!(read(|r| r.envelope.tags = vec![18]), Ok(expected));
    }

    #[test]
    fn what_no_nsm_makes_is_refused() {
        let field = Err(OwnDocumentError::Field);
        let envelope = Err(OwnDocumentError::Envelope);
        assert_eq!(
            read(|r| r.payload.edits = vec![Edit::Remove("timestamp")]),
            field
        );
        assert_eq!(
            read(|r| r.payload.edits = vec![Edit::Duplicate("module_id")]),
            field
        );
        assert_eq!(
            read(|r| r.payload.edits = vec![Edit::Replace("timestamp", Cbor::Null)]),
            field
        );
        assert_eq!(read(|r| r.payload.timestamp = UnixMillis(0)), field);
        assert_eq!(read(|r| r.payload.module_id.clear()), field);
        assert_eq!(read(|r| r.envelope.tags = vec![17]), envelope);
        assert_eq!(
            read(|r| r.envelope.extra_items = vec![Cbor::Null]),
            envelope
        );
        assert_eq!(
            read(|r| r.payload.form = ContainerForm::IndefiniteUnclosed),
            Err(OwnDocumentError::Payload)
        );
        assert_eq!(
            read(|r| r.payload.user_data = Some(vec![0; MAX_RESPONSE_BYTES])),
            Err(OwnDocumentError::TooLarge)
        );
        let many = |r: &mut DocumentRecipe| {
            let extra = Edit::Append(Cbor::text("x"), Cbor::Null);
            r.payload.edits = vec![extra; MAX_ENTRIES];
        };
        assert_eq!(read(many), Err(OwnDocumentError::Payload));
    }

    #[test]
    fn every_prefix_is_refused_and_no_changed_byte_makes_a_panic() {
        let document = DocumentRecipe::new(&DevelopmentAuthority::insecure_fixed(), NOW).mint();
        for length in 0..document.len().min(200) {
            assert!(OwnDocument::read(&document[..length]).is_err());
        }
        for position in 0..document.len() {
            let mut changed = document.clone();
            changed[position] ^= 0xff;
            let _ = OwnDocument::read(&changed);
        }
    }
}
