//! From start to end: what waits, what is started again, what ends with what, and what is reported.

// A scenario panics when something is not as it should be: that is how it says so.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used
)]

use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use narthex_channel::diagnostics::{Field, FieldName, ResultBody, State, Value};
use narthex_policy::Action;
use narthex_tests::lab::agent::Agent;
use narthex_tests::lab::fields::{count, state};
use narthex_tests::lab::process::{Process, Said, await_some, await_true};
use narthex_tests::lab::{KEY, Lab, RELEASE};
use narthex_tests::operator::Operator;
use nix::sys::signal::Signal;

/// Every program ends within this time of being asked to, even on a busy machine.
const END: Duration = Duration::from_secs(15);

#[test]
fn keys_arrive_when_the_service_comes_back() {
    let mut lab = Lab::start();
    let enclave = lab.enclave("one");
    // The policy must come from somewhere while the service is down: a copy of its answer.
    let _answer = lab.policy_source("copy.sock", lab.policy_answer());
    // So must the proof that Olga's order was logged.
    lab.begin_shift("olga", &enclave);
    lab.stop_service();

    let mut plan = lab.plan(&enclave);
    plan.policy = lab.address("copy.sock");
    let mut agent = lab.agent("agent", &plan).listening();
    let health = lab.read(&agent, Action::Health);
    assert_eq!(
        state(&health, FieldName::HealthState),
        Some(State::WaitingForKeys)
    );
    assert_eq!(
        state(&health, FieldName::HealthWorkload),
        Some(State::NotStarted)
    );
    let said = lab.diag(agent.gate(), &enclave, RELEASE, &["--status"]);
    assert_eq!(said.code, Some(0), "{said:#?}");
    await_some("attempts that failed are counted", || {
        let keys = lab.read(&agent, Action::Keys);
        count(&keys, FieldName::KeyFailures).filter(|failures| *failures >= 2)
    });
    assert!(!agent.process.log().contains("keys were received"));

    lab.start_service();
    agent.process.await_text("keys were received");
    await_true("the workload runs", || {
        let health = lab.read(&agent, Action::Health);
        state(&health, FieldName::HealthState) == Some(State::Running)
            && state(&health, FieldName::HealthWorkload) == Some(State::Running)
    });
    agent.process.await_text("32\n");
}

#[test]
fn a_gate_that_is_killed_is_started_again_and_counted() {
    let lab = Lab::start();
    let enclave = lab.enclave("one");
    let agent = lab.ready_agent("agent", &enclave);
    let mut before = agent.session();
    let gate = |agent: &Agent| {
        let all = agent.process.descendants();
        all.into_iter()
            .find(|process| process.line.contains("--confined gate"))
    };
    let first = gate(&agent).expect("a gate");
    first.kill();
    await_true("another gate", || {
        gate(&agent).is_some_and(|next| next.id != first.id)
    });
    // The session ended with the gate that held it.
    assert!(matches!(before.raw(b"anything"), Err(_) | Ok(None)));
    let health = lab.read(&agent, Action::Health);
    assert_eq!(count(&health, FieldName::HealthGateRestarts), Some(1));
    assert_eq!(
        state(&health, FieldName::HealthWorkload),
        Some(State::Running)
    );
}

#[test]
fn everything_ends_with_the_agent() {
    let lab = Lab::start();
    let enclave = lab.enclave("one");
    let mut plan = lab.plan(&enclave);
    // A workload that hides a child from whoever looks for children only.
    plan.workload = Some(
        "command = \"/bin/sh\"\narguments = [\"-c\", \"(setsid sleep 601 &) ; exec sleep 600\"]\n\
         [workload.environment]\nPATH = \"/usr/bin:/bin\"\n"
            .to_owned(),
    );
    let mut agent = lab.agent("agent", &plan).listening().with_keys();
    let sleeping = |line: &str| line.starts_with("sleep 60");
    let started = await_some("the workload and its child", || {
        let all = agent.process.descendants();
        let sleepers = all.iter().filter(|process| sleeping(&process.line)).count();
        (sleepers == 2).then_some(all)
    });
    let parts = |part: &str| started.iter().any(|process| process.line.contains(part));
    assert!(
        parts("--confined gate") && parts("workload-shepherd"),
        "{started:#?}"
    );

    agent.process.kill();
    await_true("nothing of it runs", || {
        !started.iter().any(|process| process.lives())
    });
    assert!(Operator::connect(agent.gate()).is_err());
    // What it leaves behind holds no key.
    let keys = agent.runtime().join("keys").join(KEY);
    assert!(!keys.exists() || fs::read(&keys).is_ok_and(|bytes| bytes.is_empty()));
}

