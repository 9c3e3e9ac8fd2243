//! R4, R20 to R22: what one certificate says.

use narthex_nsm::mock::mint::{
    AlgorithmIdentifier, CertificateRecipe, Criticality, Der, DocumentRecipe, Extension, KeyPair,
    KeyUsage, SignatureRecipe, SubjectPublicKey, TimeField, oid,
};
use narthex_verifier::CheckId;

use crate::support::{accepted, refused};

/// The change in an authority, and in the leaf, is refused for this reason, with its place named.
#[track_caller]
fn refused_in_each(id: CheckId, change: impl Fn(&mut CertificateRecipe)) {
    let zone = refused(id, |r| change(&mut r.chain.zone.certificate));
    assert!(zone.to_string().contains("cabundle[2] (zone)"), "{zone}");
    let leaf = refused(id, |r| change(&mut r.chain.leaf.certificate));
    assert!(leaf.to_string().contains("leaf"), "{leaf}");
}

#[track_caller]
fn accepted_in_each(change: impl Fn(&mut CertificateRecipe)) {
    accepted(|r| change(&mut r.chain.zone.certificate));
    accepted(|r| change(&mut r.chain.leaf.certificate));
}

#[test]
fn r4_nothing_follows_a_certificate() {
    refused_in_each(CheckId::CertificateTrailingBytes, |c| c.trailing = vec![0]);
    refused_in_each(CheckId::CertificateTrailingBytes, |c| {
        c.trailing = vec![0x30, 0]
    });
}

#[test]
fn what_is_no_certificate_is_refused() {
    for raw in [
        vec![0],
        vec![0x30, 0],
        vec![0x30, 0x80, 0, 0],
        vec![0x04, 1, 1],
        b"junk".to_vec(),
    ] {
        refused_in_each(CheckId::CertificateDer, |c| c.raw = Some(raw.clone()));
    }
    // The outline is exact: nothing may be missing or come on top.
    refused_in_each(CheckId::CertificateDer, |c| c.extensions = None);
    let identifier = Der::Primitive(0x81, vec![0, 1]);
    refused_in_each(CheckId::CertificateDer, |c| {
        c.before_extensions = vec![identifier.clone()]
    });
}

#[test]
fn r20_version_3() {
    for version in [Some(0), Some(1), Some(3)] {
        refused_in_each(CheckId::CertificateVersion, |c| c.version = version);
    }
    refused_in_each(CheckId::CertificateVersion, |c| c.version = None);
}

#[test]
fn serial_numbers_are_positive_and_bounded() {
    let id = CheckId::CertificateSerial;
    for bad in [
        vec![0],
        vec![0x80],
        vec![0xff, 0x7f],
        vec![0x7f; 21],
        [&[0][..], &[0xff; 21]].concat(),
    ] {
        refused_in_each(id, |c| c.serial = bad.clone());
    }
    for good in [vec![1], vec![0x7f; 20], [&[0][..], &[0xff; 20]].concat()] {
        accepted_in_each(|c| c.serial = good.clone());
    }
    // Padding is no serial number but no DER.
    refused_in_each(CheckId::CertificateDer, |c| c.serial = vec![0, 1]);
    refused_in_each(CheckId::CertificateDer, |c| c.serial = vec![]);
}

#[test]
fn r21_the_algorithm_is_ecdsa_with_sha384() {
    let id = CheckId::CertificateAlgorithm;
    for other in [oid::ECDSA_SHA256, oid::RSA_SHA384, oid::ED25519] {
        refused_in_each(id, |c| c.set_algorithm(&AlgorithmIdentifier::bare(other)));
    }
    refused_in_each(id, |c| {
        let parameters = Some(Der::Primitive(0x05, vec![]));
        c.set_algorithm(&AlgorithmIdentifier {
            parameters,
            ..AlgorithmIdentifier::ecdsa_sha384()
        });
    });
}

