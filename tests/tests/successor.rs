//! Bundles that follow one another under running agents: what changes at once, what stays, who must sign, and
//! what goes on when the last one has expired.

// A scenario panics when something is not as it should be: that is how it says so.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used
)]
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use narthex_channel::diagnostics::{FieldName, State, Value};
use narthex_channel::policy::PolicyAnswer;
use narthex_nsm::Nsm;
use narthex_policy::{Action, Digest384, Pcr};
use narthex_tests::lab::agent::Agent;
use narthex_tests::lab::asking::Booted;
use narthex_tests::lab::enclave::Enclave;
use narthex_tests::lab::process::{await_some, await_true};
use narthex_tests::lab::{Lab, RELEASE};
use narthex_tests::policy_source::signed;

fn ask(lab: &Lab, enclave: &Enclave, bundle: &str, version: &str) -> String {
    let adversary = Path::new(env!("CARGO_BIN_EXE_narthex-adversary"));
    let said = lab.ask_unchecked(adversary, enclave, Booted { bundle, version }, &[]);
    said.out.trim().to_owned()
}

/// Makes a person an operator.
fn hire(lab: &Lab, name: &str) -> impl FnOnce(&mut String) + use<> {
    let key = lab.people.public_key(name);
    let person =
        format!("[[person]]\nname = \"{name}\"\nkeys = [\"{key}\"]\nroles = [\"on-call\"]\n\n");
    move |text: &mut String| {
        let (head, tail) = text.split_once("[[person]]").expect("people");
        *text = format!("{head}{person}[[person]]{tail}");
    }
}

fn version_in_force(agent: &Agent) -> u64 {
    agent.session().statement().bundle_in_force.version
}

fn digest_of(path: &Path) -> Digest384 {
    Digest384::of(&std::fs::read(path).expect("a bundle"))
}

fn health(lab: &Lab, agent: &Agent) -> Option<Value> {
    lab.read(agent, Action::Health)
        .value(FieldName::HealthState)
}

#[test]
fn a_successor_takes_effect_without_a_restart() {
    let lab = Lab::start();
    let enclave = lab.enclave("one");
    let agent = lab.ready_agent("agent", &enclave);
    let boot = digest_of(&lab.path("policy/bundles/0002.toml"));
    let pcr16 = || enclave.nsm.describe_pcr(16).expect("PCR16");
    assert_eq!(pcr16().data, Pcr::of_boot_bundle(&boot).0);
    assert!(pcr16().locked);
    let before = agent.session().statement();
    assert_eq!(before.bundle_in_force.digest.as_bytes(), &boot.0);
    assert_eq!(
        lab.try_read(&agent, "oscar", Action::Health),
        Err("signature.unknown_signer".to_owned())
    );

    let file = lab.succeed(&[], hire(&lab, "oscar"), &["bob", "carol"]);
    let begun = Instant::now();
    await_true("bundle 3 is in force", || version_in_force(&agent) == 3);
    eprintln!(
        "MEASURED a successor is in force {:?} after it was delivered",
        begun.elapsed()
    );
    let after = agent.session().statement();
    assert_eq!(pcr16().data, Pcr::of_boot_bundle(&boot).0);
    assert_eq!(after.boot_bundle, before.boot_bundle);
    assert_eq!(after.bundle_in_force.digest.as_bytes(), &digest_of(&file).0);
    assert_eq!(after.boot_id, before.boot_id);
    lab.try_read(&agent, "oscar", Action::Health)
        .expect("oscar is an operator now");
    assert_eq!(health(&lab, &agent), Some(Value::State(State::Running)));
    // The tool that holds bundle 3 takes the agent that booted with 2, and says so.
    let shown = lab
        .diag(agent.gate(), &enclave, RELEASE, &["--status"])
        .done();
    assert!(
        shown.contains("bundle 3 in force, booted with 2"),
        "{shown}"
    );
}

