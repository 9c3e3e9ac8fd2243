//! The end of the process, and of the machine, at any moment.
//!
//! A real process serves agents and administrators, and is killed (`kill -9`) in the middle of it, many times
//! over the same database. What was answered must be there afterwards: every key, every decision, every mark of
//! single use.
//!
//! Three models of what the disk holds then:
//!
//! - *killed*: everything that was written (the process ends, the machine goes on);
//! - *unsynced writes dropped*: only what `fsync` and `fdatasync` covered, kept by a small library that is
//!   preloaded into the service (`synced/synced.c`);
//! - *unsynced writes torn*: between the two, each 512-byte sector from the one or the other at random.
#![cfg(feature = "dev-root")]
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "a test that meets something unexpected has failed"
)]

mod common;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use common::*;
use narthex_key_service::commands;
use narthex_ledger::{Entry, ReleaseEntry};
use narthex_policy::KeyOperation;
use serde_json::Value;

/// What the service answered, from the outside.
#[derive(Default)]
struct Answered {
    /// Session and what was released in it.
    releases: Vec<(String, Opened)>,
    /// Content and answer of administrative calls.
    calls: Vec<(Vec<u8>, Value)>,
}

const AGENTS: u32 = 6;
const ADMINISTRATORS: u32 = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_moment_nothing_answered_is_lost() {
    let mut ordeal = Ordeal::prepare(Disk::KeepsEverything).await;
    ordeal.rounds().await;
    ordeal.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_unsynced_writes_nothing_answered_is_lost() {
    let mut ordeal = Ordeal::prepare(Disk::DropsUnsynced).await;
    ordeal.rounds().await;
    ordeal.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_torn_unsynced_writes_nothing_answered_is_lost() {
    let mut ordeal = Ordeal::prepare(Disk::TearsUnsynced).await;
    ordeal.rounds().await;
    ordeal.finish().await;
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Disk {
    KeepsEverything,
    DropsUnsynced,
    TearsUnsynced,
}

struct Ordeal {
    world: Arc<World>,
    disk: Disk,
    library: Option<PathBuf>,
    shadow: tempfile::TempDir,
    answered: Arc<Mutex<Answered>>,
    /// How often a kill hit while somebody waited for an answer.
    hits: usize,
}

impl Ordeal {
    async fn prepare(disk: Disk) -> Self {
        let names = (0..ADMINISTRATORS).map(|index| KeyRule::usual(&format!("key-{index}")));
        let rules = names.chain([KeyRule::usual("database")]).collect();
        // Small groups and checkpoints at every few pages: more moments at which a kill can hit.
        let world = World::with_bundle(BundleText::first(rules), "[limits]\ngroup_decisions = 8\n");
        let shadow = tempfile::tempdir().unwrap();
        let library = (disk != Disk::KeepsEverything).then(|| build_library(shadow.path()));
        for part in ["synced", "new", "temporary"] {
            std::fs::create_dir(shadow.path().join(part)).unwrap();
        }
        let running = world.start().await;
        world.release("shop", "1.0", "current").await.unwrap();
        world.administer(create("database")).await.unwrap();
        running.stop().await;
        Self {
            world: Arc::new(world),
            disk,
            library,
            shadow,
            answered: Arc::default(),
            hits: 0,
        }
    }

    /// Twenty-five kills, and more on a machine so busy that too little was under way when they hit.
    async fn rounds(&mut self) {
        for round in 0..100 {
            if round >= 25 && self.saw_enough() {
                return;
            }
            self.round(round).await;
        }
        panic!("a hundred kills, and hardly anything was under way");
    }

    fn saw_enough(&self) -> bool {
        let answered = self.answered.lock().unwrap();
        let Answered { releases, calls } = &*answered;
        let rotations = calls
            .iter()
            .filter(|(_, answer)| answer.get("previous_root_key").is_some());
        releases.len() > 25 && calls.len() > 25 && rotations.count() > 3 && self.hits > 25
    }

    async fn round(&mut self, round: u64) {
        let before = self.count();
        let service = self.start_process();
        self.wait_until_it_listens().await;
        let mut people = tokio::task::JoinSet::new();
        for index in 0..AGENTS {
            people.spawn(agent(
                Arc::clone(&self.world),
                Arc::clone(&self.answered),
                index,
            ));
        }
        for index in 0..ADMINISTRATORS {
            let (world, answered) = (Arc::clone(&self.world), Arc::clone(&self.answered));
            people.spawn(administrator(world, answered, index, round));
        }
        // At least one answer, so that no round is idle; then any moment within a quarter of a second.
        let patience = std::time::Instant::now();
        while self.count() == before {
            assert!(
                patience.elapsed() < Duration::from_secs(60),
                "nothing was answered"
            );
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        tokio::time::sleep(Duration::from_micros(random(250_000))).await;
        drop(service);
        while let Some(cut_off) = people.join_next().await {
            self.hits += usize::from(cut_off.unwrap());
        }
        self.lose_power();
        self.check();
    }

    fn count(&self) -> usize {
        let answered = self.answered.lock().unwrap();
        answered.releases.len() + answered.calls.len()
    }

    fn start_process(&self) -> Killed {
        let mut command = Command::new(env!("CARGO_BIN_EXE_narthex-key-service"));
        command
            .args(["run", "--config"])
            .arg(self.world.path("service.toml"))
            .stderr(Stdio::inherit());
        if let Some(library) = &self.library {
            // What is there now survived the last power cut.
            let synced = self.shadow.path().join("synced");
            for name in ["keys.sqlite", "keys.sqlite-wal", "root.key"] {
                let (live, kept) = (self.world.path(name), synced.join(name));
                let _ = std::fs::remove_file(&kept);
                if live.exists() {
                    std::fs::copy(live, kept).unwrap();
                }
            }
            command
                .env("LD_PRELOAD", library)
                .env(
                    "SYNCED_FOLDER",
                    std::fs::canonicalize(self.world.folder.path()).unwrap(),
                )
                .env("SYNCED_SHADOW", self.shadow.path());
        }
        Killed(command.spawn().unwrap())
    }

    async fn wait_until_it_listens(&self) {
        for _ in 0..2000 {
            // The last listener that is bound.
            if std::os::unix::net::UnixStream::connect(self.world.path("policy.sock")).is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the service does not listen");
    }

    /// Puts the disk into the state that the model says it has after a power cut.
    fn lose_power(&self) {
        if self.disk == Disk::KeepsEverything {
            return;
        }
        let synced = self.shadow.path().join("synced");
        for name in ["keys.sqlite", "keys.sqlite-wal", "root.key"] {
            let live = self.world.path(name);
            let kept = std::fs::read(synced.join(name)).ok();
            let content = match (kept, self.disk) {
                (Some(kept), Disk::TearsUnsynced) if name != "root.key" => {
                    Some(tear(&kept, &std::fs::read(&live).unwrap_or_default()))
                }
                (kept, _) => kept,
            };
            let _ = std::fs::remove_file(&live);
            if let Some(content) = content {
                std::fs::write(&live, content).unwrap();
                set_private(&live);
            }
        }
        // The index into the write-ahead log lives in memory that is gone.
        let _ = std::fs::remove_file(self.world.path("keys.sqlite-shm"));
        for part in ["new", "temporary"] {
            for file in std::fs::read_dir(self.shadow.path().join(part)).unwrap() {
                std::fs::remove_file(file.unwrap().path()).unwrap();
            }
        }
    }

    /// Everything that was answered stands in the record, and the whole database is sound.
    fn check(&self) {
        let storage = self.world.config().storage;
        let findings = commands::check(&storage).unwrap();
        assert!(
            findings.altered_keys.is_empty(),
            "{:?}",
            findings.altered_keys
        );
        assert!(
            findings.evidence.altered.is_empty(),
            "{:?}",
            findings.evidence.altered
        );
        // Nobody has seen a checkpoint that this log does not continue.
        self.world.continues_what_was_seen();
        let recorded = entries(&self.world);
        let by_session: BTreeMap<String, &ReleaseEntry> = recorded
            .iter()
            .filter_map(|recorded| match &recorded.entry {
                Entry::Release(release) if release.decision.is_accepted() => {
                    Some((release.session.to_string(), release))
                }
                _ => None,
            })
            .collect();
        let answered = self.answered.lock().unwrap();
        for (session, opened) in &answered.releases {
            let release = by_session
                .get(session)
                .expect("a release without its entry");
            assert_eq!(release.keys[0].commitment.to_string(), opened.commitment);
        }
        for (_, answer) in &answered.calls {
            let index = usize::try_from(answer["entry"]["index"].as_u64().unwrap()).unwrap();
            let recorded = recorded.get(index).expect("a call without its entry");
            assert_eq!(answer["entry"]["hash"], recorded.hash.to_string());
        }
    }

    async fn finish(self) {
        let running = self.world.start().await;
        let (releases, calls) = {
            let mut answered = self.answered.lock().unwrap();
            (
                std::mem::take(&mut answered.releases),
                std::mem::take(&mut answered.calls),
            )
        };
        // No answered key is lost: every version that was ever handed out is still the same key.
        let mut keys: BTreeMap<(String, u32), Opened> = BTreeMap::new();
        for (_, opened) in releases {
            let reference = (opened.name.clone(), opened.version);
            if let Some(before) = keys.insert(reference, opened.clone()) {
                assert_eq!(before, opened);
            }
        }
        let enclave = self.world.enclave().with_nsm("00000000000000ff");
        for ((name, version), expected) in keys {
            let again = self
                .world
                .ask_versions(&enclave, &[(&name, Some(version))])
                .await;
            assert_eq!(again.unwrap()[0], expected);
        }
        // No created key is lost, and none is enabled that was answered as disabled.
        let list = self.world.administer(KeyOperation::List).await.unwrap();
        for (_, answer) in calls
            .iter()
            .filter(|(_, answer)| answer.get("key").is_some())
        {
            let key = &answer["key"];
            let stored = list["keys"].as_array().unwrap().iter().find(|stored| {
                stored["name"] == key["name"] && stored["version"] == key["version"]
            });
            assert_eq!(stored.expect("a lost key")["commitment"], key["commitment"]);
        }
        // No mark of single use is lost.
        for (content, _) in calls.iter().rev().take(100) {
            assert_eq!(self.world.send(content).await.unwrap_err(), "order.reused");
        }
        running.stop().await;
    }
}

/// Asks for keys until the service is gone. Says whether it was cut off while waiting for an answer.
async fn agent(world: Arc<World>, answered: Arc<Mutex<Answered>>, index: u32) -> bool {
    let enclave = world.enclave().with_nsm(&format!("{index:016x}"));
    let name = match index.checked_sub(AGENTS - ADMINISTRATORS) {
        Some(administrator) => format!("key-{administrator}"),
        None => "database".to_owned(),
    };
    loop {
        match world.try_ask_in_session(&enclave, &[(&name, None)]).await {
            Ok((session, Ok(opened))) => {
                let release = (session, opened[0].clone());
                answered.lock().unwrap().releases.push(release);
            }
            Ok((_, Err(reason))) => assert_eq!(reason, "key.not_stored"),
            Err(error) => return error != "io.connect" && !error.contains("connecting"),
        }
    }
}

/// Creates, rotates and lists, and once in a while rotates the root key, until the service is gone.
async fn administrator(
    world: Arc<World>,
    answered: Arc<Mutex<Answered>>,
    index: u32,
    round: u64,
) -> bool {
    let name = format!("key-{index}");
    let mut step = 0;
    loop {
        step += 1;
        let operation = match (round, step) {
            (0, 1) => create(&name),
            (_, 2) if index == 0 => KeyOperation::RotateRootKey,
            (_, step) if step % 3 == 0 => KeyOperation::List,
            _ => KeyOperation::Rotate { key: key(&name) },
        };
        let content = world.request(&world.order(operation), KEEPER, &["alice"], None);
        match world.try_send(&content).await {
            Ok(Ok(answer)) => answered.lock().unwrap().calls.push((content, answer)),
            Ok(Err(reason)) => {
                assert!(
                    ["key.exists", "key.not_stored"].contains(&reason.as_str()),
                    "{reason}"
                );
                if reason == "key.not_stored" {
                    let content = world.request(&world.order(create(&name)), KEEPER, &[], None);
                    if let Ok(Ok(answer)) = world.try_send(&content).await {
                        answered.lock().unwrap().calls.push((content, answer));
                    }
                }
            }
            Err(error) => return error != "io.connect" && !error.contains("connecting"),
        }
    }
}

/// A process that is killed, not asked to stop.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn build_library(folder: &Path) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/synced/synced.c");
    let library = folder.join("synced.so");
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"])
        .args([&library, &source])
        .arg("-ldl")
        .status()
        .expect("a C compiler, which building this crate needs as well");
    assert!(built.success());
    library
}

/// Each sector from the synced content or from the written one, at random.
fn tear(synced: &[u8], written: &[u8]) -> Vec<u8> {
    const SECTOR: usize = 512;
    let length = if random(2) == 0 {
        synced.len()
    } else {
        written.len()
    };
    let mut torn = synced.to_vec();
    torn.resize(length, 0);
    for (index, sector) in torn.chunks_mut(SECTOR).enumerate() {
        let from = index * SECTOR;
        let source = written.get(from..).unwrap_or_default();
        if random(2) == 1 && source.len() >= sector.len() {
            sector.copy_from_slice(&source[..sector.len()]);
        }
    }
    torn
}

fn set_private(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// A number below `limit`.
fn random(limit: u64) -> u64 {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).unwrap();
    u64::from_le_bytes(bytes) % limit
}
