//! The log as it is stored: every way in which somebody might edit it, and what its readers and proofs see.

use super::*;

#[tokio::test]
async fn entries_can_be_neither_edited_nor_cut_off_nor_removed() {
    for (edit, row) in [
        (
            "UPDATE entry SET leaf = x'7b7d' WHERE sequence = 5",
            "entry 5",
        ),
        (
            "UPDATE entry SET leaf = cast(replace(leaf, 'refused', 'REFUSED') AS BLOB) WHERE sequence = 5",
            "entry 5",
        ),
        (
            "UPDATE entry SET hash = zeroblob(32) WHERE sequence = 0",
            "entry 0",
        ),
        (
            "UPDATE entry SET hash = zeroblob(31) WHERE sequence = 0",
            "entry 0",
        ),
        ("UPDATE entry SET epoch = 1 WHERE sequence = 2", "entry 2"),
        (
            "UPDATE entry SET mark = x'6f' WHERE sequence = 5",
            "entry 5",
        ),
        ("UPDATE entry SET mark = NULL WHERE sequence = 3", "entry 3"),
        ("DELETE FROM entry WHERE sequence = 2", "entry 2"),
        (
            "DELETE FROM entry WHERE sequence = 5",
            "5 entries instead of 6",
        ),
        ("DELETE FROM entry", "0 entries instead of 6"),
        (
            "UPDATE entry SET sequence = 6 WHERE sequence = 5",
            "entry 5",
        ),
        (
            "INSERT INTO entry SELECT 6, epoch, leaf, hash, NULL FROM entry WHERE sequence = 5",
            "7 entries instead of 6",
        ),
        // Two that change places, with their hashes and marks.
        (
            "UPDATE entry SET sequence = -1 WHERE sequence = 3;
             UPDATE entry SET sequence = 3 WHERE sequence = 4;
             UPDATE entry SET sequence = 4 WHERE sequence = -1",
            "one of the entries 0 to 5",
        ),
    ] {
        let fixture = Fixture::with_keys().await;
        fixture.edit(edit);
        let expected = StoreError::Altered {
            table: "entry",
            row: row.to_owned(),
        };
        assert_eq!(fixture.refused(), expected, "{edit}");
        assert_eq!(fixture.check().unwrap_err(), expected, "{edit}");
    }
}

/// Whoever edits an entry and its hash alike is found by the tile over it, or by the signed root.
#[tokio::test]
async fn an_entry_edited_with_its_hash_is_noticed() {
    let other = summary(90_000).entry.to_leaf().unwrap();
    let edit = |sequence: u64| {
        let hash = hex::encode(narthex_ledger::leaf_hash(&other).0);
        let leaf = hex::encode(&other);
        format!("UPDATE entry SET leaf = x'{leaf}', hash = x'{hash}' WHERE sequence = {sequence}")
    };
    for (sequence, place) in [
        (300, "entry 300, or tile 1 over it"),
        (511, "entry 511, or tile 1 over it"),
        (513, "one of the entries 512 to 599"),
        (599, "one of the entries 512 to 599"),
    ] {
        let fixture = Fixture::with_entries(600).await;
        fixture.edit(&edit(sequence));
        let expected = StoreError::Altered {
            table: "entry",
            row: place.to_owned(),
        };
        assert_eq!(fixture.refused(), expected, "{sequence}");
    }
}