#[test]
fn reviewers_change_by_the_old_threshold_and_the_new_one() {
    let lab = Lab::start();
    let enclave = lab.enclave("one");
    let mut plan = lab.plan(&enclave);
    plan.policy = lab.address("copy.sock");
    let answer = lab.policy_source("copy.sock", lab.policy_answer());
    let mut agent = lab.agent("agent", &plan).listening().with_keys();

    // Carol and Bob leave, Dave comes.
    let dave = lab.people.public_key("dave");
    let change = |text: &mut String| {
        let person = format!("[[person]]\nname = \"dave\"\nkeys = [\"{dave}\"]\n\n[review]");
        *text = text.replacen("[review]", &person, 1).replace(
            "reviewers = [\"alice\", \"bob\", \"carol\"]",
            "reviewers = [\"alice\", \"dave\"]",
        );
    };
    let file = lab.draft(&[], change, &["alice", "bob", "dave"]);
    let complete = signed(&file).expect("a signed bundle");
    let with = |people: &[&str]| {
        let mut partial = complete.clone();
        partial.signatures = people
            .iter()
            .map(|name| {
                let path = format!("{}.{name}.sig", file.display());
                let text = std::fs::read_to_string(path).expect("a signature");
                narthex_channel::ArmoredSignature::new(&text).expect("armoured")
            })
            .collect();
        PolicyAnswer {
            bundles: vec![partial],
            ..PolicyAnswer::default()
        }
    };
    let refused = |agent: &Agent| agent.session().statement().decisions.refused;
    for people in [
        &["alice", "bob"][..],
        &["alice", "dave"],
        &["alice"],
        &["bob", "dave"],
    ] {
        let before = refused(&agent);
        answer.set(with(people));
        // The refusal is a decision of the agent's, in its chain.
        await_true("a refusal is recorded", || refused(&agent) > before);
        assert_eq!(version_in_force(&agent), 2, "{people:?}");
    }
    // Whose signatures suffice is not enough either: the log must name it.
    answer.set(with(&["alice", "bob", "dave"]));
    agent.process.await_text("a successor bundle is not taken: the log does not show that it is in force: log.proof_missing");
    assert_eq!(version_in_force(&agent), 2);
    lab.submit();
    answer.set(PolicyAnswer {
        currency: Some(lab.currency()),
        ..with(&["alice", "bob", "dave"])
    });
    await_true("bundle 3 is in force", || version_in_force(&agent) == 3);

    // Those who left decide nothing any more; those who are there do.
    let fourth = lab.draft(&[], |_| (), &["bob", "carol"]);
    let before = refused(&agent);
    answer.set(lab.policy_answer());
    await_true("a refusal is recorded", || refused(&agent) > before);
    assert_eq!(version_in_force(&agent), 3);
    let service = lab.administration();
    let said = lab.narthex(&["policy", "submit", "policy", "--service", &service]);
    assert!(said.out.contains("0 files taken"), "{said:#?}");
    said.names("bundle.under_signed");
    lab.sign("policy", &fourth.display().to_string(), &["alice", "dave"]);
    lab.submit();
    answer.set(lab.policy_answer());
    await_true("bundle 4 is in force", || version_in_force(&agent) == 4);

    // An enclave that starts now with the first reviewers in its image gets there by the chain.
    let next = lab.enclave("next");
    let agent = lab.ready_agent("next", &next);
    assert_eq!(version_in_force(&agent), 4);
    let pcr16 = Pcr::of_boot_bundle(&digest_of(&fourth));
    assert_eq!(next.nsm.describe_pcr(16).expect("PCR16").data, pcr16.0);
}

