//! A leaver, and a revoked release, on running agents: who is refused, what is wiped, and how long it takes.

// A scenario panics when something is not as it should be: that is how it says so.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used
)]
use std::thread::sleep;
use std::time::{Duration, Instant};

use narthex_channel::diagnostics::{FieldName, ReleaseState, State, Value};
use narthex_policy::Action;
use narthex_tests::lab::agent::Agent;
use narthex_tests::lab::asking::Booted;
use narthex_tests::lab::enclave::{Enclave, Image};
use narthex_tests::lab::policy::key_rule;
use narthex_tests::lab::process::{Descendant, LOOK, await_some};
use narthex_tests::lab::{KEY, Lab, RELEASE};

/// The agents look for news every second here, ±20 %, and every 15 seconds by default. The rest is for a
/// machine that is busy.
const BOUND: Duration = Duration::from_secs(15);
/// The release that is revoked.
const OLD_RELEASE: &str = "shop-old";

fn until(bound: Duration, what: &str, begun: Instant, mut holds: impl FnMut() -> bool) -> Duration {
    while !holds() {
        assert!(begun.elapsed() < bound, "{what}: not within {bound:?}");
        sleep(LOOK);
    }
    begun.elapsed()
}

/// Two releases, each on an agent with a key and a workload.
fn two_agents() -> (Lab, Agent, Agent, [Enclave; 2]) {
    let lab = Lab::start();
    lab.release(OLD_RELEASE, "0.9.0", Image::of(OLD_RELEASE));
    lab.succeed(
        &[],
        |text| {
            let both = format!("releases = [\"{RELEASE}\", \"{OLD_RELEASE}\"]");
            *text = text.replacen(&format!("releases = [\"{RELEASE}\"]"), &both, 1);
        },
        &["alice", "bob"],
    );
    let one = lab.enclave("one");
    let two = Enclave::start(lab.folder(), "two", Image::of(OLD_RELEASE));
    let (good, old) = (
        lab.agent("good", &lab.plan(&one)),
        lab.agent("old", &lab.plan(&two)),
    );
    let (good, old) = (good.listening().with_keys(), old.listening().with_keys());
    (lab, good, old, [one, two])
}

/// The program itself: the shell that becomes it, and what the shell starts before, have its words in their arguments too.
fn workload(agent: &Agent) -> Vec<Descendant> {
    await_some("a workload", || {
        let all = agent.process.descendants();
        let all: Vec<_> = all
            .into_iter()
            .filter(|process| process.line.starts_with("sleep 600"))
            .collect();
        (!all.is_empty()).then_some(all)
    })
}

fn client(lab: &Lab, enclave: &Enclave) -> String {
    let adversary = std::path::Path::new(env!("CARGO_BIN_EXE_narthex-adversary"));
    let booted = Booted {
        bundle: "policy/bundles/0003.toml",
        version: "3",
    };
    lab.ask_unchecked(adversary, enclave, booted, &[])
        .out
        .trim()
        .to_owned()
}

#[test]
fn a_leaver_is_refused_by_running_agents() {
    let (lab, good, old, _enclaves) = two_agents();
    // An order that was good, a session that is open.
    let paper = lab.read_order("olga");
    let mut open = good.session();
    let call = |counter| narthex_tests::operator::What::plain(Action::Health, counter);
    let request = lab.compose(&open, "olga", &paper, call(0));
    assert_eq!(
        narthex_tests::operator::outcome(&open.call(&request)),
        "done"
    );

    let begun = Instant::now();
    lab.stop(&["--person", "olga"], "carol");
    let submitted = begun.elapsed();
    let mut counter = 0;
    let mut reason = String::new();
    let took = until(BOUND, "olga is refused", begun, || {
        counter += 1;
        let request = lab.compose(&open, "olga", &paper, call(counter));
        reason = narthex_tests::operator::outcome(&open.call(&request)).to_owned();
        reason != "done"
    });
    assert_eq!(reason, "person.stopped");
    eprintln!(
        "MEASURED a leaver is refused in an open session {took:?} after the stop statement was written \
         ({submitted:?} of it to write, sign and deliver it; agents look every second)"
    );
    let took = until(BOUND, "the other agent refuses as well", begun, || {
        lab.try_read(&old, "olga", Action::Health)
            .is_err_and(|reason| reason == "person.stopped")
    });
    eprintln!("MEASURED by the other agent after {took:?}");

    // At the service nothing waits: a stopped key administrator is refused by the next order.
    let begun = Instant::now();
    lab.keys(&["list"]).done();
    lab.stop(&["--person", "kim"], "alice");
    lab.keys(&["list"]).refused("person.stopped");
    eprintln!(
        "MEASURED at the key service: the next order, {:?} after the statement",
        begun.elapsed()
    );

    // Whoever remains goes on, here after a bundle that makes Oscar an operator.
    let oscar = lab.people.public_key("oscar");
    lab.succeed(
        &[],
        |text| {
            let person = format!(
                "[[person]]\nname = \"oscar\"\nkeys = [\"{oscar}\"]\nroles = [\"on-call\"]\n\n[review]"
            );
            *text = text.replacen("[review]", &person, 1);
        },
        &["alice", "bob"],
    );
    until(BOUND, "oscar reads", Instant::now(), || {
        lab.try_read(&good, "oscar", Action::Health).is_ok()
    });
    // The stop outlives the bundle.
    assert_eq!(
        lab.try_read(&good, "olga", Action::Health),
        Err("person.stopped".to_owned())
    );
}

