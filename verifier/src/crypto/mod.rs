//! The one seam to a cryptography library: is this signature over these bytes by this key?

#[cfg(feature = "aws-lc")]
mod aws_lc;
#[cfg(feature = "p384")]
mod p384;

#[cfg(not(any(feature = "aws-lc", feature = "p384")))]
compile_error!("narthex-verifier needs feature `p384` or feature `aws-lc`");

use crate::certificate::PublicKey;

/// The library that checks ECDSA signatures over P-384 with SHA-384.
///
/// Both give the same answers; the tests run over both. The default is the fastest one built in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Backend {
    /// `p384`, pure Rust.
    #[cfg(feature = "p384")]
    P384,
    /// `aws-lc-rs`.
    #[cfg(feature = "aws-lc")]
    AwsLc,
}

impl Backend {
    /// The backends in this build.
    pub const ALL: &[Self] = &[
        #[cfg(feature = "aws-lc")]
        Self::AwsLc,
        #[cfg(feature = "p384")]
        Self::P384,
    ];

    /// `p384` or `aws-lc`.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            #[cfg(feature = "p384")]
            Self::P384 => "p384",
            #[cfg(feature = "aws-lc")]
            Self::AwsLc => "aws-lc",
        }
    }

    /// Whether `signature` (r and s, 48 bytes each, big-endian) is one of `key` over `message`.
    /// A key that is no point of the curve has no signatures. There is no low-s rule: half of
    /// AWS's signatures have a high s.
    pub(crate) fn check(
        self,
        key: &PublicKey,
        message: &[u8],
        signature: &[u8; 96],
    ) -> Result<(), BadSignature> {
        match self {
            #[cfg(feature = "p384")]
            Self::P384 => p384::check(key, message, signature),
            #[cfg(feature = "aws-lc")]
            Self::AwsLc => aws_lc::check(key, message, signature),
        }
    }
}

impl Default for Backend {
    fn default() -> Self {
        #[cfg(feature = "aws-lc")]
        return Self::AwsLc;
        #[cfg(not(feature = "aws-lc"))]
        return Self::P384;
    }
}

/// The signature is not one of this key over these bytes. An error and not a boolean, so that it
/// cannot be dropped unseen (R1).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct BadSignature;

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 6979, appendix A.2.6: P-384, SHA-384, message "sample".
    const KEY: &str = "04\
        ec3a4e415b4e19a4568618029f427fa5da9a8bc4ae92e02e06aae5286b300c64def8f0ea9055866064a254515480bc13\
        8015d9b72d7d57244ea8ef9ac0c621896708a59367f9dfb9f54ca84b3f1c9db1288b231c3ae0d4fe7344fd2533264720";
    const SIGNATURE: &str = "\
        94edbb92a5ecb8aad4736e56c691916b3f88140666ce9fa73d64c4ea95ad133c81a648152e44acf96e36dd1e80fabe46\
        99ef4aeb15f178cea1fe40db2603138f130e740a19624526203b6351d0a3a94fa329c145786e679e7b82c71a38628ac8";

    fn bytes<const N: usize>(hex: &str) -> [u8; N] {
        core::array::from_fn(|i| {
            u8::from_str_radix(hex.get(2 * i..2 * i + 2).unwrap(), 16).unwrap()
        })
    }

    #[test]
    fn the_vector_of_rfc_6979_holds_in_every_backend() {
        for backend in Backend::ALL {
            let (key, signature) = (bytes(KEY), bytes(SIGNATURE));
            assert_eq!(
                backend.check(&key, b"sample", &signature),
                Ok(()),
                "{}",
                backend.id()
            );
            assert_eq!(
                backend.check(&key, b"simple", &signature),
                Err(BadSignature)
            );
            for index in [0, 47, 48, 95] {
                let mut other = signature;
                other[index] ^= 1;
                assert_eq!(backend.check(&key, b"sample", &other), Err(BadSignature));
            }
        }
    }

    #[test]
    fn odd_numbers_are_bad_signatures_in_every_backend() {
        for backend in Backend::ALL {
            let key = bytes(KEY);
            let mut half_zero: [u8; 96] = bytes(SIGNATURE);
            half_zero[..48].fill(0);
            for signature in [[0; 96], [0xff; 96], half_zero] {
                assert_eq!(
                    backend.check(&key, b"sample", &signature),
                    Err(BadSignature)
                );
            }
            let mut off_curve = key;
            off_curve[96] ^= 1;
            assert_eq!(
                backend.check(&off_curve, b"sample", &bytes(SIGNATURE)),
                Err(BadSignature)
            );
            let mut compressed = key;
            compressed[0] = 2;
            assert_eq!(
                backend.check(&compressed, b"sample", &bytes(SIGNATURE)),
                Err(BadSignature)
            );
        }
    }

    #[test]
    fn the_default_is_built_in_and_first() {
        assert_eq!(Backend::ALL.first(), Some(&Backend::default()));
    }
}
