//! Implementations that are not ours agree with ours about the same logs: Go's `note` and `tlog`, which the Go module
//! mirror is checked with, and the Python packages `aics-tlog` and `aics-witness`. They read what we write, we read what they
//! write, their witness cosigns our log and our witness cosigns theirs.

// A scenario panics when something is not as it should be: that is how it says so.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used
)]

use std::fs;
use std::path::Path;

use narthex_ledger::mock::MockLog;
use narthex_ledger::{Folder, LogReader, Proof, Tile};
use narthex_tests::lab::orders::now;
use narthex_tests::lab::process::{Said, await_true};
use narthex_tests::lab::programs::Programs;
use narthex_tests::lab::witness::ours;
use narthex_tests::lab::{Lab, Setup};
use narthex_tests::operator::outcome;
use narthex_tests::peers::Peers;

fn text(path: &Path) -> &str {
    path.to_str().expect("a readable path")
}

/// Writes a proof and the entry that it proves beside each other.
fn lay_out(lab: &Lab, exported: &Path, name: &str, proof: &[u8]) {
    let parsed = Proof::parse(std::str::from_utf8(proof).unwrap()).unwrap();
    let folder = Folder::open(exported).unwrap();
    let reader = LogReader::open(&folder, &lab.trust(lab.witnesses.len())).unwrap();
    fs::write(
        lab.path(&format!("{name}.entry")),
        reader.entry(parsed.index).unwrap(),
    )
    .unwrap();
    fs::write(lab.path(&format!("{name}.proof")), proof).unwrap();
}

#[test]
fn peers_read_our_log_and_their_witness_cosigns_it() {
    let Some(peers) = Peers::find() else { return };
    let setup = Setup {
        witnesses: vec![ours("witness"), peers.aics_witness()],
        quorum: 2,
        ..Setup::dev()
    };
    let mut lab = Lab::with(setup).furnish(&[], |_| ());
    let enclave = lab.enclave("one");
    let agent = lab.ready_agent("agent", &enclave);
    let older = lab.export("older");
    let paper = lab.read_order("olga");
    // What the agent accepts needs both cosignatures, theirs among them.
    let health = narthex_tests::operator::What::plain(narthex_policy::Action::Health, 0);
    assert_eq!(outcome(&lab.call(&agent, "olga", &paper, health)), "done");
    let released = lab.enclave("two");
    lab.boot(&*released.nsm, "policy/bundles/0002.toml");
    let answer = lab.ask_keys(&*released.nsm, "policy/bundles/0002.toml", 2);
    let release = answer
        .ok()
        .and_then(|answer| answer.log_proof)
        .expect("a proof");
    let currency = lab.currency();
    let exported = lab.export("exported");
    lab.log(
        "verify",
        "exported",
        &["--older", "older/checkpoint", "--evidence"],
    )
    .done();

    // Go: every entry is in the tree, which continues the older one; three kinds of proofs; both cosignatures.
    let (log, exported, kept) = (&lab.log_key, text(&exported), older.join("checkpoint"));
    let go = |arguments: &[&str]| peers.go(lab.folder(), arguments);
    go(&["verify", log, exported, text(&kept)]).done();
    for (name, proof) in [
        ("order", paper.log_proof.as_ref().unwrap()),
        ("release", &release),
        ("currency", &currency),
    ] {
        lay_out(&lab, Path::new(exported), name, proof);
        go(&[
            "proof",
            log,
            &format!("{name}.entry"),
            &format!("{name}.proof"),
        ])
        .done();
    }
    // A proof is for one entry: the peer is not just polite.
    assert_eq!(
        go(&["proof", log, "order.entry", "release.proof"]).code,
        Some(1)
    );
    for witness in &lab.witnesses {
        let said = go(&[
            "cosigned",
            log,
            &witness.key,
            &format!("{exported}/checkpoint"),
        ])
        .done();
        let time: u64 = said.trim().parse().expect("seconds");
        assert!(time.abs_diff(now().0 / 1000) < 120, "{time}");
    }

    // Python: checkpoint with its quorum, an entry, and consistency.
    let mut whom = vec![
        "--log-key",
        log.as_str(),
        "--quorum",
        "2",
        "--tiles",
        exported,
    ];
    for witness in &lab.witnesses {
        whom.extend(["--witness-key", &witness.key]);
    }
    let aics = |arguments: &[&str]| peers.aics_tlog(lab.folder(), &[arguments, &whom].concat());
    aics(&["verify-checkpoint", "--max-age", "3600"]).done();
    let index = Proof::parse(std::str::from_utf8(&release).unwrap())
        .unwrap()
        .index;
    let index = index.to_string();
    aics(&[
        "verify-inclusion",
        "--index",
        &index,
        "--leaf",
        "release.entry",
    ])
    .done();
    assert_ne!(
        aics(&[
            "verify-inclusion",
            "--index",
            &index,
            "--leaf",
            "order.entry"
        ])
        .code,
        Some(0)
    );
    aics(&["verify-consistency", "--old-checkpoint", text(&kept)]).done();

    // Their witness is missed when it is away, and welcome when it is back.
    lab.witnesses[1].stop();
    let submit = |lab: &Lab| lab.submit_order(&lab.unlogged_read_order("olga", |_| ())).0;
    assert_eq!(submit(&lab), "log.quorum");
    lab.witnesses[1].start();
    await_true("their witness cosigns again", || submit(&lab) == "accepted");
}

