use p384::SecretKey;
use p384::ecdsa::signature::Signer as _;
use p384::ecdsa::{Signature, SigningKey};
use p384::pkcs8::DecodePrivateKey;

use super::certificate::{SigningCertificate, der_of_pem};
use super::cose;
use super::record::SignatureRecord;
use crate::eif::error::{EifError, SignError};
use crate::eif::image::Image;
use crate::eif::write::with_signature;

/// Whatever holds the private key: bytes to sign go in, r and s of an ES384 signature come out.
pub type Signer<'a> = dyn Fn(&[u8]) -> Result<[u8; 96], SignError> + 'a;

/// Signs an unsigned image: the result is the same image with one more section.
///
/// `certificate_pem` is the one certificate that the section will hold, with a key on P-384.
/// `signer` gets the bytes to sign (the `Sig_structure` of RFC 9052, section 4.4), hashes them with
/// SHA-384 and returns r and s, 48 bytes each. Its signature is checked before it is used.
///
/// # Errors
///
/// What [`Image::parse`] refuses; `eif.already_signed`; a certificate that is none or has another
/// key; `eif.signer` with the signer's own words; `eif.signer_mismatch`.
pub fn sign(image: &[u8], certificate_pem: &str, signer: &Signer<'_>) -> Result<Vec<u8>, EifError> {
    let image = Image::parse(image)?;
    if image.signature().is_some() {
        return Err(EifError::AlreadySigned);
    }
    let key = SigningCertificate::from_der(&der_of_pem(certificate_pem.as_bytes())?)?.key()?;
    let mut cose = cose::unsigned(&image.measure().pcr0);
    let to_be_signed = cose::to_be_signed(&cose);
    let signature = signer(&to_be_signed).map_err(EifError::Signer)?;
    cose::check(&to_be_signed, &signature, &key).map_err(|_| EifError::SignerMismatch)?;
    cose.signature = signature.to_vec();
    let record = SignatureRecord::new(certificate_pem.as_bytes(), cose::encode(cose)?)?;
    with_signature(&image, &record.encode())
}

/// A private key on P-384 from a file. It is wiped when dropped, and its signatures follow from key
/// and message alone (RFC 6979), so the same image is signed to the same bytes.
pub struct P384FileSigner(SigningKey);

impl P384FileSigner {
    /// Reads a key without a passphrase: PKCS #8 (`BEGIN PRIVATE KEY`) or SEC 1 (`BEGIN EC PRIVATE
    /// KEY`).
    ///
    /// # Errors
    ///
    /// `eif.signing_key`, without a word about the content.
    pub fn from_pem(pem: &str) -> Result<Self, EifError> {
        let key = SecretKey::from_pkcs8_pem(pem).ok();
        let key = key.or_else(|| SecretKey::from_sec1_pem(pem).ok());
        Ok(Self(key.ok_or(EifError::SigningKey)?.into()))
    }

    /// Signs with ES384: r and s of the signature over the SHA-384 digest of `message`.
    ///
    /// # Errors
    ///
    /// When the arithmetic fails, which no message is known for.
    pub fn sign(&self, message: &[u8]) -> Result<[u8; 96], SignError> {
        let signature: Signature = self
            .0
            .try_sign(message)
            .map_err(|_| SignError::new("the key in the file does not work"))?;
        Ok(signature.to_bytes().into())
    }
}

impl core::fmt::Debug for P384FileSigner {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("P384FileSigner")
    }
}
