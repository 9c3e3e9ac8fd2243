//! A hostile host between everybody, and people who ask for what is not theirs. Each is refused for its own
//! reason, and who was disturbed recovers when the disturbance ends.

// A scenario panics when something is not as it should be: that is how it says so.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used
)]
use std::path::Path;
use std::time::Duration;

use narthex_channel::diagnostics::{FieldName, State, Value};
use narthex_channel::keys::{
    KeyAnswer, KeyOutcome, KeyRequest, KeyRequestEnvelope, KeyWanted, SealSuite,
};
use narthex_channel::policy::PolicyAnswer;
use narthex_channel::{KeyName, Message, Opening, RecipientKey, StaticPublic};
use narthex_nsm::mock::{EnclaveMode, Fault, FaultKind};
use narthex_policy::{Action, Order, Parameters, ProjectName, UnixMillis, WriteOrder};
use narthex_tests::connection::Connection;
use narthex_tests::lab::agent::Agent;
use narthex_tests::lab::asking::Booted;
use narthex_tests::lab::enclave::{Enclave, Image};
use narthex_tests::lab::orders::{head, now, signer};
use narthex_tests::lab::process::{Process, await_true};
use narthex_tests::lab::{KEY, Lab, RELEASE};
use narthex_tests::operator::{Operator, Paper, What, compose, outcome};
use narthex_tests::policy_source::only_bundles;
use narthex_tests::relay::{Conduct, Direction, Mischief, Relay};

use Direction::{FromInitiator, FromResponder};

/// What destroys a session, wherever it hits. Frames of an initiator: preamble, handshake, content; of a
/// responder: handshake, content.
fn destructive() -> Vec<Conduct> {
    let mut all = vec![Conduct::HangUp, Conduct::Silent];
    for mischief in [Mischief::Flip, Mischief::CutOff, Mischief::Insert] {
        all.extend((0..3).map(|frame| Conduct::Frame(FromInitiator, frame, mischief)));
        all.extend((0..2).map(|frame| Conduct::Frame(FromResponder, frame, mischief)));
    }
    all.push(Conduct::Frame(FromInitiator, 0, Mischief::Swap));
    all.push(Conduct::Frame(FromInitiator, 0, Mischief::Repeat));
    all.push(Conduct::Frame(FromInitiator, 1, Mischief::Repeat));
    all.push(Conduct::Frame(FromResponder, 0, Mischief::Repeat));
    all.push(Conduct::Frame(FromResponder, 0, Mischief::Drop));
    all.push(Conduct::Frame(FromResponder, 0, Mischief::Reflect));
    all
}

#[test]
fn an_agent_outlives_a_hostile_way_to_the_key_service() {
    let lab = Lab::start();
    // Most of the time is waiting: several agents share the work.
    let shares: Vec<Vec<Conduct>> = destructive().chunks(5).map(<[Conduct]>::to_vec).collect();
    std::thread::scope(|scope| {
        for (number, conducts) in shares.into_iter().enumerate() {
            let lab = &lab;
            scope.spawn(move || outlive(lab, number, &conducts));
        }
    });
}

