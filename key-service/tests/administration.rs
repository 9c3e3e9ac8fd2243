//! Administering keys: every operation, every refusal, backup and restore, the root key.
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

use base64::{Engine, engine::general_purpose::STANDARD};
use common::*;
use narthex_channel::{KeyName, Message, Opening, SecretBytes, commitment, policy::PolicyDelivery};
use narthex_key_service::commands;
use narthex_policy::{Digest384, KeyOperation, Namespace};
use serde_json::Value;

async fn usual() -> (World, Running) {
    let world = World::new(vec![KeyRule::usual("database"), KeyRule::usual("brought")]);
    let running = world.start().await;
    world.release("shop", "1.0", "current").await.unwrap();
    (world, running)
}

fn version(name: &str, version: u32) -> (narthex_policy::KeyName, u32) {
    (key(name), version)
}

fn disable(name: &str, number: u32) -> KeyOperation {
    let (key, version) = version(name, number);
    KeyOperation::Disable { key, version }
}

fn enable(name: &str, number: u32) -> KeyOperation {
    let (key, version) = version(name, number);
    KeyOperation::Enable { key, version }
}

fn retire(name: &str, number: u32) -> KeyOperation {
    let (key, version) = version(name, number);
    KeyOperation::Retire { key, version }
}

fn import(name: &str, version: u32, secret: &[u8]) -> KeyOperation {
    let committed = commitment(
        &KeyName::new(name).unwrap(),
        version,
        &SecretBytes::copied_from(secret),
    );
    KeyOperation::Import {
        key: key(name),
        version,
        commitment: Digest384(*committed.as_bytes()),
    }
}

fn states(list: &Value) -> Vec<(String, u64, String)> {
    list["keys"]
        .as_array()
        .unwrap()
        .iter()
        .map(|key| {
            (
                key["name"].as_str().unwrap().to_owned(),
                key["version"].as_u64().unwrap(),
                key["state"].as_str().unwrap().to_owned(),
            )
        })
        .collect()
}

