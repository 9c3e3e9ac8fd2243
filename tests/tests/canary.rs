//! Secrets planted everywhere in a workload never appear in any byte that leaves the agent (claim C2): not in
//! what a relay sees, not in what an operator decrypts, not in what the agent says to its terminal; over every
//! action, and under thousands of malformed requests.

// A scenario panics when something is not as it should be: that is how it says so.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used
)]
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use narthex_channel::diagnostics::{CallAnswer, CallRequest, FieldName, State, Value};
use narthex_channel::{ArmoredSignature, Message};
use narthex_ledger::LogReason;
use narthex_policy::{Action, Namespace, Reason};
use narthex_tests::canary::{Canary, assert_no_leak, search};
use narthex_tests::lab::agent::Agent;
use narthex_tests::lab::enclave::Enclave;
use narthex_tests::lab::orders::read_actions;
use narthex_tests::lab::process::await_true;
use narthex_tests::lab::{KEY, Lab};
use narthex_tests::operator::{Operator, Paper, What, outcome};
use narthex_tests::random::Random;
use narthex_tests::relay::Relay;

/// Malformed requests of each kind.
const MUTATIONS: usize = 1500;
/// An agent lets a session attempt 240 calls a minute.
const CALLS_PER_SESSION: usize = 200;

/// Place and secret, for the workload's file. Names of processes and threads have 15 bytes at most.
const SECRETS: [(&str, &str); 11] = [
    ("memory", "Mem0ry-Canary-1f9b"),
    ("file", "F1le-Canary-3e5d"),
    ("file-name", "FileN4me-Canary-ab12"),
    ("process", "Pr0cess-Cnry-7a"),
    ("thread", "Thr3ad-Cnry-88c"),
    ("socket", "S0cket-Canary-01de"),
    ("counter", "C0unter-Canary-55fe"),
    ("output", "0utput-Canary-c3c3"),
    ("error-output", "Err0r-Canary-d4d4"),
    ("exit", "Ex1t-Canary-e5e5"),
    ("user-data", "UserD4ta-Canary-9b9b"),
];
const ENVIRONMENT: &str = "Env1ronment-Canary-77aa";
const ARGUMENT: &str = "Argum3nt-Canary-90cd";

struct Scene {
    lab: Lab,
    agent: Agent,
    relay: Relay,
    out: PathBuf,
    canaries: Vec<Canary>,
    /// Everything that was decrypted.
    received: Vec<u8>,
    _enclave: Enclave,
}

impl Scene {
    fn start() -> Self {
        let lab = Lab::start();
        let enclave = lab.enclave("one");
        let out = lab.path("out");
        fs::create_dir(&out).expect("the workload's folder");
        fs::set_permissions(&out, fs::Permissions::from_mode(0o777)).expect("its mode");
        // Where the workload's user can reach it, wherever the checkout is.
        let program = lab.path("workload");
        fs::copy(env!("CARGO_BIN_EXE_narthex-adversary"), &program).expect("the workload");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("its mode");
        let lines: Vec<String> = SECRETS
            .iter()
            .map(|(place, secret)| format!("{place}={secret}"))
            .collect();
        fs::write(lab.path("secrets"), lines.join("\n")).expect("the secrets");
        fs::set_permissions(lab.path("secrets"), fs::Permissions::from_mode(0o644)).expect("mode");

        let mut plan = lab.plan(&enclave);
        plan.workload = Some(format!(
            "command = \"{}\"\nrestart = \"always\"\nrestart_delay_millis = 50\n\
             arguments = [\"leaky-workload\", \"--out\", \"{}\", \"--secrets\", \"{}\", \"--note\", \
             \"{ARGUMENT}\"]\n[workload.environment]\nSECRET = \"{ENVIRONMENT}\"\n{} = \"x\"\n",
            program.display(),
            out.display(),
            lab.path("secrets").display(),
            ENVIRONMENT.replace('-', "_"),
        ));
        plan.more = "[local_socket]\n\
                     [[counter]]\nname = \"served\"\nmin = 0\nmax = 1000\nstep = 10\n"
            .to_owned();
        let agent = lab.agent("agent", &plan).listening().with_keys();
        let relay = Relay::start(&lab.path("between.sock"), agent.gate().clone()).expect("a relay");
        await_true("all is planted", || out.join("planted").exists());

        let mut canaries: Vec<Canary> = SECRETS
            .iter()
            .chain(&[("the environment", ENVIRONMENT), ("an argument", ARGUMENT)])
            .map(|(place, secret)| Canary::new(place, secret.as_bytes()).expect("long enough"))
            .collect();
        canaries.push(canary_of(
            "the name of a variable",
            &ENVIRONMENT.replace('-', "_"),
        ));
        let key = fs::read(out.join(format!("kept.{KEY}"))).expect("the workload kept its key");
        assert_eq!(key.len(), 32);
        canaries.push(Canary::new("the key", &key).expect("long enough"));
        for (number, half) in key.chunks(16).enumerate() {
            canaries.push(
                Canary::new(&format!("half {number} of the key"), half).expect("long enough"),
            );
        }
        Self {
            lab,
            agent,
            relay,
            out,
            canaries,
            received: Vec::new(),
            _enclave: enclave,
        }
    }

