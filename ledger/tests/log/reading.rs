//! What an honest log gives out.

use std::sync::Mutex;

use narthex_ledger::{
    Entry, Evidence, InEpoch, KeyKind, LogError, LogReader, LogReason, Resource, SaltedEvidence,
    SigningKey, TILE_WIDTH, leaf_hash,
};

use super::support::{Fixture, ORIGIN, SIZE, entry, id, leaf, verify};

#[test]
fn logs_of_many_sizes_verify() {
    for size in [0, 1, 2, 3, 255, 256, 257, 511, 512, 513, SIZE, 1025] {
        let fixture = Fixture::new(size);
        for threads in [0, 1, 2, 7] {
            verify(fixture.log.folder(), &fixture.trust, threads).unwrap();
        }
    }
}

/// Three levels of tiles.
#[test]
fn a_deep_log_verifies() {
    let fixture = Fixture::new(66_000);
    verify(fixture.log.folder(), &fixture.trust, 2).unwrap();
    let reader = LogReader::open(fixture.log.folder(), &fixture.trust).unwrap();
    let proof = reader.prove(65_999, None).unwrap();
    proof.verify(&leaf(65_999), &fixture.trust).unwrap();
}

#[test]
fn every_entry_is_visited_once() {
    let fixture = Fixture::new(SIZE);
    let reader = LogReader::open(fixture.log.folder(), &fixture.trust).unwrap();
    let seen = Mutex::new(vec![0_u32; usize::try_from(SIZE).unwrap()]);
    let verified = reader
        .verify_all(4, |index, bytes| {
            assert_eq!(bytes, leaf(index));
            seen.lock().unwrap()[usize::try_from(index).unwrap()] += 1;
            Ok(())
        })
        .unwrap();
    assert!(seen.into_inner().unwrap().iter().all(|count| *count == 1));
    assert_eq!(verified.size, SIZE);
    assert_eq!(verified.root, fixture.log.checkpoint().root);
    let bytes: usize = (0..SIZE).map(|number| leaf(number).len()).sum();
    assert_eq!(verified.bytes, bytes as u64);
}

/// However many threads there are, the refusal is the one that stands first.
#[test]
fn the_first_refusal_is_reported() {
    let fixture = Fixture::new(SIZE);
    let reader = LogReader::open(fixture.log.folder(), &fixture.trust).unwrap();
    for threads in [1, 2, 8] {
        let refused = reader.verify_all(threads, |index, _| {
            if index % 100 == 99 {
                return Err(LogError::new(LogReason::Entry, format!("no {index}")));
            }
            Ok(())
        });
        assert_eq!(refused.unwrap_err().detail(), "entry 99: no 99");
    }
}

#[test]
fn entries_stream_in_order() {
    let fixture = Fixture::new(SIZE);
    let reader = LogReader::open(fixture.log.folder(), &fixture.trust).unwrap();
    for (start, end) in [
        (0, SIZE),
        (0, 1),
        (255, 257),
        (256, 512),
        (300, 300),
        (599, 600),
        (590, 10_000),
        (600, 700),
        (10, 5),
        (u64::MAX, u64::MAX),
        (0, u64::MAX),
    ] {
        let read: Vec<_> = reader
            .entries(start..end)
            .collect::<Result<_, _>>()
            .unwrap();
        let expected: Vec<_> = (start..end.min(SIZE)).map(|n| (n, leaf(n))).collect();
        assert_eq!(read, expected, "{start}..{end}");
    }
    assert_eq!(reader.entry(257).unwrap(), leaf(257));
    assert_eq!(
        Entry::from_leaf(&reader.entry(0).unwrap()).unwrap(),
        entry(0)
    );
    assert_eq!(id(reader.entry(SIZE)), "log.missing");
    assert_eq!(id(reader.entry(u64::MAX)), "log.missing");
}

#[test]
fn proofs_of_every_entry_hold() {
    let fixture = Fixture::new(SIZE);
    let reader = LogReader::open(fixture.log.folder(), &fixture.trust).unwrap();
    for index in 0..SIZE {
        let proof = reader.prove(index, None).unwrap();
        proof.verify(&leaf(index), &fixture.trust).unwrap();
        let other = proof.verify(&leaf(index + 1), &fixture.trust);
        assert_eq!(id(other), "log.inclusion");
    }
    assert_eq!(id(reader.prove(SIZE, None)), "log.missing");
    assert_eq!(id(reader.prove(u64::MAX, None)), "log.missing");
}

