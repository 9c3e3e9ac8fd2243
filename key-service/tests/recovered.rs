//! After a restore: catching up with a mirror of the log, and going on with a new log.
#![cfg(feature = "dev-root")]
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

mod common;
mod witnesses;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use common::*;
use narthex_key_service::{
    clock::SystemClock,
    commands,
    log::{
        LogStop,
        recovery::{self, RecoveryError},
    },
    log_key,
    server::Server,
};
use narthex_ledger::{
    Entry, Folder, LogReader, Trust, VerifierKey,
    tokio::{ClientLimits, HttpAddress, HttpLog, Mirror},
};
use narthex_policy::{KeyOperation, Namespace};
use witnesses::Witnesses;

/// Long enough for witnesses on a busy machine: where they are away, that is mostly known without waiting.
const PATIENT: &str = "quorum_timeout_seconds = 5";

fn world(witnesses: &Witnesses) -> World {
    let bundle = BundleText {
        ledger: witnesses.ledger(1, "anyone_may_read = true\n"),
        ..BundleText::first(vec![KeyRule::usual("db"), KeyRule::usual("late")])
    };
    World::with_bundle(bundle, &witnesses.config(PATIENT))
}

fn trust(log: &VerifierKey, witnesses: &Witnesses) -> Trust {
    let keys = vec![witnesses.key(0).verifier_key()];
    Trust::new(log.clone(), keys, 1).unwrap()
}

/// What `narthex log mirror` does.
async fn mirror(world: &World, witnesses: &Witnesses, folder: &Path) {
    let address = HttpAddress::unix(world.path("log.sock"));
    let (trust, folder) = (trust(&world.log_key, witnesses), folder.to_owned());
    let copy = move || {
        let source = HttpLog::new(address, None, ClientLimits::default()).unwrap();
        let folder = Folder::create(folder).unwrap();
        Mirror::new(&source, &folder, &trust).run().unwrap();
    };
    tokio::task::spawn_blocking(copy).await.unwrap();
}

async fn catch_up(world: &World, mirror: &Path) -> Result<recovery::CaughtUp, RecoveryError> {
    let mirror = mirror.display().to_string();
    recovery::catch_up(&world.config(), &mirror, Arc::new(SystemClock)).await
}

fn put_back(world: &World, copy: &[u8]) {
    for rest in ["keys.sqlite-wal", "keys.sqlite-shm"] {
        let _gone = std::fs::remove_file(world.path(rest));
    }
    std::fs::write(world.path("keys.sqlite"), copy).unwrap();
}

/// The service's own check of everything, evidence too.
fn is_sound(world: &World) {
    let findings = commands::check(&world.config().storage).unwrap();
    assert!(
        findings.altered_keys.is_empty(),
        "{:?}",
        findings.altered_keys
    );
}

