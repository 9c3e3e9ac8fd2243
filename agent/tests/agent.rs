//! The real agent as a process, with real sockets and confined processes: policy, keys, calls, refusals.

// A test's helpers may panic: that is how they say what they found.
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used
)]

mod world;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use narthex_channel::diagnostics::{
    CallAnswer, FieldName, LogCheck, ReleaseState, ResultBody, State, Value,
};
use narthex_channel::policy::PolicyAnswer;
use narthex_channel::tokio::{Connection, Timeouts};
use narthex_channel::{
    Digest384, KeyName, Opening, SecretBytes, StaticSecret, UnixMillis, commitment,
};
use narthex_nsm::Nsm;
use narthex_nsm::mock::MockNsm;
use narthex_policy::{Action, BootId, Pcr, SignedFile};
use nix::libc;
use tokio::net::TcpStream;
use world::peers::{
    KeyConduct, KeyService, Operator, SharedAnswer, key_service, mock_nsm, policy_source, refusal,
    serve_nsm, wire,
};
use world::process::{
    Agent, directory, free_port, gate_user, has_full_landlock, status_of, workload_user,
};
use world::{What, World};

const KEY: &[u8] = b"0123456789abcdef0123456789abcdef";

/// An agent and everything around it.
struct Scene {
    world: World,
    nsm: Arc<MockNsm>,
    bundle: SignedFile,
    source: SharedAnswer,
    agent: Agent,
    address: String,
    _guards: (tempfile::TempDir, narthex_nsm::mock::server::RunningServer),
}

/// What is added to a scene's configuration, with the directory's path to put in.
struct Extras<'a> {
    keys: &'a str,
    /// What the workload's shell does.
    workload: Option<&'a str>,
}

/// A workload that does nothing.
const SLEEP: &str = "exec sleep 1000";

const NOTHING: Extras<'_> = Extras {
    keys: "",
    workload: None,
};

impl Scene {
    fn start(world: World, answer: PolicyAnswer, bundle: SignedFile, extras: &Extras<'_>) -> Self {
        let (guard, path) = directory();
        let nsm = mock_nsm();
        let server = serve_nsm(&path.join("nsm.sock"), nsm.clone());
        let source: SharedAnswer = Arc::new(Mutex::new(answer));
        let address = format!("tcp:127.0.0.1:{}", free_port());
        let mut config = format!(
            "{5}runtime_directory = \"{0}/run\"\n\
             nsm = {{ socket = \"{0}/nsm.sock\" }}\n\n{1}\
             [policy]\nsource = \"{2}\"\npoll_seconds = 1\n\n\
             [fetcher]\nretry_max_seconds = 1\n\n\
             [gate]\nlisten = \"{address}\"\nconnections = 4\n{3}\n{4}",
            path.display(),
            world.trust(),
            policy_source(source.clone()),
            gate_user(),
            extras.keys,
            world.ledger_switch(),
        );
        if let Some(script) = extras.workload {
            config += &format!(
                "\n[workload]\ncommand = \"/bin/sh\"\narguments = [\"-c\", \"{script}\"]\n{}",
                workload_user()
            );
        }
        let agent = Agent::start(&path, &config);
        Self {
            world,
            nsm,
            bundle,
            source,
            agent,
            address,
            _guards: (guard, server),
        }
    }

    /// With one bundle, and the release that is running as `status`.
    fn with_release(world: World, status: &str, extras: &Extras<'_>) -> Self {
        let bundle = world.bundle(None);
        let answer = world.answer(&[&bundle], &[&world.release(1, status)]);
        Self::start(world, answer, bundle, extras)
    }

    fn listening(self) -> Self {
        self.agent.wait_for("the gate is confined and listens");
        self
    }

    async fn operator(&self) -> Operator {
        Operator::connect(&self.address).await.expect("session")
    }

    /// One read call in a session of its own.
    async fn read(&self, action: Action, counter: u64) -> ResultBody {
        let mut operator = self.operator().await;
        let order = self.world.read_order("olga");
        let what = What::read(action, counter);
        let call = self.world.call(&order, "olga", operator.session(), what);
        match operator.call(&call).await {
            CallAnswer::Done(body) => body,
            CallAnswer::Refused { reason } => panic!("refused: {reason}"),
        }
    }

