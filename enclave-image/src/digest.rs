//! SHA-2 digests as newtypes, written as lower-case hexadecimal digits.

use core::fmt;

use sha2::{Digest as _, Sha256, Sha384};

/// A SHA-256 digest: what pins the inputs of an image.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Sha256Digest([u8; 32]);

/// A SHA-384 digest: measurements, and the digest by which a release statement names a manifest.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Sha384Digest([u8; 48]);

impl Sha256Digest {
    /// The digest of `content`.
    #[must_use]
    pub fn of(content: &[u8]) -> Self {
        Self(Sha256::digest(content).into())
    }

    /// Reads exactly 64 lower-case hexadecimal digits; anything else is `None`.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        lower_case_hex(text).map(Self)
    }

    /// The 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl Sha384Digest {
    /// The digest of `content`.
    #[must_use]
    pub fn of(content: &[u8]) -> Self {
        Self(Sha384::digest(content).into())
    }

    /// These 48 bytes as a digest, for example a measurement.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 48]) -> Self {
        Self(bytes)
    }

    /// Reads exactly 96 lower-case hexadecimal digits; anything else is `None`.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        lower_case_hex(text).map(Self)
    }

    /// The 48 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 48] {
        &self.0
    }
}

/// One spelling only: the `hex` crate alone would take capitals too.
fn lower_case_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return None;
    }
    let mut bytes = [0; N];
    hex::decode_to_slice(text, &mut bytes).ok()?;
    Some(bytes)
}

macro_rules! text {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, "{}({self})", stringify!($name))
            }
        }
    };
}

text!(Sha256Digest);
text!(Sha384Digest);

#[cfg(test)]
mod tests {
    use super::*;

    /// FIPS 180-4's digests of the empty message.
    #[test]
    fn digests_have_one_spelling() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Sha256Digest::of(b"").to_string(), empty);
        assert_eq!(Sha256Digest::from_hex(empty), Some(Sha256Digest::of(b"")));
        assert_eq!(Sha256Digest::from_hex(&empty.to_uppercase()), None);
        assert_eq!(Sha256Digest::from_hex(empty.trim_start_matches('e')), None);
        assert_eq!(Sha256Digest::from_hex(&format!("{empty}00")), None);
        assert_eq!(
            Sha384Digest::of(b"").to_string(),
            "38b060a751ac96384cd9327eb1b1e36a21fdb71114be07434c0cc7bf63f6e1da\
             274edebfe76f65fbd51ad2f14898b95b"
        );
    }
}