#[tokio::test]
async fn tiles_can_be_neither_edited_nor_removed_nor_added() {
    for (edit, table, row) in [
        (
            "UPDATE tile SET hashes = zeroblob(32 * 256) WHERE level = 0 AND position = 1",
            "entry",
            "entry 256, or tile 1 over it",
        ),
        (
            "UPDATE tile SET hashes = zeroblob(33) WHERE level = 0 AND position = 1",
            "tile",
            "epoch 0, level 0, tile 1",
        ),
        (
            "DELETE FROM tile WHERE level = 0 AND position = 0",
            "tile",
            "epoch 0, level 0, tile 0",
        ),
        (
            "UPDATE tile SET hashes = zeroblob(64) WHERE level = 1",
            "tile",
            "epoch 0, level 1, tile 0",
        ),
        (
            "UPDATE tile SET hashes = zeroblob(32) WHERE level = 1",
            "tile",
            "epoch 0, level 1, tile 0",
        ),
        (
            "DELETE FROM tile WHERE level = 1",
            "tile",
            "epoch 0, level 1, tile 0",
        ),
        (
            "INSERT INTO tile VALUES (0, 2, 0, zeroblob(32))",
            "tile",
            "not 3 tiles",
        ),
        (
            "INSERT INTO tile VALUES (0, 0, 2, zeroblob(32 * 88))",
            "tile",
            "not 3 tiles",
        ),
    ] {
        let fixture = Fixture::with_entries(600).await;
        fixture.edit(edit);
        let expected = StoreError::Altered {
            table,
            row: row.to_owned(),
        };
        assert_eq!(fixture.refused(), expected, "{edit}");
        assert_eq!(fixture.check().unwrap_err(), expected, "{edit}");
    }
}

#[tokio::test]
async fn checkpoints_can_be_neither_edited_nor_put_back() {
    let fixture = Fixture::with_keys().await;
    fixture.edit("CREATE TABLE side.kept AS SELECT * FROM checkpoint");
    let (database, opened) = fixture.open().unwrap();
    change(&opened.store, "b", 1, KeyState::Disabled).await;
    close(opened);
    drop(database);
    let altered = |kind: CheckpointKind| Err(kind.altered());
    let refused = |fixture: &Fixture| fixture.open().map(|_| ());
    fixture.edit("CREATE TABLE side.good AS SELECT * FROM checkpoint");
    for edit in [
        // An older one, which was signed.
        "REPLACE INTO checkpoint SELECT * FROM side.kept",
        "DELETE FROM checkpoint WHERE kind = 'signed'",
        "UPDATE checkpoint SET size = size - 1 WHERE kind = 'signed'",
        "UPDATE checkpoint SET epoch = 1 WHERE kind = 'signed'",
        "UPDATE checkpoint SET note = replace(note, 'example.com/log', 'example.com/gol')",
        "UPDATE checkpoint SET note = 'nothing' WHERE kind = 'signed'",
    ] {
        fixture.edit(edit);
        assert_eq!(refused(&fixture), altered(CheckpointKind::Signed), "{edit}");
        fixture.edit("REPLACE INTO checkpoint SELECT * FROM side.good");
    }
    // The cosigned one may be older, but it must be of this tree.
    fixture.edit("REPLACE INTO checkpoint SELECT 'cosigned', epoch, size, note FROM side.kept");
    assert_eq!(refused(&fixture), Ok(()));
    let forged = narthex_ledger::sign_checkpoint(
        &narthex_ledger::Checkpoint {
            origin: "example.com/log".to_owned(),
            size: 3,
            root: narthex_ledger::leaf_hash(b"another tree"),
        },
        &fixture.log_key,
    )
    .unwrap();
    fixture.edit(&format!(
        "UPDATE checkpoint SET size = 3, note = '{forged}' WHERE kind = 'cosigned'"
    ));
    assert_eq!(
        refused(&fixture),
        altered(CheckpointKind::Cosigned),
        "signed by the log itself, and of another tree"
    );
    fixture.edit("UPDATE checkpoint SET size = 30 WHERE kind = 'cosigned'");
    assert_eq!(refused(&fixture), altered(CheckpointKind::Cosigned));
}

#[tokio::test]
async fn epochs_can_not_be_edited() {
    let stranger = log_key("example.com/log").verifier_key().to_string();
    for edit in [
        format!("UPDATE epoch SET log_key = '{stranger}'"),
        "UPDATE epoch SET first_sequence = 1".to_owned(),
        "UPDATE epoch SET size = 1".to_owned(),
        "DELETE FROM epoch".to_owned(),
        format!("INSERT INTO epoch VALUES (1, '{stranger}', 6, NULL, NULL, NULL)"),
    ] {
        let fixture = Fixture::with_keys().await;
        fixture.edit(&edit);
        let refused = fixture.refused();
        let StoreError::Altered { table: "epoch", .. } = refused else {
            panic!("{edit}: {refused:?}");
        };
    }
}

