//! Workloads that misbehave in a virtual machine: each is contained, reported by its true cause, and takes nobody
//! with it.

// A scenario panics when something is not as it should be: that is how it says so.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used
)]
use narthex_channel::diagnostics::{FieldName, State, Value};
use narthex_channel::{Initiator, Opening};
use narthex_policy::Action;
use narthex_tests::lab::agent::Reachable;
use narthex_tests::lab::fields::stated_count;
use narthex_tests::lab::process::await_true;
use narthex_tests::lab::{KEY, Lab};
use narthex_tests::machine::Machine;
use narthex_tests::machine::deployment::Deployment;
use narthex_tests::machine::tools::Tools;

const NOT_PERMITTED: &str = "Operation not permitted (os error 1)";
const NOTHING_THERE: &str = "No such file or directory (os error 2)";
const NO_ACCESS: &str = "Permission denied (os error 13)";
const READ_ONLY: &str = "Read-only file system (os error 30)";

/// What it tries, and what the kernel says.
const FORBIDDEN: [(&str, &str); 41] = [
    // The module, and whatever else is a way past the agent.
    ("open /dev/nsm", NOTHING_THERE),
    ("node 144", NOT_PERMITTED),
    ("open /dev/mem", NOTHING_THERE),
    ("open /dev/kmsg", NOTHING_THERE),
    ("open /dev/console", NOTHING_THERE),
    ("open /dev/ttyS0", NOTHING_THERE),
    ("read /proc/kmsg", NO_ACCESS),
    ("read /proc/kallsyms", NOTHING_THERE),
    ("write /proc/sysrq-trigger", NOTHING_THERE),
    ("write /proc/sys/kernel/panic", READ_ONLY),
    ("write /proc/sys/kernel/core_pattern", NOTHING_THERE),
    ("list /sys", NOTHING_THERE),
    // The agent's processes.
    ("ptrace 1", NOT_PERMITTED),
    ("seize 1", NOT_PERMITTED),
    ("kill 1", NOT_PERMITTED),
    ("read /proc/1/environ", NOTHING_THERE),
    ("read /proc/1/mem", NOTHING_THERE),
    ("read /proc/1/maps", NOTHING_THERE),
    ("list /proc/1/root", NOTHING_THERE),
    ("list /proc/1/fd", NOTHING_THERE),
    // The agent's files.
    ("read /narthex/agent.toml", NOTHING_THERE),
    ("read /init", NOTHING_THERE),
    ("list /rootfs", NOTHING_THERE),
    ("list /narthex", NOTHING_THERE),
    ("list /run/narthex", NO_ACCESS),
    // Its own image.
    ("write /app/specimen", READ_ONLY),
    ("write /app/another", READ_ONLY),
    ("write /another", READ_ONLY),
    ("write /dev/another", READ_ONLY),
    // What only an administrator may.
    ("mount", NOT_PERMITTED),
    ("remount", NOT_PERMITTED),
    ("unshare-user", NOT_PERMITTED),
    ("unshare-mounts", NOT_PERMITTED),
    ("chroot", NOT_PERMITTED),
    ("root", NOT_PERMITTED),
    ("hostname", NOT_PERMITTED),
    ("clock", NOT_PERMITTED),
    ("reboot", NOT_PERMITTED),
    ("bind 80", NO_ACCESS),
    // The gate's place, and the gate as an operator in here.
    ("bind 5005", "Address already in use (os error 98)"),
    ("connect 16 5005 00", "No such device (os error 19)"),
];

