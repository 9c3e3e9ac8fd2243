//! The storage as a whole: what it keeps, and every way in which somebody might edit it.

mod log;

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

/// Not even wrapped, and not in what SQLite writes beside the database either: whoever copies the files later, the root
/// key among them, finds no key in them that was retired before.
#[tokio::test]
async fn of_a_retired_key_nothing_is_left_in_the_files() {
    let fixture = Fixture::with_keys().await;
    let (_database, opened) = fixture.open().unwrap();
    // Wrapped anew, so that it stands in the write-ahead log, too.
    change(&opened.store, "a", 1, KeyState::Disabled).await;
    let wrapped: Vec<u8> = Connection::open(&fixture.config.database)
        .unwrap()
        .query_row(
            "SELECT wrapped FROM key_version WHERE name = 'a' AND version = 1",
            [],
            |row| row.get(0),
        )
        .unwrap();
    let found_in = || {
        let files = std::fs::read_dir(fixture.folder.path()).unwrap();
        let files = files.map(|file| file.unwrap().path());
        let holds = |path: &std::path::PathBuf| {
            let content = std::fs::read(path).unwrap();
            content.windows(wrapped.len()).any(|part| part == wrapped)
        };
        files.filter(holds).collect::<Vec<_>>()
    };
    assert_ne!(found_in().len(), 0);
    change(&opened.store, "a", 1, KeyState::Retired).await;
    assert_eq!(found_in(), Vec::<std::path::PathBuf>::new());
    close(opened);
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
    assert!(opened.store.is_full(), "and until then it says so");
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

/// The lock is the file's, not the name's under which a configuration knows it.
#[test]
fn a_second_process_is_refused_by_another_name_too() {
    let fixture = Fixture::new();
    let link = fixture.folder.path().join("link.sqlite");
    std::os::unix::fs::symlink(&fixture.config.database, &link).unwrap();
    let by_link = StorageConfig {
        database: link.clone(),
        ..fixture.config.clone()
    };
    let _first = Database::lock(&fixture.config).unwrap();
    let second = Database::lock(&by_link).err();
    assert_eq!(second, Some(StoreError::Locked(link)));
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
