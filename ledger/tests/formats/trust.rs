//! What a relying party accepts.

use base64ct::{Base64, Encoding as _};
use narthex_ledger::{
    Checkpoint, KeyKind, MAX_SIGNATURES, NoteSignature, SignedNote, SigningKey, Trust, VerifierKey,
    cosign, sign_checkpoint,
};

use crate::support::{ORIGIN, Random, Tree, World, id, seed};

fn names(trust: &Trust, note: &SignedNote) -> Vec<String> {
    trust.missing(&trust.check_log_only(note).unwrap())
}

#[test]
fn a_quorum_is_a_quorum() {
    let world = World::new(3, 2);
    let tree = Tree::new(5);
    let none = world.checkpoint(&tree, 5, &[]);
    assert_eq!(id(world.trust.check(&none)), "log.quorum");
    let one = world.checkpoint(&tree, 5, &[(1, 100)]);
    let error = world.trust.check(&one).unwrap_err();
    assert_eq!(error.id(), "log.quorum");
    assert!(error.detail().contains("w0, w2") && !error.detail().contains("w1"));
    let trusted = world.trust.check_log_only(&one).unwrap();
    assert!(!trusted.has_quorum());
    assert_eq!(trusted.cosignatures(), [("w1".to_owned(), 100)]);
    assert_eq!((trusted.seen_at(), trusted.fresh_at()), (None, None));
    let two = world.checkpoint(&tree, 5, &[(2, 300), (1, 100)]);
    let trusted = world.trust.check(&two).unwrap();
    assert!(trusted.has_quorum());
    assert_eq!(trusted.checkpoint().size, 5);
    assert_eq!(trusted.checkpoint().root, tree.root(5));
    assert_eq!(trusted.log(), &world.log.verifier_key());
    assert_eq!(trusted.note(), &two);
    assert_eq!(
        (trusted.seen_at(), trusted.fresh_at()),
        (Some(300), Some(100))
    );
    assert_eq!(names(&world.trust, &two), ["w0"]);
    let three = world.checkpoint(&tree, 5, &[(2, 300), (1, 100), (0, 200)]);
    let trusted = world.trust.check(&three).unwrap();
    // Two of three had seen it at 200, and two of three still saw nothing newer at 200.
    assert_eq!(
        (trusted.seen_at(), trusted.fresh_at()),
        (Some(200), Some(200))
    );
    assert!(names(&world.trust, &three).is_empty());
}

#[test]
fn one_witness_is_one_however_often_it_cosigns() {
    let world = World::new(3, 2);
    let tree = Tree::new(5);
    let note = world.checkpoint(&tree, 5, &[(0, 100), (0, 200), (0, 300)]);
    assert_eq!(id(world.trust.check(&note)), "log.quorum");
    let note = world.checkpoint(&tree, 5, &[(0, 100), (0, 900), (1, 500)]);
    let trusted = world.trust.check(&note).unwrap();
    assert_eq!(trusted.cosignatures().len(), 3);
    // Its first word says when it had seen the tree, its last that nothing newer came.
    assert_eq!(
        (trusted.seen_at(), trusted.fresh_at()),
        (Some(500), Some(500))
    );
    let note = world.checkpoint(&tree, 5, &[(0, 100), (0, 900), (1, 500), (2, 700)]);
    let trusted = world.trust.check(&note).unwrap();
    assert_eq!(
        (trusted.seen_at(), trusted.fresh_at()),
        (Some(500), Some(700))
    );
}

