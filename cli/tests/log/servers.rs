//! Processes that go on: serve, follow, mirror and the witness; and copies.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use narthex_ledger::tokio::{ClientLimits, WitnessClient, WitnessReply};
use narthex_ledger::{AddCheckpoint, LogReader, Trust, VerifierKey};

use crate::fixture::{Logged, id_in};

/// A running command; ended when it goes.
struct Running {
    child: Child,
    out: PathBuf,
    err: PathBuf,
}

impl Running {
    fn start(logged: &Logged, name: &str, words: &str) -> Self {
        let (out, err) = (
            logged.world.path(&format!("{name}.out")),
            logged.world.path(&format!("{name}.err")),
        );
        let child = Command::new(env!("CARGO_BIN_EXE_narthex"))
            .args(words.split_whitespace())
            .current_dir(logged.world.directory.path())
            .env("HOME", logged.world.directory.path())
            .env_remove("XDG_STATE_HOME")
            .stdin(Stdio::null())
            .stdout(fs::File::create(&out).unwrap())
            .stderr(fs::File::create(&err).unwrap())
            .spawn()
            .unwrap();
        Self { child, out, err }
    }

    fn stderr(&self) -> String {
        fs::read_to_string(&self.err).unwrap()
    }

    fn stdout(&self) -> String {
        fs::read_to_string(&self.out).unwrap()
    }

