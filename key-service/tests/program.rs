//! The program as people run it: subcommands, exit codes, permissions, stop signals.
//!
//! Without the feature `dev-root` these run the program as it is shipped, and show that it gives no key to a mock document.
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
    io::{BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    process::{Child, Command, Output, Stdio},
};

use common::*;

fn program(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_narthex-key-service"))
        .args(arguments)
        .output()
        .unwrap()
}

fn with_config(world: &World, command: &[&str]) -> Output {
    let config = world.path("service.toml");
    program(&[command, &["--config", config.to_str().unwrap()]].concat())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A running program; killed if a test ends before it stops it.
struct Process(Child);

impl Process {
    fn run(world: &World) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_narthex-key-service"))
            .args(["run", "--config"])
            .arg(world.path("service.toml"))
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self(child)
    }

    /// Waits for a line that contains `part` and returns everything up to it.
    fn wait_for(&mut self, part: &str) -> String {
        let mut seen = String::new();
        for line in BufReader::new(self.0.stderr.as_mut().unwrap()).lines() {
            let line = line.unwrap();
            seen += &format!("{line}\n");
            if line.contains(part) {
                return seen;
            }
        }
        panic!("{part:?} never came:\n{seen}");
    }

    fn signal(&self, signal: nix::sys::signal::Signal) {
        let id = i32::try_from(self.0.id()).unwrap();
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(id), signal).unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn set_log_level(world: &World, level: &str) {
    let path = world.path("service.toml");
    let config = std::fs::read_to_string(&path).unwrap();
    std::fs::write(
        &path,
        config.replace("level = \"warn\"", &format!("level = \"{level}\"")),
    )
    .unwrap();
}

#[test]
fn the_static_key_is_made_once_and_printed() {
    let world = World::new(vec![KeyRule::usual("database")]);
    let expected = format!("{}\n", hex::encode(world.service_key.as_bytes()));
    let output = with_config(&world, &["static-key"]);
    assert!(output.status.success());
    assert_eq!(text(&output.stdout), expected);
    let mode = std::fs::metadata(world.path("static.key"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o7777, 0o600);
}

#[test]
fn init_happens_once() {
    let world = World::new(vec![KeyRule::usual("database")]);
    let (config, genesis) = (world.path("service.toml"), world.path("0001.toml"));
    let signature = world.path("0001.toml.alice.sig");
    // A lost root key is not replaced by one that fits nothing.
    std::fs::remove_file(world.path("root.key")).unwrap();
    let output = program(&[
        "init",
        "--config",
        config.to_str().unwrap(),
        "--genesis",
        genesis.to_str().unwrap(),
        "--signature",
        signature.to_str().unwrap(),
        world.path("0001.toml.bob.sig").to_str().unwrap(),
    ]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("(storage.already_initialised)"));
    let output = program(&[
        "init",
        "--config",
        config.to_str().unwrap(),
        "--genesis",
        genesis.to_str().unwrap(),
        "--signature",
        signature.to_str().unwrap(),
    ]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("(bundle.under_signed)"));
    assert!(!world.path("root.key").exists());
}

#[test]
fn init_refuses_a_bundle_for_another_service() {
    let world = World::new(vec![KeyRule::usual("database")]);
    std::fs::remove_file(world.path("keys.sqlite")).unwrap();
    std::fs::remove_file(world.path("static.key")).unwrap();
    let arguments = |world: &World| {
        program(&[
            "init",
            "--config",
            world.path("service.toml").to_str().unwrap(),
            "--genesis",
            world.path("0001.toml").to_str().unwrap(),
            "--signature",
            world.path("0001.toml.alice.sig").to_str().unwrap(),
            world.path("0001.toml.bob.sig").to_str().unwrap(),
        ])
    };
    let output = arguments(&world);
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output.stderr).contains("make it with `static-key`"));
    assert!(with_config(&world, &["static-key"]).status.success());
    let output = arguments(&world);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("(init.static_key)"));
    assert!(!world.path("keys.sqlite").exists());
}

