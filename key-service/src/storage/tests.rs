//! The storage as a whole: what it keeps, and every way in which somebody might edit it.

use std::{sync::Arc, time::Duration};

use narthex_ledger::{
    AdministrationEntry, Decision, Digest384, Entry, Evidence, HashSource, KeyKind, PersonId,
    PolicyEntry, ReleaseEntry, ReleasedKey, SessionHash, SignedNote, SigningKey, SummaryEntry,
    prove_consistency, prove_inclusion, verify_consistency, verify_inclusion,
};
use rusqlite::Connection;
use tempfile::TempDir;

use super::*;
use crate::{
    clock::UnixMillis,
    config::StorageConfig,
    digest::Digest,
    metrics::Metrics,
    root_key::{RootKey, RootKeys},
};

struct Fixture {
    folder: TempDir,
    config: StorageConfig,
    root_keys: RootKeys,
    log_key: Arc<SigningKey>,
}

impl Fixture {
    /// With the genesis and the word that it is in force: entries 0 and 1.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = StorageConfig {
            database: folder.path().join("keys.sqlite"),
            root_key: folder.path().join("root.key"),
            static_key: folder.path().join("static.key"),
            log_key: folder.path().join("log.key"),
            max_mebibytes: 64,
        };
        let fixture = Self {
            folder,
            config,
            root_keys: RootKeys::generate().unwrap(),
            log_key: log_key("example.com/log"),
        };
        let database = Database::lock(&fixture.config).unwrap();
        let genesis = genesis_file(b"genesis".to_vec(), vec!["signature".to_owned()], NOW);
        let first = policy(&genesis, "1");
        database
            .initialise(
                &fixture.root_keys,
                Arc::clone(&fixture.log_key),
                genesis,
                first,
            )
            .unwrap();
        fixture
    }

    fn open(&self) -> Result<(Database, Opened), StoreError> {
        let database = Database::lock(&self.config)?;
        let metrics = Arc::new(Metrics::default());
        let log_key = Arc::clone(&self.log_key);
        let opened = database.open(&self.root_keys, log_key, 64, metrics)?;
        Ok((database, opened))
    }

    fn refused(&self) -> StoreError {
        match self.open() {
            Ok(_) => panic!("the database was opened"),
            Err(error) => error,
        }
    }

    fn altered_keys(&self) -> Vec<StoreError> {
        check(&self.config, &self.root_keys).unwrap().altered_keys
    }

    fn edit(&self, sql: &str) {
        let connection = Connection::open(&self.config.database).unwrap();
        // For what an editor keeps meanwhile: tables of their own would be noticed by themselves.
        let side = self.folder.path().join("side.sqlite");
        let attach = format!("ATTACH '{}' AS side", side.display());
        connection.execute_batch(&attach).unwrap();
        connection.execute_batch(sql).unwrap();
    }

    /// Two versions of `a` and one of `b`, and a refusal: entries 2 to 5.
    async fn with_keys() -> Self {
        let fixture = Self::new();
        let (_database, opened) = fixture.open().unwrap();
        for (name, version) in [("a", 1), ("a", 2), ("b", 1)] {
            create(&opened.store, name, version).await.unwrap();
        }
        opened
            .store
            .write(|writing| writing.record(refusal("key.unknown")))
            .await
            .unwrap();
        close(opened);
        fixture
    }

    /// With so many entries in all.
    async fn with_entries(count: u64) -> Self {
        let fixture = Self::new();
        let (_database, opened) = fixture.open().unwrap();
        opened
            .store
            .write(move |writing| {
                while writing.size() < count {
                    writing.record(summary(writing.size()))?;
                }
                Ok(())
            })
            .await
            .unwrap();
        close(opened);
        fixture
    }

    fn check(&self) -> Result<Findings, StoreError> {
        check(&self.config, &self.root_keys)
    }
}

fn log_key(origin: &str) -> Arc<SigningKey> {
    Arc::new(SigningKey::generate(origin, KeyKind::Log).unwrap())
}

const NOW: UnixMillis = UnixMillis(1_000_000);

fn close(opened: Opened) {
    let Opened { store, writer, .. } = opened;
    drop(store);
    writer.join().unwrap();
}

fn reference(name: &str, version: u32) -> KeyReference {
    KeyReference {
        name: name.to_owned(),
        version,
    }
}

