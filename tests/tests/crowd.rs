//! Many agents at once, each a real process with an NSM of its own.

// A scenario panics when something is not as it should be: that is how it says so.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used
)]
use std::time::Instant;

use narthex_channel::diagnostics::{FieldName, Value};
use narthex_policy::Action;
use narthex_tests::lab::Lab;

/// Each is an agent, a gate, a fetcher, a shepherd and a workload.
const AGENTS: usize = 20;

#[test]
fn agents_that_start_together_all_get_their_keys() {
    let lab = Lab::start();
    let enclaves: Vec<_> = (0..AGENTS)
        .map(|number| lab.enclave(&format!("crowd-{number}")))
        .collect();
    let begun = Instant::now();
    let agents: Vec<_> = enclaves
        .iter()
        .enumerate()
        .map(|(number, enclave)| lab.agent(&format!("agent-{number}"), &lab.plan(enclave)))
        .collect();
    let agents: Vec<_> = agents
        .into_iter()
        .map(|agent| agent.listening().with_keys())
        .collect();
    eprintln!(
        "MEASURED {AGENTS} agents have their keys {:?} after the first was started",
        begun.elapsed()
    );
    for (mut agent, enclave) in agents.into_iter().zip(&enclaves) {
        // Nobody waited for a second attempt, and each is the enclave that it should be.
        assert!(
            !agent.process.log().contains("keys were not received"),
            "{}",
            agent.process.log()
        );
        assert_eq!(
            agent.session().statement().module_id.as_str(),
            enclave.module_id()
        );
        let keys = lab.read(&agent, Action::Keys);
        assert_eq!(keys.value(FieldName::KeyVersion), Some(Value::Count(1)));
        agent.process.await_text("32\n");
    }
    let service = lab.service.as_ref().expect("a service");
    assert_eq!(
        service.log().matches("released key=\"shop-key\"").count(),
        AGENTS
    );
}
