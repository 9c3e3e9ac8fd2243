//! One certificate, read strictly (RFC 5280, section 4, and AWS's profile).
//!
//! The outline of a certificate is fixed, so its fields are taken by position from DER that
//! [`der::lint`] has found canonical (R22), and held against AWS's one profile, P-384 with SHA-384
//! (R21). `x509-parser` reads what has no fixed outline, the names and identifiers that people are
//! shown and the development root is known by. Reading all of a certificate with it cost nine
//! tenths of the time of this file and still left each of these rules to be checked, because it is
//! lenient by design; a test holds every field against it instead.
//!
//! Nothing here relates one certificate to another; that is `chain.rs`.

use core::fmt;

use x509_parser::der_parser::Oid;
use x509_parser::prelude::FromDer as _;
use x509_parser::x509::{AlgorithmIdentifier, X509Name};

use crate::check::CheckId;
use crate::der::{self, Items, der as malformed};
use crate::digest::sha256;
use crate::limits::MAX_SERIAL_BYTES;
use crate::report::{Detail, Failure};
use crate::time::UnixMillis;

/// Every check that [`Certificate::parse`] makes, in its order.
pub(crate) const CHECKS: [CheckId; 13] = [
    CheckId::CertificateDer,
    CheckId::CertificateTrailingBytes,
    CheckId::CertificateBoolean,
    CheckId::CertificateTime,
    CheckId::CertificateBitString,
    CheckId::CertificateVersion,
    CheckId::CertificateSerial,
    CheckId::CertificateAlgorithm,
    CheckId::CertificateAlgorithmMatch,
    CheckId::CertificatePublicKey,
    CheckId::CertificateSignatureEncoding,
    CheckId::CertificateDuplicateExtension,
    CheckId::CertificateCriticalExtension,
];

/// AlgorithmIdentifier of ecdsa-with-SHA384, 1.2.840.10045.4.3.3, without parameters.
const ECDSA_WITH_SHA384: &[u8] = &[
    0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03,
];
/// basicConstraints, 2.5.29.19.
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];
/// keyUsage, 2.5.29.15.
const KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x0f];

/// SubjectPublicKeyInfo of an uncompressed point on P-384, up to the coordinates:
/// SEQUENCE { SEQUENCE { id-ecPublicKey, secp384r1 }, BIT STRING of 04 || x || y }.
const P384_KEY_PREFIX: [u8; 24] = [
    0x30, 0x76, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b,
    0x81, 0x04, 0x00, 0x22, 0x03, 0x62, 0x00, 0x04,
];

/// An uncompressed point: 04, then x and y of 48 bytes each.
pub(crate) type PublicKey = [u8; 97];

/// Where a certificate stands in a document.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Position {
    /// `cabundle[0]`.
    Root,
    /// `cabundle[n]`, n above 0.
    Intermediate(usize),
    /// `certificate`.
    Leaf,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => f.write_str("root"),
            // AWS's order (R15); another chain length has no names of its own.
            Self::Intermediate(1) => f.write_str("cabundle[1] (region)"),
            Self::Intermediate(2) => f.write_str("cabundle[2] (zone)"),
            Self::Intermediate(3) => f.write_str("cabundle[3] (instance)"),
            Self::Intermediate(index) => write!(f, "cabundle[{index}]"),
            Self::Leaf => f.write_str("leaf"),
        }
    }
}

/// What a certificate says, for people. Carries no proof of anything.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct CertificateSummary {
    /// Where it stands in the document.
    pub position: Position,
    /// Subject, as one line.
    pub subject: String,
    /// Issuer, as one line.
    pub issuer: String,
    /// Serial number, hexadecimal.
    pub serial: String,
    /// Start of validity.
    pub not_before: UnixMillis,
    /// End of validity, inclusive.
    pub not_after: UnixMillis,
    /// SHA-256 over the DER.
    pub sha256: [u8; 32],
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct BasicConstraints {
    pub(crate) critical: bool,
    pub(crate) ca: bool,
    pub(crate) path_len: Option<PathLen>,
}