#[test]
fn a_workload_reaches_nothing_that_is_not_its_own() {
    let Some(tools) = Tools::find("a_workload_reaches_nothing_that_is_not_its_own") else {
        return;
    };
    let mut deployment = Deployment::start(tools);
    let image = deployment.image("shop");
    deployment.release(&[&image]);
    let lab = &deployment.lab;
    let machine = deployment.running("curious", &deployment.plan(&image));
    let specimen = machine.specimen();

    // What it is, and what it has.
    assert_eq!(
        specimen.does("whoami"),
        "user=64001 group=64001 groups=0 CapEff:0000000000000000 CapBnd:0000000000000000 \
         NoNewPrivs:1 Seccomp:2"
    );
    assert_eq!(specimen.does("environment"), "NARTHEX_KEYS NARTHEX_SOCKET");
    assert_eq!(specimen.does("list /"), "app dev proc run tmp");
    assert_eq!(
        specimen.does("list /dev"),
        "fd full null random shm stderr stdin stdout urandom zero"
    );
    assert_eq!(specimen.does("list /app"), "specimen");
    // Of all processes it sees itself alone.
    let seen = specimen.does("processes");
    assert!(!seen.contains(' ') && seen.ends_with(":specimen"), "{seen}");

    for (words, reason) in FORBIDDEN {
        assert_eq!(specimen.try_to(words), Err(reason.to_owned()), "{words}");
    }
    // Whoever is there: every process that it cannot see, by its number. The agent's began before it.
    let (own, _) = seen.split_once(':').expect("its id");
    let own: u32 = own.parse().expect("a number");
    assert!(own > 2, "{seen}");
    for id in 2..=own + 8 {
        for words in ["ptrace", "seize"] {
            let outcome = specimen.try_to(&format!("{words} {id}"));
            assert_eq!(outcome, Err(NOT_PERMITTED.to_owned()), "{words} {id}");
        }
        if own != id {
            assert!(specimen.try_to(&format!("read /proc/{id}/mem")).is_err());
        }
    }
    // The gate, as an operator: no address of this machine leads to it, whatever is said there.
    let (_, first) = Initiator::new(&Opening::Diagnostics).expect("a first message");
    for cid in [0, 1, 2, 16] {
        let words = format!("connect {cid} 5005 {}", hex::encode(&first));
        let outcome = specimen.try_to(&words);
        assert!(outcome.is_err(), "CID {cid}: {outcome:?}");
    }

    // It may fill what is its own, up to a limit, and nobody else notices.
    for (path, limit) in [
        ("/tmp/x", 64 << 20),
        ("/dev/shm/x", 64 << 20),
        ("/run/x", 4 << 20),
    ] {
        let said = specimen.does(&format!("fill {path}"));
        let (written, stopped) = said.split_once(' ').expect("a number and a reason");
        assert!(stopped.contains("No space left"), "{path}: {said}");
        let written: u64 = written.parse().expect("bytes");
        assert!((1..=limit).contains(&written), "{path}: {said}");
    }
    assert_unharmed(lab, &machine);
    // Documents that it asks for are marked as its own, and counted.
    let attested = specimen.does("http POST /v1/attestation 616263");
    let document = hex::decode(attested.strip_prefix("200 ").expect("a document")).expect("hex");
    let mark = b"narthex/v1/workload\0abc";
    assert!(document.windows(mark.len()).any(|window| window == mark));

    // It may take every port that the kernel would hand out next: the agent still reaches the key service.
    deployment.await_released(2);
    let taken: u32 = specimen.does("take-ports").parse().expect("a count");
    assert!(taken > 3000, "{taken}");
    assert_unharmed(&deployment.lab, &machine);
    deployment.await_released(3);
}

/// The agent answers, runs, was never restarted in part, and takes a change.
fn assert_unharmed(lab: &Lab, machine: &Machine) {
    let health = lab.read(machine, Action::Health);
    assert_eq!(
        health.value(FieldName::HealthState),
        Some(Value::State(State::Running))
    );
    assert_eq!(stated_count(&health, FieldName::HealthGateRestarts), 0);
    assert_eq!(lab.write(machine, Action::ReloadKeys, &["alice"]), "done");
}

#[test]
fn workloads_that_end_badly_are_reported_by_their_true_cause() {
    let Some(tools) = Tools::find("workloads_that_end_badly_are_reported_by_their_true_cause")
    else {
        return;
    };
    let deployment = Deployment::start(tools);
    let image = deployment.image("shop");
    deployment.release(&[&image]);
    let lab = &deployment.lab;
    let machine = deployment.running("ends", &deployment.plan(&image));
    let specimen = machine.specimen();
    let workload = || lab.read(&machine, Action::Workload);
    let endings = [
        (
            "crash",
            State::Signalled,
            Some((FieldName::WorkloadLastSignal, 11)),
        ),
        (
            "exit 7",
            State::Exited,
            Some((FieldName::WorkloadLastExitCode, 7)),
        ),
        ("leak", State::OutOfMemory, None),
    ];
    for (restarts, (words, ending, number)) in (1..).zip(endings) {
        specimen.goes_down(words);
        await_true(&format!("another run after {words}"), || {
            stated_count(&workload(), FieldName::WorkloadRestarts) == restarts
        });
        let body = workload();
        assert_eq!(
            body.value(FieldName::WorkloadLastExit),
            Some(Value::State(ending)),
            "{words}: {body:#?}"
        );
        if let Some((name, number)) = number {
            assert_eq!(stated_count(&body, name), number, "{words}");
        }
        let killed = stated_count(&body, FieldName::WorkloadOomKills);
        assert_eq!(
            killed > 0,
            ending == State::OutOfMemory,
            "{words}: {killed}"
        );
        // It has its key again, and the agent is as it was.
        assert_eq!(specimen.does("keys"), KEY);
        assert_unharmed(lab, &machine);
    }
    await_true("the kernel's own count", || {
        let events = lab.read(&machine, Action::KernelEvents);
        stated_count(&events, FieldName::KernelOutOfMemory) > 0
    });

    // It forks without end: the limit holds, everybody else goes on, and an operator ends it.
    assert_eq!(
        stated_count(&workload(), FieldName::WorkloadProcessLimitHits),
        0
    );
    let _connection = specimen.begins("forks");
    await_true("the limit of processes is hit", || {
        stated_count(&workload(), FieldName::WorkloadProcessLimitHits) > 0
    });
    assert_unharmed(lab, &machine);
    // Held until the end: several operators come in, not one after the other.
    let _sessions = [(); 5].map(|()| machine.session());
    assert_eq!(
        lab.write(&machine, Action::RestartWorkload, &["bob"]),
        "done"
    );
    await_true("it is alone again", || {
        let seen = specimen.try_once("processes");
        seen.is_ok_and(|seen| seen.is_ok_and(|seen| !seen.contains(' ')))
    });
    assert_unharmed(lab, &machine);
    // Boot begun, waiting for a policy, serving: the agent had nothing else to say.
    assert_eq!(machine.console().matches("narthex-agent:").count(), 3);
}
