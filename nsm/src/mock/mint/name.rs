//! Distinguished names (RFC 5280, section 4.1.2.4).

use super::der::{Der, oid};

/// A distinguished name: one attribute per RDN, in the order written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name(pub Vec<Attribute>);

/// One attribute of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribute {
    /// Content bytes of the attribute type (see [`oid`]).
    pub oid: Vec<u8>,
    /// The ASN.1 string type.
    pub kind: StringKind,
    /// The characters, not checked against `kind`.
    pub value: Vec<u8>,
}

/// ASN.1 string types that occur in names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StringKind {
    /// UTF8String: everything except the country in AWS's certificates.
    Utf8,
    /// PrintableString: the country.
    Printable,
    /// Any other tag byte.
    Tag(u8),
}

impl Name {
    /// `C=US, O=Amazon, OU=AWS, CN=…`: root and region.
    #[must_use]
    pub fn aws_short(common_name: &str) -> Self {
        Self(vec![
            Attribute::country(),
            Attribute::utf8(oid::ORGANIZATION, "Amazon"),
            Attribute::utf8(oid::ORGANIZATIONAL_UNIT, "AWS"),
            Attribute::utf8(oid::COMMON_NAME, common_name),
        ])
    }

    /// `CN=…, OU=AWS, O=Amazon, C=US, ST=WA, L=Seattle`: zone.
    #[must_use]
    pub fn aws_zone(common_name: &str) -> Self {
        Self(vec![
            Attribute::utf8(oid::COMMON_NAME, common_name),
            Attribute::utf8(oid::ORGANIZATIONAL_UNIT, "AWS"),
            Attribute::utf8(oid::ORGANIZATION, "Amazon"),
            Attribute::country(),
            Attribute::utf8(oid::STATE, "WA"),
            Attribute::utf8(oid::LOCALITY, "Seattle"),
        ])
    }

    /// `C=US, ST=Washington, L=Seattle, O=Amazon, OU=AWS, CN=…`: instance and leaf.
    #[must_use]
    pub fn aws_long(common_name: &str) -> Self {
        Self(vec![
            Attribute::country(),
            Attribute::utf8(oid::STATE, "Washington"),
            Attribute::utf8(oid::LOCALITY, "Seattle"),
            Attribute::utf8(oid::ORGANIZATION, "Amazon"),
            Attribute::utf8(oid::ORGANIZATIONAL_UNIT, "AWS"),
            Attribute::utf8(oid::COMMON_NAME, common_name),
        ])
    }

    /// The DER value.
    #[must_use]
    pub fn to_der(&self) -> Der {
        Der::sequence(self.0.iter().map(Attribute::to_der).collect())
    }
}

impl Attribute {
    /// `C=US` as a PrintableString.
    #[must_use]
    pub fn country() -> Self {
        Self {
            oid: oid::COUNTRY.to_vec(),
            kind: StringKind::Printable,
            value: b"US".to_vec(),
        }
    }

    /// An attribute as UTF8String.
    #[must_use]
    pub fn utf8(oid: &[u8], value: &str) -> Self {
        Self {
            oid: oid.to_vec(),
            kind: StringKind::Utf8,
            value: value.as_bytes().to_vec(),
        }
    }

    fn to_der(&self) -> Der {
        let tag = match self.kind {
            StringKind::Utf8 => 0x0c,
            StringKind::Printable => 0x13,
            StringKind::Tag(tag) => tag,
        };
        let value = Der::Primitive(tag, self.value.clone());
        Der::set(vec![Der::sequence(vec![Der::oid(&self.oid), value])])
    }
}