#[test]
fn peers_read_logs_of_every_shape() {
    let Some(peers) = Peers::find() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut log = MockLog::create(folder.path().join("log"), "lab.example/shapes", 1).unwrap();
    let key = log.key().verifier_key().to_string();
    let directory = log.folder().path().to_owned();
    let mut kept = Vec::new();
    for size in [1, 2, 255, 256, 257, 512, 700] {
        while log.checkpoint().size < size {
            let number = log.checkpoint().size;
            log.append_leaf(format!("leaf {number}").as_bytes())
                .unwrap();
        }
        log.publish(now().0 / 1000).unwrap();
        let name = folder.path().join(format!("kept-{size}"));
        fs::copy(directory.join("checkpoint"), &name).unwrap();
        kept.push(name);
        let mut arguments = vec!["verify", &key, text(&directory)];
        arguments.extend(kept.iter().map(|path| text(path)));
        peers.go(folder.path(), &arguments).done();
        peers
            .aics_tlog(
                folder.path(),
                &[
                    "verify-checkpoint",
                    "--log-key",
                    &key,
                    "--tiles",
                    text(&directory),
                ],
            )
            .done();
    }
}

#[test]
fn we_read_a_log_that_go_made_and_our_witness_cosigns_it() {
    let Some(peers) = Peers::find() else { return };
    let folder = tempfile::tempdir().unwrap();
    let programs = Programs::dev();
    for (size, old) in [(1, 1), (255, 3), (256, 255), (257, 256), (700, 257)] {
        let directory = folder.path().join(format!("log-{size}"));
        let (name, size, old) = (
            format!("go.example/{size}"),
            size.to_string(),
            old.to_string(),
        );
        let arguments = ["make", &name, text(&directory), &size, &old];
        let key = peers.go(folder.path(), &arguments).done().trim().to_owned();
        let policy = format!("log {key}\nquorum none\n");
        fs::write(folder.path().join("tlog-policy"), policy).unwrap();
        let verify = |more: &[&str]| {
            let common = [
                "log",
                "verify",
                text(&directory),
                "--tlog-policy",
                "tlog-policy",
            ];
            Said::by(
                folder.path(),
                &programs.narthex(),
                &[&common, more].concat(),
            )
        };
        let older = directory.join("older");
        verify(&["--older", text(&older)]).done();

        // Our witness: from nothing to the older checkpoint, from there to the newer one, and never back.
        let mut witness = ours(&format!("witness-{size}"))(folder.path(), &programs, &key);
        let request = |file: &str| fs::read_to_string(directory.join(file)).unwrap();
        let (status, line) = witness.ask(&request("first-request"));
        assert_eq!(status, 200, "{line}");
        let (status, line) = witness.ask(&request("request"));
        assert_eq!(status, 200, "{line}");
        let (status, known) = witness.ask(&request("first-request"));
        assert_eq!((status, known.trim()), (409, size.as_str()));
        let checkpoint = request("checkpoint") + &line;
        fs::write(directory.join("checkpoint"), checkpoint).unwrap();
        let said = peers.go(
            folder.path(),
            &[
                "cosigned",
                &key,
                &witness.key,
                text(&directory.join("checkpoint")),
            ],
        );
        said.done();
        // With the witness in the policy the same log is verified with its quorum.
        let policy = format!("log {key}\nwitness w {}\nquorum w\n", witness.key);
        fs::write(folder.path().join("tlog-policy"), policy).unwrap();
        verify(&[]).done();
        witness.stop();

        // One byte of their log, and ours says so.
        let width: u16 = size.parse().unwrap();
        let first = Tile {
            level: 0,
            index: 0,
            width: width.min(256),
        };
        let tile = directory.join(first.path());
        let mut bytes = fs::read(&tile).unwrap();
        bytes[0] ^= 1;
        fs::write(&tile, bytes).unwrap();
        assert_eq!(verify(&[]).code, Some(1));
    }
}
