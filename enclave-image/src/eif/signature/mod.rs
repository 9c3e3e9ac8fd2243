//! The signature section: a certificate, and a signature over PCR0 by its key.
//!
//! ```text
//! section = [ { "signing_certificate": [* byte], "signature": [* byte] } ]
//! ```
//!
//! Both values are arrays of integers, because AWS's tools let serde write a vector of bytes. The
//! first holds a certificate in PEM, the second a COSE_Sign1 (RFC 9052, section 4.2) without a tag.

mod certificate;
mod cose;
mod record;
mod signer;

pub use certificate::SigningCertificate;
pub use record::SignatureRecord;
pub use signer::{P384FileSigner, Signer, sign};

use super::error::EifError;
use super::image::Image;

impl Image<'_> {
    /// Checks the signature of a signed image: it is over PCR0 of this very image, and by the key
    /// of the certificate, which is returned. `None` if the image is not signed.
    ///
    /// Nothing is checked about the certificate but that it is one: it is usually self-signed, its
    /// dates are for whoever has a clock, and only PCR8 says whose it is.
    ///
    /// # Errors
    ///
    /// `eif.signature_…`, one for each rule.
    pub fn verify_signature(&self) -> Result<Option<SigningCertificate>, EifError> {
        let Some(record) = self.signature_record() else {
            return Ok(None);
        };
        let certificate = record.certificate()?;
        cose::verify(record.cose(), &self.measure().pcr0, &certificate.key()?)?;
        Ok(Some(certificate))
    }
}
