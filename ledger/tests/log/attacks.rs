//! Whoever holds the files changes them: each change has its own name.

use narthex_ledger::{
    KeyKind, LogReader, Resource, SignedNote, SigningKey, Tile, TileBuilder, encode_entries,
    leaf_hash, mock::MockLog, sign_checkpoint, tiles_of,
};

use super::support::{Fixture, ORIGIN, SIZE, entry, full, id, leaf, verify};

#[test]
fn an_entry_that_was_changed() {
    for index in [0, 1, 2] {
        let fixture = Fixture::new(SIZE);
        fixture.meddle(index, |entries| entries[17] = leaf(99_999));
        assert_eq!(fixture.verdict(), "log.entries");
    }
}

#[test]
fn any_byte_of_any_bundle() {
    let fixture = Fixture::new(258);
    for index in [0, 1] {
        let bundle = fixture.bundle(index);
        let mut bytes = fixture.read(&bundle);
        let step = if index == 0 { 97 } else { 1 };
        for at in (0..bytes.len()).step_by(step) {
            bytes[at] ^= 1;
            fixture.write(&bundle, &bytes);
            assert!(["log.entries", "log.malformed"].contains(&fixture.verdict()));
            bytes[at] ^= 1;
        }
        fixture.write(&bundle, &bytes);
    }
    assert_eq!(fixture.verdict(), "verified");
}

#[test]
fn entries_that_were_reordered_or_duplicated() {
    let fixture = Fixture::new(SIZE);
    fixture.meddle(1, |entries| entries.swap(3, 200));
    assert_eq!(fixture.verdict(), "log.entries");

    let fixture = Fixture::new(SIZE);
    fixture.meddle(1, |entries| entries[4] = entries[3].clone());
    assert_eq!(fixture.verdict(), "log.entries");

    // Whole bundles change places.
    let fixture = Fixture::new(SIZE);
    let (one, two) = (fixture.read(&full(0)), fixture.read(&full(1)));
    fixture.write(&full(0), &two);
    fixture.write(&full(1), &one);
    assert_eq!(fixture.verdict(), "log.entries");
}

#[test]
fn an_entry_that_was_dropped() {
    // A hole: the bundle is one short.
    let fixture = Fixture::new(SIZE);
    fixture.meddle(0, |entries| drop(entries.remove(5)));
    assert_eq!(fixture.verdict(), "log.malformed");

    // No hole: all that follow move up, and one is made up at the end.
    let fixture = Fixture::new(SIZE);
    let mut leaves: Vec<_> = (0..=SIZE).map(leaf).collect();
    leaves.remove(5);
    for (index, entries) in (0..).zip(leaves.chunks(256)) {
        fixture.write(&fixture.bundle(index), &encode_entries(entries).unwrap());
    }
    let error = verify(fixture.log.folder(), &fixture.trust, 2).unwrap_err();
    assert_eq!(error.id(), "log.entries");
    assert!(error.detail().starts_with("entry 5 "), "{error}");
}

#[test]
fn a_bundle_that_was_cut_off_or_went_on() {
    for index in [0, 2] {
        let fixture = Fixture::new(SIZE);
        let bundle = fixture.bundle(index);
        let bytes = fixture.read(&bundle);
        for length in [0, 1, 2, bytes.len() / 2, bytes.len() - 1] {
            fixture.write(&bundle, &bytes[..length]);
            assert_eq!(fixture.verdict(), "log.malformed", "{length}");
        }
        fixture.write(&bundle, &[bytes.as_slice(), &[0, 0]].concat());
        assert_eq!(fixture.verdict(), "log.malformed");
        std::fs::remove_file(fixture.path(&bundle)).unwrap();
        assert_eq!(fixture.verdict(), "log.missing");
    }
}

#[test]
fn a_tile_that_was_changed_or_is_missing() {
    let fixture = Fixture::new(SIZE);
    for (tile, expected) in [
        (fixture.tile(0, 0), "log.tile"),
        (fixture.tile(0, 1), "log.tile"),
        // The unfinished ones make the root together.
        (fixture.tile(0, 2), "log.root"),
        (fixture.tile(1, 0), "log.root"),
    ] {
        let resource = Resource::Tile(tile);
        let bytes = fixture.read(&resource);
        let mut changed = bytes.clone();
        changed[40] ^= 1;
        fixture.write(&resource, &changed);
        assert_eq!(fixture.verdict(), expected, "{resource}");
        fixture.write(&resource, &bytes[..bytes.len() - 32]);
        assert_eq!(fixture.verdict(), "log.malformed", "{resource}");
        std::fs::remove_file(fixture.path(&resource)).unwrap();
        assert_eq!(fixture.verdict(), "log.missing", "{resource}");
        fixture.write(&resource, &bytes);
    }
    assert_eq!(fixture.verdict(), "verified");
}

