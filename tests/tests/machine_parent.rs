//! Parents that misbehave: they drop, delay, alter and repeat what goes through them, give out an old policy,
//! stand in for the key service, tell a wrong time, and flood. The agent stays in control, says what happened, and
//! goes on as soon as its parent behaves.

// A scenario panics when something is not as it should be: that is how it says so.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used
)]
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::path::Path;
use std::time::Duration;

use narthex_agent::init::code::BootCode;
use narthex_agent::init::status::{BootStatus, Stage};
use narthex_channel::diagnostics::{FieldName, State, Value};
use narthex_channel::policy::PolicyAnswer;
use narthex_channel::{Initiator, Opening};
use narthex_policy::Action;
use narthex_tests::connection::connect_hybrid;
use narthex_tests::lab::agent::Reachable;
use narthex_tests::lab::fields::stated_count;
use narthex_tests::lab::orders::now;
use narthex_tests::lab::process::{Process, await_true};
use narthex_tests::lab::{KEY, Lab};
use narthex_tests::machine::deployment::Deployment;
use narthex_tests::machine::tools::Tools;
use narthex_tests::machine::{GATE_PORT, Machine, Way, each};
use narthex_tests::policy_source::only_bundles;
use narthex_tests::random::Random;
use narthex_tests::relay::{Conduct, Direction, Mischief, Relay};

use Direction::{FromInitiator, FromResponder};

/// The wrong clocks are off by more than 20 years, s.
const YEARS: u64 = 20 * 365 * 86_400;

/// What ends every exchange that it happens to.
fn destructive() -> Vec<Conduct> {
    vec![
        Conduct::HangUp,
        Conduct::Silent,
        Conduct::Frame(FromInitiator, 1, Mischief::Flip),
        Conduct::Frame(FromInitiator, 2, Mischief::CutOff),
        Conduct::Frame(FromInitiator, 0, Mischief::Swap),
        Conduct::Frame(FromInitiator, 1, Mischief::Repeat),
        Conduct::Frame(FromResponder, 0, Mischief::Drop),
        Conduct::Frame(FromResponder, 0, Mischief::Insert),
        Conduct::Frame(FromResponder, 0, Mischief::Reflect),
        Conduct::Frame(FromResponder, 1, Mischief::Flip),
        Conduct::Frame(FromResponder, 1, Mischief::CutOff),
    ]
}

#[test]
fn a_hostile_way_to_the_keys_is_outlived() {
    let Some(tools) = Tools::find("a_hostile_way_to_the_keys_is_outlived") else {
        return;
    };
    let deployment = Deployment::start(tools);
    let image = deployment.image("shop");
    deployment.release(&[&image]);
    let lab = &deployment.lab;
    let mut plan = deployment.plan(&image);
    // Nobody answers there yet, so that the first attempt fails too.
    plan.keys = Way::Recorded(lab.address("nobody.sock"));
    let machine = deployment.boot("keys", &plan).serving();
    let failures = || stated_count(&lab.read(&machine, Action::Keys), FieldName::KeyFailures);
    await_true("a refusal without a key service", || failures() > 0);
    assert_no_keys(lab, &machine);

    // A service that is not the one the policy names cannot even read what it is asked.
    let adversary = Path::new(env!("CARGO_BIN_EXE_narthex-adversary"));
    let socket = lab.path("false.sock");
    let arguments = ["false-service", "--socket", &socket.display().to_string()];
    let mut service = Process::start(lab.folder(), "false-service", adversary, &arguments);
    await_true("the false service", || socket.exists());
    let (sent, attempts) = (
        machine.keys().from_initiators().len(),
        machine.keys().connections(),
    );
    machine.keys().route_to(lab.address("false.sock"));
    service.await_text("handshake.authentication");
    let before = failures();
    await_true("a refusal of the false service", || failures() > before);
    let sent = machine.keys().from_initiators().len() - sent;
    let attempts = machine.keys().connections() - attempts;
    // A first handshake message is shorter than this, and the question, with a document in it, much longer.
    assert!(
        u64::try_from(sent).expect("small") <= attempts * 100,
        "{sent} bytes in {attempts} attempts"
    );
    assert_no_keys(lab, &machine);

    machine.keys().route_to(lab.address("keys.sock"));
    for conduct in destructive() {
        machine.keys().behave(conduct);
        // An attempt under the conduct before may still be under way: the second one sees this.
        let before = failures();
        await_true(&format!("{conduct:?}: refusals"), || {
            failures() >= before + 2
        });
        assert_no_keys(lab, &machine);
    }
    // What is only hard to bear is borne.
    machine.keys().behave(Conduct::Dribble);
    lab.await_health(&machine, State::Running);
    machine
        .keys()
        .behave(Conduct::Slow(Duration::from_millis(200)));
    assert_eq!(lab.write(&machine, Action::ReloadKeys, &["alice"]), "done");
    await_true("keys again", || {
        stated_count(&lab.read(&machine, Action::Keys), FieldName::KeyRequests) > 0
            && lab
                .read(&machine, Action::Health)
                .value(FieldName::HealthKeysComplete)
                == Some(Value::Flag(true))
    });
    assert_eq!(machine.specimen().does("keys"), KEY);
    // Boot begun, waiting for a policy, serving: the agent had nothing else to say.
    assert_eq!(machine.console().matches("narthex-agent:").count(), 3);
}

