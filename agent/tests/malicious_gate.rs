//! A malicious program in the gate's place cannot make the supervisor act.
//!
//! The program speaks the IPC of the gate to a real supervisor core over a socket pair. It knows everything a
//! gate knows: sessions, their handshake hashes, and the calls of honest operators.

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

use std::rc::Rc;
use std::time::Duration;

use minicbor::bytes::{ByteArray, ByteVec};
use narthex_agent::boot::Booted;
use narthex_agent::ipc::{
    self, ConfinementReport, FromGate, GateTally, IpcError, MAX_GATE_MESSAGE_BYTES, ToGate,
};
use narthex_agent::mode::{Mode, Privileges};
use narthex_agent::module::Module;
use narthex_agent::notice::Notices;
use narthex_agent::supervisor::authority::{Authority, Now};
use narthex_agent::supervisor::core::{Core, Shutdown, Start};
use narthex_agent::supervisor::gate_link::link;
use narthex_agent::supervisor::policy_watch::Intake;
use narthex_agent::supervisor::{Run, assemble};
use narthex_agent::trusted_time::{BootMillis, TrustedTime};
use narthex_channel::diagnostics::{CallAnswer, CallRequest, Welcome};
use narthex_channel::{HandshakeHash, Message, UnixMillis};
use narthex_policy::{Action, BootId};
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::sync::watch;
use tokio::task::{JoinHandle, LocalSet};
use world::peers::{bytes, mock_nsm, refusal};
use world::{What, World, identity, system_now};

const BOOT_ID: BootId = BootId([3; 16]);

/// A supervisor core, and this test in its gate's place.
struct Scene {
    world: World,
    core: Rc<Core>,
    gate: UnixStream,
    link: JoinHandle<IpcError>,
}

impl Scene {
    fn start() -> Self {
        Self::with_config("")
    }

    fn with_config(more: &str) -> Self {
        let world = World::new();
        let bundle = world.bundle(None);
        let config = world.config(more);
        let now = UnixMillis(system_now().0);
        let policy = world.booted(&bundle, narthex_policy::UnixMillis(now.0));
        let boot = BootMillis::read();
        let now = Now { trusted: now, boot };
        let mut authority = Authority::new(identity(BOOT_ID), policy, &config.gate, now);
        authority
            .add_release(&world.release(1, "current"), now)
            .unwrap();
        let booted = Booted {
            module: Module::new(mock_nsm()),
            time: TrustedTime::start(now.trusted, boot),
            authority,
            intake: Intake::default(),
        };
        let run = Run {
            mode: Mode::Local,
            privileges: Privileges::current(),
            notices: Notices::Silent,
            started: boot,
            start: Start::default(),
        };
        let (core, _) = assemble(config, run, booted, None, watch::channel(None).0).unwrap();
        let (gate, near) = UnixStream::pair().unwrap();
        let linked = core.clone();
        let link = tokio::task::spawn_local(async move { link(&linked, near).await });
        Self {
            world,
            core,
            gate,
            link,
        }
    }

    async fn say(&mut self, message: FromGate) {
        ipc::write_message(&mut self.gate, &message, MAX_GATE_MESSAGE_BYTES)
            .await
            .unwrap();
    }

    async fn hear(&mut self) -> ToGate {
        let message = ipc::read_message(&mut self.gate, MAX_GATE_MESSAGE_BYTES);
        let message = tokio::time::timeout(Duration::from_secs(10), message)
            .await
            .unwrap();
        ipc::decode(&message.unwrap()).unwrap()
    }

    async fn open(&mut self, connection: u32, session: HandshakeHash) -> ToGate {
        let handshake_hash = ByteArray::from(*session.as_bytes());
        self.say(FromGate::Opened {
            connection,
            handshake_hash,
        })
        .await;
        self.hear().await
    }

    async fn call(&mut self, connection: u32, call: &CallRequest) -> CallAnswer {
        self.raw_call(connection, bytes(call)).await
    }

    async fn raw_call(&mut self, connection: u32, content: Vec<u8>) -> CallAnswer {
        let content = ByteVec::from(content);
        self.say(FromGate::Call {
            connection,
            content,
        })
        .await;
        match self.hear().await {
            ToGate::Send {
                connection: answered,
                content,
            } => {
                assert_eq!(answered, connection);
                CallAnswer::from_bytes(&content).unwrap()
            }
            ToGate::Close { .. } => panic!("closed"),
        }
    }

    fn health(&self, session: HandshakeHash, counter: u64) -> CallRequest {
        let order = self.world.read_order("olga");
        self.world
            .call(&order, "olga", session, What::read(Action::Health, counter))
    }

    fn shutdown(&self, session: HandshakeHash) -> CallRequest {
        let order = self.world.write_order("shutdown", &BOOT_ID);
        self.world
            .call(&order, "olga", session, What::write(Action::Shutdown))
    }

    fn is_shutting_down(&self) -> bool {
        self.core.shutdown.borrow().is_some()
    }

    fn refused(&self) -> u64 {
        self.core.authority.borrow().chain().refused()
    }
}

fn hash(byte: u8) -> HandshakeHash {
    HandshakeHash::from_bytes([byte; 32])
}

