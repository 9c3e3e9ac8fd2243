//! The operator's end of a diagnostics session, by hand: it sends what it likes and believes what it likes.
//! What the real tool checks is tested with the real tool.

use narthex_channel::diagnostics::{CallAnswer, CallRequest, SessionStatement, Welcome};
use narthex_channel::{Address, ArmoredSignature, HandshakeHash, Message, Opening};
use narthex_policy::{Action, Call, Digest384, Parameters, SessionHash};

use crate::connection::{Connection, ConnectionError};

/// An open session with an agent.
pub struct Operator {
    connection: Connection,
    /// The agent's first message, as it came.
    pub welcome_bytes: Vec<u8>,
}

/// What a call asks for.
#[derive(Clone, Copy, Debug)]
pub struct What {
    /// The action.
    pub action: Action,
    /// Its parameters.
    pub parameters: Parameters,
    /// The counter.
    pub counter: u64,
}

impl What {
    /// An action without parameters.
    #[must_use]
    pub const fn plain(action: Action, counter: u64) -> Self {
        Self {
            action,
            parameters: Parameters::None,
            counter,
        }
    }

    /// An action that only looks, with the parameters that it must have.
    #[must_use]
    pub const fn look(action: Action, counter: u64) -> Self {
        let parameters = match action {
            Action::Attest => Parameters::Nonce([7; 32]),
            _ => Parameters::None,
        };
        Self {
            action,
            parameters,
            counter,
        }
    }
}

/// An order with its signatures.
#[derive(Clone, Debug)]
pub struct Paper {
    /// The order's exact bytes.
    pub order: Vec<u8>,
    /// The requester's signature.
    pub signature: String,
    /// Approvals.
    pub approvals: Vec<String>,
    /// The proof that is sent with it.
    pub log_proof: Option<Vec<u8>>,
}

impl Operator {
    /// Connects, completes the handshake, and receives the agent's welcome.
    ///
    /// # Errors
    ///
    /// [`ConnectionError`]; a connection that is closed in good order before the welcome is cut off.
    pub fn connect(address: &Address) -> Result<Self, ConnectionError> {
        let mut connection = Connection::open(address, &Opening::Diagnostics)?;
        let welcome = connection.receive()?;
        let cut_off = ConnectionError::Channel(narthex_channel::ChannelError::Truncated);
        let welcome_bytes = welcome.ok_or(cut_off)?.as_bytes().to_vec();
        Ok(Self {
            connection,
            welcome_bytes,
        })
    }

    /// The agent's first message.
    ///
    /// # Panics
    ///
    /// If it is none: an agent sends nothing else.
    #[must_use]
    #[allow(clippy::expect_used)] // A test that gets something else has found something.
    pub fn welcome(&self) -> Welcome {
        Welcome::from_bytes(&self.welcome_bytes).expect("the agent's first message is a welcome")
    }

    /// What the agent states about itself.
    ///
    /// # Panics
    ///
    /// If it is no statement.
    #[must_use]
    #[allow(clippy::expect_used)] // As above.
    pub fn statement(&self) -> SessionStatement {
        self.welcome()
            .session_statement()
            .expect("a session statement")
    }

    /// The handshake hash.
    #[must_use]
    pub fn session(&self) -> HandshakeHash {
        self.connection.session.handshake_hash()
    }

    /// Sends any content and returns the content that answers it; `None` when the agent closed.
    ///
    /// # Errors
    ///
    /// [`ConnectionError`].
    pub fn raw(&mut self, content: &[u8]) -> Result<Option<Vec<u8>>, ConnectionError> {
        self.connection.send(content)?;
        let answer = self.connection.receive()?;
        Ok(answer.map(|answer| answer.as_bytes().to_vec()))
    }

    /// Makes a call and returns the bytes of its answer.
    ///
    /// # Panics
    ///
    /// If the agent closes instead, or the request is no message.
    #[allow(clippy::expect_used, clippy::panic)] // As above.
    pub fn ask(&mut self, request: &CallRequest) -> Vec<u8> {
        let request = request.to_bytes().expect("a call request");
        let answer = self.raw(&request).unwrap_or_else(|error| {
            panic!("no answer to a call: {}", error.reason());
        });
        answer.expect("an answer to a call")
    }

    /// Makes a call.
    ///
    /// # Panics
    ///
    /// If there is no answer, or it is none.
    #[allow(clippy::expect_used)] // As above.
    pub fn call(&mut self, request: &CallRequest) -> CallAnswer {
        CallAnswer::from_bytes(&self.ask(request)).expect("a call answer")
    }

    /// Composes a call for this session. `sign` makes the operator's signature over its bytes.
    pub fn compose(
        &self,
        paper: &Paper,
        what: What,
        sign: impl Fn(&[u8]) -> String,
    ) -> CallRequest {
        compose(&self.session(), paper, what, sign)
    }
}

/// Composes a call for any session.
///
/// # Panics
///
/// If a signature is no armoured text.
#[allow(clippy::expect_used)] // As above.
pub fn compose(
    session: &HandshakeHash,
    paper: &Paper,
    what: What,
    sign: impl Fn(&[u8]) -> String,
) -> CallRequest {
    let What {
        action,
        parameters,
        counter,
    } = what;
    let call = Call {
        order: Digest384::of(&paper.order),
        counter,
        session: SessionHash(*session.as_bytes()),
        action,
        parameters,
    };
    let call = call.encode();
    let armoured = |text: &str| ArmoredSignature::new(text).expect("an armoured signature");
    CallRequest {
        order: paper.order.clone(),
        order_signature: armoured(&paper.signature),
        approvals: paper.approvals.iter().map(|text| armoured(text)).collect(),
        call_signature: armoured(&sign(&call)),
        call,
        log_proof: paper.log_proof.clone(),
    }
}

/// The reason of a refusal, `done` when it was done.
#[must_use]
pub fn outcome(answer: &CallAnswer) -> &str {
    match answer {
        CallAnswer::Refused { reason } => reason.as_str(),
        CallAnswer::Done(_) => "done",
    }
}
