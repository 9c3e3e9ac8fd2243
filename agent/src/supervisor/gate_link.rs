//! The supervisor's end of the gate: starting it, answering it, starting it again.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use minicbor::bytes::ByteVec;
use narthex_channel::diagnostics::{CallAnswer, ResultBody, Welcome};
use narthex_channel::{Digest384, HandshakeHash, Message, UnixMillis};
use narthex_nsm::{AttestationRequest, own_document};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, timeout};

use super::core::Core;
use super::reason::CallRefusal;
use super::sessions::{Attested, SessionRefusal};
use crate::actions;
use crate::child::{ConfinedChild, Role, spawn};
use crate::config::GateConfig;
use crate::decisions::Outcome;
use crate::error::AgentError;
use crate::ipc::{
    self, ConfinementOrder, ConfinementReport, FromGate, GateSetup, IpcError,
    MAX_GATE_MESSAGE_BYTES, ToGate,
};
use crate::sandbox::SandboxError;

/// How long a gate may take until it is confined.
const CONFINEMENT_LIMIT: Duration = Duration::from_secs(10);
/// The gate's requests that are worked on at once.
const CONCURRENT_REQUESTS: usize = 16;
/// Answers that may wait for the gate to read them.
const OUTGOING_MESSAGES: usize = 16;
/// Shortest and longest pause before a dead gate is started again.
const RESTART_PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));
/// A gate that lived this long died for a reason of its own, not at once after its start.
const LONG_LIFE: Duration = Duration::from_secs(30);

/// A running, confined gate.
pub struct Gate {
    child: ConfinedChild,
    socket: UnixStream,
    /// What was enforced.
    pub confinement: ConfinementReport,
}

/// Starts a gate on `listener` and waits until it is confined.
///
/// # Errors
///
/// [`AgentError::Sandbox`] with the step that failed, [`AgentError::ConfinedProcess`].
pub async fn start(listener: &OwnedFd, setup: &GateSetup) -> Result<Gate, AgentError> {
    let failed = |error: io::Error| AgentError::Runtime {
        what: "the gate",
        kind: error.kind(),
    };
    let (mut child, near) = spawn(Role::Gate, listener.as_fd(), setup).map_err(failed)?;
    let mut socket = UnixStream::from_std(near).map_err(failed)?;
    let first = timeout(CONFINEMENT_LIMIT, next(&mut socket)).await;
    match first {
        Ok(Ok(FromGate::Confined(confinement))) if confinement.meets(&setup.confinement) => {
            child.check_confined().map_err(AgentError::Sandbox)?;
            Ok(Gate {
                child,
                socket,
                confinement,
            })
        }
        _ => Err(
            match child.ended().await.and_then(SandboxError::from_exit_code) {
                Some(sandbox) => AgentError::Sandbox(sandbox),
                None => AgentError::ConfinedProcess,
            },
        ),
    }
}

/// The set-up message of a gate.
pub fn setup(config: &GateConfig) -> GateSetup {
    let millis = |seconds: u32| u64::from(seconds).saturating_mul(1000);
    GateSetup {
        confinement: ConfinementOrder::new(config),
        connections: config.connections,
        handshake_millis: millis(config.handshake_seconds),
        idle_millis: millis(config.idle_seconds),
        session_millis: millis(config.session_seconds),
        peer_cids: config.peer_cids.clone(),
    }
}

/// Serves through `gate`, and through its successors when it dies. Ends only with an error of the sandbox:
/// without a confined gate the agent does not serve.
pub async fn serve(core: Rc<Core>, listener: OwnedFd, first: Gate) -> AgentError {
    let setup = setup(&core.config.gate);
    let (shortest, longest) = RESTART_PAUSES;
    let mut pause = shortest;
    let mut gate = first;
    loop {
        let begun = Instant::now();
        {
            let mut status = core.gate.borrow_mut();
            status.running = true;
            status.user_changed = gate.confinement.user_changed;
            status.landlock_abi = gate.confinement.landlock_abi;
        }
        let Gate {
            mut child, socket, ..
        } = gate;
        let end = link(&core, socket).await;
        core.gate.borrow_mut().running = false;
        core.authority.borrow_mut().close_all_sessions();
        core.notices
            .say("the gate ended and is started again", end.id());
        let now = core.now();
        core.authority
            .borrow_mut()
            .record_event(Outcome::Refused, end.id(), now);
        // What broke the protocol is not given time to do it again.
        child.end();
        pause = if begun.elapsed() >= LONG_LIFE {
            shortest
        } else {
            pause
        };
        gate = loop {
            tokio::time::sleep(pause).await;
            pause = pause.saturating_mul(2).min(longest);
            match start(&listener, &setup).await {
                Ok(gate) => break gate,
                Err(error @ AgentError::Sandbox(_)) => return error,
                Err(error) => core.notices.say("the gate cannot be started", error.id()),
            }
        };
        let mut status = core.gate.borrow_mut();
        status.restarts = status.restarts.saturating_add(1);
    }
}

