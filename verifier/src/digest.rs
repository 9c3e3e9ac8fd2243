//! SHA-384 digests, and the register values a caller can compute without an enclave.

use core::fmt;

use sha2::{Digest as _, Sha256, Sha384};

/// The value a register has before anything is extended into it.
const ZERO_REGISTER: [u8; 48] = [0; 48];

/// A SHA-384 digest: 48 bytes, in text 96 lower-case hexadecimal digits.
///
/// The value of a PCR in a Nitro document, and of everything the project digests.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Digest384([u8; 48]);

impl Digest384 {
    /// A digest from its 48 bytes.
    #[must_use]
    pub const fn new(bytes: [u8; 48]) -> Self {
        Self(bytes)
    }

    /// SHA-384 of some bytes.
    #[must_use]
    pub fn sha384(bytes: &[u8]) -> Self {
        Self(Sha384::digest(bytes).into())
    }

    /// A digest from 96 hexadecimal digits of either case.
    ///
    /// # Errors
    ///
    /// [`DigestError`] for another length or another character.
    pub fn from_hex(text: &str) -> Result<Self, DigestError> {
        let digits = text.as_bytes();
        if digits.len() != 96 {
            return Err(DigestError::Length {
                digits: digits.len(),
            });
        }
        let mut bytes = [0; 48];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            for &digit in pair {
                let value = char::from(digit)
                    .to_digit(16)
                    .ok_or(DigestError::Character)?;
                *byte = (*byte << 4) | u8::try_from(value).unwrap_or(0);
            }
        }
        Ok(Self(bytes))
    }

    /// The 48 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 48] {
        &self.0
    }

    /// Whether every byte is zero: what a register shows when nothing was measured into it, and
    /// what PCR0 to PCR2 show in debug mode.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        self.0 == ZERO_REGISTER
    }

    /// The value of a register after one extension from zero: `SHA384(48 zero bytes || data)`.
    #[must_use]
    pub fn of_register_extended_with(data: &[u8]) -> Self {
        Self(
            Sha384::new()
                .chain_update(ZERO_REGISTER)
                .chain_update(data)
                .finalize()
                .into(),
        )
    }

    /// PCR3 of an enclave whose parent instance has this IAM role
    /// (`arn:aws:iam::<account>:role/<name>`).
    #[must_use]
    pub fn of_role_arn(role_arn: &str) -> Self {
        Self::of_register_extended_with(role_arn.as_bytes())
    }

    /// PCR4 of an enclave on this parent instance (`i-<17 hexadecimal digits>`).
    #[must_use]
    pub fn of_instance_id(instance_id: &str) -> Self {
        Self::of_register_extended_with(instance_id.as_bytes())
    }

    /// PCR16 of a Narthex agent that booted with a policy bundle of this digest
    /// (SHA-384 of the bundle's bytes).
    #[must_use]
    pub fn of_bundle_digest(bundle: &Digest384) -> Self {
        Self::of_register_extended_with(&bundle.0)
    }

    /// PCR16 of a Narthex agent that booted with exactly these bytes as its policy bundle.
    #[must_use]
    pub fn of_bundle_bytes(bundle: &[u8]) -> Self {
        Self::of_bundle_digest(&Self::sha384(bundle))
    }
}

impl fmt::Display for Digest384 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

impl fmt::Debug for Digest384 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest384({self})")
    }
}

/// Why a text is not a digest.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum DigestError {
    /// A SHA-384 digest has 96 hexadecimal digits.
    Length {
        /// How many bytes of text were given.
        digits: usize,
    },
    /// Something other than `0-9`, `a-f` and `A-F`.
    Character,
}

impl fmt::Display for DigestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length { digits } => {
                write!(
                    f,
                    "a SHA-384 digest has 96 hexadecimal digits, not {digits}"
                )
            }
            Self::Character => f.write_str("a digest has only hexadecimal digits"),
        }
    }
}

impl core::error::Error for DigestError {}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

pub(crate) fn write_hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

/// Compares without an early exit. The values are not secret: this only keeps habits (R36).
pub(crate) fn same_bytes(left: &[u8], right: &[u8]) -> bool {
    left.len() == right.len()
        && left
            .iter()
            .zip(right)
            .fold(0, |difference, (a, b)| difference | (a ^ b))
            == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_round_trips_and_refuses() {
        let digest = Digest384::sha384(b"abc");
        let text = "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded163\
                    1a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7";
        assert_eq!(digest.to_string(), text);
        assert_eq!(Digest384::from_hex(text), Ok(digest));
        assert_eq!(Digest384::from_hex(&text.to_uppercase()), Ok(digest));
        assert_eq!(
            Digest384::from_hex(text.strip_prefix('c').unwrap()),
            Err(DigestError::Length { digits: 95 })
        );
        let other = text.replace('f', "g");
        assert_eq!(Digest384::from_hex(&other), Err(DigestError::Character));
    }

    #[test]
    fn an_empty_application_ramdisk_has_the_known_pcr2() {
        // Measured in genuine documents of images without an application ramdisk.
        let value = Digest384::of_bundle_bytes(b"").to_string();
        assert!(value.starts_with("21b9efbc1848"), "{value}");
        assert!(value.ends_with("500a"), "{value}");
    }

    #[test]
    fn an_instance_id_gives_the_pcr4_of_a_genuine_document() {
        // worldcoin-world-chain-20260803: module id i-018e0c27541e1f15a-enc019fc8255f07a185.
        let value = Digest384::of_instance_id("i-018e0c27541e1f15a").to_string();
        assert!(
            value.starts_with("6bc886f2b244a21f5bffcf8908651cc08bd44fdf89055a0c"),
            "{value}"
        );
    }

    #[test]
    fn comparison_needs_equal_lengths() {
        assert!(same_bytes(b"ab", b"ab"));
        assert!(!same_bytes(b"ab", b"abc"));
        assert!(!same_bytes(b"ab", b"ac"));
        assert!(same_bytes(b"", b""));
    }
}
