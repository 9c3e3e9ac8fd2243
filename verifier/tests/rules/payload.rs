//! R3 to R6, R11 to R14: what the payload says.

use narthex_nsm::mock::mint::{Cbor, ContainerForm, Edit, HeadWidth};
use narthex_verifier::{CheckId, DocumentKind, PcrIndex};

use crate::support::{accepted, refused};

const OPTIONAL: [(&str, CheckId); 3] = [
    ("public_key", CheckId::PayloadPublicKey),
    ("user_data", CheckId::PayloadUserData),
    ("nonce", CheckId::PayloadNonce),
];

const MANDATORY: [(&str, CheckId); 6] = [
    ("module_id", CheckId::PayloadModuleId),
    ("digest", CheckId::PayloadDigest),
    ("timestamp", CheckId::PayloadTimestamp),
    ("pcrs", CheckId::PayloadPcrs),
    ("certificate", CheckId::PayloadCertificate),
    ("cabundle", CheckId::PayloadCabundle),
];

#[track_caller]
fn replaced(id: CheckId, key: &'static str, value: Cbor) {
    refused(id, |r| r.payload.edits.push(Edit::Replace(key, value)));
}

fn pcr_map(entries: Vec<(Cbor, Cbor)>) -> Edit {
    Edit::Replace("pcrs", Cbor::Map(entries))
}

fn register(index: u64) -> (Cbor, Cbor) {
    (Cbor::Unsigned(index), Cbor::Bytes(vec![1; 48]))
}

#[test]
fn the_payload_is_a_map_with_text_keys() {
    for other in [
        Cbor::Array(vec![]),
        Cbor::Null,
        Cbor::text("x"),
        Cbor::Unsigned(1),
    ] {
        refused(CheckId::PayloadMap, |r| {
            r.payload.raw = Some(other.to_bytes())
        });
    }
    for key in [
        Cbor::Unsigned(1),
        Cbor::Bytes(b"nonce".to_vec()),
        Cbor::Null,
    ] {
        refused(CheckId::PayloadMap, |r| {
            r.payload.edits.push(Edit::Rename("nonce", key))
        });
    }
    // A break where a definite map still has entries.
    refused(CheckId::PayloadMap, |r| {
        r.payload.form = ContainerForm::DefiniteClaiming(10);
        r.payload.trailing = vec![0xff];
    });
}

#[test]
fn the_order_of_keys_does_not_matter() {
    accepted(|r| r.payload.edits.push(Edit::Swap("module_id", "nonce")));
    accepted(|r| r.payload.edits.push(Edit::Swap("certificate", "cabundle")));
}

#[test]
fn r3_no_key_twice() {
    for (key, _) in MANDATORY.into_iter().chain(OPTIONAL) {
        refused(CheckId::PayloadDuplicateKey, |r| {
            r.payload.edits.push(Edit::Duplicate(key))
        });
    }
}

#[test]
fn r3_no_register_twice() {
    refused(CheckId::PayloadPcrDuplicate, |r| {
        r.payload
            .edits
            .push(pcr_map(vec![register(0), register(1), register(0)]));
    });
    refused(CheckId::PayloadPcrDuplicate, |r| {
        r.payload
            .edits
            .push(pcr_map(vec![register(31), register(31)]));
    });
}

#[test]
fn only_known_keys() {
    for key in ["extra", "Nonce", "", "nitrotpm", "module_id "] {
        refused(CheckId::PayloadUnknownKey, |r| {
            r.payload
                .edits
                .push(Edit::Append(Cbor::text(key), Cbor::Null));
        });
    }
}

#[test]
fn r4_nothing_follows_the_map() {
    for form in [ContainerForm::Definite, ContainerForm::Indefinite] {
        for trailing in [vec![0], vec![0xff], vec![0xf6, 0xf6]] {
            refused(CheckId::PayloadTrailingBytes, |r| {
                r.payload.form = form;
                r.payload.trailing = trailing;
            });
        }
    }
    // Fewer entries than there are: the rest is trailing, once nothing mandatory is missing.
    refused(CheckId::PayloadTrailingBytes, |r| {
        r.payload.form = ContainerForm::DefiniteClaiming(8);
    });
}