#[tokio::test]
async fn answers_have_the_documented_shape() {
    let (world, running) = usual().await;
    let created = world.administer(create("database")).await.unwrap();
    assert_eq!(created["operation"], "keys-create");
    let entry = &created["entry"];
    assert_eq!(entry["epoch"], 0);
    let index = usize::try_from(entry["index"].as_u64().unwrap()).unwrap();
    assert_eq!(
        entries(&world)[index].hash.to_string(),
        entry["hash"].as_str().unwrap()
    );
    let members: Vec<_> = created["key"]
        .as_object()
        .unwrap()
        .keys()
        .cloned()
        .collect();
    assert_eq!(
        members,
        [
            "bytes",
            "changed",
            "commitment",
            "created",
            "name",
            "origin",
            "shares",
            "state",
            "version"
        ]
    );
    assert_eq!(created["key"]["bytes"], 32);
    assert_eq!(created["key"]["origin"], "created");
    assert_eq!(created["key"]["shares"], "service");
    let list = world.administer(KeyOperation::List).await.unwrap();
    assert_eq!(
        states(&list),
        [("database".to_owned(), 1, "enabled".to_owned())]
    );
    assert_eq!(list["root_key"].as_str().unwrap().len(), 32);
    let listed = world.administer(KeyOperation::ListDecisions).await.unwrap();
    let kinds: Vec<_> = listed["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|listed| listed["entry"]["type"].as_str().unwrap())
        // The word about the bundle in force stands wherever a group ended that asked for it.
        .filter(|kind| *kind != "current")
        .collect();
    assert_eq!(
        kinds,
        ["policy", "policy", "administration", "administration"]
    );
    assert_eq!(listed["count"], listed["entries"].as_array().unwrap().len());
    running.stop().await;
}

#[tokio::test]
async fn an_imported_key_is_released_and_remembers_that_a_person_saw_it() {
    let (world, running) = usual().await;
    let secret = b"a secret that a person brought along";
    let imported = world
        .administer_with(import("brought", 1, secret), secret)
        .await
        .unwrap();
    assert_eq!(imported["key"]["origin"], "imported");
    let opened = world.ask(&world.enclave(), &["brought"]).await.unwrap();
    assert_eq!(opened[0].key, secret);
    let next = b"the next one";
    world
        .administer_with(import("brought", 2, next), next)
        .await
        .unwrap();
    assert_eq!(
        world.ask(&world.enclave(), &["brought"]).await.unwrap()[0].key,
        next
    );
    running.stop().await;
    for file in std::fs::read_dir(world.folder.path()).unwrap() {
        let path = file.unwrap().path();
        if let Ok(content) = std::fs::read(&path) {
            let found = content.windows(secret.len()).any(|window| window == secret);
            assert!(!found, "{}", path.display());
        }
    }
}

#[tokio::test]
async fn each_broken_rule_of_an_order_has_its_reason() {
    let (world, running) = usual().await;
    world.administer(create("database")).await.unwrap();
    let send = |content: Vec<u8>| {
        let world = &world;
        async move { world.send(&content).await.unwrap_err() }
    };
    let order = |operation| world.order(operation);

    let mut stranger = order(KeyOperation::List);
    stranger.head.requester = narthex_policy::PersonName::new(BYSTANDER).unwrap();
    assert_eq!(
        send(world.request(&stranger, BYSTANDER, &[], None)).await,
        "order.role"
    );
    let content = world.request(&order(KeyOperation::List), "alice", &[], None);
    assert_eq!(send(content).await, "order.not_requester");

    let now = narthex_policy::UnixMillis(now_millis());
    let mut expired = order(KeyOperation::List);
    expired.head.issued.0 -= 7_200_000;
    expired.head.not_before.0 -= 7_200_000;
    expired.head.expires = narthex_policy::UnixMillis(now.0 - 1000);
    assert_eq!(
        send(world.request(&expired, KEEPER, &[], None)).await,
        "order.expired"
    );
    let mut early = order(KeyOperation::List);
    early.head.not_before.0 += 600_000;
    assert_eq!(
        send(world.request(&early, KEEPER, &[], None)).await,
        "order.not_yet_valid"
    );

    let mut elsewhere = order(KeyOperation::List);
    elsewhere.genesis = Digest384::of(b"another lineage");
    assert_eq!(
        send(world.request(&elsewhere, KEEPER, &[], None)).await,
        "bundle.genesis"
    );

    let widening = order(enable("database", 1));
    assert_eq!(
        send(world.request(&widening, KEEPER, &[], None)).await,
        "order.under_approved"
    );

    let mut bytes = world.request(&order(KeyOperation::List), KEEPER, &[], None);
    let position = bytes
        .windows(9)
        .position(|window| window == b"keys-list")
        .unwrap();
    bytes[position] ^= 1;
    assert_eq!(send(bytes).await, "signature.invalid");

    let once = world.request(&order(KeyOperation::List), KEEPER, &[], None);
    world.send(&once).await.unwrap();
    assert_eq!(send(once.clone()).await, "order.reused");
    running.stop().await;
    let running = world.start().await;
    assert_eq!(
        world.send(&once).await.unwrap_err(),
        "order.reused",
        "after a restart, too"
    );
    running.stop().await;
    let refusal = newest_refusal(&world).unwrap();
    assert_eq!(refusal["reason"], "order.reused");
    assert_eq!(refusal["requester"], person(KEEPER).as_str());
    assert_eq!(refusal["operation"], "keys-list");
}

#[tokio::test]
async fn each_broken_rule_of_an_operation_has_its_reason() {
    let (world, running) = usual().await;
    world.administer(create("database")).await.unwrap();
    let refused = |operation| {
        let world = &world;
        async move { world.administer(operation).await.unwrap_err() }
    };
    assert_eq!(refused(create("database")).await, "key.exists");
    assert_eq!(
        refused(KeyOperation::Rotate { key: key("other") }).await,
        "key.not_stored"
    );
    assert_eq!(refused(disable("other", 1)).await, "key.not_stored");
    assert_eq!(refused(disable("database", 2)).await, "key.no_such_version");
    assert_eq!(refused(enable("database", 1)).await, "key.state");

    let with = |operation, payload: &'static [u8]| {
        let world = &world;
        async move { world.administer_with(operation, payload).await.unwrap_err() }
    };
    assert_eq!(
        refused(import("brought", 1, b"x")).await,
        "administration.payload_missing"
    );
    assert_eq!(
        with(KeyOperation::List, b"x").await,
        "administration.payload_unexpected"
    );
    assert_eq!(
        with(import("brought", 1, b"x"), b"y").await,
        "import.commitment"
    );
    assert_eq!(
        with(import("brought", 2, b"x"), b"x").await,
        "key.version_order"
    );
    assert_eq!(
        with(import("database", 1, b"x"), b"x").await,
        "key.version_order"
    );
    let long = vec![7; 4097];
    let content = world.order(import("brought", 1, &long));
    let content = world.request(&content, KEEPER, &["alice"], Some(&long));
    assert_eq!(world.send(&content).await.unwrap_err(), "import.length");

    world.administer(retire("database", 1)).await.unwrap();
    for operation in [
        enable("database", 1),
        disable("database", 1),
        retire("database", 1),
    ] {
        assert_eq!(refused(operation).await, "key.retired");
    }
    let rotated = world
        .administer(KeyOperation::Rotate {
            key: key("database"),
        })
        .await
        .unwrap();
    assert_eq!(
        rotated["key"]["version"], 2,
        "a version number never comes again"
    );

    assert_eq!(world.send(b"\x85").await.unwrap_err(), "request.malformed");
    assert_eq!(
        world.send(b"nonsense").await.unwrap_err(),
        "request.malformed"
    );
    running.stop().await;
}

