//! Requests: written for a socket, read by a mock.

use minicbor::data::Type;
use minicbor::{Decoder, Encoder};

use super::WireError;
use super::fields::{Operation, bytes, end, fields, operation, required, set_once};
use crate::nsm::{AttestationRequest, MAX_REQUEST_BYTES, Request};

/// The request as AWS's client encodes it.
#[must_use]
pub fn encode_request(request: &Request) -> Vec<u8> {
    let mut encoder = Encoder::new(Vec::new());
    // A vector takes every write, so there is no error to report.
    let _ = write_request(&mut encoder, request);
    encoder.into_writer()
}

/// Reads one request. The bytes may be anybody's.
///
/// # Errors
///
/// See [`WireError`].
pub fn decode_request(bytes: &[u8]) -> Result<Request, WireError> {
    if bytes.len() > MAX_REQUEST_BYTES {
        return Err(WireError::TooLarge);
    }
    let mut decoder = Decoder::new(bytes);
    let request = match operation(&mut decoder)? {
        Operation::Bare("DescribeNSM") => Request::DescribeNsm,
        Operation::Bare("GetRandom") => Request::GetRandom,
        Operation::WithFields("DescribePCR") => Request::DescribePcr {
            index: lone_u16(&mut decoder, "index")?,
        },
        Operation::WithFields("LockPCR") => Request::LockPcr {
            index: lone_u16(&mut decoder, "index")?,
        },
        Operation::WithFields("LockPCRs") => Request::LockPcrs {
            range: lone_u16(&mut decoder, "range")?,
        },
        Operation::WithFields("ExtendPCR") => extend_pcr(&mut decoder)?,
        Operation::WithFields("Attestation") => attestation(&mut decoder)?,
        Operation::Bare(_) | Operation::WithFields(_) => return Err(WireError::UnknownOperation),
    };
    end(&decoder)?;
    Ok(request)
}

fn lone_u16(decoder: &mut Decoder<'_>, field: &str) -> Result<u16, WireError> {
    let mut value = None;
    fields(decoder, |name, decoder| {
        if name == field {
            set_once(&mut value, decoder.u16())
        } else {
            Err(WireError::InvalidField)
        }
    })?;
    required(value)
}

fn extend_pcr(decoder: &mut Decoder<'_>) -> Result<Request, WireError> {
    let (mut index, mut data) = (None, None);
    fields(decoder, |name, decoder| match name {
        "index" => set_once(&mut index, decoder.u16()),
        "data" => set_once(&mut data, bytes(decoder)),
        _ => Err(WireError::InvalidField),
    })?;
    Ok(Request::ExtendPcr {
        index: required(index)?,
        data: required(data)?,
    })
}

/// Fields may be missing: serde reads a missing `Option` as absent, and so does the device.
fn attestation(decoder: &mut Decoder<'_>) -> Result<Request, WireError> {
    let (mut user_data, mut nonce, mut public_key) = (None, None, None);
    fields(decoder, |name, decoder| match name {
        "user_data" => set_once(&mut user_data, bytes_or_null(decoder)),
        "nonce" => set_once(&mut nonce, bytes_or_null(decoder)),
        "public_key" => set_once(&mut public_key, bytes_or_null(decoder)),
        _ => Err(WireError::InvalidField),
    })?;
    Ok(Request::Attestation(AttestationRequest {
        user_data: user_data.flatten(),
        nonce: nonce.flatten(),
        public_key: public_key.flatten(),
    }))
}

fn bytes_or_null(decoder: &mut Decoder<'_>) -> Result<Option<Vec<u8>>, minicbor::decode::Error> {
    if decoder.datatype()? == Type::Null {
        decoder.null()?;
        return Ok(None);
    }
    bytes(decoder).map(Some)
}

type Written = Result<(), minicbor::encode::Error<std::convert::Infallible>>;

fn write_request(encoder: &mut Encoder<Vec<u8>>, request: &Request) -> Written {
    match request {
        Request::DescribeNsm => encoder.str("DescribeNSM")?,
        Request::GetRandom => encoder.str("GetRandom")?,
        Request::DescribePcr { index } => encoder
            .map(1)?
            .str("DescribePCR")?
            .map(1)?
            .str("index")?
            .u16(*index)?,
        Request::LockPcr { index } => encoder
            .map(1)?
            .str("LockPCR")?
            .map(1)?
            .str("index")?
            .u16(*index)?,
        Request::LockPcrs { range } => encoder
            .map(1)?
            .str("LockPCRs")?
            .map(1)?
            .str("range")?
            .u16(*range)?,
        Request::ExtendPcr { index, data } => {
            encoder
                .map(1)?
                .str("ExtendPCR")?
                .map(2)?
                .str("index")?
                .u16(*index)?;
            encoder.str("data")?.bytes(data)?
        }
        Request::Attestation(AttestationRequest {
            user_data,
            nonce,
            public_key,
        }) => {
            encoder.map(1)?.str("Attestation")?.map(3)?;
            write_bytes_or_null(encoder.str("user_data")?, user_data.as_deref())?;
            write_bytes_or_null(encoder.str("nonce")?, nonce.as_deref())?;
            write_bytes_or_null(encoder.str("public_key")?, public_key.as_deref())?;
            encoder
        }
    };
    Ok(())
}

