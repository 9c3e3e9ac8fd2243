//! The COSE_Sign1 over PCR0 (RFC 9052, section 4.2), without a tag.

use core::convert::Infallible;

use coset::iana::Algorithm;
use coset::{
    CborSerializable, CoseSign1, CoseSign1Builder, HeaderBuilder, RegisteredLabelWithPrivate,
};
use minicbor::Encoder;
use p384::ecdsa::signature::Verifier;
use p384::ecdsa::{Signature, VerifyingKey};

use super::record::write_bytes;
use crate::eif::error::EifError;

/// What is signed: PCR0 and its number, as AWS's tools spell it.
fn payload(pcr0: &[u8; 48]) -> Vec<u8> {
    let mut encoder = Encoder::new(Vec::new());
    let encode =
        |encoder: &mut Encoder<Vec<u8>>| -> Result<(), minicbor::encode::Error<Infallible>> {
            encoder
                .map(2)?
                .str("register_index")?
                .u8(0)?
                .str("register_value")?;
            write_bytes(encoder, pcr0)
        };
    // Writing into a vector cannot fail.
    let Ok(()) = encode(&mut encoder) else {
        return Vec::new();
    };
    encoder.into_writer()
}

/// A COSE_Sign1 by ES384 that lacks its signature.
pub(crate) fn unsigned(pcr0: &[u8; 48]) -> CoseSign1 {
    CoseSign1Builder::new()
        .protected(HeaderBuilder::new().algorithm(Algorithm::ES384).build())
        .payload(payload(pcr0))
        .build()
}

/// The `Sig_structure`: the bytes that the signer hashes and signs.
pub(crate) fn to_be_signed(cose: &CoseSign1) -> Vec<u8> {
    cose.tbs_data(&[])
}

/// The signature's bytes with everything around it.
pub(crate) fn encode(cose: CoseSign1) -> Result<Vec<u8>, EifError> {
    cose.to_vec().map_err(|_| EifError::SignatureCose {
        what: "it cannot be written",
    })
}

/// Checks that `bytes` sign `pcr0` under `key`, by ES384.
pub(crate) fn verify(bytes: &[u8], pcr0: &[u8; 48], key: &VerifyingKey) -> Result<(), EifError> {
    let wrong = |what| EifError::SignatureCose { what };
    let cose = CoseSign1::from_slice(bytes).map_err(|_| wrong("it is no COSE_Sign1"))?;
    let algorithm = &cose.protected.header.alg;
    if *algorithm != Some(RegisteredLabelWithPrivate::Assigned(Algorithm::ES384)) {
        return Err(EifError::SignatureAlgorithm);
    }
    // With the right algorithm only, and the right payload, everything but the signature is known:
    // that leaves one spelling, and no header that could mean anything.
    let expected = unsigned(pcr0);
    if cose.payload != expected.payload {
        return Err(EifError::SignaturePayload);
    }
    let spelling = CoseSign1 {
        signature: cose.signature.clone(),
        ..expected
    };
    if encode(spelling)? != bytes {
        return Err(wrong(
            "it has other headers or another spelling than AWS's tools write",
        ));
    }
    check(&to_be_signed(&cose), &cose.signature, key)
}

/// Checks a signature of 96 bytes, r and s.
pub(crate) fn check(signed: &[u8], signature: &[u8], key: &VerifyingKey) -> Result<(), EifError> {
    let signature = Signature::from_slice(signature).map_err(|_| EifError::SignatureInvalid)?;
    key.verify(signed, &signature)
        .map_err(|_| EifError::SignatureInvalid)
}
