//! Proofs in one text.

use narthex_ledger::{MAX_PROOF, MAX_PROOF_TEXT, Proof, prove_inclusion};

use crate::support::{Random, Tree, World, id};

fn proof(world: &World, tree: &Tree, index: u64, size: u64) -> Proof {
    Proof {
        extra: None,
        index,
        hashes: prove_inclusion(tree, index, size).unwrap(),
        checkpoint: world.checkpoint(tree, size, &[(0, 1000), (1, 2000)]),
    }
}

#[test]
fn a_proof_is_written_as_the_format_says_and_read_again() {
    let world = World::new(2, 2);
    let tree = Tree::new(6);
    let mut proof = proof(&world, &tree, 4, 6);
    let [first, second] = proof.hashes[..] else {
        panic!("{proof:?}");
    };
    let rest = format!(
        "index 4\n{}\n{}\n\n{}",
        first.to_base64(),
        second.to_base64(),
        proof.checkpoint
    );
    let text = format!("c2sp.org/tlog-proof@v1\n{rest}");
    assert_eq!(proof.to_string(), text);
    assert_eq!(Proof::parse(&text).unwrap(), proof);
    proof.extra = Some(b"{\"time\":1}".to_vec());
    let text = format!("c2sp.org/tlog-proof@v1\nextra eyJ0aW1lIjoxfQ==\n{rest}");
    assert_eq!(proof.to_string(), text);
    assert_eq!(Proof::parse(&text).unwrap(), proof);
    // Extra data that is there and empty is not the same as none.
    proof.extra = Some(Vec::new());
    assert_eq!(Proof::parse(&proof.to_string()).unwrap(), proof);
    // A log of one entry needs no hashes.
    let alone = self::proof(&world, &tree, 0, 1);
    assert!(alone.hashes.is_empty());
    assert!(alone.to_string().contains("\nindex 0\n\n"));
    assert_eq!(Proof::parse(&alone.to_string()).unwrap(), alone);
}

#[test]
fn every_entry_is_proved_and_no_other_in_its_place() {
    let world = World::new(2, 2);
    let tree = Tree::new(9);
    for size in 1..=9 {
        for index in 0..size {
            let proof = proof(&world, &tree, index, size);
            for (place, entry) in tree.entries.iter().enumerate() {
                let verdict = proof.verify(entry, &world.trust);
                if place as u64 == index {
                    let trusted = verdict.unwrap();
                    assert_eq!(trusted.checkpoint().size, size);
                    assert_eq!(
                        (trusted.seen_at(), trusted.fresh_at()),
                        (Some(2000), Some(1000))
                    );
                } else {
                    assert_eq!(id(verdict), "log.inclusion");
                }
            }
        }
    }
}

#[test]
fn what_a_proof_needs_is_asked_for() {
    let world = World::new(2, 2);
    let tree = Tree::new(6);
    let good = proof(&world, &tree, 4, 6);
    let entry = &tree.entries[4];
    let mut lonely = good.clone();
    lonely.checkpoint = world.checkpoint(&tree, 6, &[(0, 1000)]);
    assert_eq!(id(lonely.verify(entry, &world.trust)), "log.quorum");
    assert!(
        !lonely
            .verify_log_only(entry, &world.trust)
            .unwrap()
            .has_quorum()
    );
    assert_eq!(
        id(lonely.verify_log_only(&tree.entries[3], &world.trust)),
        "log.inclusion"
    );
    let other = World::new(2, 2);
    assert_eq!(id(good.verify(entry, &other.trust)), "log.signature");
    // The checkpoint of an earlier and of a later tree.
    for size in [5, 7] {
        let mut moved = good.clone();
        moved.checkpoint = world.checkpoint(&Tree::new(7), size, &[(0, 1), (1, 1)]);
        assert_eq!(id(moved.verify(entry, &world.trust)), "log.inclusion");
    }
    let mut beyond = good.clone();
    beyond.index = 6;
    assert_eq!(id(beyond.verify(entry, &world.trust)), "log.inclusion");
    // A node of the tree is not an entry, though its hash is in the tree.
    let inner = [&[1][..], &tree.leaves[0].0, &tree.leaves[1].0].concat();
    let mut short = proof(&world, &tree, 0, 6);
    short.hashes.remove(0);
    assert_eq!(id(short.verify(&inner, &world.trust)), "log.inclusion");
}

