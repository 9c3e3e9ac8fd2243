//! What people submit to the log, who reads it, and what is proved and deleted.
#![cfg(feature = "dev-root")]
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

mod common;
mod witnesses;

use std::{sync::Arc, time::Duration};

use common::*;
use narthex_channel::{
    ArmoredSignature, Digest384, HandshakeHash, Label, Message, Opening, binding_digest,
    diagnostics::SessionStatement,
    policy::{PolicyAnswer, PolicyRequest},
    submissions::{Submission, SubmissionAnswer, SubmissionOutcome},
};
use narthex_ledger::{
    CurrentEntry, Entry, LogReader, OrderEntry, OrderFacts, OrderScope, PersonId, Proof, Trust,
    tokio::{ClientLimits, HttpAddress, HttpLog},
};
use narthex_policy::{
    Action, Namespace, Order, OrderHead, Parameters, PersonName, ProjectName, ReadOrder,
    ReaderTicket, SignedTicket, Targets, UnixMillis, WriteOrder,
};
use serde_json::Value;
use witnesses::Witnesses;

const HOUR: u64 = 3_600_000;
/// Long enough for witnesses on a busy machine: where they are away, that is mostly known without waiting.
const PATIENT: &str = "quorum_timeout_seconds = 5";

fn world(ledger: &str) -> World {
    let bundle = BundleText {
        ledger: format!("{WITHOUT_WITNESSES}{ledger}"),
        ..BundleText::first(vec![KeyRule::usual("db")])
    };
    World::with_bundle(bundle, "")
}

fn trust(world: &World) -> Trust {
    Trust::new(world.log_key.clone(), Vec::new(), 0).unwrap()
}

fn head(requester: &str) -> OrderHead {
    let mut nonce = [0; 16];
    getrandom::fill(&mut nonce).unwrap();
    let now = now_millis();
    OrderHead {
        project: ProjectName::new(PROJECT).unwrap(),
        nonce,
        requester: PersonName::new(requester).unwrap(),
        issued: UnixMillis(now - 1000),
        not_before: UnixMillis(now - 1000),
        expires: UnixMillis(now + HOUR),
    }
}

fn action(name: &str) -> Action {
    let mut all = Action::ALL.iter();
    *all.find(|action| action.to_string() == name).unwrap()
}

fn read_order(requester: &str, actions: &[&str]) -> Vec<u8> {
    let order = Order::Read(ReadOrder {
        head: head(requester),
        actions: actions.iter().map(|name| action(name)).collect(),
        calls: 10,
        targets: Targets {
            module_ids: vec!["i-0123456789abcdef0-enc0123456789abcdef".to_owned()],
            ..Targets::default()
        },
    });
    order.to_toml().into_bytes()
}

fn write_order(requester: &str) -> Vec<u8> {
    let order = Order::Write(WriteOrder {
        head: head(requester),
        action: action("restart-workload"),
        parameters: Parameters::None,
        module_id: "i-0123456789abcdef0-enc0123456789abcdef".to_owned(),
        boot_id: narthex_policy::BootId::from_hex(&"07".repeat(16)).unwrap(),
    });
    order.to_toml().into_bytes()
}

fn submission(world: &World, order: &[u8], signer: &str, approvers: &[&str]) -> Submission {
    let armoured = |text: String| ArmoredSignature::new(&text).unwrap();
    Submission::Order {
        order: order.to_vec(),
        signature: armoured(world.sign(signer, Namespace::Order, order)),
        approvals: approvers
            .iter()
            .map(|who| armoured(world.sign(who, Namespace::Approve, order)))
            .collect(),
    }
}

async fn submit(world: &World, submission: &Submission) -> SubmissionAnswer {
    let opening = Opening::Submissions {
        service: world.service_key,
    };
    let mut connection = world.open("submissions.sock", &opening).await.unwrap();
    connection.send_message(submission).await.unwrap();
    let answer = connection.receive_message().await.unwrap().unwrap();
    let _closed = connection.close().await;
    answer
}