/// Whoever finds a genuine checkpoint can fill it up with copies, or have a witness cosign it every second: neither may
/// cost a relying party more signature checks than there are keys, twice.
#[test]
fn a_note_full_of_genuine_lines_costs_no_more_checks() {
    let world = World::new(2, 2);
    let tree = Tree::new(5);
    let plain = world.checkpoint(&tree, 5, &[(0, 100), (1, 500)]);
    let mut text = plain.to_string();
    let lines: Vec<String> = plain
        .signatures()
        .iter()
        .map(|line| format!("{line}\n"))
        .collect();
    for line in lines.iter().cycle().take(MAX_SIGNATURES - lines.len()) {
        text.push_str(line);
    }
    let full = SignedNote::parse(&text).unwrap();
    assert_eq!(full.signatures().len(), MAX_SIGNATURES);
    let trusted = world.trust.check(&full).unwrap();
    assert_eq!(trusted.cosignatures().len(), 2, "each copy was checked");
    // Of many times only the first and the last say anything.
    let mut times: Vec<(usize, u64)> = (100..150).map(|time| (0, time)).collect();
    times.push((1, 120));
    let trusted = world
        .trust
        .check(&world.checkpoint(&tree, 5, &times))
        .unwrap();
    let of_w0: Vec<u64> = trusted
        .cosignatures()
        .iter()
        .filter(|(name, _)| name == "w0")
        .map(|(_, time)| *time)
        .collect();
    assert_eq!(of_w0, [100, 149]);
    assert_eq!(
        (trusted.seen_at(), trusted.fresh_at()),
        (Some(120), Some(120))
    );
    // The first and the last must hold like every other line.
    for time in [1_u64, 7000] {
        let known = plain.signatures()[1].clone();
        let mut bytes = known.key_id().to_vec();
        bytes.extend_from_slice(&time.to_be_bytes());
        bytes.extend_from_slice(&known.signature()[8..]);
        let line = format!("— w0 {}", Base64::encode_string(&bytes));
        let mut spoiled = world.checkpoint(&tree, 5, &[(0, 100), (0, 200), (1, 500)]);
        spoiled.add(NoteSignature::parse(&line).unwrap()).unwrap();
        assert_eq!(id(world.trust.check(&spoiled)), "log.signature");
    }
}

#[test]
fn without_a_quorum_the_log_alone_is_trusted_and_no_time_is_known() {
    let world = World::new(1, 0);
    assert!(!world.trust.needs_witnesses());
    let note = world.checkpoint(&Tree::new(2), 2, &[]);
    let trusted = world.trust.check(&note).unwrap();
    assert!(trusted.has_quorum());
    assert_eq!((trusted.seen_at(), trusted.fresh_at()), (None, None));
    let note = world.checkpoint(&Tree::new(2), 2, &[(0, 7)]);
    let trusted = world.trust.check(&note).unwrap();
    assert_eq!(trusted.cosignatures(), [("w0".to_owned(), 7)]);
    assert_eq!((trusted.seen_at(), trusted.fresh_at()), (None, None));
}

#[test]
fn unknown_keys_count_for_nothing_and_known_ones_must_hold() {
    let world = World::new(2, 1);
    let tree = Tree::new(5);
    let note = world.checkpoint(&tree, 5, &[(0, 100)]);
    world.trust.check(&note).unwrap();
    // Strangers, of other kinds too, also under a name or an id that is known.
    let known = note.signatures()[1].clone();
    let stranger = SigningKey::generate("w0", KeyKind::Witness).unwrap();
    let mut crowded = note.clone();
    crowded.add(cosign(&note, &stranger, 50).unwrap()).unwrap();
    for (name, bytes) in [
        (
            "stranger",
            [&known.key_id()[..], known.signature()].concat(),
        ),
        ("w1", [&[9, 9, 9, 9][..], known.signature()].concat()),
        ("w1", vec![1; 5]),
        (ORIGIN, vec![1; 3000]),
    ] {
        let line = format!("— {name} {}", Base64::encode_string(&bytes));
        crowded.add(NoteSignature::parse(&line).unwrap()).unwrap();
    }
    let trusted = world.trust.check(&crowded).unwrap();
    assert_eq!(trusted.cosignatures(), [("w0".to_owned(), 100)]);
    // A line that says it is of a known key and does not hold spoils the whole note: of the log,
    // of a witness that is needed, of one that is not.
    let spoil = |signature: &NoteSignature| {
        let mut bytes = [&signature.key_id()[..], signature.signature()].concat();
        *bytes.last_mut().unwrap() ^= 1;
        let line = format!("— {} {}", signature.name(), Base64::encode_string(&bytes));
        NoteSignature::parse(&line).unwrap()
    };
    let two = world.checkpoint(&tree, 5, &[(0, 100), (1, 100)]);
    for signature in two.signatures() {
        let mut spoiled = note.clone();
        spoiled.add(spoil(signature)).unwrap();
        assert_eq!(id(world.trust.check(&spoiled)), "log.signature");
        assert_eq!(id(world.trust.check_log_only(&spoiled)), "log.signature");
    }
}

