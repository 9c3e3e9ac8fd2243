//! Every limit, and where it comes from.

use core::time::Duration;

/// The payload: AWS `attestation_process.md`, section 3.1, `payload: bstr .size (1..2^14)`.
pub const MAX_PAYLOAD_BYTES: usize = 16_384;

/// The whole document: the largest payload and 128 bytes for the envelope around it, which needs
/// 109 with its tag. Checked before anything is read (R7).
pub const MAX_DOCUMENT_BYTES: usize = MAX_PAYLOAD_BYTES + 128;

/// The signature: r and s of ECDSA over P-384, 48 bytes each (RFC 9053, section 2.1).
pub const SIGNATURE_BYTES: usize = 96;

/// Registers are numbered 0 to 31 (section 3.2.2.2).
pub const MAX_PCRS: usize = 32;

/// One certificate (section 3.1, `cert = bytes .size (1..1024)`).
pub const MAX_CERTIFICATE_BYTES: usize = 1024;

/// Certificates in `cabundle`. AWS states no maximum and sends four; twice that is our bound.
pub const MAX_CABUNDLE_CERTIFICATES: usize = 8;

/// `public_key`, `user_data` and `nonce`. The CDDL says 1024, the rules say 512 for the latter two,
/// and genuine documents carry 1024 (nsm-api issue 52): 1024 it is (R14).
pub const MAX_OPTIONAL_FIELD_BYTES: usize = 1024;

/// Serial numbers without the sign byte. RFC 5280, section 4.1.2.2 means 20 bytes with it, but
/// genuine instance certificates of 2021 have 21, and real documents decide.
pub const MAX_SERIAL_BYTES: usize = 20;

/// Nesting of DER in a certificate. AWS's deepest item is six levels down.
pub(crate) const MAX_DER_DEPTH: usize = 12;

/// A nonce from the verifier has at least 128 bits (R26).
pub const MIN_NONCE_BYTES: usize = 16;

/// How old a document may be unless the caller says otherwise (R27).
pub const DEFAULT_MAX_AGE: Duration = Duration::from_secs(5 * 60);

/// How far the verifier's clock may be behind unless the caller says otherwise (R27). A new leaf
/// is not backdated, so zero would refuse fresh documents.
pub const DEFAULT_SKEW: Duration = Duration::from_secs(60);

/// The largest skew that can be configured: beyond it "fresh" would mean nothing.
pub const MAX_SKEW: Duration = Duration::from_secs(15 * 60);