fn secret(name: &str, version: u32) -> Vec<u8> {
    format!("{name:_<28}{version:04}").into_bytes()
}

fn key(name: &str, version: u32) -> KeyVersion {
    KeyVersion {
        reference: reference(name, version),
        state: KeyState::Enabled,
        origin: KeyOrigin::Created,
        shares: KeyShares::Service,
        bytes: 32,
        commitment: Digest::of(&secret(name, version)),
        created: NOW,
        changed: NOW,
        entry: 0,
    }
}

fn policy(file: &PolicyFile, version: &str) -> Record {
    let evidence = Evidence::policy_file(&file.content, &file.signatures).unwrap();
    let evidence = SealedEvidence::new(evidence).unwrap();
    let entry = Entry::Policy(PolicyEntry {
        time: NOW.0,
        decision: Decision::Accepted,
        files: vec![narthex_ledger::PolicyFile {
            kind: narthex_ledger::PolicyFileKind::Bundle,
            sha384: Digest384(file.digest().0),
            version: version.to_owned(),
            evidence: evidence.digest(),
            signers: vec![PersonId::of(&[0; 32], "alice")],
        }],
    });
    Record {
        entry,
        evidence: vec![evidence],
    }
}

/// An accepted call, of a new order each time.
fn administration(keys: &[&KeyVersion]) -> Record {
    let mut nonce = [0; 16];
    getrandom::fill(&mut nonce).unwrap();
    call(&nonce, keys)
}

fn call(order: &[u8], keys: &[&KeyVersion]) -> Record {
    let evidence = Evidence::administration(order, b"signature", &[b"approval"]).unwrap();
    let evidence = SealedEvidence::new(evidence).unwrap();
    let entry = AdministrationEntry {
        time: NOW.0,
        decision: Decision::Accepted,
        operation: Some("keys-create".to_owned()),
        order: Digest384::of(order),
        evidence: evidence.digest(),
        requester: Some(PersonId::of(&[0; 32], "dora")),
        approvers: Vec::new(),
        keys: keys.iter().map(|key| key.to_change()).collect(),
        root_key: None,
    };
    Record {
        entry: Entry::Administration(entry),
        evidence: vec![evidence],
    }
}

fn release(session: [u8; 32], decision: Decision, request: &[u8]) -> Record {
    let evidence = Evidence::key_request(&session, b"document", request).unwrap();
    let evidence = SealedEvidence::new(evidence).unwrap();
    let (mut keys, mut asked) = (Vec::new(), Vec::new());
    if decision.is_accepted() {
        keys.push(ReleasedKey {
            name: "a".to_owned(),
            version: 1,
            commitment: Digest384::of(b"a"),
        });
    } else {
        asked.push("a".to_owned());
    }
    let entry = ReleaseEntry {
        time: NOW.0,
        decision,
        enclave: "i-0123456789abcdef0-enc0123456789abcde".to_owned(),
        session: SessionHash(session),
        evidence: evidence.digest(),
        boot_bundle: Some(1),
        in_force: 1,
        release: None,
        keys,
        asked,
    };
    Record {
        entry: Entry::Release(entry),
        evidence: vec![evidence],
    }
}

fn refusal(reason: &str) -> Record {
    let reason = reason.to_owned();
    release([7; 32], Decision::Refused { reason }, b"request")
}

/// An entry without evidence.
fn summary(number: u64) -> Record {
    Record::of(Entry::Summary(SummaryEntry {
        time: NOW.0,
        counts: [("channel.handshake".to_owned(), number + 1)].into(),
        from: NOW.0,
        to: NOW.0,
    }))
}

async fn create(store: &Store, name: &str, version: u32) -> Result<Recorded, StoreError> {
    let (key, secret) = (key(name, version), secret(name, version));
    store
        .write(move |writing| {
            let key = writing.insert_key(key, &secret)?;
            writing.record(administration(&[&key]))
        })
        .await
}

async fn change(store: &Store, name: &str, version: u32, state: KeyState) -> KeyVersion {
    let reference = reference(name, version);
    store
        .write(move |writing| {
            let key = writing.change_key(&reference, state, NOW)?;
            writing.record(administration(&[&key]))?;
            Ok(key)
        })
        .await
        .unwrap()
}

async fn read(store: &Store, name: &str, version: u32) -> Result<Vec<u8>, StoreError> {
    let reference = reference(name, version);
    store
        .write(move |writing| Ok(writing.key(&reference)?.1.to_vec()))
        .await
}