/// How a workload ended, as an operator reads it.
struct Ending {
    arguments: &'static str,
    limits: &'static str,
    exit: State,
    number: Option<(FieldName, u64)>,
}

#[test]
fn the_ends_of_workloads_are_reported() {
    let lab = Lab::start();
    let endings = [
        Ending {
            arguments: "exit 7",
            limits: "",
            exit: State::Exited,
            number: Some((FieldName::WorkloadLastExitCode, 7)),
        },
        Ending {
            arguments: "kill -SEGV $$",
            limits: "",
            exit: State::Signalled,
            number: Some((FieldName::WorkloadLastSignal, 11)),
        },
        Ending {
            // Doubles a string until there is no room: only where there are control groups.
            arguments: "x=0123456789abcdef; while :; do x=$x$x; done",
            limits: "memory_max_bytes = 16000000\n",
            exit: State::OutOfMemory,
            number: None,
        },
    ];
    let mut agents = Vec::new();
    for (number, ending) in endings.iter().enumerate() {
        let name = format!("ending-{number}");
        let enclave = lab.enclave(&name);
        let mut plan = lab.plan(&enclave);
        plan.workload = Some(format!(
            "command = \"/bin/sh\"\narguments = [\"-c\", \"{}\"]\nrestart = \"always\"\n\
             restart_delay_millis = 60000\nrestart_delay_max_millis = 60000\n{}",
            ending.arguments, ending.limits
        ));
        agents.push((lab.agent(&name, &plan), enclave));
    }
    for ((agent, _enclave), ending) in agents.into_iter().zip(&endings) {
        let agent = agent.listening().with_keys();
        let limited = !ending.limits.is_empty();
        if limited {
            let body = lab.read(&agent, Action::Workload);
            if body.value(FieldName::WorkloadMemoryLimit) != Some(Value::Flag(true)) {
                // Without control groups of our own nothing limits the workload, and the agent says so.
                eprintln!("no control group for a limit here: {:?}", body.fields);
                continue;
            }
        }
        let body = await_some("the end is reported", || {
            let body = lab.read(&agent, Action::Workload);
            (state(&body, FieldName::WorkloadState) == Some(State::WaitingToRestart))
                .then_some(body)
        });
        assert_eq!(
            state(&body, FieldName::WorkloadLastExit),
            Some(ending.exit),
            "{body:#?}"
        );
        if let Some((name, number)) = ending.number {
            assert_eq!(count(&body, name), Some(number), "{body:#?}");
        }
        if limited {
            assert!(
                count(&body, FieldName::WorkloadOomKills) >= Some(1),
                "{body:#?}"
            );
        }
    }
}

#[test]
fn a_rotated_key_arrives_when_keys_are_reloaded() {
    let lab = Lab::start();
    let enclave = lab.enclave("one");
    let mut plan = lab.plan(&enclave);
    // Shows a digest of its key whenever the key changes.
    plan.workload = Some(
        "command = \"/bin/sh\"\nshow_output = true\narguments = [\"-c\", \"while :; do \
         set -- $(sha256sum < $NARTHEX_KEYS/shop-key); [ $1 = \\\"$last\\\" ] || echo key $1; last=$1; \
         sleep 0.1; done\"]\n[workload.environment]\nPATH = \"/usr/bin:/bin\"\n"
            .to_owned(),
    );
    let mut agent = lab.agent("agent", &plan).listening().with_keys();
    agent.process.await_text("key ");
    let version = |body: &ResultBody| count(body, FieldName::KeyVersion);
    assert_eq!(version(&lab.read(&agent, Action::Keys)), Some(1));

    // Rotated, but no bundle commits to version 2 yet: version 1 is what enclaves get.
    let commitment = lab.key("rotate", KEY);
    assert_eq!(lab.write(&agent, Action::ReloadKeys, &["alice"]), "done");
    agent.process.await_texts("keys were received", 2);
    assert_eq!(version(&lab.read(&agent, Action::Keys)), Some(1));

    lab.succeed(
        &[],
        |text| {
            let more = format!("}}, {{ version = 2, sha384 = \"{commitment}\" }}]");
            *text = text.replace("}]", &more).replace("} ]", &more);
            assert!(text.contains("version = 2, sha384"), "{text}");
        },
        &["alice", "bob"],
    );
    agent.process.await_text("a successor bundle is in force");
    assert_eq!(lab.write(&agent, Action::ReloadKeys, &["bob"]), "done");
    agent.process.await_texts("keys were received", 3);
    let keys = lab.read(&agent, Action::Keys);
    assert_eq!(version(&keys), Some(2));
    let Some(Value::Digest(held)) = keys.value(FieldName::KeyCommitment) else {
        panic!("{keys:#?}");
    };
    assert_eq!(held.to_hex(), commitment);
    agent.process.await_texts("key ", 2);
}