/// A path length; one that does not fit a byte is kept apart so that it cannot wrap (R20).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum PathLen {
    Value(u8),
    Oversize,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct KeyUsage {
    pub(crate) digital_signature: bool,
    pub(crate) key_cert_sign: bool,
}

/// A certificate that keeps its own rules.
#[derive(Clone, Debug)]
pub(crate) struct Certificate<'a> {
    pub(crate) der: &'a [u8],
    /// The signed part.
    pub(crate) tbs: &'a [u8],
    /// r and s, 48 bytes each.
    pub(crate) signature: [u8; 96],
    pub(crate) issuer: &'a [u8],
    pub(crate) subject: &'a [u8],
    /// Without the sign byte.
    pub(crate) serial: &'a [u8],
    pub(crate) not_before: UnixMillis,
    pub(crate) not_after: UnixMillis,
    pub(crate) public_key: &'a PublicKey,
    pub(crate) basic_constraints: Option<BasicConstraints>,
    pub(crate) key_usage: Option<KeyUsage>,
}

impl<'a> Certificate<'a> {
    /// Reads one certificate.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, Failure> {
        der::lint(bytes)?;
        let mut whole = Items::new(bytes);
        let mut outer = Items::new(whole.expect(der::SEQUENCE)?.content);
        if !whole.is_empty() {
            let count = Detail::byte_count(whole.remaining());
            return Err(Failure::new(CheckId::CertificateTrailingBytes, count));
        }

        // RFC 5280, section 4.1. The lint has seen to it that every item is canonical.
        let tbs = outer.expect(der::SEQUENCE)?;
        let outer_algorithm = outer.expect(der::SEQUENCE)?;
        let signature = signature(outer.expect(der::BIT_STRING)?.content);
        let mut fields = Items::new(tbs.content);
        version(fields.next()?)?;
        let serial = serial(fields.expect(der::INTEGER)?.content);
        let inner_algorithm = fields.expect(der::SEQUENCE)?;
        let issuer = fields.expect(der::SEQUENCE)?.whole;
        let mut validity = Items::new(fields.expect(der::SEQUENCE)?.content);
        let (not_before, not_after) = (validity.next()?, validity.next()?);
        let subject = fields.expect(der::SEQUENCE)?.whole;
        let public_key = public_key(fields.expect(der::SEQUENCE)?.whole);
        // Unique identifiers have no place before them (RFC 5280, section 4.1.2.8).
        let mut explicit = Items::new(fields.expect(der::CONTEXT_3)?.content);
        let list = explicit.expect(der::SEQUENCE)?;
        if ![&outer, &fields, &validity, &explicit]
            .into_iter()
            .all(Items::is_empty)
        {
            return Err(malformed("more items than a certificate has"));
        }

        let serial = serial?;
        let (not_before, not_after) = (der::time(not_before)?, der::time(not_after)?);
        check_algorithms(inner_algorithm.whole, outer_algorithm.whole)?;
        let (public_key, signature) = (public_key?, signature?);
        let (basic_constraints, key_usage) = extensions(list.content)?;
        Ok(Self {
            der: bytes,
            tbs: tbs.whole,
            signature,
            issuer,
            subject,
            serial,
            not_before,
            not_after,
            public_key,
            basic_constraints,
            key_usage,
        })
    }

    pub(crate) fn summary(&self, position: Position) -> CertificateSummary {
        CertificateSummary {
            position,
            subject: name_text(self.subject),
            issuer: name_text(self.issuer),
            serial: self
                .serial
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect(),
            not_before: self.not_before,
            not_after: self.not_after,
            sha256: sha256(self.der),
        }
    }

    /// Whether this certificate names itself Narthex's development root.
    pub(crate) fn names_development_root(&self) -> bool {
        const ATTRIBUTES: [(&str, &str); 4] = [
            ("2.5.4.3", "narthex.development-root"),
            ("2.5.4.11", "Narthex"),
            ("2.5.4.10", "Narthex development"),
            ("2.5.4.6", "US"),
        ];
        let Ok((_, name)) = X509Name::from_der(self.subject) else {
            return false;
        };
        ATTRIBUTES.iter().all(|(oid, expected)| {
            name.iter_attributes().any(|attribute| {
                attribute.attr_type().to_id_string() == *oid
                    && attribute.as_str().is_ok_and(|value| value == *expected)
            })
        })
    }
}