#[test]
fn r5_the_map_may_be_of_either_length_and_nothing_else() {
    accepted(|r| r.payload.form = ContainerForm::Definite);
    accepted(|r| r.payload.form = ContainerForm::Indefinite);
    refused(CheckId::CborTruncated, |r| {
        r.payload.form = ContainerForm::IndefiniteUnclosed
    });
    refused(CheckId::CborTruncated, |r| {
        r.payload.form = ContainerForm::DefiniteClaiming(10)
    });
    refused(CheckId::CborTruncated, |r| {
        r.payload.form = ContainerForm::DefiniteClaiming(1 << 60)
    });
    let id = CheckId::CborIndefiniteLength;
    refused(id, |r| r.payload.pcrs_form = ContainerForm::Indefinite);
    replaced(
        id,
        "cabundle",
        Cbor::IndefiniteArray(vec![Cbor::Bytes(vec![1])]),
    );
    replaced(
        id,
        "certificate",
        Cbor::IndefiniteBytes(vec![vec![1], vec![2]]),
    );
    replaced(
        id,
        "module_id",
        Cbor::IndefiniteText(vec!["i-1".to_owned()]),
    );
    replaced(id, "nonce", Cbor::IndefiniteBytes(vec![]));
    replaced(id, "user_data", Cbor::IndefiniteMap(vec![]));
    refused(id, |r| {
        let key = Cbor::IndefiniteText(vec!["nonce".to_owned()]);
        r.payload.edits.push(Edit::Rename("nonce", key));
    });
}

#[test]
fn r5_shortest_forms_only() {
    let id = CheckId::CborShortestForm;
    refused(id, |r| {
        r.payload.form = ContainerForm::DefiniteWide(HeadWidth::One)
    });
    refused(id, |r| {
        r.payload.pcrs_form = ContainerForm::DefiniteWide(HeadWidth::Two)
    });
    replaced(id, "timestamp", Cbor::Unsigned(1).wide(HeadWidth::Eight));
    replaced(id, "digest", Cbor::text("SHA384").wide(HeadWidth::One));
    replaced(id, "nonce", Cbor::Bytes(vec![1; 23]).wide(HeadWidth::One));
    replaced(
        id,
        "pcrs",
        Cbor::Map(vec![(Cbor::Unsigned(0).wide(HeadWidth::One), Cbor::Null)]),
    );
    refused(id, |r| {
        r.payload.edits.push(Edit::Rename(
            "nonce",
            Cbor::text("nonce").wide(HeadWidth::One),
        ));
    });
}

#[test]
fn text_is_utf_8() {
    replaced(CheckId::CborText, "module_id", Cbor::TextBytes(vec![0xff]));
    replaced(CheckId::CborText, "module_id", Cbor::TextBytes(vec![0xc3]));
    replaced(
        CheckId::CborText,
        "module_id",
        Cbor::TextBytes(vec![0xed, 0xa0, 0x80]),
    );
}

#[test]
fn r6_null_and_missing_are_absent_and_another_type_is_an_error() {
    let others = || {
        [
            Cbor::Undefined,
            Cbor::Bool(false),
            Cbor::Unsigned(0),
            Cbor::Negative(0),
            Cbor::text(""),
            Cbor::Array(vec![]),
            Cbor::Map(vec![]),
            Cbor::Tag(1, Box::new(Cbor::Null)),
        ]
    };
    for (key, id) in OPTIONAL {
        accepted(|r| r.payload.edits.push(Edit::Replace(key, Cbor::Null)));
        accepted(|r| r.payload.edits.push(Edit::Remove(key)));
        for other in others() {
            replaced(id, key, other);
        }
    }
    let missing = accepted(|r| {
        r.payload
            .edits
            .extend(OPTIONAL.map(|(key, _)| Edit::Remove(key)))
    });
    let fields = missing.fields();
    assert_eq!(
        (fields.public_key(), fields.user_data(), fields.nonce()),
        (None, None, None)
    );
    for (key, id) in MANDATORY {
        refused(id, |r| r.payload.edits.push(Edit::Remove(key)));
        replaced(id, key, Cbor::Null);
        replaced(id, key, Cbor::Bool(true));
    }
}