/// A world whose database was put back: what was in the log by then, and a mirror of it.
async fn after_a_restore(
    world: &mut World,
    witnesses: &mut Witnesses,
    releases: usize,
) -> (Vec<Vec<u8>>, PathBuf) {
    witnesses.start(0, &world.log_key).await;
    let running = world.start().await;
    world.release("shop", "1.0", "current").await.unwrap();
    world.administer(create("db")).await.unwrap();
    running.stop().await;
    let old = std::fs::read(world.path("keys.sqlite")).unwrap();

    let running = world.start().await;
    world.administer(create("late")).await.unwrap();
    world
        .administer(KeyOperation::Rotate { key: key("db") })
        .await
        .unwrap();
    let disable = |version| KeyOperation::Disable {
        key: key("db"),
        version,
    };
    world.administer(disable(1)).await.unwrap();
    for _ in 0..releases {
        world.ask(&world.enclave(), &["db", "late"]).await.unwrap();
    }
    let next = BundleText {
        ledger: witnesses.ledger(1, "anyone_may_read = true\n"),
        ..BundleText::after(
            world.newest_bundle(),
            2,
            vec![KeyRule::usual("db"), KeyRule::usual("late")],
        )
    };
    world.succeed_with(&next).await;
    world.stop("people = [\"carol\"]\n").await.unwrap();
    let enable = |version| KeyOperation::Enable {
        key: key("db"),
        version,
    };
    world.administer(enable(1)).await.unwrap();
    let folder = world.path("mirror");
    mirror(world, witnesses, &folder).await;
    running.stop().await;
    let leaves = entries(world).into_iter().map(|each| each.leaf).collect();
    put_back(world, &old);
    (leaves, folder)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_copy_catches_up_with_a_mirror_and_goes_on() {
    let mut witnesses = Witnesses::new(1);
    let mut world = world(&witnesses);
    let (leaves, folder) = after_a_restore(&mut world, &mut witnesses, 150).await;
    let error = Server::start(&world.config()).await.err().unwrap();
    assert_eq!(error.id(), "log.behind");

    let done = catch_up(&world, &folder).await.unwrap();
    let lost: Vec<_> = done
        .lost
        .iter()
        .map(|key| (key.name.as_str(), key.version))
        .collect();
    assert_eq!(lost, [("db", 2), ("late", 1)]);
    assert_eq!(done.missing_evidence, 0);
    is_sound(&world);
    let all = entries(&world);
    let imported: Vec<_> = all
        .iter()
        .take(leaves.len())
        .map(|each| each.leaf.clone())
        .collect();
    // The last one written before the end of that day came after the mirror was made.
    let to_size = usize::try_from(done.to_size).unwrap();
    assert_eq!(imported[..to_size], leaves[..to_size]);
    let Entry::Restore(restore) = &all[to_size].entry else {
        panic!("the restore is an entry");
    };
    assert_eq!(
        (restore.from_size, restore.to_size),
        (done.from_size, done.to_size)
    );
    assert_eq!(restore.lost.len(), 2);

    let running = world.start().await;
    // What is here is released, what is gone is not; the policy is the newest.
    let opened = world.ask(&world.enclave(), &["db"]).await.unwrap();
    assert_eq!(opened[0].version, 1);
    assert_eq!(
        world.ask(&world.enclave(), &["late"]).await,
        Err("key.retired".to_owned())
    );
    let (_, metrics) = running.get("/metrics").await;
    assert!(
        metrics.contains("\nnarthex_bundle_version 2\n"),
        "{metrics}"
    );
    mirror(&world, &witnesses, &folder).await;
    running.stop().await;
    is_sound(&world);

    // Nothing to catch up with is no harm.
    let again = catch_up(&world, &folder).await.unwrap();
    assert!(again.lost.is_empty());
    assert_eq!(again.from_size, again.to_size);
    world.start().await.stop().await;
    is_sound(&world);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_that_is_not_complete_or_not_confirmed_changes_nothing() {
    let mut witnesses = Witnesses::new(1);
    let mut world = world(&witnesses);
    let (_, folder) = after_a_restore(&mut world, &mut witnesses, 3).await;
    let before = entries(&world).len();

    witnesses.stop(0).await;
    let error = catch_up(&world, &folder).await.unwrap_err();
    assert_eq!(error.id(), "log.quorum");
    assert!(error.to_string().contains("witness1.example"), "{error}");
    assert_eq!(entries(&world).len(), before);
    witnesses.start(0, &world.log_key).await;
    catch_up(&world, &folder).await.unwrap();
    let caught_up = std::fs::read(world.path("keys.sqlite")).unwrap();

    // The log went on after that, and the copy that was just made is put back with the same old mirror.
    let running = world.start().await;
    world.ask(&world.enclave(), &["db"]).await.unwrap();
    running.stop().await;
    put_back(&world, &caught_up);
    let error = catch_up(&world, &folder).await.unwrap_err();
    assert_eq!(error.id(), "log.behind", "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_after_a_restore_and_altered_mirrors_are_refused() {
    let mut witnesses = Witnesses::new(1);
    let mut world = world(&witnesses);
    let (_, folder) = after_a_restore(&mut world, &mut witnesses, 3).await;
    let old = std::fs::read(world.path("keys.sqlite")).unwrap();
    // Written to, under a witness that has forgotten.
    witnesses.stop(0).await;
    witnesses.forget(0);
    witnesses.start(0, &world.log_key).await;
    world.seen.lock().unwrap().clear();
    let running = world.start().await;
    world.administer(create("other")).await.unwrap();
    running.stop().await;
    let error = catch_up(&world, &folder).await.unwrap_err();
    assert_eq!(error.id(), "log.consistency", "{error}");
    assert!(error.to_string().contains("new epoch"), "{error}");

    put_back(&world, &old);
    let error = catch_up(&world, &world.path("nothing")).await.unwrap_err();
    assert_eq!(error.id(), "log.unavailable");
    let bundle = std::fs::read_dir(folder.join("tile/entries/000.p")).unwrap();
    for file in bundle {
        let path = file.unwrap().path();
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.len() * 3 / 4;
        bytes[middle] ^= 1;
        std::fs::write(&path, bytes).unwrap();
    }
    let error = catch_up(&world, &folder).await.unwrap_err();
    assert!(
        ["log.entries", "log.malformed"].contains(&error.id()),
        "{error}"
    );
    assert_eq!(std::fs::read(world.path("keys.sqlite")).unwrap(), old);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_bundle_opens_a_new_epoch() {
    let mut witnesses = Witnesses::new(1);
    let mut world = world(&witnesses);
    let (_, _) = after_a_restore(&mut world, &mut witnesses, 3).await;
    let stop = Server::start(&world.config()).await.err().unwrap();
    assert_eq!(stop.id(), "log.behind");
    // What is here is all there is. Only the first bundle is.
    world.bundles.truncate(1);
    let old_log = world.log_key.clone();
    let epoch = |world: &World, ledger: &str| {
        let bundle = BundleText {
            ledger: ledger.to_owned(),
            ..BundleText::after(
                world.newest_bundle(),
                2,
                vec![KeyRule::usual("db"), KeyRule::usual("late")],
            )
        };
        let text = world.bundle_text(&bundle);
        let path = world.path("epoch.toml");
        std::fs::write(&path, &text).unwrap();
        let signatures: Vec<_> = ["alice", "bob"]
            .into_iter()
            .map(|who| {
                let path = world.path(&format!("epoch.{who}.sig"));
                let signature = world.sign(who, Namespace::Policy, text.as_bytes());
                std::fs::write(&path, signature).unwrap();
                path
            })
            .collect();
        (text, path, signatures)
    };
    let open = async |world: &World, ledger: &str| {
        let (text, path, signatures) = epoch(world, ledger);
        let opened =
            recovery::new_epoch(&world.config(), &path, &signatures, Arc::new(SystemClock)).await;
        opened.map(|opened| (opened, text))
    };
    let plain = witnesses.ledger(1, "anyone_may_read = true\n");
    let error = open(&world, &plain).await.unwrap_err();
    assert_eq!(error.id(), "log.epoch");
    assert!(error.to_string().contains("log-key"), "{error}");

    std::fs::remove_file(world.path("log.key")).unwrap();
    world.log_key =
        log_key::load_or_create(&world.path("log.key"), "example.com/narthex/log2").unwrap();
    let before = entries(&world);
    let previous = |size: usize, root: &str| {
        format!(
            "{plain}\n[[ledger.previous]]\nlog = \"{old_log}\"\nsize = {size}\nroot = \"{root}\"\n"
        )
    };
    let wrong = "A".repeat(43) + "=";
    let error = open(&world, &previous(before.len(), &wrong))
        .await
        .unwrap_err();
    assert_eq!(error.id(), "log.epoch", "{error}");
    // The message says what belongs there.
    let words = error.to_string();
    let root = words
        .rsplit("root = \"")
        .next()
        .unwrap()
        .trim_end_matches('"')
        .to_owned();
    assert!(
        words.contains(&format!("size = {}", before.len())),
        "{words}"
    );
    let used = world.request(&world.order(create("late")), KEEPER, &["alice"], None);
    let (opened, text) = open(&world, &previous(before.len(), &root)).await.unwrap();
    world.bundles.push(text.into_bytes());
    assert_eq!(
        (opened.epoch, opened.origin.as_str()),
        (1, "example.com/narthex/log2")
    );
    is_sound(&world);
    let all = entries(&world);
    let Entry::Epoch(first) = &all[before.len()].entry else {
        panic!("the first entry of an epoch");
    };
    assert_eq!((first.old_origin.as_str(), first.version), (ORIGIN, 2));
    assert!(matches!(all[before.len() + 1].entry, Entry::Current(_)));

    // The witness is given the new log's key.
    witnesses.stop(0).await;
    witnesses.start(0, &world.log_key).await;
    world.seen.lock().unwrap().clear();
    let running = world.start().await;
    let opened = world.ask(&world.enclave(), &["db"]).await.unwrap();
    assert_eq!(opened[0].version, 1);
    // Used in an entry that is lost, or not: nobody knows.
    assert_eq!(
        world.send(&used).await.unwrap_err(),
        "order.reused",
        "an order of the time before"
    );
    let address = HttpAddress::unix(world.path("log.sock"));
    let (new, old) = (
        trust(&world.log_key, &witnesses),
        trust(&old_log, &witnesses),
    );
    let read = move || {
        let log = HttpLog::new(address, None, ClientLimits::default()).unwrap();
        let each = |_: u64, leaf: &[u8]| Entry::from_leaf(leaf).map(drop);
        LogReader::open(&log, &new)
            .unwrap()
            .verify_all(2, each)
            .unwrap();
        let ended = narthex_ledger::InEpoch {
            store: &log,
            epoch: 0,
        };
        let ended = LogReader::open_log_only(&ended, &old).unwrap();
        ended.verify_all(2, each).unwrap();
        ended.size()
    };
    let size = tokio::task::spawn_blocking(read).await.unwrap();
    assert_eq!(size, before.len() as u64);
    running.stop().await;
    is_sound(&world);
}

#[test]
fn the_words_of_a_stop_say_what_to_do() {
    let stop = LogStop::Behind {
        witness: "w".to_owned(),
        known: 9,
        here: 3,
    };
    assert!(
        RecoveryError::from(stop)
            .to_string()
            .contains("Nothing was changed")
    );
}

/// Runs the program, and returns its exit code, what it printed, and what it said.
fn run(world: &World, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_narthex-key-service"))
        .arg(arguments[0])
        .arg("--config")
        .arg(world.path("service.toml"))
        .args(&arguments[1..])
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_says_what_happened_and_ends_with_the_right_code() {
    let mut witnesses = Witnesses::new(1);
    let mut world = world(&witnesses);
    let (_, folder) = after_a_restore(&mut world, &mut witnesses, 3).await;
    let world = Arc::new(world);
    let running = |arguments: &'static [&'static str]| {
        let world = Arc::clone(&world);
        tokio::task::spawn_blocking(move || run(&world, arguments))
    };
    let (code, _, said) = running(&["run"]).await.unwrap();
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("catch-up --config") && said.contains("(log.behind)"),
        "{said}"
    );
    let (code, _, said) = running(&["catch-up", "--mirror", "/nowhere"])
        .await
        .unwrap();
    assert_eq!(code, Some(3), "{said}");
    let (code, _, said) = running(&["catch-up", "--mirror", "https://mirror.example"])
        .await
        .unwrap();
    assert_eq!(code, Some(2), "{said}");
    assert_eq!(folder, world.path("mirror"));
    let (code, printed, said) = {
        let (world, folder) = (Arc::clone(&world), folder.display().to_string());
        let catch_up = move || run(&world, &["catch-up", "--mirror", &folder]);
        tokio::task::spawn_blocking(catch_up).await.unwrap()
    };
    assert_eq!(code, Some(0), "{said}");
    let printed: serde_json::Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(printed["lost"][1]["name"], "late");
    is_sound(&world);
}
