//! `inspect` and `verify` over every genuine document there is, and over mock documents against a
//! policy directory.

// All of it is a test, its helpers too.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod common;
mod genuine;

use std::process::Command;

use common::{INSTANCE_ID, World, json, measurements, read};

/// Every file of `../shared/real-documents` gives the outcome that its index states, at the time
/// given there; the same file judged live is refused, and never for a reason that names nothing.
#[test]
fn every_genuine_document_gives_its_outcome() {
    let folder = genuine::folder();
    let Ok(index) = std::fs::read_to_string(folder.join("index.toml")) else {
        genuine::skip("every_genuine_document_gives_its_outcome");
        return;
    };
    let index: toml::Table = index.parse().unwrap();
    let documents = index["document"].as_array().unwrap();
    assert!(documents.len() > 30);
    for document in documents {
        let text = |name: &str| document.get(name).and_then(toml::Value::as_str);
        let file = text("file").unwrap();
        let inspect = |options: &[&str]| {
            Command::new(env!("CARGO_BIN_EXE_narthex"))
                .args(["inspect", "--json"])
                .arg(folder.join(file))
                .args(options)
                .output()
                .unwrap()
        };
        let at = text("replay_at").map_or_else(
            || {
                document
                    .get("replay_at")
                    .map(ToString::to_string)
                    .unwrap_or("document".to_owned())
            },
            str::to_owned,
        );
        let replayed = inspect(&["--replay-at", &at]);
        let value = json(&replayed);
        let accepted = text("outcome") == Some("accepted");
        let expected = if accepted {
            (Some(0), "accepted")
        } else {
            (Some(1), "refused")
        };
        let found = (replayed.status.code(), value["verdict"].as_str().unwrap());
        assert_eq!(found, expected, "{file}: {}", value["reason"]);
        assert_eq!(value["mode"], "replay", "{file}");
        assert_eq!(value["appraised"], false, "{file}");

        let live = inspect(&[]);
        let value = json(&live);
        assert_eq!(
            (live.status.code(), &value["mode"]),
            (Some(1), &"live".into()),
            "{file}"
        );
        if accepted {
            assert_eq!(value["reason"], "chain.expired", "{file}");
        }
    }
}

/// A mock document of the world's release; `options` may change it.
fn document(world: &World, options: &str) {
    let measured = measurements();
    let [pcr0, pcr1, pcr2] =
        [measured.pcr0, measured.pcr1, measured.pcr2].map(|pcr| hex::encode(pcr.0));
    let out = world.narthex(&format!(
        "mock-nsm document --state authority --root-out root.pem --pcr0 {pcr0} --pcr1 {pcr1} \
         --pcr2 {pcr2} --out doc.bin {options}"
    ));
    assert_eq!(out.status.code(), Some(0), "{:?}", read(&out));
}

const BOOTED: &str = "--bundle policy/bundles/0001.toml";
const VERIFY: &str = "verify doc.bin --json --policy policy --release shop";

/// Everything is as the policy says, but for the root.
#[cfg(not(feature = "dev-root"))]
#[test]
fn the_shipped_command_refuses_mock_documents_whatever_the_policy_says() {
    let world = World::new([9; 32]);
    document(&world, BOOTED);
    let out = world.narthex(VERIFY);
    assert_eq!(out.status.code(), Some(1));
    assert_eq!(json(&out)["reason"], "chain.development_root");
    let out = world.narthex(&format!("{VERIFY} --root root.pem"));
    assert_eq!(out.status.code(), Some(1));
    assert_eq!(json(&out)["error"]["id"], "chain.development_root");
    assert!(INSTANCE_ID.starts_with("i-"));
}

#[cfg(feature = "dev-root")]
#[test]
fn a_policy_directory_says_what_to_expect() {
    let world = World::new([9; 32]);
    let judge = |options: &str| {
        let out = world.narthex(&format!("{VERIFY} --root root.pem {options}"));
        let value = json(&out);
        (
            out.status.code().unwrap(),
            value["reason"].as_str().unwrap_or_default().to_owned(),
            value,
        )
    };
    document(&world, BOOTED);
    let (status, reason, value) = judge("");
    assert_eq!((status, reason.as_str()), (0, ""));
    assert_eq!(value["policy"]["expected_bundle"], "in-force");
    assert_eq!(value["policy"]["release_version"], "1");
    assert_eq!(value["root"]["kind"], "insecure-development");
    assert_eq!(value["appraised"], true);
    assert_eq!(judge(&format!("--instance-id {INSTANCE_ID}")).0, 0);

    // Another version of the release than there is; another account; another nonce.
    let other = judge("--instance-id i-00000000000000001");
    assert_eq!((other.0, other.1.as_str()), (1, "pcr.4"));
    let other = judge("--nonce 00112233445566778899aabbccddeeff");
    assert_eq!((other.0, other.1.as_str()), (1, "bind.nonce"));

    // The workload's own data, without the agent's prefix.
    let prefixed = hex::encode([b"narthex/v1/workload\0".as_slice(), b"hello"].concat());
    document(&world, &format!("{BOOTED} --user-data {prefixed}"));
    assert_eq!(
        judge(&format!("--workload-data {}", hex::encode("hello"))).0,
        0
    );
    assert_eq!(
        judge(&format!("--workload-data {}", hex::encode("hullo"))).1,
        "bind.user_data"
    );

    // No policy was loaded at boot: refused, unless any policy will do, and then it shows.
    document(&world, "");
    let without = judge("");
    assert_eq!((without.0, without.1.as_str()), (1, "pcr.16"));
    let (status, _, value) = judge("--insecure-any-policy");
    assert_eq!(
        (status, value["policy"]["expected_bundle"].as_str()),
        (0, Some("insecure-any"))
    );

    // A successor bundle: the one before is accepted as long as the policy says.
    document(&world, BOOTED);
    assert_eq!(
        world
            .narthex("policy next policy --valid-for 1d --previous-accepted-for 1h")
            .status
            .code(),
        Some(0)
    );
    for person in ["alice", "bob"] {
        let line = format!("policy sign policy/bundles/0002.toml --as {person} --key {person}");
        assert_eq!(world.narthex(&line).status.code(), Some(0));
    }
    let (status, _, value) = judge("");
    assert_eq!(
        (status, value["policy"]["expected_bundle"].as_str()),
        (0, Some("previous"))
    );

    // Stopped: whatever the document shows.
    assert_eq!(
        world
            .narthex("release stop policy --release shop=1")
            .status
            .code(),
        Some(0)
    );
    assert_eq!(
        world
            .narthex("release sign policy/stops/0001.toml --as bob --key bob")
            .status
            .code(),
        Some(0)
    );
    let stopped = judge("");
    assert_eq!((stopped.0, stopped.1.as_str()), (1, "release.stopped"));
}
