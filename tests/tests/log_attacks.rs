//! What the log's operator, its host, and whoever stole a key can try against it; who notices, and by which reason.
//! What the programs do one by one is tested in their rooms: here they stand together, as people run them.

// A scenario panics when something is not as it should be: that is how it says so.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used
)]

use std::fs;
use std::path::Path;

use narthex_channel::diagnostics::{FieldName, State, Value};
use narthex_channel::policy::PolicyAnswer;
use narthex_ledger::mock::MockLog;
use narthex_ledger::{
    AddCheckpoint, CurrentEntry, Entry, Folder, KeyKind, LogReader, LogStore, Proof, Resource,
    SignedNote, SigningKey, encode_entries, parse_entries, sign_checkpoint,
};
use narthex_nsm::mock::{Fault, FaultKind};
use narthex_policy::Action;
use narthex_tests::lab::agent::Agent;
use narthex_tests::lab::enclave::Enclave;
use narthex_tests::lab::orders::now;
use narthex_tests::lab::process::{Process, Said, await_true};
use narthex_tests::lab::service::page;
use narthex_tests::lab::witness::ours;
use narthex_tests::lab::{Lab, Setup};
use narthex_tests::operator::{Paper, What, outcome};

fn health(counter: u64) -> What {
    What::plain(Action::Health, counter)
}

/// What an agent says to a call of Olga's under this order.
fn decided(lab: &Lab, agent: &Agent, paper: &Paper, what: What) -> String {
    outcome(&lab.call(agent, "olga", paper, what)).to_owned()
}

fn proof_of(bytes: &[u8]) -> Proof {
    Proof::parse(std::str::from_utf8(bytes).expect("text")).expect("a proof")
}

fn with_proof(paper: &Paper, proof: &Proof) -> Paper {
    Paper {
        log_proof: Some(proof.to_string().into_bytes()),
        ..paper.clone()
    }
}

/// The leaves of a log in a folder, all in one bundle.
fn leaves(log: &Path) -> (Resource, Vec<Vec<u8>>) {
    let folder = Folder::open(log).expect("a log");
    let note = folder.get(&Resource::Checkpoint).unwrap().unwrap();
    let note = SignedNote::parse(std::str::from_utf8(&note).unwrap()).unwrap();
    let size: u16 = note.text().lines().nth(1).unwrap().parse().unwrap();
    assert!(size < 256, "a small log");
    let bundle = Resource::Entries {
        index: 0,
        width: size,
    };
    let bytes = folder.get(&bundle).unwrap().expect("its entries");
    let entries = parse_entries(&bytes, size).unwrap();
    (bundle, entries.into_iter().map(<[u8]>::to_vec).collect())
}

/// A log of these leaves with the lab's own log key: what a thief of it could show, with whatever witnesses' keys.
fn forge(lab: &Lab, name: &str, leaves: &[Vec<u8>], witnesses: Vec<SigningKey>) -> MockLog {
    let key = lab.stolen_log_key();
    let mut log = MockLog::with_keys(lab.path(name), key, witnesses).expect("a folder");
    for leaf in leaves {
        log.append_leaf(leaf).expect("a leaf");
    }
    log.publish(now().0 / 1000).expect("published");
    log
}

/// The witness's private key, for when it is in league with the log's operator.
fn stolen_witness_key(lab: &Lab, name: &str) -> SigningKey {
    let text = fs::read_to_string(lab.path(&format!("{name}.key"))).expect("a key");
    SigningKey::parse(text.trim()).expect("a signing key")
}

/// Something new in the log.
fn grow(lab: &Lab) {
    let _ = lab.read_order("olga");
}