#[test]
fn a_proof_with_any_character_changed_proves_nothing_else() {
    let world = World::new(2, 2);
    let tree = Tree::new(6);
    let mut good = proof(&world, &tree, 4, 6);
    good.extra = Some(b"extra".to_vec());
    let text = good.to_string();
    let mut accepted = 0;
    for place in (0..text.len()).filter(|place| text.is_char_boundary(*place)) {
        for other in ["A", "0", " ", "\n", "=", ""] {
            let mut changed = text.clone();
            let end = place + changed[place..].chars().next().unwrap().len_utf8();
            changed.replace_range(place..end, other);
            if changed == text {
                continue;
            }
            let Ok(proof) = Proof::parse(&changed) else {
                continue;
            };
            if proof.verify(&tree.entries[4], &world.trust).is_ok() {
                // Nobody signs the extra data: it says nothing by itself.
                assert_ne!(proof.extra, good.extra);
                assert_eq!((proof.index, &proof.hashes), (4, &good.hashes));
                accepted += 1;
            }
        }
    }
    assert!(accepted > 0);
}

#[test]
fn what_is_no_proof_is_refused() {
    let world = World::new(2, 2);
    let tree = Tree::new(6);
    let text = proof(&world, &tree, 4, 6).to_string();
    let hash = tree.leaves[0].to_base64();
    let with_index = |line: &str| text.replacen("index 4", line, 1);
    let cases = [
        String::new(),
        "c2sp.org/tlog-proof@v1\n".into(),
        text.replacen("@v1", "@v2", 1),
        text.replacen("c2sp", "C2SP", 1),
        text.replace('\n', "\r\n"),
        text.trim_end().to_owned(),
        format!("\n{text}"),
        format!("{text}\n"),
        format!("{text}more\n"),
        with_index("index 04"),
        with_index("index -4"),
        with_index("index +4"),
        with_index("index 4 "),
        with_index("index  4"),
        with_index("index"),
        with_index("index "),
        with_index("Index 4"),
        with_index("index 9223372036854775807"),
        with_index("index 18446744073709551616"),
        with_index("index 4\n"),
        with_index("index 4\nindex 4"),
        with_index("index 4\nextra AAAA"),
        with_index("extra AAAA"),
        with_index("extra AAAA\nextra AAAA\nindex 4"),
        with_index("extra AAAB=\nindex 4"),
        with_index("extra AAF=\nindex 4"),
        with_index("extra  AAAA\nindex 4"),
        with_index(&format!("index 4\n{hash} ")),
        with_index(&format!("index 4\n {hash}")),
        with_index("index 4\nAAAA"),
        with_index(&format!(
            "index 4\n{}",
            format!("{hash}\n").repeat(MAX_PROOF)
        )),
        with_index(&format!("extra {}\nindex 4", "A".repeat(MAX_PROOF_TEXT))),
    ];
    for case in cases {
        assert_eq!(id(Proof::parse(&case)), "log.malformed", "{case:?}");
    }
    let full = with_index(&format!(
        "index 4\n{}",
        vec![hash.as_str(); MAX_PROOF - 2].join("\n")
    ));
    assert_eq!(Proof::parse(&full).unwrap().hashes.len(), MAX_PROOF);
    assert_eq!(
        id(Proof::parse(&full)
            .unwrap()
            .verify(&tree.entries[4], &world.trust)),
        "log.inclusion"
    );
    let mut random = Random(61);
    for _ in 0..2000 {
        let length = usize::try_from(random.below(400)).unwrap();
        let noise = String::from_utf8_lossy(&random.bytes(length)).into_owned();
        assert!(Proof::parse(&noise).is_err());
        let _ = Proof::parse(&format!("c2sp.org/tlog-proof@v1\n{noise}"));
    }
}