fn altered_key(name: &str, version: u32) -> StoreError {
    StoreError::Altered {
        table: "key_version",
        row: format!("{name} version {version}"),
    }
}

#[tokio::test]
async fn keys_come_back_after_a_restart() {
    let fixture = Fixture::with_keys().await;
    let (_database, opened) = fixture.open().unwrap();
    assert!(opened.altered_keys.is_empty());
    assert_eq!(opened.head.count, 6);
    assert_eq!(read(&opened.store, "a", 2).await.unwrap(), secret("a", 2));
    change(&opened.store, "a", 2, KeyState::Disabled).await;
    assert_eq!(read(&opened.store, "a", 2).await.unwrap(), secret("a", 2));
    let retired = change(&opened.store, "a", 2, KeyState::Retired).await;
    assert_eq!(retired.state, KeyState::Retired);
    assert_eq!(read(&opened.store, "a", 2).await.unwrap(), b"");
    close(opened);
    assert!(fixture.altered_keys().is_empty());
}

#[tokio::test]
async fn no_key_stands_in_the_files_in_the_clear() {
    let fixture = Fixture::with_keys().await;
    let mut files = 0;
    for entry in std::fs::read_dir(fixture.folder.path()).unwrap() {
        let content = std::fs::read(entry.unwrap().path()).unwrap();
        files += 1;
        for (name, version) in [("a", 1), ("a", 2), ("b", 1)] {
            let secret = secret(name, version);
            assert!(!content.windows(secret.len()).any(|window| window == secret));
        }
    }
    assert!(files >= 2);
}

#[tokio::test]
async fn every_column_of_a_key_row_is_noticed() {
    for edit in [
        "state = 'disabled'",
        "state = 'nonsense'",
        "state = 7",
        "origin = 'imported'",
        "shares = 'other'",
        "bytes = 31",
        "bytes = -1",
        "commitment = zeroblob(48)",
        "commitment = zeroblob(47)",
        "created = created + 1",
        "changed = changed + 1",
        "entry = entry + 1",
        "nonce = zeroblob(12)",
        "wrapped = zeroblob(48)",
        "wrapped = x''",
        "name = 'c'",
        "version = 3",
    ] {
        let fixture = Fixture::with_keys().await;
        fixture.edit(&format!(
            "PRAGMA ignore_check_constraints = ON;
             UPDATE OR IGNORE key_version SET {edit} WHERE name = 'a' AND version = 2"
        ));
        if edit == "state = 7" {
            // The table is STRICT: a number in a text column becomes text.
            assert_eq!(fixture.altered_keys(), [altered_key("a", 2)], "{edit}");
            continue;
        }
        let findings = fixture.altered_keys();
        assert!(
            findings.contains(&altered_key("a", 2)),
            "{edit}: {findings:?}"
        );
    }
}

#[tokio::test]
async fn a_foreign_root_key_id_in_a_row_is_its_own_finding() {
    let fixture = Fixture::with_keys().await;
    fixture.edit("UPDATE key_version SET root_key = zeroblob(16) WHERE name = 'b'");
    assert_eq!(
        fixture.altered_keys(),
        [StoreError::RootKeyMissing(crate::root_key::RootKeyId(
            [0; 16]
        ))]
    );
}

#[tokio::test]
async fn rows_can_not_be_swapped() {
    let fixture = Fixture::with_keys().await;
    fixture.edit(
        "UPDATE key_version SET version = 9 WHERE name = 'a' AND version = 1;
         UPDATE key_version SET version = 1 WHERE name = 'a' AND version = 2;
         UPDATE key_version SET version = 2 WHERE name = 'a' AND version = 9;",
    );
    assert_eq!(
        fixture.altered_keys(),
        [altered_key("a", 1), altered_key("a", 2)]
    );
    let (_database, opened) = fixture.open().unwrap();
    assert_eq!(opened.altered_keys.len(), 2);
    assert_eq!(read(&opened.store, "a", 1).await, Err(altered_key("a", 1)));
    assert_eq!(
        read(&opened.store, "b", 1).await.unwrap(),
        secret("b", 1),
        "others go on"
    );
    close(opened);
}

