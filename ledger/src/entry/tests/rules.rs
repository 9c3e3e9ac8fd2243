//! Rules among the fields of one entry: what contradicts itself is neither written nor read.

use super::{samples, *};
use crate::{EvidenceKind, Hash};

fn not_written(entry: Entry) {
    let error = entry.to_leaf().unwrap_err();
    assert_eq!(error.id(), "log.entry", "{entry:?}");
}

fn order() -> OrderEntry {
    match samples::orders() {
        [_, Entry::Order(entry)] => entry,
        _ => panic!("another kind"),
    }
}

fn release(accepted: bool) -> ReleaseEntry {
    match samples::release(accepted) {
        Entry::Release(entry) => entry,
        _ => panic!("another kind"),
    }
}

fn administration(accepted: bool) -> AdministrationEntry {
    match samples::administration(accepted) {
        Entry::Administration(entry) => entry,
        _ => panic!("another kind"),
    }
}

fn policy() -> PolicyEntry {
    match samples::policy(true) {
        Entry::Policy(entry) => entry,
        _ => panic!("another kind"),
    }
}

#[test]
fn orders() {
    for change in [
        (|entry| entry.requester = None) as fn(&mut OrderEntry),
        |entry| entry.scope = None,
        |entry| entry.approvers = vec![samples::person("bob"); 2],
        |entry| entry.scope = Some(OrderScope::Read { actions: vec![] }),
        |entry| {
            entry.scope = Some(OrderScope::Read {
                actions: vec!["health".to_owned(), "health".to_owned()],
            });
        },
        |entry| {
            entry.scope = Some(OrderScope::Read {
                actions: vec!["rm -rf".to_owned()],
            });
        },
        |entry| entry.decision = samples::refused("Because"),
        |entry| entry.decision = samples::refused(""),
        |entry| entry.decision = samples::refused(&"a".repeat(65)),
        |entry| entry.bundle = 1 << 53,
        |entry| entry.time = u64::MAX,
    ] {
        let mut entry = order();
        change(&mut entry);
        not_written(Entry::Order(entry));
    }
}

#[test]
fn a_write_order_has_one_action_and_a_read_order_no_enclave() {
    let text = String::from_utf8(Entry::Order(order()).to_leaf().unwrap()).unwrap();
    for (from, to) in [
        ("[\"restart-workload\"]", "[]"),
        (
            "[\"restart-workload\"]",
            "[\"restart-workload\",\"shutdown\"]",
        ),
        ("\"kind\":\"write\"", "\"kind\":\"read\""),
        ("\"kind\":\"write\"", "\"kind\":\"other\""),
        (
            "\"outcome\":\"accepted\"",
            "\"outcome\":\"accepted\",\"reason\":\"a.b\"",
        ),
        ("\"outcome\":\"accepted\"", "\"outcome\":\"refused\""),
    ] {
        let changed = text.replace(from, to);
        assert_ne!(changed, text);
        assert!(Entry::from_leaf(changed.as_bytes()).is_err(), "{changed}");
    }
}

#[test]
fn releases() {
    for change in [
        (|entry| entry.keys.clear()) as fn(&mut ReleaseEntry),
        |entry| entry.asked = vec!["payments-db".to_owned()],
        |entry| entry.decision = samples::refused("key.release"),
        |entry| entry.keys.push(entry.keys[0].clone()),
        |entry| entry.keys[0].name = "Payments".to_owned(),
        |entry| entry.enclave = String::new(),
        |entry| entry.enclave = "a b".to_owned(),
        |entry| entry.enclave = "a".repeat(129),
        |entry| entry.release = Some("\"1\"".to_owned()),
        |entry| entry.release = Some("é".to_owned()),
        |entry| entry.release = Some(String::new()),
        |entry| entry.release = Some("a".repeat(161)),
    ] {
        let mut entry = release(true);
        change(&mut entry);
        not_written(Entry::Release(entry));
    }
    let mut entry = release(false);
    entry.asked.push("payments-db".to_owned());
    not_written(Entry::Release(entry));
}

