//! A log that another one followed: both are verified, and the second must continue the first as the
//! reviewers signed it.

use std::fs;

use narthex_ledger::{
    Digest384, Entry, EpochEntry, Evidence, Hash, KeyKind, Resource, Salt, SaltedEvidence,
    SigningKey,
};

use crate::common::{json, now};
use crate::fixture::{Logged, SIZE, id_in, person};

const NEW_ORIGIN: &str = "keys.example/log-2";

/// The first epoch ended with all its entries; the second begins with `old_root`.
fn two_epochs(old_root: impl FnOnce(Hash) -> Hash) -> Logged {
    let mut logged = Logged::new();
    let world = &logged.world;
    let old = logged.log.checkpoint();
    let old_key = logged.log.key().verifier_key().to_string();
    let key = SigningKey::generate(NEW_ORIGIN, KeyKind::Log).unwrap();
    let new_key = key.verifier_key().to_string();
    // Bundle 2 names the new log, and where the old one ended.
    assert_eq!(logged.narthex("policy next policy --valid-for 12h").0, 0);
    let path = world.path("policy/bundles/0002.toml");
    let text = fs::read_to_string(&path).unwrap();
    let text = text.replace(&old_key, &new_key);
    let root = old.root.to_base64();
    let previous = format!(
        "{text}\n[[ledger.previous]]\nlog = \"{old_key}\"\nsize = {SIZE}\nroot = \"{root}\"\n"
    );
    fs::write(&path, &previous).unwrap();
    for name in ["alice", "bob"] {
        let line = format!("policy sign policy/bundles/0002.toml --as {name} --key {name}");
        assert_eq!(logged.narthex(&line).0, 0);
    }
    let evidence = SaltedEvidence {
        salt: Salt([9; 32]),
        evidence: Evidence::policy_file(previous.as_bytes(), &[b"signature"]).unwrap(),
    };
    logged.log.begin_epoch(key).unwrap();
    let entry = EpochEntry {
        time: now().0,
        old_origin: old.origin,
        old_size: SIZE,
        old_root: old_root(old.root),
        bundle: Digest384::of(previous.as_bytes()),
        version: 2,
        evidence: logged.log.keep(&evidence).unwrap(),
        signers: vec![person("alice"), person("bob")],
    };
    logged.log.append(&Entry::Epoch(entry)).unwrap();
    logged.current();
    logged.publish();
    logged
}

#[test]
fn all_epochs_are_verified_copied_and_shown() {
    let logged = two_epochs(|root| root);
    let (status, stdout, stderr) = logged.narthex("log verify log --policy policy --evidence");
    assert_eq!((status, stderr.as_str()), (0, ""), "{stdout}");
    assert!(
        stdout.starts_with("ACCEPTED  keys.example/log-2: 10 entries verified"),
        "{stdout}"
    );
    assert!(
        stdout.contains("  epoch 0   keys.example/log\n") && stdout.contains("  epoch 1   "),
        "{stdout}"
    );
    let out = logged
        .world
        .narthex("log show log 5 --epoch 0 --policy policy --json");
    assert_eq!(json(&out)[0]["entry"]["operation"], "keys-create");
    let (status, _, stderr) = logged.narthex("log show log 5 --epoch 1 --policy policy");
    assert_eq!((status, id_in(&stderr).as_str()), (2, "log.epoch"));
    // With the old bundle alone, this is another log.
    fs::rename(
        logged.world.path("policy/bundles/0002.toml"),
        logged.world.path("bundle2"),
    )
    .unwrap();
    assert_eq!(logged.verdict(), "log.origin");
    fs::rename(
        logged.world.path("bundle2"),
        logged.world.path("policy/bundles/0002.toml"),
    )
    .unwrap();

    assert_eq!(logged.narthex("log export log copy --policy policy").0, 0);
    let (status, _, stderr) = logged.narthex("log verify copy --policy policy --evidence");
    assert_eq!(status, 0, "{stderr}");
}

#[test]
fn an_epoch_that_continues_something_else_is_refused() {
    let logged = two_epochs(|root| Hash(root.0.map(|byte| !byte)));
    assert_eq!(logged.verdict(), "log.entry");
}

#[test]
fn the_past_is_verified_in_earlier_epochs_too() {
    let logged = two_epochs(|root| root);
    let width = u16::try_from(SIZE).unwrap();
    let entries = Resource::Entries { index: 0, width };
    let entries = logged.file(&Resource::Epoch(0, Box::new(entries)));
    let mut bytes = fs::read(&entries).unwrap();
    bytes[40] ^= 1;
    fs::write(&entries, bytes).unwrap();
    assert_eq!(logged.verdict(), "log.entries");
}