#[test]
fn a_previous_bundle_is_accepted_for_a_while() {
    const ACCEPTED: Duration = Duration::from_secs(6);
    let lab = Lab::start();
    let (one, two, never) = (lab.enclave("one"), lab.enclave("two"), lab.enclave("never"));
    let mut agent = lab.ready_agent("agent", &one);
    // Two clients that boot with bundle 2 and never look again.
    assert_eq!(ask(&lab, &two, "policy/bundles/0002.toml", "2"), "released");

    let begun = Instant::now();
    let accepted = format!("{}s", ACCEPTED.as_secs());
    lab.succeed(
        &["--previous-accepted-for", &accepted],
        |_| (),
        &["alice", "bob"],
    );
    assert_eq!(ask(&lab, &two, "policy/bundles/0002.toml", "2"), "released");
    assert_eq!(
        ask(&lab, &never, "policy/bundles/0001.toml", "1"),
        "bundle.not_in_force"
    );
    assert!(
        begun.elapsed() < ACCEPTED,
        "this machine is too slow for this test's times"
    );
    sleep(ACCEPTED.saturating_sub(begun.elapsed()) + Duration::from_secs(1));
    assert_eq!(
        ask(&lab, &two, "policy/bundles/0002.toml", "2"),
        "bundle.not_in_force"
    );
    // The agent booted with bundle 2 as well, and its statement names bundle 3 in force.
    await_true("bundle 3 is in force", || version_in_force(&agent) == 3);
    assert_eq!(lab.write(&agent, Action::ReloadKeys, &["carol"]), "done");
    agent.process.await_texts("keys were received", 2);
    // So can the client, if it states that it has taken it: its statement is attested.
    let said = lab.diag(agent.gate(), &one, RELEASE, &["--status"]);
    said.done();
}

#[test]
fn an_expired_bundle_stops_changes_and_keys_and_nothing_else() {
    const LIFE: Duration = Duration::from_secs(12);
    let life = format!("{}s", LIFE.as_secs());
    let begun = Instant::now();
    let lab = Lab::bare().furnish(
        &["--valid-for", &life, "--previous-accepted-for", "0s"],
        |_| (),
    );
    let (one, two, three) = (lab.enclave("one"), lab.enclave("two"), lab.enclave("three"));
    let mut agent = lab.ready_agent("agent", &one);
    assert_eq!(ask(&lab, &two, "policy/bundles/0002.toml", "2"), "released");
    assert_eq!(lab.write(&agent, Action::ReloadKeys, &["alice"]), "done");
    assert!(
        begun.elapsed() < LIFE,
        "this machine is too slow for this test's times"
    );
    let workload = await_some("a workload", || {
        let all = agent.process.descendants();
        all.into_iter()
            .find(|process| process.line.starts_with("sleep 600"))
    });
    sleep(LIFE.saturating_sub(begun.elapsed()) + Duration::from_secs(2));

    // Keys and changes have ended.
    assert_eq!(
        ask(&lab, &two, "policy/bundles/0002.toml", "2"),
        "bundle.expired"
    );
    for action in [
        Action::RestartWorkload,
        Action::ReloadKeys,
        Action::Shutdown,
    ] {
        assert_eq!(lab.write(&agent, action, &["alice"]), "bundle.expired");
    }
    let mut late = lab.agent("late", &lab.plan(&three));
    late.process.await_text("bundle.expired");
    assert!(!late.process.log().contains("the gate is confined"));
    // Workload and reading have not.
    assert!(workload.lives());
    let body = lab.read(&agent, Action::Health);
    assert_eq!(
        body.value(FieldName::HealthPolicyExpired),
        Some(Value::Flag(true))
    );
    assert_eq!(
        body.value(FieldName::HealthState),
        Some(Value::State(State::Running))
    );
    assert_eq!(
        body.value(FieldName::HealthWorkload),
        Some(Value::State(State::Running))
    );
    for action in narthex_tests::lab::orders::read_actions() {
        lab.try_read(&agent, "olga", action)
            .unwrap_or_else(|reason| panic!("{action}: {reason}"));
    }

    // A successor mends all of it, without a restart.
    lab.succeed(&[], |_| (), &["alice", "carol"]);
    await_true("bundle 3 is in force", || version_in_force(&agent) == 3);
    assert_eq!(lab.write(&agent, Action::ReloadKeys, &["alice"]), "done");
    agent.process.await_texts("keys were received", 3);
    assert!(workload.lives());
    late.process.await_text("keys were received");
}
