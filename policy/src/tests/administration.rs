//! Administration orders: each case breaks one thing in a good one.

use super::world::*;
use crate::*;

fn key_name() -> KeyName {
    KeyName::new("payments-db").unwrap()
}

fn order(operation: KeyOperation) -> AdministrationOrder {
    AdministrationOrder {
        head: head("keith"),
        genesis: genesis_file().digest(),
        operation,
    }
}

fn decide(
    text: &str,
    requester: &str,
    approvers: &[&str],
) -> Result<AuthorisedAdministration, Refusal> {
    decide_at(text, requester, approvers, NOW)
}

fn decide_at(
    text: &str,
    requester: &str,
    approvers: &[&str],
    now: UnixMillis,
) -> Result<AuthorisedAdministration, Refusal> {
    let genesis = genesis_file().digest();
    let context = AdministrationContext {
        now,
        genesis: &genesis,
    };
    policy().authorise_administration(&signed_order(text, requester, approvers), &context)
}

fn retire() -> String {
    order(KeyOperation::Retire {
        key: key_name(),
        version: 1,
    })
    .to_toml()
}

#[test]
fn good_orders() {
    let text = order(KeyOperation::Create { key: key_name() }).to_toml();
    let create = decide(&text, "keith", &[]).unwrap();
    assert_eq!(
        create.operation(),
        &KeyOperation::Create { key: key_name() }
    );
    assert_eq!(*create.digest(), Digest384::of(text.as_bytes()));
    assert_eq!(
        (create.requester().person.as_str(), create.approvers().len()),
        ("keith", 0)
    );
    assert_eq!(create.expires(), at(HOUR));
    let retire = decide(&retire(), "keith", &["alice", "carol"]).unwrap();
    assert_eq!(retire.approvers().len(), 2);
}

#[test]
fn every_operation_is_written_as_it_is_read() {
    let (key, version, digest) = (key_name(), 3, Digest384([5; 48]));
    let operations = [
        KeyOperation::List,
        KeyOperation::Create { key: key.clone() },
        KeyOperation::Import {
            key: key.clone(),
            version,
            commitment: digest,
        },
        KeyOperation::Rotate { key: key.clone() },
        KeyOperation::Disable {
            key: key.clone(),
            version,
        },
        KeyOperation::Enable {
            key: key.clone(),
            version,
        },
        KeyOperation::Retire { key, version },
        KeyOperation::BackUp,
        KeyOperation::Restore { backup: digest },
        KeyOperation::RotateRootKey,
        KeyOperation::ListDecisions,
    ];
    for (operation, kind) in operations.iter().zip(KeyOperationKind::ALL) {
        assert_eq!(operation.kind(), *kind);
        assert_eq!(KeyOperationKind::from_name(kind.name()), Some(*kind));
        let order = order(operation.clone());
        assert_eq!(
            AdministrationOrder::parse_unverified(order.to_toml().as_bytes()),
            Ok(order)
        );
    }
}

#[test]
fn parameters_are_exactly_those_of_the_operation() {
    let good = retire();
    for (from, to, reason) in [
        ("key = \"payments-db\"\n", "", Reason::OrderParameters),
        ("version = 1\n", "", Reason::OrderParameters),
        ("version = 1\n", "version = 0\n", Reason::OrderParameters),
        (
            "version = 1\n",
            &format!("version = 1\nbackup = \"{}\"\n", "00".repeat(48)),
            Reason::OrderParameters,
        ),
        (
            "version = 1\n",
            &format!("version = 1\ncommitment = \"{}\"\n", "00".repeat(48)),
            Reason::OrderParameters,
        ),
        (
            "\"keys-retire\"",
            "\"keys-create\"",
            Reason::OrderParameters,
        ),
        ("\"keys-retire\"", "\"keys-list\"", Reason::OrderParameters),
        ("\"keys-retire\"", "\"keys-export\"", Reason::NameMalformed),
        (
            "version = 1\n",
            "version = 1\nforce = true\n",
            Reason::FileMalformed,
        ),
        ("administration-order", "write-order", Reason::FileSchema),
        ("\"payments\"", "\"search\"", Reason::FileProject),
    ] {
        refused(
            decide(&with(&good, from, to), "keith", &["alice", "bob"]),
            reason,
        );
    }
}

/// Orders of one kind are none of the other, though the signatures' purpose is the same.
#[test]
fn kinds_do_not_mix() {
    let read = Order::Read(read_order()).to_toml();
    refused(decide(&read, "olga", &[]), Reason::FileSchema);
    let order = signed_order(&retire(), "keith", &["alice", "bob"]);
    refused(
        policy().authorise_order(&order, &context(NOW)),
        Reason::FileSchema,
    );
}

#[test]
fn another_service() {
    let other = AdministrationOrder {
        genesis: Digest384([1; 48]),
        ..order(KeyOperation::Create { key: key_name() })
    };
    refused(
        decide(&other.to_toml(), "keith", &[]),
        Reason::BundleGenesis,
    );
}

