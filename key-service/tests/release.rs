//! Releasing keys: what is released, and every reason why not, each with only that rule broken.
#![cfg(feature = "dev-root")]
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "a test that meets something unexpected has failed"
)]

mod common;

use std::time::Duration;

use common::*;
use narthex_channel::{
    Digest384, Message, ModuleId, Opening, RecipientKey,
    diagnostics::LogCheck,
    keys::{KeyAnswer, KeyOutcome, KeyRequest, KeyRequestEnvelope},
    policy::{PolicyAnswer, PolicyDelivery, PolicyRequest},
};
use narthex_nsm::mock::mint::{DevelopmentAuthority, measurement_of};
use narthex_policy::{KeyOperation, Namespace};

/// A world with the key `database` in version 1, and a running service.
async fn usual() -> (World, Running) {
    let world = World::new(vec![KeyRule::usual("database"), KeyRule::usual("empty")]);
    let running = world.start().await;
    world.release("shop", "1.0", "current").await.unwrap();
    world.administer(create("database")).await.unwrap();
    (world, running)
}

#[tokio::test]
async fn an_attested_enclave_gets_its_key_again_and_again() {
    let (world, running) = usual().await;
    let first = world.ask(&world.enclave(), &["database"]).await.unwrap();
    assert_eq!(first[0].key.len(), 32);
    assert_eq!(
        world.ask(&world.enclave(), &["database"]).await.unwrap(),
        first
    );
    running.stop().await;
    let running = world.start().await;
    assert_eq!(
        world.ask(&world.enclave(), &["database"]).await.unwrap(),
        first
    );
    running.stop().await;
    let released: Vec<_> = leaves(&world)
        .into_iter()
        .filter(|entry| entry["type"] == "release")
        .collect();
    assert_eq!(released.len(), 3);
    assert!(released.iter().all(|entry| entry["outcome"] == "accepted"));
    assert_eq!(
        released[0]["keys"][0]["commitment"],
        first[0].commitment.as_str()
    );
    assert_eq!(released[0]["release"], "shop 1.0");
    assert_eq!(
        (&released[0]["boot_bundle"], &released[0]["in_force"]),
        (&1.into(), &1.into())
    );
    world.continues_what_was_seen();
}

/// What is made wrong in an enclave.
type Break = fn(&World, &mut Enclave);

#[tokio::test]
async fn each_broken_rule_has_its_reason() {
    let (world, running) = usual().await;
    let cases: &[(&str, Break)] = &[
        ("chain.development_root", |_, enclave| {
            enclave.authority = DevelopmentAuthority::insecure_from_seed(b"another root");
        }),
        ("document.debug", |_, enclave| {
            enclave.edit_document = Box::new(|recipe| recipe.payload.set_debug_mode());
        }),
        ("fresh.age", |_, enclave| enclave.ahead = -5 * 60_000 - 1000),
        ("fresh.future", |_, enclave| {
            enclave.edit_document = Box::new(|recipe| recipe.payload.timestamp.0 += 62_000);
        }),
        ("cose.signature", |_, enclave| {
            enclave.edit_envelope = Box::new(|envelope| {
                let last = envelope.document.len() - 1;
                envelope.document[last] ^= 1;
            });
        }),
        ("release.unknown", |_, enclave| {
            enclave.edit_document =
                Box::new(|recipe| recipe.payload.set_pcr(0, &measurement_of(b"other image")));
        }),
        ("release.unknown", |_, enclave| {
            enclave.edit_document =
                Box::new(|recipe| recipe.payload.set_pcr(2, &measurement_of(b"other image")));
        }),
        ("key.account", |_, enclave| {
            enclave.edit_document = Box::new(|recipe| recipe.payload.set_pcr(3, &stranger_pcr3()));
        }),
        ("key.account", |_, enclave| {
            enclave.edit_document = Box::new(|recipe| recipe.payload.set_pcr(3, &[0; 48]));
        }),
        ("bundle.pcr16_absent", |_, enclave| {
            enclave.edit_document = Box::new(|recipe| recipe.payload.remove_pcr(16));
        }),
        ("bundle.pcr16_unknown", |_, enclave| {
            enclave.boot_bundle = b"another lineage".to_vec();
        }),
        ("statement.other_enclave", |_, enclave| {
            enclave.edit_statement = Box::new(|statement| {
                statement.module_id = ModuleId::new("i-1-enc2").unwrap();
            });
        }),
        ("statement.other_bundle", |_, enclave| {
            enclave.edit_statement =
                Box::new(|statement| statement.boot_bundle = Digest384::of(b"another"));
        }),
        ("statement.without_log", |_, enclave| {
            enclave.edit_statement =
                Box::new(|statement| statement.log_check = LogCheck::InsecureWithoutLedger);
        }),
        ("statement.malformed", |_, enclave| {
            enclave.edit_request = Box::new(|request| {
                request.statement.push(0);
            });
        }),
        ("binding.other_session", |_, enclave| {
            enclave.edit_document = Box::new(|recipe| recipe.payload.user_data = Some(vec![9; 48]));
        }),
        ("binding.length", |_, enclave| {
            enclave.edit_document = Box::new(|recipe| recipe.payload.user_data = None);
        }),
        ("binding.workload_document", |_, enclave| {
            enclave.edit_document = Box::new(|recipe| {
                recipe.payload.user_data =
                    Some(narthex_channel::workload_user_data(b"anything").unwrap());
            });
        }),
        ("binding.other_session", |_, enclave| {
            // The bytes that the document binds are exchanged after it was made.
            enclave.edit_envelope = Box::new(|envelope| {
                let last = envelope.request.len() - 1;
                envelope.request[last] ^= 1;
            });
        }),
    ];
    for (expected, make_wrong) in cases {
        let mut enclave = world.enclave();
        make_wrong(&world, &mut enclave);
        let reason = world.ask(&enclave, &["database"]).await.unwrap_err();
        assert_eq!(reason, *expected);
    }
    assert!(world.ask(&world.enclave(), &["database"]).await.is_ok());
    running.stop().await;
}