    fn session(&mut self) -> Operator {
        let operator = Operator::connect(self.relay.address()).unwrap_or_else(|error| {
            panic!("no session: {}", error.reason());
        });
        self.received.extend_from_slice(&operator.welcome_bytes);
        operator
    }

    fn ask(&mut self, operator: &mut Operator, request: &CallRequest) -> CallAnswer {
        let answer = operator.ask(request);
        self.received.extend_from_slice(&answer);
        CallAnswer::from_bytes(&answer).expect("a call answer")
    }

    /// Every read action, in a session of its own; returns the number of fields.
    fn read_everything(&mut self) -> usize {
        let mut operator = self.session();
        let paper = self.lab.read_order("olga");
        let mut fields = 0;
        for (counter, action) in (0..).zip(read_actions()) {
            let what = What::look(action, counter);
            let request = self.lab.compose(&operator, "olga", &paper, what);
            match self.ask(&mut operator, &request) {
                CallAnswer::Done(body) => fields += body.fields.len(),
                CallAnswer::Refused { reason } => panic!("{action}: {reason}"),
            }
        }
        fields
    }

    fn write(&mut self, action: Action) {
        let mut operator = self.session();
        let statement = operator.statement();
        let paper = self.lab.write_order("olga", action, &statement, &["alice"]);
        let request = self
            .lab
            .compose(&operator, "olga", &paper, What::plain(action, 0));
        let answer = self.ask(&mut operator, &request);
        assert_eq!(outcome(&answer), "done", "{action}");
    }

    /// Nothing planted is in anything that left so far.
    fn search(&self, when: &str) {
        let places = [
            ("what was decrypted", self.received.clone()),
            ("what the relay saw", self.relay.recorded()),
            ("what the agent said", self.agent.process.log_bytes()),
        ];
        assert_no_leak(&self.canaries, &places, when);
    }
}

fn canary_of(place: &str, secret: &str) -> Canary {
    Canary::new(place, secret.as_bytes()).expect("long enough")
}

#[test]
fn no_action_gives_a_secret_away() {
    let mut scene = Scene::start();
    assert!(scene.read_everything() > 250);
    // The workload was heard where it may be: a declared counter and its readiness.
    let counters = scene.lab.read(&scene.agent, Action::Counters);
    assert_eq!(
        counters.value(FieldName::CounterValue),
        Some(Value::Count(40))
    );
    let workload = scene.lab.read(&scene.agent, Action::Workload);
    assert_eq!(
        workload.value(FieldName::WorkloadReady),
        Some(Value::Flag(true))
    );
    assert!(matches!(
        workload.value(FieldName::WorkloadOutputBytes),
        Some(Value::Bytes(1..))
    ));
    scene.search("while it runs");

    // It dies with a last word, and is started again.
    fs::write(scene.out.join("die"), "").expect("a sign");
    let restarts = |scene: &Scene| {
        scene
            .lab
            .read(&scene.agent, Action::Workload)
            .value(FieldName::WorkloadRestarts)
    };
    await_true("it is started again", || {
        restarts(&scene) == Some(Value::Count(1))
    });
    await_true("all is planted again", || {
        scene.out.join("planted").exists()
    });
    let workload = scene.lab.read(&scene.agent, Action::Workload);
    assert_eq!(
        workload.value(FieldName::WorkloadLastExit),
        Some(Value::State(State::Exited))
    );
    scene.read_everything();
    scene.search("after it died");

    // Every change, and what the refusals of changes say.
    for action in [Action::ReloadKeys, Action::RestartWorkload] {
        scene.write(action);
        scene.read_everything();
    }
    scene.agent.process.await_texts("keys were received", 2);
    for action in Action::ALL
        .iter()
        .copied()
        .filter(|action| action.is_write())
    {
        let mut operator = scene.session();
        let statement = operator.statement();
        let paper = scene.lab.write_order("olga", action, &statement, &[]);
        let request = scene
            .lab
            .compose(&operator, "olga", &paper, What::plain(action, 0));
        assert_eq!(
            outcome(&scene.ask(&mut operator, &request)),
            "order.under_approved"
        );
    }
    scene.search("after every change");
    scene.write(Action::Shutdown);
    assert_eq!(scene.agent.process.exit_code(), Some(0));
    scene.search("after the end");
}