fn reason(answer: &SubmissionAnswer) -> &str {
    match &answer.outcome {
        SubmissionOutcome::Accepted => "accepted",
        SubmissionOutcome::Refused { reason } => reason.as_str(),
    }
}

fn proof(answer: &SubmissionAnswer) -> Proof {
    let proof = answer.log_proof.as_ref().unwrap();
    Proof::parse(std::str::from_utf8(proof).unwrap()).unwrap()
}

/// The leaf as an agent rebuilds it, from what was submitted and what the proof adds.
fn rebuilt(submission: &Submission, proof: &Proof, scope: OrderScope) -> Vec<u8> {
    let Submission::Order {
        order,
        signature,
        approvals,
    } = submission
    else {
        panic!("an order");
    };
    let approvals: Vec<_> = approvals.iter().map(ArmoredSignature::as_str).collect();
    let facts = OrderFacts {
        order,
        signature: signature.as_str().as_bytes(),
        approvals: &approvals,
        requester: PersonId::of(&[0x5a; 32], BYSTANDER),
        scope,
    };
    OrderEntry::accepted_leaf(&facts, proof.extra.as_ref().unwrap()).unwrap()
}

fn leaf(world: &World, index: u64) -> Vec<u8> {
    let index = usize::try_from(index).unwrap();
    serde_json::to_vec(&leaves(world)[index]).unwrap()
}

