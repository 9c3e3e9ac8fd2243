//! Answers: written by a mock, read from a socket.

use std::collections::BTreeSet;

use minicbor::{Decoder, Encoder};

use super::WireError;
use super::fields::{Operation, bytes, end, fields, operation, required, set_once};
use crate::error::ErrorCode;
use crate::nsm::{Description, DigestAlgorithm, MAX_RESPONSE_BYTES, PCR_COUNT, PcrState, Response};

/// The answer as the device encodes it.
#[must_use]
pub fn encode_response(response: &Response) -> Vec<u8> {
    let mut encoder = Encoder::new(Vec::new());
    // A vector takes every write, so there is no error to report.
    let _ = write_response(&mut encoder, response);
    encoder.into_writer()
}

/// Reads one answer.
///
/// # Errors
///
/// See [`WireError`].
pub fn decode_response(bytes: &[u8]) -> Result<Response, WireError> {
    if bytes.len() > MAX_RESPONSE_BYTES {
        return Err(WireError::TooLarge);
    }
    let mut decoder = Decoder::new(bytes);
    let response = match operation(&mut decoder)? {
        Operation::Bare("LockPCR") => Response::LockPcr,
        Operation::Bare("LockPCRs") => Response::LockPcrs,
        Operation::WithFields("DescribePCR") => describe_pcr(&mut decoder)?,
        Operation::WithFields("ExtendPCR") => Response::ExtendPcr {
            data: lone_bytes(&mut decoder, "data")?,
        },
        Operation::WithFields("DescribeNSM") => describe_nsm(&mut decoder)?,
        Operation::WithFields("Attestation") => Response::Attestation {
            document: lone_bytes(&mut decoder, "document")?,
        },
        Operation::WithFields("GetRandom") => Response::GetRandom {
            random: lone_bytes(&mut decoder, "random")?,
        },
        Operation::WithFields("Error") => Response::Error(error_code(&mut decoder)?),
        Operation::Bare(_) | Operation::WithFields(_) => return Err(WireError::UnknownOperation),
    };
    end(&decoder)?;
    Ok(response)
}

fn lone_bytes(decoder: &mut Decoder<'_>, field: &str) -> Result<Vec<u8>, WireError> {
    let mut value = None;
    fields(decoder, |name, decoder| {
        if name == field {
            set_once(&mut value, bytes(decoder))
        } else {
            Err(WireError::InvalidField)
        }
    })?;
    required(value)
}

fn error_code(decoder: &mut Decoder<'_>) -> Result<ErrorCode, WireError> {
    let name = decoder.str().map_err(|_| WireError::InvalidField)?;
    ErrorCode::from_name(name).ok_or(WireError::InvalidField)
}

fn describe_pcr(decoder: &mut Decoder<'_>) -> Result<Response, WireError> {
    let (mut locked, mut data) = (None, None);
    fields(decoder, |name, decoder| match name {
        "lock" => set_once(&mut locked, decoder.bool()),
        "data" => set_once(&mut data, bytes(decoder)),
        _ => Err(WireError::InvalidField),
    })?;
    Ok(Response::DescribePcr(PcrState {
        locked: required(locked)?,
        data: required(data)?,
    }))
}

fn describe_nsm(decoder: &mut Decoder<'_>) -> Result<Response, WireError> {
    let (mut major, mut minor, mut patch) = (None, None, None);
    let (mut module_id, mut max_pcrs, mut locked_pcrs, mut digest) = (None, None, None, None);
    fields(decoder, |name, decoder| match name {
        "version_major" => set_once(&mut major, decoder.u16()),
        "version_minor" => set_once(&mut minor, decoder.u16()),
        "version_patch" => set_once(&mut patch, decoder.u16()),
        "module_id" => set_once(&mut module_id, decoder.str().map(str::to_owned)),
        "max_pcrs" => set_once(&mut max_pcrs, decoder.u16()),
        "locked_pcrs" => set_once(&mut locked_pcrs, Ok(register_set(decoder)?)),
        "digest" => set_once(&mut digest, Ok(digest_algorithm(decoder)?)),
        _ => Err(WireError::InvalidField),
    })?;
    Ok(Response::DescribeNsm(Description {
        version_major: required(major)?,
        version_minor: required(minor)?,
        version_patch: required(patch)?,
        module_id: required(module_id)?,
        max_pcrs: required(max_pcrs)?,
        locked_pcrs: required(locked_pcrs)?,
        digest: required(digest)?,
    }))
}

fn register_set(decoder: &mut Decoder<'_>) -> Result<BTreeSet<u16>, WireError> {
    let count = decoder.array().map_err(|_| WireError::InvalidField)?;
    let count = count.filter(|count| *count <= u64::from(PCR_COUNT));
    let count = count.ok_or(WireError::InvalidField)?;
    let mut registers = BTreeSet::new();
    for _ in 0..count {
        let index = decoder.u16().map_err(|_| WireError::InvalidField)?;
        if !registers.insert(index) {
            return Err(WireError::InvalidField);
        }
    }
    Ok(registers)
}