#[test]
fn a_revoked_release_loses_keys_and_workload() {
    let (lab, good, mut old, enclaves) = two_agents();
    let (running, kept) = (workload(&old), workload(&good));
    let next = Enclave::start(lab.folder(), "next", Image::of(OLD_RELEASE));
    assert_eq!(client(&lab, &next), "released");

    let begun = Instant::now();
    lab.stop(&["--release", OLD_RELEASE], "bob");
    let submitted = begun.elapsed();
    // The service, at once: no waiting here.
    assert_eq!(client(&lab, &next), "release.stopped");
    eprintln!(
        "MEASURED the key service refuses within {:?}",
        begun.elapsed()
    );

    let took = until(BOUND, "the workload is gone", begun, || {
        !running.iter().any(Descendant::lives)
    });
    eprintln!(
        "MEASURED the workload of a revoked release is gone {took:?} after the stop statement was written \
         ({submitted:?} of it to write, sign and deliver it)"
    );
    old.process
        .await_text("this release is revoked: keys are wiped, the workload stops");
    let mut operator = old.session();
    assert_eq!(operator.statement().release, ReleaseState::Revoked);
    let state = |body: &narthex_channel::diagnostics::ResultBody, name| match body.value(name) {
        Some(Value::State(state)) => Some(state),
        _ => None,
    };
    // Reading goes on, and shows it.
    let health = lab.read(&old, Action::Health);
    assert_eq!(state(&health, FieldName::HealthState), Some(State::Revoked));
    let policy = lab.read(&old, Action::Policy);
    assert_eq!(
        state(&policy, FieldName::PolicyRelease),
        Some(State::Revoked)
    );
    let keys = lab.read(&old, Action::Keys);
    assert_eq!(state(&keys, FieldName::KeyState), Some(State::Missing));
    assert!(!old.runtime().join("keys").join(KEY).exists());
    // An order that names releases covers it no more: what was revoked is no release.
    let paper = lab.read_order("olga");
    let health = narthex_tests::operator::What::plain(Action::Health, 0);
    let answer = lab.call(&old, "olga", &paper, health);
    assert_eq!(
        narthex_tests::operator::outcome(&answer),
        "order.wrong_enclave"
    );
    // Changing does not go on, except the end.
    for action in [Action::RestartWorkload, Action::ReloadKeys] {
        assert_eq!(lab.write(&old, action, &["alice"]), "call.release_revoked");
    }
    let said = lab.diag(old.gate(), &enclaves[1], OLD_RELEASE, &["--status"]);
    said.refused("release.stopped");
    assert!(operator.raw(b"still here").is_ok());
    // The other release is untouched.
    assert!(kept.iter().all(Descendant::lives));
    let health = lab.read(&good, Action::Health);
    assert_eq!(state(&health, FieldName::HealthState), Some(State::Running));
    assert_eq!(lab.write(&old, Action::Shutdown, &["carol"]), "done");
    assert_eq!(old.process.exit_code(), Some(0));
}

#[test]
fn a_stopped_key_is_released_to_nobody() {
    let lab = Lab::start();
    let commitment = lab.key("create", "second-key");
    let rule = key_rule("second-key", &[RELEASE], &[(1, &commitment)]);
    lab.succeed(&[], |text| *text += &rule, &["alice", "bob"]);
    let enclave = lab.enclave("one");
    assert_eq!(client(&lab, &enclave), "released");
    lab.stop(&["--key-name", KEY], "carol");
    assert_eq!(client(&lab, &enclave), "key.stopped");
}
