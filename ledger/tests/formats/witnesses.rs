//! How a witness decides.

use narthex_ledger::{
    AddCheckpoint, Checkpoint, Hash, KeyKind, MAX_PROOF, Seen, SigningKey, WitnessAnswer, cosign,
    empty_root, judge_add_checkpoint, prove_consistency, sign_checkpoint,
};

use crate::support::{ORIGIN, Tree, World, id};

fn request(world: &World, tree: &Tree, old: u64, new: u64) -> AddCheckpoint {
    AddCheckpoint {
        old_size: old,
        proof: prove_consistency(tree, old, new).unwrap(),
        checkpoint: world.checkpoint(tree, new, &[]),
    }
}

fn seen(tree: &Tree, size: u64) -> Seen {
    Seen {
        size,
        root: tree.root(size),
    }
}

#[test]
fn a_request_is_written_as_the_format_says_and_read_again() {
    let world = World::new(0, 0);
    let tree = Tree::new(7);
    let request = request(&world, &tree, 3, 7);
    let hashes: String = request
        .proof
        .iter()
        .map(|hash| format!("{}\n", hash.to_base64()))
        .collect();
    let body = format!("old 3\n{hashes}\n{}", request.checkpoint);
    assert_eq!(request.to_body(), body);
    assert_eq!(AddCheckpoint::parse(&body).unwrap(), request);
    assert_eq!(request.origin().unwrap(), ORIGIN);
    let first = self::request(&world, &tree, 0, 7);
    assert!(first.to_body().starts_with("old 0\n\nlog.example"));
    assert_eq!(AddCheckpoint::parse(&first.to_body()).unwrap(), first);
    let hash = tree.leaves[0].to_base64();
    let many = |count: usize| {
        format!(
            "old 3\n{}\n{}",
            format!("{hash}\n").repeat(count),
            request.checkpoint
        )
    };
    assert_eq!(
        AddCheckpoint::parse(&many(MAX_PROOF)).unwrap().proof.len(),
        63
    );
    for body in [
        String::new(),
        "old 3\n".into(),
        many(MAX_PROOF + 1),
        body.replacen("old 3", "old 03", 1),
        body.replacen("old 3", "old -3", 1),
        body.replacen("old 3", "old", 1),
        body.replacen("old 3", "old  3", 1),
        body.replacen("old 3", "Old 3", 1),
        body.replacen("old 3", "old 9223372036854775808", 1),
        body.replacen("old 3", "old 3\nold 3", 1),
        body.replacen("old 3\n", "", 1),
        body.replacen("old 3\n", "old 3\n\n", 1),
        body.replacen('=', "", 1),
        format!("{body}\n"),
        body.trim_end().to_owned(),
        body.replace('\n', "\r\n"),
        format!("old 3\n{}", "A".repeat(100_000)),
    ] {
        assert_eq!(id(AddCheckpoint::parse(&body)), "log.malformed", "{body:?}");
    }
}

#[test]
fn a_log_that_grows_is_followed() {
    let world = World::new(1, 1);
    let tree = Tree::new(40);
    let key = world.log.verifier_key();
    let mut known: Option<Seen> = None;
    for new in [0, 0, 1, 2, 3, 8, 8, 15, 16, 40, 40] {
        let old = known.map_or(0, |seen| seen.size);
        let request = request(&world, &tree, old, new);
        let now = judge_add_checkpoint(&request, &key, known.as_ref()).unwrap();
        assert_eq!(now, seen(&tree, new));
        let line = cosign(&request.checkpoint, &world.witnesses[0], 9).unwrap();
        let answer = WitnessAnswer::Cosigned(line.clone());
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.body(), format!("{line}\n"));
        known = Some(now);
    }
}