/// One agent, whose way to the key service goes through each conduct in turn, and then is honest.
fn outlive(lab: &Lab, number: usize, conducts: &[Conduct]) {
    let name = format!("agent-{number}");
    let enclave = lab.enclave(&name);
    let between = lab.path(&format!("between-{number}.sock"));
    let relay = Relay::start(&between, lab.address("keys.sock")).expect("a relay");
    let mut plan = lab.plan(&enclave);
    plan.service = relay.address().clone();
    let refusals = |agent: &Agent| {
        agent
            .process
            .log()
            .matches("keys were not received")
            .count()
    };
    relay.behave(Conduct::HangUp);
    let mut agent = lab.agent(&name, &plan).listening();
    for conduct in conducts {
        relay.behave(*conduct);
        // An attempt under the conduct before may still be under way: the second one sees this.
        let before = refusals(&agent);
        await_true(&format!("{conduct:?}: refusals"), || {
            refusals(&agent) >= before + 2
        });
        assert!(
            !agent.process.log().contains("keys were received"),
            "{conduct:?}"
        );
    }
    // Every reason is from a closed list, and none is about the policy or the document.
    let log = agent.process.log();
    for line in log.lines().filter(|line| line.contains("keys were not")) {
        let (_, reason) = line.rsplit_once(": ").expect("a reason");
        assert!(
            reason.starts_with("exchange.") || reason.starts_with("fetcher."),
            "{reason}"
        );
    }
    let health = lab.read(&agent, Action::Health);
    let waiting = Some(Value::State(State::WaitingForKeys));
    assert_eq!(health.value(FieldName::HealthState), waiting);
    // What is only hard to bear is borne.
    relay.behave(Conduct::Dribble);
    agent.process.await_text("keys were received");
    relay.behave(Conduct::Slow(Duration::from_millis(100)));
    assert_eq!(lab.write(&agent, Action::ReloadKeys, &["alice"]), "done");
    agent.process.await_texts("keys were received", 2);
    agent.process.await_text("32\n");
}

#[test]
fn a_hostile_way_to_the_agent_gives_nothing_away_and_breaks_nothing() {
    let lab = Lab::start();
    let enclave = lab.enclave("one");
    let agent = lab.ready_agent("agent", &enclave);
    let relay = Relay::start(&lab.path("between.sock"), agent.gate().clone()).expect("a relay");
    let status = |more: &[&str]| {
        let arguments = [&["--status", "--timeout", "2s"], more].concat();
        lab.diag(relay.address(), &enclave, RELEASE, &arguments)
    };
    for conduct in destructive() {
        relay.behave(conduct);
        // The initiator sends no content before the welcome: these frames are not there to be hit.
        if matches!(conduct, Conduct::Frame(FromInitiator, 2, _)) {
            continue;
        }
        let said = status(&[]);
        // These put a frame too many on the way to the agent, which may have sent its welcome before it
        // sees that.
        let late = [
            Conduct::Frame(FromInitiator, 1, Mischief::Repeat),
            Conduct::Frame(FromResponder, 0, Mischief::Reflect),
        ];
        if late.contains(&conduct) && said.code == Some(0) {
            continue;
        }
        assert!(matches!(said.code, Some(1 | 3)), "{conduct:?}: {said:#?}");
        assert_eq!(said.out, "", "{conduct:?}");
    }
    for conduct in [
        Conduct::Honest,
        Conduct::Dribble,
        Conduct::Slow(Duration::from_millis(100)),
    ] {
        relay.behave(conduct);
        status(&[]).done();
    }

    // The same for calls: frame 2 of the operator is the call, frame 2 of the agent its answer.
    let key = lab.people.file("olga");
    lab.narthex(&[
        "order",
        "new",
        "--policy",
        "policy",
        "--as",
        "olga",
        "--key",
        &key,
        "--action",
        "health",
        "--release",
        RELEASE,
        "--out",
        "shift.order.toml",
    ])
    .done();
    lab.submit_file("shift.order.toml").done();
    let call = || {
        let arguments = [
            "health",
            "--order",
            "shift.order.toml",
            "--key",
            &key,
            "--timeout",
            "2s",
        ];
        lab.diag(relay.address(), &enclave, RELEASE, &arguments)
    };
    let accepted = || agent.session().statement().decisions.accepted;
    for direction in [FromInitiator, FromResponder] {
        for mischief in [
            Mischief::Flip,
            Mischief::CutOff,
            Mischief::Insert,
            Mischief::Drop,
            Mischief::Repeat,
        ] {
            relay.behave(Conduct::Frame(direction, 2, mischief));
            let before = accepted();
            let said = call();
            // What comes twice may have been answered the first time; it is never done twice.
            if mischief != Mischief::Repeat {
                assert!(
                    matches!(said.code, Some(1 | 3)),
                    "{direction:?} {mischief:?}: {said:#?}"
                );
                assert!(
                    !said.out.contains("workload"),
                    "{direction:?} {mischief:?}: {said:#?}"
                );
            }
            let reached = direction == FromResponder || mischief == Mischief::Repeat;
            assert_eq!(
                accepted() - before,
                u64::from(reached),
                "{direction:?} {mischief:?}"
            );
        }
    }
    relay.behave(Conduct::Honest);
    call().done();
    let health = lab.read(&agent, Action::Health);
    assert_eq!(
        health.value(FieldName::HealthReady),
        Some(Value::Flag(true))
    );
    assert_eq!(
        health.value(FieldName::HealthGateRestarts),
        Some(Value::Count(0))
    );
}

