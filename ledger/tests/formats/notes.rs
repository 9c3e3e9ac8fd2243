//! Signed notes as bytes, compared with `signed_note`.

use narthex_ledger::{KeyKind, MAX_NOTE, MAX_SIGNATURES, NoteSignature, SignedNote, SigningKey};

use crate::support::{Random, Tree, World, id};

fn note_with(lines: &[&str]) -> String {
    format!("text\n\n{}", lines.concat())
}

const LINE: &str = "— a AAAAAAE=\n";

#[test]
fn what_is_no_note_is_refused() {
    for note in [
        "",
        "\n",
        "\n\n",
        "\n\n\n",
        "text\n",
        "text\n\n",
        "text\n\n\n",
        "text\n\n— a AAAAAAE=",
        "text\n— a AAAAAAE=\n",
        "text\n\n— a AAAAAAE=\n\n",
        "text\n\n— a AAAAAAE=\nmore\n",
        "text\n\n- a AAAAAAE=\n",
        "text\n\n—a AAAAAAE=\n",
        "text\n\n—  AAAAAAE=\n",
        "text\n\n— a\n",
        "text\n\n— a  AAAAAAE=\n",
        "text\n\n— a AAAAAAE= \n",
        "text\n\n— a b AAAAAAE=\n",
        "text\n\n— a+b AAAAAAE=\n",
        "text\n\n— a\u{a0}b AAAAAAE=\n",
        "text\n\n— a\u{3000}b AAAAAAE=\n",
        "text\n\n— a AAAAAA==\n",  // Four bytes: no signature behind the id.
        "text\n\n— a AAAA\n",      // Three bytes.
        "text\n\n— a AAAAAAF=\n",  // A bit that belongs to no byte.
        "text\n\n— a AAAAAAE\n",   // No padding.
        "text\n\n— a AAAAAAE==\n", // Too much padding.
        "text\n\n— a AAAA_AE=\n",  // The other alphabet.
        "text\n\n— a AAA\rAAE=\n",
        "te\txt\n\n— a AAAAAAE=\n",
        "te\0xt\n\n— a AAAAAAE=\n",
        "text\r\n\r\n— a AAAAAAE=\r\n",
    ] {
        assert_eq!(id(SignedNote::parse(note)), "log.malformed", "{note:?}");
        assert!(signed_note::Note::from_bytes(note.as_bytes()).is_err());
    }
}

#[test]
fn text_may_be_anything_that_is_text() {
    for text in [
        "\n",
        "a\n",
        "a\n\nb\n",
        "\n\n\n",
        "ä — ö\n",
        "\u{7f}\u{85}\n",
        "— a AAAAAAE=\n",
    ] {
        let note = SignedNote::parse(&format!("{text}\n{LINE}")).unwrap();
        assert_eq!(note.text(), text);
        assert_eq!(note.to_string(), format!("{text}\n{LINE}"));
    }
    let name = "\u{1f511}".repeat(60);
    let line = format!("— {name} AAAAAAE=");
    assert_eq!(NoteSignature::parse(&line).unwrap().name(), name);
    assert_eq!(NoteSignature::parse(&line).unwrap().to_string(), line);
}

#[test]
fn many_signatures_are_read_and_too_many_are_not() {
    for count in [1, 16, 17, MAX_SIGNATURES] {
        let note = SignedNote::parse(&note_with(&vec![LINE; count])).unwrap();
        assert_eq!(note.signatures().len(), count);
    }
    assert_eq!(
        id(SignedNote::parse(&note_with(&vec![
            LINE;
            MAX_SIGNATURES + 1
        ]))),
        "log.malformed"
    );
    let long = format!("{}\n\n{LINE}", "x".repeat(MAX_NOTE));
    assert_eq!(id(SignedNote::parse(&long)), "log.malformed");
    let fits = "x".repeat(MAX_NOTE - "\n\n".len() - LINE.len());
    let mut note = SignedNote::parse(&format!("{fits}\n\n{LINE}")).unwrap();
    let another = NoteSignature::parse("— b AAAAAAE=").unwrap();
    assert_eq!(id(note.add(another.clone())), "log.malformed");
    assert_eq!(note.signatures().len(), 1);
    // The 64th fits, the 65th does not, and one that is there already is not added.
    let mut note = SignedNote::parse(&note_with(&vec![LINE; MAX_SIGNATURES - 1])).unwrap();
    note.add(another.clone()).unwrap();
    note.add(another).unwrap();
    assert_eq!(note.signatures().len(), MAX_SIGNATURES);
    let third = NoteSignature::parse("— c AAAAAAE=").unwrap();
    assert_eq!(id(note.add(third)), "log.malformed");
    assert_eq!(
        note.with_only(|line| line.name() == "b").signatures().len(),
        1
    );
}