/// A copy that went on growing still reads as it was, although what was partial has been filled and cleared away.
#[test]
fn a_grown_log_reads_as_it_was() {
    let mut fixture = Fixture::new(SIZE);
    let old = LogReader::open(fixture.log.folder(), &fixture.trust)
        .unwrap()
        .head()
        .clone();
    let partial = [fixture.bundle(2), Resource::Tile(fixture.tile(0, 2))];
    fixture.grow(1000);
    for resource in &partial {
        fixture.log.folder().remove(resource).unwrap();
        fixture.log.folder().remove(resource).unwrap();
    }
    let reader = LogReader::at(fixture.log.folder(), old.clone()).unwrap();
    assert_eq!(reader.size(), SIZE);
    assert_eq!(reader.verify_all(2, |_, _| Ok(())).unwrap().size, SIZE);
    assert_eq!(reader.entries(0..u64::MAX).count(), 600);
    let newer = LogReader::open(fixture.log.folder(), &fixture.trust).unwrap();
    newer.check_extends(&old).unwrap();
    newer.check_extends(newer.head()).unwrap();
}

#[test]
fn every_log_extends_each_of_its_own_checkpoints() {
    let mut fixture = Fixture::new(0);
    let mut kept = Vec::new();
    for size in [0, 1, 2, 3, 200, 256, 300, 512, 513, 1000] {
        fixture.grow(size);
        let reader = LogReader::open(fixture.log.folder(), &fixture.trust).unwrap();
        kept.push(reader.head().clone());
        for older in &kept {
            reader.check_extends(older).unwrap();
        }
    }
}

#[test]
fn evidence_is_found_by_its_digest() {
    let fixture = Fixture::new(1);
    let evidence = Evidence::order(b"order", b"signature", &["approval"]).unwrap();
    let salted = SaltedEvidence::new(evidence.clone()).unwrap();
    let digest = fixture.log.keep(&salted).unwrap();
    let reader = LogReader::open(fixture.log.folder(), &fixture.trust).unwrap();
    assert_eq!(reader.evidence(&digest).unwrap(), Some(salted));
    let other = SaltedEvidence::new(evidence).unwrap();
    assert_ne!(other.digest(), digest, "another salt");
    assert_eq!(reader.evidence(&other.digest()).unwrap(), None);
    let resource = Resource::Evidence(digest);
    let mut bytes = fixture.read(&resource);
    for at in 0..bytes.len() {
        bytes[at] ^= 1;
        fixture.write(&resource, &bytes);
        assert_eq!(id(reader.evidence(&digest)), "log.evidence");
        bytes[at] ^= 1;
    }
    fixture.log.folder().remove(&resource).unwrap();
    assert_eq!(reader.evidence(&digest).unwrap(), None);
}

#[test]
fn a_finished_epoch_is_a_log_of_its_own() {
    let mut fixture = Fixture::new(SIZE);
    let old_trust = fixture.trust;
    let evidence = Evidence::order(b"order", b"signature", &["approval"]).unwrap();
    let evidence = SaltedEvidence::new(evidence).unwrap();
    let digest = fixture.log.keep(&evidence).unwrap();
    let key = SigningKey::generate("example.com/log-2", KeyKind::Log).unwrap();
    assert_eq!(fixture.log.begin_epoch(key).unwrap(), 0);
    fixture.log.append(&entry(7)).unwrap();
    fixture.log.publish(3_000).unwrap();
    let folder = fixture.log.folder();
    let trust = fixture.log.trust(2).unwrap();
    let new = LogReader::open(folder, &trust).unwrap();
    assert_eq!(new.entry(0).unwrap(), leaf(7));
    let epoch = InEpoch {
        store: folder,
        epoch: 0,
    };
    verify(&epoch, &old_trust, 2).unwrap();
    let old = LogReader::open(&epoch, &old_trust).unwrap();
    assert_eq!(old.head().checkpoint().origin, ORIGIN);
    assert_eq!(old.evidence(&digest).unwrap(), Some(evidence));
    assert_eq!(id(LogReader::open(&epoch, &trust)), "log.origin");
    assert_eq!(id(new.check_extends(old.head())), "log.origin");
}

#[test]
fn the_tiles_are_those_of_the_entries() {
    let fixture = Fixture::new(SIZE);
    let reader = LogReader::open(fixture.log.folder(), &fixture.trust).unwrap();
    let hashes = reader.tiles().hashes(0, 1).unwrap();
    for (number, hash) in (u64::from(TILE_WIDTH)..).zip(hashes.iter()) {
        assert_eq!(*hash, leaf_hash(&leaf(number)));
    }
}