    async fn until(&self, what: &str, mut holds: impl AsyncFnMut(&Self) -> bool) {
        let end = Instant::now() + Duration::from_secs(20);
        while !holds(self).await {
            assert!(Instant::now() < end, "{what}: {:#?}", self.agent.lines());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// The service's secret key.
const SERVICE: [u8; 32] = [7; 32];

/// A world whose bundle names the service and commits to [`KEY`] as version 1 of `db`; the commitment.
fn world_with_key() -> (World, Digest384) {
    let mut world = World::new();
    world.static_key = *StaticSecret::from_bytes(&SERVICE).public().as_bytes();
    let name = KeyName::new("db").unwrap();
    let digest = commitment(&name, 1, &SecretBytes::copied_from(KEY));
    let committed = ("db".to_owned(), 1, digest.to_hex());
    world.commitments.push(committed);
    (world, digest)
}

/// The service, and what an agent's configuration says of it.
fn service_of(world: &World, conduct: KeyConduct) -> (String, KeyService) {
    let (address, service) = key_service(&SERVICE, conduct, world.log.clone());
    let keys = format!("[keys]\nservice = \"{address}\"\n\n[[keys.key]]\nname = \"db\"\n");
    (keys, service)
}

fn flag(body: &ResultBody, name: FieldName) -> bool {
    body.value(name) == Some(Value::Flag(true))
}

#[tokio::test]
async fn boot_locks_the_policy_in_and_read_actions_answer() {
    let scene = Scene::with_release(World::new(), "current", &NOTHING).listening();
    let bundle = narthex_policy::Digest384::of(&scene.bundle.bytes);
    let pcr16 = scene.nsm.describe_pcr(16).unwrap();
    assert_eq!(
        (pcr16.data, pcr16.locked),
        (Pcr::of_boot_bundle(&bundle).0.to_vec(), true)
    );
    assert_eq!(scene.nsm.describe().unwrap().locked_pcrs.len(), 32);

    let operator = scene.operator().await;
    let statement = operator.statement();
    assert_eq!(statement.boot_bundle, Digest384::from_bytes(bundle.0));
    assert_eq!(statement.bundle_in_force.digest, statement.boot_bundle);
    assert_eq!(statement.release, ReleaseState::Current);
    assert_eq!(statement.log_check, LogCheck::Required);
    assert_eq!(statement.module_id.as_str(), world::module_id());

    for (counter, action) in Action::ALL
        .iter()
        .filter(|action| !action.is_write())
        .copied()
        .enumerate()
    {
        let body = scene.read(action, u64::try_from(counter).unwrap()).await;
        assert_eq!(body.action.name(), action.name());
        assert_eq!(body.log_check, LogCheck::Required);
    }
    let health = scene.read(Action::Health, 900).await;
    assert!(flag(&health, FieldName::HealthReady));
    assert!(flag(&health, FieldName::HealthGateRunning));
    let root = nix::unistd::geteuid().is_root();
    assert_eq!(flag(&health, FieldName::HealthGateOwnUser), root);
    assert_eq!(
        flag(&health, FieldName::HealthOlderLandlock),
        !has_full_landlock()
    );
    let status = scene.read(Action::Status, 901).await;
    assert_eq!(
        status.value(FieldName::StatusFailures),
        Some(Value::Count(0))
    );
    assert_eq!(
        status.value(FieldName::StatusActions),
        Some(Value::Count(19))
    );
}

/// Whether the process has `CAP_SYS_RESOURCE`, which containers often lack.
fn may_spare_from_oom_kill(id: u32) -> bool {
    const SYS_RESOURCE: u32 = 24;
    let held = status_of(id, "CapEff:").expect("capabilities");
    u64::from_str_radix(&held, 16).expect("a number") & (1 << SYS_RESOURCE) != 0
}

#[tokio::test]
async fn the_gate_is_confined_and_started_again_when_it_dies() {
    let scene = Scene::with_release(World::new(), "current", &NOTHING).listening();
    let gate = scene.agent.gate().expect("a gate");
    assert_eq!(status_of(gate, "Seccomp:").as_deref(), Some("2"));
    assert_eq!(status_of(gate, "NoNewPrivs:").as_deref(), Some("1"));
    assert_eq!(
        status_of(gate, "CapEff:").as_deref(),
        Some("0000000000000000")
    );
    if nix::unistd::geteuid().is_root() {
        assert_eq!(
            status_of(gate, "Uid:").as_deref(),
            Some("64123\t64123\t64123\t64123")
        );
        // Whoever uses up the memory, it is not they who go.
        for id in [scene.agent.id(), gate] {
            let score = std::fs::read_to_string(format!("/proc/{id}/oom_score_adj")).unwrap();
            if may_spare_from_oom_kill(scene.agent.id()) {
                assert_eq!(score, "-900\n");
            } else {
                eprintln!("skipped: this container may not protect a process from the OOM killer");
            }
        }
    }
    if nix::unistd::geteuid().is_root() {
        // What it holds: the standard streams, two sockets, and its event loop.
        for entry in std::fs::read_dir(format!("/proc/{gate}/fd")).unwrap() {
            let link = std::fs::read_link(entry.unwrap().path()).unwrap();
            let link = link.to_str().unwrap();
            let known = ["/dev/null", "socket:", "anon_inode:"];
            assert!(known.iter().any(|known| link.starts_with(known)), "{link}");
        }
        let environment = std::fs::read(format!("/proc/{gate}/environ")).unwrap();
        assert_eq!(environment, b"", "nothing of the environment is passed on");
    }
    // Connections are open when it dies.
    let _operator = scene.operator().await;
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(i32::try_from(gate).unwrap()),
        nix::sys::signal::Signal::SIGKILL,
    )
    .unwrap();
    scene
        .until("a new gate", async |scene| {
            scene.agent.gate().is_some_and(|new| new != gate)
                && Operator::connect(&scene.address).await.is_ok()
        })
        .await;
    let health = scene.read(Action::Health, 1).await;
    assert_eq!(
        health.value(FieldName::HealthGateRestarts),
        Some(Value::Count(1))
    );
}

#[tokio::test]
async fn a_laptop_says_what_an_enclave_would_refuse() {
    let scene = Scene::with_release(World::new(), "current", &NOTHING).listening();
    let health = scene.read(Action::Health, 1).await;
    let Some(Value::Count(failed)) = health.value(FieldName::HealthFailedChecks) else {
        panic!("{health:?}");
    };
    // There is no NSM to feed its random numbers, whatever else it lacks.
    assert!((1..=14).contains(&failed), "{failed}");
    assert_eq!(
        health.value(FieldName::HealthHeartbeat),
        Some(Value::State(State::None))
    );
}

#[tokio::test]
async fn calls_are_refused_each_for_its_own_reason() {
    let scene = Scene::with_release(World::new(), "current", &NOTHING).listening();
    let Scene { world, .. } = &scene;
    let mut operator = scene.operator().await;
    let session = operator.session();
    let order = world.read_order("olga");
    let read = |counter| What::read(Action::Health, counter);

    let call = world.call(&order, "olga", session, read(1));
    assert!(matches!(operator.call(&call).await, CallAnswer::Done(_)));
    assert_eq!(refusal(&operator.call(&call).await), "call.counter_reused");

    let mut other = scene.operator().await;
    assert_eq!(refusal(&other.call(&call).await), "call.session");

    let stranger = world.call(&world.read_order("mallory"), "mallory", session, read(2));
    assert_eq!(
        refusal(&operator.call(&stranger).await),
        "signature.unknown_signer"
    );

    let mut altered = world.call(&order, "olga", session, read(3));
    altered.order.extend_from_slice(b"\n");
    assert_eq!(refusal(&operator.call(&altered).await), "signature.invalid");

    let boot_id = BootId(operator.statement().boot_id.0);
    let write = world.write_order("shutdown", &boot_id);
    let mut unapproved = What::write(Action::Shutdown);
    unapproved.approvers = &[];
    let call = world.call(&write, "olga", session, unapproved);
    assert_eq!(refusal(&operator.call(&call).await), "order.under_approved");

    let other_boot = world.write_order("shutdown", &BootId([0; 16]));
    let call = world.call(&other_boot, "olga", session, What::write(Action::Shutdown));
    assert_eq!(refusal(&operator.call(&call).await), "order.wrong_boot");

    let restart = world.write_order("restart-workload", &boot_id);
    let call = world.call(
        &restart,
        "olga",
        session,
        What::write(Action::RestartWorkload),
    );
    assert_eq!(
        refusal(&operator.call(&call).await),
        "call.nothing_to_act_on"
    );

    assert_eq!(
        refusal(&operator.raw(b"garbage").await),
        "message.malformed"
    );

    let policy = scene.read(Action::Policy, 4).await;
    // The read above is the second accepted call; the restart was accepted and then found no workload.
    let Some(Value::Count(refused)) = policy.value(FieldName::PolicyRefused) else {
        panic!()
    };
    assert!(refused >= 8, "{refused}");
}

#[tokio::test]
async fn a_refused_session_keeps_its_place_until_its_connection_has_gone() {
    let extras = Extras {
        keys: "sessions_per_minute = 1\n", // Of `[gate]`, which comes before.
        workload: None,
    };
    let scene = Scene::with_release(World::new(), "current", &extras).listening();
    let connect = async || {
        let stream = TcpStream::connect(scene.address.strip_prefix("tcp:").unwrap()).await;
        Connection::initiate(stream.unwrap(), &Opening::Diagnostics, Timeouts::DEFAULT).await
    };
    // As many as there may be: one session, and three that are refused and do not hang up.
    let mut held = Vec::new();
    for _ in 0..4 {
        held.push(connect().await.expect("a place"));
    }
    scene
        .until("the refusals", async |scene| {
            let refused = |line: &&String| line.contains("session.too_many_sessions");
            scene.agent.lines().iter().filter(refused).count() == 3
        })
        .await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(connect().await.is_err(), "no place");
    drop(held);
    scene
        .until("a place", async |_| connect().await.is_ok())
        .await;
}

#[tokio::test]
async fn an_approved_shutdown_ends_the_agent_in_good_order() {
    let extras = Extras {
        keys: "",
        workload: Some(SLEEP),
    };
    let mut scene = Scene::with_release(World::new(), "current", &extras).listening();
    scene
        .until("the workload runs", async |scene| {
            let health = scene.read(Action::Health, rand_counter()).await;
            health.value(FieldName::HealthWorkload) == Some(Value::State(State::Running))
        })
        .await;
    let mut operator = scene.operator().await;
    let boot_id = BootId(operator.statement().boot_id.0);
    let order = scene.world.write_order("shutdown", &boot_id);
    let what = What::write(Action::Shutdown);
    let call = scene.world.call(&order, "olga", operator.session(), what);
    assert!(matches!(operator.call(&call).await, CallAnswer::Done(_)));
    assert_eq!(scene.agent.exit_code(), Some(0));
}

/// A counter that no other call of the test uses.
fn rand_counter() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(100);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

#[tokio::test]
async fn a_key_is_fetched_checked_and_wiped_when_the_release_is_revoked() {
    let (world, digest) = world_with_key();
    let (keys, service) = service_of(&world, KeyConduct::Refuse);
    let extras = Extras {
        keys: &keys,
        workload: Some(SLEEP),
    };
    let scene = Scene::with_release(world, "current", &extras).listening();

    // Refused, then another key than the one committed to: the agent waits, the workload does not start.
    scene.agent.wait_for("keys were not received: key.account");
    let health = scene.read(Action::Health, 1).await;
    assert_eq!(
        health.value(FieldName::HealthState),
        Some(Value::State(State::WaitingForKeys))
    );
    assert_eq!(
        health.value(FieldName::HealthWorkload),
        Some(Value::State(State::NotStarted))
    );
    *service.conduct.lock().unwrap() =
        KeyConduct::Release(b"another key of 32 bytes.........".to_vec());
    scene
        .agent
        .wait_for("keys were not received: keys.wrong_commitment");

    *service.conduct.lock().unwrap() = KeyConduct::Release(KEY.to_vec());
    scene.agent.wait_for("keys were received");
    scene
        .until("ready", async |scene| {
            flag(
                &scene.read(Action::Health, rand_counter()).await,
                FieldName::HealthReady,
            )
        })
        .await;
    let fields = scene.read(Action::Keys, 2).await;
    assert_eq!(
        fields.value(FieldName::KeyState),
        Some(Value::State(State::Received))
    );
    assert_eq!(
        fields.value(FieldName::KeyCommitment),
        Some(Value::Digest(digest))
    );
    // Each request had its own session, and a document that binds it.
    let requests = service.requests.lock().unwrap().clone();
    assert!(requests.len() >= 3);

    // A revoked release: keys wiped, workload stopped, reading goes on.
    let revoked = scene.world.release(2, "revoked");
    scene.source.lock().unwrap().releases.push(wire(&revoked));
    scene.agent.wait_for("this release is revoked");
    scene
        .until("stopped", async |scene| {
            let health = scene.read(Action::Health, rand_counter()).await;
            health.value(FieldName::HealthWorkload) == Some(Value::State(State::Stopped))
                && health.value(FieldName::HealthState) == Some(Value::State(State::Revoked))
        })
        .await;
    let fields = scene.read(Action::Keys, 3).await;
    assert_eq!(
        fields.value(FieldName::KeyState),
        Some(Value::State(State::Missing))
    );
    let mut operator = scene.operator().await;
    assert_eq!(operator.statement().release, ReleaseState::Revoked);
    let boot_id = BootId(operator.statement().boot_id.0);
    let order = scene.world.write_order("reload-keys", &boot_id);
    let what = What::write(Action::ReloadKeys);
    let call = scene.world.call(&order, "olga", operator.session(), what);
    assert_eq!(refusal(&operator.call(&call).await), "call.release_revoked");
}

#[tokio::test]
async fn keys_that_the_workload_leaves_no_room_for_are_counted() {
    // Only root can give the keys' folder a size.
    if !nix::unistd::geteuid().is_root() {
        return eprintln!(
            "keys_that_the_workload_leaves_no_room_for_are_counted: skipped, needs root"
        );
    }
    let (world, _) = world_with_key();
    let (keys, _service) = service_of(&world, KeyConduct::Release(KEY.to_vec()));
    let fill = "chmod 600 $NARTHEX_KEYS/db; cat /dev/zero > $NARTHEX_KEYS/db; exec sleep 1000";
    let extras = Extras {
        keys: &keys,
        workload: Some(fill),
    };
    let scene = Scene::with_release(world, "current", &extras).listening();
    scene
        .until("a workload that has filled its folder", async |scene| {
            let agent = nix::unistd::Pid::from_raw(scene.agent.id().cast_signed());
            let below = narthex_agent::platform::process::descendants(agent);
            let lines = below
                .iter()
                .map(|pid| std::fs::read(format!("/proc/{pid}/cmdline")));
            lines.flatten().any(|line| line == *b"sleep\x001000\0")
        })
        .await;
    let fields = scene.read(Action::Keys, 1).await;
    assert_eq!(fields.value(FieldName::KeyFailures), Some(Value::Count(0)));

    let mut operator = scene.operator().await;
    let boot_id = BootId(operator.statement().boot_id.0);
    let order = scene.world.write_order("reload-keys", &boot_id);
    let what = What::write(Action::ReloadKeys);
    let call = scene.world.call(&order, "olga", operator.session(), what);
    assert!(matches!(operator.call(&call).await, CallAnswer::Done(_)));
    scene.agent.wait_for("the key files were not written");
    let fields = scene.read(Action::Keys, 2).await;
    assert_eq!(fields.value(FieldName::KeyFailures), Some(Value::Count(1)));
}

#[tokio::test]
async fn a_false_key_service_gets_no_request() {
    let (mut world, _) = world_with_key();
    world.static_key = *StaticSecret::from_bytes(&[8; 32]).public().as_bytes();
    let (keys, service) = service_of(&world, KeyConduct::Release(KEY.to_vec()));
    let scene = Scene::with_release(
        world,
        "current",
        &Extras {
            keys: &keys,
            workload: None,
        },
    )
    .listening();
    scene
        .agent
        .wait_for("keys were not received: fetcher.handshake");
    assert!(service.requests.lock().unwrap().is_empty());
}

#[tokio::test]
async fn successors_and_stops_are_taken_at_run_time() {
    let scene = Scene::with_release(World::new(), "current", &NOTHING).listening();
    let mut oscar = scene.operator().await;
    let order = scene.world.read_order("oscar");
    let call = |operator: &Operator, counter| {
        let what = What::read(Action::Uptime, counter);
        scene.world.call(&order, "oscar", operator.session(), what)
    };
    let first = call(&oscar, 0);
    assert!(matches!(oscar.call(&first).await, CallAnswer::Done(_)));

    // A leaver: the very next call in the open session is refused.
    scene
        .source
        .lock()
        .unwrap()
        .stops
        .push(wire(&scene.world.stop_person(1, "oscar")));
    scene.agent.wait_for("a stop statement was taken");
    let second = call(&oscar, 1);
    assert_eq!(refusal(&oscar.call(&second).await), "person.stopped");

    // A successor signed by one reviewer is refused, one signed by two is in force; PCR16 stays.
    let under_signed = scene
        .world
        .bundle_signed_by(Some((&scene.bundle, 1)), &["alice"]);
    scene
        .source
        .lock()
        .unwrap()
        .bundles
        .push(wire(&under_signed));
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert_eq!(
        scene.operator().await.statement().bundle_in_force.version,
        1
    );
    // The same file comes again with the signature it lacked.
    let successor = scene.world.bundle(Some((&scene.bundle, 1)));
    assert_eq!(successor.bytes, under_signed.bytes);
    *scene.source.lock().unwrap() = scene.world.answer(&[&scene.bundle, &successor], &[]);
    scene.agent.wait_for("a successor bundle is in force");
    let statement = scene.operator().await.statement();
    assert_eq!(statement.bundle_in_force.version, 2);
    assert_ne!(statement.boot_bundle, statement.bundle_in_force.digest);
}

#[tokio::test]
async fn an_under_signed_or_expired_policy_is_never_served() {
    let world = World::new();
    let bundle = world.bundle_signed_by(None, &["alice"]);
    let answer = world.answer(&[&bundle], &[]);
    let scene = Scene::start(world, answer, bundle, &NOTHING);
    scene
        .agent
        .wait_for("gave no acceptable policy: bundle.under_signed");
    let mut world = World::new();
    world.bundle_expires = narthex_policy::UnixMillis(world.issued.0 + 1000);
    let bundle = world.bundle(None);
    let answer = world.answer(&[&bundle], &[]);
    let expired = Scene::start(world, answer, bundle, &NOTHING);
    expired
        .agent
        .wait_for("gave no acceptable policy: bundle.expired");
    for scene in [&scene, &expired] {
        assert!(Operator::connect(&scene.address).await.is_err());
        assert!(
            !scene.nsm.describe_pcr(16).unwrap().locked,
            "PCR16 is untouched"
        );
    }
}

#[tokio::test]
async fn a_frozen_source_keeps_the_agent_waiting_until_the_log_speaks() {
    let world = World::new();
    let bundle = world.bundle(None);
    let mut answer = world.answer(&[&bundle], &[]);
    // Well signed, not expired, and 25 hours ago the log named it.
    let day = world::system_now().0 - 25 * world::HOUR;
    answer.currency = world.currency_at(&bundle, day);
    let scene = Scene::start(world, answer, bundle, &NOTHING);
    let words = "the log does not show that this policy is in force: ";
    scene.agent.wait_for(&format!("{words}log.stale"));
    scene.source.lock().unwrap().currency = None;
    scene.agent.wait_for(&format!("{words}log.proof_missing"));
    assert!(Operator::connect(&scene.address).await.is_err());
    assert!(
        !scene.nsm.describe_pcr(16).unwrap().locked,
        "PCR16 is untouched"
    );
    // It goes on asking.
    let fresh = scene.world.currency(&scene.bundle);
    scene.source.lock().unwrap().currency = fresh;
    let scene = scene.listening();
    let policy = scene.read(Action::Policy, 0).await;
    assert_eq!(
        policy.value(FieldName::PolicyCurrentAt),
        Some(Value::Time(UnixMillis(scene.world.issued.0)))
    );
    let clock = scene.read(Action::Clock, 1).await;
    assert_eq!(
        clock.value(FieldName::ClockWitnessed),
        Some(Value::Time(UnixMillis(scene.world.issued.0)))
    );
}

#[tokio::test]
async fn a_successor_that_the_log_does_not_name_is_not_taken_and_the_agent_says_why() {
    let scene = Scene::with_release(World::new(), "current", &NOTHING).listening();
    let successor = async |scene: &Scene| {
        let policy = scene.read(Action::Policy, rand_counter()).await;
        policy.value(FieldName::PolicySuccessor)
    };
    assert_eq!(successor(&scene).await, Some(Value::State(State::None)));
    let second = scene.world.bundle(Some((&scene.bundle, 1)));
    let mut answer = scene.world.answer(&[&scene.bundle, &second], &[]);
    let proof = answer.currency.take();
    answer.stops = vec![wire(&scene.world.stop_person(1, "oscar"))];
    *scene.source.lock().unwrap() = answer;
    let words = "a successor bundle is not taken: the log does not show that it is in force";
    scene.agent.wait_for(&format!("{words}: log.proof_missing"));
    scene.agent.wait_for("a stop statement was taken");
    assert_eq!(
        successor(&scene).await,
        Some(Value::State(State::LogProofMissing))
    );
    let statement = scene.operator().await.statement();
    assert_eq!(statement.bundle_in_force.version, 1);
    scene.source.lock().unwrap().currency = proof;
    scene.agent.wait_for("a successor bundle is in force");
    assert_eq!(successor(&scene).await, Some(Value::State(State::None)));
}

#[tokio::test]
async fn calls_and_keys_that_are_not_in_the_log_get_nothing() {
    let (world, _) = world_with_key();
    let (keys, service) = service_of(&world, KeyConduct::ReleaseUnlogged(KEY.to_vec()));
    let extras = Extras {
        keys: &keys,
        workload: Some(SLEEP),
    };
    let mut scene = Scene::with_release(world, "current", &extras).listening();
    scene
        .agent
        .wait_for("keys were not received: log.proof_missing");
    let mut operator = scene.operator().await;
    let order = scene.world.read_order("olga");
    let mut call = scene.world.call(
        &order,
        "olga",
        operator.session(),
        What::read(Action::Health, 1),
    );
    let proof = call.log_proof.take();
    assert_eq!(refusal(&operator.call(&call).await), "log.proof_missing");
    call.log_proof = proof;
    let CallAnswer::Done(health) = operator.call(&call).await else {
        panic!("refused");
    };
    assert_eq!(health.log_check, LogCheck::Required);
    assert!(!flag(&health, FieldName::HealthInsecureWithoutLedger));
    assert!(!flag(&health, FieldName::HealthKeysComplete));
    assert_eq!(
        health.value(FieldName::HealthWorkload),
        Some(Value::State(State::NotStarted))
    );
    *service.conduct.lock().unwrap() = KeyConduct::Release(KEY.to_vec());
    scene.agent.wait_for("keys were received");
    // In good order: whoever kills it while it starts the workload leaves an empty control group behind.
    scene.agent.terminate();
    assert_eq!(scene.agent.exit_code(), Some(0));
}

#[tokio::test]
async fn an_agent_without_the_log_says_so_everywhere() {
    let scene = Scene::with_release(World::without_ledger(), "current", &NOTHING).listening();
    scene.agent.wait_for("(insecure_without_ledger)");
    let statement = scene.operator().await.statement();
    assert_eq!(statement.log_check, LogCheck::InsecureWithoutLedger);
    let health = scene.read(Action::Health, 1).await;
    assert_eq!(health.log_check, LogCheck::InsecureWithoutLedger);
    assert!(flag(&health, FieldName::HealthInsecureWithoutLedger));
    let policy = scene.read(Action::Policy, 2).await;
    assert_eq!(policy.value(FieldName::PolicyCurrentAt), None);
    // Successors need no proof here either, and everything else is as strict as ever.
    let second = scene.world.bundle(Some((&scene.bundle, 1)));
    *scene.source.lock().unwrap() = scene.world.answer(&[&scene.bundle, &second], &[]);
    scene.agent.wait_for("a successor bundle is in force");
}

#[tokio::test]
async fn a_touched_pcr16_ends_the_boot() {
    let (_guard, path) = directory();
    let nsm = mock_nsm();
    nsm.extend_pcr(16, b"somebody else").unwrap();
    let _server = serve_nsm(&path.join("nsm.sock"), nsm);
    let world = World::new();
    let config = format!(
        "runtime_directory = \"{0}/run\"\n\
         nsm = {{ socket = \"{0}/nsm.sock\" }}\n\n{1}[policy]\nsource = \"tcp:127.0.0.1:9\"\n\n\
         [gate]\nlisten = \"tcp:127.0.0.1:0\"\n{2}",
        path.display(),
        world.trust(),
        gate_user()
    );
    let mut agent = Agent::start(&path, &config);
    assert_eq!(agent.exit_code(), Some(1));
    agent.wait_for("agent.pcr_already_extended");
}

#[tokio::test]
async fn connections_beyond_the_limit_are_turned_away_and_counted() {
    let scene = Scene::with_release(World::new(), "current", &NOTHING).listening();
    let mut operators = Vec::new();
    for _ in 0..4 {
        operators.push(scene.operator().await);
    }
    assert!(Operator::connect(&scene.address).await.is_err());
    drop(operators);
    scene
        .until("counted", async |scene| {
            let Ok(mut operator) = Operator::connect(&scene.address).await else {
                return false;
            };
            let order = scene.world.read_order("olga");
            let what = What::read(Action::Connections, rand_counter());
            let call = scene.world.call(&order, "olga", operator.session(), what);
            let CallAnswer::Done(body) = operator.call(&call).await else {
                return false;
            };
            matches!(
                body.value(FieldName::ConnectionsGateLimited),
                Some(Value::Count(1..))
            )
        })
        .await;
}

#[tokio::test]
async fn a_signal_ends_it_in_good_order() {
    let mut scene = Scene::with_release(World::new(), "current", &NOTHING).listening();
    let gate = scene.agent.gate().expect("a gate");
    scene.agent.terminate();
    assert_eq!(scene.agent.exit_code(), Some(0));
    assert!(status_of(gate, "State:").is_none(), "the gate is gone too");
}

/// A kernel in which the system call `number` fails: the agent is started under a filter that says so.
fn agent_on_a_kernel_without(number: libc::c_long) -> (Scene, Option<i32>) {
    use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch};
    let architecture: TargetArch = std::env::consts::ARCH.try_into().unwrap();
    let filter: BpfProgram = SeccompFilter::new(
        std::iter::once((number, Vec::new())).collect(),
        SeccompAction::Allow,
        SeccompAction::Errno(libc::EOPNOTSUPP as u32),
        architecture,
    )
    .unwrap()
    .try_into()
    .unwrap();
    let world = World::new();
    let bundle = world.bundle(None);
    let answer = world.answer(&[&bundle], &[]);
    // Filters are inherited by threads and processes, so a thread of its own takes it on.
    let mut scene = std::thread::spawn(move || {
        seccompiler::apply_filter(&filter).unwrap();
        Scene::start(world, answer, bundle, &NOTHING)
    })
    .join()
    .unwrap();
    let code = scene.agent.exit_code();
    (scene, code)
}

#[tokio::test]
async fn without_a_full_sandbox_nothing_is_served() {
    let cases = [
        (libc::SYS_landlock_create_ruleset, "(sandbox.landlock)"),
        (libc::SYS_landlock_restrict_self, "(sandbox.landlock)"),
        (libc::SYS_seccomp, "(sandbox.seccomp)"),
        (libc::SYS_capset, "(sandbox.capabilities)"),
    ];
    for (number, reason) in cases {
        let (scene, code) = agent_on_a_kernel_without(number);
        assert_eq!(code, Some(3), "{reason}");
        scene.agent.wait_for(reason);
        assert!(!scene.nsm.describe_pcr(16).unwrap().locked);
        assert!(Operator::connect(&scene.address).await.is_err());
    }
}

#[tokio::test]
async fn policy_comes_through_a_hybrid_socket_and_the_gate_listens_on_a_path() {
    let (_guard, path) = directory();
    let world = World::new();
    let bundle = world.bundle(None);
    let answer = world.answer(&[&bundle], &[]);
    let behind = policy_source(Arc::new(Mutex::new(answer)));
    let behind = behind.strip_prefix("tcp:").unwrap().to_owned();
    let monitor = tokio::net::UnixListener::bind(path.join("vm.sock")).unwrap();
    use std::os::unix::fs::PermissionsExt;
    let everybody = std::fs::Permissions::from_mode(0o777);
    std::fs::set_permissions(path.join("vm.sock"), everybody).unwrap();
    tokio::spawn(async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        loop {
            let (mut near, _) = monitor.accept().await.unwrap();
            let mut line = Vec::new();
            while !line.ends_with(b"\n") {
                line.push(near.read_u8().await.unwrap());
            }
            assert_eq!(line, b"CONNECT 9101\n");
            near.write_all(b"OK 1073741824\n").await.unwrap();
            let mut far = tokio::net::TcpStream::connect(&behind).await.unwrap();
            tokio::spawn(async move {
                let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
            });
        }
    });
    let nsm = mock_nsm();
    let _server = serve_nsm(&path.join("nsm.sock"), nsm);
    let config = format!(
        "runtime_directory = \"{0}/run\"\n\
         nsm = {{ socket = \"{0}/nsm.sock\" }}\n\n{1}[policy]\nsource = \"hybrid:{0}/vm.sock:9101\"\n\n\
         [gate]\nlisten = \"unix:{0}/gate.sock\"\n{2}",
        path.display(),
        world.trust(),
        gate_user()
    );
    let agent = tokio::task::spawn_blocking(move || {
        let agent = Agent::start(&path, &config);
        agent.wait_for("the gate is confined and listens");
        (agent, path)
    });
    let (_agent, path) = agent.await.unwrap();
    let stream = tokio::net::UnixStream::connect(path.join("gate.sock"))
        .await
        .unwrap();
    let connection = narthex_channel::tokio::Connection::initiate(
        stream,
        &narthex_channel::Opening::Diagnostics,
        narthex_channel::tokio::Timeouts::DEFAULT,
    );
    let mut connection = connection.await.unwrap();
    let welcome = connection.receive_message::<narthex_channel::diagnostics::Welcome>();
    assert!(welcome.await.unwrap().is_some());
}

#[tokio::test]
async fn an_older_landlock_is_refused_unless_the_configuration_allows_it() {
    if has_full_landlock() {
        eprintln!("skipped: this kernel's Landlock is not older");
        return;
    }
    let (_guard, path) = directory();
    let nsm = mock_nsm();
    let _server = serve_nsm(&path.join("nsm.sock"), nsm);
    let world = World::new();
    let bundle = world.bundle(None);
    let answer = world.answer(&[&bundle], &[]);
    let config = format!(
        "runtime_directory = \"{0}/run\"\n\
         nsm = {{ socket = \"{0}/nsm.sock\" }}\n\n{1}[policy]\nsource = \"{2}\"\n\n\
         [gate]\nlisten = \"tcp:127.0.0.1:0\"\n{3}",
        path.display(),
        world.trust(),
        policy_source(Arc::new(Mutex::new(answer))),
        gate_user().replace("insecure_older_landlock = true\n", "")
    );
    let mut agent = Agent::start(&path, &config);
    assert_eq!(agent.exit_code(), Some(3));
    agent.wait_for("gate.insecure_older_landlock");
}