fn assert_no_keys(lab: &Lab, machine: &Machine) {
    let health = lab.read(machine, Action::Health);
    let value = |name| health.value(name);
    assert_eq!(
        value(FieldName::HealthState),
        Some(Value::State(State::WaitingForKeys))
    );
    assert_eq!(
        value(FieldName::HealthWorkload),
        Some(Value::State(State::NotStarted))
    );
}

#[test]
fn a_hostile_way_to_the_gate_gives_nothing_away_and_breaks_nothing() {
    let Some(tools) =
        Tools::find("a_hostile_way_to_the_gate_gives_nothing_away_and_breaks_nothing")
    else {
        return;
    };
    let deployment = Deployment::start(tools);
    let image = deployment.image("shop");
    deployment.release(&[&image]);
    let lab = &deployment.lab;
    let machine = deployment.running("gate", &deployment.plan(&image));
    let relay = Relay::start(&lab.path("between.sock"), machine.gate().clone()).expect("a relay");
    let status = |timeout: &str| {
        let arguments = ["--status", "--timeout", timeout];
        lab.diag_of(relay.address(), machine.module_id(), "shop", &arguments)
    };
    for conduct in [
        Conduct::HangUp,
        Conduct::Silent,
        Conduct::Frame(FromInitiator, 1, Mischief::Flip),
        Conduct::Frame(FromInitiator, 0, Mischief::Swap),
        Conduct::Frame(FromInitiator, 1, Mischief::CutOff),
        Conduct::Frame(FromResponder, 0, Mischief::Drop),
        Conduct::Frame(FromResponder, 0, Mischief::Repeat),
        Conduct::Frame(FromResponder, 1, Mischief::Flip),
        Conduct::Frame(FromResponder, 1, Mischief::CutOff),
    ] {
        relay.behave(conduct);
        let said = status("2s");
        assert!(matches!(said.code, Some(1 | 3)), "{conduct:?}: {said:#?}");
        assert_eq!(said.out, "", "{conduct:?}");
    }
    for conduct in [
        Conduct::Honest,
        Conduct::Dribble,
        Conduct::Slow(Duration::from_millis(100)),
    ] {
        relay.behave(conduct);
        let _ = status("60s").done();
    }
    let health = lab.read(&machine, Action::Health);
    assert_eq!(stated_count(&health, FieldName::HealthGateRestarts), 0);
}