#[test]
fn a_proof_of_a_refused_order_opens_nothing() {
    let lab = Lab::start();
    let enclave = lab.enclave("one");
    let agent = lab.ready_agent("agent", &enclave);
    let statement = agent.session().statement();
    let restart = What::plain(Action::RestartWorkload, 0);
    let order = |approvers: &[&str]| {
        lab.unlogged_write_order("olga", Action::RestartWorkload, &statement, approvers)
    };

    let paper = order(&[]);
    let (reason, proof) = lab.submit_order(&paper);
    assert_eq!(reason, "order.under_approved");
    let refused = proof_of(&proof.expect("an attributable refusal is an entry, and proved"));
    // Bob approves afterwards, and nobody submits it again.
    let approved = Paper {
        approvals: vec![
            lab.people
                .sign("bob", narthex_policy::Namespace::Approve, &paper.order),
        ],
        ..paper
    };
    let decide = |proof: &Proof| decided(&lab, &agent, &with_proof(&approved, proof), restart);
    assert_eq!(decide(&refused), "log.entry");
    // The refusal dressed up as an acceptance, with what an accepted order's proof says.
    let accepted = proof_of(&lab.logged(order(&["bob"])).log_proof.unwrap());
    let dressed = Proof {
        extra: accepted.extra.clone(),
        ..refused
    };
    assert_eq!(decide(&dressed), "log.inclusion");
    assert_eq!(decide(&accepted), "log.inclusion");
    assert_eq!(
        decided(&lab, &agent, &approved, restart),
        "log.proof_missing"
    );
    // Submitted again with its approval it is accepted, and done.
    assert_eq!(
        decided(&lab, &agent, &lab.logged(approved), restart),
        "done"
    );
    // What a stranger signed is no entry of its own.
    let (reason, proof) = lab.submit_order(&lab.unlogged_read_order("mallory", |_| ()));
    assert_eq!((reason.as_str(), proof), ("signature.unknown_signer", None));
}

#[test]
fn a_proof_is_good_for_one_order_with_its_signatures_and_its_enclave() {
    let lab = Lab::start();
    let (one, two) = (lab.enclave("one"), lab.enclave("two"));
    let (agent, other) = (
        lab.ready_agent("agent", &one),
        lab.ready_agent("other", &two),
    );
    let first = lab.read_order("olga");
    let second = lab.unlogged_read_order("olga", |_| ());
    let lent = proof_of(first.log_proof.as_ref().unwrap());
    assert_eq!(
        decided(&lab, &agent, &with_proof(&second, &lent), health(0)),
        "log.inclusion"
    );
    assert_eq!(decided(&lab, &agent, &first, health(0)), "done");

    // Another enclave, by an order that differs in nothing else.
    let restart = What::plain(Action::RestartWorkload, 0);
    let order = |agent: &Agent| {
        let statement = agent.session().statement();
        lab.unlogged_write_order("olga", Action::RestartWorkload, &statement, &["bob"])
    };
    let here = lab.logged(order(&agent));
    let lent = proof_of(here.log_proof.as_ref().unwrap());
    assert_eq!(
        decided(&lab, &other, &with_proof(&order(&other), &lent), restart),
        "log.inclusion"
    );
    assert_eq!(decided(&lab, &other, &here, restart), "order.wrong_enclave");
    // An approval that was not logged with it.
    let more = Paper {
        approvals: [
            here.approvals.clone(),
            vec![
                lab.people
                    .sign("carol", narthex_policy::Namespace::Approve, &here.order),
            ],
        ]
        .concat(),
        ..here.clone()
    };
    assert_eq!(decided(&lab, &agent, &more, restart), "log.inclusion");
    assert_eq!(decided(&lab, &agent, &here, restart), "done");
    assert_eq!(decided(&lab, &agent, &here, restart), "call.counter_reused");
}

