//! P-384 keys of the mock. Development grade: every key follows from the authority's root key.

use std::fmt;

use p384::ecdsa::signature::Signer as _;
use p384::ecdsa::signature::hazmat::PrehashSigner as _;
use p384::ecdsa::{Signature, SigningKey};
use sha2::{Digest as _, Sha256, Sha384};
use zeroize::Zeroizing;

/// A P-384 key pair.
#[derive(Clone)]
pub struct KeyPair {
    signing: SigningKey,
}

impl KeyPair {
    /// The key that follows from a secret, a label and a context: the same every time.
    pub(crate) fn derive(secret: &[u8], label: &str, context: &[u8]) -> Self {
        let mut counter = 0_u32;
        loop {
            let candidate = Zeroizing::new(derive_bytes(secret, label, context, counter));
            // Out of range about once in 2^190 draws; the counter makes the loop correct anyway.
            if let Ok(signing) = SigningKey::from_slice(candidate.as_slice()) {
                return Self { signing };
            }
            counter = counter.wrapping_add(1);
        }
    }

    /// A key from a seed that anybody can repeat. For tests: it protects nothing.
    #[must_use]
    pub fn insecure_from_seed(seed: &[u8]) -> Self {
        Self::derive(seed, "insecure-seed", b"")
    }

    /// A key from the 48 bytes of its scalar; `None` when out of range.
    pub(crate) fn from_scalar(scalar: &[u8]) -> Option<Self> {
        SigningKey::from_slice(scalar)
            .ok()
            .map(|signing| Self { signing })
    }

    /// The 48 bytes of the scalar.
    pub(crate) fn scalar(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(self.signing.to_bytes().to_vec())
    }

    /// The public point, uncompressed: 0x04, x, y (97 bytes).
    #[must_use]
    pub fn public_point(&self) -> Vec<u8> {
        self.signing
            .verifying_key()
            .to_sec1_point(false)
            .as_bytes()
            .to_vec()
    }

    /// ECDSA with SHA-384 over `message` (RFC 6979, so the same every time).
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> Signature {
        self.signing.sign(message)
    }

    /// ECDSA over the SHA-256 of `message`, or with SHA-384 when the library refuses the digest.
    pub(crate) fn sign_sha256(&self, message: &[u8]) -> Signature {
        self.signing
            .sign_prehash(&Sha256::digest(message))
            .unwrap_or_else(|_| self.signing.sign(message))
    }
}

impl fmt::Debug for KeyPair {
    /// Shows the first bytes of the public point, never the scalar.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyPair(")?;
        self.public_point()
            .iter()
            .take(9)
            .try_for_each(|byte| write!(f, "{byte:02x}"))?;
        write!(f, "…)")
    }
}

/// SHA-384 over a label, a context, a counter and the secret, each with its length.
pub(crate) fn derive_bytes(secret: &[u8], label: &str, context: &[u8], counter: u32) -> [u8; 48] {
    let mut hasher = Sha384::new();
    for part in [b"narthex/v1/mock-derive", label.as_bytes(), context, secret] {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    hasher.update(counter.to_be_bytes());
    hasher.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derived_keys_are_stable_and_separate() {
        let key =
            |label: &str, context: &[u8]| KeyPair::derive(b"secret", label, context).public_point();
        assert_eq!(key("a", b"b"), key("a", b"b"));
        assert_ne!(key("a", b"b"), key("ab", b""));
        assert_ne!(key("a", b"b"), key("a", b"c"));
    }

    #[test]
    fn debug_output_holds_no_secret() {
        let key = KeyPair::insecure_from_seed(b"1");
        let scalar: String = key
            .scalar()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert!(!format!("{key:?}").contains(scalar.get(..12).unwrap()));
    }
}