/// Every reason that an agent can give: the policy's, the messages', the sessions' and the calls'.
fn known_reasons() -> BTreeSet<&'static str> {
    let agent = [
        "session.unknown",
        "session.not_attested",
        "session.too_many_calls",
        "call.rate_limited",
        "call.release_revoked",
        "call.nothing_to_act_on",
        "call.action_failed",
        "message.malformed",
        "message.version",
        "message.too_long",
        "message.empty",
        "message.length",
        "message.text",
        "message.unknown_code",
        "message.duplicate",
        "message.trailing",
        "message.not_canonical",
    ];
    Reason::ALL
        .iter()
        .map(|reason| reason.id())
        .chain(LogReason::ALL.iter().map(|reason| reason.id()))
        .chain(agent)
        .collect()
}

/// A request in which something is broken, and whether it may still be a good one.
fn broken(
    random: &mut Random,
    lab: &Lab,
    operator: &Operator,
    paper: &Paper,
    counter: u64,
) -> Vec<u8> {
    let actions = read_actions();
    let action = *random.choice(&actions).expect("an action");
    let what = What::plain(action, counter);
    let good = lab.compose(operator, "olga", paper, what);
    let sign = |namespace, bytes: &[u8]| {
        let signature = lab.people.sign("olga", namespace, bytes);
        ArmoredSignature::new(&signature).expect("armoured")
    };
    match random.below(4) {
        // The request's own bytes.
        0 => {
            let mut bytes = good.to_bytes().expect("a request").to_vec();
            random.mutate(&mut bytes);
            bytes
        }
        // An order that Olga really signed, and that says something odd.
        1 => {
            let mut order = good.order.clone();
            random.mutate(&mut order);
            let paper = Paper {
                signature: lab.people.sign("olga", Namespace::Order, &order),
                order,
                approvals: Vec::new(),
                log_proof: paper.log_proof.clone(),
            };
            let request = lab.compose(operator, "olga", &paper, what);
            request
                .to_bytes()
                .map(|bytes| bytes.to_vec())
                .unwrap_or_default()
        }
        // A call that she really signed.
        2 => {
            let mut call = good.call.clone();
            random.mutate(&mut call);
            let call_signature = sign(Namespace::Call, &call);
            let request = CallRequest {
                call,
                call_signature,
                ..good
            };
            request
                .to_bytes()
                .map(|bytes| bytes.to_vec())
                .unwrap_or_default()
        }
        // Signatures, approvals and proofs of all kinds.
        _ => {
            let mut signature = good.call_signature.as_str().as_bytes().to_vec();
            random.mutate(&mut signature);
            let text = String::from_utf8_lossy(&signature).into_owned();
            let odd = ArmoredSignature::new(&text).unwrap_or_else(|_| good.order_signature.clone());
            let mut proof = good.log_proof.clone().unwrap_or_default();
            random.mutate(&mut proof);
            let request = match random.below(4) {
                0 => CallRequest {
                    call_signature: odd,
                    ..good
                },
                1 => CallRequest {
                    order_signature: odd,
                    ..good
                },
                2 => CallRequest {
                    log_proof: Some(proof),
                    ..good
                },
                _ => CallRequest {
                    approvals: vec![odd],
                    log_proof: Some(random.bytes(100)),
                    ..good
                },
            };
            request
                .to_bytes()
                .map(|bytes| bytes.to_vec())
                .unwrap_or_default()
        }
    }
}

