//! `narthex diag` against an agent made here from the libraries: a mock NSM, the real channel and
//! the real policy. Whoever is at the other end is verified first; nothing is sent before.

// All of it is a test, its helpers too.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod common;
// Of the log, only what sessions need.
#[allow(dead_code)]
#[path = "log/fixture.rs"]
mod fixture;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use common::{INSTANCE_ID, MODULE_ID, World, measurements, now, read};
use narthex_channel::diagnostics::{
    Action, AgentVersion, BootId, BundleInForce, CallAnswer, CallRequest, Decisions, Field,
    FieldName, LogCheck, ReleaseState, ResultBody, SessionStatement, Value, Welcome,
};
use narthex_channel::tokio::{Connection, Listener, Timeouts};
use narthex_channel::{
    Accepting, Address, Digest384, HandshakeHash, Message, ModuleId, ReasonId, UnixMillis,
};
use narthex_nsm::mock::{EnclaveMode, MockConfig, MockNsm};
use narthex_nsm::{AttestationRequest, Nsm};
use narthex_policy::{OrderContext, Policy, SessionHash, SignedCall, SignedOrder, UsedCalls};

const BOOT_ID: [u8; 16] = [7; 16];

/// What may be wrong with an agent.
#[derive(Clone, Copy, Default)]
struct Faults {
    /// The document binds another session.
    other_session: bool,
    /// The statement that is sent is not the one that is bound.
    other_statement: bool,
    /// Another bundle in PCR16.
    other_bundle: bool,
    /// Debug mode.
    debug: bool,
    /// No fault: acts only under orders that the log holds.
    with_log: bool,
}

struct Agent {
    address: String,
    /// Calls that arrived, whatever became of them.
    calls: Arc<AtomicUsize>,
}

impl Agent {
    fn start(world: &World, name: &str, faults: Faults) -> Self {
        let path = world.path(name);
        let address = Address::Unix(path.clone());
        let calls = Arc::new(AtomicUsize::new(0));
        let served = Served {
            nsm: nsm(world, faults),
            policy: world.policy(),
            bundle: world.bundle.digest(),
            used: Mutex::new(UsedCalls::new(16)),
            calls: Arc::clone(&calls),
            faults,
        };
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let listener = Listener::bind(&address).await.unwrap();
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    let accepting = Accepting::Diagnostics;
                    let connection =
                        Connection::respond(stream, &accepting, Timeouts::DEFAULT).await;
                    served.serve(connection.unwrap()).await;
                }
            });
        });
        while !common::exists(&path) {
            thread::yield_now();
        }
        Self {
            address: format!("unix:{}", path.display()),
            calls,
        }
    }
}

fn nsm(world: &World, faults: Faults) -> MockNsm {
    let measured = measurements();
    let mut config = MockConfig::example();
    (config.pcr0, config.pcr1, config.pcr2) = (measured.pcr0.0, measured.pcr1.0, measured.pcr2.0);
    if faults.debug {
        config.mode = EnclaveMode::Debug;
    }
    assert_eq!(config.identity.module_id(), MODULE_ID);
    let nsm = MockNsm::new(world.authority.clone(), config);
    let mut bundle = world.bundle.digest().0;
    bundle[0] ^= u8::from(faults.other_bundle);
    nsm.extend_pcr(16, &bundle).unwrap();
    nsm.lock_pcrs(32).unwrap();
    nsm
}

struct Served {
    nsm: MockNsm,
    policy: Policy,
    bundle: narthex_policy::Digest384,
    used: Mutex<UsedCalls>,
    calls: Arc<AtomicUsize>,
    faults: Faults,
}

impl Served {
    async fn serve<S>(&self, mut connection: Connection<S>)
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    {
        let session = connection.handshake_hash();
        connection
            .send_message(&self.welcome(&session))
            .await
            .unwrap();
        while let Ok(Some(request)) = connection.receive_message::<CallRequest>().await {
            self.calls.fetch_add(1, Ordering::SeqCst);
            assert_eq!(request.log_proof.is_some(), self.faults.with_log);
            let answer = match self.judge(&request, &session) {
                Ok(action) => CallAnswer::Done(ResultBody {
                    action: Action::from_name(action).unwrap(),
                    log_check: LogCheck::InsecureWithoutLedger,
                    fields: vec![
                        Field::single(FieldName::HealthReady, Value::Flag(true)),
                        Field::single(FieldName::MemoryTotal, Value::Bytes(3 << 29)),
                        Field::single(FieldName::UptimeMachine, Value::Duration(90_000)),
                    ],
                }),
                Err(reason) => CallAnswer::Refused {
                    reason: ReasonId::from_static(reason),
                },
            };
            connection.send_message(&answer).await.unwrap();
        }
    }