#[test]
fn r21_inner_and_outer_algorithm_are_equal() {
    let other = AlgorithmIdentifier::bare(oid::ECDSA_SHA256);
    let id = CheckId::CertificateAlgorithmMatch;
    refused_in_each(id, |c| c.inner_algorithm = other.clone());
    refused_in_each(id, |c| c.outer_algorithm = other.clone());
    refused_in_each(id, |c| {
        c.outer_algorithm.parameters = Some(Der::Primitive(0x05, vec![]))
    });
}

#[test]
fn r21_the_key_is_on_p384() {
    let id = CheckId::CertificatePublicKey;
    let key = KeyPair::insecure_from_seed(b"key");
    let p384 = || SubjectPublicKey::p384(&key);
    let mut compressed = p384();
    compressed.key.truncate(49);
    compressed.key[0] = 2;
    let mut hybrid = p384();
    hybrid.key[0] = 6;
    let mut short = p384();
    short.key.pop();
    let others = [
        SubjectPublicKey::p256(),
        SubjectPublicKey {
            parameters: Some(Der::oid(oid::P521)),
            ..p384()
        },
        SubjectPublicKey {
            parameters: None,
            ..p384()
        },
        SubjectPublicKey {
            algorithm: oid::RSA.to_vec(),
            ..p384()
        },
        compressed,
        hybrid,
        short,
    ];
    for other in others {
        refused_in_each(id, |c| c.public_key = other.clone());
    }
    // Not a point at all: found when it is used, and never a panic (R9).
    let mut off_curve = p384();
    off_curve.key[96] ^= 1;
    refused(CheckId::CoseSignature, |r| {
        r.chain.leaf.certificate.public_key = off_curve.clone()
    });
    refused(CheckId::ChainSignature, |r| {
        r.chain.zone.certificate.public_key = off_curve
    });
}

#[test]
fn r22_booleans_are_canonical() {
    let id = CheckId::CertificateBoolean;
    for byte in [0x00, 0x01, 0xfe] {
        refused_in_each(id, |c| {
            let constraints = c.extension_mut(oid::BASIC_CONSTRAINTS).unwrap();
            constraints.critical = Criticality::Byte(byte);
        });
        refused(id, |r| {
            let fields = vec![Der::boolean(byte), Der::unsigned(&[1])];
            r.chain
                .zone
                .certificate
                .set_extension(Extension::basic_constraints(fields));
        });
        // CA:FALSE is what is left out in DER.
        refused(id, |r| {
            let fields = vec![Der::boolean(byte)];
            r.chain
                .leaf
                .certificate
                .set_extension(Extension::basic_constraints(fields));
        });
    }
}

#[test]
fn r22_times_have_the_right_type_and_exist() {
    let id = CheckId::CertificateTime;
    let bad = [
        TimeField::utc_text("260230000000Z"),             // 30 February.
        TimeField::utc_text("261301000000Z"),             // Month 13.
        TimeField::utc_text("260801240000Z"),             // Hour 24.
        TimeField::utc_text("2608010000Z"),               // No seconds.
        TimeField::utc_text("260801000000+0000"),         // Not Z.
        TimeField::generalized_text("20260801000000Z"),   // UTCTime until 2049.
        TimeField::generalized_text("20500101000000.5Z"), // A fraction.
        TimeField::Raw(0x17, b"20260801000000Z".to_vec()),
        TimeField::Raw(0x18, b"260801000000Z".to_vec()),
        TimeField::Raw(0x0c, b"260801000000Z".to_vec()),
    ];
    for time in bad {
        refused_in_each(id, |c| c.not_before = time.clone());
        refused_in_each(id, |c| c.not_after = time.clone());
    }
    accepted_in_each(|c| c.not_after = TimeField::utc_text("491231235959Z"));
    accepted_in_each(|c| c.not_after = TimeField::generalized_text("20500101000000Z"));
    accepted_in_each(|c| c.not_after = TimeField::generalized_text("99991231235959Z"));
}