fn write_bytes_or_null(encoder: &mut Encoder<Vec<u8>>, value: Option<&[u8]>) -> Written {
    match value {
        Some(value) => encoder.bytes(value)?,
        None => encoder.null()?,
    };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::request_to_aws;

    fn samples() -> Vec<Request> {
        vec![
            Request::DescribeNsm,
            Request::GetRandom,
            Request::DescribePcr { index: 0 },
            Request::DescribePcr { index: 31 },
            Request::LockPcr { index: 16 },
            Request::LockPcrs { range: 32 },
            Request::ExtendPcr {
                index: 16,
                data: vec![7; 48],
            },
            Request::Attestation(AttestationRequest::default()),
            Request::Attestation(AttestationRequest {
                user_data: Some(vec![1; 1024]),
                nonce: Some(vec![]),
                public_key: Some(vec![2; 300]),
            }),
        ]
    }

    #[test]
    fn requests_have_the_bytes_of_awss_own_client() {
        for request in samples() {
            let ours = encode_request(&request);
            let aws = serde_cbor::to_vec(&request_to_aws(&request)).unwrap();
            assert_eq!(ours, aws, "{request:?}");
            assert_eq!(decode_request(&ours), Ok(request));
        }
    }

    #[test]
    fn each_defect_of_a_request_has_its_class() {
        let cases: &[(&[u8], WireError)] = &[
            (b"", WireError::Malformed),
            (b"\x69GetRando", WireError::Malformed),
            (b"\x69GetRandom\x00", WireError::Malformed),
            (b"\x69GetRandox", WireError::UnknownOperation),
            (b"\x00", WireError::UnknownOperation),
            (b"\xa0", WireError::UnknownOperation),
            // GetRandom takes no fields, DescribePCR does.
            (b"\xa1\x69GetRandom\xa0", WireError::UnknownOperation),
            (b"\x6bDescribePCR", WireError::UnknownOperation),
            (b"\xa1\x6bDescribePCR\xa0", WireError::InvalidField),
            (
                b"\xa1\x6bDescribePCR\xa1\x65index\x20",
                WireError::InvalidField,
            ),
            (
                b"\xa1\x6bDescribePCR\xa1\x65index\x1a\x00\x01\x00\x00",
                WireError::InvalidField,
            ),
            (
                b"\xa1\x6bDescribePCR\xa1\x65range\x01",
                WireError::InvalidField,
            ),
            (
                b"\xa1\x6bDescribePCR\xa2\x65index\x01\x65index\x01",
                WireError::InvalidField,
            ),
            (
                b"\xa1\x6bDescribePCR\xbf\x65index\x01\xff",
                WireError::InvalidField,
            ),
            (
                b"\xa1\x6bDescribePCR\xbb\xff\xff\xff\xff\xff\xff\xff\xff",
                WireError::InvalidField,
            ),
            (
                b"\xa1\x69ExtendPCR\xa1\x65index\x10",
                WireError::InvalidField,
            ),
            (
                b"\xa1\x69ExtendPCR\xa2\x65index\x10\x64data\x61a",
                WireError::InvalidField,
            ),
            (
                b"\xa1\x6bAttestation\xa1\x65nonce\xf5",
                WireError::InvalidField,
            ),
            (
                b"\xa1\x6bAttestation\xa1\x65nonce\x5f\x41a\xff",
                WireError::InvalidField,
            ),
        ];
        for (bytes, error) in cases {
            assert_eq!(decode_request(bytes), Err(*error), "{}", hex::encode(bytes));
        }
        assert_eq!(
            decode_request(&[0; MAX_REQUEST_BYTES + 1]),
            Err(WireError::TooLarge)
        );
    }

    #[test]
    fn other_peoples_encoders_are_read() {
        // A wide index, and fields in another order.
        let wide = b"\xa1\x6bDescribePCR\xa1\x65index\x19\x00\x03";
        assert_eq!(decode_request(wide), Ok(Request::DescribePcr { index: 3 }));
        let turned = b"\xa1\x69ExtendPCR\xa2\x64data\x41a\x65index\x10";
        assert_eq!(
            decode_request(turned),
            Ok(Request::ExtendPcr {
                index: 16,
                data: b"a".to_vec()
            })
        );
        let empty = b"\xa1\x6bAttestation\xa0";
        assert_eq!(
            decode_request(empty),
            Ok(Request::Attestation(AttestationRequest::default()))
        );
    }

    #[test]
    fn every_prefix_and_every_changed_byte_is_read_without_a_panic() {
        for request in samples() {
            let bytes = encode_request(&request);
            for length in 0..bytes.len() {
                assert!(decode_request(&bytes[..length]).is_err());
            }
            for position in 0..bytes.len().min(64) {
                for value in 0..=u8::MAX {
                    let mut changed = bytes.clone();
                    changed[position] = value;
                    let _ = decode_request(&changed);
                }
            }
        }
    }
}