/// A bundle and its tile both rewritten: then the tile above tells.
#[test]
fn an_entry_and_its_tile() {
    let fixture = Fixture::new(SIZE);
    fixture.meddle(0, |entries| entries[9] = leaf(99_999));
    let tile = Resource::Tile(fixture.tile(0, 0));
    let mut hashes = fixture.read(&tile);
    hashes.splice(9 * 32..10 * 32, leaf_hash(&leaf(99_999)).0);
    fixture.write(&tile, &hashes);
    assert_eq!(fixture.verdict(), "log.tile");
}

/// Entries and every tile rewritten so that all agree: then only the signed root tells.
#[test]
fn a_whole_tree_rewritten() {
    let fixture = Fixture::new(SIZE);
    rewrite(
        &fixture,
        |number| leaf(if number == 9 { 99_999 } else { number }),
        SIZE,
    );
    assert_eq!(fixture.verdict(), "log.root");
}

/// Writes entries and tiles of another tree, and leaves the checkpoint.
fn rewrite(fixture: &Fixture, leaf: impl Fn(u64) -> Vec<u8>, size: u64) {
    let mut tree = TileBuilder::new();
    let leaves: Vec<_> = (0..size).map(leaf).collect();
    for leaf in &leaves {
        tree.append(leaf_hash(leaf)).unwrap();
    }
    for (tile, bytes) in tree.take_changed() {
        if tiles_of(0, size).any(|wanted: Tile| wanted == tile) {
            fixture.write(&Resource::Tile(tile), &bytes);
        }
    }
    for (index, entries) in (0..).zip(leaves.chunks(256)) {
        fixture.write(&fixture.bundle(index), &encode_entries(entries).unwrap());
    }
}

#[test]
fn a_checkpoint_of_somebody_else() {
    let sign = |key: &SigningKey, fixture: &Fixture| -> SignedNote {
        let mut checkpoint = fixture.log.checkpoint();
        checkpoint.origin = key.name().to_owned();
        sign_checkpoint(&checkpoint, key).unwrap()
    };
    let put = |fixture: &Fixture, note: &SignedNote| {
        fixture.write(&Resource::Checkpoint, note.to_string().as_bytes());
    };
    let fixture = Fixture::new(SIZE);

    let other = SigningKey::generate("example.com/other", KeyKind::Log).unwrap();
    put(&fixture, &sign(&other, &fixture));
    assert_eq!(fixture.verdict(), "log.origin");

    let impostor = SigningKey::generate(ORIGIN, KeyKind::Log).unwrap();
    put(&fixture, &sign(&impostor, &fixture));
    assert_eq!(fixture.verdict(), "log.signature");

    put(&fixture, &sign(fixture.log.key(), &fixture));
    assert_eq!(fixture.verdict(), "log.quorum");
    assert!(LogReader::open_log_only(fixture.log.folder(), &fixture.trust).is_ok());

    for text in ["", "\n", "not a note", "\u{0}"] {
        fixture.write(&Resource::Checkpoint, text.as_bytes());
        assert_eq!(fixture.verdict(), "log.malformed", "{text:?}");
    }
    fixture.write(&Resource::Checkpoint, &[0xff, 0xfe]);
    assert_eq!(fixture.verdict(), "log.malformed");
    std::fs::remove_file(fixture.path(&Resource::Checkpoint)).unwrap();
    assert_eq!(fixture.verdict(), "log.missing");
}

#[test]
fn any_byte_of_the_checkpoint() {
    let fixture = Fixture::new(3);
    let mut bytes = fixture.read(&Resource::Checkpoint);
    for at in 0..bytes.len() {
        bytes[at] ^= 1;
        fixture.write(&Resource::Checkpoint, &bytes);
        assert_ne!(fixture.verdict(), "verified", "{at}");
        bytes[at] ^= 1;
    }
}

