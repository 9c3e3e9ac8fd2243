//! SHA-384 digests and PCR values: 48 bytes, lower-case hexadecimal in text.

use core::fmt;

use sha2::{Digest as _, Sha384};

use crate::reason::{Reason, Refusal};

macro_rules! fixed_bytes {
    ($(#[$doc:meta])* $name:ident, $length:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub struct $name(pub [u8; $length]);

        impl $name {
            /// The bytes.
            pub const fn as_bytes(&self) -> &[u8; $length] {
                &self.0
            }

            /// Reads lower-case hexadecimal of exactly this length.
            ///
            /// # Errors
            ///
            /// [`Reason::HexMalformed`] otherwise.
            pub fn from_hex(text: &str) -> Result<Self, Refusal> {
                let mut bytes = [0; $length];
                let lower = !text.bytes().any(|byte| byte.is_ascii_uppercase());
                if !lower || hex::decode_to_slice(text, &mut bytes).is_err() {
                    return Err(Refusal::new(
                        Reason::HexMalformed,
                        format!("expected {} lower-case hexadecimal digits", $length * 2),
                    ));
                }
                Ok(Self(bytes))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, concat!(stringify!($name), "({})"), self)
            }
        }
    };
}

fixed_bytes!(
    /// A SHA-384 digest (of a bundle, an order, a statement, a key commitment).
    Digest384,
    48
);
fixed_bytes!(
    /// The value of a platform configuration register.
    Pcr,
    48
);
fixed_bytes!(
    /// The boot id of an agent: 16 random bytes, new at every start.
    BootId,
    16
);
fixed_bytes!(
    /// The handshake hash `h` of a session.
    SessionHash,
    32
);
fixed_bytes!(
    /// The X25519 public key of the key service.
    StaticKey,
    32
);

fixed_bytes!(
    /// What pseudonyms of people in the log are made with, so that they cannot be guessed from a
    /// list of names.
    LedgerSalt,
    32
);

impl Digest384 {
    /// SHA-384 of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha384::digest(bytes).into())
    }
}

impl Pcr {
    /// The value of a register that was never extended; also every register in debug mode.
    pub const ZERO: Self = Self([0; 48]);

    /// The register after zero was extended once with `data`: SHA-384(48 zero bytes ‖ data).
    fn extended_once(data: &[u8]) -> Self {
        Self(
            Sha384::new()
                .chain_update([0; 48])
                .chain_update(data)
                .finalize()
                .into(),
        )
    }

    /// PCR3 of an enclave whose parent instance has the IAM role `arn`.
    pub fn of_role_arn(arn: &str) -> Self {
        Self::extended_once(arn.as_bytes())
    }

    /// PCR4 of an enclave on the parent instance `instance_id`.
    pub fn of_instance_id(instance_id: &str) -> Self {
        Self::extended_once(instance_id.as_bytes())
    }

    /// PCR16 of an enclave whose agent booted with the bundle of digest `bundle`.
    pub fn of_boot_bundle(bundle: &Digest384) -> Self {
        Self::extended_once(&bundle.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_is_exact_and_lower_case() {
        let text = "00".repeat(47) + "ff";
        assert_eq!(Digest384::from_hex(&text).unwrap().to_string(), text);
        for wrong in [
            "00".repeat(47),
            "00".repeat(49),
            "00".repeat(47) + "FF",
            "zz".repeat(48),
        ] {
            assert_eq!(
                Digest384::from_hex(&wrong).unwrap_err().reason(),
                Reason::HexMalformed
            );
        }
    }

    /// AWS's documented derivation.
    #[test]
    fn role_and_instance_become_registers() {
        let mut bytes = vec![0; 48];
        bytes.extend_from_slice(b"i-0123456789abcdef0");
        assert_eq!(
            Pcr::of_instance_id("i-0123456789abcdef0").0,
            Digest384::of(&bytes).0
        );
        assert_ne!(Pcr::of_role_arn(""), Pcr::ZERO);
    }
}