#[test]
fn loose_permissions_stop_the_start() {
    let world = World::new(vec![KeyRule::usual("database")]);
    for file in ["root.key", "static.key", "log.key"] {
        let path = world.path(file);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let output = with_config(&world, &["run"]);
        assert_eq!(output.status.code(), Some(1), "{file}");
        assert!(
            text(&output.stderr).contains("(secret_file.loose_permissions)"),
            "{file}"
        );
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
}

#[test]
fn check_finds_an_edited_row() {
    let world = World::new(vec![KeyRule::usual("database")]);
    let output = with_config(&world, &["check"]);
    assert!(output.status.success());
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&found["entries"], &found["log"]["size"]),
        (&2.into(), &2.into())
    );
    assert_eq!(found["evidence"]["sound"], 1);
    sqlite(&world, "UPDATE policy_file SET accepted = accepted + 1");
    for command in ["check", "run"] {
        let output = with_config(&world, &[command]);
        assert_eq!(output.status.code(), Some(1));
        assert!(text(&output.stderr).contains("(storage.row_altered)"));
    }
}

#[test]
fn the_wrong_root_key_opens_nothing() {
    let world = World::new(vec![KeyRule::usual("database")]);
    let other = World::new(vec![KeyRule::usual("database")]);
    std::fs::copy(other.path("root.key"), world.path("root.key")).unwrap();
    for command in ["check", "run"] {
        let output = with_config(&world, &[command]);
        assert_eq!(output.status.code(), Some(1));
        assert!(text(&output.stderr).contains("(storage.root_key)"));
    }
}

#[test]
fn a_second_instance_is_refused_and_signals_stop_the_first() {
    let world = World::new(vec![KeyRule::usual("database")]);
    set_log_level(&world, "info");
    for signal in [
        nix::sys::signal::Signal::SIGTERM,
        nix::sys::signal::Signal::SIGINT,
    ] {
        let mut process = Process::run(&world);
        process.wait_for("serving");
        let limits = std::fs::read_to_string(format!("/proc/{}/limits", process.0.id())).unwrap();
        let core = limits.lines().find(|line| line.starts_with("Max core"));
        let core: Vec<_> = core.unwrap().split_whitespace().rev().take(3).collect();
        assert_eq!(core, ["bytes", "0", "0"], "a crash leaves no core file");
        let output = with_config(&world, &["run"]);
        assert_eq!(output.status.code(), Some(3));
        assert!(text(&output.stderr).contains("(storage.locked)"));
        assert!(
            with_config(&world, &["check"]).status.success(),
            "looking needs no lock"
        );
        process.signal(signal);
        process.wait_for("stopped");
        assert_eq!(process.0.wait().unwrap().code(), Some(0));
        assert!(!world.path("keys.sock").exists());
    }
}

#[test]
fn root_keys_are_listed() {
    let world = World::new(vec![KeyRule::usual("database")]);
    let output = with_config(&world, &["root-key", "list"]);
    let line: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(line["needed"], true);
    assert!(!text(&output.stdout).contains("secret"));
    let id = line["root_key"].as_str().unwrap();
    let config = world.path("service.toml");
    let output = program(&[
        "root-key",
        "forget",
        "--config",
        config.to_str().unwrap(),
        id,
    ]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("(root_key.in_use)"));
}

#[test]
fn every_entry_is_a_line() {
    let world = World::new(vec![KeyRule::usual("database")]);
    let output = with_config(&world, &["entries"]);
    let printed = text(&output.stdout);
    let lines: Vec<serde_json::Value> = printed
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let [genesis, current] = lines.as_slice() else {
        panic!("{printed}");
    };
    assert_eq!(
        (&genesis["sequence"], &genesis["index"]),
        (&0.into(), &0.into())
    );
    assert_eq!(genesis["entry"]["type"], "policy");
    let file = &genesis["entry"]["files"][0];
    let bundle = narthex_channel::Digest384::of(world.newest_bundle()).to_hex();
    assert_eq!(
        (&file["kind"], &file["version"]),
        (&"bundle".into(), &"1".into())
    );
    assert_eq!(file["sha384"], bundle.as_str());
    let mut signers = [person("alice"), person("bob")];
    signers.sort();
    assert_eq!(file["signers"], serde_json::json!(signers));
    assert_eq!(current["entry"]["type"], "current");
    assert_eq!(current["entry"]["bundle"], bundle.as_str());
    assert!(!printed.contains("alice"), "no names");
}

