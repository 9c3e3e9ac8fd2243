//! kill -9 of the key service and of its witness, at any moment, many times, while orders are submitted and keys are
//! asked for: no answered entry is missing, the tree never forks, and everything comes back by itself.

// A scenario panics when something is not as it should be: that is how it says so.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used
)]

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use narthex_channel::keys::KeyOutcome;
use narthex_channel::submissions::SubmissionOutcome;
use narthex_ledger::{Digest384, Entry, LogReader, Proof, Trust, TrustedCheckpoint};
use narthex_tests::lab::Lab;
use narthex_tests::lab::process::{Process, Said, await_some};
use narthex_tests::lab::service;
use narthex_tests::lab::witness::Witness;
use narthex_tests::operator::Paper;
use narthex_tests::random::Random;

/// Times that the service is killed; the witness half as often.
const KILLS: usize = 30;
/// Threads that submit orders.
const SUBMITTERS: usize = 3;

/// Refusals that pass; nothing else is wrong with what is asked.
const PASSING: [&str; 3] = ["log.quorum", "service.stopping", "service.busy"];

/// What was answered while processes died.
#[derive(Default)]
struct Answered {
    /// Every proof that came, with the digest of its order; `None` for keys.
    proofs: Mutex<Vec<(Option<Digest384>, Vec<u8>)>>,
    released: AtomicUsize,
    cut_off: AtomicUsize,
    unproved: AtomicUsize,
}

impl Answered {
    fn keep(&self, order: Option<Digest384>, proof: Vec<u8>) {
        self.proofs.lock().unwrap().push((order, proof));
    }
}

/// One order after the other, each until it is accepted: a submission that was cut off is made again.
fn submit(lab: &Lab, answered: &Answered, done: &AtomicBool) {
    while !done.load(Ordering::Relaxed) {
        let paper = lab.unlogged_read_order("olga", |_| ());
        while !done.load(Ordering::Relaxed) && !submitted(lab, &paper, answered) {
            sleep(Duration::from_millis(5));
        }
    }
}

fn submitted(lab: &Lab, paper: &Paper, answered: &Answered) -> bool {
    match lab.try_submit(paper) {
        Ok(answer) => match answer.outcome {
            SubmissionOutcome::Accepted => {
                let proof = answer.log_proof.expect("what is accepted is proved");
                answered.keep(Some(Digest384::of(&paper.order)), proof);
                true
            }
            SubmissionOutcome::Refused { reason } => {
                assert!(PASSING.contains(&reason.as_str()), "{reason}");
                answered.unproved.fetch_add(1, Ordering::Relaxed);
                false
            }
        },
        Err(_) => {
            answered.cut_off.fetch_add(1, Ordering::Relaxed);
            false
        }
    }
}

/// Asks for keys again and again.
fn ask(lab: &Lab, answered: &Answered, done: &AtomicBool) {
    let enclave = lab.enclave("asking");
    lab.boot(&*enclave.nsm, "policy/bundles/0002.toml");
    while !done.load(Ordering::Relaxed) {
        match lab.ask_keys(&*enclave.nsm, "policy/bundles/0002.toml", 2) {
            Ok(answer) => match answer.outcome {
                KeyOutcome::Released(_) => {
                    answered.released.fetch_add(1, Ordering::Relaxed);
                    answered.keep(None, answer.log_proof.expect("a release is proved"));
                }
                KeyOutcome::Refused { reason } => {
                    assert!(PASSING.contains(&reason.as_str()), "{reason}");
                    answered.unproved.fetch_add(1, Ordering::Relaxed);
                }
            },
            Err(_) => {
                answered.cut_off.fetch_add(1, Ordering::Relaxed);
            }
        }
        sleep(Duration::from_millis(2));
    }
}

fn pause(random: &mut Random, longest_millis: usize) {
    let millis = random.below(longest_millis);
    sleep(Duration::from_millis(
        millis.try_into().expect("a short pause"),
    ));
}

/// Starts the service and kills it, at first while it is starting, then later and later.
fn kill_service(lab: &Lab, random: &mut Random) {
    let program = lab.programs.key_service();
    for round in 0..KILLS {
        let arguments = ["run", "--config", "service.toml"];
        let mut process = Process::start(lab.folder(), "service", &program, &arguments);
        let longest = if round % 3 == 0 { 120 } else { 700 };
        pause(random, longest);
        process.kill();
        // A service that ended by itself would have said why.
        assert!(!process.log().contains("ERROR"), "{}", process.log());
    }
}

