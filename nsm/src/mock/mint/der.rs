//! A small DER writer that can also write what DER forbids.

/// One DER value to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Der {
    /// A value with a tag byte and its content bytes.
    Primitive(u8, Vec<u8>),
    /// A value with a tag byte (the constructed bit is the caller's) and the values inside.
    Constructed(u8, Vec<Der>),
    /// The same value with one more length byte than DER allows (X.690, 10.1).
    LongLength(Box<Der>),
    /// The same value in BER's indefinite form: length 0x80 and an end marker.
    Indefinite(Box<Der>),
    /// These bytes as they are.
    Raw(Vec<u8>),
}

impl Der {
    /// SEQUENCE.
    #[must_use]
    pub fn sequence(children: Vec<Der>) -> Self {
        Self::Constructed(0x30, children)
    }

    /// SET.
    #[must_use]
    pub fn set(children: Vec<Der>) -> Self {
        Self::Constructed(0x31, children)
    }

    /// `[n]` EXPLICIT, for `n` below 31.
    #[must_use]
    pub fn explicit(number: u8, child: Der) -> Self {
        Self::Constructed(0xa0 | (number & 0x1f), vec![child])
    }

    /// OBJECT IDENTIFIER from its content bytes (see [`oid`]).
    #[must_use]
    pub fn oid(content: &[u8]) -> Self {
        Self::Primitive(0x06, content.to_vec())
    }

    /// INTEGER from its content bytes, as they are.
    #[must_use]
    pub fn integer_content(content: &[u8]) -> Self {
        Self::Primitive(0x02, content.to_vec())
    }

    /// INTEGER from unsigned big-endian bytes: leading zeros dropped, a sign byte added if needed.
    #[must_use]
    pub fn unsigned(big_endian: &[u8]) -> Self {
        let mut content: Vec<u8> = big_endian.iter().copied().skip_while(|b| *b == 0).collect();
        if content.first().is_none_or(|first| first & 0x80 != 0) {
            content.insert(0, 0);
        }
        Self::Primitive(0x02, content)
    }

    /// BOOLEAN from its content byte; DER knows 0x00 and 0xff only.
    #[must_use]
    pub fn boolean(content: u8) -> Self {
        Self::Primitive(0x01, vec![content])
    }

    /// OCTET STRING.
    #[must_use]
    pub fn octet_string(content: Vec<u8>) -> Self {
        Self::Primitive(0x04, content)
    }

    /// BIT STRING with the stated number of unused bits, which is not checked.
    #[must_use]
    pub fn bit_string(unused_bits: u8, content: &[u8]) -> Self {
        let mut bytes = vec![unused_bits];
        bytes.extend_from_slice(content);
        Self::Primitive(0x03, bytes)
    }

    /// The encoded bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        out
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Raw(bytes) => out.extend_from_slice(bytes),
            Self::Primitive(tag, content) => {
                out.push(*tag);
                out.extend_from_slice(&length_bytes(content.len()));
                out.extend_from_slice(content);
            }
            Self::Constructed(tag, _) => {
                let content = self.content();
                out.push(*tag);
                out.extend_from_slice(&length_bytes(content.len()));
                out.extend_from_slice(&content);
            }
            Self::LongLength(inner) => {
                let content = inner.content();
                out.push(inner.tag());
                out.extend_from_slice(&padded_length_bytes(content.len()));
                out.extend_from_slice(&content);
            }
            Self::Indefinite(inner) => {
                out.extend_from_slice(&[inner.tag(), 0x80]);
                out.extend_from_slice(&inner.content());
                out.extend_from_slice(&[0, 0]);
            }
        }
    }

    fn tag(&self) -> u8 {
        match self {
            Self::Primitive(tag, _) | Self::Constructed(tag, _) => *tag,
            Self::LongLength(inner) | Self::Indefinite(inner) => inner.tag(),
            Self::Raw(bytes) => bytes.first().copied().unwrap_or_default(),
        }
    }

    fn content(&self) -> Vec<u8> {
        match self {
            Self::Primitive(_, content) => content.clone(),
            Self::Constructed(_, children) => {
                let mut content = Vec::new();
                for child in children {
                    child.write(&mut content);
                }
                content
            }
            Self::LongLength(inner) | Self::Indefinite(inner) => inner.content(),
            Self::Raw(bytes) => bytes.get(1..).unwrap_or_default().to_vec(),
        }
    }
}

/// The shortest DER length.
fn length_bytes(length: usize) -> Vec<u8> {
    if let Ok(short) = u8::try_from(length)
        && short < 0x80
    {
        return vec![short];
    }
    let significant: Vec<u8> = length
        .to_be_bytes()
        .into_iter()
        .skip_while(|byte| *byte == 0)
        .collect();
    prefixed_length(&significant)
}

