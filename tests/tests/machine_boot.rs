//! How an image boots, and how it does not: every self-check that a boot argument can break, parents that do not
//! answer, a console at which somebody types, and parts of the agent that are killed. Whatever happens ends in
//! a restart of the machine, never in a prompt.

// A scenario panics when something is not as it should be: that is how it says so.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used
)]
use narthex_agent::init::code::BootCode;
use narthex_agent::init::status::{BootStatus, Stage};
use narthex_channel::diagnostics::{FieldName, State, Value};
use narthex_policy::Action;
use narthex_tests::lab::agent::Reachable;
use narthex_tests::lab::process::await_true;
use narthex_tests::machine::deployment::Deployment;
use narthex_tests::machine::monitor::Inmate;
use narthex_tests::machine::parent::Heart;
use narthex_tests::machine::tools::Tools;
use narthex_tests::machine::{BootPlan, Machine, Way, each};
use nix::sys::signal::Signal;

fn status(stage: Stage, code: BootCode) -> BootStatus {
    BootStatus { stage, code }
}

#[test]
fn a_boot_that_must_fail_says_why_and_restarts() {
    let Some(tools) = Tools::find("a_boot_that_must_fail_says_why_and_restarts") else {
        return;
    };
    let deployment = Deployment::start(tools);
    let image = deployment.image("shop");
    let plan = deployment.plan(&image);
    // Words that QEMU adds to the command line, after those that are measured: the last one counts.
    let mut cases: Vec<(&str, BootCode, BootPlan)> = [
        ("random.trust_cpu=on", BootCode::EntropyTrustCpu),
        (
            "random.trust_bootloader=on",
            BootCode::EntropyTrustBootloader,
        ),
        ("lsm=", BootCode::KernelLandlock),
        ("cgroup_disable=memory", BootCode::KernelCgroupMemory),
        ("cgroup_disable=pids", BootCode::KernelCgroupPids),
        ("psi=0", BootCode::KernelPressure),
        ("clocksource=refined-jiffies", BootCode::ClockSource),
    ]
    .map(|(words, code)| {
        let append = words.to_owned();
        (
            words,
            code,
            BootPlan {
                append,
                ..plan.clone()
            },
        )
    })
    .into();
    // A module that gives no documents.
    let unsigned = BootPlan {
        signer: Some(deployment.lab.path("nobody.sock")),
        ..plan.clone()
    };
    cases.push(("unsigned", BootCode::NsmAnswer, unsigned));
    each(
        cases.into_iter().enumerate(),
        |(number, (words, code, plan))| {
            let mut machine = deployment.boot(&format!("failing-{number}"), &plan);
            machine.end();
            let console = machine.console();
            let line = format!(
                "narthex-agent: boot failed: {} (0x{:04x})",
                code.id(),
                code.number()
            );
            assert!(console.contains(&line), "{words}: {console}");
            let statuses = machine.parent.statuses();
            assert_eq!(
                statuses.last(),
                Some(&status(Stage::Failed, code)),
                "{words}: {statuses:?}"
            );
            assert_never_a_prompt(&machine);
            let served = statuses.iter().any(|status| status.stage == Stage::Serving);
            assert!(!served, "{words}: {statuses:?}");
        },
    );
}

fn assert_never_a_prompt(machine: &Machine) {
    let console = machine.console();
    assert!(console.contains("reboot: Restarting system"), "{console}");
    assert!(!console.contains("Kernel panic"), "{console}");
    for prompt in ["# ", "$ ", "login:", "(none)"] {
        let asks = console.lines().any(|line| line.starts_with(prompt));
        assert!(!asks, "{prompt}: {console}");
    }
}

#[test]
fn a_kernel_that_finds_no_agent_restarts() {
    let Some(tools) = Tools::find("a_kernel_that_finds_no_agent_restarts") else {
        return;
    };
    let deployment = Deployment::start(tools);
    let image = deployment.image("shop");
    let mut plan = deployment.plan(&image);
    plan.append = "rdinit=/nothing".to_owned();
    let mut machine = deployment.boot("panics", &plan);
    machine.end();
    assert!(
        machine.console().contains("Kernel panic"),
        "{}",
        machine.console()
    );
    assert_eq!(machine.parent.statuses(), []);
}

