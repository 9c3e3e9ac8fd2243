//! What can go wrong outside the state machines.

use core::fmt;
use std::io;

use crate::codec::MessageError;
use crate::error::ChannelError;

/// Why a connection failed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum TransportError {
    /// The peer, or somebody in between, broke a rule of the channel.
    Channel(ChannelError),
    /// The peer sent a content that is no message, or the caller's message has no encoding.
    Message(MessageError),
    /// A time ran out.
    TimedOut(Phase),
    /// The operating system said no.
    Io {
        /// While doing what.
        phase: Phase,
        /// What it said.
        kind: io::ErrorKind,
    },
    /// The virtual machine monitor behind a hybrid socket did not connect to the port.
    HybridRefused,
    /// The virtual machine monitor's reply is not `OK NUMBER`.
    HybridReply,
}

/// What was being done.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Phase {
    /// Opening a connection.
    Connect,
    /// Binding a listener.
    Listen,
    /// The handshake.
    Handshake,
    /// Waiting for a message to begin.
    Idle,
    /// Receiving the rest of a message.
    Receive,
    /// Sending a message.
    Send,
    /// Closing.
    Close,
}

impl TransportError {
    pub(super) fn io(phase: Phase) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::Io {
            phase,
            kind: error.kind(),
        }
    }

    /// The stable id of the reason.
    #[must_use]
    pub const fn id(&self) -> &'static str {
        match self {
            Self::Channel(error) => error.id(),
            Self::Message(error) => error.id(),
            Self::TimedOut(Phase::Connect) => "timeout.connect",
            Self::TimedOut(Phase::Listen) => "timeout.listen",
            Self::TimedOut(Phase::Handshake) => "timeout.handshake",
            Self::TimedOut(Phase::Idle) => "timeout.idle",
            Self::TimedOut(Phase::Receive) => "timeout.receive",
            Self::TimedOut(Phase::Send) => "timeout.send",
            Self::TimedOut(Phase::Close) => "timeout.close",
            Self::Io {
                phase: Phase::Connect,
                ..
            } => "io.connect",
            Self::Io {
                phase: Phase::Listen,
                ..
            } => "io.listen",
            Self::Io {
                phase: Phase::Handshake,
                ..
            } => "io.handshake",
            Self::Io {
                phase: Phase::Idle, ..
            } => "io.idle",
            Self::Io {
                phase: Phase::Receive,
                ..
            } => "io.receive",
            Self::Io {
                phase: Phase::Send, ..
            } => "io.send",
            Self::Io {
                phase: Phase::Close,
                ..
            } => "io.close",
            Self::HybridRefused => "hybrid.refused",
            Self::HybridReply => "hybrid.reply",
        }
    }
}

impl fmt::Display for TransportError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Channel(error) => error.fmt(formatter),
            Self::Message(error) => error.fmt(formatter),
            Self::TimedOut(phase) => write!(formatter, "no time left {phase}"),
            Self::Io { phase, kind } => write!(formatter, "{kind} {phase}"),
            Self::HybridRefused => {
                formatter.write_str("nothing listens on the port behind the hybrid socket")
            }
            Self::HybridReply => {
                formatter.write_str("the hybrid socket did not answer `OK`; is it one?")
            }
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Connect => "while connecting",
            Self::Listen => "while binding",
            Self::Handshake => "in the handshake",
            Self::Idle => "while waiting for the peer",
            Self::Receive => "while receiving",
            Self::Send => "while sending",
            Self::Close => "while closing",
        })
    }
}

impl std::error::Error for TransportError {}

impl From<ChannelError> for TransportError {
    fn from(error: ChannelError) -> Self {
        Self::Channel(error)
    }
}

impl From<MessageError> for TransportError {
    fn from(error: MessageError) -> Self {
        Self::Message(error)
    }
}
