use core::convert::Infallible;

use minicbor::{Decoder, Encoder};

use super::certificate::{SigningCertificate, der_of_pem};
use crate::eif::error::EifError;

const CERTIFICATE: &str = "signing_certificate";
const SIGNATURE: &str = "signature";

/// The one record of a signature section. Nothing in it is verified.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SignatureRecord {
    certificate_pem: Vec<u8>,
    certificate_der: Vec<u8>,
    cose: Vec<u8>,
}

impl SignatureRecord {
    /// A record to be written.
    pub(crate) fn new(certificate_pem: &[u8], cose: Vec<u8>) -> Result<Self, EifError> {
        Ok(Self {
            certificate_pem: certificate_pem.to_vec(),
            certificate_der: der_of_pem(certificate_pem)?,
            cose,
        })
    }

    /// Reads a section, whose size is already bounded. It must be the bytes that
    /// [`SignatureRecord::encode`] makes of it: one spelling, nothing before, between or after.
    pub(crate) fn parse(section: &[u8]) -> Result<Self, EifError> {
        let wrong = |what| EifError::SignatureRecord { what };
        let mut decoder = Decoder::new(section);
        let count = decoder.array().map_err(|_| wrong("it is no CBOR array"))?;
        if count != Some(1) {
            return Err(wrong("it has not exactly one record"));
        }
        let (certificate, cose) = fields(&mut decoder)
            .map_err(|_| wrong("the record is no map of a certificate and a signature"))?;
        let record = Self::new(&certificate, cose)?;
        if record.encode() != section {
            return Err(wrong("it is spelled in another way than AWS's tools do"));
        }
        Ok(record)
    }

    /// The section's bytes.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut encoder = Encoder::new(Vec::new());
        // Writing into a vector cannot fail.
        let Ok(()) = self.encode_to(&mut encoder) else {
            return Vec::new();
        };
        encoder.into_writer()
    }

    fn encode_to(
        &self,
        encoder: &mut Encoder<Vec<u8>>,
    ) -> Result<(), minicbor::encode::Error<Infallible>> {
        encoder.array(1)?.map(2)?;
        write_bytes(encoder.str(CERTIFICATE)?, &self.certificate_pem)?;
        write_bytes(encoder.str(SIGNATURE)?, &self.cose)
    }

    /// The certificate as the section has it: PEM.
    #[must_use]
    pub fn certificate_pem(&self) -> &[u8] {
        &self.certificate_pem
    }

    /// The certificate in DER, from which PCR8 follows.
    #[must_use]
    pub fn certificate_der(&self) -> &[u8] {
        &self.certificate_der
    }

    /// The COSE_Sign1 as the section has it.
    #[must_use]
    pub fn cose(&self) -> &[u8] {
        &self.cose
    }

    /// The certificate, read.
    pub(crate) fn certificate(&self) -> Result<SigningCertificate, EifError> {
        SigningCertificate::from_der(&self.certificate_der)
    }
}

fn fields(decoder: &mut Decoder<'_>) -> Result<(Vec<u8>, Vec<u8>), minicbor::decode::Error> {
    let wrong = || minicbor::decode::Error::message("another field");
    if decoder.map()? != Some(2) || decoder.str()? != CERTIFICATE {
        return Err(wrong());
    }
    let certificate = read_bytes(decoder)?;
    if decoder.str()? != SIGNATURE {
        return Err(wrong());
    }
    Ok((certificate, read_bytes(decoder)?))
}

/// An array of integers below 256. The vector grows with what is really there.
fn read_bytes(decoder: &mut Decoder<'_>) -> Result<Vec<u8>, minicbor::decode::Error> {
    let length = decoder.array()?;
    let length = length.ok_or_else(|| minicbor::decode::Error::message("an open array"))?;
    let mut bytes = Vec::new();
    for _ in 0..length {
        bytes.push(decoder.u8()?);
    }
    Ok(bytes)
}

/// The opposite of [`read_bytes`].
pub(crate) fn write_bytes(
    encoder: &mut Encoder<Vec<u8>>,
    bytes: &[u8],
) -> Result<(), minicbor::encode::Error<Infallible>> {
    encoder.array(u64::try_from(bytes.len()).unwrap_or(u64::MAX))?;
    for byte in bytes {
        encoder.u8(*byte)?;
    }
    Ok(())
}
