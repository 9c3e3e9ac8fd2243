//! Why the supervisor refuses a call: the one place that says what an operator learns.

use narthex_channel::{MessageError, ReasonId};
use narthex_ledger::LogReason;
use narthex_policy::Refusal;

use super::sessions::SessionRefusal;

/// A refusal. Only its id leaves the enclave; the policy's own words about it do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallRefusal {
    /// The session.
    Session(SessionRefusal),
    /// The bytes are no call request.
    Message(MessageError),
    /// Order or call, by the policy.
    Policy(narthex_policy::Reason),
    /// The log does not show that the order was logged as accepted.
    Log(LogReason),
    /// The operator called too often in this minute.
    RateLimited,
    /// Something is to be changed, and the release that is running was revoked.
    ReleaseRevoked,
    /// The action needs something that is not there: a workload, or keys; or the agent that would do it ends.
    NothingToActOn,
    /// The action was accepted and failed, without effect.
    ActionFailed,
}

impl CallRefusal {
    /// Stable text.
    pub fn id(self) -> &'static str {
        match self {
            Self::Session(refusal) => refusal.id(),
            Self::Message(error) => error.id(),
            Self::Policy(reason) => reason.id(),
            Self::Log(reason) => reason.id(),
            Self::RateLimited => "call.rate_limited",
            Self::ReleaseRevoked => "call.release_revoked",
            Self::NothingToActOn => "call.nothing_to_act_on",
            Self::ActionFailed => "call.action_failed",
        }
    }

    /// As it goes to the operator.
    pub fn reason_id(self) -> ReasonId {
        ReasonId::from_static(self.id())
    }
}

impl From<SessionRefusal> for CallRefusal {
    fn from(refusal: SessionRefusal) -> Self {
        Self::Session(refusal)
    }
}

impl From<LogReason> for CallRefusal {
    fn from(reason: LogReason) -> Self {
        Self::Log(reason)
    }
}

impl From<MessageError> for CallRefusal {
    fn from(error: MessageError) -> Self {
        Self::Message(error)
    }
}

impl From<Refusal> for CallRefusal {
    fn from(refusal: Refusal) -> Self {
        Self::Policy(refusal.reason())
    }
}