/// Whether whatever was changed left order and call as Olga signed them.
fn says_what_olga_signed(lab: &Lab, bytes: &[u8]) -> bool {
    let Ok(request) = CallRequest::from_bytes(bytes) else {
        return false;
    };
    let holds = |namespace, bytes: &[u8], signature: &ArmoredSignature| {
        // Ed25519 is deterministic: her signature over these bytes is this one.
        let expected = lab.people.sign("olga", namespace, bytes);
        let core = |text: &str| text.split_whitespace().collect::<String>();
        core(&expected) == core(signature.as_str())
    };
    holds(Namespace::Order, &request.order, &request.order_signature)
        && holds(Namespace::Call, &request.call, &request.call_signature)
}

#[test]
fn malformed_requests_get_closed_reasons_and_no_secret() {
    let mut scene = Scene::start();
    let known = known_reasons();
    let mut random = Random::new(0x6e61_7274_6865_7801);
    let paper = scene.lab.read_order("olga");
    let (mut refused, mut done) = (BTreeSet::new(), 0);
    let mut operator = scene.session();
    for number in 0..2 * MUTATIONS {
        if number % CALLS_PER_SESSION == CALLS_PER_SESSION - 1 {
            operator = scene.session();
        }
        let counter = u64::try_from(number).expect("small");
        let bytes = broken(&mut random, &scene.lab, &operator, &paper, counter);
        if bytes.is_empty() {
            // The channel itself has no empty content.
            continue;
        }
        let answer = operator.raw(&bytes).unwrap_or_else(|error| {
            panic!("{number}: {} to {}", error.reason(), hex::encode(&bytes));
        });
        let answer =
            answer.unwrap_or_else(|| panic!("{number}: closed after {}", hex::encode(&bytes)));
        scene.received.extend_from_slice(&answer);
        match CallAnswer::from_bytes(&answer).expect("a call answer") {
            CallAnswer::Refused { reason } => {
                let id = known.get(reason.as_str());
                refused
                    .insert(*id.unwrap_or_else(|| panic!("{number}: {reason} is not in the list")));
            }
            CallAnswer::Done(body) => {
                assert!(
                    says_what_olga_signed(&scene.lab, &bytes),
                    "{number}: {} was done",
                    body.action
                );
                done += 1;
            }
        }
        assert!(
            scene.out.join("planted").exists(),
            "{number}: the workload was disturbed"
        );
    }
    eprintln!(
        "{done} of {} were good after all; reasons: {refused:?}",
        2 * MUTATIONS
    );
    // The changes reach every stage of the judgement.
    for stage in ["message.", "signature.", "file.", "order.", "call.", "log."] {
        assert!(
            refused.iter().any(|id| id.starts_with(stage)),
            "{stage}: {refused:?}"
        );
    }
    scene.read_everything();
    scene.search("under malformed requests");
    let health = scene.lab.read(&scene.agent, Action::Health);
    assert_eq!(
        health.value(FieldName::HealthGateRestarts),
        Some(Value::Count(0))
    );
}

#[test]
fn the_search_would_find_what_a_workload_shows() {
    // The same workload with its output shown: this is what a leak looks like.
    let lab = Lab::start();
    let enclave = lab.enclave("one");
    let mut plan = lab.plan(&enclave);
    plan.workload = Some(
        "command = \"/bin/sh\"\nshow_output = true\narguments = [\"-c\", \
         \"echo 0utput-Canary-c3c3; exec sleep 600\"]\n"
            .to_owned(),
    );
    let mut agent = lab.agent("agent", &plan).listening().with_keys();
    agent.process.await_text("0utput-Canary-c3c3");
    let canaries = [canary_of("output", "0utput-Canary-c3c3")];
    let leak = search(&agent.process.log_bytes(), &canaries).expect("found");
    assert_eq!((leak.place.as_str(), leak.form.as_str()), ("output", "raw"));
    assert!(Path::new(env!("CARGO_BIN_EXE_narthex-adversary")).exists());
}