#[test]
fn withheld_cosignatures() {
    let mut fixture = Fixture::new(SIZE);
    fixture.log.publish_cosigned(&[Some(5)]).unwrap();
    assert_eq!(fixture.verdict(), "log.quorum");
    let one = fixture.log.trust(1).unwrap();
    verify(fixture.log.folder(), &one, 1).unwrap();
    fixture.log.publish_cosigned(&[None, Some(5)]).unwrap();
    assert_eq!(fixture.verdict(), "log.quorum");
    fixture.log.publish_cosigned(&[Some(4), Some(5)]).unwrap();
    assert_eq!(fixture.verdict(), "verified");
}

#[test]
fn a_log_that_was_rolled_back() {
    let mut fixture = Fixture::new(500);
    let old_checkpoint = fixture.read(&Resource::Checkpoint);
    fixture.grow(SIZE);
    let kept = LogReader::open(fixture.log.folder(), &fixture.trust)
        .unwrap()
        .head()
        .clone();
    fixture.write(&Resource::Checkpoint, &old_checkpoint);
    // By itself it is a fine log.
    assert_eq!(fixture.verdict(), "verified");
    let reader = LogReader::open(fixture.log.folder(), &fixture.trust).unwrap();
    assert_eq!(id(reader.check_extends(&kept)), "log.behind");
}

/// Two logs under one key, for two readers.
#[test]
fn a_forked_log() {
    let fork = |fixture: &Fixture, size: u64| {
        let directory = tempfile::tempdir().unwrap();
        let key = SigningKey::parse(&fixture.log.key().to_text()).unwrap();
        let mut other = MockLog::with_keys(directory.path(), key, Vec::new()).unwrap();
        for number in 0..size {
            let number = if number == 9 { 99_999 } else { number };
            other.append(&entry(number)).unwrap();
        }
        other.publish(1_000).unwrap();
        (directory, other)
    };
    let fixture = Fixture::new(SIZE);
    let reader = LogReader::open(fixture.log.folder(), &fixture.trust).unwrap();
    for (size, expected) in [
        (SIZE, "log.forked"),
        (SIZE - 1, "log.consistency"),
        (10, "log.consistency"),
        // Up to entry 9 both are the same.
        (9, "accepted"),
        (SIZE + 1, "log.behind"),
    ] {
        let (_directory, other) = fork(&fixture, size);
        let trust = other.trust(0).unwrap();
        let other = LogReader::open(other.folder(), &trust).unwrap();
        assert_eq!(id(reader.check_extends(other.head())), expected, "{size}");
    }
}

/// A larger size than there is: nothing is read beyond what the tiles show.
#[test]
fn a_checkpoint_that_promises_too_much() {
    let fixture = Fixture::new(SIZE);
    for size in [SIZE + 1, 1 << 40, u64::MAX >> 1] {
        let mut checkpoint = fixture.log.checkpoint();
        checkpoint.size = size;
        let note = sign_checkpoint(&checkpoint, fixture.log.key()).unwrap();
        fixture.write(&Resource::Checkpoint, note.to_string().as_bytes());
        let trust = fixture.log.trust(0).unwrap();
        let opened = LogReader::open(fixture.log.folder(), &trust);
        assert!(["log.missing", "log.root"].contains(&id(opened)));
    }
}

/// What is wrong in one place does not spoil the rest for those who read only the rest.
#[test]
fn reading_stops_where_it_is_wrong() {
    let fixture = Fixture::new(SIZE);
    fixture.meddle(1, |entries| entries[100] = leaf(1));
    let reader = LogReader::open(fixture.log.folder(), &fixture.trust).unwrap();
    assert_eq!(reader.entries(0..256).filter(Result::is_ok).count(), 256);
    let mut entries = reader.entries(0..SIZE);
    assert_eq!(entries.by_ref().take_while(Result::is_ok).count(), 256);
    assert!(entries.next().is_none());
    assert_eq!(id(reader.entry(300)), "log.entries");
    assert_eq!(reader.entry(599).unwrap(), leaf(599));
}

/// A leaf that is in the tree and is no entry: the tree is sound, and the entry is refused.
#[test]
fn a_leaf_that_is_no_entry() {
    let mut fixture = Fixture::new(3);
    fixture.log.append_leaf(b"{}").unwrap();
    fixture.log.publish(1_001).unwrap();
    assert_eq!(fixture.verdict(), "log.entry");
    let reader = LogReader::open(fixture.log.folder(), &fixture.trust).unwrap();
    reader.verify_all(1, |_, _| Ok(())).unwrap();
}
