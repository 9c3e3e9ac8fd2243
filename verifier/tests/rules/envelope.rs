//! R1 to R5, R7, R10: the envelope.

use narthex_nsm::mock::mint::{Cbor, ContainerForm, HeadWidth, KeyPair, SignatureRecipe};
use narthex_verifier::limits::{MAX_DOCUMENT_BYTES, MAX_PAYLOAD_BYTES};
use narthex_verifier::{AttestationDocument, CheckId, Outcome};

use crate::support::{accepted, changed, correct, refused, refused_bytes, verify};

#[test]
fn a_correct_document_is_verified() {
    let verified = accepted(|_| {});
    assert_eq!(verified.anchor().id(), "custom");
    let ids = [
        CheckId::CoseSignature,
        CheckId::ChainSignature,
        CheckId::ChainRoot,
    ];
    for id in ids {
        assert_eq!(verified.report().outcome(id), Outcome::Pass);
    }
    assert_eq!(
        verified.report().outcome(CheckId::DocumentDebug),
        Outcome::NotReached
    );
}

#[test]
fn r1_a_bad_signature_is_an_error() {
    refused(CheckId::CoseSignature, |r| {
        r.envelope.signature = SignatureRecipe::Corrupted
    });
    refused(CheckId::CoseSignature, |r| {
        r.envelope.signature = SignatureRecipe::OverSha256
    });
    refused(CheckId::CoseSignature, |r| {
        r.envelope.signature = SignatureRecipe::By(KeyPair::insecure_from_seed(b"another"));
    });
    refused(CheckId::CoseSignature, |r| {
        r.envelope.signature = SignatureRecipe::Raw(vec![0; 96]);
    });
}

#[test]
fn both_halves_of_s_are_signatures() {
    accepted(|r| r.envelope.signature = SignatureRecipe::LowS);
    accepted(|r| r.envelope.signature = SignatureRecipe::HighS);
}

#[test]
fn r2_tag_18_or_no_tag() {
    accepted(|r| r.envelope.tags = vec![18]);
    for tags in [vec![17], vec![19], vec![98], vec![18, 18], vec![55_799, 18]] {
        refused(CheckId::CoseTag, |r| r.envelope.tags = tags);
    }
}

#[test]
fn r2_the_envelope_is_an_array_of_four() {
    refused(CheckId::CoseStructure, |r| {
        r.envelope.extra_items = vec![Cbor::Null]
    });
    refused(CheckId::CoseStructure, |r| {
        r.envelope.form = ContainerForm::DefiniteClaiming(3)
    });
    refused_bytes(CheckId::CoseStructure, &Cbor::text("hello").to_bytes());
    refused_bytes(CheckId::CborTruncated, b"hello");
    refused_bytes(CheckId::CoseStructure, &Cbor::Map(vec![]).to_bytes());
}

#[test]
fn r2_the_protected_header_is_es384_and_nothing_else() {
    let alg = |value: Cbor| vec![(Cbor::Unsigned(1), value)];
    for other in [
        Cbor::Negative(6),  // ES256.
        Cbor::Negative(35), // ES512.
        Cbor::Unsigned(34),
        Cbor::text("ES384"),
    ] {
        refused(CheckId::CoseAlgorithm, |r| {
            r.envelope.set_protected_map(alg(other))
        });
    }
    refused(CheckId::CoseAlgorithm, |r| {
        r.envelope.set_protected_map(vec![])
    });
    let es384 = || alg(Cbor::Negative(34));
    for more in [
        (Cbor::Unsigned(4), Cbor::Bytes(b"kid".to_vec())),
        (Cbor::Unsigned(2), Cbor::Array(vec![Cbor::Unsigned(1)])),
        (Cbor::text("x"), Cbor::Null),
    ] {
        refused(CheckId::CoseProtected, |r| {
            r.envelope.set_protected_map([es384(), vec![more]].concat());
        });
    }
    refused(CheckId::CoseProtected, |r| {
        r.envelope.protected = Cbor::Bytes([0xa1, 0x01, 0x38, 0x22, 0x00].to_vec());
    });
    for other in [Cbor::Null, Cbor::Map(es384()), Cbor::text("a")] {
        refused(CheckId::CoseProtected, |r| r.envelope.protected = other);
    }
    refused(CheckId::CoseProtected, |r| {
        r.envelope.protected = Cbor::Bytes(vec![0x01])
    });
}

