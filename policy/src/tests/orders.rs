//! Orders: each case breaks one thing in a good order.

use super::world::*;
use crate::*;

/// Every order of these tests is shown to the log as well.
fn decide(order: &SignedOrder, now: UnixMillis) -> Result<AuthorisedOrder, Refusal> {
    decide_under(&released(), order, &context(now))
}

/// The log refuses what the agent refuses, for the same reason, except for what only the agent
/// knows: the enclave, its boot, and whether the delay is over.
fn decide_under(
    policy: &Policy,
    order: &SignedOrder,
    context: &OrderContext<'_>,
) -> Result<AuthorisedOrder, Refusal> {
    let authorised = policy.authorise_order(order, context);
    let admitted = policy.admit_order(order, context.now);
    match (&authorised, &admitted) {
        (Ok(authorised), Ok(admitted)) => {
            assert_eq!(authorised.digest(), admitted.digest());
            assert_eq!(authorised.requester(), admitted.requester());
            assert_eq!(authorised.approvers(), admitted.approvers());
            assert_eq!(authorised.expires(), admitted.order().head().expires);
        }
        (Err(refused), Err(also)) if refused == also => {}
        // The enclave is looked at before approvals are counted, so the log may still say no.
        (Err(refused), _) => assert!(
            [
                Reason::OrderWrongEnclave,
                Reason::OrderWrongBoot,
                Reason::OrderDelay
            ]
            .contains(&refused.reason()),
            "the agent says {refused}, the log {admitted:?}"
        ),
        (Ok(_), Err(refusal)) => panic!("only the log says {refusal}"),
    }
    authorised
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
        decide_under(&policy, &order, &context(NOW)),
        Reason::OrderWrongEnclave,
    );
    decide_under(&policy, &signed_read(read_order()), &context(NOW)).unwrap();

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
    decide_under(&policy, &read, &context(now)).unwrap();
    let write = WriteOrder {
        head,
        ..write_order(Action::RestartWorkload)
    };
    let write = signed_write(write, &["alice"]);
    refused(
        decide_under(&policy, &write, &context(now)),
        Reason::BundleExpired,
    );
}

/// The delay begins when the order was logged; what its requester wrote as `issued` is of no use.
#[test]
fn the_delay_counts_from_the_log() {
    let shutdown = |issued: UnixMillis| {
        let head = OrderHead {
            issued,
            not_before: issued,
            ..head("olga")
        };
        let order = WriteOrder {
            head,
            ..write_order(Action::Shutdown)
        };
        signed_write(order, &["alice", "bob"])
    };
    let logged_at = |issued: UnixMillis, logged: UnixMillis| {
        let context = OrderContext {
            logged: Logged::At(logged),
            ..context(NOW)
        };
        decide_under(&released(), &shutdown(issued), &context)
    };
    let due = before(15 * MINUTE);
    let early = UnixMillis(due.0 + 1);
    // Back-dated by hours, logged a moment too late.
    refused(logged_at(before(12 * HOUR), early), Reason::OrderDelay);
    logged_at(before(12 * HOUR), due).unwrap();
    // Without a log, back-dating was all it took.
    decide(&shutdown(before(12 * HOUR)), NOW).unwrap();
    // An honest `issued` just before the log's time does not put it off.
    logged_at(early, due).unwrap();
    // A time of the log that lies ahead is no help.
    refused(logged_at(before(HOUR), at(HOUR)), Reason::OrderDelay);
    refused(
        logged_at(before(HOUR), UnixMillis(u64::MAX)),
        Reason::OrderDelay,
    );
    // Where no delay is asked for, none is kept.
    let at_once = OrderContext {
        logged: Logged::At(NOW),
        ..context(NOW)
    };
    let restart = signed_write(write_order(Action::RestartWorkload), &["alice"]);
    decide_under(&released(), &restart, &at_once).unwrap();
}

/// The log admits what no agent may do yet, or here, and nothing else beyond that.
#[test]
fn the_log_knows_no_enclave() {
    let policy = released();
    let far = |order: WriteOrder, approvers: &[&str]| {
        let order = WriteOrder {
            module_id: "i-0fedcba9876543210-enc0".into(),
            boot_id: BootId([9; 16]),
            ..order
        };
        policy.admit_order(&signed_write(order, approvers), NOW)
    };
    let admitted = far(write_order(Action::RestartWorkload), &["alice"]).unwrap();
    assert_eq!(admitted.requester().person.as_str(), "olga");
    assert_eq!(admitted.approvers()[0].person.as_str(), "alice");
    let Order::Write(order) = admitted.order() else {
        panic!("it was a write order");
    };
    assert_eq!(order.boot_id, BootId([9; 16]));
    refused(
        far(write_order(Action::RestartWorkload), &[]),
        Reason::OrderUnderApproved,
    );
    refused(
        far(write_order(Action::ReloadKeys), &["alice"]),
        Reason::OrderRole,
    );
    // Issued this moment, with a delay of 15 minutes.
    let head = OrderHead {
        issued: NOW,
        not_before: NOW,
        ..head("olga")
    };
    let order = WriteOrder {
        head,
        ..write_order(Action::Shutdown)
    };
    far(order, &["alice", "bob"]).unwrap();
    // Targets of a read order that nobody knows.
    let targets = Targets {
        module_ids: vec!["elsewhere".into()],
        ..Targets::default()
    };
    let read = signed_read(ReadOrder {
        targets,
        ..read_order()
    });
    let admitted = policy.admit_order(&read, NOW).unwrap();
    assert_eq!(admitted.approvers(), []);
    assert_eq!(*admitted.digest(), Digest384::of(&read.bytes));
}

/// Whom a stop statement names is no requester and no approver, for the log as for the agent.
#[test]
fn the_log_knows_who_is_stopped() {
    let stopped = |name: &str| {
        let mut policy = released();
        let lines = format!("people = [\"{name}\"]");
        policy.add_stop(&stop_file(&lines), NOW).unwrap();
        let order = signed_write(write_order(Action::RestartWorkload), &["alice"]);
        decide_under(&policy, &order, &context(NOW))
    };
    refused(stopped("olga"), Reason::PersonStopped);
    refused(stopped("alice"), Reason::PersonStopped);
    stopped("bob").unwrap();
}