/// One line for a name; text in it is not to be believed, so control characters are escaped.
pub(crate) fn name_text(raw: &[u8]) -> String {
    X509Name::from_der(raw)
        .map(|(_, name)| name.to_string().escape_debug().to_string())
        .unwrap_or_default()
}

/// `[0] EXPLICIT Version`, of which only 2 means version 3; a version 1 certificate has none.
fn version(item: der::Item<'_>) -> Result<(), Failure> {
    let found = match (item.tag, item.content) {
        (der::CONTEXT_0, [der::INTEGER, 1, 2]) => return Ok(()),
        (der::CONTEXT_0, [der::INTEGER, 1, number]) => Detail::number(u64::from(*number) + 1),
        (der::CONTEXT_0, _) => "another number".into(),
        _ => "none, which means version 1".into(),
    };
    Err(Failure::new(CheckId::CertificateVersion, found))
}

fn serial(content: &[u8]) -> Result<&[u8], Failure> {
    let fault = |observed: Detail| Failure::new(CheckId::CertificateSerial, observed);
    let serial = der::positive_integer(content)?;
    let serial = serial.ok_or_else(|| fault("zero or negative".into()))?;
    // The sign byte does not count: instance certificates of 2021 have 20 bytes and that one.
    if serial.len() > MAX_SERIAL_BYTES {
        return Err(fault(Detail::byte_count(serial.len())));
    }
    Ok(serial)
}

/// R21: both places name ecdsa-with-SHA384, without parameters (RFC 5758, section 3.2).
fn check_algorithms(inner: &[u8], outer: &[u8]) -> Result<(), Failure> {
    let name = |raw| {
        AlgorithmIdentifier::from_der(raw).map_or_else(
            |_| "unreadable".to_owned(),
            |(_, algorithm)| {
                let parameters = algorithm.parameters.map_or("", |_| " with parameters");
                format!("{}{parameters}", algorithm.algorithm)
            },
        )
    };
    if inner != outer {
        let both = format!("inside {}, outside {}", name(inner), name(outer));
        return Err(Failure::new(CheckId::CertificateAlgorithmMatch, both));
    }
    if inner != ECDSA_WITH_SHA384 {
        return Err(Failure::new(CheckId::CertificateAlgorithm, name(inner)));
    }
    Ok(())
}

/// The point; whether it lies on the curve is for the signature check to find out.
fn public_key(info: &[u8]) -> Result<&PublicKey, Failure> {
    let fault = || Failure::new(CheckId::CertificatePublicKey, "another kind of key");
    let coordinates = info
        .strip_prefix(P384_KEY_PREFIX.as_slice())
        .ok_or_else(fault)?;
    if coordinates.len() != 96 {
        return Err(fault());
    }
    info.last_chunk().ok_or_else(fault)
}

/// ECDSA-Sig-Value (RFC 3279, section 2.2.3) as r and s of 48 bytes, so that every backend sees
/// the same and none parses DER of its own. `content` is that of the BIT STRING.
fn signature(content: &[u8]) -> Result<[u8; 96], Failure> {
    let fault = |_| Failure::new(CheckId::CertificateSignatureEncoding, "another encoding");
    let (value, unused) = der::bit_string(content)?;
    if unused != 0 {
        let observed = "unused bits in the signature";
        return Err(Failure::new(CheckId::CertificateBitString, observed));
    }
    let mut outer = Items::new(value);
    let mut integers = Items::new(outer.expect(der::SEQUENCE).map_err(fault)?.content);
    let mut fixed = [0; 96];
    for half in fixed.chunks_exact_mut(48) {
        let content = integers.expect(der::INTEGER).map_err(fault)?.content;
        let digits = der::positive_integer(content)
            .map_err(fault)?
            .unwrap_or_default();
        let start = 48_usize
            .checked_sub(digits.len())
            .filter(|start| *start < 48);
        let place = start
            .and_then(|start| half.get_mut(start..))
            .ok_or_else(|| fault(malformed("")))?;
        place.copy_from_slice(digits);
    }
    if !integers.is_empty() || !outer.is_empty() {
        return Err(fault(malformed("")));
    }
    Ok(fixed)
}