#[test]
fn two_keys_with_one_id_are_told_apart_by_the_signature() {
    // A key whose id collides with a known one under the same name is cheap to find: four bytes.
    // What it buys is a line that is looked at and refused. A stand-in: the right id in front of
    // a stranger's signature.
    let world = World::new(1, 1);
    let stranger = SigningKey::generate(ORIGIN, KeyKind::Log).unwrap();
    let head = Checkpoint {
        origin: ORIGIN.into(),
        size: 0,
        root: Tree::new(0).root(0),
    };
    let forged = sign_checkpoint(&head, &stranger).unwrap();
    assert_eq!(id(world.trust.check_log_only(&forged)), "log.signature");
    let bytes = [
        &world.log.verifier_key().key_id()[..],
        forged.signatures()[0].signature(),
    ]
    .concat();
    let line = format!("— {ORIGIN} {}", Base64::encode_string(&bytes));
    let note = format!("{}\n{line}\n", forged.text());
    assert_eq!(
        id(world
            .trust
            .check_log_only(&SignedNote::parse(&note).unwrap())),
        "log.signature"
    );
}

#[test]
fn a_checkpoint_of_another_log_is_none_of_this_one() {
    let world = World::new(1, 1);
    let tree = Tree::new(5);
    let other = SigningKey::generate("log.example/other", KeyKind::Log).unwrap();
    let head = Checkpoint {
        origin: "log.example/other".into(),
        size: 5,
        root: tree.root(5),
    };
    let mut note = sign_checkpoint(&head, &other).unwrap();
    note.add(cosign(&note, &world.witnesses[0], 5).unwrap())
        .unwrap();
    assert_eq!(id(world.trust.check(&note)), "log.origin");
    // Our log's key under another origin: signed, but not as the log of that origin.
    let both = Trust::parse_policy(&format!(
        "log {}\nlog {}\nquorum none\n",
        world.log.verifier_key(),
        other.verifier_key()
    ))
    .unwrap();
    both.check(&note).unwrap();
    let crossed = note.with_only(|_| false).to_string()
        + &world.checkpoint(&tree, 5, &[]).signatures()[0].to_string()
        + "\n";
    let crossed = SignedNote::parse(&crossed).unwrap();
    assert_eq!(id(both.check(&crossed)), "log.signature");
    // A cosignature is not a signature of the log.
    let cosigned_only = world
        .checkpoint(&tree, 5, &[(0, 5)])
        .with_only(|line| line.name() == "w0");
    assert_eq!(id(world.trust.check(&cosigned_only)), "log.signature");
    let poem = SignedNote::parse("poem\n\n— a AAAAAAE=\n").unwrap();
    assert_eq!(id(world.trust.check(&poem)), "log.malformed");
}

#[test]
fn extension_lines_are_signed_with_the_rest() {
    let world = World::new(1, 1);
    let tree = Tree::new(5);
    let note = world.checkpoint(&tree, 5, &[(0, 5)]).to_string();
    let extended = note.replacen("\n\n", "\nextension\n\n", 1);
    let extended = SignedNote::parse(&extended).unwrap();
    assert_eq!(id(world.trust.check(&extended)), "log.signature");
}