#[tokio::test]
async fn wrapped_bytes_can_not_be_exchanged() {
    let fixture = Fixture::with_keys().await;
    fixture.edit(
        "UPDATE key_version SET (nonce, wrapped) =
            (SELECT nonce, wrapped FROM key_version WHERE name = 'b')
         WHERE name = 'a' AND version = 2",
    );
    assert_eq!(fixture.altered_keys(), [altered_key("a", 2)]);
}

#[tokio::test]
async fn a_deleted_row_is_noticed() {
    let fixture = Fixture::with_keys().await;
    fixture.edit("DELETE FROM key_version WHERE name = 'b'");
    assert_eq!(fixture.altered_keys(), [altered_key("b", 1)]);
}

#[tokio::test]
async fn an_older_row_put_back_is_noticed() {
    let fixture = Fixture::with_keys().await;
    fixture.edit("CREATE TABLE side.kept AS SELECT * FROM key_version WHERE name = 'b'");
    let (database, opened) = fixture.open().unwrap();
    change(&opened.store, "b", 1, KeyState::Disabled).await;
    fixture.edit(
        "DELETE FROM key_version WHERE name = 'b'; INSERT INTO key_version SELECT * FROM side.kept",
    );
    assert_eq!(
        read(&opened.store, "b", 1).await,
        Err(altered_key("b", 1)),
        "under a running service, too"
    );
    close(opened);
    drop(database);
    assert_eq!(fixture.altered_keys(), [altered_key("b", 1)]);
}

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

#[tokio::test]
async fn settings_and_policy_files_stop_the_start() {
    for (edit, table, row) in [
        (
            "UPDATE setting SET value = zeroblob(56) WHERE name = 'head'",
            "setting",
            "head",
        ),
        (
            "DELETE FROM setting WHERE name = 'genesis'",
            "setting",
            "genesis",
        ),
        (
            "UPDATE setting SET value = zeroblob(48) WHERE name = 'genesis'",
            "setting",
            "genesis",
        ),
        (
            "UPDATE policy_file SET content = cast('other' AS BLOB)",
            "policy_file",
            "file 0",
        ),
        (
            "UPDATE policy_file SET signatures = cast('[]' AS BLOB)",
            "policy_file",
            "file 0",
        ),
        (
            "UPDATE policy_file SET accepted = 5",
            "policy_file",
            "file 0",
        ),
        (
            "UPDATE policy_file SET kind = 'stop'",
            "policy_file",
            "file 0",
        ),
        (
            "UPDATE policy_file SET sha384 = zeroblob(48)",
            "policy_file",
            "file 0",
        ),
        (
            "DELETE FROM policy_file",
            "policy_file",
            "0 files instead of 1",
        ),
    ] {
        let fixture = Fixture::with_keys().await;
        fixture.edit(edit);
        let expected = StoreError::Altered {
            table,
            row: row.to_owned(),
        };
        assert_eq!(fixture.refused(), expected, "{edit}");
    }
}

#[tokio::test]
async fn an_older_head_put_back_is_noticed() {
    let fixture = Fixture::with_keys().await;
    fixture.edit("CREATE TABLE side.kept AS SELECT * FROM setting WHERE name = 'head'");
    let (database, opened) = fixture.open().unwrap();
    change(&opened.store, "b", 1, KeyState::Disabled).await;
    close(opened);
    drop(database);
    fixture.edit("REPLACE INTO setting SELECT * FROM side.kept");
    assert_eq!(fixture.refused().id(), "storage.row_altered");
    // Nor with the entries cut off that it does not know: the checkpoint knows them.
    fixture.edit("DELETE FROM entry WHERE sequence = 6");
    let words = fixture.refused().to_string();
    assert!(words.contains("checkpoint"), "{words}");
}

#[tokio::test]
async fn another_root_key_opens_nothing() {
    let mut fixture = Fixture::with_keys().await;
    let right = std::mem::replace(&mut fixture.root_keys, RootKeys::generate().unwrap());
    assert_eq!(fixture.refused().id(), "storage.root_key");
    fixture.root_keys = right;
    assert!(fixture.open().is_ok());
}