#[test]
fn parents_that_do_not_return_the_heartbeat_are_named_and_borne() {
    let Some(tools) = Tools::find("parents_that_do_not_return_the_heartbeat_are_named_and_borne")
    else {
        return;
    };
    let deployment = Deployment::start(tools);
    let image = deployment.image("shop");
    deployment.release(&[&image]);
    let lab = &deployment.lab;
    let cases = [
        (
            "beats",
            Heart::Beats,
            BootCode::None,
            State::HeartbeatAnswered,
        ),
        (
            "wrong",
            Heart::Answers(0x7b),
            BootCode::HeartbeatAnswer,
            State::HeartbeatWrong,
        ),
        (
            "silent",
            Heart::IsSilent,
            BootCode::HeartbeatSilent,
            State::HeartbeatSilent,
        ),
        (
            "hangs-up",
            Heart::HangsUp,
            BootCode::HeartbeatSilent,
            State::HeartbeatSilent,
        ),
        (
            "absent",
            Heart::IsAbsent,
            BootCode::HeartbeatConnection,
            State::HeartbeatNoConnection,
        ),
    ];
    each(cases, |(name, heart, code, state)| {
        let mut plan = deployment.plan(&image);
        plan.heart = heart;
        // None of this counts: the kernel hands it to process 1 as arguments and environment.
        plan.append =
            "single emergency --local --check-config RUST_LOG=trace NARTHEX_KEYS=/".to_owned();
        let machine = deployment.boot(name, &plan).serving();
        let line = match code {
            BootCode::None => "narthex-agent: waiting for a policy\n".to_owned(),
            code => format!(
                "waiting for a policy: {} (0x{:04x})",
                code.id(),
                code.number()
            ),
        };
        assert!(
            machine.console().replace('\r', "").contains(&line),
            "{name}: {}",
            machine.console()
        );
        let health = lab.read(&machine, Action::Health);
        assert_eq!(
            health.value(FieldName::HealthHeartbeat),
            Some(Value::State(state)),
            "{name}"
        );
        assert_eq!(
            health.value(FieldName::HealthFailedChecks),
            Some(Value::Count(0))
        );
        // A parent that types at the console gets nothing, and breaks nothing.
        let before = machine.console().len();
        machine
            .type_at_console(b"\n\nroot\n\x03\x1a\x1c\x04id\nreboot\nexit\n\0\xff\xff")
            .expect("a console");
        lab.await_health(&machine, State::Running);
        let said = machine.console()[before..].to_owned();
        assert!(
            !said.contains("uid=") && !said.contains("narthex-agent"),
            "{said}"
        );
    });
}

#[test]
fn no_part_of_the_agent_is_killed_without_notice() {
    let Some(tools) = Tools::find("no_part_of_the_agent_is_killed_without_notice") else {
        return;
    };
    let deployment = Deployment::start(tools);
    let image = deployment.monitored_image("shop");
    deployment.release(&[&image]);
    let lab = &deployment.lab;
    let mut machine = deployment.running("killed", &deployment.plan(&image));
    let part = |machine: &Machine, name: &str| -> Inmate {
        let all = machine.inmates();
        let found = all.iter().find(|inmate| inmate.line.contains(name));
        found.unwrap_or_else(|| panic!("{name}: {all:#?}")).clone()
    };
    // The gate: another one takes its place.
    let gate = part(&machine, "--confined gate");
    machine.signal_inmate(&gate, Signal::SIGKILL);
    // In the meantime nobody else gets its place.
    let taken = machine.specimen().try_to("bind 5005");
    assert_eq!(
        taken,
        Err("Address already in use (os error 98)".to_owned())
    );
    await_true("another gate", || {
        lab.read(&machine, Action::Health)
            .value(FieldName::HealthGateRestarts)
            == Some(Value::Count(1))
    });

    // The workload's shepherd: the workload goes with it, and comes again.
    let shepherd = part(&machine, "workload-shepherd");
    machine.signal_inmate(&shepherd, Signal::SIGKILL);
    await_true("another workload", || {
        let workload = lab.read(&machine, Action::Workload);
        workload.value(FieldName::WorkloadState) == Some(Value::State(State::Ready))
            && workload.value(FieldName::WorkloadRestarts) == Some(Value::Count(1))
    });
    assert!(machine.session().statement().decisions.accepted > 0);

    // The supervisor: nothing can go on without it. Process 1 says so and restarts the machine.
    let supervisor = part(&machine, "enclave-supervisor");
    machine.signal_inmate(&supervisor, Signal::SIGKILL);
    machine.end();
    let last = machine.parent.statuses().last().copied();
    assert_eq!(
        last,
        Some(status(Stage::Failed, BootCode::SupervisorKilled))
    );
    assert!(
        machine
            .console()
            .contains("narthex-agent: failed: supervisor.killed (0x0a02)"),
        "{}",
        machine.console()
    );
    assert_never_a_prompt(&machine);
}

#[test]
fn an_enclave_whose_parent_has_no_policy_waits_and_says_so() {
    let Some(tools) = Tools::find("an_enclave_whose_parent_has_no_policy_waits_and_says_so") else {
        return;
    };
    let deployment = Deployment::start(tools);
    let image = deployment.image("shop");
    let mut plan = deployment.plan(&image);
    plan.policy = Way::Closed;
    let mut machine = deployment.boot("waits", &plan);
    machine.await_status(status(Stage::Waiting, BootCode::PolicyConnection));
    assert!(!machine.has_ended());
}
