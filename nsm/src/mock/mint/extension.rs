//! Certificate extensions (RFC 5280, section 4.2).

use sha2::{Digest as _, Sha384};

use super::der::{Der, oid};

/// One extension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extension {
    /// Content bytes of the extension's identifier (see [`oid`]).
    pub oid: Vec<u8>,
    /// Whether and how it says that it is critical.
    pub critical: Criticality,
    /// The DER inside the OCTET STRING, right or wrong.
    pub value: Vec<u8>,
}

/// How the `critical` BOOLEAN is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Criticality {
    /// Present and true.
    Critical,
    /// Absent, which means false.
    NotCritical,
    /// Present with this content byte: 0x00 breaks the DER default rule, 0x01 is not canonical.
    Byte(u8),
}

/// Bits of keyUsage; bit 0 is the most significant of the first byte (RFC 5280, section 4.2.1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyUsage(pub u16);

impl KeyUsage {
    /// Bit 0.
    pub const DIGITAL_SIGNATURE: Self = Self(1 << 15);
    /// Bit 1.
    pub const NON_REPUDIATION: Self = Self(1 << 14);
    /// Bit 2.
    pub const KEY_ENCIPHERMENT: Self = Self(1 << 13);
    /// Bit 5.
    pub const KEY_CERT_SIGN: Self = Self(1 << 10);
    /// Bit 6.
    pub const CRL_SIGN: Self = Self(1 << 9);

    /// Both sets of bits.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl Extension {
    /// basicConstraints of a certificate authority, with or without a path length.
    #[must_use]
    pub fn authority(path_length: Option<u8>) -> Self {
        let mut fields = vec![Der::boolean(0xff)];
        fields.extend(path_length.map(|length| Der::unsigned(&[length])));
        Self::critical(oid::BASIC_CONSTRAINTS, Der::sequence(fields))
    }

    /// basicConstraints of an end entity: `CA:FALSE` by default, so an empty SEQUENCE.
    #[must_use]
    pub fn end_entity() -> Self {
        Self::critical(oid::BASIC_CONSTRAINTS, Der::sequence(vec![]))
    }

    /// basicConstraints with these raw fields, such as a path length of nine bytes.
    #[must_use]
    pub fn basic_constraints(fields: Vec<Der>) -> Self {
        Self::critical(oid::BASIC_CONSTRAINTS, Der::sequence(fields))
    }

    /// keyUsage, in the shortest BIT STRING.
    #[must_use]
    pub fn key_usage(usage: KeyUsage, critical: Criticality) -> Self {
        let [first, second] = usage.0.to_be_bytes();
        let unused = |byte: u8| u8::try_from(byte.trailing_zeros().min(7)).unwrap_or(7);
        let bits = match (first, second) {
            (0, 0) => Der::bit_string(0, &[]),
            (first, 0) => Der::bit_string(unused(first), &[first]),
            (first, second) => Der::bit_string(unused(second), &[first, second]),
        };
        Self {
            oid: oid::KEY_USAGE.to_vec(),
            critical,
            value: bits.to_bytes(),
        }
    }

    /// subjectKeyIdentifier for a public point (20 bytes of its digest).
    #[must_use]
    pub fn subject_key_identifier(public_point: &[u8]) -> Self {
        let value = Der::octet_string(key_identifier(public_point));
        Self::not_critical(oid::SUBJECT_KEY_IDENTIFIER, value)
    }

    /// authorityKeyIdentifier naming the issuer's public point.
    #[must_use]
    pub fn authority_key_identifier(issuer_public_point: &[u8]) -> Self {
        let identifier = Der::Primitive(0x80, key_identifier(issuer_public_point));
        Self::not_critical(
            oid::AUTHORITY_KEY_IDENTIFIER,
            Der::sequence(vec![identifier]),
        )
    }

    /// cRLDistributionPoints with one address.
    #[must_use]
    pub fn crl_distribution_point(address: &str) -> Self {
        let general_name = Der::Primitive(0x86, address.as_bytes().to_vec());
        let full_name = Der::explicit(0, general_name);
        let point = Der::sequence(vec![Der::explicit(0, full_name)]);
        Self::not_critical(oid::CRL_DISTRIBUTION_POINTS, Der::sequence(vec![point]))
    }

    /// A critical extension.
    #[must_use]
    pub fn critical(oid: &[u8], value: Der) -> Self {
        Self {
            oid: oid.to_vec(),
            critical: Criticality::Critical,
            value: value.to_bytes(),
        }
    }

    /// An extension that may be ignored by those who do not know it.
    #[must_use]
    pub fn not_critical(oid: &[u8], value: Der) -> Self {
        Self {
            oid: oid.to_vec(),
            critical: Criticality::NotCritical,
            value: value.to_bytes(),
        }
    }

    pub(crate) fn to_der(&self) -> Der {
        let mut fields = vec![Der::oid(&self.oid)];
        match self.critical {
            Criticality::Critical => fields.push(Der::boolean(0xff)),
            Criticality::NotCritical => {}
            Criticality::Byte(byte) => fields.push(Der::boolean(byte)),
        }
        fields.push(Der::octet_string(self.value.clone()));
        Der::sequence(fields)
    }
}

/// 160 bits of a digest of the key (RFC 7093, section 2, allows any collision-resistant one).
fn key_identifier(public_point: &[u8]) -> Vec<u8> {
    Sha384::digest(public_point)
        .iter()
        .copied()
        .take(20)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_usage_is_written_as_aws_writes_it() {
        let authority = KeyUsage::DIGITAL_SIGNATURE
            .and(KeyUsage::KEY_CERT_SIGN)
            .and(KeyUsage::CRL_SIGN);
        let value = |usage| Extension::key_usage(usage, Criticality::Critical).value;
        assert_eq!(value(authority), [3, 2, 1, 0x86]);
        assert_eq!(value(KeyUsage::KEY_CERT_SIGN), [3, 2, 2, 4]);
        let leaf = KeyUsage::DIGITAL_SIGNATURE.and(KeyUsage::NON_REPUDIATION);
        assert_eq!(value(leaf), [3, 2, 6, 0xc0]);
    }

    #[test]
    fn basic_constraints_are_written_as_aws_writes_them() {
        assert_eq!(Extension::authority(None).value, [0x30, 3, 1, 1, 0xff]);
        assert_eq!(
            Extension::authority(Some(0)).value,
            [0x30, 6, 1, 1, 0xff, 2, 1, 0]
        );
        assert_eq!(Extension::end_entity().value, [0x30, 0]);
    }
}
