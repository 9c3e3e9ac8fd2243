//! show, search, verify and prove on a log that is in order.

use std::fs;

use serde_json::Value;

use crate::common::{MODULE_ID, json};
use crate::fixture::{Logged, id_in, seconds};

#[test]
fn a_checkpoint_and_entries_in_words_with_names() {
    let logged = Logged::new();
    let (status, stdout, stderr) = logged.narthex("log show log --policy policy");
    assert_eq!((status, stderr.as_str()), (0, ""));
    assert!(
        stdout.contains("log       keys.example/log\nentries   8\n"),
        "{stdout}"
    );
    assert!(stdout.contains("cosigned  w1 20"), "{stdout}");

    let (status, stdout, stderr) = logged.narthex("log show log 2 3-4 --policy policy");
    assert_eq!((status, stderr.as_str()), (0, ""));
    assert!(stdout.starts_with("#2  20"), "{stdout}");
    assert!(stdout.contains("  requester  carol\n"), "{stdout}");
    assert!(
        stdout.contains("  keys         database version 1 commitment "),
        "{stdout}"
    );
    assert!(stdout.contains("order  refused: order.role\n"), "{stdout}");
    assert!(!stdout.contains("p-"), "{stdout}");

    // Without the policy nobody has a name.
    let trust = logged.log.trust(1).unwrap().to_string();
    fs::write(logged.world.path("tlog-policy"), trust).unwrap();
    let (status, stdout, stderr) = logged.narthex("log show log 2 --tlog-policy tlog-policy");
    assert_eq!(status, 0, "{stderr}");
    assert!(stdout.contains("  requester  p-"), "{stdout}");

    let out = logged
        .world
        .narthex("log show log --last 2 --policy policy --json");
    let value = json(&out);
    assert_eq!(value.as_array().unwrap().len(), 2);
    assert_eq!(value[0]["index"], 6);
    assert_eq!(value[0]["entry"]["type"], "statement");
    let out = logged
        .world
        .narthex("log show log 5 --policy policy --json");
    let people = json(&out)[0]["people"].clone();
    assert!(
        people
            .as_object()
            .unwrap()
            .values()
            .any(|name| name == "dave"),
        "{people}"
    );

    let (status, _, stderr) = logged.narthex("log show log 8 --policy policy");
    assert_eq!((status, id_in(&stderr).as_str()), (2, "log.no_such_entry"));
}

#[test]
fn evidence_is_written_part_by_part() {
    let logged = Logged::new();
    let (status, stdout, stderr) =
        logged.narthex("log show log 0 2 3 --policy policy --evidence parts");
    assert_eq!((status, stderr.as_str()), (0, ""));
    assert!(
        stdout.contains("evidence (key-request): parts/3-0-session.bin"),
        "{stdout}"
    );
    let part = |name: &str| fs::read(logged.world.path("parts").join(name)).unwrap();
    assert_eq!(part("0-0-file.toml"), logged.world.bundle.bytes);
    assert_eq!(part("2-0-order.toml"), b"the order");
    assert_eq!(part("3-0-document.bin"), b"document");
}

#[test]
fn entries_are_found_by_what_they_say() {
    let logged = Logged::new();
    let found = |conditions: &str| -> Vec<u64> {
        let line = format!("log search log --policy policy --json {conditions}");
        let out = logged.world.narthex(&line);
        assert_eq!(out.status.code(), Some(0), "{conditions}");
        let value = json(&out);
        let entries = value.as_array().unwrap().iter();
        entries
            .map(|entry| entry["index"].as_u64().unwrap())
            .collect()
    };
    let all: Vec<u64> = (0..8).collect();
    assert_eq!(found(""), all);
    assert_eq!(found("--person carol"), [2, 4]);
    assert_eq!(found("--person alice --type policy"), [0]);
    assert_eq!(found("--action health --action keys-create"), [2, 5]);
    assert_eq!(found("--key database"), [3, 5]);
    assert_eq!(found(&format!("--enclave {MODULE_ID}")), [3, 6]);
    assert_eq!(found("--outcome refused"), [4]);
    assert_eq!(found("--reason order"), [4]);
    assert_eq!(found("--type order --type current --limit 2"), [4, 7]);
    assert_eq!(found("--to 2020-01-01T00:00:00Z"), [] as [u64; 0]);
    assert_eq!(found("--from 2020-01-01T00:00:00Z --key database"), [3, 5]);

    let (status, stdout, stderr) = logged.narthex("log search log --policy policy --key database");
    assert_eq!((status, stderr.as_str()), (0, "2 of 8 entries\n"));
    assert!(stdout.contains("#3  20"), "{stdout}");
    assert!(stdout.contains("(shop 1), keys: database 1\n"), "{stdout}");
    assert!(
        stdout.contains("dave: keys-create database 1\n"),
        "{stdout}"
    );

    let (status, _, stderr) = logged.narthex("log search log --policy policy --person mallory");
    assert_eq!((status, id_in(&stderr).as_str()), (2, "person.unknown"));
    assert!(
        stderr.contains("the policy names: alice, bob, carol, dave"),
        "{stderr}"
    );
}

