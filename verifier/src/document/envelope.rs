//! The COSE_Sign1 envelope (RFC 9052, section 4.2) in the one shape that AWS uses.

use coset::iana::{Algorithm, CborTag, EnumI64, HeaderParameter};
use coset::{Header, ProtectedHeader, SignatureContext, sig_structure_data};

use crate::cbor::{Item, Reader};
use crate::check::CheckId;
use crate::limits::{MAX_PAYLOAD_BYTES, SIGNATURE_BYTES};
use crate::report::{Detail, Failure, Recorder};

const PART: &str = "envelope";

/// The parts of the envelope that are signed or are the signature, as received.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Envelope<'a> {
    pub(crate) protected: &'a [u8],
    pub(crate) payload: &'a [u8],
    pub(crate) signature: &'a [u8; SIGNATURE_BYTES],
}

impl<'a> Envelope<'a> {
    pub(crate) fn read(bytes: &'a [u8], recorder: &mut Recorder) -> Result<Self, Failure> {
        let mut reader = Reader::new(bytes);
        let mut item = next(&mut reader)?;

        // R2: tag 18 or no tag; the tag is not signed, so nothing may depend on it.
        let tag = match item {
            Item::Tag(tag) if tag == unsigned(CborTag::CoseSign1) => {
                item = next(&mut reader)?;
                "tag 18"
            }
            Item::Tag(_) => return fail(CheckId::CoseTag, item),
            _ => "no tag",
        };
        if let Item::Tag(_) = item {
            return fail(CheckId::CoseTag, item);
        }
        recorder.pass(CheckId::CoseTag, tag.into());
        if item != Item::Array(4) {
            return fail(CheckId::CoseStructure, item);
        }
        recorder.pass(CheckId::CoseStructure, "array of 4".into());

        let protected = match next(&mut reader)? {
            Item::Bytes(bytes) => bytes,
            other => return fail(CheckId::CoseProtected, other),
        };
        read_protected(protected, recorder)?;

        match next(&mut reader)? {
            Item::Map(0) => recorder.pass(CheckId::CoseUnprotected, "empty map".into()),
            other => return fail(CheckId::CoseUnprotected, other),
        }

        let payload = match next(&mut reader)? {
            Item::Bytes(bytes) => bytes,
            other => return fail(CheckId::CosePayload, other),
        };
        recorder.pass(CheckId::CosePayload, "byte string".into());
        let size = Detail::byte_count(payload.len());
        if payload.is_empty() || payload.len() > MAX_PAYLOAD_BYTES {
            return Err(Failure::new(CheckId::CosePayloadSize, size));
        }
        recorder.pass(CheckId::CosePayloadSize, size);

        let signature = match next(&mut reader)? {
            Item::Bytes(bytes) => <&[u8; SIGNATURE_BYTES]>::try_from(bytes).map_err(|_| {
                Failure::new(CheckId::CoseSignatureSize, Detail::byte_count(bytes.len()))
            })?,
            other => return fail(CheckId::CoseSignatureSize, other),
        };
        recorder.pass(
            CheckId::CoseSignatureSize,
            Detail::byte_count(signature.len()),
        );

        // R4.
        let trailing = Detail::byte_count(reader.remaining());
        if reader.remaining() != 0 {
            return Err(Failure::new(CheckId::CoseTrailingBytes, trailing));
        }
        recorder.pass(CheckId::CoseTrailingBytes, trailing);
        Ok(Self {
            protected,
            payload,
            signature,
        })
    }

    /// `Sig_structure = ["Signature1", protected, external_aad = h'', payload]` over the bytes as
    /// they were received: re-encoding before the check is how other verifiers broke (R10).
    pub(crate) fn signed_bytes(&self) -> Vec<u8> {
        let protected = ProtectedHeader {
            original_data: Some(self.protected.to_vec()),
            header: Header::default(),
        };
        sig_structure_data(
            SignatureContext::CoseSign1,
            protected,
            None,
            &[],
            self.payload,
        )
    }
}

/// The protected header must be the map `{1: -35}`: the algorithm and nothing else (R2).
fn read_protected(bytes: &[u8], recorder: &mut Recorder) -> Result<(), Failure> {
    const PART: &str = "protected header";
    let mut reader = Reader::new(bytes);
    let mut next = || reader.item().map_err(|error| error.into_failure(PART));
    let count = match next()? {
        Item::Map(count) => count,
        Item::IndefiniteMap => {
            return Err(Failure::new(
                CheckId::CborIndefiniteLength,
                "a map in the protected header",
            ));
        }
        other => return fail(CheckId::CoseProtected, other),
    };
    let mut algorithm = None;
    // At most two rounds: the second entry is either a repetition or an unknown label.
    for _ in 0..count {
        let label = next()?;
        if label != Item::Unsigned(unsigned(HeaderParameter::Alg)) {
            return Err(Failure::new(
                CheckId::CoseProtected,
                format!("{label} as a label"),
            ));
        }
        if algorithm.is_some() {
            return Err(Failure::new(CheckId::CoseDuplicateLabel, "label 1 twice"));
        }
        algorithm = Some(next()?);
    }
    let Some(algorithm) = algorithm else {
        return Err(Failure::new(CheckId::CoseAlgorithm, "no algorithm"));
    };
    // CBOR writes -35 as the negative integer of argument 34.
    if algorithm != Item::Negative(Algorithm::ES384.to_i64().unsigned_abs() - 1) {
        return fail(CheckId::CoseAlgorithm, algorithm);
    }
    if reader.remaining() != 0 {
        let trailing = format!("{} more bytes", reader.remaining());
        return Err(Failure::new(CheckId::CoseProtected, trailing));
    }
    recorder.pass(CheckId::CoseProtected, "{1: -35}".into());
    recorder.pass(CheckId::CoseDuplicateLabel, Detail::NONE);
    recorder.pass(CheckId::CoseAlgorithm, "-35 (ES384)".into());
    Ok(())
}

fn next<'a>(reader: &mut Reader<'a>) -> Result<Item<'a>, Failure> {
    reader.item().map_err(|error| error.into_failure(PART))
}

fn fail<T>(id: CheckId, item: Item<'_>) -> Result<T, Failure> {
    // The only indefinite length that may pass is the payload map's (R5).
    if item == Item::IndefiniteMap {
        return Err(Failure::new(
            CheckId::CborIndefiniteLength,
            "a map in the envelope",
        ));
    }
    Err(Failure::new(id, item.to_string()))
}

fn unsigned(registered: impl EnumI64) -> u64 {
    registered.to_i64().unsigned_abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sig_structure_is_the_one_of_rfc_9052() {
        let envelope = Envelope {
            protected: &[0xa1, 0x01, 0x38, 0x22],
            payload: &[0x5a; 300],
            signature: &[0; 96],
        };
        let mut expected = vec![0x84, 0x6a];
        expected.extend(b"Signature1");
        expected.extend([0x44, 0xa1, 0x01, 0x38, 0x22, 0x40, 0x59, 0x01, 0x2c]);
        expected.extend([0x5a; 300]);
        assert_eq!(envelope.signed_bytes(), expected);
    }
}
