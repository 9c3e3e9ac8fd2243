//! Checkpoints and cosignatures as bytes, compared with `tlog_tiles`.

use narthex_ledger::{
    Checkpoint, Hash, KeyKind, MAX_SIZE, SignedNote, SigningKey, cosign, sign_checkpoint,
};

use crate::support::{ORIGIN, Random, Tree, World, id};

const ROOT: &str = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=";

#[test]
fn the_example_of_the_format_is_read_and_written() {
    let text = format!("example.com/behind-the-sofa\n20852163\n{ROOT}\n");
    let head = Checkpoint::parse(&text).unwrap();
    assert_eq!(head.origin, "example.com/behind-the-sofa");
    assert_eq!(head.size, 20_852_163);
    assert_eq!(head.root.to_base64(), ROOT);
    assert_eq!(head.to_text(), text);
    // Extension lines are passed over, and not written.
    let extended = Checkpoint::parse(&format!("{text}more\nand more\n")).unwrap();
    assert_eq!(extended, head);
    // Any origin that is one: the format only recommends its form.
    for origin in ["a b", "a+b", "ä", " "] {
        let text = format!("{origin}\n0\n{ROOT}\n");
        assert_eq!(Checkpoint::parse(&text).unwrap().origin, origin);
    }
}

#[test]
fn what_is_no_checkpoint_is_refused() {
    let long = "a".repeat(256);
    for text in [
        String::new(),
        "\n".into(),
        "a\n".into(),
        "a\n1\n".into(),
        format!("a\n1\n{ROOT}"),
        format!("\n1\n{ROOT}\n"),
        format!("a\n\n{ROOT}\n"),
        "a\n1\n\n".into(),
        format!("a\n1\n{ROOT}\n\n"),
        format!("a\n1\n{ROOT}\n\nmore\n"),
        format!("a\n01\n{ROOT}\n"),
        format!("a\n00\n{ROOT}\n"),
        format!("a\n+1\n{ROOT}\n"),
        format!("a\n-1\n{ROOT}\n"),
        format!("a\n 1\n{ROOT}\n"),
        format!("a\n1 \n{ROOT}\n"),
        format!("a\n0x1\n{ROOT}\n"),
        format!("a\n1e3\n{ROOT}\n"),
        format!("a\n٣\n{ROOT}\n"),
        format!("a\n{}\n{ROOT}\n", MAX_SIZE + 1),
        format!("a\n{}\n{ROOT}\n", u64::MAX),
        format!("a\n18446744073709551616\n{ROOT}\n"),
        format!("a\n{}\n{ROOT}\n", "9".repeat(5000)),
        "a\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2J=\n".into(), // Stray bits.
        "a\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I\n".into(),
        "a\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxqw==\n".into(), // 31 bytes.
        "a\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2IA\n".into(), // 33 bytes.
        "a\n1\nCsUYapGGPo4dkMgIAUqom_Xajj7h2fB2MPA3j2jxq2I=\n".into(),
        format!("a\n1\n {ROOT}\n"),
        format!("a\n1\n{ROOT}{ROOT}\n"),
        format!("{long}\n1\n{ROOT}\n"),
        format!("a\r\n1\r\n{ROOT}\r\n"),
    ] {
        assert_eq!(id(Checkpoint::parse(&text)), "log.malformed", "{text:?}");
    }
    assert_eq!(
        Checkpoint::parse(&format!("a\n{MAX_SIZE}\n{ROOT}\n"))
            .unwrap()
            .size,
        MAX_SIZE
    );
}

#[test]
fn tlog_tiles_reads_the_same_in_mutilated_checkpoints() {
    let original = format!("log.example/a\n20852163\n{ROOT}\n");
    let mut random = Random(41);
    let pieces = ["\n", "\n\n", " ", "0", "9", "=", "A", "x", "ä", "B="];
    let mut read = 0;
    for _ in 0..30_000 {
        let mut text: Vec<char> = original.chars().collect();
        for _ in 0..=random.below(2) {
            let place = usize::try_from(random.below(text.len() as u64)).unwrap();
            let piece = pieces[usize::try_from(random.below(10)).unwrap()];
            match random.below(3) {
                0 => drop(text.remove(place)),
                1 => drop(text.splice(place..place, piece.chars())),
                _ => text[place] = piece.chars().next().unwrap(),
            }
        }
        let text: String = text.into_iter().collect();
        let ours = Checkpoint::parse(&text);
        let theirs = tlog_tiles::Checkpoint::from_bytes(text.as_bytes());
        assert_eq!(ours.is_ok(), theirs.is_ok(), "{text:?}");
        if let (Ok(ours), Ok(theirs)) = (ours, theirs) {
            read += 1;
            assert_eq!(ours.origin, theirs.origin());
            assert_eq!(ours.size, theirs.size());
            assert_eq!(ours.root.0, theirs.hash().0);
            if theirs.extension().is_empty() {
                assert_eq!(ours.to_text().as_bytes(), theirs.to_bytes());
            }
        }
    }
    assert!(read > 500, "only {read} were checkpoints");
}

