//! The search for secrets from outside a virtual machine: whatever a workload does with them, they are in no byte that
//! leaves by the console or by vsock.

// A scenario panics when something is not as it should be: that is how it says so.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used
)]
use std::fs;

use narthex_channel::Message;
use narthex_channel::diagnostics::{CallAnswer, FieldName, Value};
use narthex_policy::Action;
use narthex_tests::canary::{Canary, assert_no_leak, search};
use narthex_tests::lab::agent::Reachable;
use narthex_tests::lab::orders::read_actions;
use narthex_tests::lab::process::await_true;
use narthex_tests::lab::{KEY, Lab};
use narthex_tests::machine::deployment::Deployment;
use narthex_tests::machine::image::Content;
use narthex_tests::machine::tools::Tools;
use narthex_tests::machine::{Machine, Way};
use narthex_tests::operator::{Operator, What, outcome};
use narthex_tests::random::Random;
use narthex_tests::relay::Relay;

/// Place and secret, in a file of the workload. Names of threads have 15 bytes at most; a process has the name of one.
const SECRETS: [(&str, &str); 10] = [
    ("memory", "Mem0ry-Canary-1f9b"),
    ("file", "F1le-Canary-3e5d"),
    ("file-name", "FileN4me-Canary-ab12"),
    ("process", "Pr0cess-Cnry-7a"),
    ("thread", "Thr3ad-Cnry-88c"),
    ("counter", "C0unter-Canary-55fe"),
    ("output", "0utput-Canary-c3c3"),
    ("error-output", "Err0r-Canary-d4d4"),
    ("exit", "Ex1t-Canary-e5e5"),
    ("user-data", "UserD4ta-Canary-9b9b"),
];
const ENVIRONMENT: &str = "Env1ronment-Canary-77aa";
const ARGUMENT: &str = "Argum3nt-Canary-90cd";
const FILE: &str = "/app/secrets";
/// Requests in which something is broken.
const MUTATIONS: usize = 300;

struct Scene<'d> {
    lab: &'d Lab,
    machine: Machine,
    gate: Relay,
    canaries: Vec<Canary>,
    /// Everything that an operator decrypted.
    received: Vec<u8>,
}

impl Scene<'_> {
    fn session(&mut self) -> Operator {
        let operator = Operator::connect(self.gate.address())
            .unwrap_or_else(|error| panic!("no session: {}", error.reason()));
        self.received.extend_from_slice(&operator.welcome_bytes);
        operator
    }

    fn read_everything(&mut self) {
        let mut operator = self.session();
        let paper = self.lab.read_order("olga");
        for (counter, action) in (0..).zip(read_actions()) {
            let what = What::look(action, counter);
            let request = self.lab.compose(&operator, "olga", &paper, what);
            let answer = operator.ask(&request);
            self.received.extend_from_slice(&answer);
            let answer = CallAnswer::from_bytes(&answer).expect("an answer");
            assert_eq!(outcome(&answer), "done", "{action}");
        }
    }

    fn change(&mut self, action: Action, approvers: &[&str]) -> String {
        let mut operator = self.session();
        let statement = operator.statement();
        let paper = self.lab.write_order("olga", action, &statement, approvers);
        let what = What::plain(action, 0);
        let request = self.lab.compose(&operator, "olga", &paper, what);
        let answer = operator.ask(&request);
        self.received.extend_from_slice(&answer);
        let answer = CallAnswer::from_bytes(&answer).expect("an answer");
        outcome(&answer).to_owned()
    }

    /// Requests in which bytes were changed, some of which no longer are any.
    fn break_requests(&mut self) {
        let mut random = Random::new(0x6e61_7274_6865_7804);
        let paper = self.lab.read_order("olga");
        let mut session: Option<Operator> = None;
        for counter in 0..MUTATIONS {
            let mut operator = session.take().unwrap_or_else(|| self.session());
            let what = What::plain(Action::Workload, u64::try_from(counter).expect("small"));
            let request = self.lab.compose(&operator, "olga", &paper, what);
            let mut bytes = request.to_bytes().expect("a request").to_vec();
            random.mutate(&mut bytes);
            // An agent that had enough closes: the next one begins anew.
            if let Ok(Some(answer)) = operator.raw(&bytes) {
                self.received.extend_from_slice(&answer);
                session = Some(operator);
            }
        }
    }

    fn search(&self, when: &str) {
        let places = [
            ("what was decrypted", self.received.clone()),
            ("the gate's connections", self.gate.recorded()),
            ("the way to the keys", self.machine.keys().recorded()),
            ("the way to the policy", self.machine.policy().recorded()),
            ("heartbeat and status", self.machine.parent.recorded()),
            ("the console, and all that", self.machine.recorded()),
        ];
        assert_no_leak(&self.canaries, &places, when);
    }
}