#[tokio::test]
async fn a_mark_is_used_once_even_in_one_group_and_after_a_restart() {
    let fixture = Fixture::new();
    let (database, opened) = fixture.open().unwrap();
    for marked in [
        || release([7; 32], Decision::Accepted, b"request"),
        || call(b"order", &[]),
    ] {
        let attempts = (0..20).map(|_| opened.store.write(move |writing| writing.record(marked())));
        let results = futures_join(attempts).await;
        let (done, refused): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
        assert_eq!(done.len(), 1);
        assert!(
            refused
                .iter()
                .all(|result| matches!(result, Err(StoreError::MarkUsed)))
        );
    }
    close(opened);
    drop(database);
    let (_database, opened) = fixture.open().unwrap();
    for again in [
        release([7; 32], Decision::Accepted, b"another"),
        call(b"order", &[]),
    ] {
        let result = opened
            .store
            .write(move |writing| writing.record(again))
            .await;
        assert_eq!(result.unwrap_err(), StoreError::MarkUsed);
    }
    assert_eq!(opened.head.count, 4);
    let order = Mark::Order(Digest::of(b"order"));
    let recorded = opened.store.write(move |writing| writing.entry_of(order));
    assert_eq!(recorded.await.unwrap().unwrap().sequence, 3);
    let view = LogView::open(&fixture.config).unwrap();
    let session = Mark::Session([7; 32]);
    assert_eq!(view.entry_of(session).unwrap().unwrap().sequence, 2);
    assert!(view.entry_of(Mark::Session([8; 32])).unwrap().is_none());
    close(opened);
}

async fn futures_join<F>(futures: impl Iterator<Item = F>) -> Vec<F::Output>
where
    F: Future + Send,
    F::Output: Send,
{
    // Polled together, so that they meet in one group.
    let mut pending: Vec<_> = futures.map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(|context| {
        let mut waiting = false;
        for (future, result) in &mut pending {
            if result.is_none() {
                match future.as_mut().poll(context) {
                    std::task::Poll::Ready(value) => *result = Some(value),
                    std::task::Poll::Pending => waiting = true,
                }
            }
        }
        if waiting {
            std::task::Poll::Pending
        } else {
            std::task::Poll::Ready(())
        }
    })
    .await;
    pending
        .into_iter()
        .filter_map(|(_, result)| result)
        .collect()
}

#[tokio::test]
async fn a_failed_job_takes_nothing_of_its_group_with_it() {
    let fixture = Fixture::new();
    let (_database, opened) = fixture.open().unwrap();
    let store = opened.store.clone();
    let job = |index: u32| {
        let store = store.clone();
        async move {
            let (key, secret) = (key("a", index), secret("a", index));
            store
                .write(move |writing| {
                    let key = writing.insert_key(key, &secret)?;
                    let recorded = writing.record(administration(&[&key]))?;
                    if index.is_multiple_of(2) {
                        return Err(StoreError::PolicyMoved);
                    }
                    Ok(recorded.sequence)
                })
                .await
        }
    };
    let results = futures_join((1..=20).map(job)).await;
    let sequences: Vec<_> = results.iter().flatten().copied().collect();
    assert_eq!(sequences, (2..=11).collect::<Vec<_>>());
    drop(store);
    close(opened);
    let findings = check(&fixture.config, &fixture.root_keys).unwrap();
    assert_eq!((findings.keys, findings.entries), (10, 12));
    assert_eq!(findings.evidence.sound, 11, "failed jobs left no evidence");
    assert!(findings.evidence.altered.is_empty());
    assert!(findings.altered_keys.is_empty());
}

#[tokio::test]
async fn many_writers_share_few_commits() {
    let fixture = Fixture::new();
    let database = Database::lock(&fixture.config).unwrap();
    let metrics = Arc::new(Metrics::default());
    let opened = database
        .open(
            &fixture.root_keys,
            Arc::clone(&fixture.log_key),
            256,
            Arc::clone(&metrics),
        )
        .unwrap();
    let store = opened.store.clone();
    let results =
        futures_join((0..500).map(|_| store.write(|writing| writing.record(refusal("x"))))).await;
    assert!(results.iter().all(Result::is_ok));
    let page = metrics.render(&crate::metrics::Gauges::default());
    let groups: u64 = page
        .lines()
        .find_map(|line| line.strip_prefix("narthex_group_decisions_count "))
        .unwrap()
        .parse()
        .unwrap();
    assert!(groups < 100, "{groups} commits for 500 entries");
    drop(store);
    close(opened);
}

