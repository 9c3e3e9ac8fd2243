//! The log and its witnesses: what leaves, what waits, what stops the service.
#![cfg(feature = "dev-root")]
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

mod common;
mod witnesses;

use std::time::{Duration, Instant};

use common::*;
use narthex_channel::keys::KeyOutcome;
use narthex_key_service::{log::LogStop, server::Server};
use narthex_ledger::{
    Checkpoint, KeyKind, LogStore, NoteSignature, Proof, Resource, SignedNote, SigningKey, Trust,
    TrustedCheckpoint, cosign,
    tokio::{ClientLimits, HttpAddress, HttpLog},
};
use witnesses::Witnesses;

/// Long enough for witnesses on a busy machine: where they are away, that is mostly known without waiting.
const PATIENT: &str = "quorum_timeout_seconds = 5";

/// A world with witnesses of which none runs.
fn world(witnesses: &Witnesses, quorum: usize, ledger: &str, config: &str) -> World {
    let bundle = BundleText {
        ledger: witnesses.ledger(quorum, ledger),
        ..BundleText::first(vec![KeyRule::usual("db")])
    };
    World::with_bundle(bundle, &witnesses.config(config))
}

async fn with_key(world: &World) {
    world.release("shop", "1.0", "current").await.unwrap();
    world.administer(create("db")).await.unwrap();
}

fn trust(world: &World, witnesses: &Witnesses, quorum: usize) -> Trust {
    let keys = (0..3).map(|number| witnesses.key(number).verifier_key());
    Trust::new(world.log_key.clone(), keys.collect(), quorum).unwrap()
}

/// The bytes of an entry, as the database has it.
fn leaf(world: &World, index: u64) -> Vec<u8> {
    let index = usize::try_from(index).unwrap();
    serde_json::to_vec(&leaves(world)[index]).unwrap()
}

fn verified(world: &World, proof: &[u8], trust: &Trust) -> TrustedCheckpoint {
    let proof = Proof::parse(std::str::from_utf8(proof).unwrap()).unwrap();
    proof.verify(&leaf(world, proof.index), trust).unwrap()
}

fn count(world: &World) -> usize {
    entries(world).len()
}

