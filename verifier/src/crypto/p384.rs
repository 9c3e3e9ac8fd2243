//! Signatures by `p384`, pure Rust.

use p384::ecdsa::signature::Verifier as _;
use p384::ecdsa::{Signature, VerifyingKey};

use super::BadSignature;
use crate::certificate::PublicKey;

pub(super) fn check(
    key: &PublicKey,
    message: &[u8],
    signature: &[u8; 96],
) -> Result<(), BadSignature> {
    let key = VerifyingKey::from_sec1_bytes(key).map_err(|_| BadSignature)?;
    let signature = Signature::from_slice(signature).map_err(|_| BadSignature)?;
    key.verify(message, &signature).map_err(|_| BadSignature)
}