#[tokio::test]
async fn a_full_database_refuses_and_recovers() {
    let mut fixture = Fixture::with_keys().await;
    fixture.config.max_mebibytes = 1;
    let (database, opened) = fixture.open().unwrap();
    let big = || {
        let reason = "x".to_owned();
        release([7; 32], Decision::Refused { reason }, &[7; 100_000])
    };
    let mut written = 0;
    let error = loop {
        match opened
            .store
            .write(move |writing| writing.record(big()))
            .await
        {
            Ok(_) => written += 1,
            Err(error) => break error,
        }
        assert!(written < 20);
    };
    assert_eq!(error, StoreError::Full);
    assert_eq!(error.reason().id(), "storage.full");
    assert!(!opened.store.has_failed(), "there may be room later");
    assert_eq!(read(&opened.store, "a", 1).await.unwrap(), secret("a", 1));
    let small = opened
        .store
        .write(|writing| writing.record(refusal("x")))
        .await;
    close(opened);
    drop(database);
    fixture.config.max_mebibytes = 64;
    let (_database, opened) = fixture.open().unwrap();
    assert_eq!(opened.head.count, 6 + written + u64::from(small.is_ok()));
    opened
        .store
        .write(move |writing| writing.record(big()))
        .await
        .unwrap();
    close(opened);
}

#[tokio::test]
async fn a_second_process_is_refused() {
    let fixture = Fixture::new();
    let (database, opened) = fixture.open().unwrap();
    // A lock of the kernel belongs to the open file, so a second one in this process is a second process.
    assert_eq!(
        fixture.refused(),
        StoreError::Locked(fixture.config.database.clone())
    );
    close(opened);
    drop(database);
    assert!(fixture.open().is_ok());
}

#[test]
fn a_database_is_initialised_once_and_only_then_opened() {
    let mut fixture = Fixture::new();
    let database = Database::lock(&fixture.config).unwrap();
    let genesis = genesis_file(b"another".to_vec(), vec!["signature".to_owned()], NOW);
    let first = policy(&genesis, "1");
    assert_eq!(
        database
            .initialise(
                &fixture.root_keys,
                Arc::clone(&fixture.log_key),
                genesis,
                first
            )
            .unwrap_err()
            .id(),
        "storage.already_initialised"
    );
    drop(database);
    fixture.config.database = fixture.folder.path().join("none.sqlite");
    assert_eq!(fixture.refused().id(), "storage.not_initialised");
    assert!(!fixture.config.database.exists());
}

#[test]
fn a_foreign_format_is_refused() {
    let fixture = Fixture::new();
    fixture.edit("PRAGMA user_version = 3");
    assert_eq!(fixture.refused(), StoreError::Format(3));
    fixture.edit("PRAGMA user_version = 1");
    let words = fixture.refused().to_string();
    assert!(words.contains("without the transparency log"), "{words}");
}

#[tokio::test]
async fn the_root_key_is_rotated_while_others_work_and_may_be_cut_off() {
    let mut fixture = Fixture::with_keys().await;
    let old = fixture.root_keys.iter().last().unwrap().id();
    let new = RootKey::generate().unwrap();
    fixture.root_keys.add_newest(new.clone()).unwrap();
    let (database, opened) = fixture.open().unwrap();
    assert_eq!(
        opened.root_key, old,
        "a key that was only written to the file is not in use"
    );
    let id = new.id();
    let activated = new.clone();
    opened
        .store
        .write(move |writing| {
            writing.activate_root_key(&activated)?;
            let mut record = administration(&[]);
            if let Entry::Administration(call) = &mut record.entry {
                call.root_key = Some(narthex_ledger::RootKeyId(activated.id().0));
            }
            writing.record(record)
        })
        .await
        .unwrap();
    let step = opened
        .store
        .write(|writing| writing.rewrap_some(None, 1))
        .await
        .unwrap();
    assert_eq!((step.rewrapped, step.left), (1, 0));
    create(&opened.store, "c", 1).await.unwrap();
    close(opened);
    drop(database);

    // Cut off here: everything works under both, and the rest is done after the start.
    let (database, opened) = fixture.open().unwrap();
    assert_eq!(opened.root_key, id);
    assert_eq!(opened.rows_to_rewrap, 3, "two keys and the genesis");
    assert!(opened.altered_keys.is_empty());
    let mut after = None;
    loop {
        let from = after.clone();
        let step = opened
            .store
            .write(move |writing| writing.rewrap_some(from.as_ref(), 1))
            .await
            .unwrap();
        match step.last {
            Some(last) => after = Some(last),
            None => break,
        }
    }
    let files = opened
        .store
        .write(|writing| writing.reauthenticate_policy_files())
        .await
        .unwrap();
    assert_eq!(files, 1);
    for (name, version) in [("a", 1), ("a", 2), ("b", 1), ("c", 1)] {
        assert_eq!(
            read(&opened.store, name, version).await.unwrap(),
            secret(name, version)
        );
    }
    close(opened);
    drop(database);
    assert_eq!(root_keys_in_use(&fixture.config).unwrap(), [id]);

    // The old key can go: entries are not under it.
    fixture.root_keys.forget(old).unwrap();
    let findings = check(&fixture.config, &fixture.root_keys).unwrap();
    assert_eq!(findings.keys, 4);
    fixture.edit("UPDATE entry SET leaf = x'7b7d' WHERE sequence = 4");
    assert_eq!(fixture.refused().id(), "storage.row_altered");
}