#[tokio::test]
async fn an_administrator_gets_no_key() {
    // Use 3 has no answer that carries a key; a key request there is no request.
    let (world, running) = usual().await;
    world.administer(create("database")).await.unwrap();
    let opening = Opening::Administration {
        service: world.service_key,
    };
    let mut connection = world.open("administration.sock", &opening).await.unwrap();
    let recipient = narthex_channel::RecipientKey::generate().unwrap();
    let session = connection.handshake_hash();
    let envelope = world
        .enclave()
        .envelope(&session, &recipient, &[("database", None)]);
    connection.send_message(&envelope).await.unwrap();
    let answer: narthex_channel::administration::AdministrationAnswer =
        connection.receive_message().await.unwrap().unwrap();
    assert_eq!(format!("{answer:?}"), "Refused(request.malformed)");
    // And use 2 at the administration's address is not offered.
    let opening = Opening::Keys {
        service: world.service_key,
    };
    assert!(world.open("administration.sock", &opening).await.is_err());
    running.stop().await;
}

async fn backup(world: &World) -> Vec<u8> {
    let answer = world.administer(KeyOperation::BackUp).await.unwrap();
    let bytes = STANDARD.decode(answer["backup"].as_str().unwrap()).unwrap();
    assert_eq!(answer["sha384"], Digest384::of(&bytes).to_string());
    bytes
}

async fn restore(world: &World, backup: &[u8]) -> Result<Value, String> {
    let operation = KeyOperation::Restore {
        backup: Digest384::of(backup),
    };
    world.administer_with(operation, backup).await
}