/// Puts another commitment in the place of the last one.
fn commit_to_another_key(text: &mut String) {
    let from = text.rfind("sha384 = \"").expect("a commitment") + "sha384 = \"".len();
    text.replace_range(from..from + 96, &"ab".repeat(48));
}

fn assert_waits_for_keys(lab: &Lab, agent: &Agent) {
    let health = lab.read(agent, Action::Health);
    assert_eq!(
        state(&health, FieldName::HealthState),
        Some(State::WaitingForKeys)
    );
    assert_eq!(
        state(&health, FieldName::HealthWorkload),
        Some(State::NotStarted)
    );
    let shell = |line: &str| line.contains("/bin/sh");
    assert!(
        !agent
            .process
            .descendants()
            .iter()
            .any(|process| shell(&process.line))
    );
    assert!(!agent.runtime().join("keys").join(KEY).exists());
}

#[test]
fn a_service_does_not_release_a_key_that_the_policy_does_not_commit_to() {
    let lab = Lab::start_with(commit_to_another_key);
    let enclave = lab.enclave("one");
    let mut agent = lab.agent("agent", &lab.plan(&enclave)).listening();
    agent
        .process
        .await_text("keys were not received: key.commitment");
    assert_waits_for_keys(&lab, &agent);
}

#[test]
fn an_agent_that_asks_no_log_gets_no_key_from_a_service_that_keeps_one() {
    let lab = Lab::start();
    let enclave = lab.enclave("one");
    let mut plan = lab.plan(&enclave);
    plan.log = None;
    let mut agent = lab.agent("agent", &plan).listening();
    // It says so itself, in words and in what is attested.
    agent.process.await_text("insecure_without_ledger");
    agent
        .process
        .await_text("keys were not received: statement.without_log");
    assert_waits_for_keys(&lab, &agent);
    assert_eq!(
        agent.session().statement().log_check,
        narthex_channel::diagnostics::LogCheck::InsecureWithoutLedger
    );
}

#[test]
fn every_program_ends_when_asked_to() {
    let mut lab = Lab::start();
    let enclave = lab.enclave("one");
    let mut agent = lab.ready_agent("agent", &enclave);
    let _open = agent.session();
    let below = agent.process.descendants();
    let (took, code) = agent.process.terminate();
    assert_eq!(code, Some(0));
    assert!(took < END, "the agent took {took:?}");
    assert!(!below.iter().any(|process| process.lives()), "{below:#?}");

    let mut service = lab.service.take().expect("a service");
    let (took, code) = service.terminate();
    assert_eq!(code, Some(0));
    assert!(took < END, "the key service took {took:?}");

    let narthex = lab.programs.narthex();
    let socket = lab.path("other.nsm").display().to_string();
    let arguments = ["mock-nsm", "--socket", &socket];
    let mut nsm = Process::start(lab.folder(), "mock-nsm", &narthex, &arguments);
    nsm.await_text("mock NSM on");
    let (took, code) = nsm.terminate();
    assert_eq!(code, Some(0));
    assert!(took < END && !lab.path("other.nsm").exists(), "{took:?}");

    let (from, to) = (
        lab.address("in.sock").to_string(),
        lab.address("out.sock").to_string(),
    );
    let mut relay = Process::start(lab.folder(), "relay", &narthex, &["relay", &from, &to]);
    await_true("the relay listens", || lab.path("in.sock").exists());
    let (took, code) = relay.terminate();
    assert_eq!(code, Some(0));
    assert!(took < END, "{took:?}");

    // An agent that still waits for its policy ends as well.
    let other = lab.enclave("two");
    let mut waiting = lab.agent("waiting", &lab.plan(&other));
    waiting.process.await_text("waiting for a policy");
    let (took, code) = waiting.process.terminate();
    assert_eq!(code, Some(0));
    assert!(took < END, "{took:?}");
}