    fn welcome(&self, session: &HandshakeHash) -> Welcome {
        let bundle = Digest384::from_bytes(self.bundle.0);
        let mut statement = SessionStatement {
            module_id: ModuleId::new(MODULE_ID).unwrap(),
            boot_id: BootId(BOOT_ID),
            agent_version: AgentVersion {
                major: 0,
                minor: 1,
                patch: 0,
            },
            boot_bundle: bundle,
            bundle_in_force: BundleInForce {
                digest: bundle,
                version: 1,
            },
            release: ReleaseState::Current,
            log_check: match self.faults.with_log {
                true => LogCheck::Required,
                false => LogCheck::InsecureWithoutLedger,
            },
            decisions: Decisions {
                accepted: 3,
                refused: 1,
            },
            chain_head: Digest384::ZERO,
            now: UnixMillis(now().0),
        };
        let bound = statement.to_bytes().unwrap().to_vec();
        let session = match self.faults.other_session {
            true => HandshakeHash::from_bytes([1; 32]),
            false => *session,
        };
        let user_data = Welcome::user_data(&session, &bound).as_bytes().to_vec();
        let request = AttestationRequest {
            user_data: Some(user_data),
            ..Default::default()
        };
        statement.decisions.refused += u64::from(self.faults.other_statement);
        Welcome {
            document: self.nsm.attest(request).unwrap(),
            statement: statement.to_bytes().unwrap().to_vec(),
        }
    }

    fn judge(
        &self,
        request: &CallRequest,
        session: &HandshakeHash,
    ) -> Result<&'static str, &'static str> {
        let order = SignedOrder {
            bytes: request.order.clone(),
            signature: request.order_signature.as_str().to_owned(),
            approvals: request
                .approvals
                .iter()
                .map(|text| text.as_str().to_owned())
                .collect(),
        };
        let call = SignedCall {
            bytes: request.call.clone(),
            signature: request.call_signature.as_str().to_owned(),
        };
        let measured = measurements();
        let context = OrderContext {
            now: now(),
            module_id: MODULE_ID,
            instance_id: INSTANCE_ID,
            boot_id: &narthex_policy::BootId(BOOT_ID),
            measurements: &measured,
            logged: narthex_policy::Logged::InsecureNotLooked,
        };
        let session = SessionHash(*session.as_bytes());
        let order = self
            .policy
            .authorise_order(&order, &context)
            .map_err(|refusal| refusal.id())?;
        let call = self
            .policy
            .authorise_call(&order, &call, &session, now())
            .map_err(|refusal| refusal.id())?;
        let fresh = self
            .used
            .lock()
            .unwrap()
            .claim(call, now())
            .map_err(|refusal| refusal.id())?;
        Ok(fresh.action().name())
    }
}

/// A read order of carol's; returns the flags that every session needs.
fn order(world: &World, actions: &str) -> String {
    let out = world.narthex(&format!(
        "order new --policy policy --as carol --key carol {actions} --enclave {INSTANCE_ID} --out shift.order.toml"
    ));
    assert_eq!(out.status.code(), Some(0), "{:?}", read(&out));
    "--order shift.order.toml --key carol --policy policy --release shop".to_owned()
}

/// The shipped build: the mock's root is named, and nothing is sent.
#[cfg(not(feature = "dev-root"))]
#[test]
fn the_shipped_command_refuses_an_agent_on_a_mock() {
    let world = World::new([9; 32]);
    let agent = Agent::start(&world, "agent.sock", Faults::default());
    let flags = order(&world, "--action health");
    let out = world.narthex(&format!(
        "diag {} health {flags} --enclave {MODULE_ID}",
        agent.address
    ));
    let (status, stdout, stderr) = read(&out);
    assert_eq!((status, stdout.as_str()), (1, ""), "{stderr}");
    assert!(stderr.contains("[chain.development_root]"), "{stderr}");
    assert_eq!(agent.calls.load(Ordering::SeqCst), 0);
}

#[cfg(feature = "dev-root")]
mod with_the_development_root {
    use super::common::json;
    use super::*;

    const ROOT: &str = "--insecure-development-root root.der";

