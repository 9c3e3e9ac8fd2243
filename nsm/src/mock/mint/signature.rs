//! Signatures, right and wrong.

use p384::ecdsa::Signature;

use super::der::Der;
use super::key::KeyPair;

/// How a certificate or a document is signed.
#[derive(Clone, Debug)]
pub enum SignatureRecipe {
    /// By the key that should sign, in the right encoding.
    Genuine,
    /// By this key instead.
    By(KeyPair),
    /// Genuine, with one bit of the last byte flipped.
    Corrupted,
    /// Genuine, cut to this many bytes.
    Truncated(usize),
    /// Genuine, with these bytes after it.
    Extended(Vec<u8>),
    /// Genuine, with `s` in its lower half.
    LowS,
    /// Genuine, with `s` in its upper half: what AWS produces half of the time.
    HighS,
    /// A true signature by the right key, made over SHA-256.
    OverSha256,
    /// Genuine in the other encoding: ASN.1 in a document, `r || s` in a certificate.
    OtherEncoding,
    /// These bytes.
    Raw(Vec<u8>),
}

/// Which encoding is the right one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// `r || s`, 48 bytes each, big-endian (RFC 9053, section 2.1).
    Cose,
    /// `SEQUENCE { r, s }` (RFC 3279, section 2.2.3).
    Asn1,
}

impl SignatureRecipe {
    /// The signature bytes over `message`.
    pub(crate) fn bytes(&self, key: &KeyPair, message: &[u8], encoding: Encoding) -> Vec<u8> {
        let genuine = || encode(&key.sign(message), encoding);
        match self {
            Self::Genuine => genuine(),
            Self::By(other) => encode(&other.sign(message), encoding),
            Self::Corrupted => {
                let mut bytes = genuine();
                if let Some(last) = bytes.last_mut() {
                    *last ^= 1;
                }
                bytes
            }
            Self::Truncated(length) => {
                let mut bytes = genuine();
                bytes.truncate(*length);
                bytes
            }
            Self::Extended(more) => [genuine().as_slice(), more].concat(),
            Self::LowS => encode(&key.sign(message).normalize_s(), encoding),
            Self::HighS => encode(&high_s(&key.sign(message)), encoding),
            Self::OverSha256 => encode(&key.sign_sha256(message), encoding),
            Self::OtherEncoding => encode(&key.sign(message), encoding.other()),
            Self::Raw(bytes) => bytes.clone(),
        }
    }
}

impl Encoding {
    fn other(self) -> Self {
        match self {
            Self::Cose => Self::Asn1,
            Self::Asn1 => Self::Cose,
        }
    }
}

fn encode(signature: &Signature, encoding: Encoding) -> Vec<u8> {
    let (r, s) = signature.split_bytes();
    match encoding {
        Encoding::Cose => [r.as_slice(), s.as_slice()].concat(),
        Encoding::Asn1 => Der::sequence(vec![Der::unsigned(&r), Der::unsigned(&s)]).to_bytes(),
    }
}

fn high_s(signature: &Signature) -> Signature {
    let low = signature.normalize_s();
    let negated = -*low.s();
    let (r, _) = low.split_bytes();
    // The negation of a scalar in 1..n is in 1..n again; the fallback keeps this total.
    Signature::from_scalars(r, negated).unwrap_or(low)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn low_and_high_s_differ_and_bracket_the_genuine_one() {
        let key = KeyPair::insecure_from_seed(b"s");
        let bytes = |recipe: SignatureRecipe| recipe.bytes(&key, b"message", Encoding::Cose);
        let (low, high, genuine) = (
            bytes(SignatureRecipe::LowS),
            bytes(SignatureRecipe::HighS),
            bytes(SignatureRecipe::Genuine),
        );
        assert_ne!(low, high);
        assert!(genuine == low || genuine == high);
        assert!(low[48] < 0x80 && high[48] >= 0x7f);
    }

    #[test]
    fn wrong_signatures_are_wrong_in_the_stated_way() {
        let key = KeyPair::insecure_from_seed(b"s");
        let bytes = |recipe: SignatureRecipe| recipe.bytes(&key, b"message", Encoding::Cose);
        let genuine = bytes(SignatureRecipe::Genuine);
        assert_eq!(genuine.len(), 96);
        assert_eq!(bytes(SignatureRecipe::Truncated(95)), genuine[..95]);
        assert_eq!(bytes(SignatureRecipe::Corrupted)[..95], genuine[..95]);
        assert_ne!(bytes(SignatureRecipe::Corrupted), genuine);
        assert_eq!(bytes(SignatureRecipe::OtherEncoding)[0], 0x30);
        assert_ne!(bytes(SignatureRecipe::OverSha256), genuine);
    }
}
