//! Orders: each case breaks one thing in a good order.

use super::world::*;
use crate::*;

fn decide(order: &SignedOrder, now: UnixMillis) -> Result<AuthorisedOrder, Refusal> {
    released().authorise_order(order, &context(now))
}

fn read(change: impl FnOnce(&mut ReadOrder)) -> Result<AuthorisedOrder, Refusal> {
    let mut order = read_order();
    change(&mut order);
    decide(&signed_read(order), NOW)
}

fn write(
    approvers: &[&str],
    change: impl FnOnce(&mut WriteOrder),
) -> Result<AuthorisedOrder, Refusal> {
    let mut order = write_order(Action::RestartWorkload);
    change(&mut order);
    decide(&signed_write(order, approvers), NOW)
}

#[test]
fn a_good_read_order() {
    let signed = signed_read(read_order());
    let order = decide(&signed, NOW).unwrap();
    assert_eq!(*order.digest(), Digest384::of(&signed.bytes));
    assert_eq!(order.requester().person.as_str(), "olga");
    assert_eq!(
        order.actions(),
        [Action::Health, Action::Status, Action::Attest]
    );
    assert_eq!((order.calls(), order.expires()), (3, at(HOUR)));
    assert_eq!(order.approvers(), []);
}

#[test]
fn a_good_write_order() {
    let order = write(&["alice"], |_| ()).unwrap();
    assert_eq!(order.actions(), [Action::RestartWorkload]);
    assert_eq!(order.calls(), 1);
    assert_eq!(order.approvers()[0].person.as_str(), "alice");
}

#[test]
fn signatures() {
    let good = signed_read(read_order());
    let decide = |signature: String| {
        decide(
            &SignedOrder {
                signature,
                ..good.clone()
            },
            NOW,
        )
    };
    let by = |name: &str, namespace| key(name).sign(namespace, &good.bytes).unwrap();
    refused(
        decide(by("mallory", Namespace::Order)),
        Reason::SignatureUnknownSigner,
    );
    refused(
        decide(by("olga", Namespace::Approve)),
        Reason::SignatureNamespace,
    );
    refused(
        decide(by("oscar", Namespace::Order)),
        Reason::OrderNotRequester,
    );
    let other = key("olga").sign(Namespace::Order, b"other").unwrap();
    refused(decide(other), Reason::SignatureInvalid);
    // Before parsing.
    let junk = signed_order("not = [toml", "mallory", &[]);
    refused(
        super::orders::decide(&junk, NOW),
        Reason::SignatureUnknownSigner,
    );
    refused(
        super::orders::decide(&signed_order("not = [toml", "olga", &[]), NOW),
        Reason::FileMalformed,
    );
    let huge = signed_order(&"#".repeat(limits::MAX_ORDER_BYTES + 1), "olga", &[]);
    refused(super::orders::decide(&huge, NOW), Reason::FileTooLarge);
}