/// Another machine of the same lineage: same genesis, same static key and log key, its own root key and database. Its
/// log begins anew: witnesses, of which there are none here, would not have it before it caught up.
fn second_machine(first: &World) -> World {
    let second = World::new(vec![KeyRule::usual("database")]);
    for file in ["keys.sqlite", "root.key"] {
        std::fs::remove_file(second.path(file)).unwrap();
    }
    for file in ["static.key", "log.key"] {
        std::fs::copy(first.path(file), second.path(file)).unwrap();
    }
    let signatures: Vec<_> = ["alice", "bob"]
        .iter()
        .map(|who| first.path(&format!("0001.toml.{who}.sig")))
        .collect();
    narthex_key_service::init::init(
        &second.config().storage,
        &first.path("0001.toml"),
        &signatures,
        narthex_key_service::clock::UnixMillis(now_millis()),
    )
    .unwrap();
    let mut second = second;
    second.bundles.clone_from(&first.bundles);
    second.service_key = first.service_key;
    second.log_key = first.log_key.clone();
    second.people = first
        .people
        .iter()
        .map(|(name, key)| {
            let text = key.to_openssh().unwrap();
            (
                *name,
                narthex_policy::SigningKey::from_openssh(&text).unwrap(),
            )
        })
        .collect();
    second
}

#[tokio::test]
async fn a_restore_on_another_machine_rolls_nothing_back() {
    let (world, running) = usual().await;
    world.administer(create("database")).await.unwrap();
    world
        .administer(KeyOperation::Rotate {
            key: key("database"),
        })
        .await
        .unwrap();
    world.administer(create("gone")).await.unwrap();
    world.administer(retire("gone", 1)).await.unwrap();
    let made = backup(&world).await;
    let opened = world.ask(&world.enclave(), &["database"]).await.unwrap();
    assert!(
        !made.windows(32).any(|window| window == opened[0].key),
        "a backup holds no key"
    );
    running.stop().await;

    let second = second_machine(&world);
    let running = second.start().await;
    second.release("shop", "1.0", "current").await.unwrap();
    assert_eq!(
        restore(&second, &made).await.unwrap_err(),
        "backup.root_key"
    );
    running.stop().await;
    let added =
        commands::import_root_keys(&second.config().storage, &world.path("root.key")).unwrap();
    assert_eq!(added, 1);
    let running = second.start().await;
    let answer = restore(&second, &made).await.unwrap();
    assert_eq!(answer["restored"].as_array().unwrap().len(), 3);
    assert_eq!(answer["kept"].as_array().unwrap().len(), 0);
    let inert = second.ask(&second.enclave(), &["database"]).await;
    assert_eq!(
        inert.unwrap_err(),
        "key.restored",
        "inert until somebody enables it"
    );
    assert_eq!(
        second.administer(enable("gone", 1)).await.unwrap_err(),
        "key.retired",
        "what was retired stays so"
    );
    second.administer(enable("database", 2)).await.unwrap();
    assert_eq!(
        second.ask(&second.enclave(), &["database"]).await.unwrap(),
        opened
    );

    // Once more, after a state has changed here: what is here wins.
    second.administer(disable("database", 2)).await.unwrap();
    let answer = restore(&second, &made).await.unwrap();
    assert_eq!(answer["restored"].as_array().unwrap().len(), 0);
    assert_eq!(answer["kept"].as_array().unwrap().len(), 3);
    let refused = second
        .ask_versions(&second.enclave(), &[("database", Some(2))])
        .await;
    assert_eq!(refused.unwrap_err(), "key.disabled");
    running.stop().await;
    // Nothing needs the first machine's root key any more: restored rows are under this one's.
    let keys = commands::list_root_keys(&second.config().storage).unwrap();
    let foreign = keys.iter().find(|(_, needed)| !needed).unwrap().0;
    commands::forget_root_key(&second.config().storage, &foreign.to_string()).unwrap();
    second.start().await.stop().await;
}

