//! Keys as text, and what they sign.

use base64ct::{Base64, Encoding as _};
use narthex_ledger::{KeyKind, NoteSignature, SignedNote, SigningKey, VerifierKey};
use signed_note::{Signer as _, Verifier as _};

use crate::support::{ORIGIN, Random, World, id, seed};

/// The example of Go's `golang.org/x/mod/sumdb/note`.
const SIGNER: &str =
    "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
const VERIFIER: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const NOTE: &str = "If you think cryptography is the answer to your problem,\n\
    then you don't know what your problem is.\n\n\
    — PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

#[test]
fn the_example_of_go_is_read_verified_and_written() {
    let signer = SigningKey::parse(SIGNER).unwrap();
    assert_eq!(*signer.to_text(), SIGNER);
    assert_eq!(signer.verifier_key().to_string(), VERIFIER);
    let verifier = VerifierKey::parse(VERIFIER).unwrap();
    assert_eq!(verifier, signer.verifier_key());
    assert_eq!(verifier.key_id(), [0xc7, 0x4f, 0x20, 0xa3]);
    assert_eq!(verifier.kind(), KeyKind::Log);
    let note = SignedNote::parse(NOTE).unwrap();
    assert_eq!(
        verifier.verify(note.text(), &note.signatures()[0]).unwrap(),
        None
    );
    assert_eq!(note.to_string(), NOTE);
    // A file ends with a newline; two are too many.
    assert!(SigningKey::parse(&format!("{SIGNER}\n")).is_ok());
    assert!(SigningKey::parse(&format!("{SIGNER}\n\n")).is_err());
}

#[test]
fn signed_note_reads_our_keys_and_verifies_what_they_sign() {
    let world = World::new(0, 0);
    let text = world.log.to_text();
    let theirs = signed_note::StandardSigner::new(&text).unwrap();
    assert_eq!(theirs.name(), ORIGIN);
    let key = world.log.verifier_key();
    assert_eq!(theirs.key_id().to_be_bytes(), key.key_id());
    let verifier = signed_note::StandardVerifier::new(&key.to_string()).unwrap();
    // They sign, we verify; we sign, they verify. Ed25519 gives the same bytes.
    let head = crate::support::Tree::new(3);
    let note = world.checkpoint(&head, 3, &[]);
    let line = &note.signatures()[0];
    assert_eq!(
        theirs.sign(note.text().as_bytes()).unwrap(),
        line.signature()
    );
    assert!(verifier.verify(note.text().as_bytes(), line.signature()));
}

#[test]
fn keys_with_any_character_changed_are_refused() {
    for text in [SIGNER, VERIFIER] {
        for place in 0..text.len() {
            for other in ["A", "+", "0", "=", " ", "\n", "\u{e4}", ""] {
                let mut changed = text.to_owned();
                changed.replace_range(place..=place, other);
                if changed == text {
                    continue;
                }
                assert!(SigningKey::parse(&changed).is_err(), "{changed:?}");
                assert!(VerifierKey::parse(&changed).is_err(), "{changed:?}");
            }
        }
    }
}

/// A verifier key with whatever bytes, and the hash that belongs to them.
fn verifier_text(name: &str, bytes: &[u8]) -> String {
    use sha2::Digest as _;
    let digest = sha2::Sha256::new()
        .chain_update(name)
        .chain_update(b"\n")
        .chain_update(bytes)
        .finalize();
    format!(
        "{name}+{}+{}",
        hex::encode(&digest[..4]),
        Base64::encode_string(bytes)
    )
}

#[test]
fn keys_that_cannot_be_used_are_refused() {
    let world = World::new(1, 1);
    let good = *world.log.verifier_key().public_key();
    let with_type = |kind: u8| [&[kind], &good[..]].concat();
    assert!(VerifierKey::parse(&verifier_text("a", &with_type(1))).is_ok());
    assert!(VerifierKey::parse(&verifier_text("a", &with_type(4))).is_ok());
    for kind in (0..=255).filter(|kind| ![1, 4].contains(kind)) {
        let text = verifier_text("a", &with_type(kind));
        assert_eq!(id(VerifierKey::parse(&text)), "log.key");
    }
    for bytes in [
        &[1][..],
        &good,
        &[&[1], &good[..31]].concat(),
        &[&with_type(1)[..], &[0]].concat(),
    ] {
        assert_eq!(
            id(VerifierKey::parse(&verifier_text("a", bytes))),
            "log.key"
        );
    }
    // Points of small order: the neutral element, and one of order two.
    for y in [
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0000000000000000000000000000000000000000000000000000000000000000",
    ] {
        let bytes = [vec![1], hex::decode(y).unwrap()].concat();
        assert_eq!(
            id(VerifierKey::parse(&verifier_text("a", &bytes))),
            "log.key"
        );
    }
    for name in [
        "",
        "a b",
        "a\u{a0}b",
        "a\u{2003}b",
        "a\u{85}b",
        "a\tb",
        "a\nb",
        "a\u{7f}",
        "a\u{9b}31m",
    ] {
        let text = verifier_text(name, &with_type(1));
        assert_eq!(id(VerifierKey::parse(&text)), "log.key", "{name:?}");
        assert_eq!(id(SigningKey::generate(name, KeyKind::Log)), "log.key");
    }
    assert_eq!(id(SigningKey::generate("a+b", KeyKind::Log)), "log.key");
    assert_eq!(
        id(SigningKey::generate(&"a".repeat(256), KeyKind::Log)),
        "log.key"
    );
    assert!(SigningKey::generate(&"a".repeat(255), KeyKind::Log).is_ok());
    assert!(SigningKey::generate("müller.example/log", KeyKind::Log).is_ok());
}