#[test]
fn false_sources_of_policy_are_named_and_change_nothing() {
    let Some(tools) = Tools::find("false_sources_of_policy_are_named_and_change_nothing") else {
        return;
    };
    let deployment = Deployment::start(tools);
    let image = deployment.image("shop");
    deployment.release(&[&image]);
    let lab = &deployment.lab;
    let bundle = |number| lab.signed_bundle(number);
    let mut altered = bundle(2);
    altered.bytes.extend_from_slice(b"# one more line\n");
    let mut unsigned = bundle(2);
    unsigned.signatures.truncate(1);
    let answer = lab.policy_source("false-policy.sock", PolicyAnswer::default());
    let mut plan = deployment.plan(&image);
    plan.policy = Way::Recorded(lab.address("false-policy.sock"));
    let mut machine = deployment.boot("policy", &plan);
    let waits = |code| BootStatus {
        stage: Stage::Waiting,
        code,
    };
    let nothing = |machine: &mut Machine, name: &str| {
        assert!(!machine.has_ended(), "{name}: {}", machine.console());
        let gate = connect_hybrid(machine.socket(), GATE_PORT);
        assert!(gate.is_err(), "{name}: a gate without a policy");
    };
    machine.await_status(waits(BootCode::PolicyRefused));
    nothing(&mut machine, "no bundle");
    for (name, answers, code) in [
        (
            "too few",
            only_bundles(vec![unsigned]),
            BootCode::PolicyUnderSigned,
        ),
        ("old", only_bundles(vec![bundle(1)]), BootCode::PolicyTooOld),
        (
            "altered",
            only_bundles(vec![altered]),
            BootCode::PolicyRefused,
        ),
        (
            "no proof that it is in force",
            lab.files_of_policy(),
            BootCode::PolicyLog,
        ),
    ] {
        let before = machine.parent.statuses().len();
        answer.set(answers);
        await_true(name, || {
            machine.parent.statuses()[before..].contains(&waits(code))
        });
        nothing(&mut machine, name);
    }
    for (conduct, code) in [
        (Conduct::HangUp, BootCode::PolicyAnswer),
        (Conduct::Silent, BootCode::PolicyAnswer),
    ] {
        let before = machine.policy().connections();
        machine.policy().behave(conduct);
        await_true(&format!("{conduct:?}"), || {
            machine.policy().connections() >= before + 2
                && machine.parent.statuses().last() == Some(&waits(code))
        });
    }
    machine.policy().behave(Conduct::Honest);

    // An honest answer, and everything goes on.
    answer.set(lab.policy_answer());
    let mut machine = machine.serving();
    lab.await_health(&machine, State::Running);
    let in_force = || machine.session().statement().bundle_in_force.version;
    assert_eq!(in_force(), 2);

    // At run time: what is older or nothing leaves the policy where it is.
    for answers in [only_bundles(vec![bundle(1)]), PolicyAnswer::default()] {
        let before = machine.policy().connections();
        answer.set(answers);
        await_true("more answers", || {
            machine.policy().connections() >= before + 3
        });
        assert_eq!(in_force(), 2);
    }
    lab.succeed(&[], |_| (), &["alice", "bob"]);
    answer.set(lab.policy_answer());
    await_true("the successor", || in_force() == 3);
    assert!(!machine.has_ended());
    let console = machine.console();
    for id in ["policy.under_signed", "policy.too_old", "policy.log"] {
        assert!(console.contains(id), "{id}: {console}");
    }
}