#[test]
fn another_genuine_enclave_is_not_the_one_that_was_meant() {
    let lab = Lab::start();
    let meant = lab.enclave("meant");
    let elsewhere = lab.enclave("elsewhere");
    // A second enclave of the same parent: PCR4 is the same.
    let instance = meant.nsm.config().identity.instance_id.clone();
    let sibling = Enclave::start_with(lab.folder(), "sibling", Image::of(RELEASE), |config| {
        config.identity.instance_id = instance;
    });
    // And one with another image, at another time honest.
    lab.release("other", "1", Image::of("other"));
    lab.submit();
    let other = Enclave::start_with(lab.folder(), "other", Image::of("other"), |config| {
        config.identity = meant.nsm.config().identity.clone();
    });
    let mut agents = Vec::new();
    for (name, enclave) in [
        ("a", &meant),
        ("b", &elsewhere),
        ("c", &sibling),
        ("d", &other),
    ] {
        let mut plan = lab.plan(enclave);
        plan.keys = Vec::new();
        plan.workload = None;
        agents.push(lab.agent(name, &plan).listening());
    }
    let relay = Relay::start(&lab.path("between.sock"), agents[0].gate().clone()).expect("a relay");
    let key = lab.people.file("olga");
    lab.narthex(&[
        "order",
        "new",
        "--policy",
        "policy",
        "--as",
        "olga",
        "--key",
        &key,
        "--action",
        "health",
        "--release",
        "*",
        "--out",
        "shift.order.toml",
    ])
    .done();
    lab.submit_file("shift.order.toml").done();
    let health = || {
        let arguments = ["health", "--order", "shift.order.toml", "--key", &key];
        lab.diag(relay.address(), &meant, RELEASE, &arguments)
    };
    health().done();
    let asked = relay.from_initiators().len();
    assert!(
        asked > 1000,
        "an order, a call and their signatures are more than {asked} bytes"
    );
    for (agent, reason) in [(1, "pcr.4"), (2, "enclave.other"), (3, "pcr.0")] {
        relay.route_to(agents[agent].gate().clone());
        let decisions = || agents[agent].session().statement().decisions;
        let (before, decided) = (relay.from_initiators().len(), decisions());
        let said = health();
        assert_eq!(said.code, Some(1), "{said:#?}");
        // A handshake and a close: nothing was asked.
        let sent = relay.from_initiators().len() - before;
        assert!(sent < 200, "{sent} bytes were sent to the wrong enclave");
        said.names(reason);
        assert_eq!(decisions(), decided);
    }
    // A build for developers must still be told to trust a development root.
    relay.route_to(agents[0].gate().clone());
    let (gate, module_id) = (relay.address().to_string(), meant.module_id());
    let untold = lab.narthex(&[
        "diag",
        &gate,
        "--status",
        "--policy",
        "policy",
        "--release",
        RELEASE,
        "--enclave",
        &module_id,
    ]);
    untold.refused("chain.development_root");
}