/// More keys than one entry of the log holds: several entries of one order, which is still used once.
#[tokio::test]
async fn a_restore_of_many_keys_is_several_entries_of_one_order() {
    let (world, running) = usual().await;
    for index in 0..230 {
        let name = format!("key-{index}");
        world.administer(create(&name)).await.unwrap();
    }
    let made = backup(&world).await;
    running.stop().await;
    let second = second_machine(&world);
    commands::import_root_keys(&second.config().storage, &world.path("root.key")).unwrap();
    let running = second.start().await;
    let operation = KeyOperation::Restore {
        backup: Digest384::of(&made),
    };
    let content = second.request(&second.order(operation), KEEPER, &["alice"], Some(&made));
    let answer = second.send(&content).await.unwrap();
    assert_eq!(answer["restored"].as_array().unwrap().len(), 230);
    assert_eq!(second.send(&content).await.unwrap_err(), "order.reused");
    running.stop().await;
    let calls: Vec<_> = leaves(&second)
        .into_iter()
        .filter(|entry| entry["operation"] == "keys-restore" && entry["outcome"] == "accepted")
        .collect();
    let [first, further] = calls.as_slice() else {
        panic!("{} entries", calls.len());
    };
    assert_eq!(first["order"], further["order"]);
    assert_eq!(first["evidence"], further["evidence"]);
    let count = |entry: &Value| entry["keys"].as_array().unwrap().len();
    assert_eq!((count(first), count(further)), (200, 30));
    let running = second.start().await;
    assert_eq!(
        second.send(&content).await.unwrap_err(),
        "order.reused",
        "after a restart, too"
    );
    running.stop().await;
    let findings = commands::check(&second.config().storage).unwrap();
    assert!(findings.altered_keys.is_empty());
    assert!(findings.evidence.altered.is_empty());
}

#[tokio::test]
async fn a_restore_on_the_same_machine_does_not_revive_anything() {
    let (world, running) = usual().await;
    world.administer(create("database")).await.unwrap();
    let made = backup(&world).await;
    world.administer(retire("database", 1)).await.unwrap();
    let answer = restore(&world, &made).await.unwrap();
    assert_eq!(answer["kept"][0]["state"], "retired");
    assert_eq!(
        world
            .ask(&world.enclave(), &["database"])
            .await
            .unwrap_err(),
        "key.retired"
    );
    running.stop().await;
}

#[tokio::test]
async fn a_restore_mends_an_altered_row_and_leaves_it_inert() {
    let (world, running) = usual().await;
    world.administer(create("database")).await.unwrap();
    let made = backup(&world).await;
    let opened = world.ask(&world.enclave(), &["database"]).await.unwrap();
    sqlite(&world, "UPDATE key_version SET wrapped = zeroblob(48)");
    assert_eq!(
        world.administer(KeyOperation::BackUp).await.unwrap_err(),
        "storage.row_altered"
    );
    assert_eq!(
        world.administer(retire("database", 1)).await.unwrap_err(),
        "storage.row_altered"
    );
    let list = world.administer(KeyOperation::List).await.unwrap();
    assert_eq!(list["altered"][0]["name"], "database");
    restore(&world, &made).await.unwrap();
    assert_eq!(
        world
            .ask(&world.enclave(), &["database"])
            .await
            .unwrap_err(),
        "key.restored"
    );
    world.administer(enable("database", 1)).await.unwrap();
    assert_eq!(
        world.ask(&world.enclave(), &["database"]).await.unwrap(),
        opened
    );
    running.stop().await;
    assert!(
        commands::check(&world.config().storage)
            .unwrap()
            .altered_keys
            .is_empty()
    );
}