#[test]
fn a_policy_that_cannot_be_meant_is_refused() {
    let world = World::new(2, 2);
    let log = || world.log.verifier_key();
    let keys: Vec<VerifierKey> = world
        .witnesses
        .iter()
        .map(SigningKey::verifier_key)
        .collect();
    let refused = |log: VerifierKey, witnesses: Vec<VerifierKey>, quorum: usize| {
        assert_eq!(id(Trust::new(log, witnesses, quorum)), "log.policy");
    };
    refused(log(), keys.clone(), 3);
    refused(log(), vec![], 1);
    refused(log(), vec![keys[0].clone(), keys[0].clone()], 1);
    refused(keys[0].clone(), vec![keys[1].clone()], 1);
    refused(log(), vec![log()], 1);
    let same_name = SigningKey::generate("w0", KeyKind::Witness).unwrap();
    refused(log(), vec![keys[0].clone(), same_name.verifier_key()], 1);
    let none = SigningKey::generate("none", KeyKind::Witness).unwrap();
    refused(log(), vec![none.verifier_key()], 1);
    let many: Vec<VerifierKey> = (0..65)
        .map(|n| SigningKey::generate(&format!("m{n}"), KeyKind::Witness).unwrap())
        .map(|key| key.verifier_key())
        .collect();
    refused(log(), many.clone(), 1);
    assert!(Trust::new(log(), many[..64].to_vec(), 64).is_ok());
    // The log as its own witness: the same public key with the other type.
    let text = world.log.to_text();
    let seed = seed(&text);
    let twin = signing_key("twin", KeyKind::Witness, &seed[1..]);
    refused(log(), vec![twin.verifier_key()], 1);
}

/// A signing key of a chosen seed.
fn signing_key(name: &str, kind: KeyKind, seed: &[u8]) -> SigningKey {
    use sha2::Digest as _;
    let public = ed25519_dalek::SigningKey::from_bytes(seed.try_into().unwrap())
        .verifying_key()
        .to_bytes();
    let id = sha2::Sha256::new()
        .chain_update(name)
        .chain_update([b'\n', kind.byte()])
        .chain_update(public)
        .finalize();
    let bytes = [&[kind.byte()], seed].concat();
    SigningKey::parse(&format!(
        "PRIVATE+KEY+{name}+{}+{}",
        hex::encode(&id[..4]),
        Base64::encode_string(&bytes)
    ))
    .unwrap()
}

/// The example of the format: two of X and one of Y.
fn example() -> (SigningKey, Vec<SigningKey>, String) {
    let log = SigningKey::generate(ORIGIN, KeyKind::Log).unwrap();
    let witnesses: Vec<SigningKey> = ["X1", "X2", "X3", "Y1", "Y2", "Y3"]
        .iter()
        .map(|name| SigningKey::generate(&format!("{name}.example"), KeyKind::Witness).unwrap())
        .collect();
    let key = |index: usize| witnesses[index].verifier_key();
    let text = format!(
        "# A comment\n\
         log {}\n\
         \n\
         witness X1 {}\n\
         witness X2 {} https://x2.example/witness\n\
         \x20\twitness\tX3   {}\t\n\
         group X-witnesses 2 X1 X2 X3\n\
         witness Y1 {}\n\
         witness Y2 {}\n\
         witness Y3 {}\n\
         group Y-witnesses any Y1 Y2 Y3\n\
         \t # Another comment\n\
         group X-and-Y all X-witnesses Y-witnesses\n\
         quorum X-and-Y\n",
        log.verifier_key(),
        key(0),
        key(1),
        key(2),
        key(3),
        key(4),
        key(5)
    );
    (log, witnesses, text)
}