#[test]
fn roles_and_signers() {
    let create = order(KeyOperation::Create { key: key_name() });
    refused(
        decide(&create.to_toml(), "olga", &[]),
        Reason::OrderNotRequester,
    );
    refused(
        decide(&create.to_toml(), "mallory", &[]),
        Reason::SignatureUnknownSigner,
    );
    let olga = AdministrationOrder {
        head: head("olga"),
        ..create
    };
    refused(decide(&olga.to_toml(), "olga", &[]), Reason::OrderRole);
    let rotate = order(KeyOperation::Rotate { key: key_name() }).to_toml();
    refused(decide(&rotate, "keith", &[]), Reason::OrderRole);
}

#[test]
fn approvals_and_delay() {
    for approvers in [
        &[][..],
        &["alice"],
        &["alice", "alice2"],
        &["alice", "olga"],
    ] {
        refused(
            decide(&retire(), "keith", approvers),
            Reason::OrderUnderApproved,
        );
    }
    refused(
        decide(&retire(), "keith", &["alice", "bob"][..1]),
        Reason::OrderUnderApproved,
    );
    let due = before(HOUR).saturating_add(core::time::Duration::from_secs(15 * 60));
    decide_at(&retire(), "keith", &["alice", "bob"], due).unwrap();
    let early = UnixMillis(due.0 - 1);
    refused(
        decide_at(&retire(), "keith", &["alice", "bob"], early),
        Reason::OrderDelay,
    );
}

/// keith becomes an approver of what he may ask for: his own approval does not count.
#[test]
fn no_approval_of_ones_own() {
    let text = with(
        &next_text(&genesis_text()),
        "approvers = [\"alice\", \"bob\", \"carol\"]",
        "approvers = [\"alice\", \"bob\", \"keith\"]",
    );
    let mut policy = policy();
    policy
        .succeed(&signed(&text, Namespace::Policy, &["alice", "bob"]), NOW)
        .unwrap();
    let genesis = genesis_file().digest();
    let context = AdministrationContext {
        now: NOW,
        genesis: &genesis,
    };
    let decide = |approvers: &[&str]| {
        policy.authorise_administration(&signed_order(&retire(), "keith", approvers), &context)
    };
    refused(decide(&["alice", "keith"]), Reason::OrderSelfApproval);
    decide(&["alice", "bob", "keith"]).unwrap();
}

#[test]
fn times() {
    let text = retire();
    refused(
        decide_at(&text, "keith", &["alice", "bob"], at(HOUR)),
        Reason::OrderExpired,
    );
    let early = UnixMillis(before(HOUR + MINUTE).0 - 1);
    refused(
        decide_at(&text, "keith", &["alice", "bob"], early),
        Reason::OrderNotYetValid,
    );
    let mut long = order(KeyOperation::List);
    long.head.expires = at(23 * HOUR);
    decide(&long.to_toml(), "keith", &[]).unwrap();
    long.head.expires = UnixMillis(at(23 * HOUR).0 + 1);
    refused(decide(&long.to_toml(), "keith", &[]), Reason::OrderLifetime);
}

/// Under an expired bundle only what looks or narrows goes on.
#[test]
fn an_expired_bundle() {
    let now = policy().bundle().expires;
    let at_expiry = |operation| {
        let mut order = order(operation);
        order.head = OrderHead {
            issued: now,
            not_before: now,
            expires: UnixMillis(now.0 + HOUR),
            ..order.head
        };
        decide_at(&order.to_toml(), "keith", &[], now)
    };
    at_expiry(KeyOperation::List).unwrap();
    at_expiry(KeyOperation::Disable {
        key: key_name(),
        version: 1,
    })
    .unwrap();
    refused(
        at_expiry(KeyOperation::Create { key: key_name() }),
        Reason::BundleExpired,
    );
}

#[test]
fn a_stopped_administrator() {
    let mut policy = policy();
    policy
        .add_stop(&stop_file("people = [\"keith\"]"), NOW)
        .unwrap();
    let genesis = genesis_file().digest();
    let context = AdministrationContext {
        now: NOW,
        genesis: &genesis,
    };
    let order = signed_order(&order(KeyOperation::List).to_toml(), "keith", &[]);
    refused(
        policy.authorise_administration(&order, &context),
        Reason::PersonStopped,
    );
}

/// Refusals can be counted per person without authorising anything.
#[test]
fn who_was_it() {
    let order = signed_order(&retire(), "keith", &[]);
    let signer = policy()
        .identify(&order.bytes, &order.signature, Namespace::Order)
        .unwrap();
    assert_eq!(signer.person.as_str(), "keith");
    let file = signed(&genesis_text(), Namespace::Policy, &["alice", "mallory"]);
    let signers = policy().signers_of(&file, Namespace::Policy);
    assert_eq!(signers[0].as_ref().unwrap().person.as_str(), "alice");
    assert_eq!(
        signers[1].as_ref().unwrap_err().reason(),
        Reason::SignatureUnknownSigner
    );
}
