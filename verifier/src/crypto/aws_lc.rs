//! Signatures by `aws-lc-rs`, the fastest measured.

use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED, UnparsedPublicKey};

use super::BadSignature;
use crate::certificate::PublicKey;

pub(super) fn check(
    key: &PublicKey,
    message: &[u8],
    signature: &[u8; 96],
) -> Result<(), BadSignature> {
    UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, key)
        .verify(message, signature)
        .map_err(|_| BadSignature)
}