#[test]
fn groups_are_counted_as_the_example_of_the_format_says() {
    let (log, witnesses, text) = example();
    let trust = Trust::parse_policy(&text).unwrap();
    assert_eq!(trust.log(), &log.verifier_key());
    assert_eq!(
        trust.witnesses()[1].url(),
        Some("https://x2.example/witness")
    );
    assert_eq!(trust.witnesses()[1].name(), "X2");
    assert_eq!(trust.witnesses()[1].key().name(), "X2.example");
    let tree = Tree::new(1);
    let world = World {
        log,
        witnesses,
        trust,
    };
    for chosen in 0..64_u32 {
        let times: Vec<(usize, u64)> = (0..6)
            .filter(|index| chosen & (1 << index) != 0)
            .map(|index| (index, 100 + index as u64))
            .collect();
        let note = world.checkpoint(&tree, 1, &times);
        let expected = (chosen & 0b111).count_ones() >= 2 && chosen & 0b11_1000 != 0;
        assert_eq!(world.trust.check(&note).is_ok(), expected, "{chosen:06b}");
        assert_eq!(
            world
                .trust
                .missing(&world.trust.check_log_only(&note).unwrap())
                .len(),
            6 - times.len()
        );
    }
    // Times: by 103 two of X and one of Y; from 102 on only one X.
    let note = world.checkpoint(
        &tree,
        1,
        &(0..6).map(|i| (i, 100 + i as u64)).collect::<Vec<_>>(),
    );
    let trusted = world.trust.check(&note).unwrap();
    assert_eq!(
        (trusted.seen_at(), trusted.fresh_at()),
        (Some(103), Some(101))
    );
}

#[test]
fn times_are_the_best_of_all_sets_that_make_the_quorum() {
    let (log, witnesses, text) = example();
    let trust = Trust::parse_policy(&text).unwrap();
    let world = World {
        log,
        witnesses,
        trust,
    };
    let tree = Tree::new(1);
    let mut random = Random(51);
    for _ in 0..60 {
        let times: Vec<(usize, u64)> = (0..random.below(9))
            .map(|_| (usize::try_from(random.below(6)).unwrap(), random.below(6)))
            .collect();
        let note = world.checkpoint(&tree, 1, &times);
        let trusted = world.trust.check_log_only(&note).unwrap();
        let enough = |keep: &dyn Fn(u64) -> bool| {
            let has = |index| times.iter().any(|(w, t)| *w == index && keep(*t));
            (0..3).filter(|index| has(*index)).count() >= 2 && (3..6).any(has)
        };
        assert_eq!(
            trusted.seen_at(),
            (0..6).find(|limit| enough(&|t| t <= *limit))
        );
        assert_eq!(
            trusted.fresh_at(),
            (0..6).rev().find(|limit| enough(&|t| t >= *limit))
        );
        assert_eq!(trusted.has_quorum(), enough(&|_| true));
    }
}

#[test]
fn a_policy_comes_back_from_its_text() {
    let (_, _, text) = example();
    let trust = Trust::parse_policy(&text).unwrap();
    assert_eq!(Trust::parse_policy(&trust.to_string()).unwrap(), trust);
    for world in [
        World::new(0, 0),
        World::new(3, 2),
        World::new(1, 1),
        World::new(4, 0),
    ] {
        let again = Trust::parse_policy(&world.trust.to_string()).unwrap();
        assert_eq!(again, world.trust);
    }
    // A witness with the name that the group would have.
    let log = SigningKey::generate(ORIGIN, KeyKind::Log)
        .unwrap()
        .verifier_key();
    let witness = SigningKey::generate("quorum", KeyKind::Witness)
        .unwrap()
        .verifier_key();
    let trust = Trust::new(log, vec![witness], 1).unwrap();
    assert_eq!(Trust::parse_policy(&trust.to_string()).unwrap(), trust);
}