#[tokio::test]
async fn another_log_key_opens_nothing() {
    let mut fixture = Fixture::with_keys().await;
    let right = std::mem::replace(&mut fixture.log_key, log_key("example.com/log"));
    let refused = fixture.refused();
    assert_eq!(refused.id(), "storage.log_key");
    assert!(
        refused
            .to_string()
            .contains(&right.verifier_key().to_string())
    );
    fixture.log_key = right;
    assert!(fixture.open().is_ok());
}

#[tokio::test]
async fn altered_and_missing_evidence_is_found_by_check() {
    for (edit, altered) in [
        (
            "UPDATE evidence SET content = cast(x'00' || substr(content, 2) AS BLOB) WHERE sequence = 5",
            vec!["of entry 5"],
        ),
        (
            "DELETE FROM evidence WHERE sequence = 3",
            vec!["of entry 3"],
        ),
        (
            "UPDATE evidence SET digest = zeroblob(48) WHERE sequence = 0",
            vec!["of entry 0"],
        ),
        (
            "UPDATE evidence SET digest = zeroblob(48) WHERE sequence = 2;
             UPDATE evidence SET content = (SELECT content FROM evidence WHERE sequence = 2)
             WHERE sequence = 4",
            vec!["of entry 2", "of entry 4"],
        ),
    ] {
        let fixture = Fixture::with_keys().await;
        assert_eq!(fixture.check().unwrap().evidence.sound, 5);
        fixture.edit(edit);
        let findings = fixture.check().unwrap();
        let expected: Vec<_> = altered
            .iter()
            .map(|row| StoreError::Altered {
                table: "evidence",
                row: (*row).to_owned(),
            })
            .collect();
        assert_eq!(findings.evidence.altered, expected, "{edit}");
        // Nothing is decided on it again, so nothing stops for it.
        assert!(fixture.open().is_ok());
    }
}

#[tokio::test]
async fn evidence_that_an_entry_says_was_purged_is_not_missing() {
    let fixture = Fixture::with_keys().await;
    let (_database, opened) = fixture.open().unwrap();
    let purge = |before| {
        Record::of(Entry::Purge(narthex_ledger::PurgeEntry {
            time: NOW.0 + 1,
            before,
            kinds: vec![narthex_ledger::EvidenceKind::KeyRequest],
            count: 1,
        }))
    };
    opened
        .store
        .write(move |writing| {
            writing
                .connection()
                .execute("DELETE FROM evidence WHERE kind = 'key-request'", [])?;
            writing.record(purge(NOW.0))
        })
        .await
        .unwrap();
    assert_eq!(
        fixture.check().unwrap().evidence.altered.len(),
        1,
        "not that old"
    );
    opened
        .store
        .write(move |writing| writing.record(purge(NOW.0 + 1)))
        .await
        .unwrap();
    let findings = fixture.check().unwrap().evidence;
    assert_eq!((findings.sound, findings.purged), (4, 1));
    assert!(findings.altered.is_empty());
    fixture.edit("DELETE FROM evidence WHERE kind = 'administration' AND sequence = 2");
    assert_eq!(
        fixture.check().unwrap().evidence.altered.len(),
        1,
        "of another kind"
    );
    close(opened);
}