fn digest_algorithm(decoder: &mut Decoder<'_>) -> Result<DigestAlgorithm, WireError> {
    match decoder.str() {
        Ok("SHA256") => Ok(DigestAlgorithm::Sha256),
        Ok("SHA384") => Ok(DigestAlgorithm::Sha384),
        Ok("SHA512") => Ok(DigestAlgorithm::Sha512),
        _ => Err(WireError::InvalidField),
    }
}

type Written = Result<(), minicbor::encode::Error<std::convert::Infallible>>;

fn write_response(encoder: &mut Encoder<Vec<u8>>, response: &Response) -> Written {
    match response {
        Response::LockPcr => encoder.str("LockPCR")?,
        Response::LockPcrs => encoder.str("LockPCRs")?,
        Response::DescribePcr(PcrState { locked, data }) => {
            encoder.map(1)?.str("DescribePCR")?.map(2)?;
            encoder
                .str("lock")?
                .bool(*locked)?
                .str("data")?
                .bytes(data)?
        }
        Response::ExtendPcr { data } => encoder
            .map(1)?
            .str("ExtendPCR")?
            .map(1)?
            .str("data")?
            .bytes(data)?,
        Response::DescribeNsm(description) => return write_description(encoder, description),
        Response::Attestation { document } => encoder
            .map(1)?
            .str("Attestation")?
            .map(1)?
            .str("document")?
            .bytes(document)?,
        Response::GetRandom { random } => encoder
            .map(1)?
            .str("GetRandom")?
            .map(1)?
            .str("random")?
            .bytes(random)?,
        Response::Error(code) => encoder.map(1)?.str("Error")?.str(code.name())?,
    };
    Ok(())
}

fn write_description(encoder: &mut Encoder<Vec<u8>>, description: &Description) -> Written {
    let Description {
        version_major,
        version_minor,
        version_patch,
        module_id,
        max_pcrs,
        locked_pcrs,
        digest,
    } = description;
    encoder.map(1)?.str("DescribeNSM")?.map(7)?;
    encoder.str("version_major")?.u16(*version_major)?;
    encoder.str("version_minor")?.u16(*version_minor)?;
    encoder.str("version_patch")?.u16(*version_patch)?;
    encoder.str("module_id")?.str(module_id)?;
    encoder.str("max_pcrs")?.u16(*max_pcrs)?;
    encoder
        .str("locked_pcrs")?
        .array(locked_pcrs.len() as u64)?;
    for index in locked_pcrs {
        encoder.u16(*index)?;
    }
    encoder.str("digest")?.str(match digest {
        DigestAlgorithm::Sha256 => "SHA256",
        DigestAlgorithm::Sha384 => "SHA384",
        DigestAlgorithm::Sha512 => "SHA512",
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::response_from_aws;
    use aws_nitro_enclaves_nsm_api::api::Response as AwsResponse;

    fn samples() -> Vec<Response> {
        let description = Description {
            version_major: 1,
            version_minor: 0,
            version_patch: 0,
            module_id: "i-0123456789abcdef0-enc0123456789abcdef".to_owned(),
            max_pcrs: 32,
            locked_pcrs: (0..16).collect(),
            digest: DigestAlgorithm::Sha384,
        };
        let mut samples = vec![
            Response::LockPcr,
            Response::LockPcrs,
            Response::DescribePcr(PcrState {
                locked: true,
                data: vec![9; 48],
            }),
            Response::ExtendPcr { data: vec![1; 48] },
            Response::DescribeNsm(description),
            Response::Attestation {
                document: vec![3; 5000],
            },
            Response::GetRandom {
                random: vec![4; 256],
            },
        ];
        samples.extend(ErrorCode::ALL.map(Response::Error));
        samples
    }

    #[test]
    fn awss_own_client_reads_our_answers_and_writes_the_same() {
        for response in samples() {
            let ours = encode_response(&response);
            let aws: AwsResponse = serde_cbor::from_slice(&ours).unwrap();
            assert_eq!(serde_cbor::to_vec(&aws).unwrap(), ours, "{response:?}");
            assert_eq!(response_from_aws(aws), Ok(response.clone()));
            assert_eq!(decode_response(&ours), Ok(response));
        }
    }

    #[test]
    fn broken_answers_are_refused() {
        for response in samples() {
            let bytes = encode_response(&response);
            for length in 0..bytes.len().min(256) {
                assert!(decode_response(&bytes[..length]).is_err());
            }
            assert_eq!(
                decode_response(&[bytes, vec![0]].concat()),
                Err(WireError::Malformed)
            );
        }
        let too_large = vec![0; MAX_RESPONSE_BYTES + 1];
        assert_eq!(decode_response(&too_large), Err(WireError::TooLarge));
        assert_eq!(
            decode_response(b"\xa1\x65Error\x63Bad"),
            Err(WireError::InvalidField)
        );
    }
}
