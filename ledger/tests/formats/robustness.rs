//! Whatever is read is either refused or has one spelling; nothing panics.

use narthex_ledger::{
    AddCheckpoint, Checkpoint, NoteSignature, Proof, Resource, SignedNote, SigningKey, Trust,
    VerifierKey, parse_entries, prove_consistency, prove_inclusion, tile_hashes,
};

use crate::support::{Random, Tree, World};

const PIECES: [&str; 16] = [
    "\n",
    "\n\n",
    " ",
    "\t",
    "0",
    "9",
    "+",
    "=",
    "A",
    "ä",
    "— ",
    "\0",
    "old ",
    "index 1\n",
    "group x 1 w0\n",
    "extra AAAA\n",
];

fn mutilated(text: &str, random: &mut Random) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    for _ in 0..=random.below(3) {
        let place = usize::try_from(random.below(chars.len() as u64)).unwrap();
        let piece = PIECES[usize::try_from(random.below(16)).unwrap()];
        match random.below(5) {
            0 => drop(chars.remove(place)),
            1 => drop(chars.splice(place..place, piece.chars())),
            2 => chars[place] = piece.chars().next().unwrap(),
            3 => {
                let end = place + usize::try_from(random.below(80)).unwrap();
                drop(chars.splice(place..end.min(chars.len()), []));
            }
            _ => {
                let end = (place + usize::try_from(random.below(80)).unwrap()).min(chars.len());
                let copy = chars[place..end].to_vec();
                drop(chars.splice(place..place, copy));
            }
        }
        if chars.is_empty() {
            chars.push('x');
        }
    }
    chars.into_iter().collect()
}

#[test]
fn mutilated_texts_are_refused_or_have_one_spelling() {
    let world = World::new(3, 2);
    let tree = Tree::new(21);
    let note = world.checkpoint(&tree, 21, &[(0, 5), (1, 6)]);
    let proof = Proof {
        extra: Some(b"{}".to_vec()),
        index: 13,
        hashes: prove_inclusion(&tree, 13, 21).unwrap(),
        checkpoint: note.clone(),
    }
    .to_string();
    let request = AddCheckpoint {
        old_size: 9,
        proof: prove_consistency(&tree, 9, 21).unwrap(),
        checkpoint: note.clone(),
    }
    .to_body();
    let policy = world.trust.to_string();
    let private = world.log.to_text();
    let public = world.log.verifier_key().to_string();
    let mut random = Random(71);
    let mut read = [0; 4];
    for _ in 0..8_000 {
        let text = mutilated(&proof, &mut random);
        if let Ok(proof) = Proof::parse(&text) {
            assert_eq!(proof.to_string(), text);
            let _ = proof.verify(&tree.entries[13], &world.trust);
            read[0] += 1;
        }
        let text = mutilated(&request, &mut random);
        if let Ok(request) = AddCheckpoint::parse(&text) {
            assert_eq!(request.to_body(), text);
            assert!(request.origin().is_ok());
            read[1] += 1;
        }
        let text = mutilated(&policy, &mut random);
        if let Ok(trust) = Trust::parse_policy(&text) {
            assert_eq!(Trust::parse_policy(&trust.to_string()).unwrap(), trust);
            let _ = trust.check(&note);
            read[2] += 1;
        }
        let text = mutilated(&note.to_string(), &mut random);
        if let Ok(note) = SignedNote::parse(&text) {
            assert_eq!(note.to_string(), text);
            // Only the genuine note is trusted, in whatever order and number its lines stand, and
            // with whatever strangers' lines beside them.
            if let Ok(trusted) = world.trust.check(&note) {
                assert_eq!(trusted.checkpoint().root, tree.root(21));
                assert_eq!(trusted.checkpoint().size, 21);
            }
            read[3] += 1;
        }
        let text = mutilated(&public, &mut random);
        if let Ok(key) = VerifierKey::parse(&text) {
            assert_eq!(key.to_string(), text);
        }
        let text = mutilated(&private, &mut random);
        if let Ok(key) = SigningKey::parse(&text) {
            assert_eq!(*key.to_text(), text.trim_end());
        }
    }
    assert!(read.iter().all(|count| *count > 20), "{read:?}");
}

#[test]
fn noise_is_refused() {
    let mut random = Random(72);
    for _ in 0..20_000 {
        let length = usize::try_from(random.below(120)).unwrap();
        let bytes = random.bytes(length);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        assert!(SignedNote::parse(&text).is_err());
        assert!(NoteSignature::parse_lines(&text).is_err());
        assert!(Checkpoint::parse(&text).is_err());
        assert!(VerifierKey::parse(&text).is_err());
        assert!(SigningKey::parse(&text).is_err());
        assert!(Trust::parse_policy(&text).is_err());
        assert!(AddCheckpoint::parse(&text).is_err());
        assert!(Proof::parse(&text).is_err());
        assert!(Resource::parse(&text).is_none());
        let width = u16::try_from(random.below(300)).unwrap();
        if let Ok(entries) = parse_entries(&bytes, width) {
            assert_eq!(narthex_ledger::encode_entries(&entries).unwrap(), bytes);
        }
        let _ = tile_hashes(&bytes, width);
    }
}