type Extensions = (Option<BasicConstraints>, Option<KeyUsage>);

/// The two extensions that decide something. Others may be there unless critical; AWS's region
/// certificates carry key identifiers and a CRL location, and its text switches CRLs off.
fn extensions(list: &[u8]) -> Result<Extensions, Failure> {
    let (mut constraints, mut usage) = (None, None);
    let mut rest = Items::new(list);
    while !rest.is_empty() {
        let read = list.len() - rest.remaining();
        let Extension {
            oid,
            critical,
            value,
        } = extension(&mut rest)?;
        let mut before = Items::new(list.get(..read).unwrap_or_default());
        while !before.is_empty() {
            if extension(&mut before)?.oid == oid {
                return Err(Failure::new(
                    CheckId::CertificateDuplicateExtension,
                    oid_text(oid),
                ));
            }
        }
        match oid {
            BASIC_CONSTRAINTS => constraints = Some(basic_constraints(critical, value)?),
            KEY_USAGE => usage = Some(key_usage(value)?),
            _ if critical => {
                return Err(Failure::new(
                    CheckId::CertificateCriticalExtension,
                    oid_text(oid),
                ));
            }
            _ => {}
        }
    }
    Ok((constraints, usage))
}

struct Extension<'a> {
    oid: &'a [u8],
    critical: bool,
    value: &'a [u8],
}

/// `SEQUENCE { extnID, critical BOOLEAN DEFAULT FALSE, extnValue OCTET STRING }`.
fn extension<'a>(list: &mut Items<'a>) -> Result<Extension<'a>, Failure> {
    let mut items = Items::new(list.expect(der::SEQUENCE)?.content);
    let oid = items.expect(der::OBJECT_IDENTIFIER)?.content;
    let second = items.next()?;
    // The lint let only TRUE pass.
    let critical = second.tag == der::BOOLEAN;
    let value = if critical { items.next()? } else { second };
    if value.tag != der::OCTET_STRING || !items.is_empty() {
        return Err(malformed("another outline of an extension"));
    }
    Ok(Extension {
        oid,
        critical,
        value: value.content,
    })
}

fn oid_text(content: &[u8]) -> String {
    Oid::new(content.into()).to_id_string()
}

/// RFC 5280, section 4.2.1.9: `SEQUENCE { cA BOOLEAN DEFAULT FALSE, pathLen INTEGER OPTIONAL }`.
fn basic_constraints(critical: bool, value: &[u8]) -> Result<BasicConstraints, Failure> {
    let mut outer = Items::new(value);
    let mut items = Items::new(outer.expect(der::SEQUENCE)?.content);
    let mut constraints = BasicConstraints {
        critical,
        ca: false,
        path_len: None,
    };
    let mut next = if items.is_empty() {
        None
    } else {
        Some(items.next()?)
    };
    if let Some(item) = next.filter(|item| item.tag == der::BOOLEAN) {
        if item.content != [0xff] {
            let observed = "cA that is not canonical TRUE";
            return Err(Failure::new(CheckId::CertificateBoolean, observed));
        }
        constraints.ca = true;
        next = if items.is_empty() {
            None
        } else {
            Some(items.next()?)
        };
    }
    if let Some(item) = next {
        if item.tag != der::INTEGER {
            return Err(malformed("another item in basicConstraints"));
        }
        constraints.path_len = Some(match der::integer(item.content)? {
            [value @ 0..=0x7f] | [0x00, value] => PathLen::Value(*value),
            [0x80..=0xff, ..] => return Err(malformed("a negative path length")),
            _ => PathLen::Oversize,
        });
    }
    if !items.is_empty() || !outer.is_empty() {
        return Err(malformed("more items in basicConstraints"));
    }
    Ok(constraints)
}