    #[test]
    fn a_session_with_several_actions_and_again() {
        let world = World::new([9; 32]);
        let agent = Agent::start(&world, "agent.sock", Faults::default());
        let flags = order(&world, "--action health --action memory");
        for round in 0..2 {
            let line = format!(
                "diag --json {} health memory health {flags} --enclave {MODULE_ID} {ROOT}",
                agent.address
            );
            let out = world.narthex(&line);
            assert_eq!(out.status.code(), Some(0), "{round}: {:?}", read(&out));
            let value = json(&out);
            assert_eq!(value["verdict"], "accepted");
            assert_eq!(value["root"], "insecure-development");
            assert_eq!(value["agent"]["module_id"], MODULE_ID);
            assert_eq!(value["agent"]["release"], "shop");
            assert_eq!(value["results"].as_array().unwrap().len(), 3);
            assert_eq!(value["results"][0]["fields"][1]["value"], 3_u64 << 29);
            assert_eq!(value["results"][0]["insecure_without_ledger"], true);
        }
        assert_eq!(agent.calls.load(Ordering::SeqCst), 6);
        // For people.
        let line = format!(
            "diag {} health {flags} --enclave {INSTANCE_ID} {ROOT}",
            agent.address
        );
        let (status, stdout, stderr) = read(&world.narthex(&line));
        assert_eq!(status, 0, "{stderr}");
        assert!(stdout.contains("memory.total    1.5 GiB"), "{stdout}");
        assert!(stdout.contains("no real enclave"), "{stdout}");
    }

    /// The file that remembers counters is lost: the agent says so, and another one is tried.
    #[test]
    fn a_lost_counter_is_found_again() {
        let world = World::new([9; 32]);
        let agent = Agent::start(&world, "agent.sock", Faults::default());
        let flags = order(&world, "--action health");
        let line = format!(
            "diag {} health health {flags} --enclave {MODULE_ID} {ROOT}",
            agent.address
        );
        assert_eq!(world.narthex(&line).status.code(), Some(0));
        std::fs::remove_dir_all(world.path(".local")).unwrap();
        let (status, _, stderr) = read(&world.narthex(&line));
        assert_eq!(status, 0, "{stderr}");
        assert!(
            stderr.contains("was used before; trying another"),
            "{stderr}"
        );
    }

    #[test]
    fn status_needs_no_order_and_sends_nothing() {
        let world = World::new([9; 32]);
        let agent = Agent::start(&world, "agent.sock", Faults::default());
        let line = format!(
            "diag {} --status --policy policy --release shop --enclave {MODULE_ID} {ROOT}",
            agent.address
        );
        let (status, stdout, stderr) = read(&world.narthex(&line));
        assert_eq!(status, 0, "{stderr}");
        assert!(
            stdout.contains("boot id     07070707070707070707070707070707"),
            "{stdout}"
        );
        assert_eq!(agent.calls.load(Ordering::SeqCst), 0);
    }

    /// With a log: no proof, no call. The proof beside the order goes with it, and the agent's
    /// statement is kept where the person says.
    #[test]
    fn an_agent_with_a_log_gets_the_proof_with_every_call() {
        let mut logged = fixture::Logged::new();
        let faults = Faults {
            with_log: true,
            ..Faults::default()
        };
        let agent = Agent::start(&logged.world, "agent.sock", faults);
        let flags = order(&logged.world, "--action health");
        let line = format!(
            "diag {} health {flags} --enclave {MODULE_ID} {ROOT}",
            agent.address
        );
        let (status, stdout, stderr) = logged.narthex(&line);
        assert_eq!((status, stdout.as_str()), (1, ""), "{stderr}");
        assert!(stderr.contains("[log.proof_missing]"), "{stderr}");
        assert!(
            stderr.contains("narthex order submit shift.order.toml"),
            "{stderr}"
        );
        assert_eq!(agent.calls.load(Ordering::SeqCst), 0);

        let file = |name: &str| std::fs::read(logged.world.path(name)).unwrap();
        let signed = SignedOrder {
            bytes: file("shift.order.toml"),
            signature: String::from_utf8(file("shift.order.toml.carol.sig")).unwrap(),
            approvals: Vec::new(),
        };
        let proof = logged.log_order(&signed, Vec::new(), false);
        std::fs::write(logged.world.path("shift.order.toml.proof"), proof).unwrap();
        let (status, _, stderr) = logged.narthex(&line);
        assert_eq!(status, 0, "{stderr}");
        assert!(stderr.contains("was not handed in to the log"), "{stderr}");
        let (status, _, stderr) = logged.narthex(&format!("{line} --keep-statement kept"));
        assert_eq!(status, 0, "{stderr}");
        assert!(stderr.contains("statement kept in kept/"), "{stderr}");
        // A service that is not there changes nothing about the session.
        let away = format!("{line} --submissions unix:/nowhere");
        let (status, _, stderr) = logged.narthex(&away);
        assert_eq!(status, 0, "{stderr}");
        assert!(stderr.contains("[policy.no_key_service]") || stderr.contains("[io.connect]"));
        assert!(stderr.contains("statement kept in "), "{stderr}");
        assert_eq!(agent.calls.load(Ordering::SeqCst), 3);
    }

