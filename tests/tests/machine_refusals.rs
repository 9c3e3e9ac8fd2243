//! Enclaves that get no key, on genuine modules: each differs in one thing from one that does, and is refused for
//! that.

// A scenario panics when something is not as it should be: that is how it says so.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used
)]
use std::fs;

use narthex_channel::diagnostics::{FieldName, ReleaseState, State, Value};
use narthex_policy::Action;
use narthex_tests::lab::KEY;
use narthex_tests::lab::agent::Reachable;
use narthex_tests::lab::process::await_true;
use narthex_tests::lab::service::metrics;
use narthex_tests::machine::deployment::Deployment;
use narthex_tests::machine::each;
use narthex_tests::machine::image::Content;
use narthex_tests::machine::tools::Tools;

const BUNDLE: &str = "policy/bundles/0002.toml";

/// The images here hand out their NSM, so that nothing but the key service refuses: not even an honest agent.
#[test]
fn the_key_service_refuses_what_the_module_states() {
    let Some(tools) = Tools::find("the_key_service_refuses_what_the_module_states") else {
        return;
    };
    let deployment = Deployment::start(tools);
    let lab = &deployment.lab;
    let image = deployment.handout_image("approved");
    let revoked = deployment.image_with("revoked", |plan| {
        plan.init = deployment.tools.specimen().to_owned();
        plan.files.push(text_file("another release"));
    });
    let unknown = deployment.image_with("unknown", |plan| {
        plan.init = deployment.tools.specimen().to_owned();
        plan.files.push(text_file("no release"));
    });
    deployment.release(&[&image, &revoked]);
    let honest = deployment.plan(&image);
    let ask = |name: &str, plan, bundle: Option<&str>, claimed: &str| {
        let mut handout = deployment.hand_out(name, &plan);
        if let Some(bundle) = bundle {
            lab.boot(&handout.nsm, bundle);
        }
        let outcome = lab.asked(&handout.nsm, claimed, 2);
        handout.end();
        outcome
    };

    // With everything as it should be there is a key.
    let good = ask("good", honest.clone(), Some(BUNDLE), BUNDLE);
    assert_eq!(good, "released");

    // Another bundle in PCR16, and none.
    fs::write(lab.path("stray.toml"), "of another lineage").expect("a file");
    let stray = ask("stray", honest.clone(), Some("stray.toml"), "stray.toml");
    assert_eq!(stray, "bundle.pcr16_unknown");
    let claimed = ask("claimed", honest.clone(), Some("stray.toml"), BUNDLE);
    assert_eq!(claimed, "bundle.pcr16_unknown");
    let open = ask("open", honest.clone(), None, BUNDLE);
    assert_eq!(open, "bundle.pcr16_absent");

    // Debug mode, another account, another image.
    let mut debug = honest.clone();
    debug.machine = "debug-mode=on".to_owned();
    let debug = ask("debug", debug, Some(BUNDLE), BUNDLE);
    assert_eq!(debug, "document.debug");
    let mut stranger = honest.clone();
    stranger.role_arn = "arn:aws:iam::999999999999:role/lab".to_owned();
    let stranger = ask("stranger", stranger, Some(BUNDLE), BUNDLE);
    assert_eq!(stranger, "key.account");
    let plan = deployment.plan(&unknown);
    let unknown = ask("unknown", plan, Some(BUNDLE), BUNDLE);
    assert_eq!(unknown, "release.unknown");

    // A release that is revoked between two questions of one machine.
    let mut handout = deployment.hand_out("revoked", &deployment.plan(&revoked));
    lab.boot(&handout.nsm, BUNDLE);
    assert_eq!(lab.asked(&handout.nsm, BUNDLE, 2), "released");
    lab.stop(&["--release", "revoked"], "bob");
    assert_eq!(lab.asked(&handout.nsm, BUNDLE, 2), "release.stopped");
    handout.end();
}

/// Here the agent is honest, and the image that it is in is not the one that was approved.
#[test]
fn an_honest_agent_gets_no_key_in_debug_mode_or_another_image() {
    let Some(tools) = Tools::find("an_honest_agent_gets_no_key_in_debug_mode_or_another_image")
    else {
        return;
    };
    let deployment = Deployment::start(tools);
    let lab = &deployment.lab;
    let image = deployment.image("shop");
    let other = deployment.image_with("other", |plan| plan.files.push(text_file("changed")));
    deployment.release(&[&image]);
    let mut debug = deployment.plan(&image);
    debug.machine = "debug-mode=on".to_owned();
    let cases = [
        ("debug", debug, "document.debug"),
        ("other", deployment.plan(&other), "pcr.0"),
    ];
    each(cases, |(name, plan, reason)| {
        let machine = deployment.boot(name, &plan).serving();
        let failures = || {
            let keys = lab.read(&machine, Action::Keys);
            matches!(keys.value(FieldName::KeyFailures), Some(Value::Count(2..)))
        };
        await_true(&format!("{name}: refusals"), failures);
        let health = lab.read(&machine, Action::Health);
        assert_eq!(
            health.value(FieldName::HealthState),
            Some(Value::State(State::WaitingForKeys)),
            "{name}"
        );
        let statement = machine.session().statement();
        assert_eq!(statement.release, ReleaseState::Unknown, "{name}");
        assert!(machine.specimen().try_once("keys").is_err(), "{name}");
        // Nor does an operator's tool talk to it.
        let status = lab.diag_of(machine.gate(), machine.module_id(), "shop", &["--status"]);
        status.refused(reason);
    });
    // It knows itself that its policy has nothing for it: it does not even ask. What the service says to one that asks
    // all the same is in the test above.
    let page = metrics(lab.service.as_ref().expect("a service"));
    let asked = page
        .lines()
        .find_map(|line| line.strip_prefix("narthex_connections_total{listener=\"keys\""));
    assert!(asked.is_some_and(|line| line.ends_with(" 0")), "{page}");
}

#[test]
fn a_revoked_release_loses_its_key_and_its_workload() {
    let Some(tools) = Tools::find("a_revoked_release_loses_its_key_and_its_workload") else {
        return;
    };
    let deployment = Deployment::start(tools);
    let lab = &deployment.lab;
    let image = deployment.image("shop");
    deployment.release(&[&image]);
    let mut machine = deployment.running("revoked", &deployment.plan(&image));
    let specimen = machine.specimen();
    assert_eq!(specimen.does("keys"), KEY);
    lab.stop(&["--release", "shop"], "bob");
    lab.await_health(&machine, State::Revoked);
    await_true("the end of the workload", || {
        specimen.try_once("keys").is_err()
    });
    let keys = lab.read(&machine, Action::Keys);
    assert_eq!(
        keys.value(FieldName::KeyState),
        Some(Value::State(State::Missing))
    );
    for action in [Action::ReloadKeys, Action::RestartWorkload] {
        let outcome = lab.write(&machine, action, &["alice"]);
        assert_eq!(outcome, "call.release_revoked");
    }
    assert_eq!(lab.write(&machine, Action::Shutdown, &["carol"]), "done");
    machine.end();
}

fn text_file(text: &str) -> (String, Content, u32) {
    let content = Content::Text(text.to_owned());
    ("/app/note".to_owned(), content, 0o444)
}