#[test]
fn r2_the_unprotected_header_is_an_empty_map() {
    for other in [
        Cbor::Null,
        Cbor::Bytes(vec![]),
        Cbor::Map(vec![(Cbor::Unsigned(1), Cbor::Negative(34))]),
    ] {
        refused(CheckId::CoseUnprotected, |r| r.envelope.unprotected = other);
    }
}

#[test]
fn r3_no_label_twice() {
    let alg = (Cbor::Unsigned(1), Cbor::Negative(34));
    refused(CheckId::CoseDuplicateLabel, |r| {
        r.envelope.set_protected_map(vec![alg.clone(), alg]);
    });
}

#[test]
fn r4_nothing_follows_the_envelope() {
    for trailing in [vec![0], vec![0xf6; 3], vec![0xff]] {
        refused(CheckId::CoseTrailingBytes, |r| {
            r.envelope.trailing = trailing
        });
    }
}

#[test]
fn r5_other_indefinite_lengths_are_refused() {
    let id = CheckId::CborIndefiniteLength;
    refused(id, |r| r.envelope.form = ContainerForm::Indefinite);
    refused(id, |r| {
        r.envelope.protected = Cbor::IndefiniteBytes(vec![vec![0xa1, 1, 0x38, 0x22]]);
    });
    refused(id, |r| {
        r.envelope.protected = Cbor::Bytes(vec![0xbf, 1, 0x38, 0x22, 0xff])
    });
    refused(id, |r| r.envelope.unprotected = Cbor::IndefiniteMap(vec![]));
    refused(id, |r| {
        r.envelope.payload_item = Some(Cbor::IndefiniteBytes(vec![vec![0; 20]]))
    });
    refused(id, |r| {
        r.envelope.signature_item = Some(Cbor::IndefiniteBytes(vec![vec![0; 96]]))
    });
}

#[test]
fn r5_longer_forms_are_refused() {
    let id = CheckId::CborShortestForm;
    refused(id, |r| {
        r.envelope.form = ContainerForm::DefiniteWide(HeadWidth::One)
    });
    refused(id, |r| {
        let wide = Cbor::Bytes(vec![0xa1, 1, 0x38, 0x22]).wide(HeadWidth::Two);
        r.envelope.protected = wide;
    });
    refused(id, |r| {
        r.envelope.protected = Cbor::Bytes(vec![0xa1, 1, 0x39, 0x00, 0x22]);
    });
    refused(id, |r| {
        r.envelope.unprotected = Cbor::Map(vec![]).wide(HeadWidth::Eight)
    });
}

#[test]
fn r5_reserved_heads_are_refused() {
    for information in 28..=30_u8 {
        for major in 0..8_u8 {
            let head = (major << 5) | information;
            refused_bytes(CheckId::CborReserved, &[head]);
            refused(CheckId::CborReserved, |r| {
                r.envelope.unprotected = Cbor::Raw(vec![head])
            });
        }
    }
}

#[test]
fn r7_size_is_bounded_before_anything_is_read() {
    refused_bytes(CheckId::DocumentSize, &[]);
    refused_bytes(CheckId::DocumentSize, &vec![0x84; MAX_DOCUMENT_BYTES + 1]);
    // At the limit the bytes are looked at.
    refused_bytes(CheckId::CoseProtected, &vec![0x84; MAX_DOCUMENT_BYTES]);
    assert_eq!(MAX_DOCUMENT_BYTES, 16_512);
}