#[tokio::test]
async fn what_is_no_request_is_refused_as_such() {
    let (world, running) = usual().await;
    let opening = Opening::Keys {
        service: world.service_key,
    };
    for (content, expected) in [
        (b"".as_slice(), "request.malformed"),
        (b"\x83\x02\x41\x00\x41\x00", "request.version"),
        (b"\x83\x01\x41\x00\x41\x00", "request.malformed"),
        (&[0xff; 100], "request.malformed"),
    ] {
        let mut connection = world.open("keys.sock", &opening).await.unwrap();
        if content.is_empty() {
            continue;
        }
        connection.send(content).await.unwrap();
        let answer: KeyAnswer = connection.receive_message().await.unwrap().unwrap();
        let KeyOutcome::Refused { reason } = answer.outcome else {
            panic!("released");
        };
        assert_eq!(reason.as_str(), expected);
    }
    running.stop().await;
}

#[tokio::test]
async fn a_document_serves_one_session_and_a_session_one_request() {
    let (world, running) = usual().await;
    let opening = Opening::Keys {
        service: world.service_key,
    };
    let recipient = RecipientKey::generate().unwrap();
    let enclave = world.enclave();
    let mut connection = world.open("keys.sock", &opening).await.unwrap();
    let session = connection.handshake_hash();
    let envelope = enclave.envelope(&session, &recipient, &[("database", None)]);
    connection.send_message(&envelope).await.unwrap();
    let answer = connection.receive_message().await.unwrap().unwrap();
    assert!(open_answer(&session, &recipient, answer).is_ok());

    connection.send_message(&envelope).await.unwrap();
    let answer = connection.receive_message().await.unwrap().unwrap();
    assert_eq!(
        open_answer(&session, &recipient, answer).unwrap_err(),
        "session.used"
    );

    // The same document and request in another session: a replay.
    let mut connection = world.open("keys.sock", &opening).await.unwrap();
    connection.send_message(&envelope).await.unwrap();
    let answer = connection.receive_message().await.unwrap().unwrap();
    assert_eq!(
        open_answer(&connection.handshake_hash(), &recipient, answer).unwrap_err(),
        "binding.other_session"
    );
    running.stop().await;
}

#[tokio::test]
async fn a_false_service_is_noticed_by_the_agent() {
    let (world, running) = usual().await;
    let opening = Opening::Keys {
        service: narthex_channel::StaticSecret::generate().unwrap().public(),
    };
    assert!(world.open("keys.sock", &opening).await.is_err());
    running.stop().await;
}