#[test]
fn the_log_key_is_made_once_and_printed() {
    let world = World::new(vec![KeyRule::usual("database")]);
    let expected = format!("{}\n", world.log_key);
    let output = with_config(&world, &["log-key", "--origin", ORIGIN]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout), expected);
    let mode = std::fs::metadata(world.path("log.key"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o7777, 0o600);
    let output = with_config(&world, &["log-key", "--origin", "example.com/other"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("(log_key.other_origin)"));
}

#[test]
fn another_log_key_signs_nothing() {
    let world = World::new(vec![KeyRule::usual("database")]);
    let other = World::new(vec![KeyRule::usual("database")]);
    std::fs::copy(other.path("log.key"), world.path("log.key")).unwrap();
    let output = with_config(&world, &["run"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("(storage.log_key)"));
    std::fs::remove_file(world.path("keys.sqlite")).unwrap();
    let init = |world: &World| {
        program(&[
            "init",
            "--config",
            world.path("service.toml").to_str().unwrap(),
            "--genesis",
            world.path("0001.toml").to_str().unwrap(),
            "--signature",
            world.path("0001.toml.alice.sig").to_str().unwrap(),
            world.path("0001.toml.bob.sig").to_str().unwrap(),
        ])
    };
    let output = init(&world);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("(init.log_key)"));
    std::fs::remove_file(world.path("log.key")).unwrap();
    let output = init(&world);
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output.stderr).contains("make it with `log-key`"));
    assert!(!world.path("keys.sqlite").exists());
}

#[test]
fn check_finds_altered_evidence() {
    let world = World::new(vec![KeyRule::usual("database")]);
    sqlite(
        &world,
        "UPDATE evidence SET content = cast(substr(content, 1, 40) || x'00' || substr(content, 42) AS BLOB)",
    );
    let output = with_config(&world, &["check"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("table evidence, of entry 0"));
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found["altered"].as_array().unwrap().len(), 1);
}

/// A disk that fails: the service says so, decides nothing more, and the next start finds what was answered.
#[tokio::test]
async fn after_an_error_of_the_disk_nothing_is_decided() {
    let world = World::new(vec![KeyRule::usual("database")]);
    set_log_level(&world, "info");
    // Files of at most 256 KiB: writing beyond fails like a broken disk, and not like a full one.
    let script = format!(
        "trap '' XFSZ; ulimit -f 512; exec {} run --config {}",
        env!("CARGO_BIN_EXE_narthex-key-service"),
        world.path("service.toml").display()
    );
    let child = Command::new("sh")
        .args(["-c", &script])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut process = Process(child);
    process.wait_for("serving");
    let mut last = None;
    let reason = loop {
        let name = format!("key-{}", last.map_or(0, |last| last + 1));
        match world.administer(create(&name)).await {
            Ok(_) => last = Some(last.map_or(0, |last| last + 1)),
            Err(reason) => break reason,
        }
        assert!(last < Some(1000));
    };
    assert_eq!(reason, "storage.unavailable");
    let again = world.administer(create("another")).await.unwrap_err();
    assert_eq!(again, "storage.unavailable", "until the next start");
    drop(process);
    let process = Process::run(&world);
    let answered = last.unwrap();
    let mut process = process;
    process.wait_for("serving");
    let list = world
        .administer(narthex_policy::KeyOperation::List)
        .await
        .unwrap();
    let stored = list["keys"].as_array().unwrap().len();
    assert!(
        stored > answered,
        "{stored} stored, {} answered",
        answered + 1
    );
    assert!(world.administer(create("another")).await.is_ok());
}

/// The program as it is shipped trusts AWS's root alone, and says of a mock document what it is.
#[cfg(not(feature = "dev-root"))]
#[tokio::test]
async fn the_shipped_program_gives_no_key_to_a_mock_document() {
    let world = World::new(vec![KeyRule::usual("database")]);
    set_log_level(&world, "info");
    let mut process = Process::run(&world);
    process.wait_for("serving");
    world.release("shop", "1.0", "current").await.unwrap();
    world.administer(create("database")).await.unwrap();
    let reason = world
        .ask(&world.enclave(), &["database"])
        .await
        .unwrap_err();
    assert_eq!(reason, "chain.development_root");
    process.signal(nix::sys::signal::Signal::SIGTERM);
    process.wait_for("stopped");
}

/// And no setting makes it trust another.
#[cfg(not(feature = "dev-root"))]
#[test]
fn the_shipped_program_knows_no_development_root() {
    let world = World::new(vec![KeyRule::usual("database")]);
    let path = world.path("service.toml");
    let config = std::fs::read_to_string(&path).unwrap();
    std::fs::write(
        &path,
        format!("insecure_development_root = \"root.der\"\n{config}"),
    )
    .unwrap();
    let output = with_config(&world, &["run"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("unknown field"));
}