    /// Each agent is wrong in one way, is refused for exactly that, and is sent nothing.
    #[test]
    fn nothing_is_sent_to_an_agent_that_is_not_as_expected() {
        let world = World::new([9; 32]);
        let good = Faults::default();
        let cases = [
            (
                "session",
                Faults {
                    other_session: true,
                    ..good
                },
                MODULE_ID,
                "shop",
                "bind.user_data",
            ),
            (
                "statement",
                Faults {
                    other_statement: true,
                    ..good
                },
                MODULE_ID,
                "shop",
                "bind.user_data",
            ),
            (
                "bundle",
                Faults {
                    other_bundle: true,
                    ..good
                },
                MODULE_ID,
                "shop",
                "pcr.16",
            ),
            (
                "debug",
                Faults {
                    debug: true,
                    ..good
                },
                MODULE_ID,
                "shop",
                "debug",
            ),
            (
                "instance",
                good,
                "i-00000000000000001-enc0198c0ffee00d1ce",
                "shop",
                "pcr.4",
            ),
            (
                "enclave",
                good,
                "i-0123456789abcdef0-enc0000000000000001",
                "shop",
                "enclave.other",
            ),
            ("release", good, MODULE_ID, "till", "release.unknown"),
        ];
        let flags = order(&world, "--action health");
        for (name, faults, enclave, release, reason) in cases {
            let agent = Agent::start(&world, name, faults);
            let flags = flags.replace("--release shop", &format!("--release {release}"));
            let line = format!(
                "diag {} health {flags} --enclave {enclave} {ROOT}",
                agent.address
            );
            let (status, stdout, stderr) = read(&world.narthex(&line));
            assert_eq!((status, stdout.as_str()), (1, ""), "{name}: {stderr}");
            assert!(stderr.contains(reason), "{name}: {stderr}");
            assert_eq!(agent.calls.load(Ordering::SeqCst), 0, "{name}");
        }
    }

    /// After a stop somebody must be able to see that the keys are gone: when asked for by name, and it shows.
    #[test]
    fn a_withdrawn_release_is_looked_at_only_when_that_is_said() {
        let world = World::new([9; 32]);
        let agent = Agent::start(&world, "agent.sock", Faults::default());
        let flags = order(&world, "--action health");
        for step in [
            "release stop policy --release shop",
            "release sign policy/stops/0001.toml --as bob --key bob",
        ] {
            let done = world.narthex(step);
            assert_eq!(done.status.code(), Some(0), "{:?}", read(&done));
        }
        let line = format!(
            "diag {} health {flags} --enclave {MODULE_ID} {ROOT}",
            agent.address
        );
        let (status, stdout, stderr) = read(&world.narthex(&line));
        assert_eq!((status, stdout.as_str()), (1, ""), "{stderr}");
        assert!(stderr.contains("[release.stopped]"), "{stderr}");
        assert!(stderr.contains("--insecure-withdrawn-release"), "{stderr}");
        assert_eq!(agent.calls.load(Ordering::SeqCst), 0);
        let line = format!("{line} --insecure-withdrawn-release");
        let (status, stdout, stderr) = read(&world.narthex(&line));
        assert_eq!(status, 0, "{stderr}");
        assert!(
            stdout.contains("INSECURE") && stdout.contains("[release.stopped]"),
            "{stdout}"
        );
        let (_, stdout, _) = read(&world.narthex(&format!("{line} --json")));
        let value: serde_json::Value = serde_json::from_str(&stdout).unwrap();
        assert_eq!(
            value["agent"]["insecure_withdrawn_release"],
            "release.stopped"
        );
    }

    /// A change needs an approval, and is made once.
    #[test]
    fn a_write_order_is_used_once() {
        let world = World::new([9; 32]);
        let agent = Agent::start(&world, "agent.sock", Faults::default());
        let new = world.narthex(&format!(
            "order new --policy policy --as carol --key carol --action restart-workload \
             --enclave {MODULE_ID} --boot-id 07070707070707070707070707070707 --valid-for 1h --out w.order.toml"
        ));
        assert_eq!(new.status.code(), Some(0), "{:?}", read(&new));
        let line = format!(
            "diag {} restart-workload --order w.order.toml --key carol --policy policy --release shop \
             --enclave {MODULE_ID} {ROOT}",
            agent.address
        );
        let ask = || read(&world.narthex(&line));
        let (status, _, stderr) = ask();
        assert_eq!(status, 1);
        assert!(stderr.contains("[order.under_approved]"), "{stderr}");
        let approve = world.narthex("order approve w.order.toml --as bob --key bob");
        assert_eq!(approve.status.code(), Some(0));
        assert_eq!(ask().0, 0);
        let (status, _, stderr) = ask();
        assert_eq!(status, 1);
        assert!(stderr.contains("[call.counter_reused]"), "{stderr}");
        assert_eq!(agent.calls.load(Ordering::SeqCst), 3);
    }
}