#[tokio::test]
async fn key_states_and_versions_decide() {
    let (world, running) = usual().await;
    let enclave = world.enclave();
    let ask = |version| {
        let (world, enclave) = (&world, &enclave);
        async move { world.ask_versions(enclave, &[("database", version)]).await }
    };
    assert_eq!(
        world.ask(&enclave, &["unheard-of"]).await.unwrap_err(),
        "key.unknown"
    );
    assert_eq!(
        world.ask(&enclave, &["empty"]).await.unwrap_err(),
        "key.not_stored"
    );
    assert_eq!(ask(Some(2)).await.unwrap_err(), "key.no_such_version");
    let one = ask(None).await.unwrap();
    world
        .administer(KeyOperation::Rotate {
            key: key("database"),
        })
        .await
        .unwrap();
    let two = ask(None).await.unwrap();
    assert_eq!((one[0].version, two[0].version), (1, 2));
    assert_ne!(one[0].key, two[0].key);
    assert_eq!(ask(Some(1)).await.unwrap(), one);

    let version = |version| (key("database"), version);
    let (name, number) = version(2);
    world
        .administer(KeyOperation::Disable {
            key: name,
            version: number,
        })
        .await
        .unwrap();
    assert_eq!(ask(None).await.unwrap(), one, "the newest that is enabled");
    assert_eq!(ask(Some(2)).await.unwrap_err(), "key.disabled");
    let (name, number) = version(1);
    world
        .administer(KeyOperation::Disable {
            key: name,
            version: number,
        })
        .await
        .unwrap();
    assert_eq!(ask(None).await.unwrap_err(), "key.disabled");
    let (name, number) = version(2);
    world
        .administer(KeyOperation::Enable {
            key: name,
            version: number,
        })
        .await
        .unwrap();
    assert_eq!(ask(None).await.unwrap(), two);
    let (name, number) = version(2);
    world
        .administer(KeyOperation::Retire {
            key: name,
            version: number,
        })
        .await
        .unwrap();
    assert_eq!(ask(Some(2)).await.unwrap_err(), "key.retired");
    assert_eq!(
        world
            .ask(&enclave, &["database", "unheard-of"])
            .await
            .unwrap_err(),
        "key.unknown",
        "all or none"
    );
    running.stop().await;
}

#[tokio::test]
async fn key_rules_decide() {
    let role = narthex_nsm::mock::mint::PayloadRecipe::EXAMPLE_ROLE_ARN;
    let world = World::new(vec![
        KeyRule::usual("database"),
        KeyRule::with(
            "other",
            &format!("releases = [\"bank\"]\nrole_arns = [\"{role}\"]\n"),
        ),
        KeyRule::with(
            "current-only",
            &format!("releases = [\"shop\"]\nstatuses = [\"current\"]\nrole_arns = [\"{role}\"]\n"),
        ),
        KeyRule::with(
            "instance",
            "releases = [\"shop\"]\ninstance_ids = [\"i-0123456789abcdef0\"]\n",
        ),
        KeyRule::with(
            "elsewhere",
            "releases = [\"shop\"]\ninstance_ids = [\"i-0123456789abcdef1\"]\n",
        ),
        KeyRule::with(
            "anywhere",
            "releases = [\"shop\"]\ninsecure_any_account = true\n",
        ),
        KeyRule::with(
            "hasty",
            &format!(
                "releases = [\"shop\"]\nmax_document_age = \"10s\"\nrole_arns = [\"{role}\"]\n"
            ),
        ),
    ]);
    let running = world.start().await;
    world.release("shop", "1.0", "previous").await.unwrap();
    for name in [
        "database",
        "other",
        "current-only",
        "instance",
        "elsewhere",
        "anywhere",
        "hasty",
    ] {
        world.administer(create(name)).await.unwrap();
    }
    let enclave = world.enclave();
    for (name, expected) in [
        ("database", None),
        ("other", Some("key.release")),
        ("current-only", Some("key.release_status")),
        ("instance", None),
        ("elsewhere", Some("key.account")),
        ("anywhere", None),
        ("hasty", None),
    ] {
        let outcome = world.ask(&enclave, &[name]).await;
        assert_eq!(outcome.err().as_deref(), expected, "{name}");
    }
    let mut late = world.enclave();
    late.ahead = -12_000;
    assert_eq!(world.ask(&late, &["hasty"]).await.unwrap_err(), "fresh.age");
    assert!(world.ask(&late, &["database"]).await.is_ok());
    assert_eq!(
        world.ask(&late, &["database", "hasty"]).await.unwrap_err(),
        "fresh.age",
        "the strictest rule of all keys asked for"
    );
    let mut stranger = world.enclave();
    stranger.edit_document = Box::new(|recipe| recipe.payload.set_pcr(3, &stranger_pcr3()));
    assert!(world.ask(&stranger, &["anywhere"]).await.is_ok());
    running.stop().await;
}

