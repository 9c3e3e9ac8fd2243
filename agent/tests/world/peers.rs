//! The other ends: a policy source, a key service, a mock NSM, an operator.

use std::path::Path;
use std::sync::{Arc, Mutex};

use narthex_channel::diagnostics::LogCheck;
use narthex_channel::diagnostics::{CallAnswer, CallRequest, SessionStatement, Welcome};
use narthex_channel::keys::{KeyAnswer, KeyOutcome, KeyRequestEnvelope, Shares};
use narthex_channel::policy::{PolicyAnswer, PolicyRequest, Signed};
use narthex_channel::tokio::{Connection, Timeouts};
use narthex_channel::{
    Accepting, ArmoredSignature, HandshakeHash, Message, Opening, ReasonId, SealContext,
    SecretBytes, StaticSecret, seal,
};
use narthex_nsm::mock::mint::DevelopmentAuthority;
use narthex_nsm::mock::server::{RunningServer, Server, ServerLimits};
use narthex_nsm::mock::{MockConfig, MockNsm};
use narthex_policy::SignedFile;
use tokio::net::{TcpListener, TcpStream};

use super::log::SharedLog;

/// A mock NSM in this process.
pub fn mock_nsm() -> Arc<MockNsm> {
    Arc::new(MockNsm::new(
        DevelopmentAuthority::insecure_fixed(),
        MockConfig::example(),
    ))
}

/// Serves `nsm` at `path`.
pub fn serve_nsm(path: &Path, nsm: Arc<MockNsm>) -> RunningServer {
    Server::bind(path, nsm, ServerLimits::default())
        .expect("bind")
        .spawn()
        .expect("thread")
}

/// A file as the policy source sends it.
pub fn wire(file: &SignedFile) -> Signed {
    Signed {
        bytes: file.bytes.clone(),
        signatures: file
            .signatures
            .iter()
            .map(|text| ArmoredSignature::new(text).expect("armoured"))
            .collect(),
    }
}

/// What the policy source answers; shared with the test, which may change it.
pub type SharedAnswer = Arc<Mutex<PolicyAnswer>>;

/// Starts a policy source on its own thread; returns its address.
pub fn policy_source(answer: SharedAnswer) -> String {
    server(move |stream| {
        let answer = answer.clone();
        async move {
            let accepting = Accepting::Policy;
            let connection = Connection::respond(stream, &accepting, Timeouts::DEFAULT).await;
            let Ok(mut connection) = connection else {
                return;
            };
            while let Ok(Some(_)) = connection.receive_message::<PolicyRequest>().await {
                let answer = answer.lock().unwrap().clone();
                if connection.send_message(&answer).await.is_err() {
                    return;
                }
            }
        }
    })
}

/// What the key service does with a request.
#[derive(Clone)]
pub enum KeyConduct {
    /// Releases these bytes as version 1 of every key asked for.
    Release(Vec<u8>),
    /// The same, without a word to the log.
    ReleaseUnlogged(Vec<u8>),
    /// Refuses.
    Refuse,
}

/// A key service, and the requests it saw.
#[derive(Clone)]
pub struct KeyService {
    /// What it does; the test may change it.
    pub conduct: Arc<Mutex<KeyConduct>>,
    /// The envelopes that came, with the session they came in.
    pub requests: Arc<Mutex<Vec<(HandshakeHash, KeyRequestEnvelope)>>>,
}

/// Starts a key service with `secret` on its own thread.
pub fn key_service(
    secret: &[u8; 32],
    conduct: KeyConduct,
    log: Option<SharedLog>,
) -> (String, KeyService) {
    let service = KeyService {
        conduct: Arc::new(Mutex::new(conduct)),
        requests: Arc::default(),
    };
    let (secret, shared) = (*secret, service.clone());
    let address = server(move |stream| {
        let (service, log) = (shared.clone(), log.clone());
        async move {
            let secret = StaticSecret::from_bytes(&secret);
            let accepting = Accepting::Keys { secret: &secret };
            let connection = Connection::respond(stream, &accepting, Timeouts::DEFAULT).await;
            let Ok(mut connection) = connection else {
                return;
            };
            let session = connection.handshake_hash();
            let Ok(Some(envelope)) = connection.receive_message::<KeyRequestEnvelope>().await
            else {
                return;
            };
            service
                .requests
                .lock()
                .unwrap()
                .push((session, envelope.clone()));
            let answer = match service.conduct.lock().unwrap().clone() {
                KeyConduct::Refuse => answered(KeyOutcome::Refused {
                    reason: ReasonId::from_static("key.account"),
                }),
                KeyConduct::Release(bytes) => {
                    let answer = release(&envelope, &session, &bytes);
                    logged(log.as_ref(), &session, &envelope, answer)
                }
                KeyConduct::ReleaseUnlogged(bytes) => release(&envelope, &session, &bytes),
            };
            let _ = connection.send_message(&answer).await;
            let _ = connection.close().await;
        }
    });
    (address, service)
}

