//! Logs that were meddled with, and sources that are no logs: each is refused for exactly that, and
//! the words say what to do next.

use std::fs;

use narthex_ledger::mock::MockLog;
use narthex_ledger::{KeyKind, Resource, SigningKey, Tile};

use crate::fixture::{Logged, ORIGIN, SIZE, id_in};

fn change(path: &std::path::Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_changed_entry_tile_or_piece_of_evidence_is_seen() {
    let logged = Logged::new();
    let width = u16::try_from(SIZE).unwrap();
    let entries = logged.file(&Resource::Entries { index: 0, width });
    change(&entries, 40);
    assert_eq!(logged.verdict(), "log.entries");
    let (status, _, stderr) = logged.narthex("log show log 0 --policy policy");
    assert_eq!((status, id_in(&stderr).as_str()), (1, "log.entries"));
    change(&entries, 40);

    let tile = logged.file(&Resource::Tile(Tile {
        level: 0,
        index: 0,
        width,
    }));
    change(&tile, 40);
    assert_eq!(logged.verdict(), "log.root");
    change(&tile, 40);

    for piece in fs::read_dir(logged.world.path("log/evidence")).unwrap() {
        change(&piece.unwrap().path(), 50);
    }
    let (status, _, stderr) = logged.narthex("log verify log --policy policy --evidence");
    assert_eq!(
        (status, id_in(&stderr).as_str()),
        (1, "log.evidence"),
        "{stderr}"
    );
    let (status, _, stderr) = logged.narthex("log show log 2 --policy policy --evidence x");
    assert_eq!(
        (status, id_in(&stderr).as_str()),
        (1, "log.evidence"),
        "{stderr}"
    );
    assert_eq!(logged.verdict(), "verified");
}

#[test]
fn a_checkpoint_of_another_key_is_none() {
    let logged = Logged::new();
    let other = SigningKey::generate(ORIGIN, KeyKind::Log).unwrap();
    let note = narthex_ledger::sign_checkpoint(&logged.log.checkpoint(), &other).unwrap();
    fs::write(logged.world.path("log/checkpoint"), note.to_string()).unwrap();
    let (status, _, stderr) = logged.narthex("log show log --policy policy");
    assert_eq!((status, id_in(&stderr).as_str()), (1, "log.signature"));
    assert!(
        stderr.contains("is this the log that your policy names?"),
        "{stderr}"
    );
}

/// The same keys, another past: what a log's operator with all witnesses' help could do. Whoever saw
/// the first past refuses the second.
#[test]
fn another_past_is_refused_by_whoever_saw_the_first() {
    let mut logged = Logged::new();
    assert_eq!(
        logged
            .narthex("log verify log --policy policy --checkpoint-out kept")
            .0,
        0
    );
    let copy = |key: &SigningKey| SigningKey::parse(&key.to_text()).unwrap();
    let (key, witnesses) = (
        copy(logged.log.key()),
        logged.log.witnesses().iter().map(copy).collect(),
    );
    fs::remove_dir_all(logged.world.path("log")).unwrap();
    logged.log = MockLog::with_keys(logged.world.path("log"), key, witnesses).unwrap();
    for _ in 0..SIZE {
        logged.current();
    }
    logged.publish();
    assert_eq!(logged.verdict(), "log.forked");
    for command in [
        "show log",
        "search log",
        "prove log 0 --out p",
        "follow log --for 1s",
    ] {
        let (status, _, stderr) = logged.narthex(&format!("log {command} --policy policy"));
        assert_eq!(
            (status, id_in(&stderr).as_str()),
            (1, "log.forked"),
            "{command}: {stderr}"
        );
        assert!(stderr.contains("keep both checkpoints"), "{stderr}");
    }
    logged.current();
    logged.publish();
    assert_eq!(logged.verdict(), "log.consistency");
    // Without the memory, a checkpoint that was kept says the same.
    fs::remove_dir_all(logged.world.path(".local")).unwrap();
    let (status, _, stderr) = logged.narthex("log verify log --policy policy --older kept");
    assert_eq!(
        (status, id_in(&stderr).as_str()),
        (1, "log.consistency"),
        "{stderr}"
    );
}

#[test]
fn a_log_that_begins_with_no_bundle_is_none_of_ours() {
    let mut logged = Logged::new();
    let copy = |key: &SigningKey| SigningKey::parse(&key.to_text()).unwrap();
    let (key, witnesses) = (
        copy(logged.log.key()),
        logged.log.witnesses().iter().map(copy).collect(),
    );
    logged.log = MockLog::with_keys(logged.world.path("other"), key, witnesses).unwrap();
    logged.current();
    logged.publish();
    let (status, _, stderr) = logged.narthex("log verify other --policy policy");
    assert_eq!(
        (status, id_in(&stderr).as_str()),
        (1, "log.entry"),
        "{stderr}"
    );
    // Somebody else's log can be verified all the same.
    logged.log.append_leaf(b"whatever").unwrap();
    logged.publish();
    let trust = logged.log.trust(1).unwrap().to_string();
    fs::write(logged.world.path("tlog-policy"), trust).unwrap();
    let (status, stdout, stderr) = logged.narthex("log verify other --tlog-policy tlog-policy");
    assert_eq!(status, 0, "{stderr}");
    assert!(
        stdout.contains("1 entries of another kind of log"),
        "{stdout}"
    );
}

#[test]
fn what_is_no_log_is_named_and_what_to_do_is_said() {
    let logged = Logged::new();
    fs::create_dir(logged.world.path("empty")).unwrap();
    fs::write(logged.world.path("junk"), "junk").unwrap();
    let cases = [
        (
            "log show missing --policy policy",
            3,
            "file.not_found",
            "a log is http://",
        ),
        (
            "log show empty --policy policy",
            1,
            "log.missing",
            "narthex log mirror",
        ),
        (
            "log show http://127.0.0.1:9 --policy policy",
            3,
            "log.unavailable",
            "is it running",
        ),
        (
            "log verify unix:nowhere --policy policy",
            3,
            "log.unavailable",
            "is it running",
        ),
        (
            "log show http://127.0.0.1:9 --policy policy --ticket junk",
            2,
            "ticket.malformed",
            "narthex log ticket",
        ),
        (
            "log verify log --policy policy --older junk",
            1,
            "log.malformed",
            "--older takes a checkpoint",
        ),
        (
            "log verify-proof junk --policy policy",
            1,
            "log.malformed",
            "c2sp.org/tlog-proof@v1",
        ),
        (
            "log show log --tlog-policy junk",
            2,
            "log.policy",
            "lines `log KEY`",
        ),
        (
            "log show log --epoch 0 --policy policy",
            2,
            "log.epoch",
            "leave --epoch out",
        ),
        (
            "log export log log --policy policy",
            3,
            "file.exists",
            "mirror --once",
        ),
        (
            "log witness-key --name a+b --out k",
            2,
            "log.key",
            "customer.example/witness",
        ),
        (
            "log witness --key junk --log x --listen tcp:127.0.0.1:0",
            3,
            "key.permissions",
            "chmod 600",
        ),
        (
            "log ticket --policy policy --as bob --key bob --out t",
            1,
            "ticket.not_reader",
            "it names: carol",
        ),
        (
            "log ticket --policy policy --as carol --key bob --out t",
            1,
            "ticket.not_reader",
            "--key belong",
        ),
        (
            "log ticket --policy policy --as carol --key carol --valid-for 13h --out t",
            2,
            "ticket.lifetime",
            "12h or less",
        ),
    ];
    for (line, status, id, next) in cases {
        let (found, stdout, stderr) = logged.narthex(line);
        assert_eq!((found, stdout.as_str()), (status, ""), "{line}: {stderr}");
        assert_eq!(id_in(&stderr), id, "{line}: {stderr}");
        assert!(stderr.contains(next), "{line}: {stderr}");
    }
}

#[test]
fn a_memory_that_was_changed_is_no_reason_to_trust() {
    let logged = Logged::new();
    assert_eq!(logged.verdict(), "verified");
    let folder = logged.world.path(".local/state/narthex/checkpoints");
    for file in fs::read_dir(folder).unwrap() {
        fs::write(file.unwrap().path(), "junk").unwrap();
    }
    let (status, _, stderr) = logged.narthex("log verify log --policy policy");
    assert_eq!(
        (status, id_in(&stderr).as_str()),
        (3, "state.checkpoint"),
        "{stderr}"
    );
}