#[test]
fn false_sources_of_policy_change_nothing() {
    let lab = Lab::start();
    let third = lab.draft(&[], |_| (), &["alice"]);
    let bundle = |number| lab.signed_bundle(number);
    let mut altered = bundle(2);
    altered.bytes.extend_from_slice(b"# one more line\n");
    let mut unsigned = bundle(2);
    unsigned.signatures.truncate(1);
    let mut twice = unsigned.clone();
    twice.signatures.push(twice.signatures[0].clone());
    for (name, answer, reason) in [
        (
            "weak",
            only_bundles(vec![bundle(2), bundle(3)]),
            "bundle.under_signed",
        ),
        (
            "unsigned",
            only_bundles(vec![unsigned]),
            "bundle.under_signed",
        ),
        // The same person twice is one person.
        ("twice", only_bundles(vec![twice]), "bundle.under_signed"),
        ("old", only_bundles(vec![bundle(1)]), "bundle.below_minimum"),
        (
            "backwards",
            only_bundles(vec![bundle(2), bundle(1)]),
            "bundle.rolled_back",
        ),
        ("altered", only_bundles(vec![altered]), "signature.invalid"),
        ("empty", PolicyAnswer::default(), "bundle.missing"),
    ] {
        let enclave = lab.enclave(name);
        let _answer = lab.policy_source(&format!("{name}.sock"), answer);
        let mut plan = lab.plan(&enclave);
        plan.policy = lab.address(&format!("{name}.sock"));
        let mut agent = lab.agent(&format!("agent-{name}"), &plan);
        agent
            .process
            .await_text(&format!("no acceptable policy: {reason}"));
        // Nothing is served, and PCR16 is as it was.
        assert!(!agent.process.log().contains("PCR16 names it"), "{name}");
        assert!(Operator::connect(agent.gate()).is_err(), "{name}");
        let pcr16 = narthex_nsm::Nsm::describe_pcr(&*enclave.nsm, 16).expect("PCR16");
        assert!(
            !pcr16.locked && pcr16.data.iter().all(|byte| *byte == 0),
            "{name}"
        );
    }

    // At run time: what is older, weaker or nothing leaves the policy in force where it is.
    let enclave = lab.enclave("running");
    let answer = lab.policy_source("running.sock", lab.policy_answer());
    answer.set(PolicyAnswer {
        bundles: vec![bundle(1), bundle(2)],
        ..lab.policy_answer()
    });
    let mut plan = lab.plan(&enclave);
    plan.policy = lab.address("running.sock");
    let agent = lab.agent("agent-running", &plan).listening().with_keys();
    let refused = |agent: &Agent| agent.session().statement().decisions.refused;
    let before = refused(&agent);
    answer.set(only_bundles(vec![bundle(3)]));
    await_true("a refusal is recorded", || refused(&agent) > before);
    for answers in [only_bundles(vec![bundle(1)]), PolicyAnswer::default()] {
        let refreshed = || {
            lab.read(&agent, Action::Policy)
                .value(FieldName::PolicyRefreshed)
        };
        answer.set(answers);
        // The second answer from here on is the one that was set.
        for _ in 0..2 {
            let before = refreshed();
            await_true("another answer", || refreshed() != before);
        }
        assert_eq!(agent.session().statement().bundle_in_force.version, 2);
    }
    lab.sign("policy", &third.display().to_string(), &["bob"]);
    lab.submit();
    answer.set(PolicyAnswer {
        currency: Some(lab.currency()),
        ..only_bundles(vec![bundle(3)])
    });
    await_true("the honest source again", || {
        agent.session().statement().bundle_in_force.version == 3
    });
}

#[test]
fn a_false_key_service_cannot_even_read_the_request() {
    let lab = Lab::start();
    let enclave = lab.enclave("one");
    let adversary = Path::new(env!("CARGO_BIN_EXE_narthex-adversary"));
    let socket = lab.path("false.sock");
    let arguments = ["false-service", "--socket", &socket.display().to_string()];
    let mut service = Process::start(lab.folder(), "false-service", adversary, &arguments);
    await_true("the false service", || socket.exists());
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    std::fs::set_permissions(&socket, open).expect("the socket's mode");
    let relay =
        Relay::start(&lab.path("between.sock"), lab.address("false.sock")).expect("a relay");
    let mut plan = lab.plan(&enclave);
    plan.service = relay.address().clone();
    let mut agent = lab.agent("agent", &plan).listening();
    agent
        .process
        .await_texts("keys were not received: fetcher.handshake", 2);
    service.await_text("handshake.authentication");
    // Preamble and first handshake message are all that left, per attempt.
    let (sent, attempts) = (relay.from_initiators().len(), relay.connections());
    assert!(
        u64::try_from(sent).expect("small") <= attempts * 100,
        "{sent} bytes in {attempts} attempts"
    );
    relay.route_to(lab.address("keys.sock"));
    agent.process.await_text("keys were received");
}