#[tokio::test]
async fn each_defective_backup_has_its_reason() {
    let (world, running) = usual().await;
    world.administer(create("database")).await.unwrap();
    let made = backup(&world).await;
    let operation = KeyOperation::Restore {
        backup: Digest384::of(&made),
    };
    let other = world.administer_with(operation, b"other").await;
    assert_eq!(other.unwrap_err(), "backup.digest");
    assert_eq!(
        restore(&world, b"narthex").await.unwrap_err(),
        "backup.malformed"
    );
    assert_eq!(
        restore(&world, &made[..made.len() - 1]).await.unwrap_err(),
        "backup.altered"
    );
    for position in [20, 40, made.len() - 60, made.len() - 1] {
        let mut bad = made.clone();
        bad[position] ^= 1;
        let reason = restore(&world, &bad).await.unwrap_err();
        assert!(
            ["backup.altered", "backup.root_key"].contains(&reason.as_str()),
            "{position} {reason}"
        );
    }

    // Another lineage altogether, and another key under the same name on a machine of this one.
    let foreign = World::new(vec![KeyRule::usual("database")]);
    let foreign_running = foreign.start().await;
    assert_eq!(
        restore(&foreign, &made).await.unwrap_err(),
        "backup.foreign"
    );
    foreign_running.stop().await;
    let second = second_machine(&world);
    commands::import_root_keys(&second.config().storage, &world.path("root.key")).unwrap();
    let second_running = second.start().await;
    second.administer(create("database")).await.unwrap();
    assert_eq!(
        restore(&second, &made).await.unwrap_err(),
        "backup.conflict"
    );
    second_running.stop().await;
    running.stop().await;
}

#[tokio::test]
async fn the_root_key_is_rotated_online() {
    let (world, running) = usual().await;
    for index in 0..100 {
        world
            .administer(create(&format!("key-{index}")))
            .await
            .unwrap();
    }
    world.administer(create("database")).await.unwrap();
    let opened = world.ask(&world.enclave(), &["database"]).await.unwrap();
    let before = world.administer(KeyOperation::List).await.unwrap()["root_key"].clone();
    let made = backup(&world).await;
    let world = std::sync::Arc::new(world);
    let asking = {
        let world = std::sync::Arc::clone(&world);
        let opened = opened.clone();
        tokio::spawn(async move {
            for _ in 0..10 {
                assert_eq!(
                    world.ask(&world.enclave(), &["database"]).await.unwrap(),
                    opened
                );
            }
        })
    };
    let rotated = world.administer(KeyOperation::RotateRootKey).await.unwrap();
    asking.await.unwrap();
    assert_eq!(rotated["previous_root_key"], before);
    assert_eq!(rotated["rows"], 103, "the keys, the genesis and a release");
    assert_eq!(rotated["left"], 0);
    assert_eq!(
        world.ask(&world.enclave(), &["database"]).await.unwrap(),
        opened
    );
    let storage = world.config().storage;
    let old = before.as_str().unwrap();
    running.stop().await;
    let running = world.start().await;
    assert_eq!(
        world.ask(&world.enclave(), &["database"]).await.unwrap(),
        opened
    );
    assert!(
        restore(&world, &made).await.is_ok(),
        "the old key is still in the file"
    );
    assert_eq!(
        commands::forget_root_key(&storage, old).unwrap_err().id(),
        "storage.locked",
        "not beside a running service"
    );
    running.stop().await;
    let active = rotated["root_key"].as_str().unwrap();
    assert_eq!(
        commands::forget_root_key(&storage, active)
            .unwrap_err()
            .id(),
        "root_key.in_use"
    );
    commands::forget_root_key(&storage, old).unwrap();
    let running = world.start().await;
    assert_eq!(
        world.ask(&world.enclave(), &["database"]).await.unwrap(),
        opened
    );
    assert_eq!(restore(&world, &made).await.unwrap_err(), "backup.root_key");
    running.stop().await;
}