/// Tries until it works or time is over.
async fn soon<T>(what: &str, mut attempt: impl AsyncFnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = attempt().await {
            return found;
        }
        assert!(
            begun.elapsed() < Duration::from_secs(30),
            "{what} never happened"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_of_three_witnesses_are_enough_and_every_answer_has_a_proof() {
    let mut witnesses = Witnesses::new(3);
    let world = world(&witnesses, 2, "", PATIENT);
    witnesses.start(0, &world.log_key).await;
    witnesses.start(2, &world.log_key).await;
    let running = world.start().await;
    with_key(&world).await;
    let trust = trust(&world, &witnesses, 2);
    for _ in 0..5 {
        let answer = world.ask_for_answer(&world.enclave(), &["db"]).await;
        assert!(matches!(answer.outcome, KeyOutcome::Released(_)));
        let seen = verified(&world, &answer.log_proof.unwrap(), &trust);
        let names: Vec<_> = seen
            .cosignatures()
            .iter()
            .map(|(name, _)| name.as_str())
            .collect();
        assert_eq!(names, ["witness1.example", "witness3.example"]);
        assert!(seen.seen_at().unwrap().abs_diff(now_millis() / 1000) < 60);
    }
    // A refusal that is an entry has one, too.
    let mut stranger = world.enclave();
    stranger.edit_document = Box::new(|recipe| recipe.payload.set_pcr(3, &stranger_pcr3()));
    let answer = world.ask_for_answer(&stranger, &["db"]).await;
    assert!(matches!(answer.outcome, KeyOutcome::Refused { .. }));
    verified(&world, &answer.log_proof.unwrap(), &trust);

    let (status, page) = running.get("/readyz").await;
    assert_eq!((status, page.as_str()), (200, "ready\n"));
    let (_, metrics) = running.get("/metrics").await;
    for line in [
        "narthex_log_quorum 2",
        "narthex_log_quorum_missing 0",
        "narthex_log_current_proved 1",
        "narthex_log_witness_missing{witness=\"witness1.example\"} 0",
        "narthex_log_witness_missing{witness=\"witness2.example\"} 1",
    ] {
        assert!(
            metrics.lines().any(|found| found == line),
            "{line}\n{metrics}"
        );
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_quorum_nothing_is_released_and_it_recovers_by_itself() {
    let mut witnesses = Witnesses::new(3);
    let world = world(&witnesses, 2, "", "quorum_timeout_seconds = 4");
    witnesses.start_all(&world.log_key).await;
    let running = world.start().await;
    with_key(&world).await;
    world.ask(&world.enclave(), &["db"]).await.unwrap();

    witnesses.stop(0).await;
    witnesses.stop(1).await;
    // The first to find out waited for it.
    assert_eq!(
        world.ask(&world.enclave(), &["db"]).await,
        Err("log.quorum".to_owned())
    );
    soon("known to be missing", async || {
        (running.get("/readyz").await.0 == 503).then_some(())
    })
    .await;
    let before = count(&world);
    let begun = Instant::now();
    for _ in 0..3 {
        assert_eq!(
            world.ask(&world.enclave(), &["db"]).await,
            Err("log.quorum".to_owned())
        );
    }
    assert!(
        begun.elapsed() < Duration::from_secs(4),
        "nobody waits for what is known to be missing"
    );
    assert_eq!(count(&world), before, "and nothing is recorded");
    let (_, page) = running.get("/readyz").await;
    assert!(page.starts_with("log.quorum\n"), "{page}");
    for (name, missing) in [("witness1", true), ("witness2", true), ("witness3", false)] {
        assert_eq!(page.contains(name), missing, "{page}");
    }

    witnesses.start(1, &world.log_key).await;
    soon("the quorum", async || {
        world.ask(&world.enclave(), &["db"]).await.ok()
    })
    .await;
    assert_eq!(running.get("/readyz").await.0, 200);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_added_before_the_quorum_has_confirmed_the_log_since_the_start() {
    let mut witnesses = Witnesses::new(3);
    // Released on the log's own signature; that the log is whole must be known all the same.
    let world = world(&witnesses, 2, "release_waits_for_quorum = false\n", PATIENT);
    witnesses.start_all(&world.log_key).await;
    let running = world.start().await;
    with_key(&world).await;
    running.stop().await;
    for number in 0..2 {
        witnesses.stop(number).await;
    }
    let before = count(&world);
    let running = world.start().await;
    assert_eq!(
        world.ask(&world.enclave(), &["db"]).await,
        Err("log.quorum".to_owned())
    );
    let mut stranger = world.enclave();
    stranger.edit_document = Box::new(|recipe| recipe.payload.set_pcr(3, &stranger_pcr3()));
    world.ask(&stranger, &["db"]).await.unwrap_err();
    assert_eq!(
        world.administer(create("other")).await,
        Err("log.quorum".to_owned())
    );
    assert_eq!(count(&world), before);
    assert_eq!(running.get("/readyz").await.0, 503);
    witnesses.start(0, &world.log_key).await;
    soon("the quorum", async || {
        world.ask(&world.enclave(), &["db"]).await.ok()
    })
    .await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_leave_on_the_logs_own_signature_when_the_bundle_says_so() {
    let mut witnesses = Witnesses::new(3);
    let world = world(&witnesses, 2, "release_waits_for_quorum = false\n", PATIENT);
    witnesses.start_all(&world.log_key).await;
    let running = world.start().await;
    with_key(&world).await;
    for number in 0..3 {
        witnesses.stop(number).await;
    }
    let trust = trust(&world, &witnesses, 2);
    for _ in 0..3 {
        let answer = world.ask_for_answer(&world.enclave(), &["db"]).await;
        assert!(matches!(answer.outcome, KeyOutcome::Released(_)));
        let proof = answer.log_proof.unwrap();
        let proof = Proof::parse(std::str::from_utf8(&proof).unwrap()).unwrap();
        let leaf = leaf(&world, proof.index);
        proof.verify_log_only(&leaf, &trust).unwrap();
        assert_eq!(proof.verify(&leaf, &trust).unwrap_err().id(), "log.quorum");
        tokio::time::sleep(Duration::from_millis(700)).await;
    }
    running.stop().await;
}

/// Signs `request` with `key` at the time that is `ahead` seconds from now.
fn line(key: &SigningKey, request: &narthex_ledger::AddCheckpoint, ahead: i64) -> NoteSignature {
    let time = (now_millis() / 1000).checked_add_signed(ahead).unwrap();
    cosign(&request.checkpoint, key, time).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_witness_that_lies_does_not_count() {
    type Lie = fn(&SigningKey, &narthex_ledger::AddCheckpoint) -> (u16, String);
    let lies: [(&str, Lie); 7] = [
        ("foreign key", |_, request| {
            let stranger = SigningKey::generate("stranger", KeyKind::Witness).unwrap();
            (200, format!("{}\n", line(&stranger, request, 0)))
        }),
        ("another key of that name", |_, request| {
            let namesake = SigningKey::generate("witness2.example", KeyKind::Witness).unwrap();
            (200, format!("{}\n", line(&namesake, request, 0)))
        }),
        ("old time", |key, request| {
            (200, format!("{}\n", line(key, request, -3600)))
        }),
        ("future", |key, request| {
            (200, format!("{}\n", line(key, request, 3600)))
        }),
        ("the log's own signature", |_, request| {
            (200, format!("{}\n", request.checkpoint.signatures()[0]))
        }),
        ("words", |_, _| (200, "fine with me\n".to_owned())),
        ("not there", |_, _| (404, String::new())),
    ];
    for (name, lie) in lies {
        let mut witnesses = Witnesses::new(3);
        let world = world(&witnesses, 2, "", PATIENT);
        witnesses.start(0, &world.log_key).await;
        let key = witnesses.key(1);
        let asked = witnesses.start_scripted(1, move |request| lie(&key, request));
        let running = world.start().await;
        assert_eq!(
            world.administer(create("db")).await,
            Err("log.quorum".to_owned()),
            "{name}"
        );
        assert!(!asked.lock().unwrap().is_empty());
        let (status, page) = running.get("/readyz").await;
        assert_eq!(status, 503);
        assert!(
            page.contains("witness2.example") && !page.contains("witness1.example"),
            "{name}: {page}"
        );
        // One that is honest makes up for it.
        witnesses.start(2, &world.log_key).await;
        soon(name, async || world.administer(create("db")).await.ok()).await;
        running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_copy_of_the_database_is_not_served() {
    let mut witnesses = Witnesses::new(3);
    let world = world(&witnesses, 1, "", PATIENT);
    witnesses.start(0, &world.log_key).await;
    let running = world.start().await;
    with_key(&world).await;
    running.stop().await;
    let old = std::fs::read(world.path("keys.sqlite")).unwrap();
    let running = world.start().await;
    world.ask(&world.enclave(), &["db"]).await.unwrap();
    running.stop().await;

    std::fs::write(world.path("keys.sqlite"), &old).unwrap();
    let error = Server::start(&world.config()).await.err().unwrap();
    assert_eq!(error.id(), "log.behind");
    let words = error.to_string();
    for part in ["witness1.example", "catch-up", "new-epoch"] {
        assert!(words.contains(part), "{words}");
    }
    // While the witness is away nothing is added; it is noticed when it is back.
    witnesses.stop(0).await;
    let before = count(&world);
    let running = world.start().await;
    assert_eq!(
        world.ask(&world.enclave(), &["db"]).await,
        Err("log.quorum".to_owned())
    );
    assert_eq!(count(&world), before);
    witnesses.start(0, &world.log_key).await;
    let stop = tokio::time::timeout(Duration::from_secs(30), running.ended()).await;
    assert!(matches!(stop.unwrap().unwrap_err(), LogStop::Behind { .. }));
    assert_eq!(count(&world), before, "not even a summary was added");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_was_put_back_and_written_to_is_a_fork() {
    let mut witnesses = Witnesses::new(3);
    // A witness that is not needed for the quorum remembers, too.
    let world = world(&witnesses, 1, "", PATIENT);
    witnesses.start(0, &world.log_key).await;
    witnesses.start(1, &world.log_key).await;
    let running = world.start().await;
    with_key(&world).await;
    running.stop().await;
    let old = std::fs::read(world.path("keys.sqlite")).unwrap();
    let running = world.start().await;
    world.ask(&world.enclave(), &["db"]).await.unwrap();
    running.stop().await;
    // The older copy runs with a witness that has forgotten, and grows past what the other one knows.
    std::fs::write(world.path("keys.sqlite"), &old).unwrap();
    witnesses.stop(0).await;
    witnesses.stop(1).await;
    witnesses.forget(0);
    world.seen.lock().unwrap().clear();
    witnesses.start(0, &world.log_key).await;
    let running = world.start().await;
    for _ in 0..4 {
        world.ask(&world.enclave(), &["db"]).await.unwrap();
    }
    witnesses.start(1, &world.log_key).await;
    let stop = tokio::time::timeout(Duration::from_secs(30), running.ended()).await;
    assert!(matches!(stop.unwrap().unwrap_err(), LogStop::Forked { .. }));
    let error = Server::start(&world.config()).await.err().unwrap();
    assert_eq!(error.id(), "log.forked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_service_ends_when_a_witness_knows_more() {
    let mut witnesses = Witnesses::new(3);
    let world = world(&witnesses, 1, "", PATIENT);
    witnesses.start(0, &world.log_key).await;
    let running = world.start().await;
    witnesses.start_scripted(1, |request| {
        let size = Checkpoint::parse(request.checkpoint.text()).unwrap().size;
        (409, format!("{}\n", size + 100))
    });
    let stop = tokio::time::timeout(Duration::from_secs(30), running.ended()).await;
    let stop = stop.unwrap().unwrap_err();
    assert_eq!(stop.id(), "log.behind");
    assert!(stop.to_string().contains("witness2.example"));
}

#[tokio::test(flavor = "multi_thread")]
async fn other_witnesses_in_the_next_bundle_are_asked_at_once() {
    let mut witnesses = Witnesses::new(2);
    let bundle = BundleText {
        ledger: witnesses.ledger_of([0], 1, ""),
        ..BundleText::first(vec![KeyRule::usual("db")])
    };
    let mut world = World::with_bundle(bundle, &witnesses.config(PATIENT));
    witnesses.start(0, &world.log_key).await;
    let running = world.start().await;
    with_key(&world).await;
    // The only witness that was ever asked is gone for good; the reviewers name another one.
    witnesses.stop(0).await;
    assert_eq!(
        world.ask(&world.enclave(), &["db"]).await,
        Err("log.quorum".to_owned())
    );
    witnesses.start(1, &world.log_key).await;
    let next = BundleText {
        ledger: witnesses.ledger_of([1], 1, ""),
        ..BundleText::after(world.newest_bundle(), 2, vec![KeyRule::usual("db")])
    };
    world.succeed_with(&next).await;
    soon("the new quorum", async || {
        world.ask(&world.enclave(), &["db"]).await.ok()
    })
    .await;
    running.stop().await;
}

/// How large the log is that readers see.
async fn shown(world: &World) -> u64 {
    let address = HttpAddress::unix(world.path("log.sock"));
    let read = move || {
        let log = HttpLog::new(address, None, ClientLimits::default()).unwrap();
        let note = log.get(&Resource::Checkpoint).unwrap().unwrap();
        let note = SignedNote::parse(std::str::from_utf8(&note).unwrap()).unwrap();
        Checkpoint::parse(note.text()).unwrap().size
    };
    tokio::task::spawn_blocking(read).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_reader_saw_is_still_shown_after_a_crash() {
    let mut witnesses = Witnesses::new(1);
    let world = world(&witnesses, 1, "anyone_may_read = true\n", PATIENT);
    witnesses.start(0, &world.log_key).await;
    let running = world.start().await;
    with_key(&world).await;
    world.ask(&world.enclave(), &["db"]).await.unwrap();
    let seen = shown(&world).await;
    // The files as a crash would leave them.
    let files = ["keys.sqlite", "keys.sqlite-wal"].map(|name| world.path(name));
    let left = files.each_ref().map(|path| std::fs::read(path).unwrap());
    running.stop().await;
    witnesses.stop(0).await;
    for (path, bytes) in files.iter().zip(left) {
        std::fs::write(path, bytes).unwrap();
    }
    let running = world.start().await;
    assert!(shown(&world).await >= seen, "the log seems rolled back");
    running.stop().await;
}