fn ask(lab: &Lab, enclave: &Enclave, more: &[&str]) -> String {
    let booted = Booted {
        bundle: "policy/bundles/0002.toml",
        version: "2",
    };
    ask_booted(lab, enclave, booted, more)
}

fn ask_booted(lab: &Lab, enclave: &Enclave, booted: Booted<'_>, more: &[&str]) -> String {
    let adversary = Path::new(env!("CARGO_BIN_EXE_narthex-adversary"));
    lab.ask_unchecked(adversary, enclave, booted, more)
        .out
        .trim()
        .to_owned()
}

#[test]
fn the_key_service_refuses_each_wrong_request_for_its_own_reason() {
    let lab = Lab::start();
    let genuine = lab.enclave("genuine");
    assert_eq!(ask(&lab, &genuine, &["--keep", "kept.request"]), "released");
    assert_eq!(
        ask(&lab, &genuine, &["--replay", "kept.request"]),
        "binding.other_session"
    );
    type Change = fn(&mut narthex_nsm::mock::MockConfig);
    let changed: [(&str, &str, Change, &str); 4] = [
        ("image", "another image", |_| (), "release.unknown"),
        (
            "debug",
            RELEASE,
            |config| config.mode = EnclaveMode::Debug,
            "document.debug",
        ),
        (
            "stranger",
            RELEASE,
            |config| config.role_arn = Some("arn:aws:iam::999999999999:role/lab".to_owned()),
            "key.account",
        ),
        (
            "homeless",
            RELEASE,
            |config| config.role_arn = None,
            "key.account",
        ),
    ];
    for (name, image, change, reason) in changed {
        let enclave = Enclave::start_with(lab.folder(), name, Image::of(image), change);
        assert_eq!(ask(&lab, &enclave, &[]), reason, "{name}");
    }
    // A hypervisor's clock that is off, and a signature by another key.
    let minutes = 60_000;
    for (kind, reason) in [
        (FaultKind::ClockShift(-10 * minutes), "fresh.age"),
        (FaultKind::ClockShift(10 * minutes), "fresh.future"),
        (FaultKind::WrongKey, "cose.signature"),
    ] {
        genuine.nsm.inject(Fault::always(kind));
        assert_eq!(ask(&lab, &genuine, &[]), reason, "{kind:?}");
        genuine.nsm.clear_faults();
    }
    assert_eq!(ask(&lab, &genuine, &[]), "released");
    // Another bundle in PCR16 than any of this lineage.
    let stray = lab.enclave("stray");
    std::fs::copy(lab.path("service.toml"), lab.path("stray.toml")).expect("any file");
    let booted = Booted {
        bundle: "stray.toml",
        version: "2",
    };
    assert_eq!(
        ask_booted(&lab, &stray, booted, &[]),
        "bundle.pcr16_unknown"
    );
}

