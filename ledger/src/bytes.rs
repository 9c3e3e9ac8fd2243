//! Byte strings of fixed length, each purpose a type of its own; lower-case hex in text.

use sha2::{Digest as _, Sha384};

use crate::{LogError, LogReason};

/// Reads exactly `N` bytes of lower-case hex.
pub(crate) fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != N * 2 {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let [high, low] = pair else { return None };
        *byte = value(*high)? << 4 | value(*low)?;
    }
    Some(bytes)
}

/// Lower-case hex. By hand, because entries are mostly hex and a log has millions of them.
pub(crate) fn to_hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(digit(byte >> 4));
        text.push(digit(byte & 15));
    }
    text
}

const fn value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

const fn digit(value: u8) -> char {
    match value {
        0..=9 => (b'0' + value) as char,
        _ => (b'a' + (value & 15) - 10) as char,
    }
}

macro_rules! fixed_bytes {
    ($($(#[$doc:meta])* $name:ident, $length:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub struct $name(pub [u8; $length]);

        impl $name {
            /// Length in bytes.
            pub const LENGTH: usize = $length;

            /// Reads lower-case hex of exactly this length.
            #[must_use]
            pub fn from_hex(text: &str) -> Option<Self> {
                crate::bytes::from_hex(text).map(Self)
            }

            /// The bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; $length] {
                &self.0
            }
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                formatter.write_str(&crate::bytes::to_hex(&self.0))
            }
        }

        impl core::fmt::Debug for $name {
            fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                write!(formatter, concat!(stringify!($name), "({})"), self)
            }
        }
    )*};
}

fixed_bytes! {
    /// A plain SHA-384 digest: of a policy file, of an order, a commitment to a key, the head of a chain.
    Digest384, 48;
    /// The handshake hash of a session.
    SessionHash, 32;
    /// Sixteen random bytes that name one boot of one enclave.
    BootId, 16;
    /// The public name of a root key of the key service.
    RootKeyId, 16;
    /// Thirty-two random bytes, drawn anew for each piece of evidence.
    Salt, 32;
}

impl Digest384 {
    /// The SHA-384 of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha384::digest(bytes).into())
    }
}

impl Salt {
    /// A new one from the operating system's random source.
    ///
    /// # Errors
    ///
    /// `log.random` if that fails.
    pub fn random() -> Result<Self, LogError> {
        let mut bytes = [0; Self::LENGTH];
        getrandom::fill(&mut bytes)
            .map_err(|error| LogError::new(LogReason::Random, error.to_string()))?;
        Ok(Self(bytes))
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
            digest.to_string(),
            "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed\
             8086072ba1e7cc2358baeca134c825a7"
        );
        assert_eq!(Digest384::from_hex(&digest.to_string()), Some(digest));
        let text = digest.to_string();
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(to_hex(&all), hex::encode(&all));
        assert_eq!(from_hex::<256>(&to_hex(&all)).map(Vec::from), Some(all));
        for wrong in [
            text.to_uppercase(),
            format!("{text}00"),
            text.chars().skip(2).collect(),
            text.chars().skip(1).collect(),
            text.replace('c', "g"),
            String::new(),
        ] {
            assert_eq!(Digest384::from_hex(&wrong), None, "{wrong}");
        }
    }
}