#[test]
fn only_the_logs_key_signs_its_checkpoint() {
    let world = World::new(1, 1);
    let tree = Tree::new(4);
    let head = Checkpoint {
        origin: ORIGIN.into(),
        size: 4,
        root: tree.root(4),
    };
    assert_eq!(
        sign_checkpoint(&head, &world.log).unwrap().text(),
        head.to_text()
    );
    assert_eq!(id(sign_checkpoint(&head, &world.witnesses[0])), "log.key");
    let witness = SigningKey::generate(ORIGIN, KeyKind::Witness).unwrap();
    assert_eq!(id(sign_checkpoint(&head, &witness)), "log.key");
    let other = SigningKey::generate("log.example/other", KeyKind::Log).unwrap();
    assert_eq!(id(sign_checkpoint(&head, &other)), "log.key");
    for origin in ["", "log.example/narthex\n9", "log.example/narthex\n"] {
        let head = Checkpoint {
            origin: origin.into(),
            ..head.clone()
        };
        assert_eq!(id(sign_checkpoint(&head, &world.log)), "log.key");
    }
    let head = Checkpoint {
        size: MAX_SIZE + 1,
        ..head
    };
    assert_eq!(id(sign_checkpoint(&head, &world.log)), "log.malformed");
}

#[test]
fn a_cosignature_has_the_bytes_of_the_format() {
    use ed25519_dalek::Verifier as _;
    let world = World::new(1, 1);
    let note = world.checkpoint(&Tree::new(4), 4, &[]);
    let line = cosign(&note, &world.witnesses[0], 1_679_315_147).unwrap();
    assert_eq!(line.signature().len(), 72);
    assert_eq!(line.signature()[..8], 1_679_315_147_u64.to_be_bytes());
    // The message, put together here once more.
    let message = format!("cosignature/v1\ntime 1679315147\n{}", note.text());
    let key = world.witnesses[0].verifier_key();
    ed25519_dalek::VerifyingKey::from_bytes(key.public_key())
        .unwrap()
        .verify(
            message.as_bytes(),
            &ed25519_dalek::Signature::from_slice(&line.signature()[8..]).unwrap(),
        )
        .unwrap();
    assert_eq!(key.verify(note.text(), &line).unwrap(), Some(1_679_315_147));
    // Extension lines are cosigned with the rest.
    let extended = format!("{}extension\n", note.text());
    assert!(key.verify(&extended, &line).is_err());
    let extended = SignedNote::parse(&format!("{extended}\n— a AAAAAAE=\n")).unwrap();
    let line = cosign(&extended, &world.witnesses[0], 5).unwrap();
    assert_eq!(key.verify(extended.text(), &line).unwrap(), Some(5));
}

#[test]
fn a_cosignature_is_the_one_that_aics_tlog_makes() {
    // Made with `aics_tlog.sign_cosignature` 0.2.1 (PyPI), from the seed 00 01 … 1f.
    let key = SigningKey::parse(
        "PRIVATE+KEY+witness.example/w1+e75f6532+BAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f",
    )
    .unwrap();
    assert_eq!(
        key.verifier_key().to_string(),
        "witness.example/w1+e75f6532+BAOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4"
    );
    let text = format!("example.com/behind-the-sofa\n20852163\n{ROOT}\n");
    let note = SignedNote::parse(&format!("{text}\n— a AAAAAAE=\n")).unwrap();
    let line = cosign(&note, &key, 1_679_315_147).unwrap();
    assert_eq!(
        line.to_string(),
        "— witness.example/w1 519lMgAAAABkGFDLBuRDazBLVac2NE+Y+IjbjQOcXLfF9CSDZVUIoS83rE1nFZsVE8YiWV6Ngr7lV8H6bdoBQGP/l73euDMQ9k+bBQ=="
    );
}

#[test]
fn only_witnesses_cosign_and_only_checkpoints_and_times_that_can_be_written() {
    let world = World::new(1, 1);
    let note = world.checkpoint(&Tree::new(4), 4, &[]);
    assert_eq!(id(cosign(&note, &world.log, 1)), "log.key");
    let poem = SignedNote::parse("no checkpoint\n\n— a AAAAAAE=\n").unwrap();
    assert_eq!(id(cosign(&poem, &world.witnesses[0], 1)), "log.malformed");
    assert_eq!(
        id(cosign(&note, &world.witnesses[0], 1 << 63)),
        "log.malformed"
    );
    let latest = (1 << 63) - 1;
    let line = cosign(&note, &world.witnesses[0], latest).unwrap();
    let key = world.witnesses[0].verifier_key();
    assert_eq!(key.verify(note.text(), &line).unwrap(), Some(latest));
    assert_eq!(Hash::from_base64(ROOT).unwrap().to_base64(), ROOT);
}