#[test]
fn a_document_made_for_diagnostics_gets_no_key() {
    let lab = Lab::start();
    let enclave = lab.enclave("one");
    let agent = lab.ready_agent("agent", &enclave);
    let secret = |hex_key: &str| {
        let bytes = hex::decode(hex_key).expect("hex");
        StaticPublic::from_bytes(bytes.try_into().expect("32 bytes"))
    };
    let opening = Opening::Keys {
        service: secret(&lab.service_key),
    };
    let recipient = RecipientKey::generate().expect("randomness");
    let operator = agent.session();
    let request = KeyRequest {
        suite: SealSuite::XWingHkdfSha256Aes256Gcm,
        recipient_key: recipient.public().clone(),
        keys: vec![KeyWanted {
            name: KeyName::new(KEY).expect("a name"),
            version: None,
        }],
        statement: operator.welcome().statement,
    };
    let envelope = KeyRequestEnvelope {
        document: operator.welcome().document,
        request: request.to_bytes().expect("a request").to_vec(),
    };
    let mut connection = Connection::open(&lab.address("keys.sock"), &opening).expect("a session");
    connection
        .send(&envelope.to_bytes().expect("an envelope"))
        .expect("sent");
    let answer = connection
        .receive()
        .expect("an answer")
        .expect("not closed");
    let answer = KeyAnswer::from_bytes(answer.as_bytes()).expect("a key answer");
    let KeyOutcome::Refused { reason } = answer.outcome else {
        panic!("a key was released to a document of another use");
    };
    assert_eq!(reason.as_str(), "binding.other_session");
}