fn kill_witness(witness: &mut Witness, random: &mut Random) {
    for _ in 0..KILLS / 2 {
        pause(random, 1200);
        witness.kill();
        pause(random, 300);
        witness.start();
    }
}

#[test]
fn kill_nine_at_any_moment_loses_no_answer_and_never_forks_the_tree() {
    let mut lab = Lab::start();
    let trust = lab.trust(1);
    lab.stop_service();
    let mut witness = lab.witnesses.remove(0);
    let answered = Answered::default();
    let done = AtomicBool::new(false);
    let begun = Instant::now();
    std::thread::scope(|scope| {
        let (lab, answered, done) = (&lab, &answered, &done);
        for _ in 0..SUBMITTERS {
            scope.spawn(move || submit(lab, answered, done));
        }
        scope.spawn(move || ask(lab, answered, done));
        let witness = &mut witness;
        let second = scope.spawn(move || kill_witness(witness, &mut Random::new(0x6b69_6c6c_0002)));
        // A failure in here must end the others, or the test would never end.
        let killing =
            std::panic::catch_unwind(|| kill_service(lab, &mut Random::new(0x6b69_6c6c_0001)));
        let ended = second.join();
        done.store(true, Ordering::Relaxed);
        killing.expect("the service was killed, and nothing else ended it");
        ended.expect("the witness came back each time");
    });
    lab.witnesses.push(witness);
    let took = begun.elapsed();

    // It comes back by itself.
    lab.service = Some(service::run(lab.folder(), &lab.programs.key_service()));
    let paper = lab.unlogged_read_order("olga", |_| ());
    await_some("an answer after all that", || {
        submitted(&lab, &paper, &answered).then_some(())
    });

    let proofs = answered.proofs.into_inner().unwrap();
    assert!(
        proofs.len() > KILLS,
        "only {} answers in {took:?}",
        proofs.len()
    );
    assert!(answered.released.into_inner() > 0, "no key was released");
    assert!(answered.cut_off.into_inner() > 0, "nothing was cut off");
    every_answer_is_there(&lab, &trust, &proofs);
    eprintln!(
        "MEASURED {} answers while the service was killed {KILLS} times in {took:?}; none is missing",
        proofs.len()
    );
}

/// Each proof proves what is in the log now at its place, and each checkpoint is a beginning of the next.
fn every_answer_is_there(lab: &Lab, trust: &Trust, proofs: &[(Option<Digest384>, Vec<u8>)]) {
    let _ = lab.trusted_checkpoint();
    let exported = lab.export("exported");
    lab.log("verify", "exported", &["--evidence"]).done();
    let check = ["check", "--config", "service.toml"];
    Said::by(lab.folder(), &lab.programs.key_service(), &check).done();

    let folder = narthex_ledger::Folder::open(&exported).unwrap();
    let reader = LogReader::open(&folder, trust).unwrap();
    let mut places: BTreeMap<Digest384, u64> = BTreeMap::new();
    let mut seen: BTreeMap<u64, TrustedCheckpoint> = BTreeMap::new();
    for (order, proof) in proofs {
        let proof = Proof::parse(std::str::from_utf8(proof).unwrap()).unwrap();
        let leaf = reader.entry(proof.index).unwrap();
        let head = proof.verify(&leaf, trust).unwrap();
        match (Entry::from_leaf(&leaf).unwrap(), order) {
            (Entry::Order(entry), Some(order)) => {
                assert_eq!(entry.order.0, order.0);
                // Submitted again, it was the same entry.
                assert_eq!(*places.entry(*order).or_insert(proof.index), proof.index);
            }
            (Entry::Release(_), None) => {}
            (entry, _) => panic!("a proof of another entry: {entry:?}"),
        }
        let size = head.checkpoint().size;
        if let Some(known) = seen.get(&size) {
            assert_eq!(known.checkpoint(), head.checkpoint(), "the tree forked");
        }
        seen.insert(size, head);
    }
    for head in seen.values() {
        reader.check_extends(head).unwrap();
    }
    // No order is in the log twice, not even one whose answer was cut off.
    let mut orders: Vec<_> = lab
        .entries()
        .into_iter()
        .filter_map(|entry| match entry {
            Entry::Order(entry) => Some(entry.order.0),
            _ => None,
        })
        .collect();
    let count = orders.len();
    orders.sort_unstable();
    orders.dedup();
    assert_eq!(orders.len(), count);
}
