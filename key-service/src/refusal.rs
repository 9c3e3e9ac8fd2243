//! A refusal on its way to the peer: an identifier from one of the closed lists, and nothing else.

use narthex_channel::{BindingError, MessageError, ReasonId, tokio::TransportError};

use crate::{reason::Reason, storage::StoreError};

/// Why the service said no. Every id comes from a constant of this or a neighbouring crate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    id: &'static str,
}

impl Refusal {
    /// The stable id.
    #[must_use]
    pub const fn id(&self) -> &'static str {
        self.id
    }

    /// The form in which it travels.
    #[must_use]
    pub fn to_reason_id(self) -> ReasonId {
        ReasonId::from_static(self.id)
    }
}

impl From<Reason> for Refusal {
    fn from(reason: Reason) -> Self {
        Self { id: reason.id() }
    }
}

impl From<narthex_verifier::CheckId> for Refusal {
    fn from(check: narthex_verifier::CheckId) -> Self {
        Self { id: check.id() }
    }
}

impl From<&narthex_policy::Refusal> for Refusal {
    fn from(refusal: &narthex_policy::Refusal) -> Self {
        Self { id: refusal.id() }
    }
}

impl From<narthex_policy::Reason> for Refusal {
    fn from(reason: narthex_policy::Reason) -> Self {
        Self { id: reason.id() }
    }
}

impl From<BindingError> for Refusal {
    fn from(error: BindingError) -> Self {
        Self { id: error.id() }
    }
}

impl From<&MessageError> for Refusal {
    fn from(error: &MessageError) -> Self {
        match error {
            MessageError::Version { .. } => Reason::RequestVersion.into(),
            MessageError::Duplicate { .. } => Reason::RequestDuplicateKey.into(),
            MessageError::Empty { .. } => Reason::RequestEmpty.into(),
            _ => Reason::RequestMalformed.into(),
        }
    }
}

impl From<&TransportError> for Refusal {
    fn from(error: &TransportError) -> Self {
        match error {
            TransportError::Message(error) => error.into(),
            error => Self { id: error.id() },
        }
    }
}

impl From<&StoreError> for Refusal {
    fn from(error: &StoreError) -> Self {
        error.reason().into()
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.id)
    }
}