#[test]
fn each_refusal_has_its_answer() {
    let world = World::new(1, 1);
    let tree = Tree::new(40);
    let key = world.log.verifier_key();
    let known = seen(&tree, 8);
    let judge = |request: &AddCheckpoint| {
        let answer = judge_add_checkpoint(request, &key, Some(&known)).unwrap_err();
        (answer.status(), answer)
    };
    let good = request(&world, &tree, 8, 16);
    judge_add_checkpoint(&good, &key, Some(&known)).unwrap();

    // 404, before anything else.
    let other = SigningKey::generate("log.example/other", KeyKind::Log).unwrap();
    let answer = judge_add_checkpoint(&good, &other.verifier_key(), Some(&known)).unwrap_err();
    assert_eq!((answer.status(), answer), (404, WitnessAnswer::UnknownLog));

    // 403: not signed, signed by another, or a signature that does not hold beside one that does.
    let mut unsigned = good.clone();
    unsigned.checkpoint = good.checkpoint.with_only(|_| false);
    assert_eq!(judge(&unsigned), (403, WitnessAnswer::BadSignature));
    let impostor = SigningKey::generate(ORIGIN, KeyKind::Log).unwrap();
    let head = Checkpoint::parse(good.checkpoint.text()).unwrap();
    let mut forged = good.clone();
    forged.checkpoint = sign_checkpoint(&head, &impostor).unwrap();
    assert_eq!(judge(&forged), (403, WitnessAnswer::BadSignature));
    let mut spoiled = good.clone();
    spoiled
        .checkpoint
        .add(world.checkpoint(&tree, 17, &[]).signatures()[0].clone())
        .unwrap();
    assert_eq!(judge(&spoiled), (403, WitnessAnswer::BadSignature));

    // Unknown signatures are passed over.
    let mut crowded = good.clone();
    crowded
        .checkpoint
        .add(forged.checkpoint.signatures()[0].clone())
        .unwrap();
    judge_add_checkpoint(&crowded, &key, Some(&known)).unwrap();

    // 400: the old size above the new one, whatever the witness knows.
    let mut shrunk = request(&world, &tree, 4, 7);
    shrunk.old_size = 8;
    assert_eq!(judge(&shrunk), (400, WitnessAnswer::OldTooLarge));

    // 409 with the size that is known: older and newer, and when nothing is known yet.
    for old in [0, 7, 9, 16] {
        assert_eq!(
            judge(&request(&world, &tree, old, 16)),
            (409, WitnessAnswer::Conflict { size: 8 })
        );
    }
    let answer = judge_add_checkpoint(&good, &key, None).unwrap_err();
    assert_eq!(answer, WitnessAnswer::Conflict { size: 0 });
    assert_eq!(answer.body(), "0\n");
    assert_eq!(answer.content_type(), "text/x.tlog.size");

    // 409: the same size with another root.
    let fork = Tree::of((0..40).map(|n| vec![n]));
    assert_eq!(
        judge(&request(&world, &fork, 8, 8)),
        (409, WitnessAnswer::SameSizeOtherRoot { size: 8 })
    );

    // 422: a larger tree that does not continue the one seen; proofs too short and too long.
    assert_eq!(
        judge(&request(&world, &fork, 8, 16)),
        (422, WitnessAnswer::BadProof)
    );
    let mut short = good.clone();
    short.proof.pop();
    assert_eq!(judge(&short), (422, WitnessAnswer::BadProof));
    let mut long = good.clone();
    long.proof.push(Hash([0; 32]));
    assert_eq!(judge(&long), (422, WitnessAnswer::BadProof));
    let mut same = request(&world, &tree, 8, 8);
    same.proof.push(Hash([0; 32]));
    assert_eq!(judge(&same), (422, WitnessAnswer::BadProof));
    let mut first = request(&world, &tree, 0, 8);
    first.proof.push(Hash([0; 32]));
    assert_eq!(
        judge_add_checkpoint(&first, &key, None),
        Err(WitnessAnswer::BadProof)
    );

    // A witness's key is no log's key.
    let twin = SigningKey::generate(ORIGIN, KeyKind::Witness).unwrap();
    assert_eq!(
        judge_add_checkpoint(&good, &twin.verifier_key(), None),
        Err(WitnessAnswer::UnknownLog)
    );
    assert_eq!(WitnessAnswer::Malformed.status(), 400);
}

#[test]
fn an_empty_tree_has_one_root_for_a_witness_too() {
    let world = World::new(0, 0);
    let head = Checkpoint {
        origin: ORIGIN.into(),
        size: 0,
        root: Hash([1; 32]),
    };
    let request = AddCheckpoint {
        old_size: 0,
        proof: Vec::new(),
        checkpoint: sign_checkpoint(&head, &world.log).unwrap(),
    };
    assert_eq!(
        judge_add_checkpoint(&request, &world.log.verifier_key(), None),
        Err(WitnessAnswer::SameSizeOtherRoot { size: 0 })
    );
    assert_eq!(Seen::default().root, empty_root());
}