/// RFC 5280, section 4.2.1.3; a named bit list ends with a one (X.690, 11.2.2).
fn key_usage(value: &[u8]) -> Result<KeyUsage, Failure> {
    let mut outer = Items::new(value);
    let (bits, unused) = der::bit_string(outer.expect(der::BIT_STRING)?.content)?;
    if !outer.is_empty() {
        return Err(malformed("more items in keyUsage"));
    }
    let last_bit_is_one = bits.last().is_some_and(|last| last & (1 << unused) != 0);
    if !last_bit_is_one || bits.len() > 2 {
        return Err(Failure::new(
            CheckId::CertificateBitString,
            "keyUsage with trailing zeros",
        ));
    }
    let first = bits.first().copied().unwrap_or(0);
    // Bit 0 is the highest of the first byte.
    Ok(KeyUsage {
        digital_signature: first & 0x80 != 0,
        key_cert_sign: first & 0x04 != 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn basic_constraints_are_read_strictly() {
        let read = |bytes: &[u8]| basic_constraints(true, bytes);
        let constraints = |ca, path_len| BasicConstraints {
            critical: true,
            ca,
            path_len,
        };
        assert_eq!(read(&[0x30, 0]), Ok(constraints(false, None)));
        assert_eq!(read(&[0x30, 3, 1, 1, 0xff]), Ok(constraints(true, None)));
        let two = constraints(true, Some(PathLen::Value(2)));
        assert_eq!(read(&[0x30, 6, 1, 1, 0xff, 2, 1, 2]), Ok(two));
        let most = constraints(true, Some(PathLen::Value(255)));
        assert_eq!(read(&[0x30, 7, 1, 1, 0xff, 2, 2, 0, 255]), Ok(most));
        let over = constraints(true, Some(PathLen::Oversize));
        assert_eq!(read(&[0x30, 7, 1, 1, 0xff, 2, 2, 1, 0]), Ok(over));
        assert_eq!(read(&[0x30, 10, 1, 1, 0xff, 2, 5, 1, 0, 0, 0, 0]), Ok(over));

        let id = |bytes: &[u8]| read(bytes).unwrap_err().id;
        assert_eq!(id(&[0x30, 3, 1, 1, 0x00]), CheckId::CertificateBoolean);
        assert_eq!(id(&[0x30, 3, 1, 1, 0x01]), CheckId::CertificateBoolean);
        assert_eq!(
            id(&[0x30, 6, 1, 1, 0xff, 2, 1, 0x80]),
            CheckId::CertificateDer
        );
        assert_eq!(
            id(&[0x30, 8, 1, 1, 0xff, 2, 1, 1, 5, 0]),
            CheckId::CertificateDer
        );
        assert_eq!(id(&[0x30, 0, 0]), CheckId::CertificateDer);
        assert_eq!(id(&[0x30, 2, 5, 0]), CheckId::CertificateDer);
    }

    #[test]
    fn key_usage_is_read_strictly() {
        let usage = |digital_signature, key_cert_sign| KeyUsage {
            digital_signature,
            key_cert_sign,
        };
        assert_eq!(key_usage(&[3, 2, 6, 0xc0]), Ok(usage(true, false)));
        assert_eq!(key_usage(&[3, 2, 2, 0x04]), Ok(usage(false, true)));
        assert_eq!(key_usage(&[3, 2, 1, 0x86]), Ok(usage(true, true)));
        assert_eq!(key_usage(&[3, 3, 7, 0, 0x80]), Ok(usage(false, false)));
        for bad in [
            &[3, 2, 5, 0xc0][..],
            &[3, 2, 6, 0xe0],
            &[3, 1, 0],
            &[3, 4, 0, 0, 0, 1],
        ] {
            assert_eq!(
                key_usage(bad).unwrap_err().id,
                CheckId::CertificateBitString
            );
        }
        assert_eq!(
            key_usage(&[3, 2, 6, 0xc0, 0]).unwrap_err().id,
            CheckId::CertificateDer
        );
        assert_eq!(
            key_usage(&[4, 2, 6, 0xc0]).unwrap_err().id,
            CheckId::CertificateDer
        );
    }

    #[test]
    fn signatures_become_two_halves_of_48_bytes() {
        let signature = |value: &[u8]| super::signature(&[&[0], value].concat());
        let short = signature(&[0x30, 6, 2, 1, 7, 2, 1, 9]).unwrap();
        assert_eq!((short[47], short[95]), (7, 9));
        assert!(short.iter().filter(|byte| **byte != 0).count() == 2);
        let mut full = vec![0x30, 102, 2, 49, 0];
        full.extend([0xff; 48]);
        full.extend([2, 49, 0]);
        full.extend([0x80; 48]);
        assert_eq!(signature(&full).unwrap()[..48], [0xff; 48]);

        let mut long = vec![0x30, 54, 2, 49];
        long.extend([1; 49]);
        long.extend([2, 1, 1]);
        let bad: [&[u8]; 7] = [
            &long,
            &[0x30, 6, 2, 1, 0, 2, 1, 9],    // r is zero.
            &[0x30, 6, 2, 1, 0x80, 2, 1, 9], // r is negative.
            &[0x30, 7, 2, 2, 0, 7, 2, 1, 9], // r is padded.
            &[0x30, 3, 2, 1, 7],             // s is missing.
            &[0x30, 6, 2, 1, 7, 2, 1, 9, 0], // Something follows.
            &[0x30, 9, 2, 1, 7, 2, 1, 9, 2, 1, 1],
        ];
        for value in bad {
            let id = CheckId::CertificateSignatureEncoding;
            assert_eq!(signature(value).unwrap_err().id, id, "{value:02x?}");
        }
        let unused = super::signature(&[1, 0x30, 6, 2, 1, 7, 2, 1, 8]).unwrap_err();
        assert_eq!(unused.id, CheckId::CertificateBitString);
    }

    /// The fields are those that an independent parser finds, on every certificate of a document.
    #[test]
    fn x509_parser_reads_the_same() {
        use narthex_nsm::mock::mint::{DevelopmentAuthority, DocumentRecipe};
        use x509_parser::certificate::X509Certificate;
        use x509_parser::extensions::ParsedExtension;

        let authority = DevelopmentAuthority::insecure_fixed();
        let chain = DocumentRecipe::new(&authority, 1_785_785_775_857)
            .mint_parts()
            .chain;
        for der in chain.cabundle.iter().chain([&chain.leaf]) {
            let ours = Certificate::parse(der).unwrap();
            let (rest, theirs) = X509Certificate::from_der(der).unwrap();
            assert!(rest.is_empty());
            let tbs = &theirs.tbs_certificate;
            assert_eq!(ours.tbs, tbs.as_ref());
            assert_eq!(ours.issuer, tbs.issuer.as_raw());
            assert_eq!(ours.subject, tbs.subject.as_raw());
            let serial = tbs.raw_serial();
            assert_eq!(ours.serial, serial.strip_prefix(&[0]).unwrap_or(serial));
            let millis = |time: UnixMillis| i64::try_from(time.as_millis() / 1000).unwrap();
            assert_eq!(millis(ours.not_before), tbs.validity.not_before.timestamp());
            assert_eq!(millis(ours.not_after), tbs.validity.not_after.timestamp());
            assert_eq!(
                ours.public_key.as_slice(),
                &*tbs.subject_pki.subject_public_key.data
            );
            let constraints = tbs.basic_constraints().unwrap().unwrap();
            let read = ours.basic_constraints.unwrap();
            assert_eq!(
                (read.critical, read.ca),
                (constraints.critical, constraints.value.ca)
            );
            let length = constraints.value.path_len_constraint;
            let length = length.map(|length| PathLen::Value(length.try_into().unwrap()));
            assert_eq!(read.path_len, length);
            let usage = tbs.key_usage().unwrap().unwrap().value;
            let read = ours.key_usage.unwrap();
            assert_eq!(read.digital_signature, usage.digital_signature());
            assert_eq!(read.key_cert_sign, usage.key_cert_sign());
            let odd = |e: &ParsedExtension<'_>| matches!(e, ParsedExtension::ParseError { .. });
            assert!(
                !theirs
                    .extensions()
                    .iter()
                    .any(|e| odd(e.parsed_extension()))
            );
        }
    }
}