/// Reads and answers until the gate is gone or breaks the protocol. Public for the tests that put a
/// malicious program in the gate's place.
pub async fn link(core: &Rc<Core>, socket: UnixStream) -> IpcError {
    let (mut from_gate, to_gate) = socket.into_split();
    let (answers, outgoing) = mpsc::channel(OUTGOING_MESSAGES);
    tokio::select! {
        end = read(core, &mut from_gate, answers) => end,
        end = write(to_gate, outgoing) => end,
    }
}

async fn read(
    core: &Rc<Core>,
    from_gate: &mut OwnedReadHalf,
    answers: mpsc::Sender<ToGate>,
) -> IpcError {
    let places = Arc::new(Semaphore::new(CONCURRENT_REQUESTS));
    loop {
        // A gate that sends faster than it is answered waits here.
        let Ok(place) = places.clone().acquire_owned().await else {
            return IpcError::Closed;
        };
        let message = match next(from_gate).await {
            Ok(message) => message,
            Err(end) => return end,
        };
        let work = match message {
            FromGate::Confined(_) => return IpcError::Unexpected,
            FromGate::Tally(tally) => {
                core.gate.borrow_mut().add(tally);
                continue;
            }
            FromGate::Closed { connection } => {
                core.authority.borrow_mut().close_session(connection);
                continue;
            }
            FromGate::Opened {
                connection,
                handshake_hash,
            } => {
                // Entered here and not in the task below, so that a message that follows finds it.
                let handshake_hash = HandshakeHash::from_bytes(*handshake_hash);
                let opened = core.open_session(connection, handshake_hash);
                Work::Welcome {
                    connection,
                    handshake_hash,
                    opened,
                }
            }
            FromGate::Call {
                connection,
                content,
            } => Work::Call {
                connection,
                content: content.into(),
            },
        };
        let (core, answers) = (core.clone(), answers.clone());
        tokio::task::spawn_local(async move {
            let answer = core.work(work).await;
            // The gate may be gone; then nobody waits for the answer.
            let _ = answers.send(answer).await;
            drop(place);
        });
    }
}

async fn write(mut to_gate: OwnedWriteHalf, mut outgoing: mpsc::Receiver<ToGate>) -> IpcError {
    while let Some(message) = outgoing.recv().await {
        let written = ipc::write_message(&mut to_gate, &message, MAX_GATE_MESSAGE_BYTES).await;
        if let Err(error) = written {
            return error;
        }
    }
    IpcError::Closed
}

async fn next<S: tokio::io::AsyncRead + Unpin>(socket: &mut S) -> Result<FromGate, IpcError> {
    let bytes = ipc::read_message(socket, MAX_GATE_MESSAGE_BYTES).await?;
    ipc::decode(&bytes)
}

/// What takes time.
enum Work {
    Welcome {
        connection: u32,
        handshake_hash: HandshakeHash,
        /// The statement to be bound, or why there is no session.
        opened: Result<Vec<u8>, SessionRefusal>,
    },
    Call {
        connection: u32,
        content: Vec<u8>,
    },
}

impl Core {
    async fn work(self: &Rc<Self>, work: Work) -> ToGate {
        match work {
            Work::Welcome {
                connection,
                handshake_hash,
                opened,
            } => {
                let welcome = match opened {
                    Ok(statement) => self.welcome(connection, handshake_hash, statement).await,
                    Err(refusal) => Err(refusal),
                };
                match welcome {
                    Ok(content) => ToGate::Send {
                        connection,
                        content: ByteVec::from(content),
                    },
                    Err(refusal) => {
                        self.notices.say("a session was refused", refusal.id());
                        ToGate::Close { connection }
                    }
                }
            }
            Work::Call {
                connection,
                content,
            } => match self.answer(connection, &content).await {
                Some(content) => ToGate::Send {
                    connection,
                    content: ByteVec::from(content),
                },
                None => ToGate::Close { connection },
            },
        }
    }