#[tokio::test]
async fn an_altered_row_does_not_become_genuine_by_a_rotation() {
    let mut fixture = Fixture::with_keys().await;
    fixture.edit("UPDATE key_version SET state = 'disabled' WHERE name = 'b'");
    let new = RootKey::generate().unwrap();
    fixture.root_keys.add_newest(new.clone()).unwrap();
    let (database, opened) = fixture.open().unwrap();
    let step = opened
        .store
        .write(move |writing| {
            writing.activate_root_key(&new)?;
            writing.rewrap_some(None, 100)
        })
        .await
        .unwrap();
    assert_eq!((step.rewrapped, step.left), (2, 1));
    assert_eq!(read(&opened.store, "b", 1).await, Err(altered_key("b", 1)));
    close(opened);
    drop(database);
}

#[tokio::test]
async fn an_unreadable_file_is_not_a_database() {
    let fixture = Fixture::new();
    std::fs::write(&fixture.config.database, vec![7; 8192]).unwrap();
    assert_eq!(fixture.refused().id(), "storage.failed");
    tokio::time::sleep(Duration::ZERO).await;
}

#[tokio::test]
async fn a_schema_that_somebody_changed_is_refused() {
    for (sql, name) in [
        (
            "CREATE TRIGGER quiet BEFORE INSERT ON entry BEGIN SELECT RAISE(IGNORE); END",
            "quiet",
        ),
        ("CREATE VIEW seen AS SELECT * FROM key_version", "seen"),
        ("CREATE TABLE more (a TEXT)", "more"),
        ("DROP INDEX entry_mark", "entry_mark"),
        (
            "DROP INDEX entry_mark; CREATE INDEX entry_mark ON entry (mark)",
            "entry_mark",
        ),
    ] {
        let fixture = Fixture::with_keys().await;
        fixture.edit(sql);
        let expected = StoreError::Altered {
            table: "sqlite_schema",
            row: name.to_owned(),
        };
        assert_eq!(fixture.refused(), expected, "{sql}");
        assert_eq!(
            check(&fixture.config, &fixture.root_keys).unwrap_err(),
            expected
        );
    }
}

#[tokio::test]
async fn a_trigger_that_comes_while_serving_does_nothing() {
    let fixture = Fixture::with_keys().await;
    let (_database, opened) = fixture.open().unwrap();
    fixture.edit("CREATE TRIGGER quiet BEFORE INSERT ON entry BEGIN SELECT RAISE(IGNORE); END");
    let count = opened.head.count;
    opened
        .store
        .write(|writing| writing.record(refusal("key.unknown")))
        .await
        .unwrap();
    let connection = Connection::open(&fixture.config.database).unwrap();
    let rows: i64 = connection
        .query_row("SELECT count(*) FROM entry", [], |row| row.get(0))
        .unwrap();
    assert_eq!(u64::try_from(rows), Ok(count + 1));
    close(opened);
}

#[tokio::test]
async fn nobody_else_reaches_the_files_of_the_database() {
    use std::os::unix::fs::PermissionsExt;
    let fixture = Fixture::with_keys().await;
    let (_database, opened) = fixture.open().unwrap();
    create(&opened.store, "c", 1).await.unwrap();
    let entries = std::fs::read_dir(fixture.folder.path()).unwrap();
    let entries: Vec<_> = entries.map(Result::unwrap).collect();
    assert!(entries.len() >= 3, "the database, its log, its lock");
    for entry in entries {
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{:?}", entry.file_name());
    }
    close(opened);
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