#[test]
fn r7_lengths_are_not_believed() {
    for head in [
        &[0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff][..],
        &[0x5a, 0x7f, 0, 0, 0],
    ] {
        refused(CheckId::CborTruncated, |r| {
            r.envelope.payload_item = Some(Cbor::Raw(head.to_vec()));
        });
    }
    for head in [0x9b_u8, 0xbb] {
        let mut bytes = vec![head];
        bytes.extend([0xff; 8]);
        refused_bytes(CheckId::CoseStructure, &bytes);
    }
}

#[test]
fn r7_nesting_is_refused_where_it_begins() {
    // 16,000 arrays, maps or tags, one in another: no recursion, no allocation, one look.
    for (head, id) in [
        (0x81, CheckId::CoseStructure),
        (0xa1, CheckId::CoseStructure),
        (0xc6, CheckId::CoseTag),
        (0xd2, CheckId::CoseTag),
    ] {
        refused_bytes(id, &vec![head; 16_000]);
    }
}

#[test]
fn the_payload_is_a_byte_string() {
    for other in [Cbor::Null, Cbor::text("payload"), Cbor::Map(vec![])] {
        refused(CheckId::CosePayload, |r| {
            r.envelope.payload_item = Some(other)
        });
    }
}

#[test]
fn the_payload_has_1_to_16384_bytes() {
    let sized = |size: usize| changed(|r| r.payload.raw = Some(vec![0xbf; size]));
    refused_bytes(CheckId::CosePayloadSize, &sized(0));
    // Inside the limits the payload is read, and found to be none.
    refused_bytes(CheckId::CborTruncated, &sized(1));
    refused_bytes(CheckId::CborIndefiniteLength, &sized(16_384));
    refused_bytes(CheckId::CosePayloadSize, &sized(16_385));
    assert_eq!(MAX_PAYLOAD_BYTES, 16_384);
}

#[test]
fn the_signature_has_96_bytes() {
    for other in [
        SignatureRecipe::Truncated(95),
        SignatureRecipe::Extended(vec![0]),
        SignatureRecipe::OtherEncoding,
        SignatureRecipe::Raw(vec![]),
        SignatureRecipe::Raw(vec![1; 64]),
    ] {
        refused(CheckId::CoseSignatureSize, |r| r.envelope.signature = other);
    }
    refused(CheckId::CoseSignatureSize, |r| {
        r.envelope.signature_item = Some(Cbor::Null)
    });
}

#[test]
fn r9_what_ends_early_is_refused_at_every_length() {
    let bytes = correct().mint();
    for length in 0..bytes.len() {
        let refusal = AttestationDocument::parse(&bytes[..length]).unwrap_err();
        let expected = if length == 0 {
            CheckId::DocumentSize
        } else {
            CheckId::CborTruncated
        };
        assert_eq!(refusal.reason(), expected, "cut at {length}");
    }
    assert!(verify(&bytes, narthex_verifier::Backend::default()).is_ok());
}

#[test]
fn r10_the_signature_covers_the_received_bytes() {
    let id = CheckId::CoseSignature;
    // The same map in another order of the same header, re-encoded, would be the same bytes here;
    // so sign something else than what is sent, in each of the four places.
    refused(id, |r| r.envelope.context = "Signature".to_owned());
    refused(id, |r| {
        r.envelope.signed_protected = Some(vec![0xa1, 0x01, 0x38, 0x23])
    });
    refused(id, |r| r.envelope.signed_protected = Some(vec![]));
    refused(id, |r| r.envelope.external_data = vec![0]);
    let other = correct()
        .mint_parts()
        .payload
        .iter()
        .rev()
        .copied()
        .collect();
    refused(id, |r| r.envelope.signed_payload = Some(other));
    // A payload in another encoding than ours is verified as it came.
    accepted(|r| r.payload.form = ContainerForm::Definite);
    accepted(|r| r.payload.form = ContainerForm::Indefinite);
}