#[test]
fn content_that_does_not_parse() {
    let good = Order::Read(read_order()).to_toml();
    for (from, to, reason) in [
        (
            "narthex/read-order/v1",
            "narthex/order/v1",
            Reason::FileSchema,
        ),
        ("calls = 3", "calls = 3\nextra = 1", Reason::FileMalformed),
        ("calls = 3", "calls = 0", Reason::OrderContent),
        ("calls = 3", "calls = 10001", Reason::OrderContent),
        (
            "\"health\", ",
            "\"health\", \"health\", ",
            Reason::OrderContent,
        ),
        ("\"health\", ", "\"shutdown\", ", Reason::OrderContent),
        ("\"health\", ", "\"exec\", ", Reason::NameMalformed),
        (
            "actions = [\"health\", \"status\", \"attest\"]",
            "actions = []",
            Reason::OrderContent,
        ),
        (MODULE_ID, "i-0 or true", Reason::NameMalformed),
        (MODULE_ID, "", Reason::NameMalformed),
        ("module_ids", "# module_ids", Reason::OrderContent),
        (
            "07070707070707070707070707070707",
            "07",
            Reason::HexMalformed,
        ),
        ("\"payments\"", "\"search\"", Reason::FileProject),
    ] {
        refused(
            decide(&signed_order(&with(&good, from, to), "olga", &[]), NOW),
            reason,
        );
    }
    read(|order| order.calls = MAX_CALLS).unwrap();
    let many = |count: usize| read(|order| order.targets.module_ids.resize(count, "x".to_owned()));
    many(MAX_TARGETS).unwrap();
    refused(many(MAX_TARGETS + 1), Reason::OrderContent);

    let good = Order::Write(write_order(Action::RestartWorkload)).to_toml();
    for (from, to, reason) in [
        ("\"restart-workload\"", "\"health\"", Reason::OrderContent),
        (
            "\"restart-workload\"",
            "\"reload-keys\"\ngrace_seconds = 1",
            Reason::OrderParameters,
        ),
        (
            "\"restart-workload\"",
            "\"restart-workload\"\ngrace_seconds = 601",
            Reason::OrderParameters,
        ),
        (
            "\"restart-workload\"",
            "\"restart-workload\"\ncalls = 2",
            Reason::FileMalformed,
        ),
        (&"42".repeat(16), "42", Reason::HexMalformed),
    ] {
        refused(
            decide(
                &signed_order(&with(&good, from, to), "olga", &["alice"]),
                NOW,
            ),
            reason,
        );
    }
    write(&["alice"], |order| {
        order.parameters = Parameters::GraceSeconds(600)
    })
    .unwrap();
}

#[test]
fn times_and_their_boundaries() {
    // Expiry is the first moment that is too late.
    let order = signed_read(read_order());
    decide(&order, UnixMillis(at(HOUR).0 - 1)).unwrap();
    refused(decide(&order, at(HOUR)), Reason::OrderExpired);
    // 60 seconds of skew are forgiven at the beginning.
    let begins = |not_before: UnixMillis| read(|order| order.head.not_before = not_before);
    begins(at(MINUTE)).unwrap();
    refused(
        begins(UnixMillis(at(MINUTE).0 + 1)),
        Reason::OrderNotYetValid,
    );
    // A shift is 12 hours.
    let shift = |end: UnixMillis| read(|order| order.head.expires = end);
    shift(at(11 * HOUR)).unwrap();
    refused(
        shift(UnixMillis(at(11 * HOUR).0 + 1)),
        Reason::OrderLifetime,
    );
    // A write order lives a day.
    let day = |end: UnixMillis| write(&["alice"], |order| order.head.expires = end);
    day(at(23 * HOUR)).unwrap();
    refused(day(UnixMillis(at(23 * HOUR).0 + 1)), Reason::OrderLifetime);
    // It does not end before it begins, nor begin before it was written.
    refused(shift(before(HOUR)), Reason::OrderLifetime);
    refused(
        begins(UnixMillis(before(HOUR).0 - 1)),
        Reason::OrderLifetime,
    );
}

#[test]
fn roles() {
    refused(
        read(|order| order.actions.push(Action::Keys)),
        Reason::OrderRole,
    );
    let alice = Order::Read(ReadOrder {
        head: head("alice"),
        ..read_order()
    })
    .to_toml();
    refused(
        decide(&signed_order(&alice, "alice", &[]), NOW),
        Reason::OrderRole,
    );
    refused(
        write(&["alice"], |order| order.action = Action::ReloadKeys),
        Reason::OrderRole,
    );
    // A key administrator has no way into an enclave.
    let keith = Order::Read(ReadOrder {
        head: head("keith"),
        ..read_order()
    })
    .to_toml();
    refused(
        decide(&signed_order(&keith, "keith", &[]), NOW),
        Reason::OrderRole,
    );
}