#[tokio::test]
async fn commitments_in_the_bundle_bind_the_service() {
    let mut world = World::new(vec![KeyRule::usual("database")]);
    let running = world.start().await;
    world.release("shop", "1.0", "current").await.unwrap();
    let created = world.administer(create("database")).await.unwrap();
    let commitment = created["key"]["commitment"].as_str().unwrap().to_owned();
    let committed = |commitment: &str| {
        let mut rule = KeyRule::usual("database");
        rule.rest += &format!("commitments = [{{ version = 1, sha384 = \"{commitment}\" }}]\n");
        vec![rule]
    };
    world.succeed(committed(&commitment)).await;
    let one = world.ask(&world.enclave(), &["database"]).await.unwrap();
    world
        .administer(KeyOperation::Rotate {
            key: key("database"),
        })
        .await
        .unwrap();
    assert_eq!(
        world.ask(&world.enclave(), &["database"]).await.unwrap(),
        one,
        "version 2 waits for its bundle"
    );
    let two = world
        .ask_versions(&world.enclave(), &[("database", Some(2))])
        .await;
    assert_eq!(two.unwrap_err(), "key.not_committed");
    world.succeed(committed(&"ab".repeat(48))).await;
    let other = world.ask(&world.enclave(), &["database"]).await;
    assert_eq!(
        other.unwrap_err(),
        "key.not_committed",
        "the newest version's reason"
    );
    let other = world
        .ask_versions(&world.enclave(), &[("database", Some(1))])
        .await;
    assert_eq!(other.unwrap_err(), "key.commitment");
    running.stop().await;
}

#[tokio::test]
async fn bundles_take_over_from_each_other() {
    let mut world = World::new(vec![KeyRule::usual("database")]);
    let clock = TestClock::at_now();
    let running = world.start_at(clock.clone()).await;
    world.release("shop", "1.0", "current").await.unwrap();
    world.administer(create("database")).await.unwrap();
    let old = world.bundles[0].clone();

    // The next bundle accepts the previous one for an hour.
    let mut next = BundleText::after(&old, 2, vec![KeyRule::usual("database")]);
    next.previous_accepted_until = Some(now_millis() + 3_600_000);
    let text = world.bundle_text(&next);
    let file = world.signed(Namespace::Policy, &text, &["alice", "bob"]);
    let delivered = PolicyDelivery {
        bundles: vec![file],
        ..PolicyDelivery::default()
    };
    let answer = world.deliver(&delivered).await.unwrap();
    assert_eq!(
        (
            answer["bundle"]["version"].as_u64(),
            answer["accepted"].as_u64()
        ),
        (Some(2), Some(1))
    );
    let again = world.deliver(&delivered).await.unwrap();
    assert_eq!(
        (again["known"].as_u64(), &again["entry"]),
        (Some(1), &serde_json::Value::Null)
    );
    world.bundles.push(text.into_bytes());

    assert!(world.ask(&world.enclave(), &["database"]).await.is_ok());
    assert!(
        world
            .ask(&Enclave::booted(&world, &old), &["database"])
            .await
            .is_ok()
    );
    clock.advance(3_601_000);
    let late = |mut enclave: Enclave| {
        enclave.ahead = 3_601_000;
        enclave
    };
    assert!(
        world
            .ask(&late(world.enclave()), &["database"])
            .await
            .is_ok()
    );
    let previous = world
        .ask(&late(Enclave::booted(&world, &old)), &["database"])
        .await;
    assert_eq!(previous.unwrap_err(), "bundle.not_in_force");
    // An agent that booted with the old bundle and has taken the new one since says so in its statement.
    let mut moved = late(Enclave::booted(&world, &old));
    moved.bundle_in_force = (Digest384::of(world.newest_bundle()), 2);
    assert!(world.ask(&moved, &["database"]).await.is_ok());
    running.stop().await;
}

#[tokio::test]
async fn a_rolled_back_or_under_signed_bundle_is_refused() {
    let mut world = World::new(vec![KeyRule::usual("database")]);
    let running = world.start().await;
    world.succeed(vec![KeyRule::usual("database")]).await;
    let deliver = |text: String, who: &'static [&'static str]| {
        let bundles = vec![world.signed(Namespace::Policy, &text, who)];
        let world = &world;
        async move {
            world
                .deliver(&PolicyDelivery {
                    bundles,
                    ..PolicyDelivery::default()
                })
                .await
                .unwrap_err()
        }
    };
    let keys = || vec![KeyRule::usual("database")];
    let third = world.bundle_text(&BundleText::after(world.newest_bundle(), 3, keys()));
    assert_eq!(
        deliver(third.clone(), &["alice"]).await,
        "bundle.under_signed"
    );
    assert_eq!(
        deliver(third.clone(), &["alice", "alice"]).await,
        "bundle.under_signed"
    );
    assert_eq!(
        deliver(third, &["alice", KEEPER]).await,
        "bundle.under_signed"
    );
    let other_second = world.bundle_text(&BundleText::after(
        &world.bundles[0],
        2,
        vec![KeyRule::usual("x")],
    ));
    assert_eq!(
        deliver(other_second, &["alice", "bob"]).await,
        "bundle.rolled_back"
    );
    let skipped = world.bundle_text(&BundleText::after(world.newest_bundle(), 4, keys()));
    assert_eq!(
        deliver(skipped, &["alice", "bob"]).await,
        "bundle.version_skipped"
    );
    running.stop().await;
}