/// A length with one byte more than needed.
fn padded_length_bytes(length: usize) -> Vec<u8> {
    let mut significant: Vec<u8> = length
        .to_be_bytes()
        .into_iter()
        .skip_while(|byte| *byte == 0)
        .collect();
    if length >= 0x80 || significant.is_empty() {
        significant.insert(0, 0);
    }
    prefixed_length(&significant)
}

fn prefixed_length(significant: &[u8]) -> Vec<u8> {
    // At most eight bytes, so the count always fits in seven bits.
    let count = u8::try_from(significant.len()).unwrap_or(0x7f);
    let mut bytes = vec![0x80 | count];
    bytes.extend_from_slice(significant);
    bytes
}

/// Content bytes of the object identifiers that occur here.
pub mod oid {
    /// countryName (2.5.4.6).
    pub const COUNTRY: &[u8] = &[0x55, 0x04, 0x06];
    /// stateOrProvinceName (2.5.4.8).
    pub const STATE: &[u8] = &[0x55, 0x04, 0x08];
    /// localityName (2.5.4.7).
    pub const LOCALITY: &[u8] = &[0x55, 0x04, 0x07];
    /// organizationName (2.5.4.10).
    pub const ORGANIZATION: &[u8] = &[0x55, 0x04, 0x0a];
    /// organizationalUnitName (2.5.4.11).
    pub const ORGANIZATIONAL_UNIT: &[u8] = &[0x55, 0x04, 0x0b];
    /// commonName (2.5.4.3).
    pub const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];

    /// ecdsa-with-SHA384 (1.2.840.10045.4.3.3).
    pub const ECDSA_SHA384: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03];
    /// ecdsa-with-SHA256 (1.2.840.10045.4.3.2).
    pub const ECDSA_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
    /// sha384WithRSAEncryption (1.2.840.113549.1.1.12).
    pub const RSA_SHA384: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0c];
    /// Ed25519 (1.3.101.112).
    pub const ED25519: &[u8] = &[0x2b, 0x65, 0x70];

    /// id-ecPublicKey (1.2.840.10045.2.1).
    pub const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
    /// rsaEncryption (1.2.840.113549.1.1.1).
    pub const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
    /// secp384r1 (1.3.132.0.34).
    pub const P384: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x22];
    /// prime256v1 (1.2.840.10045.3.1.7).
    pub const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
    /// secp521r1 (1.3.132.0.35).
    pub const P521: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x23];

    /// basicConstraints (2.5.29.19).
    pub const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];
    /// keyUsage (2.5.29.15).
    pub const KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x0f];
    /// extKeyUsage (2.5.29.37).
    pub const EXTENDED_KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x25];
    /// subjectAltName (2.5.29.17).
    pub const SUBJECT_ALTERNATIVE_NAME: &[u8] = &[0x55, 0x1d, 0x11];
    /// nameConstraints (2.5.29.30).
    pub const NAME_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x1e];
    /// subjectKeyIdentifier (2.5.29.14).
    pub const SUBJECT_KEY_IDENTIFIER: &[u8] = &[0x55, 0x1d, 0x0e];
    /// authorityKeyIdentifier (2.5.29.35).
    pub const AUTHORITY_KEY_IDENTIFIER: &[u8] = &[0x55, 0x1d, 0x23];
    /// cRLDistributionPoints (2.5.29.31).
    pub const CRL_DISTRIBUTION_POINTS: &[u8] = &[0x55, 0x1d, 0x1f];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_take_the_shortest_form() {
        assert_eq!(Der::octet_string(vec![7; 3]).to_bytes(), [4, 3, 7, 7, 7]);
        assert_eq!(Der::octet_string(vec![0; 127]).to_bytes()[..2], [4, 0x7f]);
        assert_eq!(
            Der::octet_string(vec![0; 128]).to_bytes()[..3],
            [4, 0x81, 0x80]
        );
        assert_eq!(
            Der::octet_string(vec![0; 256]).to_bytes()[..4],
            [4, 0x82, 1, 0]
        );
    }

    #[test]
    fn wrong_lengths_can_be_written() {
        let value = Der::octet_string(vec![7]);
        assert_eq!(
            Der::LongLength(Box::new(value.clone())).to_bytes(),
            [4, 0x81, 1, 7]
        );
        assert_eq!(
            Der::Indefinite(Box::new(value)).to_bytes(),
            [4, 0x80, 7, 0, 0]
        );
        let long = Der::LongLength(Box::new(Der::octet_string(vec![0; 128])));
        assert_eq!(long.to_bytes()[..4], [4, 0x82, 0, 0x80]);
    }

    #[test]
    fn unsigned_integers_are_minimal_and_positive() {
        assert_eq!(Der::unsigned(&[0, 0]).to_bytes(), [2, 1, 0]);
        assert_eq!(Der::unsigned(&[0, 0x7f]).to_bytes(), [2, 1, 0x7f]);
        assert_eq!(Der::unsigned(&[0x80]).to_bytes(), [2, 2, 0, 0x80]);
    }
}
