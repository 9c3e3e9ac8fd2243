//! What an agent rebuilds: the extra of a proof fills in what only the service knows, and can say nothing else.

use super::{samples, *};
use crate::{BootId, Digest384, Salt, SessionHash};

fn leaf(entry: &Entry) -> Vec<u8> {
    entry.to_leaf().unwrap()
}

#[test]
fn the_agent_rebuilds_what_the_service_wrote() {
    let Entry::Order(order) = samples::orders()[1].clone() else {
        panic!("another kind")
    };
    let extra = order.extra(samples::SALT).to_bytes().unwrap();
    let facts = samples::order_facts(samples::write_scope());
    let rebuilt = OrderEntry::accepted_leaf(&facts, &extra).unwrap();
    assert_eq!(rebuilt, leaf(&Entry::Order(order)));

    // Approvals in another order, or twice, are the same approvals.
    let facts = OrderFacts {
        approvals: &[b"one".as_slice(), b"two", b"one"],
        ..facts
    };
    assert_eq!(OrderEntry::accepted_leaf(&facts, &extra).unwrap(), rebuilt);

    let Entry::Release(release) = samples::release(true) else {
        panic!("another kind")
    };
    let extra = release.extra(samples::SALT).to_bytes().unwrap();
    let keys = samples::released();
    let rebuilt = ReleaseEntry::accepted_leaf(&samples::release_facts(&keys), &extra).unwrap();
    assert_eq!(rebuilt, leaf(&Entry::Release(release)));

    let current = CurrentEntry {
        time: samples::TIME,
        bundle: Digest384::of(b"bundle"),
        version: 7,
    };
    let extra = current.extra().to_bytes().unwrap();
    let rebuilt = CurrentEntry::accepted_leaf(&current.bundle, 7, &extra).unwrap();
    assert_eq!(rebuilt, leaf(&Entry::Current(current)));
    assert_ne!(
        CurrentEntry::accepted_leaf(&current.bundle, 8, &extra).unwrap(),
        rebuilt
    );
    let other = Digest384::of(b"other");
    assert_ne!(
        CurrentEntry::accepted_leaf(&other, 7, &extra).unwrap(),
        rebuilt
    );
}

/// Whatever differs in what the agent holds, the leaf differs.
#[test]
fn another_order_signature_approval_person_or_scope_is_another_leaf() {
    let extra = samples::order_extra(&["bob"]).to_bytes().unwrap();
    let facts = samples::order_facts(samples::write_scope());
    let mut leaves = vec![
        OrderEntry::accepted_leaf(&facts, &extra).unwrap(),
        OrderEntry::accepted_leaf(
            &OrderFacts {
                order: b"another",
                ..facts.clone()
            },
            &extra,
        )
        .unwrap(),
        OrderEntry::accepted_leaf(
            &OrderFacts {
                signature: b"other",
                ..facts.clone()
            },
            &extra,
        )
        .unwrap(),
        OrderEntry::accepted_leaf(
            &OrderFacts {
                approvals: &[b"two".as_slice()],
                ..facts.clone()
            },
            &extra,
        )
        .unwrap(),
        OrderEntry::accepted_leaf(
            &OrderFacts {
                approvals: &[],
                ..facts.clone()
            },
            &extra,
        )
        .unwrap(),
    ];
    let other = OrderFacts {
        requester: samples::person("mallory"),
        ..facts.clone()
    };
    leaves.push(OrderEntry::accepted_leaf(&other, &extra).unwrap());
    let scope = |action: &str, enclave: &str, boot| OrderScope::Write {
        action: action.to_owned(),
        enclave: enclave.to_owned(),
        boot: BootId([boot; 16]),
    };
    for scope in [
        samples::read_scope(),
        scope("shutdown", samples::MODULE, 3),
        scope("restart-workload", "i-other", 3),
        scope("restart-workload", samples::MODULE, 4),
        OrderScope::Read {
            actions: vec!["restart-workload".to_owned()],
        },
    ] {
        let other = OrderFacts {
            scope,
            ..facts.clone()
        };
        leaves.push(OrderEntry::accepted_leaf(&other, &extra).unwrap());
    }
    let count = leaves.len();
    leaves.sort();
    leaves.dedup();
    assert_eq!(leaves.len(), count);
}

#[test]
fn another_enclave_session_document_request_or_key_is_another_leaf() {
    let extra = samples::release_extra().to_bytes().unwrap();
    let keys = samples::released();
    let facts = samples::release_facts(&keys);
    let changed = |change: fn(&mut ReleasedKey)| {
        let mut keys = samples::released();
        change(&mut keys[1]);
        keys
    };
    let swapped: Vec<_> = keys.iter().rev().cloned().collect();
    let one = vec![keys[0].clone()];
    let other_keys = [
        changed(|key| key.name = "payments".to_owned()),
        changed(|key| key.version = 9),
        changed(|key| key.commitment = Digest384::of(b"x")),
        swapped,
        one,
    ];
    let mut facts = vec![
        facts.clone(),
        ReleaseFacts {
            enclave: "i-other",
            ..facts.clone()
        },
        ReleaseFacts {
            session: SessionHash([6; 32]),
            ..facts.clone()
        },
        ReleaseFacts {
            document: b"other",
            ..facts.clone()
        },
        ReleaseFacts {
            request: b"other",
            ..facts
        },
    ];
    facts.extend(other_keys.iter().map(|keys| samples::release_facts(keys)));
    let mut leaves: Vec<_> = facts
        .iter()
        .map(|facts| ReleaseEntry::accepted_leaf(facts, &extra).unwrap())
        .collect();
    let count = leaves.len();
    leaves.sort();
    leaves.dedup();
    assert_eq!(leaves.len(), count);
}