#[tokio::test]
async fn stops_and_revocations_count_at_once_and_after_a_restart() {
    let (world, running) = usual().await;
    assert!(world.ask(&world.enclave(), &["database"]).await.is_ok());
    world.stop("keys = [\"database\"]\n").await.unwrap();
    assert_eq!(
        world
            .ask(&world.enclave(), &["database"])
            .await
            .unwrap_err(),
        "key.stopped"
    );
    world.release("shop", "1.0", "revoked").await.unwrap();
    assert_eq!(
        world
            .ask(&world.enclave(), &["database"])
            .await
            .unwrap_err(),
        "release.revoked"
    );
    running.stop().await;
    let running = world.start().await;
    assert_eq!(
        world
            .ask(&world.enclave(), &["database"])
            .await
            .unwrap_err(),
        "release.revoked"
    );
    // A person who is stopped administers nothing any more.
    world
        .stop(&format!("people = [\"{KEEPER}\"]\n"))
        .await
        .unwrap();
    assert_eq!(
        world.administer(KeyOperation::List).await.unwrap_err(),
        "person.stopped"
    );
    running.stop().await;
}

#[tokio::test]
async fn expiry_stops_releases() {
    let world = World::new(vec![KeyRule::usual("database")]);
    let clock = TestClock::at_now();
    let running = world.start_at(clock.clone()).await;
    world.release("shop", "1.0", "current").await.unwrap();
    world.administer(create("database")).await.unwrap();
    assert_eq!(running.get("/readyz").await.0, 200);
    clock.advance(21 * DAY);
    let at = |days: i64| {
        let mut enclave = world.enclave();
        enclave.ahead = days * i64::try_from(DAY).unwrap();
        enclave
    };
    assert_eq!(
        world.ask(&at(21), &["database"]).await.unwrap_err(),
        "release.expired"
    );
    clock.advance(10 * DAY);
    assert_eq!(
        world.ask(&at(31), &["database"]).await.unwrap_err(),
        "bundle.expired"
    );
    let (status, body) = running.get("/readyz").await;
    assert_eq!((status, body.trim()), (503, "bundle.expired"));
    assert_eq!(
        running.get("/healthz").await.0,
        200,
        "it serves as soon as a successor comes"
    );
    running.stop().await;
    // It starts under an expired bundle, too: a successor can still be delivered.
    let running = world.start_at(clock).await;
    assert_eq!(
        world.ask(&at(31), &["database"]).await.unwrap_err(),
        "bundle.expired"
    );
    running.stop().await;
}

/// A service that was away for two bundles, the first of which has expired meanwhile, catches up, and starts again
/// with what it took.
#[tokio::test]
async fn a_service_two_bundles_behind_catches_up() {
    let world = World::new(vec![KeyRule::usual("database")]);
    let clock = TestClock::at_now();
    let running = world.start_at(clock.clone()).await;
    let keys = || vec![KeyRule::usual("database")];
    let mut second = BundleText::after(world.newest_bundle(), 2, keys());
    second.expires = now_millis() + 3_600_000;
    let second = world.bundle_text(&second);
    let third = world.bundle_text(&BundleText::after(second.as_bytes(), 3, keys()));
    clock.advance(7_200_000);
    let deliver = |texts: &[&String]| PolicyDelivery {
        bundles: texts
            .iter()
            .map(|text| world.signed(Namespace::Policy, text, &["alice", "bob"]))
            .collect(),
        ..PolicyDelivery::default()
    };
    let alone = world.deliver(&deliver(&[&second])).await;
    assert_eq!(alone.unwrap_err(), "bundle.expired");
    let answer = world.deliver(&deliver(&[&second, &third])).await.unwrap();
    assert_eq!(
        (
            answer["bundle"]["version"].as_u64(),
            answer["accepted"].as_u64(),
            answer["known"].as_u64()
        ),
        (Some(3), Some(2), Some(0))
    );
    running.stop().await;
    let running = world.start_at(clock).await;
    let again = world.deliver(&deliver(&[&second, &third])).await.unwrap();
    assert_eq!(
        (again["bundle"]["version"].as_u64(), again["known"].as_u64()),
        (Some(3), Some(2))
    );
    running.stop().await;
}