/// What is published is durable, continues what was published before, and proves what it says.
#[tokio::test]
async fn every_group_ends_with_a_checkpoint_that_continues_the_last() {
    let fixture = Fixture::new();
    let (_database, opened) = fixture.open().unwrap();
    let published = opened.store.published();
    let mut before = published.borrow().clone();
    assert_eq!(before.newest.size, 2);
    assert!(
        before.current.is_some(),
        "it ends with the word about the genesis"
    );
    for round in 0_u64..40 {
        let results = futures_join((0..round % 30).map(|number| {
            opened
                .store
                .write(move |writing| writing.record(summary(number)))
        }))
        .await;
        let now = published.borrow().clone();
        let tree = opened.store.tree();
        for recorded in results {
            let recorded = recorded.unwrap();
            assert!(recorded.index < now.newest.size);
            let proof = tree
                .with(0, |tree| {
                    prove_inclusion(tree, recorded.index, now.newest.size)
                })
                .unwrap()
                .unwrap();
            let root = narthex_ledger::Hash(now.newest.root);
            verify_inclusion(
                recorded.index,
                now.newest.size,
                &recorded.hash,
                &proof,
                &root,
            )
            .unwrap();
        }
        let (old, new) = (&before.newest, &now.newest);
        let consistent = tree
            .with(0, |tree| prove_consistency(tree, old.size, new.size))
            .unwrap()
            .unwrap();
        verify_consistency(
            old.size,
            &narthex_ledger::Hash(old.root),
            new.size,
            &narthex_ledger::Hash(new.root),
            &consistent,
        )
        .unwrap();
        let note = SignedNote::parse(&new.note).unwrap();
        let signature = &note.signatures()[0];
        let key = fixture.log_key.verifier_key();
        key.verify(note.text(), signature).unwrap();
        before = now;
    }
    let last_current = before.current.clone().unwrap();
    assert_eq!(last_current.size, 2);
    opened
        .store
        .write(|writing| {
            writing.request_current(UnixMillis(NOW.0 + 5));
            Ok(())
        })
        .await
        .unwrap();
    let now = published.borrow().clone();
    assert_eq!(now.newest.size, before.newest.size + 1);
    assert_eq!(now.current.unwrap().size, now.newest.size);
    close(opened);
}

/// A bundle is followed, in its group, by the word that it is in force, whatever else is in the group.
#[tokio::test]
async fn a_bundle_ends_its_group_with_the_word_that_it_is_in_force() {
    let fixture = Fixture::new();
    let (database, opened) = fixture.open().unwrap();
    let store = opened.store.clone();
    let bundle = genesis_file(
        b"second".to_vec(),
        vec!["signature".to_owned()],
        UnixMillis(7),
    );
    let digest = bundle.digest();
    let record = policy(&bundle, "2");
    let jobs = (0..5_u64).map(|number| {
        let (store, bundle, record) = (store.clone(), bundle.clone(), record.clone());
        async move {
            store
                .write(move |writing| {
                    if number == 2 {
                        writing.insert_policy_file(bundle)?;
                        return writing.record(record);
                    }
                    if number == 4 {
                        writing.request_current(NOW);
                        return Err(StoreError::PolicyMoved);
                    }
                    writing.record(summary(number))
                })
                .await
        }
    });
    futures_join(jobs).await;
    drop(store);
    close(opened);
    drop(database);
    let mut entries = Vec::new();
    super::entries(&fixture.config, &fixture.root_keys, |recorded| {
        entries.push(recorded.entry.clone());
    })
    .unwrap();
    let currents: Vec<_> = entries
        .iter()
        .enumerate()
        .filter_map(|(place, entry)| match entry {
            Entry::Current(current) => Some((place, current.time, current.version)),
            _ => None,
        })
        .collect();
    let place = entries
        .iter()
        .position(|entry| matches!(entry, Entry::Policy(policy) if policy.files[0].version == "2"))
        .unwrap();
    assert_eq!(currents.len(), 2, "{entries:?}");
    assert!(currents[1].0 > place);
    assert_eq!((currents[1].1, currents[1].2), (7, 2));
    let Entry::Current(current) = &entries[currents[1].0] else {
        panic!();
    };
    assert_eq!(current.bundle.0, digest.0);
    assert!(fixture.open().is_ok());
}