#[test]
fn r11_module_id_is_not_empty() {
    let id = CheckId::PayloadModuleId;
    replaced(id, "module_id", Cbor::text(""));
    replaced(id, "module_id", Cbor::Bytes(b"i-1-enc1".to_vec()));
    let verified = accepted(|r| r.payload.module_id = "x".to_owned());
    assert_eq!(verified.fields().module_id(), "x");
    assert_eq!(verified.fields().instance_id(), None);
}

#[test]
fn r11_digest_is_sha384() {
    for other in ["SHA256", "SHA512", "sha384", "SHA-384", ""] {
        refused(CheckId::PayloadDigest, |r| {
            r.payload.digest = other.to_owned()
        });
    }
    replaced(
        CheckId::PayloadDigest,
        "digest",
        Cbor::Bytes(b"SHA384".to_vec()),
    );
}

#[test]
fn r11_timestamp_is_a_positive_integer() {
    let id = CheckId::PayloadTimestamp;
    refused(id, |r| r.payload.timestamp = 0.into());
    replaced(id, "timestamp", Cbor::Negative(0));
    replaced(id, "timestamp", Cbor::text("1"));
    replaced(
        id,
        "timestamp",
        Cbor::Raw(vec![0xfb, 0x40, 0, 0, 0, 0, 0, 0, 0]),
    );
    for good in [1, u64::MAX] {
        assert_eq!(
            accepted(|r| r.payload.timestamp = good.into())
                .fields()
                .timestamp()
                .as_millis(),
            good
        );
    }
}

#[test]
fn r11_pcrs_is_a_map_of_1_to_32() {
    replaced(CheckId::PayloadPcrs, "pcrs", Cbor::Array(vec![]));
    refused(CheckId::PayloadPcrCount, |r| r.payload.pcrs.clear());
    let all = |count: u64| (0..count).map(register).collect::<Vec<_>>();
    refused(CheckId::PayloadPcrCount, |r| {
        r.payload.edits.push(pcr_map(all(33)))
    });
    refused(CheckId::PayloadPcrCount, |r| {
        r.payload.pcrs_form = ContainerForm::DefiniteClaiming(1 << 40);
    });
    let verified = accepted(|r| r.payload.edits.push(pcr_map(all(32))));
    assert_eq!(verified.fields().pcrs().count(), 32);
    let verified = accepted(|r| r.payload.edits.push(pcr_map(all(1))));
    assert_eq!(verified.fields().pcrs().count(), 1);
}

#[test]
fn r11_indices_are_0_to_31() {
    let id = CheckId::PayloadPcrIndex;
    let one = |index: Cbor| pcr_map(vec![(index, Cbor::Bytes(vec![1; 48]))]);
    for bad in [
        Cbor::Unsigned(32),
        Cbor::Unsigned(255),
        Cbor::Unsigned(256),
        Cbor::Unsigned(u64::MAX),
        Cbor::Negative(0),
        Cbor::text("0"),
        Cbor::Null,
    ] {
        refused(id, |r| r.payload.edits.push(one(bad)));
    }
    let verified = accepted(|r| r.payload.edits.push(one(Cbor::Unsigned(31))));
    assert_eq!(
        verified.fields().pcr(PcrIndex::new(31).unwrap()),
        Some(&[1; 48][..])
    );
    assert_eq!(verified.fields().pcr(PcrIndex::IMAGE), None);
}

#[test]
fn r11_registers_have_32_48_or_64_bytes() {
    for size in [0, 1, 31, 33, 47, 49, 63, 65, 1024] {
        refused(CheckId::PayloadPcrSize, |r| {
            r.payload.set_pcr(0, &vec![1; size])
        });
    }
    for size in [32, 48, 64] {
        let verified = accepted(|r| r.payload.set_pcr(0, &vec![1; size]));
        assert_eq!(verified.fields().pcr(PcrIndex::IMAGE).unwrap().len(), size);
    }
    refused(CheckId::PayloadPcrSize, |r| {
        r.payload
            .edits
            .push(pcr_map(vec![(Cbor::Unsigned(0), Cbor::Null)]));
    });
}

