//! Calls: each case breaks one thing in a good call; and their single use.

use super::world::*;
use crate::*;

fn read_order_authorised() -> AuthorisedOrder {
    released()
        .authorise_order(&signed_read(read_order()), &context(NOW))
        .unwrap()
}

fn call(order: &AuthorisedOrder, counter: u64) -> Call {
    Call {
        order: *order.digest(),
        counter,
        session: SESSION,
        action: Action::Health,
        parameters: Parameters::None,
    }
}

fn signed_call(call: &Call, signer: &str) -> SignedCall {
    let bytes = call.encode();
    let signature = key(signer).sign(Namespace::Call, &bytes).unwrap();
    SignedCall { bytes, signature }
}

fn decide(order: &AuthorisedOrder, call: &Call) -> Result<AuthorisedCall, Refusal> {
    released().authorise_call(order, &signed_call(call, "olga"), &SESSION, NOW)
}

#[test]
fn a_good_call() {
    let order = read_order_authorised();
    let authorised = decide(&order, &call(&order, 2)).unwrap();
    assert_eq!(
        (authorised.action(), authorised.counter()),
        (Action::Health, 2)
    );
    assert_eq!(authorised.parameters(), Parameters::None);
    assert_eq!(authorised.requester().person.as_str(), "olga");
    assert_eq!(
        (authorised.order(), authorised.expires()),
        (order.digest(), at(HOUR))
    );
    assert_eq!(
        authorised.allowed(),
        [Action::Health, Action::Status, Action::Attest]
    );
}

#[test]
fn one_thing_wrong() {
    let order = read_order_authorised();
    let good = call(&order, 0);
    let cases = [
        (
            Call {
                order: Digest384([0; 48]),
                ..good.clone()
            },
            Reason::CallOrder,
        ),
        (
            Call {
                session: SessionHash([0; 32]),
                ..good.clone()
            },
            Reason::CallSession,
        ),
        (
            Call {
                action: Action::Keys,
                ..good.clone()
            },
            Reason::CallAction,
        ),
        (
            Call {
                action: Action::Shutdown,
                ..good.clone()
            },
            Reason::CallAction,
        ),
        (
            Call {
                parameters: Parameters::GraceSeconds(1),
                ..good.clone()
            },
            Reason::CallParameters,
        ),
        (
            Call {
                parameters: Parameters::Nonce([0; 32]),
                ..good.clone()
            },
            Reason::CallParameters,
        ),
        (
            Call {
                counter: 3,
                ..good.clone()
            },
            Reason::CallCounter,
        ),
        (
            Call {
                counter: u64::MAX,
                ..good.clone()
            },
            Reason::CallCounter,
        ),
    ];
    for (call, reason) in cases {
        refused(decide(&order, &call), reason);
    }
    let attest = Call {
        action: Action::Attest,
        parameters: Parameters::Nonce([5; 32]),
        ..good
    };
    assert_eq!(
        decide(&order, &attest).unwrap().parameters(),
        Parameters::Nonce([5; 32])
    );
}

#[test]
fn signatures() {
    let order = read_order_authorised();
    let policy = released();
    let good = call(&order, 0);
    let decide = |call: &SignedCall| policy.authorise_call(&order, call, &SESSION, NOW);
    // Somebody else's signature, though they are in the policy.
    refused(
        decide(&signed_call(&good, "oscar")),
        Reason::SignatureUnknownSigner,
    );
    let bytes = good.encode();
    let signature = key("olga").sign(Namespace::Order, &bytes).unwrap();
    refused(
        decide(&SignedCall {
            bytes: bytes.clone(),
            signature,
        }),
        Reason::SignatureNamespace,
    );
    let signature = signed_call(&call(&order, 1), "olga").signature;
    refused(
        decide(&SignedCall { bytes, signature }),
        Reason::SignatureInvalid,
    );
    // Signed, but no call.
    let bytes = vec![0x80];
    let signature = key("olga").sign(Namespace::Call, &bytes).unwrap();
    refused(
        decide(&SignedCall { bytes, signature }),
        Reason::CallMalformed,
    );
    let bytes = vec![0; limits::MAX_CALL_BYTES + 1];
    let signature = key("olga").sign(Namespace::Call, &bytes).unwrap();
    refused(
        decide(&SignedCall { bytes, signature }),
        Reason::FileTooLarge,
    );
}

#[test]
fn an_order_that_expired_or_was_judged_by_another_bundle() {
    let order = read_order_authorised();
    let mut policy = released();
    let call = signed_call(&call(&order, 0), "olga");
    policy
        .authorise_call(&order, &call, &SESSION, UnixMillis(at(HOUR).0 - 1))
        .unwrap();
    refused(
        policy.authorise_call(&order, &call, &SESSION, at(HOUR)),
        Reason::OrderExpired,
    );
    let next = signed(
        &next_text(&genesis_text()),
        Namespace::Policy,
        &["alice", "bob"],
    );
    policy.succeed(&next, NOW).unwrap();
    refused(
        policy.authorise_call(&order, &call, &SESSION, NOW),
        Reason::CallOrder,
    );
    // Somebody the next bundle does not know any more.
    let text = next_text(&genesis_text());
    let gone = format!(
        "[[person]]\nname = \"olga\"\nkeys = [\"{}\"]\nroles = [\"on-call\", \"maintainer\"]\n\n",
        key_line("olga")
    );
    let text = with(
        &with(&text, &gone, ""),
        "[\"alice\", \"olga\"]",
        "[\"alice\"]",
    );
    let mut policy = released();
    policy
        .succeed(&signed(&text, Namespace::Policy, &["alice", "bob"]), NOW)
        .unwrap();
    refused(
        policy.authorise_call(&order, &call, &SESSION, NOW),
        Reason::PersonUnknown,
    );
}

