//! The whole story in a virtual machine: policy, keys, a workload with its key, every diagnostic, changes with
//! approvals, and a clean end.

// A scenario panics when something is not as it should be: that is how it says so.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used
)]
use std::fs;

use narthex_agent::init::status::Stage;
use narthex_channel::Digest384;
use narthex_channel::diagnostics::{CallAnswer, FieldName, LogCheck, State};
use narthex_policy::Action;
use narthex_tests::lab::KEY;
use narthex_tests::lab::agent::Reachable;
use narthex_tests::lab::fields::{state, stated_count};
use narthex_tests::lab::orders::read_actions;
use narthex_tests::lab::process::await_true;
use narthex_tests::machine::deployment::Deployment;
use narthex_tests::machine::tools::Tools;
use narthex_tests::operator::{What, outcome};

#[test]
fn an_image_boots_serves_changes_and_ends() {
    let Some(tools) = Tools::find("an_image_boots_serves_changes_and_ends") else {
        return;
    };
    let mut deployment = Deployment::start(tools);
    // A key that the test knows.
    let secret: Vec<u8> = (100..132).collect();
    let lab = &deployment.lab;
    fs::write(lab.path("secret"), &secret).expect("a secret");
    let image = deployment.image("shop");
    let commitment = lab.import_key(KEY, "secret");
    deployment.release_with(&[&image], &commitment, |_| ());
    let mut plan = deployment.plan(&image);
    // What the builder says is enough.
    plan.memory_mib = image.memory_mib;
    let mut machine = deployment.boot("shop", &plan).serving();
    let session = machine.session();
    assert_eq!(machine.parent.heartbeats(), 1);
    let statement = session.statement();
    assert_eq!(statement.module_id.as_str(), machine.module_id());
    assert_eq!(statement.log_check, LogCheck::Required);
    let boot_bundle = fs::read(lab.path("policy/bundles/0002.toml")).expect("bundle 2");
    assert_eq!(statement.boot_bundle, Digest384::of(&boot_bundle));
    drop(session);

    // The operator's real tool sees the release that was approved, and no other.
    let status =
        |release: &str| lab.diag_of(machine.gate(), machine.module_id(), release, &["--status"]);
    let said = status("shop").done();
    assert!(said.contains("shop 1.0.0 (current)"), "{said}");
    status("elsewhere").refused("release.unknown");

    // The workload has exactly the key.
    lab.await_health(&machine, State::Running);
    let specimen = machine.specimen();
    await_true("the key", || {
        specimen.try_to(&format!("key {KEY}")) == Ok(hex::encode(&secret))
    });
    assert_eq!(specimen.does("keys"), KEY);

    // Every action that looks.
    let mut fields = 0;
    for action in read_actions() {
        let mut session = machine.session();
        let paper = lab.read_order("olga");
        let request = lab.compose(&session, "olga", &paper, What::look(action, 0));
        let answer = session.call(&request);
        assert_eq!(outcome(&answer), "done", "{action}");
        if let CallAnswer::Done(body) = answer {
            fields += body.fields.len();
        }
    }
    assert!(fields > 250, "{fields} fields");
    let health = lab.read(&machine, Action::Health);
    assert_eq!(state(&health, FieldName::HealthState), Some(State::Running));
    assert_eq!(
        state(&health, FieldName::HealthHeartbeat),
        Some(State::HeartbeatAnswered)
    );
    assert_eq!(stated_count(&health, FieldName::HealthFailedChecks), 0);

    // Changes, with approvals and without.
    assert_eq!(
        lab.write(&machine, Action::ReloadKeys, &[]),
        "order.under_approved"
    );
    assert_eq!(lab.write(&machine, Action::ReloadKeys, &["alice"]), "done");
    deployment.await_released(2);
    let lab = &deployment.lab;
    let restarts = || {
        let workload = lab.read(&machine, Action::Workload);
        stated_count(&workload, FieldName::WorkloadRestarts)
    };
    let before = restarts();
    assert_eq!(
        lab.write(&machine, Action::RestartWorkload, &["bob"]),
        "done"
    );
    await_true("a restart", || restarts() > before);
    assert_eq!(specimen.does(&format!("key {KEY}")), hex::encode(&secret));

    // The end: it says so, and QEMU ends by itself.
    assert_eq!(lab.write(&machine, Action::Shutdown, &["carol"]), "done");
    machine.await_stage(Stage::ShuttingDown);
    machine.end();
    let console = machine.console();
    for line in ["boot begun", "serving", "shutting down"] {
        assert!(
            console.contains(&format!("narthex-agent: {line}")),
            "{line}"
        );
    }
    assert!(!console.contains("Kernel panic"), "{console}");
}