#[test]
fn calls_and_orders_are_refused_each_for_its_own_reason() {
    // Carol approves, and operates as well.
    let lab = Lab::start_with(|text| {
        let carol = "name = \"carol\"\n";
        *text = text.replacen(carol, &format!("{carol}roles = [\"maintainer\"]\n"), 1);
    });
    let (one, two) = (lab.enclave("one"), lab.enclave("two"));
    let agent = lab.ready_agent("agent", &one);
    let other = lab.ready_agent("other", &two);
    let mut operator = agent.session();
    let mut elsewhere = other.session();
    let statement = operator.statement();
    let health = |counter| What::plain(Action::Health, counter);
    let read = lab.read_order("olga");
    let mut decide = |paper: &Paper, caller: &str, what: What| {
        let request = lab.compose(&operator, caller, paper, what);
        outcome(&operator.call(&request)).to_owned()
    };

    // Counters are per order, enclave and boot.
    assert_eq!(decide(&read, "olga", health(0)), "done");
    assert_eq!(decide(&read, "olga", health(0)), "call.counter_reused");
    assert_eq!(decide(&read, "olga", health(10_000)), "call.counter");
    let request = lab.compose(&elsewhere, "olga", &read, health(0));
    assert_eq!(outcome(&elsewhere.call(&request)), "done");
    assert_eq!(outcome(&elsewhere.call(&request)), "call.counter_reused");
    // A call of another session, with an order that is good here.
    let foreign = compose(
        &elsewhere.session(),
        &read,
        health(5),
        signer(&lab.people, "olga"),
    );
    assert_eq!(outcome(&operator.call(&foreign)), "call.session");
    let mut decide = |paper: &Paper, caller: &str, what: What| {
        let request = lab.compose(&operator, caller, paper, what);
        outcome(&operator.call(&request)).to_owned()
    };
    // Somebody else's order, somebody else's call.
    assert_eq!(
        decide(&lab.read_order("mallory"), "mallory", health(0)),
        "signature.unknown_signer"
    );
    assert_eq!(
        decide(&read, "mallory", health(1)),
        "signature.unknown_signer"
    );
    assert_eq!(
        decide(&lab.read_order("kim"), "kim", health(0)),
        "order.role"
    );
    assert_eq!(decide(&read, "kim", health(1)), "signature.unknown_signer");
    // An action that the order does not name; a parameter that the action does not have.
    let narrow = lab.read_order_with("olga", |order| order.actions = vec![Action::Version]);
    assert_eq!(decide(&narrow, "olga", health(0)), "call.action");
    let write = What::plain(Action::Shutdown, 0);
    assert_eq!(decide(&read, "olga", write), "call.action");
    let nonce = What {
        parameters: Parameters::Nonce([1; 32]),
        ..health(2)
    };
    assert_eq!(decide(&read, "olga", nonce), "call.parameters");
    // Times.
    let early = lab.read_order_with("olga", |order| {
        order.head.not_before = UnixMillis(order.head.issued.0 + 600_000);
    });
    assert_eq!(decide(&early, "olga", health(0)), "order.not_yet_valid");
    let late = lab.read_order_with("olga", |order| {
        order.head.issued = UnixMillis(order.head.issued.0 - 7_200_000);
        order.head.not_before = order.head.issued;
        order.head.expires = UnixMillis(order.head.issued.0 + 3_600_000);
    });
    assert_eq!(decide(&late, "olga", health(0)), "order.expired");
    let long = lab.read_order_with("olga", |order| {
        order.head.expires = UnixMillis(order.head.issued.0 + 13 * 3_600_000);
    });
    assert_eq!(decide(&long, "olga", health(0)), "order.lifetime");
    // Another project, another enclave.
    let foreign = lab.read_order_with("olga", |order| {
        order.head.project = ProjectName::new("other").expect("a name");
    });
    assert_eq!(decide(&foreign, "olga", health(0)), "file.project");
    let missing = lab.read_order_with("olga", |order| {
        order.targets = narthex_policy::Targets {
            module_ids: vec![two.module_id()],
            ..narthex_policy::Targets::default()
        };
    });
    assert_eq!(decide(&missing, "olga", health(0)), "order.wrong_enclave");
    // A byte of the order that was not signed.
    let mut altered = read.clone();
    altered.order.push(b'\n');
    assert_eq!(decide(&altered, "olga", health(0)), "signature.invalid");

    // Changes.
    let restart = What::plain(Action::RestartWorkload, 0);
    let order = |approvers: &[&str]| {
        lab.write_order("olga", Action::RestartWorkload, &statement, approvers)
    };
    assert_eq!(decide(&order(&[]), "olga", restart), "order.under_approved");
    assert_eq!(
        decide(&order(&["olga"]), "olga", restart),
        "order.under_approved"
    );
    let own = lab.write_order("carol", Action::RestartWorkload, &statement, &["carol"]);
    assert_eq!(decide(&own, "carol", restart), "order.self_approval");
    assert_eq!(
        decide(&order(&["mallory"]), "olga", restart),
        "order.under_approved"
    );
    let mut borrowed = order(&["alice"]);
    borrowed.approvals = order(&["alice"]).approvals;
    assert_eq!(decide(&borrowed, "olga", restart), "signature.invalid");
    let mut boot = statement.clone();
    boot.boot_id = narthex_channel::diagnostics::BootId([9; 16]);
    let paper = lab.write_order("olga", Action::RestartWorkload, &boot, &["alice"]);
    assert_eq!(decide(&paper, "olga", restart), "order.wrong_boot");
    let paper = lab.write_order(
        "olga",
        Action::RestartWorkload,
        &elsewhere.statement(),
        &["alice"],
    );
    assert_eq!(decide(&paper, "olga", restart), "order.wrong_enclave");
    let with_grace = What {
        parameters: Parameters::GraceSeconds(1),
        ..restart
    };
    assert_eq!(
        decide(&order(&["alice"]), "olga", with_grace),
        "call.parameters"
    );
    let order_for_good = order(&["bob"]);
    assert_eq!(decide(&order_for_good, "olga", restart), "done");
    assert_eq!(
        decide(&order_for_good, "olga", restart),
        "call.counter_reused"
    );
    // A reviewer approves and does not operate.
    let order = Order::Write(WriteOrder {
        head: head("alice", Duration::from_secs(600)),
        action: Action::Shutdown,
        parameters: Parameters::None,
        module_id: statement.module_id.as_str().to_owned(),
        boot_id: narthex_policy::BootId(statement.boot_id.0),
    });
    let paper = lab.logged(lab.signed_order(&order, "alice", &["bob"]));
    assert_eq!(decide(&paper, "alice", write), "order.role");

    // Each decision is counted, and the chain has moved.
    let after = agent.session().statement();
    assert!(
        after.decisions.refused >= 24 && after.decisions.accepted >= 3,
        "{after:#?}"
    );
    assert_ne!(after.chain_head, statement.chain_head);
    assert!(after.now.0.abs_diff(now().0) < 5000);
}