#[test]
fn a_write_call_repeats_the_orders_parameters() {
    let parameters = Parameters::GraceSeconds(30);
    let order = WriteOrder {
        parameters,
        ..write_order(Action::RestartWorkload)
    };
    let order = released()
        .authorise_order(&signed_write(order, &["alice"]), &context(NOW))
        .unwrap();
    let good = Call {
        action: Action::RestartWorkload,
        parameters,
        ..call(&order, 0)
    };
    assert_eq!(decide(&order, &good).unwrap().parameters(), parameters);
    for other in [Parameters::None, Parameters::GraceSeconds(31)] {
        refused(
            decide(
                &order,
                &Call {
                    parameters: other,
                    ..good.clone()
                },
            ),
            Reason::CallParameters,
        );
    }
    refused(
        decide(&order, &Call { counter: 1, ..good }),
        Reason::CallCounter,
    );
}

#[test]
fn each_counter_once() {
    let order = read_order_authorised();
    let mut used = UsedCalls::new(4);
    // In any order: the operator's tool may run several calls at once.
    for counter in [2, 0, 1] {
        let authorised = decide(&order, &call(&order, counter)).unwrap();
        assert_eq!(used.claim(authorised, NOW).unwrap().counter(), counter);
    }
    for counter in 0..3 {
        let again = decide(&order, &call(&order, counter)).unwrap();
        refused(used.claim(again, NOW), Reason::CallCounterReused);
    }
}

#[test]
fn a_write_order_once() {
    let order = signed_write(write_order(Action::RestartWorkload), &["alice"]);
    let order = released().authorise_order(&order, &context(NOW)).unwrap();
    let call = Call {
        action: Action::RestartWorkload,
        ..call(&order, 0)
    };
    let mut used = UsedCalls::new(4);
    used.claim(decide(&order, &call).unwrap(), NOW).unwrap();
    refused(
        used.claim(decide(&order, &call).unwrap(), NOW),
        Reason::CallCounterReused,
    );
}

#[test]
fn a_full_table_forgets_only_what_expired() {
    let authorised = |nonce: u8, hours: u64| {
        let head = OrderHead {
            nonce: [nonce; 16],
            expires: at(hours * HOUR),
            ..head("olga")
        };
        let order = signed_read(ReadOrder {
            head,
            ..read_order()
        });
        released().authorise_order(&order, &context(NOW)).unwrap()
    };
    let (short, long, other) = (authorised(1, 1), authorised(2, 2), authorised(3, 2));
    let mut used = UsedCalls::new(2);
    let mut claim = |order: &AuthorisedOrder, counter, now| {
        let signed = signed_call(&call(order, counter), "olga");
        let authorised = released().authorise_call(order, &signed, &SESSION, now)?;
        used.claim(authorised, now).map(|_| ())
    };
    claim(&short, 0, NOW).unwrap();
    claim(&long, 0, NOW).unwrap();
    refused(claim(&other, 0, NOW), Reason::OrderTableFull);
    claim(&long, 1, NOW).unwrap(); // Known orders go on.
    claim(&other, 0, at(HOUR)).unwrap();
    refused(claim(&short, 1, at(HOUR)), Reason::OrderExpired);
    refused(claim(&long, 0, at(HOUR)), Reason::CallCounterReused);
}

#[test]
fn one_person_does_not_fill_the_table() {
    let authorised = |nonce: u8, requester: &str| {
        let head = OrderHead {
            nonce: [nonce; 16],
            ..head(requester)
        };
        let order = ReadOrder {
            head,
            ..read_order()
        };
        let order = signed_order(&Order::Read(order).to_toml(), requester, &[]);
        two_on_call()
            .authorise_order(&order, &context(NOW))
            .unwrap()
    };
    let mut used = UsedCalls::new(8).with_max_orders_per_person(2);
    let mut claim = |order: &AuthorisedOrder, counter, requester| {
        let signed = signed_call(&call(order, counter), requester);
        let authorised = two_on_call().authorise_call(order, &signed, &SESSION, NOW)?;
        used.claim(authorised, NOW).map(|_| ())
    };
    let (first, second) = (authorised(1, "olga"), authorised(2, "olga"));
    claim(&first, 0, "olga").unwrap();
    claim(&second, 0, "olga").unwrap();
    refused(
        claim(&authorised(3, "olga"), 0, "olga"),
        Reason::OrderTableFull,
    );
    claim(&first, 1, "olga").unwrap(); // Known orders go on.
    claim(&authorised(4, "oscar"), 0, "oscar").unwrap();
}

/// The usual policy, in which Oscar is on call as well.
fn two_on_call() -> Policy {
    let from = "roles = [\"maintainer\"]";
    let text = with(
        &genesis_text(),
        from,
        "roles = [\"on-call\", \"maintainer\"]",
    );
    let file = signed(&text, Namespace::Policy, &["alice", "bob"]);
    Policy::from_genesis(&file, &file.digest(), NOW).unwrap()
}

#[test]
fn the_largest_order_fits() {
    let head = head("olga");
    let order = signed_read(ReadOrder {
        calls: MAX_CALLS,
        head,
        ..read_order()
    });
    let order = released().authorise_order(&order, &context(NOW)).unwrap();
    let mut used = UsedCalls::new(1);
    let last = call(&order, MAX_CALLS - 1);
    used.claim(decide(&order, &last).unwrap(), NOW).unwrap();
    refused(
        used.claim(decide(&order, &last).unwrap(), NOW),
        Reason::CallCounterReused,
    );
    refused(
        decide(&order, &call(&order, MAX_CALLS)),
        Reason::CallCounter,
    );
}