    /// Enters the session, and states what its document is to vouch for.
    fn open_session(
        &self,
        connection: u32,
        handshake_hash: HandshakeHash,
    ) -> Result<Vec<u8>, SessionRefusal> {
        let now = self.now();
        let mut authority = self.authority.borrow_mut();
        authority.open_session(connection, handshake_hash, now)?;
        match authority.statement(now).to_bytes() {
            Ok(statement) => Ok(statement.to_vec()),
            Err(_) => {
                authority.close_session(connection);
                Err(SessionRefusal::NotAttested)
            }
        }
    }

    /// Has the session attested: one fresh document, bound to `h` and the statement.
    async fn welcome(
        &self,
        connection: u32,
        handshake_hash: HandshakeHash,
        statement: Vec<u8>,
    ) -> Result<Vec<u8>, SessionRefusal> {
        let binding = Welcome::user_data(&handshake_hash, &statement);
        let welcome = async {
            let (document, attested) = self.attest(binding, None).await?;
            self.authority
                .borrow_mut()
                .session_attested(connection, &handshake_hash, attested)?;
            let welcome = Welcome {
                document,
                statement,
            };
            welcome.to_bytes().map_err(|_| SessionRefusal::NsmFailed)
        };
        match welcome.await {
            Ok(content) => {
                let mut status = self.gate.borrow_mut();
                status.accepted = status.accepted.saturating_add(1);
                Ok(content.to_vec())
            }
            Err(refusal) => {
                self.authority
                    .borrow_mut()
                    .abandon_session(connection, &handshake_hash);
                Err(refusal)
            }
        }
    }

    /// Asks the NSM for a document with `binding` in its `user_data`.
    pub(crate) async fn attest(
        &self,
        binding: Digest384,
        nonce: Option<Vec<u8>>,
    ) -> Result<(Vec<u8>, Attested), SessionRefusal> {
        let user_data = Some(binding.as_bytes().to_vec());
        let request = AttestationRequest {
            user_data,
            nonce,
            public_key: None,
        };
        let document = self
            .module
            .attest(request)
            .await
            .map_err(|_| SessionRefusal::NsmFailed)?;
        let timestamp =
            own_document::timestamp(&document).map_err(|_| SessionRefusal::NsmFailed)?;
        let attested = Attested {
            binding,
            document: Digest384::of(&document),
            document_bytes: u64::try_from(document.len()).unwrap_or(u64::MAX),
            timestamp: UnixMillis(timestamp.0),
        };
        Ok((document, attested))
    }

    /// Judges a call, does what was accepted, and encodes the answer. `None` when the session does not exist,
    /// so that there is nobody to answer.
    async fn answer(self: &Rc<Self>, connection: u32, content: &[u8]) -> Option<Vec<u8>> {
        let now = self.now();
        let judgement = self.authority.borrow_mut().judge(connection, content, now);
        self.learn_time();
        let answer = match judgement {
            Ok(call) => match actions::perform(self, connection, &call).await {
                Ok((action, fields)) => CallAnswer::Done(ResultBody {
                    action,
                    log_check: self.authority.borrow().log().log_check(),
                    fields,
                }),
                Err(refusal) => {
                    let mut authority = self.authority.borrow_mut();
                    authority.record_event(Outcome::Refused, refusal.id(), now);
                    self.refused(refusal)
                }
            },
            Err(CallRefusal::Session(SessionRefusal::Unknown)) => return None,
            Err(refusal) => self.refused(refusal),
        };
        let encoded = answer.to_bytes().or_else(|_| {
            // More fields than a message holds: nothing of it is sent.
            self.refused(CallRefusal::ActionFailed).to_bytes()
        });
        encoded.ok().map(|bytes| bytes.to_vec())
    }

    fn refused(&self, refusal: CallRefusal) -> CallAnswer {
        self.notices.say("a call was refused", refusal.id());
        CallAnswer::Refused {
            reason: refusal.reason_id(),
        }
    }
}
