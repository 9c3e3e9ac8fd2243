//! The witness: what it answers, what it remembers, and when it refuses to start.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]
#![allow(clippy::unreachable)] // Tests say by panicking.

mod http_support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use http_support::{Answer, MemoryLog, ask, listen, post, send};
use narthex_ledger::tokio::{
    ClientLimits, HttpAddress, ServeLimits, ServeStatistics, StateError, Witness, WitnessClient,
    WitnessEvent, WitnessReply, create_witness_folder,
};
use narthex_ledger::{
    AddCheckpoint, Hash, KeyKind, NoteSignature, SignedNote, SigningKey, Trust, WitnessAnswer,
    cosign,
};
use tempfile::TempDir;

const TEXT: &str = "text/plain; charset=utf-8";
const SIZE: &str = "text/x.tlog.size";

/// A witness's folder and key, with which it can be opened again and again.
struct Home {
    folder: TempDir,
    key: SigningKey,
}

impl Home {
    fn new() -> Self {
        let key = SigningKey::generate("witness.example", KeyKind::Witness).unwrap();
        let home = Self {
            folder: tempfile::tempdir().unwrap(),
            key,
        };
        create_witness_folder(&home.path(), &home.key.verifier_key()).unwrap();
        home
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    fn key(&self) -> SigningKey {
        SigningKey::parse(&self.key.to_text()).unwrap()
    }

    fn open(&self, logs: &[&MemoryLog]) -> Result<Witness, StateError> {
        let logs = logs.iter().map(|log| log.key.verifier_key()).collect();
        Witness::open(&self.path(), self.key(), logs)
    }

    fn state_of(&self, log: &MemoryLog) -> PathBuf {
        use sha2::Digest as _;
        let name = hex::encode(sha2::Sha256::digest(log.key.name()));
        self.path().join(name)
    }
}

fn log_of(origin: &str, size: usize) -> MemoryLog {
    let mut log = MemoryLog::new(origin);
    log.grow(size, "a");
    log
}

fn say(witness: &Witness, request: &AddCheckpoint) -> WitnessAnswer {
    witness
        .add_checkpoint(request.to_body().as_bytes())
        .unwrap()
}

async fn serve(witness: Witness) -> SocketAddr {
    let (listener, address) = listen().await;
    let serving = Arc::new(witness).serve(
        vec![listener],
        ServeLimits::default(),
        Arc::new(ServeStatistics::default()),
        std::future::pending(),
    );
    tokio::spawn(serving);
    address
}

async fn show(address: SocketAddr, body: &str) -> Answer {
    post(address, "/add-checkpoint", body).await
}

#[track_caller]
fn is(answer: &Answer, status: u16, content_type: &str, body: &str) {
    let found = String::from_utf8_lossy(&answer.body);
    assert_eq!(answer.status, status, "{found}");
    assert_eq!(answer.header("content-type"), content_type);
    assert_eq!(found, body);
}

#[tokio::test]
async fn every_status_has_its_body_and_type() {
    let home = Home::new();
    let log = log_of("example.com/log", 40);
    let witness = home
        .open(&[&log])
        .unwrap()
        .with_clock(|| Some(1_700_000_000));
    let address = serve(witness).await;

    // 200: exactly the signature that the key makes at that time.
    let answer = show(address, &log.request(0, 10).to_body()).await;
    let expected = cosign(&log.note_at(10), &home.key, 1_700_000_000).unwrap();
    is(&answer, 200, TEXT, &format!("{expected}\n"));
    assert_eq!(answer.header("cache-control"), "no-store");
    // Again: nothing has changed, so it is cosigned again.
    let answer = show(address, &log.request(10, 10).to_body()).await;
    is(&answer, 200, TEXT, &format!("{expected}\n"));
    let answer = show(address, &log.request(10, 23).to_body()).await;
    assert_eq!(answer.status, 200);

    // 409: another size is known.
    for old in [0, 10, 22] {
        let answer = show(address, &log.request(old, 30).to_body()).await;
        is(&answer, 409, SIZE, "23\n");
    }
    let answer = show(address, &log.request(5, 10).to_body()).await;
    is(&answer, 409, SIZE, "23\n");
    // 409: the same size, another root.
    let mut fork = log.fork(20);
    fork.grow(10, "b");
    let answer = show(address, &fork.request(23, 23).to_body()).await;
    is(&answer, 409, SIZE, "23\n");

    // 422: the proof does not hold.
    let words = "the proof does not show that the tree continues the one seen\n";
    let answer = show(address, &fork.request(23, 30).to_body()).await;
    is(&answer, 422, TEXT, words);
    let mut cut = log.request(23, 30);
    cut.proof.pop();
    is(&show(address, &cut.to_body()).await, 422, TEXT, words);
    let mut longer = log.request(23, 30);
    longer.proof.push(Hash([0; 32]));
    is(&show(address, &longer.to_body()).await, 422, TEXT, words);

    // 400: the old size is larger than the new one.
    let answer = show(address, &log.request(24, 23).to_body()).await;
    is(
        &answer,
        400,
        TEXT,
        "the old size is above that of the checkpoint\n",
    );

    // 403: somebody else's signature, under the log's name or not.
    let mut stranger = MemoryLog::new("example.com/log");
    stranger.grow(30, "a");
    let words = "the log has not signed this checkpoint\n";
    let answer = show(address, &stranger.request(23, 30).to_body()).await;
    is(&answer, 403, TEXT, words);
    let mut altered = log.request(23, 30);
    let note = altered
        .checkpoint
        .to_string()
        .replacen("\n30\n", "\n31\n", 1);
    altered.checkpoint = SignedNote::parse(&note).unwrap();
    is(&show(address, &altered.to_body()).await, 403, TEXT, words);

    // 404: a log that is not watched. Before any signature is looked at.
    let other = log_of("example.com/other", 3);
    let answer = show(address, &other.request(0, 3).to_body()).await;
    is(&answer, 404, TEXT, "this witness does not watch that log\n");

    // After all this it still knows what it knew.
    let answer = show(address, &log.request(23, 40).to_body()).await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn requests_that_are_none_are_told_so() {
    let home = Home::new();
    let log = log_of("example.com/log", 300);
    let address = serve(home.open(&[&log]).unwrap()).await;
    let note = log.note();
    let hash = Hash([1; 32]).to_base64();
    for body in [
        String::new(),
        "\n".to_owned(),
        "old\n\n".to_owned(),
        format!("old 0\n{note}"),
        format!("old 00\n\n{note}"),
        format!("old -1\n\n{note}"),
        format!("old 0 \n\n{note}"),
        format!("OLD 0\n\n{note}"),
        format!("old 18446744073709551616\n\n{note}"),
        format!("old 0\n{}\n\n{note}", hash.trim_end_matches('=')),
        format!("old 0\nx\n\n{note}"),
        format!("old 0\n{}\n{note}", format!("{hash}\n").repeat(64)),
        format!("old 0\n\n{}", note.text()),
        "old 0\n\nhello\n\n\u{2014} x AAAAAAAA\n".to_owned(),
        format!("old 0\r\n\r\n{note}"),
        format!("old 0\n\n{note}x"),
    ] {
        let answer = show(address, &body).await;
        is(
            &answer,
            400,
            TEXT,
            "this is no request to cosign a checkpoint\n",
        );
    }
    let not_text = b"POST /add-checkpoint HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 2\r\n\r\n\xff\xfe";
    assert_eq!(send(address, not_text.to_vec()).await.status, 400);

    for path in [
        "/",
        "/add-checkpoint/",
        "//add-checkpoint",
        "/add-checkpoint?x",
        "/checkpoint",
    ] {
        assert_eq!(post(address, path, "").await.status, 404, "{path}");
    }
    for method in ["GET", "PUT", "HEAD", "DELETE"] {
        let answer = ask(address, method, "/add-checkpoint", "").await;
        assert_eq!((answer.status, answer.header("allow")), (405, "POST"));
    }
    let large = format!("old 0\n\n{}", "x".repeat(80_000));
    let answer = show(address, &large).await;
    assert_eq!((answer.status, answer.header("connection")), (413, "close"));
    // What is far too large is refused before it is sent.
    let announced = "POST /add-checkpoint HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999\r\nexpect: 100-continue\r\n\r\n";
    assert_eq!(send(address, announced.into()).await.status, 413);

    assert_eq!(
        show(address, &log.request(0, 300).to_body()).await.status,
        200
    );
}

#[tokio::test]
async fn a_client_and_a_witness_understand_each_other() {
    let home = Home::new();
    let mut log = log_of("example.com/log", 40);
    let address = serve(home.open(&[&log]).unwrap()).await;
    let client = WitnessClient::new(HttpAddress::tcp(address), ClientLimits::default());
    let trust = Trust::new(log.key.verifier_key(), vec![home.key.verifier_key()], 1).unwrap();
    let before = now();
    for (old, new) in [(0, 1), (1, 40), (40, 40)] {
        let request = log.request(old, new);
        let WitnessReply::Cosigned(signatures) = client.add_checkpoint(&request).await.unwrap()
        else {
            panic!("not cosigned");
        };
        let mut note = request.checkpoint;
        for signature in signatures {
            note.add(signature).unwrap();
        }
        let checked = trust.check(&note).unwrap();
        assert!(checked.fresh_at().unwrap() >= before);
    }
    let reply = client.add_checkpoint(&log.request(0, 40)).await.unwrap();
    assert_eq!(reply, WitnessReply::Conflict { size: 40 });
    let mut fork = log.fork(10);
    fork.grow(40, "b");
    let reply = client.add_checkpoint(&fork.request(40, 40)).await.unwrap();
    assert_eq!(reply, WitnessReply::OtherRoot);
    let reply = client.add_checkpoint(&fork.request(40, 50)).await.unwrap();
    assert_eq!(reply, WitnessReply::BadProof);
    let reply = client.add_checkpoint(&fork.request(50, 40)).await.unwrap();
    assert_eq!(reply, WitnessReply::Rejected);
    log.grow(1, "a");
    let other = log_of("example.com/other", 1);
    let reply = client.add_checkpoint(&other.request(0, 1)).await.unwrap();
    assert_eq!(reply, WitnessReply::UnknownLog);
    let stranger = log_of("example.com/log", 1);
    let reply = client
        .add_checkpoint(&stranger.request(0, 1))
        .await
        .unwrap();
    assert_eq!(reply, WitnessReply::BadSignature);
}

fn now() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

#[test]
fn logs_are_apart() {
    let home = Home::new();
    let (one, two) = (log_of("example.com/1", 9), log_of("example.com/2", 9));
    let witness = home.open(&[&one, &two]).unwrap();
    assert_eq!(say(&witness, &one.request(0, 5)).status(), 200);
    assert_eq!(say(&witness, &two.request(0, 7)).status(), 200);
    assert_eq!(
        say(&witness, &one.request(0, 9)),
        WitnessAnswer::Conflict { size: 5 }
    );
    assert_eq!(
        say(&witness, &two.request(5, 9)),
        WitnessAnswer::Conflict { size: 7 }
    );
    let sizes: Vec<_> = witness
        .seen()
        .iter()
        .map(|(_, seen, _)| seen.size)
        .collect();
    assert_eq!(sizes, [5, 7]);
    drop(witness);

    // One is no longer watched, a third is new: nothing of the others is forgotten.
    let three = log_of("example.com/3", 9);
    let witness = home.open(&[&two, &three]).unwrap();
    assert_eq!(say(&witness, &one.request(5, 9)), WitnessAnswer::UnknownLog);
    assert_eq!(
        say(&witness, &two.request(0, 9)),
        WitnessAnswer::Conflict { size: 7 }
    );
    assert_eq!(say(&witness, &three.request(0, 2)).status(), 200);
    drop(witness);
    let witness = home.open(&[&one, &two, &three]).unwrap();
    let sizes: Vec<_> = witness
        .seen()
        .iter()
        .map(|(_, seen, _)| seen.size)
        .collect();
    assert_eq!(sizes, [5, 7, 2]);
}

#[test]
fn what_was_cosigned_is_on_the_disk_before_anybody_hears_of_it() {
    let home = Home::new();
    let log = log_of("example.com/log", 20);
    let state = home.state_of(&log);
    let (seen, watched) = (Arc::new(Mutex::new(Vec::new())), state.clone());
    let events = Arc::clone(&seen);
    let witness = home.open(&[&log]).unwrap().observed(move |event| {
        if let WitnessEvent::Cosigned { size, .. } = event {
            let text = fs::read_to_string(&watched).unwrap();
            events.lock().unwrap().push((*size, text));
        }
    });
    for (old, new) in [(0, 3), (3, 3), (3, 20)] {
        assert_eq!(say(&witness, &log.request(old, new)).status(), 200);
    }
    for (size, text) in seen.lock().unwrap().iter() {
        assert!(text.contains(&log.note_at(*size).to_string()), "{size}");
    }
    assert_eq!(
        state.metadata().unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert_eq!(
        home.path().metadata().unwrap().permissions().mode() & 0o777,
        0o700
    );
}

/// Anybody may show a checkpoint that the log published. That must not keep the disk, and with it the log, waiting.
#[test]
fn the_same_again_in_the_same_second_is_not_written_again() {
    let home = Home::new();
    let log = log_of("example.com/log", 20);
    let clock = Arc::new(AtomicU64::new(1000));
    let read = Arc::clone(&clock);
    let witness = home
        .open(&[&log])
        .unwrap()
        .with_clock(move || Some(read.load(Ordering::SeqCst)));
    let state = home.state_of(&log);
    // Written by renaming: another file each time. An open one keeps its number from being given to another.
    let open = || fs::File::open(&state).unwrap();
    let number = |file: &fs::File| std::os::unix::fs::MetadataExt::ino(&file.metadata().unwrap());
    let first = say(&witness, &log.request(0, 3));
    let written = open();
    assert_eq!(say(&witness, &log.request(3, 3)), first);
    assert_eq!(number(&open()), number(&written), "written again");
    clock.store(1001, Ordering::SeqCst);
    assert_ne!(say(&witness, &log.request(3, 3)), first);
    let later = open();
    assert_ne!(number(&later), number(&written), "a later time is kept");
    assert_eq!(say(&witness, &log.request(3, 4)).status(), 200);
    assert_ne!(number(&open()), number(&later), "a larger tree is kept");
}

#[test]
fn nothing_is_cosigned_that_cannot_be_written_down() {
    let home = Home::new();
    let log = log_of("example.com/log", 20);
    let events = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&events);
    let witness = home.open(&[&log]).unwrap().observed(move |event| {
        heard.lock().unwrap().push(format!("{event:?}"));
    });
    assert_eq!(say(&witness, &log.request(0, 3)).status(), 200);
    // A folder where the new file should be made: it fails for root, too.
    let beside = home.state_of(&log).with_extension("new");
    fs::create_dir(&beside).unwrap();
    let body = log.request(3, 20).to_body();
    let trouble = witness.add_checkpoint(body.as_bytes()).unwrap_err();
    assert!(trouble.to_string().contains("cannot make it"), "{trouble}");
    let last = events.lock().unwrap().pop().unwrap();
    assert!(last.starts_with("Unable"), "{last}");
    fs::remove_dir(&beside).unwrap();
    assert_eq!(
        say(&witness, &log.request(0, 5)),
        WitnessAnswer::Conflict { size: 3 }
    );
    assert_eq!(say(&witness, &log.request(3, 20)).status(), 200);
}

#[tokio::test]
async fn a_clock_that_went_back_stops_cosigning_until_it_is_right() {
    let home = Home::new();
    let log = log_of("example.com/log", 20);
    let clock = Arc::new(AtomicU64::new(1000));
    let read = |clock: &Arc<AtomicU64>| {
        let clock = Arc::clone(clock);
        move || Some(clock.load(Ordering::SeqCst)).filter(|time| *time != u64::MAX)
    };
    let witness = home.open(&[&log]).unwrap().with_clock(read(&clock));
    assert_eq!(say(&witness, &log.request(0, 3)).status(), 200);
    drop(witness);

    // It is remembered over a restart.
    clock.store(999, Ordering::SeqCst);
    let witness = home.open(&[&log]).unwrap().with_clock(read(&clock));
    for time in [999, 0, u64::MAX] {
        clock.store(time, Ordering::SeqCst);
        let body = log.request(3, 10).to_body();
        let trouble = witness.add_checkpoint(body.as_bytes()).unwrap_err();
        assert!(
            trouble.to_string().contains("last cosignature at 1000"),
            "{trouble}"
        );
    }
    // Refusals need no clock.
    assert_eq!(
        say(&witness, &log.request(0, 5)),
        WitnessAnswer::Conflict { size: 3 }
    );
    let address = serve(witness).await;
    let answer = show(address, &log.request(3, 10).to_body()).await;
    is(
        &answer,
        503,
        TEXT,
        "this witness cannot cosign at the moment\n",
    );
    for time in [1000, 1001] {
        clock.store(time, Ordering::SeqCst);
        let old = if time == 1000 { 3 } else { 10 };
        let answer = show(address, &log.request(old, 10).to_body()).await;
        assert_eq!(answer.status, 200);
        let line = String::from_utf8(answer.body).unwrap();
        let signature = NoteSignature::parse(line.trim_end()).unwrap();
        let key = home.key.verifier_key();
        let stated = key.verify(log.note_at(10).text(), &signature).unwrap();
        assert_eq!(stated, Some(time));
    }
}

#[test]
fn a_fork_is_kept_as_evidence_once() {
    let home = Home::new();
    let log = log_of("example.com/log", 20);
    let mut fork = log.fork(10);
    fork.grow(10, "b");
    let paths = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&paths);
    let witness = home.open(&[&log]).unwrap().observed(move |event| {
        if let WitnessEvent::Forked { evidence, size, .. } = event {
            heard
                .lock()
                .unwrap()
                .push((evidence.map(Path::to_owned), *size));
        }
    });
    assert_eq!(say(&witness, &log.request(0, 20)).status(), 200);
    for _ in 0..2 {
        let answer = say(&witness, &fork.request(20, 20));
        assert_eq!(answer, WitnessAnswer::SameSizeOtherRoot { size: 20 });
    }
    let mut third = log.fork(3);
    third.grow(17, "c");
    say(&witness, &third.request(20, 20));
    let path = home.state_of(&log).with_extension("fork");
    assert_eq!(*paths.lock().unwrap(), vec![(Some(path.clone()), 20); 3]);
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text, format!("{}\n{}", log.note(), fork.note()));
    // Both verify, so anybody can be convinced.
    let trust = Trust::new(log.key.verifier_key(), Vec::new(), 0).unwrap();
    for note in [log.note(), fork.note()] {
        trust.check(&note).unwrap();
    }
    // A stranger's signature is no evidence.
    fs::remove_file(&path).unwrap();
    let stranger = log_of("example.com/log", 20);
    assert_eq!(
        say(&witness, &stranger.request(20, 20)),
        WitnessAnswer::BadSignature
    );
    assert!(!path.exists());
}