/// Version 1 of every key asked for, made of `bytes`.
pub fn release(envelope: &KeyRequestEnvelope, session: &HandshakeHash, bytes: &[u8]) -> KeyAnswer {
    let request = envelope.key_request().expect("request");
    let sealed = request.keys.iter().map(|wanted| {
        let context = SealContext {
            handshake_hash: session,
            name: &wanted.name,
            version: wanted.version.unwrap_or(1),
            shares: Shares::Service,
        };
        seal(
            &request.recipient_key,
            &context,
            &SecretBytes::copied_from(bytes),
        )
        .expect("seal")
    });
    answered(KeyOutcome::Released(sealed.collect()))
}

fn logged(
    log: Option<&SharedLog>,
    session: &HandshakeHash,
    envelope: &KeyRequestEnvelope,
    answer: KeyAnswer,
) -> KeyAnswer {
    let Some(log) = log else {
        return answer;
    };
    let (module_id, now) = (super::module_id(), super::system_now().0);
    let mut log = log.lock().unwrap();
    log.answer(&module_id, session, envelope, answer, now)
}

/// The answer of a service that runs without the log.
pub fn answered(outcome: KeyOutcome) -> KeyAnswer {
    KeyAnswer {
        log_check: LogCheck::InsecureWithoutLedger,
        log_proof: None,
        outcome,
    }
}

/// A TCP server on a thread of its own, for as long as the test program runs.
fn server<H, F>(handler: H) -> String
where
    H: Fn(TcpStream) -> F + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
    listener.set_nonblocking(true).expect("non-blocking");
    let address = format!("tcp:{}", listener.local_addr().expect("address"));
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("runtime");
        runtime.block_on(async move {
            let listener = TcpListener::from_std(listener).expect("listener");
            loop {
                let (stream, _) = listener.accept().await.expect("accept");
                tokio::spawn(handler(stream));
            }
        });
    });
    address
}

/// An operator's session. Verifies nothing of the document: that is the command's job, and tested there.
pub struct Operator {
    connection: Connection<TcpStream>,
    /// What came first.
    pub welcome: Welcome,
}

impl Operator {
    /// Connects to `address` (`tcp:` and an address).
    pub async fn connect(address: &str) -> Result<Self, String> {
        let address = address.strip_prefix("tcp:").expect("tcp");
        let stream = TcpStream::connect(address)
            .await
            .map_err(|error| error.to_string())?;
        let opening = Opening::Diagnostics;
        let mut connection = Connection::initiate(stream, &opening, Timeouts::DEFAULT)
            .await
            .map_err(|error| error.to_string())?;
        let welcome = connection
            .receive_message::<Welcome>()
            .await
            .map_err(|error| error.to_string())?
            .ok_or("closed before the welcome")?;
        Ok(Self {
            connection,
            welcome,
        })
    }

    /// The handshake hash.
    pub fn session(&self) -> HandshakeHash {
        self.connection.handshake_hash()
    }

    /// The session statement.
    pub fn statement(&self) -> SessionStatement {
        self.welcome.session_statement().expect("statement")
    }

    /// Makes a call.
    pub async fn call(&mut self, request: &CallRequest) -> CallAnswer {
        self.connection.send_message(request).await.expect("send");
        self.connection
            .receive_message()
            .await
            .expect("receive")
            .expect("an answer")
    }

    /// Sends raw content.
    pub async fn raw(&mut self, content: &[u8]) -> CallAnswer {
        self.connection.send(content).await.expect("send");
        self.connection
            .receive_message()
            .await
            .expect("receive")
            .expect("an answer")
    }
}

/// The reason of a refusal.
pub fn refusal(answer: &CallAnswer) -> &str {
    match answer {
        CallAnswer::Refused { reason } => reason.as_str(),
        CallAnswer::Done(body) => panic!("{} was done", body.action),
    }
}

/// The encoding of a message.
pub fn bytes<M: Message>(message: &M) -> Vec<u8> {
    message.to_bytes().expect("encodable").to_vec()
}