fn closed(answer: &ToGate) -> bool {
    matches!(answer, ToGate::Close { .. })
}

async fn on_one_thread(test: impl Future<Output = ()>) {
    LocalSet::new().run_until(test).await;
}

#[tokio::test]
async fn honest_words_work_and_the_document_binds_the_session() {
    on_one_thread(async {
        let mut scene = Scene::start();
        let ToGate::Send { content, .. } = scene.open(1, hash(1)).await else {
            panic!()
        };
        let welcome = Welcome::from_bytes(&content).unwrap();
        let user_data = Welcome::user_data(&hash(1), &welcome.statement);
        let found = welcome
            .document
            .windows(48)
            .any(|window| window == user_data.as_bytes());
        assert!(found, "the document carries the binding digest");
        let call = scene.health(hash(1), 0);
        assert!(matches!(scene.call(1, &call).await, CallAnswer::Done(_)));
        // And an order that is good in every way is obeyed, so that the refusals below mean something.
        let call = scene.shutdown(hash(1));
        assert!(matches!(scene.call(1, &call).await, CallAnswer::Done(_)));
        assert!(scene.is_shutting_down());
    })
    .await;
}

#[tokio::test]
async fn an_agent_that_ends_starts_no_workload_again() {
    on_one_thread(async {
        let workload = format!(
            "[workload]\ncommand = \"/bin/true\"\n{}",
            world::process::workload_user()
        );
        let mut scene = Scene::with_config(&workload);
        scene.open(1, hash(1)).await;
        scene
            .core
            .shutdown
            .send_replace(Some(Shutdown { grace: None }));
        let order = scene.world.write_order("restart-workload", &BOOT_ID);
        let what = What::write(Action::RestartWorkload);
        let call = scene.world.call(&order, "olga", hash(1), what);
        assert_eq!(
            refusal(&scene.call(1, &call).await),
            "call.nothing_to_act_on"
        );
    })
    .await;
}

#[tokio::test]
async fn a_session_that_was_never_attested_does_not_exist() {
    on_one_thread(async {
        let mut scene = Scene::start();
        let call = scene.shutdown(hash(1));
        let content = ByteVec::from(bytes(&call));
        scene
            .say(FromGate::Call {
                connection: 1,
                content,
            })
            .await;
        assert!(closed(&scene.hear().await));
        assert!(!scene.is_shutting_down());
        assert_eq!(scene.refused(), 1, "the attempt is recorded");
    })
    .await;
}

#[tokio::test]
async fn a_call_for_another_session_is_refused() {
    on_one_thread(async {
        let mut scene = Scene::start();
        scene.open(1, hash(1)).await;
        scene.open(2, hash(2)).await;
        // Recorded in session 2, presented in session 1; and signed for a hash nobody attested.
        for session in [hash(2), hash(99)] {
            let call = scene.shutdown(session);
            assert_eq!(refusal(&scene.call(1, &call).await), "call.session");
        }
        assert!(!scene.is_shutting_down());
    })
    .await;
}

#[tokio::test]
async fn a_replayed_call_is_refused_in_the_same_and_in_a_reopened_session() {
    on_one_thread(async {
        let mut scene = Scene::start();
        scene.open(1, hash(1)).await;
        let call = scene.health(hash(1), 5);
        assert!(matches!(scene.call(1, &call).await, CallAnswer::Done(_)));
        assert_eq!(refusal(&scene.call(1, &call).await), "call.counter_reused");
        // The gate closes the session and opens "another" with the hash it forged from the first.
        scene.say(FromGate::Closed { connection: 1 }).await;
        assert!(!closed(&scene.open(2, hash(1)).await));
        assert_eq!(refusal(&scene.call(2, &call).await), "call.counter_reused");
    })
    .await;
}

#[tokio::test]
async fn altered_orders_calls_and_approvals_are_refused() {
    on_one_thread(async {
        let mut scene = Scene::start();
        scene.open(1, hash(1)).await;
        let good = scene.shutdown(hash(1));

        let mut order = good.clone();
        order.order = String::from_utf8(order.order)
            .unwrap()
            .replace("olga", "alice")
            .into_bytes();
        assert_eq!(refusal(&scene.call(1, &order).await), "signature.invalid");

        let mut call = good.clone();
        let last = call.call.len() - 1;
        call.call[last] ^= 1;
        let answer = scene.call(1, &call).await;
        assert_eq!(refusal(&answer), "signature.invalid");

        let mut approvals = good.clone();
        approvals.approvals = vec![good.order_signature.clone()];
        assert_eq!(
            refusal(&scene.call(1, &approvals).await),
            "signature.namespace"
        );
        approvals.approvals = Vec::new();
        assert_eq!(
            refusal(&scene.call(1, &approvals).await),
            "order.under_approved"
        );

        // The read order's call, which the gate has seen, under the write order it would like.
        let mut mixed = good.clone();
        let read = scene.health(hash(1), 0);
        (mixed.call, mixed.call_signature) = (read.call, read.call_signature);
        assert_eq!(refusal(&scene.call(1, &mixed).await), "call.order");

        // The proof it has seen of another order, and none.
        let mut unproved = good.clone();
        unproved.log_proof = read.log_proof;
        assert_eq!(refusal(&scene.call(1, &unproved).await), "log.inclusion");
        unproved.log_proof = None;
        assert_eq!(
            refusal(&scene.call(1, &unproved).await),
            "log.proof_missing"
        );
        assert!(!scene.is_shutting_down());
    })
    .await;
}