#[test]
fn the_answer_of_a_witness_is_lines_and_nothing_else() {
    assert_eq!(NoteSignature::parse_lines(LINE).unwrap().len(), 1);
    let two = format!("{LINE}{LINE}");
    assert_eq!(NoteSignature::parse_lines(&two).unwrap().len(), 2);
    for lines in [
        "",
        "\n",
        "— a AAAAAAE=",
        "\n— a AAAAAAE=\n",
        "— a AAAAAAE=\n\n",
        "ok\n",
    ] {
        assert_eq!(id(NoteSignature::parse_lines(lines)), "log.malformed");
    }
    assert!(NoteSignature::parse_lines(&LINE.repeat(MAX_SIGNATURES)).is_ok());
    assert!(NoteSignature::parse_lines(&LINE.repeat(MAX_SIGNATURES + 1)).is_err());
    assert!(NoteSignature::parse_lines(&LINE.repeat(1_000_000)).is_err());
}

#[test]
fn signed_note_reads_the_same_in_mutilated_notes() {
    let world = World::new(2, 2);
    let note = world.checkpoint(&Tree::new(3), 3, &[(0, 1), (1, 2)]);
    let original = note.to_string();
    let mut random = Random(31);
    let pieces: [&[u8]; 12] = [
        b"\n",
        b"\n\n",
        b" ",
        b"+",
        b"=",
        b"A",
        b"\xe2\x80\x94 ",
        b"\0",
        b"\r",
        b"\t",
        b"\xc2\xa0",
        b"B==",
    ];
    let mut read = 0;
    for _ in 0..30_000 {
        let mut bytes = original.clone().into_bytes();
        for _ in 0..=random.below(3) {
            let place = usize::try_from(random.below(bytes.len() as u64)).unwrap();
            let piece = pieces[usize::try_from(random.below(12)).unwrap()];
            match random.below(4) {
                0 => drop(bytes.remove(place)),
                1 => drop(bytes.splice(place..place, piece.iter().copied())),
                2 => bytes[place] = random.bits().to_be_bytes()[0],
                _ => bytes.truncate(place + 1),
            }
        }
        let Ok(text) = String::from_utf8(bytes) else {
            continue;
        };
        let ours = SignedNote::parse(&text);
        let theirs = signed_note::Note::from_bytes(text.as_bytes());
        assert_eq!(ours.is_ok(), theirs.is_ok(), "{text:?}");
        if let (Ok(ours), Ok(theirs)) = (ours, theirs) {
            read += 1;
            assert_eq!(ours.text().as_bytes(), theirs.text());
            assert_eq!(ours.to_string().as_bytes(), theirs.to_bytes());
            assert_eq!(ours.to_string(), text);
        }
    }
    assert!(read > 500, "only {read} of the mutilated notes were notes");
}

#[test]
fn a_note_signed_by_both_libraries_is_one_note() {
    let world = World::new(0, 0);
    let note = world.checkpoint(&Tree::new(9), 9, &[]);
    let text = world.log.to_text();
    let signer = signed_note::StandardSigner::new(&text).unwrap();
    let mut theirs = signed_note::Note::new(note.text().as_bytes(), &[]).unwrap();
    theirs.add_sigs(&[&signer]).unwrap();
    assert_eq!(theirs.to_bytes(), note.to_string().as_bytes());
    let verifier =
        signed_note::StandardVerifier::new(&world.log.verifier_key().to_string()).unwrap();
    let list = signed_note::VerifierList::new(vec![Box::new(verifier)]);
    assert_eq!(theirs.verify(&list).unwrap().0.len(), 1);
    let other = SigningKey::generate("other", KeyKind::Log).unwrap();
    assert!(
        other
            .verifier_key()
            .verify(note.text(), &note.signatures()[0])
            .is_err()
    );
}
