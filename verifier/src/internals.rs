//! Doors for fuzz targets and benchmarks. Not part of the interface: no promise, no trust.

use crate::certificate::Certificate;
use crate::check::CheckId;
use crate::crypto::Backend;
use crate::document::Parsed;

/// Reads one certificate as the chain would.
///
/// # Errors
///
/// The check that refuses it.
pub fn parse_certificate(der: &[u8]) -> Result<(), CheckId> {
    Certificate::parse(der)
        .map(|_| ())
        .map_err(|failure| failure.id)
}

/// One raw signature check over the same bytes as a document's, hashing included: the unit that
/// the cost of a verification is measured in.
#[derive(Clone, Debug)]
pub struct RawCheck {
    key: [u8; 97],
    message: Vec<u8>,
    signature: [u8; 96],
}

impl RawCheck {
    /// The document's own signature under its own leaf; `None` when the leaf cannot be read.
    #[must_use]
    pub fn of(parsed: &Parsed<'_>) -> Option<Self> {
        let leaf = Certificate::parse(parsed.fields().certificate()).ok()?;
        let signature = *parsed.signature();
        Some(Self {
            key: *leaf.public_key,
            message: parsed.signed_bytes(),
            signature,
        })
    }

    /// Runs the check. Says nothing about trust: the key is the document's own.
    #[must_use]
    pub fn run(&self, backend: Backend) -> bool {
        backend
            .check(&self.key, &self.message, &self.signature)
            .is_ok()
    }
}