#[test]
fn targets() {
    let only = |targets: Targets| read(|order| order.targets = targets);
    let ids = |text: &str| vec![text.to_owned()];
    let release = |text: &str| vec![NamePattern::new(text).unwrap()];
    only(Targets {
        instance_ids: ids(INSTANCE_ID),
        ..Targets::default()
    })
    .unwrap();
    only(Targets {
        releases: release("payments-*"),
        ..Targets::default()
    })
    .unwrap();
    for targets in [
        Targets {
            module_ids: ids("i-0fedcba9876543210-enc0"),
            ..Targets::default()
        },
        Targets {
            module_ids: ids(INSTANCE_ID),
            ..Targets::default()
        },
        Targets {
            instance_ids: ids("i-0fedcba9876543210"),
            ..Targets::default()
        },
        Targets {
            releases: release("batch"),
            ..Targets::default()
        },
    ] {
        refused(only(targets), Reason::OrderWrongEnclave);
    }
    // A revoked release is none; the enclave can still be named by its id.
    let mut policy = released();
    policy
        .add_release(&release_file(2, "1.0", ReleaseStatus::Revoked), NOW)
        .unwrap();
    let targets = Targets {
        releases: release("*"),
        ..Targets::default()
    };
    let order = signed_read(ReadOrder {
        targets,
        ..read_order()
    });
    refused(
        policy.authorise_order(&order, &context(NOW)),
        Reason::OrderWrongEnclave,
    );
    policy
        .authorise_order(&signed_read(read_order()), &context(NOW))
        .unwrap();

    refused(
        write(&["alice"], |order| order.module_id = INSTANCE_ID.to_owned()),
        Reason::OrderWrongEnclave,
    );
    refused(
        write(&["alice"], |order| order.boot_id = BootId([0; 16])),
        Reason::OrderWrongBoot,
    );
}

#[test]
fn approvals() {
    for approvers in [&[][..], &["bob"], &["mallory"], &["oscar"]] {
        refused(write(approvers, |_| ()), Reason::OrderUnderApproved);
    }
    // olga may approve, but not what she asks for herself.
    refused(write(&["olga"], |_| ()), Reason::OrderSelfApproval);
    write(&["olga", "alice"], |_| ()).unwrap();
    let by_oscar = Order::Write(WriteOrder {
        head: head("oscar"),
        ..write_order(Action::RestartWorkload)
    })
    .to_toml();
    decide(&signed_order(&by_oscar, "oscar", &["olga"]), NOW).unwrap();

    // The purpose of an approval, and the bytes it is about.
    let mut order = signed_write(write_order(Action::RestartWorkload), &[]);
    order.approvals = vec![key("alice").sign(Namespace::Order, &order.bytes).unwrap()];
    refused(decide(&order, NOW), Reason::SignatureNamespace);
    order.approvals = vec![key("alice").sign(Namespace::Approve, b"other").unwrap()];
    refused(decide(&order, NOW), Reason::SignatureInvalid);
    order.approvals = vec![String::new(); 33];
    refused(decide(&order, NOW), Reason::FileTooManySignatures);
}

#[test]
fn approvals_by_distinct_people_after_a_delay() {
    let shutdown = |approvers: &[&str], issued: UnixMillis| {
        write(approvers, |order| {
            order.action = Action::Shutdown;
            order.head.issued = issued;
            order.head.not_before = issued;
        })
    };
    shutdown(&["alice", "bob"], before(15 * MINUTE)).unwrap();
    for approvers in [&["alice"][..], &["alice", "alice"], &["alice", "alice2"]] {
        refused(
            shutdown(approvers, before(HOUR)),
            Reason::OrderUnderApproved,
        );
    }
    let early = UnixMillis(before(15 * MINUTE).0 + 1);
    refused(shutdown(&["alice", "bob"], early), Reason::OrderDelay);
}

/// Expiry of the bundle stops changes; looking goes on.
#[test]
fn an_expired_bundle_stops_write_orders_only() {
    let policy = released();
    let now = policy.bundle().expires;
    let head = OrderHead {
        issued: now,
        not_before: now,
        expires: UnixMillis(now.0 + HOUR),
        ..head("olga")
    };
    let read = signed_read(ReadOrder {
        head: head.clone(),
        ..read_order()
    });
    policy.authorise_order(&read, &context(now)).unwrap();
    let write = WriteOrder {
        head,
        ..write_order(Action::RestartWorkload)
    };
    let write = signed_write(write, &["alice"]);
    refused(
        policy.authorise_order(&write, &context(now)),
        Reason::BundleExpired,
    );
}
