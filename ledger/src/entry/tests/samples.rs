//! One entry of each kind and outcome.

use crate::{
    AdministrationEntry, BootId, CurrentEntry, Decision, Digest384, Entry, EpochEntry, Evidence,
    EvidenceDigest, EvidenceKind, Hash, KeyChange, KeyState, LostKey, OrderEntry, OrderExtra,
    OrderFacts, OrderScope, PersonId, PolicyEntry, PolicyFile, PolicyFileKind, PurgeEntry,
    ReleaseEntry, ReleaseExtra, ReleaseFacts, ReleasedKey, RestoreEntry, Salt, SessionHash,
    StatementEntry, SummaryEntry,
};

pub(super) const MODULE: &str = "i-1234567890abcdef0-enc9876543210abcde";
pub(super) const TIME: u64 = 1_767_225_600_000;
pub(super) const SALT: Salt = Salt([9; 32]);
pub(super) const ORDER: &[u8] = b"an order";
pub(super) const SIGNATURE: &[u8] = b"a signature";
pub(super) const DOCUMENT: &[u8] = b"a document";
pub(super) const REQUEST: &[u8] = b"a request";
pub(super) const SESSION: SessionHash = SessionHash([5; 32]);

pub(super) fn person(name: &str) -> PersonId {
    PersonId::of(&[7; 32], name)
}

fn digest(text: &str) -> Digest384 {
    Digest384::of(text.as_bytes())
}

fn evidence(text: &str) -> EvidenceDigest {
    EvidenceDigest(digest(text).0)
}

pub(super) fn refused(reason: &str) -> Decision {
    Decision::Refused {
        reason: reason.to_owned(),
    }
}

pub(super) fn read_scope() -> OrderScope {
    OrderScope::Read {
        actions: vec!["health".to_owned(), "memory".to_owned()],
    }
}

pub(super) fn write_scope() -> OrderScope {
    OrderScope::Write {
        action: "restart-workload".to_owned(),
        enclave: MODULE.to_owned(),
        boot: BootId([3; 16]),
    }
}

pub(super) fn order_facts(scope: OrderScope) -> OrderFacts<'static, &'static [u8]> {
    OrderFacts {
        order: ORDER,
        signature: SIGNATURE,
        approvals: &[b"two", b"one"],
        requester: person("alice"),
        scope,
    }
}

pub(super) fn order_extra(approvers: &[&str]) -> OrderExtra {
    OrderExtra {
        approvers: approvers.iter().map(|name| person(name)).collect(),
        bundle: 7,
        salt: SALT,
        time: TIME,
    }
}

pub(super) fn released() -> Vec<ReleasedKey> {
    [("payments-db", 3), ("payments-queue", 1)]
        .into_iter()
        .map(|(name, version)| ReleasedKey {
            name: name.to_owned(),
            version,
            commitment: digest(name),
        })
        .collect()
}

pub(super) fn release_facts(keys: &[ReleasedKey]) -> ReleaseFacts<'_> {
    ReleaseFacts {
        enclave: MODULE,
        session: SESSION,
        document: DOCUMENT,
        request: REQUEST,
        keys,
    }
}

pub(super) fn release_extra() -> ReleaseExtra {
    ReleaseExtra {
        boot_bundle: Some(7),
        in_force: 8,
        release: Some("payments 1.4.2".to_owned()),
        salt: SALT,
        time: TIME,
    }
}

pub(super) fn orders() -> [Entry; 2] {
    let read = OrderEntry::accepted(&order_facts(read_scope()), &order_extra(&[]));
    let write = OrderEntry::accepted(&order_facts(write_scope()), &order_extra(&["bob"]));
    [read, write].map(|entry| Entry::Order(entry.unwrap()))
}

pub(super) fn release(accepted: bool) -> Entry {
    let entry = ReleaseEntry::accepted(&release_facts(&released()), &release_extra()).unwrap();
    Entry::Release(if accepted {
        entry
    } else {
        ReleaseEntry {
            decision: refused("key.release"),
            boot_bundle: None,
            release: None,
            keys: Vec::new(),
            asked: vec!["payments-db".to_owned()],
            ..entry
        }
    })
}