    fn wait_for(&self, file: &Path, text: &str) {
        let until = Instant::now() + Duration::from_secs(30);
        while !fs::read_to_string(file).unwrap().contains(text) {
            assert!(
                Instant::now() < until,
                "no {text:?} in {:?} {:?}",
                self.stdout(),
                self.stderr()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The address that it says it listens on.
    fn address(&self) -> String {
        self.wait_for(&self.err, " listens on tcp:");
        let text = self.stderr();
        let (_, rest) = text.split_once(" listens on tcp:").unwrap();
        rest.lines().next().unwrap().to_owned()
    }

    fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args([signal, &pid]).status().unwrap();
        assert!(sent.success());
    }

    /// Exit status after SIGTERM.
    fn stop(mut self) -> (i32, String) {
        self.signal("-TERM");
        let status = self.child.wait().unwrap().code().unwrap_or(-1);
        (status, self.stderr())
    }

    /// Exit status of one that ends by itself.
    fn end(&mut self) -> i32 {
        self.child.wait().unwrap().code().unwrap_or(-1)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _reaped = self.child.wait();
    }
}

#[test]
fn a_served_log_is_for_those_with_a_ticket() {
    let logged = Logged::new();
    let server = Running::start(
        &logged,
        "serve",
        "log serve log --listen tcp:127.0.0.1:0 --policy policy",
    );
    let url = format!("http://{}", server.address());
    let (status, _, stderr) = logged.narthex(&format!("log show {url} --policy policy"));
    assert_eq!(
        (status, id_in(&stderr).as_str()),
        (1, "log.forbidden"),
        "{stderr}"
    );
    assert!(stderr.contains("narthex log ticket"), "{stderr}");
    let (status, stdout, stderr) =
        logged.narthex("log ticket --policy policy --as carol --key carol --valid-for 1h --out t");
    assert_eq!((status, stdout.as_str()), (0, "t\n"), "{stderr}");
    let (status, _, stderr) = logged.narthex(&format!(
        "log verify {url} --policy policy --ticket t --evidence"
    ));
    assert_eq!(status, 0, "{stderr}");
    let (status, stderr) = server.stop();
    assert_eq!(status, 0, "{stderr}");
    assert!(stderr.contains("log ended: "), "{stderr}");

    let open = Running::start(
        &logged,
        "anyone",
        "log serve log --listen tcp:127.0.0.1:0 --anyone",
    );
    let url = format!("http://{}", open.address());
    assert_eq!(
        logged
            .narthex(&format!("log verify {url} --policy policy"))
            .0,
        0
    );
    assert_eq!(open.stop().0, 0);
}

/// New entries are printed once; a server that goes away and comes back is survived; one that comes
/// back with less is not.
#[test]
fn whoever_follows_survives_an_absence_and_refuses_a_rollback() {
    let mut logged = Logged::new();
    let serve = |name: &str, logged: &Logged, port: &str| {
        let line = format!("log serve log --listen tcp:127.0.0.1:{port} --anyone");
        Running::start(logged, name, &line)
    };
    let server = serve("serve1", &logged, "0");
    let address = server.address();
    let port = address.rsplit(':').next().unwrap().to_owned();
    let mut follower = Running::start(
        &logged,
        "follow",
        &format!("log follow http://{address} --policy policy --since 7 --interval 100ms --json"),
    );
    follower.wait_for(&follower.out, "\"index\":7");
    let old = fs::read(logged.world.path("log/checkpoint")).unwrap();
    logged.current();
    logged.publish();
    follower.wait_for(&follower.out, "\"index\":8");
    assert_eq!(server.stop().0, 0);
    follower.wait_for(&follower.err, "trying again");
    logged.current();
    logged.publish();
    let server = serve("serve2", &logged, &port);
    follower.wait_for(&follower.out, "\"index\":9");
    follower.wait_for(&follower.err, "answers again");
    let lines = follower.stdout();
    assert_eq!(lines.lines().count(), 3, "{lines}");
    fs::write(logged.world.path("log/checkpoint"), old).unwrap();
    assert_eq!(follower.end(), 1);
    let last: serde_json::Value =
        serde_json::from_str(follower.stdout().lines().last().unwrap()).unwrap();
    assert_eq!(last["error"]["id"], "log.behind");
    drop(server);

    // Told to stop, it ends well, and at once.
    logged.publish();
    let follower = Running::start(
        &logged,
        "follow2",
        "log follow log --policy policy --interval 1h",
    );
    follower.wait_for(&follower.err, "following keys.example/log from entry 10");
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(follower.stop().0, 0);
}

#[test]
fn a_copy_grows_with_its_log_and_never_takes_back() {
    let mut logged = Logged::new();
    let (status, stdout, stderr) = logged.narthex("log export log exported --policy policy");
    assert_eq!((status, stdout.as_str()), (0, "exported\n"), "{stderr}");
    assert_eq!(
        logged
            .narthex("log verify exported --policy policy --evidence")
            .0,
        0
    );

    let mirror = Running::start(
        &logged,
        "mirror",
        "log mirror log copy --policy policy --interval 100ms",
    );
    mirror.wait_for(&mirror.err, "8 entries, 8 of them new");
    let old = fs::read(logged.world.path("log/checkpoint")).unwrap();
    logged.current();
    logged.publish();
    mirror.wait_for(&mirror.err, "9 entries, 1 of them new");
    let (status, stderr) = mirror.stop();
    assert_eq!(status, 0, "{stderr}");
    assert_eq!(
        logged
            .narthex("log verify copy --policy policy --evidence")
            .0,
        0
    );

    fs::write(logged.world.path("log/checkpoint"), old).unwrap();
    let (status, _, stderr) = logged.narthex("log mirror log copy --policy policy --once");
    assert_eq!(
        (status, id_in(&stderr).as_str()),
        (1, "log.behind"),
        "{stderr}"
    );
    assert!(logged.world.path("copy/conflicting-checkpoint").exists());
    assert_eq!(logged.narthex("log verify copy --policy policy").0, 0);
}

#[test]
fn a_witness_cosigns_what_grew_and_remembers_it() {
    let mut logged = Logged::new();
    let (status, key, stderr) = logged.narthex("log witness-key --name w.example/w --out w.key");
    assert_eq!(status, 0, "{stderr}");
    // Asked again, it says the same.
    assert_eq!(
        logged
            .narthex("log witness-key --name w.example/w --out w.key")
            .1,
        key
    );
    let log_key = logged.log.key().verifier_key();
    let line = format!("log witness --key w.key --log {log_key} --listen tcp:127.0.0.1:0");
    let trust = Trust::new(log_key, vec![VerifierKey::parse(key.trim()).unwrap()], 1).unwrap();

    let witness = Running::start(&logged, "witness", &line);
    let seen = ask(&logged, &witness.address(), 0);
    let WitnessReply::Cosigned(signatures) = seen else {
        panic!("{seen:?}")
    };
    let mut note = LogReader::newest(logged.log.folder()).unwrap();
    for signature in signatures {
        note.add(signature).unwrap();
    }
    trust.check(&note).unwrap();
    let (status, stderr) = witness.stop();
    assert_eq!(status, 0, "{stderr}");
    assert!(
        stderr.contains("cosigned keys.example/log at 8 entries"),
        "{stderr}"
    );

    // Started again, it knows; whoever pretends that it does not is told.
    logged.current();
    logged.publish();
    let witness = Running::start(&logged, "witness2", &line);
    let address = witness.address();
    assert!(
        witness.stderr().contains("last cosigned at 8 entries"),
        "{}",
        witness.stderr()
    );
    assert_eq!(
        ask(&logged, &address, 0),
        WitnessReply::Conflict { size: 8 }
    );
    // Two on one memory would cosign two pasts.
    let (status, _, stderr) = logged.narthex(&line);
    assert_eq!(
        (status, id_in(&stderr).as_str()),
        (3, "witness.in_use"),
        "{stderr}"
    );
    assert_eq!(witness.stop().0, 0);

    // Without its memory the key is not used.
    fs::rename(
        logged.world.path("w.key.state"),
        logged.world.path("elsewhere"),
    )
    .unwrap();
    let (status, _, stderr) = logged.narthex(&line);
    assert_eq!(
        (status, id_in(&stderr).as_str()),
        (3, "witness.no_state"),
        "{stderr}"
    );
}

fn ask(logged: &Logged, address: &str, old_size: u64) -> WitnessReply {
    let request = AddCheckpoint {
        old_size,
        proof: Vec::new(),
        checkpoint: LogReader::newest(logged.log.folder()).unwrap(),
    };
    let address = format!("http://{address}").parse().unwrap();
    let client = WitnessClient::new(address, ClientLimits::default());
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(client.add_checkpoint(&request))
        .unwrap()
}
