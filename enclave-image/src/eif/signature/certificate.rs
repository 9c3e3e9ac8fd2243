use p384::ecdsa::VerifyingKey;
use x509_parser::oid_registry::{OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::eif::error::EifError;

/// The certificate in an image's signature section.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SigningCertificate {
    der: Vec<u8>,
    subject: String,
    not_before_unix_seconds: i64,
    not_after_unix_seconds: i64,
    /// The uncompressed point, if the key is on P-384.
    point: Option<Vec<u8>>,
}

impl SigningCertificate {
    /// Reads exactly one certificate.
    pub(crate) fn from_der(der: &[u8]) -> Result<Self, EifError> {
        let wrong = |what| EifError::SignatureCertificate { what };
        let (rest, certificate) =
            X509Certificate::from_der(der).map_err(|_| wrong("it is no X.509 certificate"))?;
        if !rest.is_empty() {
            return Err(wrong("there are bytes behind it"));
        }
        if !has_shortest_lengths(der) {
            return Err(wrong("it has a length in another spelling than DER's"));
        }
        let key = certificate.public_key();
        let curve = key
            .algorithm
            .parameters
            .as_ref()
            .and_then(|curve| curve.as_oid().ok());
        let on_p384 = key.algorithm.algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY
            && curve == Some(OID_NIST_EC_P384);
        Ok(Self {
            der: der.to_vec(),
            subject: certificate.subject().to_string(),
            not_before_unix_seconds: certificate.validity().not_before.timestamp(),
            not_after_unix_seconds: certificate.validity().not_after.timestamp(),
            point: on_p384.then(|| key.subject_public_key.data.to_vec()),
        })
    }

    /// The whole certificate in DER.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The subject's name, for people.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// The first second at which it is valid, counted from 1970. Not checked here.
    #[must_use]
    pub fn not_before_unix_seconds(&self) -> i64 {
        self.not_before_unix_seconds
    }

    /// The last second at which it is valid, counted from 1970. Not checked here. According
    /// to AWS's documentation no enclave starts once it has passed.
    #[must_use]
    pub fn not_after_unix_seconds(&self) -> i64 {
        self.not_after_unix_seconds
    }

    pub(crate) fn key(&self) -> Result<VerifyingKey, EifError> {
        let point = self.point.as_ref().ok_or(EifError::SignatureKey)?;
        VerifyingKey::from_sec1_bytes(point).map_err(|_| EifError::SignatureKey)
    }
}

/// Whether every length is spelt as DER demands, in as few bytes as it needs. AWS's tools let OpenSSL
/// write the certificate anew before they measure it, and would get another PCR8 if one was not.
fn has_shortest_lengths(mut der: &[u8]) -> bool {
    while !der.is_empty() {
        let Some(next) = behind_shortest_length(der) else {
            return false;
        };
        der = next;
    }
    true
}

/// What comes next: the content of what is made of more of the same, else what is behind the content.
fn behind_shortest_length(der: &[u8]) -> Option<&[u8]> {
    let [tag, first, rest @ ..] = der else {
        return None;
    };
    let (length, content) = match first {
        0..=0x7f => (usize::from(*first), rest),
        0x81..=0x84 => {
            let (digits, content) = rest.split_at_checked(usize::from(first & 0x7f))?;
            let value = |length, digit: &u8| (length << 8) | usize::from(*digit);
            let length = digits.iter().fold(0, value);
            let is_shortest = digits.first() != Some(&0) && length >= 0x80;
            (is_shortest.then_some(length)?, content)
        }
        _ => return None,
    };
    match (tag & 0x1f, tag & 0x20) {
        (0x1f, _) => None, // No type in a certificate has a number so large that bytes follow the tag.
        (_, 0) => content.get(length..),
        _ => Some(content),
    }
}

/// The one certificate of a PEM file. Text around it and a second block are refused: other readers
/// take the first block, whatever else is there.
pub(crate) fn der_of_pem(pem: &[u8]) -> Result<Vec<u8>, EifError> {
    let wrong = |what| EifError::SignatureCertificate { what };
    if !pem.starts_with(b"-----BEGIN CERTIFICATE-----") {
        return Err(wrong("it does not begin as a certificate in PEM does"));
    }
    let (_, der) = pem_rfc7468::decode_vec(pem)
        .map_err(|_| wrong("it is not exactly one block of PEM (RFC 7468)"))?;
    SigningCertificate::from_der(&der)?;
    Ok(der)
}