pub(super) fn administration(accepted: bool) -> Entry {
    let entry = AdministrationEntry {
        time: TIME,
        decision: Decision::Accepted,
        operation: Some("keys-retire".to_owned()),
        order: digest("order"),
        evidence: evidence("administration"),
        requester: Some(person("alice")),
        approvers: vec![person("bob")],
        keys: vec![KeyChange {
            name: "payments-db".to_owned(),
            version: 2,
            state: KeyState::Retired,
            commitment: digest("payments-db"),
        }],
        root_key: None,
    };
    Entry::Administration(if accepted {
        entry
    } else {
        AdministrationEntry {
            decision: refused("order.under_approved"),
            approvers: Vec::new(),
            keys: Vec::new(),
            ..entry
        }
    })
}

pub(super) fn policy(accepted: bool) -> Entry {
    let file = |kind, version: &str| PolicyFile {
        kind,
        sha384: digest(version),
        version: version.to_owned(),
        evidence: evidence(version),
        signers: vec![person("alice"), person("bob")],
    };
    Entry::Policy(if accepted {
        PolicyEntry {
            time: TIME,
            decision: Decision::Accepted,
            files: vec![
                file(PolicyFileKind::Bundle, "7"),
                file(PolicyFileKind::Release, "payments 1.4.2"),
            ],
        }
    } else {
        PolicyEntry {
            time: TIME,
            decision: refused("bundle.version_skipped"),
            files: vec![PolicyFile {
                signers: vec![person("alice")],
                ..file(PolicyFileKind::Bundle, "9")
            }],
        }
    })
}

fn refused_order() -> Entry {
    let entry = OrderEntry::accepted(&order_facts(write_scope()), &order_extra(&[])).unwrap();
    Entry::Order(OrderEntry {
        decision: refused("order.under_approved"),
        ..entry
    })
}

fn unreadable_order() -> Entry {
    let entry = OrderEntry::accepted(&order_facts(write_scope()), &order_extra(&[])).unwrap();
    Entry::Order(OrderEntry {
        decision: refused("file.malformed"),
        requester: None,
        scope: None,
        ..entry
    })
}

fn statement(submitter: Option<PersonId>) -> Entry {
    let parts = Evidence::statement(&[5; 32], DOCUMENT, b"statement").unwrap();
    Entry::Statement(StatementEntry {
        time: TIME,
        enclave: MODULE.to_owned(),
        boot: BootId([3; 16]),
        session: SESSION,
        evidence: parts.digest(&SALT),
        accepted: 12,
        refused: 1,
        chain_head: digest("chain"),
        bundle: digest("bundle"),
        submitter,
    })
}

/// At least one of each kind and outcome.
pub(super) fn all() -> Vec<Entry> {
    let [read, write] = orders();
    vec![
        policy(true),
        policy(false),
        Entry::Current(CurrentEntry {
            time: TIME,
            bundle: digest("bundle"),
            version: 7,
        }),
        read,
        write,
        refused_order(),
        unreadable_order(),
        release(true),
        release(false),
        administration(true),
        administration(false),
        statement(Some(person("alice"))),
        statement(None),
        Entry::Summary(SummaryEntry {
            time: TIME,
            counts: [("channel.handshake", 3), ("order.signature", 1)]
                .into_iter()
                .map(|(reason, count)| (reason.to_owned(), count))
                .collect(),
            from: TIME - 3_600_000,
            to: TIME,
        }),
        Entry::Purge(PurgeEntry {
            time: TIME,
            before: TIME - 86_400_000,
            kinds: vec![EvidenceKind::KeyRequest, EvidenceKind::Order],
            count: 4711,
        }),
        Entry::Epoch(EpochEntry {
            time: TIME,
            old_origin: "example.com/narthex".to_owned(),
            old_size: 812,
            old_root: Hash([2; 32]),
            bundle: digest("bundle"),
            version: 8,
            evidence: evidence("epoch"),
            signers: vec![person("alice"), person("bob")],
        }),
        Entry::Restore(RestoreEntry {
            time: TIME,
            from_size: 800,
            to_size: 812,
            lost: vec![LostKey {
                name: "payments-db".to_owned(),
                version: 3,
            }],
        }),
    ]
}