#[test]
fn a_request_that_is_submitted_twice_is_one_entry() {
    let lab = Lab::start();
    let paper = lab.unlogged_read_order("olga", |_| ());
    let count = |lab: &Lab| {
        let entries = lab.entries();
        entries
            .iter()
            .filter(|entry| matches!(entry, Entry::Order(_)))
            .count()
    };
    let indexes: Vec<u64> = std::thread::scope(|scope| {
        let submit = || {
            let (outcome, proof) = lab.submit_order(&paper);
            assert_eq!(outcome, "accepted");
            proof_of(&proof.unwrap()).index
        };
        let all: Vec<_> = (0..8).map(|_| scope.spawn(submit)).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert!(
        indexes.iter().all(|index| *index == indexes[0]),
        "{indexes:?}"
    );
    assert_eq!(count(&lab), 1);
    // With other signatures it is not the same request, and the entry does not cover it.
    let approvals = vec![
        lab.people
            .sign("bob", narthex_policy::Namespace::Approve, &paper.order),
    ];
    let (reason, _) = lab.submit_order(&Paper { approvals, ..paper });
    assert_eq!(reason, "order.reused");
    assert_eq!(count(&lab), 1);
}

#[test]
fn a_frozen_or_foreign_word_about_the_policy_boots_nothing() {
    let lab = Lab::start();
    let second = lab.policy_answer();
    lab.succeed(&[], |_| (), &["alice", "bob"]);
    let third = lab.policy_answer();
    assert_ne!(second.currency, third.currency);
    // The entry about bundle 3, proved under a checkpoint in which it is not the last.
    grow(&lab);
    let not_last = {
        let (store, trust) = (lab.log_store(), lab.trust(1));
        let _ = lab.trusted_checkpoint();
        let reader = LogReader::open(&*store, &trust).expect("a cosigned log");
        let entries = lab.entries();
        let current = |entry: &Entry| match entry {
            Entry::Current(entry) if entry.version == 3 => Some(*entry),
            _ => None,
        };
        let index = entries
            .iter()
            .rposition(|entry| current(entry).is_some())
            .unwrap();
        let entry: CurrentEntry = current(&entries[index]).unwrap();
        let extra = Some(entry.extra().to_bytes().unwrap());
        let proof = reader.prove(u64::try_from(index).unwrap(), extra).unwrap();
        proof.to_string().into_bytes()
    };
    let with = |files: &PolicyAnswer, currency: Option<Vec<u8>>| PolicyAnswer {
        currency,
        ..files.clone()
    };
    let forged = {
        let proof = proof_of(third.currency.as_ref().unwrap());
        let key = SigningKey::generate("lab.example/log", KeyKind::Log).unwrap();
        let head = lab.trusted_checkpoint().checkpoint().clone();
        let checkpoint = sign_checkpoint(&head, &key).unwrap();
        Proof {
            checkpoint,
            ..proof
        }
        .to_string()
        .into_bytes()
    };
    let uncosigned = {
        let mut proof = proof_of(third.currency.as_ref().unwrap());
        proof.checkpoint = proof
            .checkpoint
            .with_only(|line| line.name() == "lab.example/log");
        proof.to_string().into_bytes()
    };
    for (name, answer, reason) in [
        ("none", with(&third, None), "log.proof_missing"),
        // The older bundle, which was in force: with the newer one's proof, and with its own beside the newer one.
        (
            "older",
            with(&second, third.currency.clone()),
            "log.inclusion",
        ),
        (
            "swapped",
            with(&third, second.currency.clone()),
            "log.not_current",
        ),
        ("not-last", with(&third, Some(not_last)), "log.not_last"),
        ("forged", with(&third, Some(forged)), "log.signature"),
        ("uncosigned", with(&third, Some(uncosigned)), "log.quorum"),
    ] {
        let enclave = lab.enclave(name);
        let _answer = lab.policy_source(&format!("{name}.sock"), answer);
        let mut plan = lab.plan(&enclave);
        plan.policy = lab.address(&format!("{name}.sock"));
        let mut agent = lab.agent(&format!("agent-{name}"), &plan);
        refuses_to_boot(&mut agent.process, reason);
        let pcr16 = narthex_nsm::Nsm::describe_pcr(&*enclave.nsm, 16).expect("PCR16");
        assert!(!pcr16.locked, "{name}");
    }
    // A day later the same answer is frozen, and a day too early it is from the future.
    let hours = 3_600_000;
    for (name, shift, reason) in [
        ("frozen", 25 * hours, "log.stale"),
        ("early", -25 * hours, "log.future"),
    ] {
        // The signatures of the policy are good from a minute before their time at most.
        let enclave = lab.enclave(name);
        enclave
            .nsm
            .inject(Fault::always(FaultKind::ClockShift(shift)));
        let mut agent = lab.agent(&format!("agent-{name}"), &lab.plan(&enclave));
        if shift > 0 {
            refuses_to_boot(&mut agent.process, reason);
        } else {
            // Bundles are not valid yet then: that is said first.
            agent
                .process
                .await_text("no acceptable policy: bundle.not_yet_valid");
        }
    }
}

fn refuses_to_boot(agent: &mut Process, reason: &str) {
    let words = format!("the log does not show that this policy is in force: {reason}\n");
    agent.await_text(&words);
    assert!(!agent.log().contains("PCR16 names it"), "{}", agent.log());
}

#[test]
fn without_cosignatures_nothing_leaves_and_running_work_goes_on() {
    let mut lab = Lab::start();
    let enclave = lab.enclave("one");
    let agent = lab.ready_agent("agent", &enclave);
    lab.begin_shift("olga", &enclave);
    let read = lab.read_order("olga");
    lab.witnesses[0].kill();

    // The first order finds out that the witness is away; after that nothing is even written down.
    let (reason, proof) = lab.submit_order(&lab.unlogged_read_order("olga", |_| ()));
    assert_eq!((reason.as_str(), proof), ("log.quorum", None));
    let entries = lab.entries().len();
    let (reason, _) = lab.submit_order(&lab.unlogged_read_order("olga", |_| ()));
    assert_eq!(reason, "log.quorum");
    let late = lab.enclave("late");
    let mut waiting = lab.agent("late", &lab.plan(&late)).listening();
    waiting
        .process
        .await_texts("keys were not received: log.quorum", 2);
    assert_eq!(lab.entries().len(), entries);
    // What people do to keys is logged and done: to disable one must be possible when a witness is away.
    lab.keys(&["create", "another"]).done();
    let ready = page(lab.service.as_ref().unwrap(), "/readyz");
    assert!(ready.starts_with("HTTP/1.1 503"), "{ready}");
    assert!(
        ready.contains("log.quorum") && ready.contains("lab.example/witness"),
        "{ready}"
    );

    // The host strips the cosignatures off a good proof: to an agent that is a log nobody has seen.
    let mut proof = proof_of(read.log_proof.as_ref().unwrap());
    proof.checkpoint = proof
        .checkpoint
        .with_only(|line| line.name() == "lab.example/log");
    assert_eq!(
        decided(&lab, &agent, &with_proof(&read, &proof), health(0)),
        "log.quorum"
    );
    // Work that was logged before goes on.
    assert_eq!(decided(&lab, &agent, &read, health(0)), "done");
    let body = lab.read(&agent, Action::Health);
    assert_eq!(
        body.value(FieldName::HealthState),
        Some(Value::State(State::Running))
    );

    // The witness is back: nobody else has to do anything.
    lab.witnesses[0].start();
    waiting.process.await_text("keys were received");
    await_true("the service is ready", || {
        page(lab.service.as_ref().unwrap(), "/readyz").starts_with("HTTP/1.1 200")
    });
    let _ = lab.read_order("olga");
}

#[test]
fn a_checkpoint_by_another_key_counts_nowhere() {
    let lab = Lab::start();
    let enclave = lab.enclave("one");
    let agent = lab.ready_agent("agent", &enclave);
    let paper = lab.read_order("olga");
    let exported = lab.export("exported");
    let (_, all) = leaves(&exported);
    // Another key under the same name, and the witness's own key in the log's place.
    let key = SigningKey::generate("lab.example/log", KeyKind::Log).unwrap();
    let mut forged = MockLog::with_keys(lab.path("forged"), key, Vec::new()).unwrap();
    for leaf in &all {
        forged.append_leaf(leaf).unwrap();
    }
    let note = forged.publish(now().0 / 1000).unwrap();
    // The agent.
    let mut proof = proof_of(paper.log_proof.as_ref().unwrap());
    proof.checkpoint = note.clone();
    assert_eq!(
        decided(&lab, &agent, &with_proof(&paper, &proof), health(0)),
        "log.signature"
    );
    // The reader.
    fs::write(exported.join("checkpoint"), note.to_string()).unwrap();
    lab.log("verify", "exported", &[]).refused("log.signature");
    // The witness.
    let request = AddCheckpoint {
        old_size: 0,
        proof: Vec::new(),
        checkpoint: note,
    };
    assert_eq!(lab.witnesses[0].ask(&request.to_body()).0, 403);
    assert_eq!(decided(&lab, &agent, &paper, health(0)), "done");
}

#[test]
fn entries_that_were_dropped_changed_or_reordered_are_noticed_by_every_reader() {
    let lab = Lab::start();
    for _ in 0..3 {
        grow(&lab);
    }
    let exported = lab.export("exported");
    let (bundle, all) = leaves(&exported);
    let folder = Folder::open(&exported).unwrap();
    let verify = |log: &str| lab.log("verify", log, &[]);
    verify("exported").done();
    let orders: Vec<usize> = (0..all.len())
        .filter(|index| matches!(Entry::from_leaf(&all[*index]), Ok(Entry::Order(_))))
        .collect();
    let (first, second) = (orders[0], orders[1]);
    let mut changed = all.clone();
    // Another person asked: the same length, and still an entry.
    let text = String::from_utf8(changed[first].clone()).unwrap();
    let at = text.find("\"requester\":\"p-").expect("a requester") + 15;
    changed[first][at] = if changed[first][at] == b'0' {
        b'1'
    } else {
        b'0'
    };
    assert!(Entry::from_leaf(&changed[first]).is_ok());
    let mut reordered = all.clone();
    reordered.swap(first, second);
    let mut dropped = all.clone();
    dropped.remove(first);
    let mut doubled = dropped.clone();
    doubled.insert(second, all[second].clone());
    for (name, entries) in [
        ("changed", &changed),
        ("reordered", &reordered),
        ("dropped-and-filled", &doubled),
    ] {
        folder
            .put(&bundle, &encode_entries(entries).unwrap())
            .unwrap();
        let said = verify("exported");
        said.refused("log.entries");
        let audit = [
            "audit", "exported", "--policy", "policy", "--root", "root.der",
        ];
        lab.narthex(&audit).refused("log.entries");
        // Who reads single entries notices as well.
        let said = lab.log("search", "exported", &["--type", "order"]);
        assert_eq!(said.code, Some(1), "{name}: {said:#?}");
    }
    folder
        .put(&bundle, &encode_entries(&dropped).unwrap())
        .unwrap();
    verify("exported").refused("log.malformed");
    folder.put(&bundle, &encode_entries(&all).unwrap()).unwrap();
    verify("exported").done();

    // The operator of the log makes the tree anew and signs it. No witness cosigns that.
    for (name, entries) in [
        ("changed", &changed),
        ("reordered", &reordered),
        ("dropped", &dropped),
    ] {
        let log = forge(&lab, name, entries, Vec::new());
        verify(name).refused("log.quorum");
        // Asked, the witness knows what it saw.
        let head = log.checkpoint();
        let note = sign_checkpoint(&head, &lab.stolen_log_key()).unwrap();
        let request = AddCheckpoint {
            old_size: 0,
            proof: Vec::new(),
            checkpoint: note,
        };
        let (status, body) = lab.witnesses[0].ask(&request.to_body());
        assert_eq!(status, 409, "{name}: {body}");
    }
    // Even with the witness's own key, whoever has seen the true log, or kept a checkpoint of it, is not deceived.
    let stolen = || vec![stolen_witness_key(&lab, "witness")];
    forge(&lab, "changed-cosigned", &changed, stolen());
    forge(&lab, "dropped-cosigned", &dropped, stolen());
    verify("changed-cosigned").refused("log.forked");
    verify("dropped-cosigned").refused("log.behind");
    let stranger = lab.path("stranger");
    fs::create_dir(&stranger).unwrap();
    let at = |log: &str, more: &[&str]| {
        let (log, policy) = (lab.path(log), lab.path("policy"));
        let common = [
            "log",
            "verify",
            log.to_str().unwrap(),
            "--policy",
            policy.to_str().unwrap(),
        ];
        Said::by(
            &stranger,
            &lab.programs.narthex(),
            &[&common, more].concat(),
        )
    };
    // Somebody who never saw the log has nothing to compare with: that is what witnesses are for.
    at("changed-cosigned", &[]).done();
    fs::remove_dir_all(stranger.join("state")).unwrap();
    fs::write(
        stranger.join("kept"),
        fs::read(exported.join("checkpoint")).unwrap(),
    )
    .unwrap();
    at("changed-cosigned", &["--older", "kept"]).refused("log.forked");
}

#[test]
fn a_database_that_was_put_back_is_not_served() {
    let mut lab = Lab::start();
    grow(&lab);
    lab.stop_service();
    let files = ["keys.sqlite"];
    let old = files.map(|file| fs::read(lab.path(file)).unwrap());
    lab.start_service();
    grow(&lab);
    lab.stop_service();
    let put_back = |lab: &Lab| {
        for (file, bytes) in files.iter().zip(&old) {
            fs::write(lab.path(file), bytes).unwrap();
        }
        for rest in ["keys.sqlite-wal", "keys.sqlite-shm"] {
            let _ = fs::remove_file(lab.path(rest));
        }
    };
    let run = |lab: &Lab| {
        let arguments = ["run", "--config", "service.toml"];
        Said::by(lab.folder(), &lab.programs.key_service(), &arguments)
    };

    put_back(&lab);
    let said = run(&lab);
    said.refused("log.behind");
    assert!(
        said.err.contains("lab.example/witness") && said.err.contains("catch-up"),
        "{said:#?}"
    );
    // The database can be looked at; nothing is wrong with it but its age.
    let check = ["check", "--config", "service.toml"];
    Said::by(lab.folder(), &lab.programs.key_service(), &check).done();

    // With the witness kept away it serves nothing that needs a proof, and it ends when the witness is back.
    lab.witnesses[0].stop();
    lab.start_service();
    let (reason, _) = lab.submit_order(&lab.unlogged_read_order("olga", |_| ()));
    assert_eq!(reason, "log.quorum");
    assert_eq!(lab.ask_policy(0).unwrap().currency, None);
    lab.witnesses[0].start();
    let mut service = lab.service.take().unwrap();
    assert_eq!(service.exit_code(), Some(1));
    assert!(service.log().contains("log.behind"), "{}", service.log());
}

#[test]
fn two_logs_for_two_readers_meet_at_a_witness() {
    let setup = Setup {
        witnesses: vec![ours("east"), ours("west")],
        ..Setup::dev()
    };
    let mut lab = Lab::with(setup).furnish(&[], |_| ());
    // Both witnesses have seen the beginning.
    let _ = lab.trusted_checkpoint();
    lab.stop_service();
    let old = fs::read(lab.path("keys.sqlite")).unwrap();
    // One past for those who rely on the east …
    lab.witnesses[1].kill();
    lab.start_service();
    grow(&lab);
    let east = lab.export("east-log");
    lab.stop_service();
    lab.witnesses[0].kill();
    // … and another for those who rely on the west, from a copy of the same database.
    fs::write(lab.path("keys.sqlite"), old).unwrap();
    lab.witnesses[1].start();
    lab.start_service();
    for _ in 0..3 {
        grow(&lab);
    }
    // Whoever has read the eastern log sees it; its kept checkpoint is enough.
    for command in ["show", "follow"] {
        let log = lab.log_address();
        let said = match command {
            "follow" => lab.log("follow", &log, &["--for", "1s"]),
            _ => lab.log("verify", &log, &["--older", "east-log/checkpoint"]),
        };
        said.refused("log.consistency");
    }
    assert!(east.join("checkpoint").exists());
    // What anybody could ask the eastern witness, to learn what it knows.
    let checkpoint = fs::read_to_string(east.join("checkpoint")).unwrap();
    let request = AddCheckpoint {
        old_size: 0,
        proof: Vec::new(),
        checkpoint: SignedNote::parse(&checkpoint).unwrap(),
    };
    fs::write(lab.path("early.request"), request.to_body()).unwrap();
    // The moment both witnesses can be asked, the service has to end.
    lab.witnesses[0].start();
    let mut service = lab.service.take().unwrap();
    assert_eq!(service.exit_code(), Some(1));
    assert!(service.log().contains("log.forked"), "{}", service.log());
    let said = lab.witnesses[0].said();
    assert!(said.contains("refused lab.example/log"), "{said}");

    // Same size, other root: the witness says so aloud, and keeps both checkpoints.
    let (_, mut all) = leaves(&east);
    let (_, known) = lab.witnesses[0].ask(&fs::read_to_string(lab.path("early.request")).unwrap());
    all.resize(known.trim().parse().expect("a size"), Vec::new());
    *all.last_mut().unwrap() = b"another last entry".to_vec();
    let log = forge(&lab, "third", &all, Vec::new());
    let checkpoint = sign_checkpoint(&log.checkpoint(), &lab.stolen_log_key()).unwrap();
    let request = AddCheckpoint {
        old_size: log.checkpoint().size,
        proof: Vec::new(),
        checkpoint,
    };
    let (status, _) = lab.witnesses[0].ask(&request.to_body());
    assert_eq!(status, 409);
    let said = lab.witnesses[0].said();
    assert!(said.contains("HAS FORKED"), "{said}");
}

#[test]
fn an_older_checkpoint_is_taken_by_nobody_who_saw_a_newer_one() {
    let lab = Lab::start();
    let older = lab.export("older");
    let kept = fs::read_to_string(older.join("checkpoint")).unwrap();
    for _ in 0..2 {
        grow(&lab);
    }
    let _ = lab.export("newer");
    // The reader who has seen the newer one; an older copy can still be read when that is meant.
    lab.log("verify", "newer", &["--older", "older/checkpoint"])
        .done();
    for command in ["show", "verify", "search"] {
        lab.log(command, "older", &[]).refused("log.behind");
    }
    lab.log("verify", "older", &["--older-copy"]).done();
    // The mirror: what it has stays.
    lab.log("mirror", "newer", &["mirror", "--once"]).done();
    let said = lab.log("mirror", "older", &["mirror", "--once", "--older-copy"]);
    said.refused("log.behind");
    assert_eq!(
        fs::read(lab.path("mirror/checkpoint")).unwrap(),
        fs::read(lab.path("newer/checkpoint")).unwrap()
    );
    // The witness answers with what it knows.
    let request = AddCheckpoint {
        old_size: 0,
        proof: Vec::new(),
        checkpoint: SignedNote::parse(&kept).unwrap(),
    };
    let (status, body) = lab.witnesses[0].ask(&request.to_body());
    assert_eq!(status, 409);
    let known: u64 = body.trim().parse().expect("the size that it knows");
    assert!(known >= lab.trusted_checkpoint().checkpoint().size);
}

#[test]
fn evidence_that_was_altered_or_taken_away_is_noticed() {
    let lab = Lab::start();
    let enclave = lab.enclave("one");
    let agent = lab.ready_agent("agent", &enclave);
    assert_eq!(lab.write(&agent, Action::ReloadKeys, &["bob"]), "done");
    let exported = lab.export("exported");
    let verify = || lab.log("verify", "exported", &["--evidence"]);
    let audit = || {
        lab.narthex(&[
            "audit", "exported", "--policy", "policy", "--root", "root.der",
        ])
    };
    verify().done();
    audit().done();
    let mut pieces: Vec<_> = walk(&exported.join("evidence"));
    pieces.sort();
    assert!(pieces.len() >= 6, "{pieces:?}");
    for piece in &pieces {
        let good = fs::read(piece).unwrap();
        let mut bad = good.clone();
        let middle = bad.len() / 2;
        bad[middle] ^= 1;
        fs::write(piece, &bad).unwrap();
        verify().refused("log.evidence");
        audit().refused("log.evidence");
        fs::remove_file(piece).unwrap();
        verify().refused("log.evidence");
        fs::write(piece, &good).unwrap();
    }
    verify().done();
    // Two pieces swapped: each is genuine, and in the wrong place.
    let (a, b) = (fs::read(&pieces[0]).unwrap(), fs::read(&pieces[1]).unwrap());
    fs::write(&pieces[0], &b).unwrap();
    fs::write(&pieces[1], &a).unwrap();
    verify().refused("log.evidence");
    audit().refused("log.evidence");
}

fn walk(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder").flatten();
    entries
        .flat_map(|entry| match entry.path() {
            path if path.is_dir() => walk(&path),
            path => vec![path],
        })
        .collect()
}

/// A statement of a session is the agent's, whoever hands it in.
#[test]
fn what_an_agent_says_of_itself_cannot_be_altered_on_the_way_to_the_log() {
    let lab = Lab::start();
    let enclave: Enclave = lab.enclave("one");
    let agent = lab.ready_agent("agent", &enclave);
    let operator = agent.session();
    let welcome = operator.welcome();
    let submit = |statement: Vec<u8>, document: Vec<u8>| {
        use narthex_channel::Message;
        use narthex_channel::submissions::{Submission, SubmissionOutcome};
        let submission = Submission::Statement {
            session: operator.session(),
            document,
            statement,
        };
        let bytes = submission.to_bytes().unwrap();
        match lab
            .submit_anything(&bytes)
            .unwrap_or_else(|error| panic!("{}", error.reason()))
            .outcome
        {
            SubmissionOutcome::Accepted => "accepted".to_owned(),
            SubmissionOutcome::Refused { reason } => reason.to_string(),
        }
    };
    let mut altered = welcome.statement.clone();
    let last = altered.len() - 1;
    altered[last] ^= 1;
    assert_ne!(submit(altered, welcome.document.clone()), "accepted");
    let mut document = welcome.document.clone();
    let middle = document.len() / 2;
    document[middle] ^= 1;
    assert_ne!(submit(welcome.statement.clone(), document), "accepted");
    let statements = |lab: &Lab| {
        let entries = lab.entries();
        entries
            .iter()
            .filter(|entry| matches!(entry, Entry::Statement(_)))
            .count()
    };
    assert_eq!(statements(&lab), 0);
    assert_eq!(
        submit(welcome.statement.clone(), welcome.document.clone()),
        "accepted"
    );
    assert_eq!(statements(&lab), 1);
}