#[tokio::test]
async fn readers_see_leaves_tiles_and_evidence() {
    let fixture = Fixture::with_entries(700).await;
    let view = LogView::open(&fixture.config).unwrap();
    let epochs = view.epochs().unwrap();
    let [epoch] = epochs.as_slice() else {
        panic!("{epochs:?}");
    };
    assert_eq!(epoch.origin(), "example.com/log");
    let leaves = view.leaves(epoch, 0, 1000).unwrap();
    assert_eq!(leaves.len(), 700);
    assert_eq!(view.leaves(epoch, 512, 768).unwrap(), leaves[512..]);
    let expected: Vec<_> = leaves
        .iter()
        .map(|leaf| narthex_ledger::leaf_hash(leaf))
        .collect();
    for (from, until) in [(0, 256), (256, 300), (512, 700), (512, 513)] {
        let found = view.hashes(epoch, 0, from, until).unwrap().unwrap();
        let place = |number: u64| usize::try_from(number).unwrap();
        assert_eq!(found, expected[place(from)..place(until)]);
    }
    assert_eq!(view.hashes(epoch, 0, 512, 701).unwrap(), None);
    let upper = view.hashes(epoch, 1, 0, 2).unwrap().unwrap();
    assert_eq!(upper[1], narthex_ledger::root_of(&expected[256..512]));
    assert_eq!(view.hashes(epoch, 1, 0, 3).unwrap(), None);
    let stored = view.checkpoint(CheckpointKind::Signed).unwrap().unwrap();
    assert_eq!(stored.checkpoint.size, 700);
    for index in [0, 1, 255, 256, 511, 512, 699] {
        let proof = view.with_tree(epoch, |tree: &dyn HashSource<Error = StoreError>| {
            prove_inclusion(tree, index, 700)
        });
        let place = usize::try_from(index).unwrap();
        let root = &stored.checkpoint.root;
        verify_inclusion(index, 700, &expected[place], &proof.unwrap(), root).unwrap();
    }
    let Entry::Policy(first) = Entry::from_leaf(&leaves[0]).unwrap() else {
        panic!();
    };
    let digest = first.files[0].evidence;
    let bytes = view.evidence(&digest).unwrap().unwrap();
    narthex_ledger::SaltedEvidence::open(&digest, &bytes).unwrap();
}

/// One epoch ends, another begins, and everything is still checked from the first entry on.
#[tokio::test]
async fn a_new_epoch_continues_the_one_before() {
    let mut fixture = Fixture::with_keys().await;
    let (database, opened) = fixture.open().unwrap();
    let next = log_key("example.com/log2");
    let key = Arc::clone(&next);
    let bundle = genesis_file(b"second".to_vec(), vec!["signature".to_owned()], NOW);
    let evidence = Evidence::policy_file(&bundle.content, &bundle.signatures).unwrap();
    let evidence = SealedEvidence::new(evidence).unwrap();
    let old = opened.head;
    let recorded = opened
        .store
        .write(move |writing| {
            let end = writing.begin_epoch(key)?;
            let sha384 = Digest384(bundle.digest().0);
            writing.insert_policy_file(bundle)?;
            writing.record(Record {
                entry: Entry::Epoch(narthex_ledger::EpochEntry {
                    time: NOW.0,
                    old_origin: "example.com/log".to_owned(),
                    old_size: end.size,
                    old_root: end.root,
                    bundle: sha384,
                    version: 2,
                    evidence: evidence.digest(),
                    signers: vec![PersonId::of(&[0; 32], "alice")],
                }),
                evidence: vec![evidence],
            })
        })
        .await
        .unwrap();
    assert_eq!(
        (recorded.sequence, recorded.epoch, recorded.index),
        (old.count, 1, 0)
    );
    let published = opened.store.published().borrow().clone();
    assert_eq!((published.epoch, published.newest.size), (1, 2));
    assert_eq!(published.current.unwrap().size, 2);
    create(&opened.store, "c", 1).await.unwrap();
    close(opened);
    drop(database);
    assert_eq!(
        fixture.refused().id(),
        "storage.log_key",
        "the old key signs no more"
    );
    fixture.log_key = next;
    let (_database, opened) = fixture.open().unwrap();
    assert_eq!((opened.head.epoch, opened.head.size), (1, 3));
    let [first, second] = opened.epochs.as_slice() else {
        panic!("{:?}", opened.epochs);
    };
    assert_eq!(first.end.as_ref().unwrap().root, old.root);
    assert_eq!(second.first_sequence, old.count);
    assert_eq!(fixture.check().unwrap().evidence.altered, []);
    close(opened);
    for edit in [
        "UPDATE entry SET epoch = 1 WHERE sequence = 5",
        "UPDATE entry SET epoch = 0 WHERE sequence = 6",
        "UPDATE epoch SET first_sequence = 5 WHERE number = 1",
        "UPDATE epoch SET note = 'x' WHERE number = 0",
    ] {
        fixture.edit(&format!(
            "CREATE TABLE IF NOT EXISTS side.entries AS SELECT * FROM entry;
             CREATE TABLE IF NOT EXISTS side.epochs AS SELECT * FROM epoch; {edit}"
        ));
        assert_eq!(
            fixture.check().unwrap_err().id(),
            "storage.row_altered",
            "{edit}"
        );
        fixture.edit(
            "REPLACE INTO entry SELECT * FROM side.entries; REPLACE INTO epoch SELECT * FROM side.epochs",
        );
        fixture.check().unwrap();
    }
}

