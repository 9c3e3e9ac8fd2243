//! Agreement with the room that checks proofs: what a bundle may name, that room can use.

#![allow(clippy::indexing_slicing, clippy::unwrap_used)] // Tests say by panicking.

use narthex_ledger as ledger;
use narthex_policy::{MAX_WITNESSES, VerifierKey, VerifierKind};

use ledger::{Checkpoint, Hash, KeyKind, MAX_EXTRA, MAX_PROOF, Proof, SigningKey, Trust};

/// The longest name that a bundle may give to a key, made different by `number`.
fn longest_name(number: usize) -> String {
    let beginning = format!("witness-{number}.example/");
    format!("{beginning:x<128}")
}

fn parsed(key: &SigningKey) -> ledger::VerifierKey {
    let text = key.verifier_key().to_string();
    let here = VerifierKey::parse(&text).unwrap();
    let there = ledger::VerifierKey::parse(here.as_str()).unwrap();
    assert_eq!(here.name(), there.name());
    assert_eq!(here.key().first(), Some(&there.kind().byte()));
    assert_eq!(here.key().get(1..), Some(there.public_key().as_slice()));
    there
}

/// A small generator: the same texts in every run.
struct Xorshift(u64);

impl Xorshift {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(bound).unwrap()).unwrap()
    }
}

#[test]
fn a_key_that_a_bundle_may_name_can_be_used() {
    let mut random = Xorshift(0x9e37_79b9_7f4a_7c15);
    let mut accepted = 0;
    for kind in [KeyKind::Log, KeyKind::Witness] {
        for length in 0..16 {
            let key = SigningKey::generate(&longest_name(length), kind).unwrap();
            let there = parsed(&key);
            let text = there.to_string();
            let here = VerifierKey::parse(&text).unwrap();
            let expected = match kind {
                KeyKind::Log => VerifierKind::Log,
                KeyKind::Witness => VerifierKind::Witness,
            };
            assert_eq!(here.kind(), expected);
            for _ in 0..500 {
                let mut bytes = text.clone().into_bytes();
                for _ in 0..=random.below(2) {
                    let at = random.below(bytes.len());
                    bytes[at] = b"+=/ \"\\aZ09\n"[random.below(11)];
                }
                let changed = String::from_utf8(bytes).unwrap();
                if VerifierKey::parse(&changed).is_ok() {
                    accepted += 1;
                    let read = ledger::VerifierKey::parse(&changed).unwrap();
                    assert_eq!(read.to_string(), changed);
                }
            }
        }
    }
    assert!(accepted > 0, "some changes change nothing");
}

/// The bounds on witnesses and names are there so that no bundle makes proofs that nobody reads.
#[test]
fn a_proof_with_every_cosignature_is_not_too_long() {
    let log = SigningKey::generate(&longest_name(0), KeyKind::Log).unwrap();
    let witnesses: Vec<_> = (1..=MAX_WITNESSES)
        .map(|number| SigningKey::generate(&longest_name(number), KeyKind::Witness).unwrap())
        .collect();
    let trust = Trust::new(
        parsed(&log),
        witnesses.iter().map(parsed).collect(),
        MAX_WITNESSES,
    )
    .unwrap();
    let checkpoint = Checkpoint {
        origin: log.name().to_owned(),
        size: ledger::MAX_SIZE,
        root: Hash([7; 32]),
    };
    let mut note = ledger::sign_checkpoint(&checkpoint, &log).unwrap();
    for witness in &witnesses {
        note.add(ledger::cosign(&note, witness, 1_795_262_400).unwrap())
            .unwrap();
    }
    let text = note.to_string();
    trust
        .check(&ledger::SignedNote::parse(&text).unwrap())
        .unwrap();
    let proof = Proof {
        extra: Some(vec![b'x'; MAX_EXTRA]),
        index: ledger::MAX_SIZE - 1,
        hashes: vec![Hash([9; 32]); MAX_PROOF],
        checkpoint: note,
    };
    let text = proof.to_string();
    assert_eq!(Proof::parse(&text), Ok(proof));
    // And some room to spare.
    assert!(text.len() < 24 * 1024, "{} bytes", text.len());
}

/// Names that mean something in the text of a trust policy, and names that look like it.
#[test]
fn a_bundle_names_nobody_whom_a_trust_policy_cannot_name() {
    let log = SigningKey::generate("log.example", KeyKind::Log).unwrap();
    for name in [
        "none", "quorum", "quorum_", "witness", "log", "group", "any", "all", "2", "#", "#none",
        "None", "NONE", "-", "a/b", "..", "[", "'", "\u{7e}",
    ] {
        let witness = SigningKey::generate(name, KeyKind::Witness).unwrap();
        let text = witness.verifier_key().to_string();
        if VerifierKey::parse_witness(&text).is_err() {
            assert_eq!(name, "none", "refused without need");
            continue;
        }
        let trust = Trust::new(log.verifier_key(), vec![witness.verifier_key()], 1).unwrap_or_else(
            |error| panic!("a bundle may name {name:?}, and no agent takes it: {error}"),
        );
        assert_eq!(
            Trust::parse_policy(&trust.to_string()).unwrap(),
            trust,
            "{name}"
        );
    }
}