#[tokio::test]
async fn under_an_expired_bundle_only_narrowing_goes_on_and_a_successor_gets_in() {
    let world = World::new(vec![KeyRule::usual("database")]);
    let clock = TestClock::at_now();
    let running = world.start_at(clock.clone()).await;
    world.administer(create("database")).await.unwrap();
    clock.advance(31 * DAY);
    let order = |operation| {
        let mut order = world.order(operation);
        for time in [
            &mut order.head.issued,
            &mut order.head.not_before,
            &mut order.head.expires,
        ] {
            time.0 += 31 * DAY;
        }
        world.request(&order, KEEPER, &["alice"], None)
    };
    assert_eq!(
        world.send(&order(create("other"))).await.unwrap_err(),
        "bundle.expired"
    );
    assert!(world.send(&order(disable("database", 1))).await.is_ok());
    let mut next = BundleText::after(world.newest_bundle(), 2, vec![KeyRule::usual("database")]);
    next.issued += 31 * DAY;
    next.expires += 31 * DAY;
    let text = world.bundle_text(&next);
    world
        .deliver(&PolicyDelivery {
            bundles: vec![world.signed(Namespace::Policy, &text, &["bob", "carol"])],
            ..PolicyDelivery::default()
        })
        .await
        .unwrap();
    assert!(world.send(&order(create("other"))).await.is_ok());
    running.stop().await;
}

#[tokio::test]
async fn a_full_database_refuses_everything_and_says_so() {
    let world = World::with_bundle(BundleText::first(vec![KeyRule::usual("database")]), "");
    let mut config = world.config();
    config.storage.max_mebibytes = 1;
    let server = narthex_key_service::server::Server::start(&config)
        .await
        .unwrap();
    let running = Running::new(server);
    world.release("shop", "1.0", "current").await.unwrap();
    world.administer(create("database")).await.unwrap();
    let mut full = false;
    for index in 0..4000 {
        match world.administer(create(&format!("key-{index}"))).await {
            Ok(_) => {}
            Err(reason) => {
                assert_eq!(reason, "storage.full");
                full = true;
                break;
            }
        }
    }
    assert!(full);
    // The last page may have room for a few smaller records yet.
    let mut refused = None;
    for _ in 0..40 {
        refused = world.ask(&world.enclave(), &["database"]).await.err();
        if refused.is_some() {
            break;
        }
    }
    assert_eq!(refused.as_deref(), Some("storage.full"), "no entry, no key");
    let (_, metrics) = running.get("/metrics").await;
    assert!(metrics.contains("reason=\"storage.full\""));
    running.stop().await;
    // With room again, it goes on where it was.
    let running = world.start().await;
    assert!(world.ask(&world.enclave(), &["database"]).await.is_ok());
    running.stop().await;
}

#[tokio::test]
async fn refusals_do_not_use_up_the_last_room() {
    const UNRECORDED: &str = "narthex_refusals_unrecorded_total";
    async fn unrecorded(running: &Running) -> String {
        let (_, page) = running.get("/metrics").await;
        let line = page.lines().find_map(|line| line.strip_prefix(UNRECORDED));
        line.unwrap().trim().to_owned()
    }
    let world = World::with_bundle(BundleText::first(vec![KeyRule::usual("database")]), "");
    let mut config = world.config();
    config.storage.max_mebibytes = 1;
    let server = narthex_key_service::server::Server::start(&config)
        .await
        .unwrap();
    let running = Running::new(server);
    world.release("shop", "1.0", "current").await.unwrap();
    let refused = || async {
        let refused = world.ask(&world.enclave(), &["other"]).await;
        assert_eq!(refused.unwrap_err(), "key.unknown");
    };
    let database = rusqlite::Connection::open(&config.storage.database).unwrap();
    let pages = || -> i64 {
        let pages = database.query_row("PRAGMA page_count", [], |row| row.get(0));
        pages.unwrap()
    };
    refused().await;
    assert_eq!(unrecorded(&running).await, "0");
    let mut index = 0;
    while pages() < 200 {
        index += 1;
        let created = world.administer(create(&format!("key-{index}"))).await;
        assert!(created.is_ok());
    }
    refused().await;
    assert_eq!(unrecorded(&running).await, "1");
    let created = world.administer(create("database")).await;
    assert!(created.is_ok(), "what does something has room");
    running.stop().await;
}