#[test]
fn r12_registers_may_be_sparse_and_in_any_order() {
    let verified = accepted(|r| {
        r.payload
            .edits
            .push(pcr_map([31, 0, 8, 4].map(register).to_vec()));
    });
    let indices: Vec<u8> = verified
        .fields()
        .pcrs()
        .map(|(index, _)| index.as_u8())
        .collect();
    assert_eq!(indices, [0, 4, 8, 31]);
}

#[test]
fn r11_certificate_has_1_to_1024_bytes() {
    let id = CheckId::PayloadCertificate;
    refused(id, |r| r.payload.certificate = Some(vec![]));
    refused(id, |r| r.payload.certificate = Some(vec![0x30; 1025]));
    replaced(id, "certificate", Cbor::text("x"));
    // Inside the limits it is read, and found to be none.
    refused(CheckId::CertificateDer, |r| {
        r.payload.certificate = Some(vec![0x30; 1024])
    });
    refused(CheckId::CertificateDer, |r| {
        r.payload.certificate = Some(vec![0x30])
    });
}

#[test]
fn r11_cabundle_has_certificates_of_1_to_1024_bytes() {
    let id = CheckId::PayloadCabundleSize;
    refused(id, |r| r.payload.cabundle = Some(vec![vec![]]));
    refused(id, |r| {
        r.payload.cabundle = Some(vec![vec![1; 1024], vec![1; 1025]])
    });
    refused(CheckId::ChainRoot, |r| {
        r.payload.cabundle = Some(vec![vec![1; 1024]])
    });
    replaced(CheckId::PayloadCabundle, "cabundle", Cbor::Bytes(vec![]));
    replaced(
        CheckId::PayloadCabundle,
        "cabundle",
        Cbor::Array(vec![Cbor::text("x")]),
    );
}

#[test]
fn r17_cabundle_is_not_empty_and_is_bounded() {
    let id = CheckId::PayloadCabundleCount;
    refused(id, |r| r.payload.cabundle = Some(vec![]));
    refused(id, |r| r.payload.cabundle = Some(vec![vec![1]; 9]));
    replaced(id, "cabundle", Cbor::Head(4, u64::MAX));
    refused(CheckId::ChainRoot, |r| {
        r.payload.cabundle = Some(vec![vec![1]; 8])
    });
}

#[test]
fn r13_an_absent_public_key_is_accepted_and_an_empty_one_is_absent() {
    assert_eq!(
        accepted(|r| r.payload.public_key = None)
            .fields()
            .public_key(),
        None
    );
    assert_eq!(
        accepted(|r| r.payload.public_key = Some(vec![]))
            .fields()
            .public_key(),
        None
    );
    let one = accepted(|r| r.payload.public_key = Some(vec![7]));
    assert_eq!(one.fields().public_key(), Some(&[7][..]));
}

#[test]
fn r14_optional_fields_have_at_most_1024_bytes() {
    for (key, id) in OPTIONAL {
        for size in [0, 1, 512, 513, 1024] {
            accepted(|r| {
                r.payload
                    .edits
                    .push(Edit::Replace(key, Cbor::Bytes(vec![7; size])))
            });
        }
        for size in [1025, 4050] {
            replaced(id, key, Cbor::Bytes(vec![7; size]));
        }
    }
    let empty = accepted(|r| {
        r.payload.user_data = Some(vec![]);
        r.payload.nonce = Some(vec![]);
    });
    assert_eq!(empty.fields().user_data(), Some(&[][..]));
    assert_eq!(empty.fields().nonce(), Some(&[][..]));
}

#[test]
fn nitrotpm_registers_are_another_kind_of_document() {
    let key = Cbor::text("nitrotpm_pcrs");
    let verified = accepted(|r| r.payload.edits.push(Edit::Rename("pcrs", key.clone())));
    assert_eq!(verified.fields().kind(), DocumentKind::NitroTpm);
    refused(CheckId::PayloadPcrs, |r| {
        r.payload
            .edits
            .push(Edit::Append(key.clone(), Cbor::Map(vec![register(0)])));
    });
}