#[test]
fn a_wrong_clock_changes_no_decision_and_shows() {
    let Some(tools) = Tools::find("a_wrong_clock_changes_no_decision_and_shows") else {
        return;
    };
    let deployment = Deployment::start(tools);
    let image = deployment.image("shop");
    deployment.release(&[&image]);
    let lab = &deployment.lab;
    let cases = [
        ("past", "1999-01-01T00:00:00", false),
        ("future", "2069-01-01T00:00:00", true),
    ];
    each(cases, |(name, clock, ahead)| {
        let mut plan = deployment.plan(&image);
        plan.clock = Some(clock.to_owned());
        let machine = deployment.running(name, &plan);
        // Its time is the module's.
        let statement = machine.session().statement();
        let off = statement.now.0.abs_diff(now().0);
        assert!(off < 60_000, "{name}: {off} ms");
        // Orders of now are obeyed, and those of the other time are not.
        assert_eq!(lab.write(&machine, Action::ReloadKeys, &["alice"]), "done");
        let clock = lab.read(&machine, Action::Clock);
        assert_eq!(
            clock.value(FieldName::ClockSystemAhead),
            Some(Value::Flag(ahead)),
            "{name}: {clock:#?}"
        );
        let Some(Value::Duration(difference)) = clock.value(FieldName::ClockDifference) else {
            panic!("{clock:#?}");
        };
        assert!(difference > 1000 * YEARS, "{name}: {difference}");
        let system: u64 = machine.specimen().does("time").parse().expect("seconds");
        assert!(system.abs_diff(now().0 / 1000) > YEARS);
    });
}

/// The connections that a gate has room for in a flood.
const PLACES: u64 = 16;

#[test]
fn a_flood_at_the_gate_is_borne() {
    let Some(tools) = Tools::find("a_flood_at_the_gate_is_borne") else {
        return;
    };
    let mut deployment = Deployment::start(tools);
    deployment.settings.gate = format!(
        "connections = {PLACES}\nhandshake_seconds = 2\nsessions_per_minute = 6000\n\
                                calls_per_minute = 6000\n"
    );
    let image = deployment.image("shop");
    deployment.release(&[&image]);
    let lab = &deployment.lab;
    let machine = deployment.running("flooded", &deployment.plan(&image));
    let connect = |port| connect_hybrid(machine.socket(), port);
    let mut random = Random::new(0x6e61_7274_6865_7806);
    let (_, opening) = Initiator::new(&Opening::Diagnostics).expect("a first message");

    // Hundreds that say nothing, garbage, half a message, or the beginning of a session, and stay or go.
    let mut held = Vec::new();
    for number in 0..400 {
        let Ok(mut stream) = connect(GATE_PORT) else {
            continue;
        };
        let bytes = match number % 5 {
            0 => Vec::new(),
            1 => random.bytes(200),
            2 => opening[..opening.len() / 2].to_vec(),
            3 => vec![0xff; 64 * 1024],
            _ => opening.clone(),
        };
        // The agent may have closed.
        let _ = stream.write_all(&bytes);
        match number % 3 {
            0 => held.push(stream),
            1 => drop(stream.shutdown(Shutdown::Write)),
            _ => {}
        }
    }
    // With them still there, an operator comes in as soon as the first have had their time.
    let first = lab.read(&machine, Action::Connections);
    let limited = stated_count(&first, FieldName::ConnectionsGateLimited);
    let faulty = stated_count(&first, FieldName::ConnectionsGateFaulty)
        + stated_count(&first, FieldName::ConnectionsGateTimedOut);
    assert!(limited + faulty > 3 * PLACES, "{first:#?}");
    drop(held);

    // Ports at which nobody listens, and the workload's.
    for port in [1, 22, 9000, 5004, 5006, 65_535, u32::MAX - 1] {
        assert!(connect(port).is_err(), "{port}");
    }
    // A half-close is the end of a session, whatever was under way.
    let mut stream = connect(GATE_PORT).expect("the gate");
    stream.write_all(&opening).expect("an opening");
    stream.shutdown(Shutdown::Write).expect("a half-close");
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Ok(_) => {}
        // It may close with something of ours unread, but it must close.
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
    }
    let health = lab.read(&machine, Action::Health);
    assert_eq!(stated_count(&health, FieldName::HealthGateRestarts), 0);
    assert_eq!(
        health.value(FieldName::HealthState),
        Some(Value::State(State::Running))
    );
    assert_eq!(lab.write(&machine, Action::ReloadKeys, &["alice"]), "done");
}