#[test]
fn a_private_key_is_not_shown_by_debug_or_in_errors() {
    let key = SigningKey::generate("a", KeyKind::Witness).unwrap();
    let text = key.to_text();
    let secret = text.splitn(5, '+').last().unwrap();
    assert!(!format!("{key:?}").contains(secret));
    for spoiled in [
        text.replacen("+a+", "+b+", 1),
        text.replacen("PRIVATE", "private", 1),
    ] {
        let error = SigningKey::parse(&spoiled).unwrap_err();
        assert!(!format!("{error} {error:?}").contains(secret));
    }
    assert_eq!(SigningKey::parse(&text).unwrap().kind(), KeyKind::Witness);
    assert_ne!(
        *SigningKey::generate("a", KeyKind::Witness)
            .unwrap()
            .to_text(),
        *text
    );
}

#[test]
fn a_signature_with_any_bit_changed_does_not_hold() {
    let world = World::new(1, 1);
    let tree = crate::support::Tree::new(3);
    let note = world.checkpoint(&tree, 3, &[(0, 1_700_000_000)]);
    let keys = [world.log.verifier_key(), world.witnesses[0].verifier_key()];
    for (line, key) in note.signatures().iter().zip(&keys) {
        key.verify(note.text(), line).unwrap();
        let bytes = [&line.key_id()[..], line.signature()].concat();
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let changed = signature_line(line.name(), &changed);
            assert_eq!(id(key.verify(note.text(), &changed)), "log.signature");
        }
        let mut random = Random(21);
        for _ in 0..200 {
            let mut text = note.text().as_bytes().to_vec();
            let place = usize::try_from(random.below(text.len() as u64)).unwrap();
            text[place] ^= 1;
            let text = String::from_utf8(text).unwrap();
            assert_eq!(id(key.verify(&text, line)), "log.signature");
        }
        for length in [1, 63, 64, 65, 71, 72, 73] {
            let changed = signature_line(
                line.name(),
                &[&line.key_id()[..], &vec![1; length]].concat(),
            );
            assert_eq!(id(key.verify(note.text(), &changed)), "log.signature");
        }
        let renamed = signature_line("somebody", &bytes);
        assert_eq!(id(key.verify(note.text(), &renamed)), "log.signature");
    }
}

fn signature_line(name: &str, bytes: &[u8]) -> NoteSignature {
    NoteSignature::parse(&format!("— {name} {}", Base64::encode_string(bytes))).unwrap()
}

#[test]
fn a_second_encoding_of_a_signature_does_not_hold() {
    // S and S + L are the same number to a careless verifier.
    let order =
        hex::decode("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010").unwrap();
    let world = World::new(0, 0);
    let note = world.checkpoint(&crate::support::Tree::new(1), 1, &[]);
    let line = &note.signatures()[0];
    let mut bytes = [&line.key_id()[..], line.signature()].concat();
    let mut carry = 0_u16;
    for (byte, add) in bytes[36..].iter_mut().zip(&order) {
        carry += u16::from(*byte) + u16::from(*add);
        *byte = carry.to_be_bytes()[1];
        carry >>= 8;
    }
    assert_eq!(carry, 0);
    let changed = signature_line(ORIGIN, &bytes);
    assert_eq!(
        id(world.log.verifier_key().verify(note.text(), &changed)),
        "log.signature"
    );
}

#[test]
fn the_two_uses_of_one_key_are_two_keys() {
    let log = SigningKey::generate("same", KeyKind::Log).unwrap();
    let seed = seed(&log.to_text());
    let as_witness = [&[4], &log.verifier_key().public_key()[..]].concat();
    let witness = VerifierKey::parse(&verifier_text("same", &as_witness)).unwrap();
    assert_eq!(seed.len(), 33);
    assert_eq!(witness.public_key(), log.verifier_key().public_key());
    assert_ne!(witness.key_id(), log.verifier_key().key_id());
    // Only a line that says the right id is even looked at.
    let line = signature_line(
        "same",
        &[&log.verifier_key().key_id()[..], &[0; 72]].concat(),
    );
    assert!(!witness.claims(&line));
}