#[test]
fn administration_calls() {
    for change in [
        (|entry| entry.operation = None) as fn(&mut AdministrationEntry),
        |entry| entry.requester = None,
        |entry| entry.keys.push(entry.keys[0].clone()),
        |entry| entry.approvers = vec![samples::person("bob"); 2],
        |entry| entry.operation = Some("keys retire".to_owned()),
        |entry| entry.decision = samples::refused("order.approvals"),
    ] {
        let mut entry = administration(true);
        change(&mut entry);
        not_written(Entry::Administration(entry));
    }
    let mut entry = administration(false);
    entry.root_key = Some(crate::RootKeyId([1; 16]));
    not_written(Entry::Administration(entry));
}

#[test]
fn policy_files() {
    for change in [
        (|entry| entry.files.clear()) as fn(&mut PolicyEntry),
        |entry| entry.files[0].signers.clear(),
        |entry| entry.files[0].signers = vec![samples::person("bob"); 2],
        |entry| entry.files[0].version = String::new(),
        |entry| entry.files[0].version = "1\n".to_owned(),
    ] {
        let mut entry = policy();
        change(&mut entry);
        not_written(Entry::Policy(entry));
    }
}

#[test]
fn the_rest() {
    let summary = SummaryEntry {
        time: 3,
        counts: [("a".to_owned(), 1)].into(),
        from: 1,
        to: 2,
    };
    assert!(Entry::Summary(summary.clone()).to_leaf().is_ok());
    for wrong in [
        SummaryEntry {
            counts: [].into(),
            ..summary.clone()
        },
        SummaryEntry {
            counts: [("a".to_owned(), 0)].into(),
            ..summary.clone()
        },
        SummaryEntry {
            counts: [("A".to_owned(), 1)].into(),
            ..summary.clone()
        },
        SummaryEntry { from: 3, ..summary },
    ] {
        not_written(Entry::Summary(wrong));
    }
    let purge = |kinds| {
        Entry::Purge(PurgeEntry {
            time: 2,
            before: 1,
            kinds,
            count: 0,
        })
    };
    assert!(purge(vec![EvidenceKind::Order]).to_leaf().is_ok());
    not_written(purge(vec![]));
    not_written(purge(vec![EvidenceKind::PolicyFile]));
    not_written(purge(vec![EvidenceKind::Order, EvidenceKind::KeyRequest]));
    not_written(purge(vec![EvidenceKind::Order, EvidenceKind::Order]));
    let epoch = EpochEntry {
        time: 1,
        old_origin: "a".to_owned(),
        old_size: 1,
        old_root: Hash([1; 32]),
        bundle: crate::Digest384::of(b""),
        version: 2,
        evidence: crate::EvidenceDigest([1; 48]),
        signers: vec![samples::person("alice")],
    };
    assert!(Entry::Epoch(epoch.clone()).to_leaf().is_ok());
    for wrong in [
        EpochEntry {
            old_origin: String::new(),
            ..epoch.clone()
        },
        EpochEntry {
            old_origin: "a b".to_owned(),
            ..epoch.clone()
        },
        EpochEntry {
            old_origin: "a+b".to_owned(),
            ..epoch.clone()
        },
        EpochEntry {
            signers: vec![],
            ..epoch.clone()
        },
        EpochEntry {
            signers: vec![samples::person("alice"); 2],
            ..epoch
        },
    ] {
        not_written(Entry::Epoch(wrong));
    }
    let key = LostKey {
        name: "a".to_owned(),
        version: 1,
    };
    let restore = |from_size, lost| {
        Entry::Restore(RestoreEntry {
            time: 1,
            from_size,
            to_size: 5,
            lost,
        })
    };
    assert!(restore(5, vec![]).to_leaf().is_ok());
    not_written(restore(6, vec![]));
    not_written(restore(5, vec![key.clone(), key]));
    not_written(restore(
        5,
        vec![LostKey {
            name: "A".to_owned(),
            version: 1,
        }],
    ));
}

#[test]
fn a_root_hash_has_one_spelling() {
    let entry = samples::all()
        .into_iter()
        .find(|entry| entry.kind() == EntryKind::Epoch)
        .unwrap();
    let text = String::from_utf8(entry.to_leaf().unwrap()).unwrap();
    let root = Hash([2; 32]).to_base64();
    for wrong in [
        root.replace('=', ""),
        // The last digit holds two bits that belong to no byte.
        root.replace("I=", "J="),
        root.replace('A', "-"),
        format!("{root}="),
    ] {
        assert_ne!(wrong, root);
        let changed = text.replace(&root, &wrong);
        assert!(Entry::from_leaf(changed.as_bytes()).is_err(), "{wrong}");
    }
}