#[tokio::test]
async fn an_edited_row_is_released_to_nobody() {
    let (world, running) = usual().await;
    assert!(world.ask(&world.enclave(), &["database"]).await.is_ok());
    sqlite(&world, "UPDATE key_version SET origin = 'imported'");
    assert_eq!(
        world
            .ask(&world.enclave(), &["database"])
            .await
            .unwrap_err(),
        "storage.row_altered",
        "under the running service"
    );
    running.stop().await;
    let running = world.start().await;
    assert_eq!(
        world
            .ask(&world.enclave(), &["database"])
            .await
            .unwrap_err(),
        "storage.row_altered"
    );
    let (_, metrics) = running.get("/metrics").await;
    assert!(metrics.contains("\nnarthex_altered_key_rows 1\n"));
    assert!(metrics.contains("reason=\"storage.row_altered\"} 1"));
    running.stop().await;
    let refusal = newest_refusal(&world).unwrap();
    assert_eq!(refusal["reason"], "storage.row_altered");
    assert_eq!(refusal["asked"][0], "database");
}

#[tokio::test]
async fn attributable_refusals_are_recorded_and_garbage_is_summed_up() {
    let (world, running) = usual().await;
    let mut stranger = world.enclave();
    stranger.edit_document = Box::new(|recipe| recipe.payload.set_pcr(3, &stranger_pcr3()));
    for _ in 0..20 {
        assert_eq!(
            world.ask(&stranger, &["database"]).await.unwrap_err(),
            "key.account"
        );
    }
    let mut nobody = world.enclave();
    nobody.authority = DevelopmentAuthority::insecure_from_seed(b"another root");
    for _ in 0..3 {
        assert_eq!(
            world.ask(&nobody, &["database"]).await.unwrap_err(),
            "chain.development_root"
        );
    }
    // A connection that says nothing sensible.
    let stream = std::os::unix::net::UnixStream::connect(world.path("keys.sock")).unwrap();
    std::io::Write::write_all(&mut (&stream), b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let ended = tokio::task::spawn_blocking(move || {
        let _ = std::io::Read::read_to_end(&mut (&stream), &mut Vec::new());
    });
    ended.await.unwrap();
    running.stop().await;
    let all = leaves(&world);
    let recorded = all
        .iter()
        .filter(|entry| entry["reason"] == "key.account")
        .count();
    assert_eq!(recorded, 6, "six a minute for one enclave");
    let summary = all.iter().find(|entry| entry["type"] == "summary").unwrap();
    let counts = &summary["counts"];
    assert!(summary["from"].as_u64().unwrap() < summary["to"].as_u64().unwrap());
    assert_eq!(counts["key.account"], 14);
    assert_eq!(counts["chain.development_root"], 3);
    assert!(
        all.iter()
            .all(|entry| entry["reason"] != "chain.development_root")
    );
    assert_eq!(counts.as_object().unwrap().len(), 3, "{counts}");
}

/// A refusal of somebody who is known carries the proof that it is logged, with its evidence; another carries none.
#[tokio::test]
async fn refusals_that_are_entries_are_proved() {
    let (world, running) = usual().await;
    let (session, refused, proof) = world
        .try_ask_for_proof(&world.enclave(), &[("database", Some(9))])
        .await
        .unwrap();
    assert_eq!(refused.unwrap_err(), "key.no_such_version");
    let proof = proof.unwrap();
    let read = narthex_ledger::Proof::parse(std::str::from_utf8(&proof).unwrap()).unwrap();
    assert_eq!(read.extra, None, "nobody rebuilds a refusal");
    let recorded = entries(&world).swap_remove(usize::try_from(read.index).unwrap());
    world.proved(&recorded.hash, &proof);
    let narthex_ledger::Entry::Release(release) = &recorded.entry else {
        panic!("{recorded:?}");
    };
    assert_eq!(release.decision.reason(), Some("key.no_such_version"));
    assert_eq!(
        (release.asked.as_slice(), release.session.to_string()),
        (["database".to_owned()].as_slice(), session)
    );
    // Its evidence is what was sent: anybody can judge it again.
    let view = narthex_key_service::storage::LogView::open(&world.config().storage).unwrap();
    let bytes = view.evidence(&release.evidence).unwrap().unwrap();
    let evidence = narthex_ledger::SaltedEvidence::open(&release.evidence, &bytes).unwrap();
    let parts = evidence.evidence.parts();
    assert_eq!(hex::encode(&parts[0]), release.session.to_string());
    narthex_verifier::AttestationDocument::parse(&parts[1]).unwrap();
    KeyRequest::from_bytes(&parts[2]).unwrap();

    let mut stranger = world.enclave();
    stranger.authority = DevelopmentAuthority::insecure_from_seed(b"another root");
    let (_, refused, proof) = world
        .try_ask_for_proof(&stranger, &[("database", None)])
        .await
        .unwrap();
    assert_eq!(refused.unwrap_err(), "chain.development_root");
    assert_eq!(proof, None, "anonymous garbage is counted");
    running.stop().await;
}

/// A long chain is more than one entry, and one step: the log says once which bundle is in force after it.
#[tokio::test]
async fn a_chain_of_bundles_is_several_entries_and_one_step() {
    let (mut world, running) = usual().await;
    let mut bundles = Vec::new();
    for version in 2..=71 {
        let rules = vec![KeyRule::usual("database")];
        let text = world.bundle_text(&BundleText::after(world.newest_bundle(), version, rules));
        bundles.push(world.signed(Namespace::Policy, &text, &["alice", "carol"]));
        world.bundles.push(text.into_bytes());
    }
    let before = leaves(&world).len();
    let delivered = PolicyDelivery {
        bundles,
        ..PolicyDelivery::default()
    };
    let answer = world.deliver(&delivered).await.unwrap();
    assert_eq!(
        (&answer["accepted"], &answer["bundle"]["version"]),
        (&70.into(), &71.into())
    );
    running.stop().await;
    let new = leaves(&world).split_off(before);
    let kinds: Vec<_> = new
        .iter()
        .map(|entry| entry["type"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["policy", "policy", "policy", "current"]);
    let files: Vec<_> = new
        .iter()
        .flat_map(|entry| entry["files"].as_array().cloned().unwrap_or_default())
        .collect();
    for (file, bundle) in files.iter().zip(&world.bundles[1..]) {
        let digest = narthex_channel::Digest384::of(bundle).to_hex();
        assert_eq!(file["sha384"], digest.as_str());
        assert_eq!(file["signers"].as_array().unwrap().len(), 2);
    }
    assert_eq!(files.len(), 70);
    assert_eq!(new[3]["version"], 71);
    world.start().await.stop().await;
}

#[tokio::test]
async fn pages_for_monitoring_say_what_they_should() {
    let (world, running) = usual().await;
    world.ask(&world.enclave(), &["database"]).await.unwrap();
    let (status, body) = running.get("/healthz").await;
    assert_eq!((status, body.as_str()), (200, "ok\n"));
    let (_, metrics) = running.get("/metrics").await;
    for part in [
        "narthex_decisions_total{kind=\"release\",outcome=\"accepted\",reason=\"\"} 1\n",
        "narthex_release_expiry_seconds{release=\"shop\",version=\"1.0\"} ",
        "narthex_ready 1\n",
        "narthex_release_seconds_count 1\n",
        "narthex_connections_total{listener=\"keys\"",
    ] {
        assert!(metrics.contains(part), "{part}\n{metrics}");
    }
    let expiry = metrics
        .lines()
        .find_map(|line| line.strip_prefix("narthex_policy_expiry_seconds "))
        .unwrap()
        .parse::<f64>()
        .unwrap();
    assert!((expiry - 30.0 * 86_400.0).abs() < 60.0, "{expiry}");
    assert_eq!(running.get("/other").await.0, 404);
    running.stop().await;
}

async fn ask_for_policy(world: &World, request: &PolicyRequest) -> PolicyAnswer {
    let mut connection = world.open("policy.sock", &Opening::Policy).await.unwrap();
    connection.send_message(request).await.unwrap();
    connection.receive_message().await.unwrap().unwrap()
}

#[tokio::test]
async fn the_policy_is_handed_out() {
    let mut world = World::new(vec![KeyRule::usual("database")]);
    let running = world.start().await;
    world.release("shop", "1.0", "current").await.unwrap();
    world.stop("keys = [\"database\"]\n").await.unwrap();
    world.succeed(vec![KeyRule::usual("database")]).await;
    let ask = |request: PolicyRequest| {
        let world = &world;
        async move { ask_for_policy(world, &request).await }
    };
    let all = ask(PolicyRequest::default()).await;
    let bytes: Vec<_> = all
        .bundles
        .iter()
        .map(|bundle| bundle.bytes.clone())
        .collect();
    assert_eq!(bytes, world.bundles);
    assert_eq!((all.releases.len(), all.stops.len()), (1, 1));
    assert_eq!(all.bundles[0].signatures.len(), 2);
    let rest = ask(PolicyRequest {
        since_version: 1,
        known_statements: vec![Digest384::of(&all.stops[0].bytes)],
    })
    .await;
    assert_eq!(
        (rest.bundles.len(), rest.releases.len(), rest.stops.len()),
        (1, 1, 0)
    );
    assert_eq!(rest.bundles[0].bytes, world.bundles[1]);
    assert!(all.to_bytes().is_ok());
    running.stop().await;
}

/// One person is enough for a stop, so stops are what one person can make many and large of.
#[tokio::test]
async fn many_large_stops_keep_neither_bundles_nor_newer_stops_from_agents() {
    let world = World::new(vec![KeyRule::usual("database")]);
    let running = world.start().await;
    world.release("shop", "1.0", "current").await.unwrap();
    let stop_number = |number: u32| {
        let names = (0..450).map(|name| format!("\"{number:04}-{name:0>58}\""));
        let names: Vec<_> = names.collect();
        world.stop_text(&format!("keys = [{}]\n", names.join(", ")))
    };
    for batch in 0..3 {
        let numbers = batch * 50..(batch + 1) * 50;
        let stops = numbers.map(|number| {
            let text = stop_number(number);
            world.signed(Namespace::Stop, &text, &["carol"])
        });
        let files = PolicyDelivery {
            stops: stops.collect(),
            ..PolicyDelivery::default()
        };
        world.deliver(&files).await.unwrap();
    }
    world.stop("keys = [\"database\"]\n").await.unwrap();
    let answer = ask_for_policy(&world, &PolicyRequest::default()).await;
    assert_eq!((answer.bundles.len(), answer.releases.len()), (1, 1));
    let newest = String::from_utf8(answer.stops[0].bytes.clone()).unwrap();
    assert!(newest.ends_with("keys = [\"database\"]\n"), "{newest}");
    // The others follow to whoever says what it has.
    let mut known: Vec<_> = Vec::new();
    while known.len() < 151 {
        let request = PolicyRequest {
            since_version: 1,
            known_statements: known.clone(),
        };
        let answer = ask_for_policy(&world, &request).await;
        assert!(!answer.stops.is_empty());
        known.extend(answer.stops.iter().map(|stop| Digest384::of(&stop.bytes)));
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_agents_that_start_together_all_get_their_keys() {
    let (world, running) = usual().await;
    let world = std::sync::Arc::new(world);
    let expected = world.ask(&world.enclave(), &["database"]).await.unwrap();
    let enclaves: Vec<_> = (0..500_u64)
        .map(|index| {
            world
                .enclave()
                .with_nsm(&format!("{:016x}", 0x1000 + index))
        })
        .collect();
    let mut tasks = tokio::task::JoinSet::new();
    for enclave in enclaves {
        let world = std::sync::Arc::clone(&world);
        tasks.spawn(async move { world.ask(&enclave, &["database"]).await });
    }
    let mut served = 0;
    while let Some(answer) = tasks.join_next().await {
        assert_eq!(answer.unwrap().unwrap(), expected);
        served += 1;
    }
    assert_eq!(served, 500);
    let (_, metrics) = running.get("/metrics").await;
    assert!(metrics.contains("kind=\"release\",outcome=\"accepted\",reason=\"\"} 501\n"));
    running.stop().await;
    assert_eq!(
        leaves(&world)
            .iter()
            .filter(|one| one["type"] == "release")
            .count(),
        501
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_under_load_ends_in_time_and_loses_nothing() {
    let (world, running) = usual().await;
    let world = std::sync::Arc::new(world);
    let mut tasks = tokio::task::JoinSet::new();
    for index in 0..200_u64 {
        let world = std::sync::Arc::clone(&world);
        let enclave = world
            .enclave()
            .with_nsm(&format!("{:016x}", 0x1000 + index));
        tasks.spawn(async move { world.try_ask(&enclave, &[("database", None)]).await });
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let began = std::time::Instant::now();
    running.stop().await;
    assert!(began.elapsed() < Duration::from_secs(20));
    let mut answered = 0;
    while let Some(answer) = tasks.join_next().await {
        match answer.unwrap() {
            Ok(Ok(_)) => answered += 1,
            Ok(Err(reason)) => panic!("{reason}"),
            Err(_connection) => {}
        }
    }
    assert!(answered > 0);
    let recorded = leaves(&world)
        .iter()
        .filter(|one| one["type"] == "release")
        .count();
    assert!(
        recorded >= answered,
        "{recorded} recorded, {answered} answered"
    );
    assert!(!exists(&world.path("keys.sock")));
}

#[tokio::test]
async fn two_services_do_not_share_a_database() {
    let (world, running) = usual().await;
    let error = narthex_key_service::server::Server::start(&world.config())
        .await
        .err()
        .unwrap();
    assert_eq!(error.id(), "storage.locked");
    running.stop().await;
    world.start().await.stop().await;
}

#[tokio::test]
async fn requests_that_do_not_bind_cost_no_signature_check() {
    // The order of checks: a document for another session is refused though its chain is not AWS's.
    let (world, running) = usual().await;
    let mut enclave = world.enclave();
    enclave.authority = DevelopmentAuthority::insecure_from_seed(b"another root");
    enclave.edit_envelope = Box::new(|envelope: &mut KeyRequestEnvelope| {
        let last = envelope.request.len() - 1;
        envelope.request[last] ^= 1;
    });
    assert_eq!(
        world.ask(&enclave, &["database"]).await.unwrap_err(),
        "binding.other_session"
    );
    running.stop().await;
}