/// The heart of it: the leaf of a refusal cannot be rebuilt as that of an acceptance, whatever the extra says.
#[test]
fn a_refused_entry_is_never_rebuilt() {
    let write = samples::order_facts(samples::write_scope());
    let read = samples::order_facts(samples::read_scope());
    let keys = samples::released();
    let release = samples::release_facts(&keys);
    let refused = samples::all()
        .into_iter()
        .filter(|entry| entry.outcome() == Outcome::Refused);
    for entry in refused {
        let leaf = leaf(&entry);
        for extra in [samples::order_extra(&[]), samples::order_extra(&["bob"])] {
            let extra = extra.to_bytes().unwrap();
            for facts in [&write, &read] {
                assert_ne!(OrderEntry::accepted_leaf(facts, &extra).unwrap(), leaf);
            }
        }
        let extra = samples::release_extra().to_bytes().unwrap();
        assert_ne!(ReleaseEntry::accepted_leaf(&release, &extra).unwrap(), leaf);
    }
}

/// An extra has its own keys and no others: it cannot set what the agent must know by itself.
#[test]
fn an_extra_that_says_more_or_less_is_refused() {
    let keys = samples::released();
    let release = samples::release_facts(&keys);
    let order = samples::order_facts(samples::read_scope());
    let judge = |which: usize, extra: &[u8]| match which {
        0 => OrderEntry::accepted_leaf(&order, extra).map(drop),
        1 => ReleaseEntry::accepted_leaf(&release, extra).map(drop),
        _ => CurrentEntry::accepted_leaf(&Digest384::of(b""), 1, extra).map(drop),
    };
    let good = [
        samples::order_extra(&["bob"]).to_bytes().unwrap(),
        samples::release_extra().to_bytes().unwrap(),
        CurrentExtra { time: 5 }.to_bytes().unwrap(),
    ];
    for (which, extra) in good.iter().enumerate() {
        judge(which, extra).unwrap();
        let fields: serde_json::Map<String, serde_json::Value> =
            serde_json::from_slice(extra).unwrap();
        for name in [
            "outcome",
            "reason",
            "order",
            "evidence",
            "requester",
            "kind",
            "actions",
            "enclave",
            "boot",
            "session",
            "keys",
            "asked",
            "type",
            "v",
            "version",
            "unknown",
            "",
        ] {
            let mut more = fields.clone();
            more.insert(name.to_owned(), "refused".into());
            let more = serde_json::to_vec(&more).unwrap();
            assert_eq!(judge(which, &more).unwrap_err().id(), "log.entry", "{name}");
        }
        for name in fields.keys() {
            let mut less = fields.clone();
            less.remove(name);
            let less = serde_json::to_vec(&less).unwrap();
            let optional = name == "boot_bundle" || name == "release";
            assert_eq!(judge(which, &less).is_ok(), optional, "{name}");
        }
        for (from, to) in [
            ("{", "{ "),
            (":", ": "),
            ("}", "}\n"),
            ("\"time\":", "\"time\":1."),
        ] {
            let text = String::from_utf8(extra.clone())
                .unwrap()
                .replacen(from, to, 1);
            assert!(judge(which, text.as_bytes()).is_err(), "{text}");
        }
        for end in 0..extra.len() {
            assert!(judge(which, &extra[..end]).is_err());
        }
        for (other, _) in good.iter().enumerate().filter(|(other, _)| *other != which) {
            assert!(judge(other, extra).is_err(), "{which} for {other}");
        }
    }
    let long = format!("{{\"time\":{}", "1".repeat(MAX_EXTRA));
    assert!(judge(2, long.as_bytes()).is_err());
}

#[test]
fn what_the_extra_may_say_is_checked() {
    let facts = samples::order_facts(samples::read_scope());
    let twice = samples::order_extra(&["bob", "bob"]).to_bytes().unwrap();
    assert!(OrderEntry::accepted_leaf(&facts, &twice).is_err());
    let extra = OrderExtra {
        time: u64::MAX,
        ..samples::order_extra(&[])
    };
    assert!(extra.to_bytes().is_err());
    let keys = samples::released();
    let extra = ReleaseExtra {
        release: Some("a\"b".to_owned()),
        ..samples::release_extra()
    };
    assert!(extra.to_bytes().is_err());
    let extra = ReleaseExtra {
        release: Some(String::new()),
        ..samples::release_extra()
    };
    let facts = samples::release_facts(&keys);
    assert!(ReleaseEntry::accepted_leaf(&facts, &extra.to_bytes().unwrap()).is_err());
    let extra = ReleaseExtra {
        salt: Salt([1; 32]),
        ..samples::release_extra()
    };
    assert_ne!(
        ReleaseEntry::accepted(&facts, &extra).unwrap().evidence,
        ReleaseEntry::accepted(&facts, &samples::release_extra())
            .unwrap()
            .evidence
    );
}

/// The documentation shows the three extras that belong to its examples.
#[test]
fn the_extras_in_the_documentation_are_extras() {
    let text = include_str!("../../../ENTRIES.md");
    for extra in [
        samples::order_extra(&["bob"]).to_bytes(),
        samples::release_extra().to_bytes(),
        CurrentExtra {
            time: samples::TIME,
        }
        .to_bytes(),
    ] {
        let line = String::from_utf8(extra.unwrap()).unwrap();
        assert!(text.lines().any(|have| have == line), "{line}");
    }
}