#[test]
fn a_second_instance_and_missing_files_are_refused_in_words() {
    let lab = Lab::start();
    let enclave = lab.enclave("one");
    let agent = lab.ready_agent("agent", &enclave);

    // The same enclave cannot boot twice: PCR16 is locked.
    let mut second = lab.agent("second", &lab.plan(&enclave));
    assert_eq!(second.process.exit_code(), Some(1));
    assert!(
        second.process.log().contains("agent.pcr_already_extended"),
        "{}",
        second.process.log()
    );
    // Nor can another enclave's agent take the gate of one that runs.
    let other = lab.enclave("two");
    let config = fs::read_to_string(lab.path("agent.toml")).unwrap();
    let config = config.replace("one.nsm", "two.nsm");
    fs::write(lab.path("thief.toml"), config).unwrap();
    let program = lab.programs.agent();
    let mut thief = Process::start(lab.folder(), "thief", &program, &["--local", "thief.toml"]);
    assert_eq!(thief.exit_code(), Some(3));
    assert!(thief.log().contains("agent.listen"), "{}", thief.log());
    drop(other);
    let health = lab.read(&agent, Action::Health);
    assert_eq!(state(&health, FieldName::HealthState), Some(State::Running));

    // The key service.
    let service = lab.programs.key_service();
    let run = |config: &str| Said::by(lab.folder(), &service, &["run", "--config", config]);
    let twice = run("service.toml");
    twice.environment("storage.locked");
    assert!(lab.keys(&["list"]).code == Some(0), "the first one goes on");
    run("absent.toml").environment("absent.toml");

    // The agent's files.
    let agent = |arguments: &[&str]| Said::by(lab.folder(), &program, arguments);
    agent(&["--check-config", "--local", "agent.toml"]).done();
    agent(&["--check-config", "agent.toml"]).misuse("outside --local");
    agent(&["--check-config", "absent.toml"]).environment("absent.toml");
    agent(&["--local", "absent.toml"]).environment("absent.toml");
    let text = fs::read_to_string(lab.path("agent.toml")).unwrap();
    let log = format!("log = \"{}\"\n", lab.log_key);
    for (name, from, to, words) in [
        ("unknown", "[gate]", "surprise = 1\n[gate]", "surprise"),
        ("ledger", &log, "", "trust.log"),
        (
            "both",
            "runtime_directory",
            "insecure_without_ledger = true\nruntime_directory",
            "insecure_without_ledger",
        ),
        (
            "relative",
            "runtime_directory = \"/",
            "runtime_directory = \"",
            "runtime_directory",
        ),
        (
            "poll",
            "poll_seconds = 1",
            "poll_seconds = 0",
            "policy.poll_seconds",
        ),
        ("threshold", "threshold = 2", "threshold = 1", "threshold"),
        (
            "address",
            "[policy]\nsource = \"unix:",
            "[policy]\nsource = \"mail:",
            "policy.source",
        ),
    ] {
        let file = format!("{name}.toml");
        let changed = text.replacen(from, to, 1);
        assert_ne!(changed, text, "{name}");
        fs::write(lab.path(&file), changed).unwrap();
        agent(&["--check-config", &file]).misuse(words);
    }
    let nowhere = text.replace("one.nsm", "absent.nsm");
    fs::write(lab.path("nowhere.toml"), nowhere).unwrap();
    let said = agent(&["--local", "nowhere.toml"]);
    assert_eq!(said.code, Some(3), "{said:#?}");
}

#[test]
fn a_service_that_is_killed_answers_again_and_agents_do_not_notice() {
    let mut lab = Lab::start();
    let enclave = lab.enclave("one");
    let mut agent = lab.ready_agent("agent", &enclave);
    lab.begin_shift("olga", &enclave);
    lab.service.as_mut().expect("a service").kill();
    // The agent asks for its policy once a second: it meets a service that is not there.
    sleep(Duration::from_secs(2));
    let health = lab.read(&agent, Action::Health);
    assert_eq!(state(&health, FieldName::HealthState), Some(State::Running));
    let begun = Instant::now();
    lab.start_service();
    eprintln!(
        "the key service serves {:?} after it was killed and started",
        begun.elapsed()
    );
    assert_eq!(lab.write(&agent, Action::ReloadKeys, &["alice"]), "done");
    agent.process.await_texts("keys were received", 2);
    // The agent's own stop and continue: time goes on, nothing is lost.
    agent.process.signal(Signal::SIGSTOP);
    sleep(Duration::from_millis(500));
    agent.process.signal(Signal::SIGCONT);
    let fields: Vec<Field> = lab.read(&agent, Action::Status).fields;
    assert!(fields.len() > 100, "{}", fields.len());
}
