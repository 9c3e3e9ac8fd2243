//! SSH signatures (PROTOCOL.sshsig): armour, purpose, and what they must prove.

use core::fmt;

/// The purpose of a signature. A signature for one never counts for another.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Namespace {
    /// A bundle.
    Policy,
    /// A release statement.
    Release,
    /// A stop statement.
    Stop,
    /// An order, by its requester.
    Order,
    /// An order, by an approver.
    Approve,
    /// A call.
    Call,
}

impl Namespace {
    /// The text given to `ssh-keygen -n`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Policy => "policy@narthex",
            Self::Release => "release@narthex",
            Self::Stop => "stop@narthex",
            Self::Order => "order@narthex",
            Self::Approve => "approve@narthex",
            Self::Call => "call@narthex",
        }
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}