#[test]
fn a_whole_log_is_verified_and_remembered() {
    let mut logged = Logged::new();
    let (status, stdout, stderr) = logged
        .narthex("log verify log --policy policy --evidence --max-age 1h --checkpoint-out kept");
    assert_eq!((status, stderr.as_str()), (0, ""), "{stdout}");
    assert!(
        stdout.starts_with("ACCEPTED  keys.example/log: 8 entries verified in "),
        "{stdout}"
    );
    assert!(
        stdout.contains("evidence  6 as recorded, 0 purged, 0 missing\n"),
        "{stdout}"
    );
    let folder = logged.world.path(".local/state/narthex/checkpoints");
    assert_eq!(
        fs::read_dir(&folder).unwrap().count(),
        2,
        "the checkpoint and its lock"
    );

    logged.current();
    logged.publish();
    let out = logged
        .world
        .narthex("log verify log --policy policy --older kept --json");
    let value = json(&out);
    assert_eq!(value["verdict"], "accepted");
    assert_eq!(value["size"], 9);
    assert_eq!(value["epochs"][0]["entries"]["current"], 3);
    assert_eq!(value["continues"][0], "kept");
    assert_eq!(value["missing_witnesses"], Value::Array(Vec::new()));

    // The copy of yesterday is no fork, but it has to be said.
    fs::copy(
        logged.world.path("kept"),
        logged.world.path("log/checkpoint"),
    )
    .unwrap();
    assert_eq!(logged.verdict(), "log.behind");
    let (status, _, stderr) = logged.narthex("log verify log --policy policy --older-copy");
    assert_eq!(status, 0, "{stderr}");
    assert!(
        stderr.contains("ends after 8 entries; this machine has seen 9"),
        "{stderr}"
    );
}

#[test]
fn what_witnesses_do_not_say_is_told() {
    let mut logged = Logged::new();
    logged.current();
    logged
        .log
        .publish_cosigned(&[None, Some(seconds() - 7200)])
        .unwrap();
    let (status, stdout, _) = logged.narthex("log show log --policy policy");
    assert_eq!(status, 0);
    assert!(stdout.contains("not cosigned  w1\n"), "{stdout}");
    let (status, _, stderr) = logged.narthex("log verify log --policy policy --max-age 1h");
    assert_eq!(
        (status, id_in(&stderr).as_str()),
        (1, "log.stale"),
        "{stderr}"
    );
    logged.log.publish_cosigned(&[]).unwrap();
    assert_eq!(logged.verdict(), "log.quorum");
}

#[test]
fn missing_evidence_makes_a_log_incomplete() {
    let logged = Logged::new();
    let folder = logged.world.path("log/evidence");
    let first = fs::read_dir(&folder)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    fs::remove_file(first).unwrap();
    let (status, stdout, stderr) = logged.narthex("log verify log --policy policy --evidence");
    assert_eq!(status, 1);
    assert!(stdout.starts_with("INCOMPLETE"), "{stdout}");
    assert!(stderr.contains("[log.evidence]"), "{stderr}");
    // The log itself is whole.
    assert_eq!(logged.verdict(), "verified");
}

#[test]
fn an_entry_is_proved_to_anybody() {
    let logged = Logged::new();
    let (status, stdout, stderr) = logged.narthex("log prove log 3 --policy policy --out p");
    assert_eq!((status, stdout.as_str()), (0, "p\n"), "{stderr}");
    let text = fs::read_to_string(logged.world.path("p")).unwrap();
    assert!(
        text.starts_with("c2sp.org/tlog-proof@v1\nindex 3\n"),
        "{text}"
    );
    let (status, stdout, _) = logged.narthex("log verify-proof p --policy policy");
    assert_eq!(status, 0);
    assert!(
        stdout.starts_with("ACCEPTED  entry 3 of keys.example/log is in the log of 8"),
        "{stdout}"
    );
    assert!(stdout.contains("commitment"), "{stdout}");
    // Nothing is overwritten.
    let (status, _, stderr) = logged.narthex("log prove log 3 --policy policy --out p");
    assert_eq!((status, id_in(&stderr).as_str()), (3, "file.exists"));

    // Without its entry, with another one, cut off.
    fs::rename(logged.world.path("p.entry"), logged.world.path("e")).unwrap();
    let (status, _, stderr) = logged.narthex("log verify-proof p --policy policy");
    assert_eq!((status, id_in(&stderr).as_str()), (3, "file.not_found"));
    assert_eq!(
        logged
            .narthex("log verify-proof p --entry e --policy policy")
            .0,
        0
    );
    assert_eq!(
        logged
            .narthex("log verify-proof p --log log --policy policy")
            .0,
        0
    );
    fs::write(logged.world.path("e"), "{}").unwrap();
    let (status, _, stderr) = logged.narthex("log verify-proof p --entry e --policy policy");
    assert_eq!((status, id_in(&stderr).as_str()), (1, "log.inclusion"));
    fs::write(logged.world.path("p"), &text[..text.len() - 40]).unwrap();
    let (status, _, stderr) = logged.narthex("log verify-proof p --log log --policy policy");
    assert_eq!(
        (status, id_in(&stderr).as_str()),
        (1, "log.malformed"),
        "{stderr}"
    );
}