fn orders(world: &World) -> Vec<Value> {
    leaves(world)
        .into_iter()
        .filter(|entry| entry["type"] == "order")
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_accepted_order_is_proved_and_may_be_submitted_again() {
    let world = world("");
    let running = world.start().await;
    let order = read_order(BYSTANDER, &["health", "uptime"]);
    let submission = submission(&world, &order, BYSTANDER, &[]);
    let first = submit(&world, &submission).await;
    assert_eq!(reason(&first), "accepted");
    let scope = OrderScope::Read {
        actions: vec!["health".to_owned(), "uptime".to_owned()],
    };
    let once = proof(&first);
    let leaf = rebuilt(&submission, &once, scope.clone());
    once.verify(&leaf, &trust(&world)).unwrap();

    // Again, with more in the log: the same entry, a proof of today.
    submit(&world, &common_other(&world)).await;
    let again = submit(&world, &submission).await;
    assert_eq!(reason(&again), "accepted");
    let twice = proof(&again);
    assert_eq!((once.index, &once.extra), (twice.index, &twice.extra));
    assert_ne!(once.checkpoint, twice.checkpoint);
    twice.verify(&leaf, &trust(&world)).unwrap();
    assert_eq!(orders(&world).len(), 2);

    // At the same moment, many times.
    let order = read_order(BYSTANDER, &["health"]);
    let submission = Arc::new(self::submission(&world, &order, BYSTANDER, &[]));
    let world = Arc::new(world);
    let tasks: Vec<_> = (0..16)
        .map(|_| {
            let (world, submission) = (Arc::clone(&world), Arc::clone(&submission));
            tokio::spawn(async move { proof(&submit(&world, &submission).await).index })
        })
        .collect();
    let mut indices = std::collections::BTreeSet::new();
    for task in tasks {
        indices.insert(task.await.unwrap());
    }
    assert_eq!(indices.len(), 1);
    assert_eq!(orders(&world).len(), 3);
    running.stop().await;
    // It is the log that remembers.
    let running = world.start().await;
    assert_eq!(
        proof(&submit(&world, &submission).await).index,
        *indices.first().unwrap()
    );
    running.stop().await;
}

fn common_other(world: &World) -> Submission {
    submission(world, &read_order(BYSTANDER, &["uptime"]), BYSTANDER, &[])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_order_has_a_proof_of_its_refusal_and_may_come_again_with_approvals() {
    let world = world("");
    let running = world.start().await;
    let order = write_order(BYSTANDER);
    let alone = submission(&world, &order, BYSTANDER, &[]);
    let refused = submit(&world, &alone).await;
    assert_eq!(reason(&refused), "order.under_approved");
    let no = proof(&refused);
    assert_eq!(
        no.extra, None,
        "a refusal cannot be taken for the accepted order"
    );
    no.verify(&leaf(&world, no.index), &trust(&world)).unwrap();
    let entry: Value = serde_json::from_slice(&leaf(&world, no.index)).unwrap();
    assert_eq!(entry["outcome"], "refused");
    assert_eq!(entry["enclave"], "i-0123456789abcdef0-enc0123456789abcdef");

    let approved = submission(&world, &order, BYSTANDER, &["alice"]);
    let accepted = submit(&world, &approved).await;
    assert_eq!(reason(&accepted), "accepted");
    let scope = OrderScope::Write {
        action: "restart-workload".to_owned(),
        enclave: "i-0123456789abcdef0-enc0123456789abcdef".to_owned(),
        boot: narthex_ledger::BootId([7; 16]),
    };
    let yes = proof(&accepted);
    let leaf = rebuilt(&approved, &yes, scope);
    yes.verify(&leaf, &trust(&world)).unwrap();
    // The entry covers these approvals, and no others.
    assert_eq!(reason(&submit(&world, &alone).await), "order.reused");
    let more = submission(&world, &order, BYSTANDER, &["alice", "bob"]);
    assert_eq!(reason(&submit(&world, &more).await), "order.reused");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_cannot_be_named_fills_no_log_and_who_can_fills_it_slowly() {
    let world = world("");
    let running = world.start().await;
    let order = read_order(BYSTANDER, &["health"]);
    // Signed by somebody else than it says, or by nobody the policy knows.
    let stranger = narthex_policy::SigningKey::generate_ed25519().unwrap();
    let signature = stranger.sign(Namespace::Order, &order).unwrap();
    let foreign = Submission::Order {
        order: order.clone(),
        signature: ArmoredSignature::new(&signature).unwrap(),
        approvals: Vec::new(),
    };
    for _ in 0..20 {
        let answer = submit(&world, &foreign).await;
        assert!(matches!(answer.outcome, SubmissionOutcome::Refused { .. }));
        assert_eq!(answer.log_proof, None);
    }
    assert!(orders(&world).is_empty());
    let mut proofs = 0;
    for _ in 0..20 {
        let order = read_order("alice", &["health"]);
        let answer = submit(&world, &submission(&world, &order, "alice", &[])).await;
        assert_eq!(reason(&answer), "order.role");
        proofs += usize::from(answer.log_proof.is_some());
    }
    assert_eq!(proofs, 6, "six a minute");
    // Even who may do it cannot do it without end.
    let mut accepted = 0;
    for _ in 0..70 {
        let order = read_order(BYSTANDER, &["health"]);
        let answer = submit(&world, &submission(&world, &order, BYSTANDER, &[])).await;
        match reason(&answer) {
            "accepted" => accepted += 1,
            other => assert_eq!(other, "service.busy"),
        }
    }
    assert_eq!(accepted, 60);
    let mut connection = world
        .open(
            "submissions.sock",
            &Opening::Submissions {
                service: world.service_key,
            },
        )
        .await
        .unwrap();
    connection.send(b"not a submission").await.unwrap();
    let answer: SubmissionAnswer = connection.receive_message().await.unwrap().unwrap();
    assert_eq!(reason(&answer), "request.malformed");
    connection.close().await.unwrap();
    running.stop().await;
    let summary = leaves(&world).pop().unwrap();
    assert_eq!(summary["type"], "summary");
    assert_eq!(summary["counts"]["service.busy"], 10);
}

/// Anybody with an enclave of any kind has genuine documents, and none of them keeps what people were refused out of the log.
#[tokio::test(flavor = "multi_thread")]
async fn strangers_do_not_use_up_the_entries_of_refused_people() {
    let bundle = BundleText {
        ledger: WITHOUT_WITNESSES.to_owned(),
        ..BundleText::first(vec![KeyRule::usual("db")])
    };
    let world = World::with_bundle(bundle, "[limits]\nrecorded_refusals_per_minute = 1");
    let running = world.start().await;
    let mut recorded = 0;
    for index in 0..70_u64 {
        let mut stranger = world.enclave().with_nsm(&format!("{index:016x}"));
        stranger.edit_document = Box::new(|recipe| recipe.payload.set_pcr(3, &stranger_pcr3()));
        let answer = world.ask_for_answer(&stranger, &["db"]).await;
        recorded += usize::from(answer.log_proof.is_some());
    }
    assert!(recorded >= 64, "{recorded}");
    let order = read_order("alice", &["health"]);
    let answer = submit(&world, &submission(&world, &order, "alice", &[])).await;
    assert_eq!(reason(&answer), "order.role");
    assert!(answer.log_proof.is_some());
    running.stop().await;
}

/// A session statement as an agent makes it in a diagnostics session.
fn statement(world: &World, session: [u8; 32], edit: impl Fn(&mut SessionStatement)) -> Submission {
    let enclave = world.enclave();
    let mut said = enclave.statement(now_millis());
    edit(&mut said);
    let statement = said.to_bytes().unwrap().to_vec();
    let session = HandshakeHash::from_bytes(session);
    let digest = binding_digest(Label::DiagnosticsSession, &session, &statement);
    Submission::Statement {
        session,
        document: enclave.document(digest.as_bytes(), now_millis()),
        statement,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn session_statements_are_verified_and_logged_once() {
    let world = world("");
    let running = world.start().await;
    let good = statement(&world, [1; 32], |_| {});
    assert_eq!(reason(&submit(&world, &good).await), "release.unknown");
    world.release("shop", "1.0", "current").await.unwrap();
    let first = submit(&world, &good).await;
    assert_eq!(reason(&first), "accepted");
    let logged = proof(&first);
    let leaf = leaf(&world, logged.index);
    logged.verify(&leaf, &trust(&world)).unwrap();
    let Entry::Statement(entry) = Entry::from_leaf(&leaf).unwrap() else {
        panic!("a statement");
    };
    assert_eq!((entry.accepted, entry.session.0), (0, [1; 32]));
    assert_eq!(proof(&submit(&world, &good).await).index, logged.index);

    let other = statement(&world, [1; 32], |said| said.decisions.accepted = 7);
    assert_eq!(reason(&submit(&world, &other).await), "session.used");
    let liar = statement(&world, [2; 32], |said| {
        said.boot_bundle = Digest384::of(b"other")
    });
    assert_eq!(
        reason(&submit(&world, &liar).await),
        "statement.other_bundle"
    );
    let Submission::Statement {
        document,
        statement,
        ..
    } = good
    else {
        panic!("a statement");
    };
    let moved = Submission::Statement {
        session: HandshakeHash::from_bytes([3; 32]),
        document,
        statement,
    };
    assert_eq!(
        reason(&submit(&world, &moved).await),
        "binding.other_session"
    );
    running.stop().await;
}

fn ticket(world: &World, reader: &str, origin: &str, expires: u64) -> String {
    let ticket = ReaderTicket {
        origin: origin.to_owned(),
        reader: PersonName::new(reader).unwrap(),
        expires: UnixMillis(expires),
    };
    let bytes = ticket.to_toml().unwrap().into_bytes();
    let signature = world.sign(reader, Namespace::ReadLog, &bytes);
    SignedTicket { bytes, signature }.to_header()
}

/// Reads and checks the whole log over HTTP; the number of entries, or why not.
async fn read(world: &World, authorization: Option<String>) -> Result<u64, String> {
    let address = HttpAddress::unix(world.path("log.sock"));
    let trust = trust(world);
    tokio::task::spawn_blocking(move || {
        let log = HttpLog::new(address, authorization.as_deref(), ClientLimits::default())
            .map_err(|error| error.to_string())?;
        let reader = LogReader::open(&log, &trust).map_err(|error| error.id().to_owned())?;
        reader
            .verify_all(2, |_, leaf| Entry::from_leaf(leaf).map(drop))
            .map_err(|error| error.to_string())?;
        let seen = reader.size();
        for index in [0, seen - 1] {
            let entry = Entry::from_leaf(&reader.entry(index).unwrap()).unwrap();
            for digest in entry.evidence() {
                reader.evidence(&digest).unwrap().unwrap();
            }
        }
        Ok(seen)
    })
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_read_by_those_whom_the_bundle_names() {
    let world = world("readers = [\"carol\"]\n");
    let running = world.start().await;
    for _ in 0..5 {
        submit(&world, &common_other(&world)).await;
    }
    let soon = now_millis() + HOUR;
    let size = entries(&world).len() as u64;
    let good = ticket(&world, "carol", ORIGIN, soon);
    assert_eq!(read(&world, Some(good)).await, Ok(size));
    for (authorization, why) in [
        (None, "nothing"),
        (Some("Bearer x".to_owned()), "another scheme"),
        (Some(ticket(&world, "alice", ORIGIN, soon)), "not a reader"),
        (
            Some(ticket(&world, "carol", "example.com/other", soon)),
            "another log",
        ),
        (
            Some(ticket(&world, "carol", ORIGIN, now_millis() - 1000)),
            "expired",
        ),
        (
            Some(ticket(&world, "carol", ORIGIN, now_millis() + 13 * HOUR)),
            "too long",
        ),
    ] {
        assert_eq!(
            read(&world, authorization).await,
            Err("log.forbidden".to_owned()),
            "{why}"
        );
    }
    // A reader who is stopped reads nothing more.
    world.stop("people = [\"carol\"]\n").await.unwrap();
    let stopped = read(&world, Some(ticket(&world, "carol", ORIGIN, soon))).await;
    assert_eq!(stopped, Err("log.forbidden".to_owned()));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_reads_a_log_that_is_for_everybody_and_it_adds_up_at_every_size() {
    let world = Arc::new(world("anyone_may_read = true\n"));
    with_key(&world).await;
    let running = world.start().await;
    for round in 0..4 {
        let tasks: Vec<_> = (0..80)
            .map(|_| {
                let world = Arc::clone(&world);
                tokio::spawn(async move { world.ask(&world.enclave(), &["db"]).await.unwrap() })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        let seen = read(&world, None).await.unwrap();
        assert!(seen >= (round + 1) * 80, "{seen}");
    }
    running.stop().await;
}

async fn with_key(world: &World) {
    let running = world.start().await;
    world.release("shop", "1.0", "current").await.unwrap();
    world.administer(create("db")).await.unwrap();
    running.stop().await;
}

async fn currency(world: &World) -> Option<Proof> {
    let mut connection = world.open("policy.sock", &Opening::Policy).await.unwrap();
    connection
        .send_message(&PolicyRequest::default())
        .await
        .unwrap();
    let answer: PolicyAnswer = connection.receive_message().await.unwrap().unwrap();
    let proof = answer.currency?;
    Some(Proof::parse(std::str::from_utf8(&proof).unwrap()).unwrap())
}

fn check_currency(proof: &Proof, bundle: &[u8], version: u64, trust: &Trust) -> u64 {
    let digest = narthex_ledger::Digest384::of(bundle);
    let leaf =
        CurrentEntry::accepted_leaf(&digest, version, proof.extra.as_ref().unwrap()).unwrap();
    let seen = proof.verify(&leaf, trust).unwrap();
    assert_eq!(
        proof.index + 1,
        seen.checkpoint().size,
        "nothing later was seen"
    );
    seen.fresh_at().unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_proof_that_a_bundle_is_in_force_survives_load_and_follows_the_policy() {
    let mut witnesses = Witnesses::new(2);
    let bundle = BundleText {
        ledger: witnesses.ledger(2, ""),
        ..BundleText::first(vec![KeyRule::usual("db")])
    };
    let mut world = World::with_bundle(bundle, &witnesses.config(PATIENT));
    witnesses.start_all(&world.log_key).await;
    let keys = (0..2).map(|number| witnesses.key(number).verifier_key());
    let trust = Trust::new(world.log_key.clone(), keys.collect(), 2).unwrap();
    let running = world.start().await;
    world.release("shop", "1.0", "current").await.unwrap();
    world.administer(create("db")).await.unwrap();
    let before = currency(&world).await.unwrap();
    check_currency(&before, &world.bundles[0], 1, &trust);

    // A lot goes on while the policy changes.
    let shared = Arc::new(world);
    let load: Vec<_> = (0..8)
        .map(|_| {
            let world = Arc::clone(&shared);
            tokio::spawn(async move {
                for _ in 0..25 {
                    let _answer = world.ask(&world.enclave(), &["db"]).await;
                }
            })
        })
        .collect();
    let next = shared.bundle_text(&BundleText {
        ledger: witnesses.ledger(2, ""),
        ..BundleText::after(&shared.bundles[0], 2, vec![KeyRule::usual("db")])
    });
    shared.deliver_bundle(&next).await;
    let mut found = None;
    for _ in 0..100 {
        // Never an older bundle's proof beside a newer bundle.
        if let Some(proof) = currency(&shared).await {
            check_currency(&proof, next.as_bytes(), 2, &trust);
            found = Some(proof);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for task in load {
        task.await.unwrap();
    }
    let fresh = check_currency(&found.unwrap(), next.as_bytes(), 2, &trust);
    assert!(fresh.abs_diff(now_millis() / 1000) < 60);
    let after = currency(&shared).await.unwrap();
    check_currency(&after, next.as_bytes(), 2, &trust);
    world = Arc::into_inner(shared).unwrap();
    running.stop().await;
    drop(world);
}

#[tokio::test(flavor = "multi_thread")]
async fn old_evidence_is_deleted_and_the_log_says_so() {
    let bundle = BundleText {
        ledger: WITHOUT_WITNESSES.to_owned() + "anyone_may_read = true\n",
        ..BundleText::first(vec![KeyRule::usual("db")])
    };
    let world = World::with_bundle(bundle, "[ledger]\nevidence_days = 10");
    let running = world.start().await;
    let order = read_order(BYSTANDER, &["health"]);
    let submitted = submission(&world, &order, BYSTANDER, &[]);
    submit(&world, &submitted).await;
    running.stop().await;
    assert!(!leaves(&world).iter().any(|each| each["type"] == "purge"));
    let database = std::fs::read(world.path("keys.sqlite")).unwrap();
    assert!(database.windows(order.len()).any(|part| part == order));

    let clock = TestClock::at_now();
    clock.advance(11 * DAY);
    let running = world.start_at(clock).await;
    let mut purge = None;
    for _ in 0..100 {
        let mut all = leaves(&world).into_iter();
        purge = all.find(|each| each["type"] == "purge");
        if purge.is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let purge = purge.unwrap();
    assert_eq!(
        (&purge["count"], &purge["kinds"][0]),
        (&Value::from(1), &Value::from("order"))
    );
    // Nor does the order stand in the files any more, which is a moment later than the entry shows.
    let stands_in_files = || {
        let files = ["keys.sqlite", "keys.sqlite-wal"].map(|name| world.path(name));
        let content = files.map(|path| std::fs::read(path).unwrap_or_default());
        let holds = |bytes: &Vec<u8>| bytes.windows(order.len()).any(|part| part == order);
        content.iter().any(holds)
    };
    for _ in 0..100 {
        if !stands_in_files() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(!stands_in_files());
    // What it was decided on is gone, so it cannot be said any more whether this is the same.
    assert_eq!(reason(&submit(&world, &submitted).await), "order.reused");
    running.stop().await;
    let findings = narthex_key_service::commands::check(&world.config().storage).unwrap();
    assert_eq!(
        (findings.evidence.purged, findings.evidence.altered.len()),
        (1, 0)
    );
    let running = world.start().await;
    running.stop().await;
}