#[test]
fn policy_text_is_read_strictly() {
    let world = World::new(3, 1);
    let (log, key) = (world.log.verifier_key(), |n: usize| {
        world.witnesses[n].verifier_key()
    });
    let head = format!("log {log}\nwitness a {}\nwitness b {}\n", key(0), key(1));
    let parse = |rest: &str| Trust::parse_policy(&format!("{head}{rest}"));
    for rest in [
        "quorum a\n",
        "quorum none\n",
        "group g any a b\nquorum g\n",
        "group g all a b\nquorum g\n",
        "group g 1 a b\nquorum g\n",
        "group g 2 a b\nquorum a\n",
        "group g 1 a\ngroup h 2 g b\nquorum h\n",
        "quorum a\ngroup g any a b\n",
        "\t quorum \t a \t\n",
        "quorum a\n#",
        "quorum a\n\n\n  \n# \u{e4}\n",
        "group k 1 a\ngroup \u{212a} 1 b\nquorum k\n",
    ] {
        assert!(
            parse(&format!("{}\n", rest.trim_end_matches('\n'))).is_ok(),
            "{rest:?}"
        );
    }
    let third = key(2).to_string();
    let log_as_witness = {
        let text = world.log.to_text();
        let seed = seed(&text);
        signing_key("x", KeyKind::Witness, &seed[1..])
            .verifier_key()
            .to_string()
    };
    for rest in [
        String::new(),
        "quorum a".into(), // No newline.
        "quorum\n".into(),
        "quorum a b\n".into(),
        "quorum c\n".into(),
        "quorum a\nquorum a\n".into(),
        "quorum a\nquorum none\n".into(),
        "quorum g\ngroup g any a\n".into(),
        "group g any c\nquorum g\n".into(),
        "group g any g\nquorum g\n".into(),
        "group g any\nquorum a\n".into(),
        "group g\nquorum a\n".into(),
        "group g 0 a b\nquorum g\n".into(),
        "group g 3 a b\nquorum g\n".into(),
        "group g 01 a b\nquorum g\n".into(),
        "group g +1 a b\nquorum g\n".into(),
        "group g -1 a b\nquorum g\n".into(),
        "group g ANY a b\nquorum g\n".into(),
        "group g 99999999999999999999 a b\nquorum g\n".into(),
        "group g any a a\nquorum g\n".into(),
        "group g any a\ngroup h any a b\nquorum h\n".into(), // A member of two groups.
        "group g any a\ngroup h any g b\ngroup i any g\nquorum i\n".into(),
        "group a any b\nquorum a\n".into(),
        "group none any a\nquorum none\n".into(),
        "group g any none\nquorum g\n".into(),
        format!("witness a {third}\nquorum a\n"),
        format!("witness none {third}\nquorum a\n"),
        format!("witness c {third} url more\nquorum a\n"),
        format!("witness c {}\nquorum a\n", key(0)),
        format!("witness c {log}\nquorum a\n"),
        format!("witness c {log_as_witness}\nquorum a\n"),
        format!("log {log}\nquorum a\n"),
        format!("log {third}\nquorum a\n"),
        "log\nquorum a\n".into(),
        "witness c\nquorum a\n".into(),
        "witness c key\nquorum a\n".into(),
        "Quorum a\n".into(),
        "unknown a\nquorum a\n".into(),
        "quorum a # comment\n".into(),
        "quorum a\r\n".into(),
        "quorum a\0\n".into(),
        "quorum a\u{7f}\n".into(),
        "quorum\u{a0}a\n".into(),
        "group \u{9b}2J any a b\nquorum a\n".into(),
        format!("quorum a\n#{}\n", "x".repeat(70_000)),
    ] {
        assert_eq!(id(parse(&rest)), "log.policy", "{rest:?}");
    }
    assert_eq!(id(Trust::parse_policy("")), "log.policy");
    assert_eq!(id(Trust::parse_policy("quorum none\n")), "log.policy");
    // Words say where.
    let error = parse("\nquorum c\n").unwrap_err();
    assert!(error.detail().starts_with("line 5: "), "{error}");
}

#[test]
fn at_least_32_of_everything_fit_and_more_than_64_do_not() {
    let policy = |count: usize| {
        let mut text = String::new();
        for n in 0..count {
            let log = SigningKey::generate(&format!("log{n}"), KeyKind::Log).unwrap();
            let witness = SigningKey::generate(&format!("w{n}"), KeyKind::Witness).unwrap();
            text += &format!(
                "log {}\nwitness w{n} {}\n",
                log.verifier_key(),
                witness.verifier_key()
            );
            // A chain of groups as deep as there are groups.
            text += &match n {
                0 => "group g0 any w0\n".to_owned(),
                n => format!("group g{n} all g{} w{n}\n", n - 1),
            };
        }
        text + &format!("quorum g{}\n", count - 1)
    };
    assert!(Trust::parse_policy(&policy(32)).is_ok());
    assert!(Trust::parse_policy(&policy(64)).is_ok());
    assert_eq!(id(Trust::parse_policy(&policy(65))), "log.policy");
}