#[test]
fn no_secret_leaves_a_virtual_machine() {
    let Some(tools) = Tools::find("no_secret_leaves_a_virtual_machine") else {
        return;
    };
    let mut deployment = Deployment::start(tools);
    let key: Vec<u8> = (0..32_u8)
        .map(|byte| byte.wrapping_mul(37) ^ 0x5c)
        .collect();
    fs::write(deployment.lab.path("secret"), &key).expect("a key");
    let lines: Vec<String> = SECRETS
        .iter()
        .map(|(place, secret)| format!("{place}={secret}\n"))
        .collect();
    let workload = deployment.settings.workload.take().expect("a workload");
    deployment.settings.workload = Some(
        workload.replace("[\"serve\"]", &format!("[\"serve\", \"{ARGUMENT}\"]"))
            + &format!("[workload.environment]\nSECRET = \"{ENVIRONMENT}\"\n"),
    );
    let image = deployment.image_with("shop", |plan| {
        let secrets = Content::Text(lines.concat());
        plan.files.push((FILE.to_owned(), secrets, 0o444));
    });
    let commitment = deployment.lab.import_key(KEY, "secret");
    deployment.release_with(&[&image], &commitment, |_| ());
    let lab = &deployment.lab;
    let mut plan = deployment.plan(&image);
    plan.keys = Way::Recorded(lab.address("keys.sock"));
    plan.policy = Way::Recorded(lab.address("policy.sock"));
    // With everything that the kernel has to say.
    plan.append = "loglevel=7".to_owned();
    let machine = deployment.running("canary", &plan);

    let canary = |place: &str, secret: &[u8]| Canary::new(place, secret).expect("long enough");
    let mut canaries: Vec<Canary> = SECRETS
        .iter()
        .chain(&[("the environment", ENVIRONMENT), ("an argument", ARGUMENT)])
        .map(|(place, secret)| canary(place, secret.as_bytes()))
        .collect();
    canaries.push(canary("the key", &key));
    for (number, half) in key.chunks(16).enumerate() {
        canaries.push(canary(&format!("half {number} of the key"), half));
    }
    let specimen = machine.specimen();
    // The workload has them: what it says itself, on a connection of its own, is where they are found.
    let own = specimen.does(&format!("key {KEY}"));
    assert_eq!(own, hex::encode(&key));
    assert!(search(own.as_bytes(), &canaries).is_some());
    assert_eq!(specimen.does(&format!("plant {FILE}")), "");

    let gate = Relay::start(&lab.path("gate.sock"), machine.gate().clone()).expect("a relay");
    let mut scene = Scene {
        lab,
        machine,
        gate,
        canaries,
        received: Vec::new(),
    };
    scene.read_everything();
    let counters = lab.read(&scene.machine, Action::Counters);
    let served = counters.value(FieldName::CounterValue);
    assert_eq!(served, Some(Value::Count(40)), "it was heard");
    scene.search("while it runs");

    // It dies with a last word, and is started again.
    specimen.goes_down(&format!("shout {FILE}"));
    await_true("another run", || {
        let workload = lab.read(&scene.machine, Action::Workload);
        workload.value(FieldName::WorkloadRestarts) == Some(Value::Count(1))
    });
    let workload = lab.read(&scene.machine, Action::Workload);
    let code = workload.value(FieldName::WorkloadLastExitCode);
    assert_eq!(code, Some(Value::Count(77)));
    scene.read_everything();
    scene.search("after it died");

    assert_eq!(specimen.does(&format!("plant {FILE}")), "");
    scene.break_requests();
    scene.search("after broken requests");
    for action in [Action::ReloadKeys, Action::RestartWorkload] {
        assert_eq!(scene.change(action, &[]), "order.under_approved");
        assert_eq!(scene.change(action, &["alice"]), "done");
        scene.read_everything();
    }
    scene.search("after every change");
    assert_eq!(scene.change(Action::Shutdown, &["bob"]), "done");
    scene.machine.end();
    scene.search("after the end");
}