#[test]
fn r22_bit_strings_have_no_stray_bits() {
    let id = CheckId::CertificateBitString;
    refused_in_each(id, |c| c.signature_unused_bits = 1);
    refused_in_each(id, |c| c.signature_unused_bits = 8);
    refused_in_each(id, |c| c.public_key.unused_bits = 9);
    let usage = |value: &[u8]| Extension {
        value: value.to_vec(),
        ..Extension::key_usage(KeyUsage::KEY_CERT_SIGN, Criticality::Critical)
    };
    for value in [
        &[3, 2, 6, 0xff][..],
        &[3, 2, 0, 0x84],
        &[3, 2, 8, 0x84],
        &[3, 1, 0],
    ] {
        refused_in_each(id, |c| c.set_extension(usage(value)));
    }
}

#[test]
fn r22_asn1_tags_and_lengths_are_checked() {
    let id = CheckId::CertificateDer;
    let value = |value: &[u8]| Extension {
        value: value.to_vec(),
        ..Extension::authority(None)
    };
    for bad in [
        &[0x31, 3, 1, 1, 0xff][..],         // A SET.
        &[0x30, 0x81, 3, 1, 1, 0xff],       // A length in a longer form.
        &[0x30, 3, 1, 1, 0xff, 0],          // Something after it.
        &[0x30, 6, 1, 1, 0xff, 2, 1, 0xff], // A negative path length.
        &[0x30, 7, 1, 1, 0xff, 2, 2, 0, 1], // A padded path length.
        &[0x30, 6, 2, 1, 1, 1, 1, 0xff],    // The wrong order.
        &[],
    ] {
        refused_in_each(id, |c| c.set_extension(value(bad)));
    }
    refused_in_each(id, |c| {
        let usage = c.extension_mut(oid::KEY_USAGE).unwrap();
        usage.value = vec![4, 2, 2, 4];
    });
}

#[test]
fn signatures_in_certificates_are_der() {
    let id = CheckId::CertificateSignatureEncoding;
    for other in [
        SignatureRecipe::OtherEncoding,
        SignatureRecipe::Extended(vec![0]),
        SignatureRecipe::Truncated(90),
        SignatureRecipe::Raw(vec![]),
        SignatureRecipe::Raw(vec![0x30, 6, 2, 1, 0, 2, 1, 1]),
    ] {
        refused_in_each(id, |c| c.signature = other.clone());
    }
}

#[test]
fn no_extension_twice() {
    refused_in_each(CheckId::CertificateDuplicateExtension, |c| {
        let list = c.extensions.as_mut().unwrap();
        let again = list[0].clone();
        list.push(again);
    });
    // Two that do not matter are one too many as well (R3).
    refused_in_each(CheckId::CertificateDuplicateExtension, |c| {
        let other = Extension::not_critical(&[0x2a, 3, 4], Der::sequence(vec![]));
        let list = c.extensions.as_mut().unwrap();
        list.extend([other.clone(), other]);
    });
}

#[test]
fn no_unknown_critical_extension() {
    let id = CheckId::CertificateCriticalExtension;
    for unknown in [
        oid::NAME_CONSTRAINTS,
        oid::EXTENDED_KEY_USAGE,
        &[0x2a, 3, 4],
    ] {
        let extension = |critical| Extension {
            critical,
            ..Extension::not_critical(unknown, Der::sequence(vec![]))
        };
        refused_in_each(id, |c| c.set_extension(extension(Criticality::Critical)));
        accepted_in_each(|c| c.set_extension(extension(Criticality::NotCritical)));
    }
}

#[test]
fn r25_no_eku_and_no_host_name_are_required() {
    let without = |recipe: &DocumentRecipe| {
        let mut leaf = recipe.chain.leaf.certificate.clone();
        leaf.extension_mut(oid::EXTENDED_KEY_USAGE).is_none()
            && leaf.extension_mut(oid::SUBJECT_ALTERNATIVE_NAME).is_none()
    };
    accepted(|r| assert!(without(r)));
}