#[test]
fn other_signatures_are_neither_kept_nor_needed() {
    let home = Home::new();
    let log = log_of("example.com/log", 20);
    let witness = home.open(&[&log]).unwrap();
    let mut request = log.request(0, 20);
    let other = SigningKey::generate("other.example", KeyKind::Witness).unwrap();
    for time in 0..60 {
        let signature = cosign(&request.checkpoint, &other, time).unwrap();
        request.checkpoint.add(signature).unwrap();
    }
    assert_eq!(say(&witness, &request).status(), 200);
    let text = fs::read_to_string(home.state_of(&log)).unwrap();
    assert!(text.contains("example.com/log") && !text.contains("other.example"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn requests_for_one_log_come_one_after_the_other() {
    for round in 0..8 {
        let home = Home::new();
        let log = log_of("example.com/log", 64);
        let mut fork = log.fork(0);
        fork.grow(64, "b");
        let slow = home.open(&[&log]).unwrap();
        let address = serve(slow).await;
        let mut tasks = tokio::task::JoinSet::new();
        for index in 0..40_u64 {
            let history = if index % 2 == 0 { &log } else { &fork };
            // All from the beginning: only the first can be right.
            let size = 1 + (index * 7 + round) % 64;
            let request = history.request(0, size);
            let root = history.root_at(size);
            tasks.spawn(async move {
                let answer = show(address, &request.to_body()).await;
                (answer.status, size, root)
            });
        }
        let mut cosigned = BTreeSet::new();
        while let Some(Ok((status, size, root))) = tasks.join_next().await {
            match status {
                200 => assert!(cosigned.insert((size, root))),
                status => assert_eq!(status, 409),
            }
        }
        assert_eq!(cosigned.len(), 1);
    }
}

#[test]
fn a_second_witness_on_the_same_folder_is_refused() {
    let home = Home::new();
    let log = log_of("example.com/log", 20);
    let witness = home.open(&[&log]).unwrap();
    let error = home.open(&[&log]).err().unwrap();
    assert!(matches!(error, StateError::InUse(_)), "{error}");
    assert!(
        error.to_string().contains("another witness runs"),
        "{error}"
    );
    drop(witness);
    home.open(&[&log]).unwrap();
}

#[test]
fn folders_that_are_not_this_witnesss_are_refused() {
    let log = log_of("example.com/log", 20);
    let home = Home::new();
    let key = home.key.verifier_key();

    // Not there, or empty: never a fresh start.
    let empty = tempfile::tempdir().unwrap();
    for path in [empty.path().to_owned(), empty.path().join("not-there")] {
        let error = Witness::open(&path, home.key(), vec![log.key.verifier_key()])
            .err()
            .unwrap();
        assert!(matches!(error, StateError::NotAFolder(_)), "{error}");
        assert!(error.to_string().contains("retire the key"), "{error}");
    }
    assert_eq!(fs::read_dir(empty.path()).unwrap().count(), 0);

    let error = create_witness_folder(&home.path(), &key).unwrap_err();
    assert!(matches!(error, StateError::Exists(_)), "{error}");

    let other = SigningKey::generate("witness.example", KeyKind::Witness).unwrap();
    let error = Witness::open(&home.path(), other, vec![log.key.verifier_key()])
        .err()
        .unwrap();
    assert!(matches!(error, StateError::OtherKey { .. }), "{error}");
    assert!(error.to_string().contains(&key.to_string()), "{error}");
}

#[test]
fn unusable_configuration_is_refused() {
    let home = Home::new();
    let log = log_of("example.com/log", 1).key.verifier_key();
    let twin = log_of("example.com/log", 1).key.verifier_key();
    let open = |key: SigningKey, logs| match Witness::open(&home.path(), key, logs) {
        Err(StateError::Setup(words)) => words,
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("opened"),
    };
    let log_key = SigningKey::generate("example.com/log", KeyKind::Log).unwrap();
    assert!(open(log_key, vec![log.clone()]).contains("not a witness's"));
    assert!(open(home.key(), Vec::new()).contains("at least one log"));
    assert!(open(home.key(), vec![log.clone(), twin]).contains("two keys"));
    assert!(open(home.key(), vec![home.key.verifier_key()]).contains("not the key of a log"));
}

#[test]
fn a_damaged_memory_is_never_a_fresh_start() {
    let home = Home::new();
    let log = log_of("example.com/log", 20);
    let witness = home.open(&[&log]).unwrap();
    say(&witness, &log.request(0, 20));
    drop(witness);
    let marker = home.path().join("witness");
    for path in [home.state_of(&log), marker] {
        let whole = fs::read(&path).unwrap();
        let mut altered = Vec::new();
        altered.extend((0..whole.len()).map(|length| whole[..length].to_vec()));
        altered.extend((0..whole.len()).map(|index| {
            let mut bytes = whole.clone();
            bytes[index] ^= 1;
            bytes
        }));
        altered.push([whole.clone(), b"\n".to_vec()].concat());
        altered.push(vec![b'x'; 1 << 20]);
        altered.push(vec![0xff; 64]);
        altered.push([whole.clone(), whole.clone()].concat());
        for bytes in altered {
            fs::write(&path, &bytes).unwrap();
            let error = home.open(&[&log]).err().unwrap();
            assert!(matches!(error, StateError::Damaged { .. }), "{error}");
            let words = error.to_string();
            assert!(words.contains("Do not remove it"), "{words}");
            assert!(words.contains(&path.display().to_string()), "{words}");
            assert_eq!(fs::read(&path).unwrap(), bytes, "it was touched");
        }
        fs::write(&path, &whole).unwrap();
    }
    let witness = home.open(&[&log]).unwrap();
    assert_eq!(
        say(&witness, &log.request(0, 20)),
        WitnessAnswer::Conflict { size: 20 }
    );
}

#[test]
fn a_memory_that_is_gone_or_somebody_elses_is_an_error() {
    let home = Home::new();
    let (log, other) = (
        log_of("example.com/log", 20),
        log_of("example.com/other", 20),
    );
    let witness = home.open(&[&log, &other]).unwrap();
    say(&witness, &log.request(0, 20));
    say(&witness, &other.request(0, 20));
    drop(witness);
    let (path, others) = (home.state_of(&log), home.state_of(&other));
    let whole = fs::read(&path).unwrap();

    fs::remove_file(&path).unwrap();
    let error = home.open(&[&log, &other]).err().unwrap();
    assert!(matches!(error, StateError::Lost { .. }), "{error}");
    assert!(
        error.to_string().contains("example.com/log is missing"),
        "{error}"
    );
    assert!(!path.exists());
    // The others can go on meanwhile.
    drop(home.open(&[&other]).unwrap());

    // The memory of another log under this one's name.
    fs::copy(&others, &path).unwrap();
    let error = home.open(&[&log]).err().unwrap().to_string();
    assert!(error.contains("another log"), "{error}");

    // The memory of another witness.
    let neighbour = Home::new();
    let witness = neighbour.open(&[&log]).unwrap();
    say(&witness, &log.request(0, 3));
    drop(witness);
    fs::copy(neighbour.state_of(&log), &path).unwrap();
    let error = home.open(&[&log]).err().unwrap().to_string();
    assert!(error.contains("another witness key"), "{error}");

    fs::write(&path, &whole).unwrap();
    home.open(&[&log, &other]).unwrap();
}

#[test]
fn what_a_killed_witness_leaves_behind_does_not_disturb_the_next() {
    let home = Home::new();
    let log = log_of("example.com/log", 20);
    let state = home.state_of(&log);
    // Killed between the log's file and the list of logs.
    let marker = fs::read(home.path().join("witness")).unwrap();
    drop(home.open(&[&log]).unwrap());
    fs::write(home.path().join("witness"), &marker).unwrap();
    let witness = home.open(&[&log]).unwrap();
    say(&witness, &log.request(0, 7));
    drop(witness);
    // Killed before a rename: half a file, and a whole one that nobody was told of.
    let old = fs::read(&state).unwrap();
    let witness = home.open(&[&log]).unwrap();
    say(&witness, &log.request(7, 20));
    drop(witness);
    let new = fs::read(&state).unwrap();
    for beside in [&new[..new.len() / 2], &new, b""] {
        fs::write(&state, &old).unwrap();
        fs::write(state.with_extension("new"), beside).unwrap();
        let witness = home.open(&[&log]).unwrap();
        assert_eq!(
            say(&witness, &log.request(0, 20)),
            WitnessAnswer::Conflict { size: 7 }
        );
        assert_eq!(say(&witness, &log.request(7, 9)).status(), 200);
    }
}

#[test]
fn random_requests_never_make_it_cosign_two_histories() {
    let home = Home::new();
    let log = log_of("example.com/log", 50);
    let mut fork = log.fork(17);
    fork.grow(33, "b");
    let mut cosigned = BTreeMap::new();
    let (mut random, mut largest) = (0x1234_5678_9abc_def1_u64, 0);
    let mut next = |bound: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % bound
    };
    for _ in 0..30 {
        let witness = home.open(&[&log]).unwrap();
        for _ in 0..40 {
            let history = if next(2) == 0 { &log } else { &fork };
            let known = witness.seen()[0].1.size;
            let old = if next(4) == 0 { next(51) } else { known };
            let new = (old + next(3)).min(50);
            let mut request = history.request(old, new);
            if next(8) == 0 && !request.proof.is_empty() {
                let length = u64::try_from(request.proof.len()).unwrap();
                let index = usize::try_from(next(length)).unwrap();
                request.proof[index].0[3] ^= 1;
            }
            if say(&witness, &request).status() == 200 {
                assert!(new >= largest, "went back");
                largest = new;
                let root = history.root_at(new);
                assert_eq!(*cosigned.entry(new).or_insert(root), root);
            }
        }
    }
    assert!(cosigned.len() > 10, "{}", cosigned.len());
}
