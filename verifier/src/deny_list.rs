//! Certificates that the caller no longer accepts.
//!
//! AWS's text switches revocation checking off and nobody serves its CRLs to verifiers, so a
//! compromised instance can only be shut out by a list of one's own (R24).

use std::collections::BTreeSet;

use crate::certificate::Certificate;
use crate::report::Failure;

/// Certificates by issuer and serial number, the pair that names one (RFC 5280, section 4.1.2.2).
#[derive(Clone, Debug, Default)]
pub struct DenyList {
    entries: BTreeSet<Denied>,
}

/// Issuer and serial number.
type Denied = (Box<[u8]>, Box<[u8]>);

impl DenyList {
    /// A list that denies nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Denies the certificate with this issuer and serial number, in documents and in cached
    /// chains from now on.
    ///
    /// `issuer` is the DER of the issuer's name as it stands in the certificate; `serial` its
    /// serial number, big-endian, with or without leading zeros.
    pub fn deny(&mut self, issuer: &[u8], serial: &[u8]) {
        self.entries
            .insert((issuer.into(), without_leading_zeros(serial).into()));
    }

    /// Denies this certificate, given as DER. A CA certificate denies everything below it.
    ///
    /// # Errors
    ///
    /// [`NotACertificate`] when it cannot be read.
    pub fn deny_certificate(&mut self, der: &[u8]) -> Result<(), NotACertificate> {
        let certificate = Certificate::parse(der).map_err(NotACertificate::from)?;
        self.deny(certificate.issuer, certificate.serial);
        Ok(())
    }

    /// How many certificates are denied.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing is denied.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) fn denies(&self, issuer: &[u8], serial: &[u8]) -> bool {
        // The common case costs nothing; the other may allocate.
        !self.is_empty()
            && self
                .entries
                .contains(&(issuer.into(), without_leading_zeros(serial).into()))
    }
}

/// Bytes that were to be a certificate are none.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NotACertificate(pub(crate) Failure);

impl From<Failure> for NotACertificate {
    fn from(failure: Failure) -> Self {
        Self(failure)
    }
}

impl core::fmt::Display for NotACertificate {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Failure { id, observed } = &self.0;
        write!(
            f,
            "not a certificate that can be used: {id}: expected {}",
            id.rule()
        )?;
        if observed.is_empty() {
            Ok(())
        } else {
            write!(f, ", found {observed}")
        }
    }
}

impl core::error::Error for NotACertificate {}

fn without_leading_zeros(serial: &[u8]) -> &[u8] {
    let zeros = serial.iter().take_while(|byte| **byte == 0).count();
    serial.get(zeros..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn issuer_and_serial_together_name_a_certificate() {
        let mut list = DenyList::new();
        assert!(!list.denies(b"issuer", &[1]));
        list.deny(b"issuer", &[0, 0x81]);
        assert!(list.denies(b"issuer", &[0x81]));
        assert!(!list.denies(b"issuer", &[0x82]));
        assert!(!list.denies(b"another", &[0x81]));
        assert_eq!(list.len(), 1);
        assert!(list.deny_certificate(b"junk").is_err());
    }
}