/// What a mirror brings is taken over as it is, and counts as if it had been written here.
#[tokio::test]
async fn imported_entries_have_their_consequences() {
    let source = Fixture::with_keys().await;
    let view = LogView::open(&source.config).unwrap();
    let epoch = view.epochs().unwrap().remove(0);
    let leaves = view.leaves(&epoch, 0, 100).unwrap();
    let copy = Fixture::new();
    let (_database, opened) = copy.open().unwrap();
    let new = leaves[2..].to_vec();
    let repeated = leaves[3..4].to_vec();
    let imported = opened
        .store
        .write(move |writing| writing.import(new))
        .await
        .unwrap();
    assert_eq!(imported.len(), 4);
    let again = opened.store.write(move |writing| writing.import(repeated));
    assert_eq!(again.await.unwrap_err(), StoreError::MarkUsed);
    // Several entries of one call name the same evidence.
    let shared = SealedEvidence::new(Evidence::order(b"order", b"signature", &[b""; 0]).unwrap());
    let shared = shared.unwrap();
    let of = imported[0].clone();
    let twice = opened.store.write(move |writing| {
        writing.import_evidence(&of, &shared)?;
        writing.import_evidence(&of, &shared)
    });
    twice.await.unwrap();
    let junk = opened
        .store
        .write(move |writing| writing.import(vec![b"{}".to_vec()]));
    assert_eq!(junk.await.unwrap_err().id(), "storage.entry");
    let versions = opened
        .store
        .write(|writing| Ok((writing.versions("a").len(), writing.size())))
        .await
        .unwrap();
    assert_eq!(versions, (2, 6));
    close(opened);
    let missing = copy.check().unwrap();
    assert_eq!(missing.altered_keys.len(), 3, "their material is elsewhere");
    assert_eq!(missing.evidence.altered.len(), 4, "so is their evidence");
}

/// What a row costs; run by hand in a release build.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn what_an_entry_costs() {
    let count: u64 = std::env::var("ENTRIES").map_or(20_000, |text| text.parse().unwrap());
    let mut fixture = Fixture::new();
    fixture.config.max_mebibytes = 100_000;
    let (database, opened) = fixture.open().unwrap();
    let request = [7; 6000];
    let began = std::time::Instant::now();
    let mut at = 0_u64;
    while at < count {
        let group = 256.min(count - at);
        let jobs: Vec<_> = (at..at + group)
            .map(|number| {
                let mut session = [0; 32];
                session[..8].copy_from_slice(&number.to_be_bytes());
                let record = release(session, Decision::Accepted, &request);
                opened.store.write(move |writing| writing.record(record))
            })
            .collect();
        let results = futures_join(jobs.into_iter()).await;
        assert!(results.iter().all(Result::is_ok));
        at += group;
    }
    let took = began.elapsed();
    println!(
        "{count} entries in {took:?}, {:.1} us each",
        took.as_secs_f64() * 1e6 / count as f64
    );
    let tree = opened.store.tree().clone();
    let size = opened.store.published().borrow().newest.size;
    let began = std::time::Instant::now();
    for index in size - 1000..size {
        tree.with(0, |tree| prove_inclusion(tree, index, size))
            .unwrap()
            .unwrap();
    }
    println!("a proof: {:.1} us", began.elapsed().as_secs_f64() * 1e3);
    close(opened);
    drop(database);
    let began = std::time::Instant::now();
    let (_database, opened) = fixture.open().unwrap();
    println!("open: {:?}", began.elapsed());
    close(opened);
    let size = std::fs::metadata(&fixture.config.database).unwrap().len();
    println!("{} bytes each", size / count);
}
