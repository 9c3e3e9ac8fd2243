//! SHA-384 digests, the only digest that Narthex states, compares or binds.

use core::fmt;

use sha2::{Digest, Sha384};
use subtle::ConstantTimeEq;

/// A SHA-384 digest: 48 bytes, lower-case hex in text.
///
/// Comparison with `==` takes the same time wherever the first difference is.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialOrd)]
#[allow(clippy::derived_hash_with_manual_eq)] // The manual `eq` has the derived one's meaning.
pub struct Digest384([u8; Digest384::LENGTH]);

impl Digest384 {
    /// Length of a digest in bytes.
    pub const LENGTH: usize = 48;

    /// Forty-eight zero bytes: the head of an empty hash chain, and a PCR nobody extended.
    pub const ZERO: Self = Self([0; Self::LENGTH]);

    /// Takes 48 bytes as a digest.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; Self::LENGTH]) -> Self {
        Self(bytes)
    }

    /// The SHA-384 of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha384::digest(bytes).into())
    }

    /// The SHA-384 of the concatenation of `parts`. The caller's composition must be unambiguous;
    /// [`crate::binding`] has the one that this project uses.
    #[must_use]
    pub fn of_parts(parts: &[&[u8]]) -> Self {
        let mut hasher = Sha384::new();
        for part in parts {
            hasher.update(part);
        }
        Self(hasher.finalize().into())
    }

    /// The digest that `text` states in hex, or nothing unless it is exactly 96 lower-case digits.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return None;
        }
        let mut bytes = [0; Self::LENGTH];
        hex::decode_to_slice(text, &mut bytes).ok()?;
        Some(Self(bytes))
    }

    /// The 48 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::LENGTH] {
        &self.0
    }

    /// The digest in lower-case hex.
    #[must_use]
    pub fn to_hex(&self) -> String {
        hex::encode(self.0)
    }
}

impl PartialEq for Digest384 {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl AsRef<[u8]> for Digest384 {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Digest384 {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.to_hex())
    }
}

impl fmt::Debug for Digest384 {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Digest384({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_is_lower_case_and_exact() {
        let digest = Digest384::of(b"abc");
        // FIPS 180-4, the example for SHA-384.
        assert_eq!(
            digest.to_hex(),
            "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed\
             8086072ba1e7cc2358baeca134c825a7"
        );
        assert_eq!(Digest384::from_hex(&digest.to_hex()), Some(digest));
        assert_eq!(Digest384::from_hex(&digest.to_hex().to_uppercase()), None);
        assert_eq!(Digest384::from_hex("cb00"), None);
        assert_eq!(Digest384::from_hex(&format!("{digest}00")), None);
    }

    #[test]
    fn parts_are_hashed_in_order() {
        assert_eq!(
            Digest384::of_parts(&[b"a", b"", b"bc"]),
            Digest384::of(b"abc")
        );
    }
}