#[tokio::test]
async fn deliveries_are_answered_file_by_file() {
    let (world, running) = usual().await;
    let unsigned = world.release_text("shop", "2.0", "current");
    let good = world.release_text("shop", "2.1", "current");
    let files = PolicyDelivery {
        releases: vec![
            world.signed(Namespace::Release, &good, &["alice", "bob"]),
            world.signed(Namespace::Release, &unsigned, &["alice"]),
        ],
        ..PolicyDelivery::default()
    };
    assert_eq!(
        world.deliver(&files).await.unwrap_err(),
        "release.under_signed"
    );
    let files = PolicyDelivery {
        releases: files.releases[..1].to_vec(),
        ..PolicyDelivery::default()
    };
    let answer = world.deliver(&files).await.unwrap();
    assert_eq!(
        (answer["accepted"].as_u64(), answer["known"].as_u64()),
        (Some(0), Some(1))
    );
    // A stop signed as a release is no stop.
    let text = world.stop_text("keys = [\"database\"]\n");
    let stops = vec![world.signed(Namespace::Release, &text, &["carol"])];
    let refused = world
        .deliver(&PolicyDelivery {
            stops,
            ..PolicyDelivery::default()
        })
        .await;
    assert_eq!(refused.unwrap_err(), "signature.namespace");
    running.stop().await;
    assert!(files.to_bytes().is_ok());
}

/// A person delivers a whole folder, as `narthex policy submit` does, and does so again when a stop has come.
#[tokio::test]
async fn a_folder_delivered_again_brings_what_is_new_in_it() {
    let (world, running) = usual().await;
    let signed = |text: &str| world.signed(Namespace::Release, text, &["alice", "bob"]);
    let mut folder = PolicyDelivery {
        releases: ["current", "previous"]
            .map(|status| signed(&world.release_text("shop", "2.0", status)))
            .into(),
        ..PolicyDelivery::default()
    };
    let answer = world.deliver(&folder).await.unwrap();
    assert_eq!(answer["accepted"].as_u64(), Some(2));
    let stop = world.stop_text("keys = [\"database\"]\n");
    folder.stops = vec![world.signed(Namespace::Stop, &stop, &["carol"])];
    let answer = world.deliver(&folder).await.unwrap();
    assert_eq!(
        (answer["accepted"].as_u64(), answer["known"].as_u64()),
        (Some(1), Some(2))
    );
    assert_eq!(
        world.ask(&world.enclave(), &["database"]).await,
        Err("key.stopped".to_owned())
    );
    // Whatever is refused beside it, a stop gets through.
    let stop = world.stop_text("people = [\"bob\"]\n");
    folder.stops = vec![world.signed(Namespace::Stop, &stop, &["carol"])];
    folder.bundles = vec![world.signed(Namespace::Policy, "no bundle", &["alice", "bob"])];
    assert_eq!(world.deliver(&folder).await.unwrap_err(), "file.malformed");
    folder.bundles.clear();
    folder.releases = vec![signed(&world.release_text("shop", "3.0", "current"))];
    assert_eq!(world.deliver(&folder).await.unwrap_err(), "person.stopped");
    running.stop().await;
}

/// A stop by somebody whom a bundle of the same delivery brings.
#[tokio::test]
async fn a_stop_may_need_the_bundle_beside_it() {
    let (world, running) = usual().await;
    let next = BundleText::after(world.newest_bundle(), 2, vec![KeyRule::usual("database")]);
    let next = world.bundle_text(&next).replace(
        "[stop]\nsigners = [\"alice\", \"bob\", \"carol\"]",
        &format!("[stop]\nsigners = [\"alice\", \"{BYSTANDER}\"]"),
    );
    let text = world.stop_text("keys = [\"database\"]\n");
    let files = PolicyDelivery {
        bundles: vec![world.signed(Namespace::Policy, &next, &["alice", "carol"])],
        stops: vec![world.signed(Namespace::Stop, &text, &[BYSTANDER])],
        ..PolicyDelivery::default()
    };
    let answer = world.deliver(&files).await.unwrap();
    assert_eq!(answer["accepted"].as_u64(), Some(2));
    running.stop().await;
}
