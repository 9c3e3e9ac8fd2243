//! Calls under an order.

use narthex_channel::diagnostics::{CallAnswer, CallRequest, ResultBody};
use narthex_channel::{ArmoredSignature, HandshakeHash, ReasonId};
use narthex_policy::{
    Action, Call, Digest384, MAX_CALLS, Namespace, Order, Parameters, SessionHash,
};

use super::Question;
use super::agent::Agent;
use super::counters::Counters;
use crate::failure::{Failure, Outcome};
use crate::output::Output;
use crate::transport::Conversation;

/// How often another counter is tried. Each try skips twice as many as the one before, so this
/// passes over the most calls that an order may have.
const MAX_TRIES: u32 = 16;

/// Asks under one order, in one session.
pub(super) struct Caller<'a> {
    question: &'a Question,
    digest: Digest384,
    session: HandshakeHash,
    counters: core::cell::RefCell<Counters>,
    limit: u64,
    order_signature: ArmoredSignature,
    approvals: Vec<ArmoredSignature>,
}

impl<'a> Caller<'a> {
    /// Puts an order to use with `agent`, in the session with the handshake hash `session`.
    ///
    /// # Errors
    /// `signature.malformed` if a signature file holds none.
    pub(super) fn new(
        question: &'a Question,
        agent: &Agent,
        session: HandshakeHash,
    ) -> Outcome<Self> {
        let digest = Digest384::of(&question.signed.bytes);
        let approvals = question.signed.approvals.iter().map(|text| armored(text));
        Ok(Self {
            digest,
            session,
            counters: core::cell::RefCell::new(Counters::open(&digest, &agent.statement.boot_id.0)),
            limit: match &question.order {
                Order::Read(read) => read.calls.min(MAX_CALLS),
                Order::Write(_) => 1,
            },
            order_signature: armored(&question.signed.signature)?,
            approvals: approvals.collect::<Outcome<_>>()?,
            question,
        })
    }

    /// Asks for `action`. The inner error is the agent's reason.
    ///
    /// # Errors
    /// `call.counter` if all calls of the order were made; what signing and the channel say.
    pub(super) async fn ask(
        &self,
        conversation: &mut Conversation,
        action: Action,
        output: &Output,
    ) -> Outcome<Result<ResultBody, ReasonId>> {
        let mut skip = 1;
        for _ in 0..MAX_TRIES {
            let counter = self.counter()?;
            conversation.send(&self.request(action, counter)?).await?;
            match conversation.receive::<CallAnswer>().await? {
                CallAnswer::Done(result) if result.action.name() == action.name() => {
                    return Ok(Ok(result));
                }
                CallAnswer::Done(result) => {
                    return Err(Failure::refused(
                        "answer.other_action",
                        format!("asked for {action}, the agent answered {}", result.action),
                    ));
                }
                CallAnswer::Refused { reason } if self.may_try_again(&reason) => {
                    output.say(format_args!(
                        "narthex: call {counter} was used before; trying another"
                    ));
                    self.counters.borrow_mut().skip(skip);
                    skip = skip.saturating_mul(2);
                }
                CallAnswer::Refused { reason } => return Ok(Err(reason)),
            }
        }
        Err(self.exhausted())
    }

    /// A change is made once: whoever finds it used must look, not try again.
    fn may_try_again(&self, reason: &ReasonId) -> bool {
        let reused = narthex_policy::Reason::CallCounterReused.id();
        reason.as_str() == reused && matches!(self.question.order, Order::Read(_))
    }

    fn counter(&self) -> Outcome<u64> {
        match &self.question.order {
            Order::Write(_) => Ok(0),
            Order::Read(_) => self
                .counters
                .borrow_mut()
                .take(self.limit)
                .ok_or_else(|| self.exhausted()),
        }
    }

    fn exhausted(&self) -> Failure {
        Failure::refused(
            narthex_policy::Reason::CallCounter.id(),
            format!(
                "all {} calls of this order were made to this enclave",
                self.limit
            ),
        )
        .next("write a new order: `narthex order new`")
    }

    fn request(&self, action: Action, counter: u64) -> Outcome<CallRequest> {
        let parameters = match &self.question.order {
            Order::Write(write) => write.parameters,
            Order::Read(_) => Parameters::None,
        };
        let session = SessionHash(*self.session.as_bytes());
        let call = Call {
            order: self.digest,
            counter,
            session,
            action,
            parameters,
        }
        .encode();
        let call_signature = armored(&self.question.signer.sign(Namespace::Call, &call)?)?;
        Ok(CallRequest {
            order: self.question.signed.bytes.clone(),
            order_signature: self.order_signature.clone(),
            approvals: self.approvals.clone(),
            call,
            call_signature,
            log_proof: self.question.proof.clone(),
        })
    }
}

/// A signature's text as the channel carries it.
///
/// # Errors
/// `signature.malformed`.
pub(crate) fn armored(text: &str) -> Outcome<ArmoredSignature> {
    ArmoredSignature::new(text).map_err(|error| {
        Failure::misuse(
            "signature.malformed",
            format!("a signature file holds none: {error}"),
        )
    })
}