#[tokio::test]
async fn numbers_and_hashes_cannot_be_taken_twice() {
    on_one_thread(async {
        let mut scene = Scene::start();
        assert!(!closed(&scene.open(1, hash(1)).await));
        assert!(
            closed(&scene.open(2, hash(1)).await),
            "the hash of an open session"
        );
        let refused = scene.refused();
        // The number of an open session: refused, and the open session is closed for safety.
        assert!(closed(&scene.open(1, hash(3)).await));
        assert_eq!(scene.refused(), refused + 1);
    })
    .await;
}

#[tokio::test]
async fn a_session_that_ends_while_it_is_being_attested_leaves_nothing_behind() {
    on_one_thread(async {
        let mut scene = Scene::start();
        for number in 0..40 {
            let handshake_hash = ByteArray::from([100 + number as u8; 32]);
            let opened = FromGate::Opened {
                connection: number,
                handshake_hash,
            };
            let closed = FromGate::Closed { connection: number };
            let (opened, closed) = (ipc::encode(&opened), ipc::encode(&closed));
            let mut both = Vec::new();
            for message in [opened, closed] {
                both.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
                both.extend(message);
            }
            scene.gate.write_all(&both).await.unwrap();
            scene.hear().await;
        }
        assert_eq!(scene.core.authority.borrow().open_sessions(), 0);
    })
    .await;
}

#[tokio::test]
async fn sessions_are_bounded() {
    on_one_thread(async {
        let mut scene = Scene::start();
        for number in 0..16 {
            assert!(!closed(&scene.open(number, hash(100 + number as u8)).await));
        }
        assert!(closed(&scene.open(16, hash(200)).await));
    })
    .await;
}

#[tokio::test]
async fn garbage_inside_a_call_is_refused_and_outside_ends_the_gate() {
    on_one_thread(async {
        let mut scene = Scene::start();
        scene.open(1, hash(1)).await;
        assert_eq!(
            refusal(&scene.raw_call(1, vec![0xff; 100]).await),
            "message.malformed"
        );
        let long = vec![0; 200 * 1024];
        assert_eq!(refusal(&scene.raw_call(1, long).await), "message.too_long");
        let mut trailing = bytes(&scene.health(hash(1), 0));
        trailing.push(0);
        assert_eq!(
            refusal(&scene.raw_call(1, trailing).await),
            "message.trailing"
        );
        scene.gate.write_all(&[0, 0, 0, 3, 1, 2, 3]).await.unwrap();
        assert_eq!(scene.link.await.unwrap(), IpcError::Malformed);
    })
    .await;
}

#[tokio::test]
async fn every_broken_frame_has_its_reason() {
    on_one_thread(async {
        let oversize = u32::try_from(MAX_GATE_MESSAGE_BYTES + 1)
            .unwrap()
            .to_be_bytes()
            .to_vec();
        let confined_again = {
            let report = ConfinementReport {
                user_changed: true,
                landlock_abi: 6,
            };
            let message = ipc::encode(&FromGate::Confined(report));
            let length = u32::try_from(message.len()).unwrap().to_be_bytes();
            [length.to_vec(), message].concat()
        };
        let tally = ipc::encode(&FromGate::Tally(GateTally::default()));
        let longer = [
            &[0, 0, 0, u8::try_from(tally.len() + 1).unwrap()][..],
            &tally,
            &[0],
        ]
        .concat();
        let cases = [
            (oversize, IpcError::Length),
            (vec![0; 4], IpcError::Length),
            (vec![0, 0, 0, 9, 1], IpcError::Truncated),
            (vec![0, 0], IpcError::Truncated),
            (confined_again, IpcError::Unexpected),
            (longer, IpcError::Malformed),
            (Vec::new(), IpcError::Closed),
        ];
        for (sent, expected) in cases {
            let mut scene = Scene::start();
            scene.gate.write_all(&sent).await.unwrap();
            drop(scene.gate);
            assert_eq!(scene.link.await.unwrap(), expected, "{sent:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_gate_that_never_reads_does_not_make_the_supervisor_hoard() {
    on_one_thread(async {
        let mut scene = Scene::start();
        scene.open(1, hash(1)).await;
        let call = bytes(&scene.health(hash(1), 0));
        // It sends and never reads; at some point the supervisor stops reading too.
        let flood = async {
            loop {
                let content = ByteVec::from(call.clone());
                scene
                    .say(FromGate::Call {
                        connection: 1,
                        content,
                    })
                    .await;
            }
        };
        let flood = tokio::time::timeout(Duration::from_secs(2), flood);
        assert!(flood.await.is_err(), "the flood was taken without end");
        assert!(scene.refused() < 10_000);
    })
    .await;
}
