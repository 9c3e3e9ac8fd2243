//! Much through the relay, and many at the gate of a virtual machine.

// A scenario panics when something is not as it should be: that is how it says so.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used
)]
use std::os::unix::net::UnixStream;
use std::panic::resume_unwind;
use std::sync::Barrier;
use std::thread;
use std::time::Instant;

use narthex_channel::Address;
use narthex_channel::diagnostics::{FieldName, Value};
use narthex_policy::Action;
use narthex_tests::lab::KEY;
use narthex_tests::lab::agent::Reachable;
use narthex_tests::machine::deployment::Deployment;
use narthex_tests::machine::tools::Tools;
use narthex_tests::machine::workload::{WORKLOAD_PORT, echoed};
use narthex_tests::machine::{GATE_PORT, start_relay};
use narthex_tests::operator::{Operator, What, outcome};
use narthex_tests::random::Random;

/// One after the other.
const SEQUENTIAL: usize = 1000;
/// All at once; the agent's configuration says at most 64.
const CONCURRENT: usize = 50;

#[test]
fn much_goes_through_the_relay_and_many_are_answered() {
    let Some(tools) = Tools::find("much_goes_through_the_relay_and_many_are_answered") else {
        return;
    };
    let deployment = Deployment::start(tools);
    let image = deployment.image("shop");
    deployment.release(&[&image]);
    let lab = &deployment.lab;
    let machine = deployment.running("busy", &deployment.plan(&image));

    assert_eq!(machine.specimen().does("keys"), KEY);

    // 64 KiB and 8 MiB, there and back, by the relay that the parent runs.
    let relay = |name: &str, port: u32| {
        let here = lab.path(name);
        let (from, to) = (Address::Unix(here.clone()), machine.port(port));
        let narthex = lab.programs.narthex();
        let process = start_relay(lab.folder(), name, &narthex, &from, &to);
        (process, here)
    };
    let (_data, data) = relay("data.sock", WORKLOAD_PORT);
    let mut random = Random::new(0x6e61_7274_6865_7805);
    for length in [1, 32 * 1024, 32 * 1024 + 1, 64 * 1024, 8 << 20] {
        let bytes = random.bytes(length);
        let begun = Instant::now();
        let stream = UnixStream::connect(&data).expect("the relay");
        let back = echoed(stream, &bytes).expect("an echo");
        assert!(back == bytes, "{length} bytes came back changed");
        eprintln!(
            "MEASURED {length} bytes there and back in {:?}",
            begun.elapsed()
        );
    }

    // Operators, one after the other, each with a session and a call of its own.
    let (_gate, gate) = relay("gate.sock", GATE_PORT);
    let gate = Address::Unix(gate);
    let paper = lab.read_order("olga");
    let call = |operator: &mut Operator, counter: usize| {
        let counter = u64::try_from(counter).expect("small");
        let what = What::plain(Action::Health, counter);
        let request = lab.compose(operator, "olga", &paper, what);
        assert_eq!(outcome(&operator.call(&request)), "done", "call {counter}");
    };
    let begun = Instant::now();
    for counter in 0..SEQUENTIAL {
        let mut operator = Operator::connect(&gate)
            .unwrap_or_else(|error| panic!("session {counter}: {}", error.reason()));
        call(&mut operator, counter);
    }
    eprintln!(
        "MEASURED {SEQUENTIAL} sessions with a call each in {:?}",
        begun.elapsed()
    );

    // And all at once: nobody calls before everybody has a session.
    let (everybody, begun) = (Barrier::new(CONCURRENT), Instant::now());
    thread::scope(|scope| {
        let (everybody, gate, call) = (&everybody, &gate, &call);
        let session = |number| {
            scope.spawn(move || {
                let operator = Operator::connect(gate);
                everybody.wait();
                let mut operator =
                    operator.unwrap_or_else(|error| panic!("session {number}: {}", error.reason()));
                call(&mut operator, SEQUENTIAL + number);
                operator
            })
        };
        // All are started before the first is waited for, and stay open until the last has called. One that fails holds nobody up.
        let all: Vec<_> = (0..CONCURRENT).map(session).collect();
        let _sessions: Vec<_> = all
            .into_iter()
            .map(|session| session.join().unwrap_or_else(|panic| resume_unwind(panic)))
            .collect();
    });
    eprintln!(
        "MEASURED {CONCURRENT} sessions at once with a call each in {:?}",
        begun.elapsed()
    );

    let connections = lab.read(&machine, Action::Connections);
    let accepted = connections.value(FieldName::ConnectionsGateAccepted);
    let least = u64::try_from(SEQUENTIAL + CONCURRENT).expect("small");
    assert!(
        matches!(accepted, Some(Value::Count(count)) if count >= least),
        "{accepted:?}"
    );
    assert_eq!(
        connections.value(FieldName::ConnectionsGateLimited),
        Some(Value::Count(0))
    );
    let health = lab.read(&machine, Action::Health);
    assert_eq!(
        health.value(FieldName::HealthGateRestarts),
        Some(Value::Count(0))
    );
    assert_eq!(machine.session().statement().decisions.refused, 0);
}
