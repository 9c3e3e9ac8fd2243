//! Why a session did not come about, or ended.

use core::fmt;

use crate::preamble::{ProtocolVersion, RefusalCode, Use};

/// Why a session did not come about, or ended other than by being closed.
///
/// After any of them the session is over: the state machine gives the same error for whatever
/// follows, and the transport is to be dropped.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ChannelError {
    // The peer speaks something else.
    /// The first frame is not a preamble of this protocol.
    NotThisProtocol,
    /// The version is not spoken here.
    UnsupportedVersion {
        /// The version that the initiator offered.
        offered: ProtocolVersion,
    },
    /// The suite is not spoken here.
    UnsupportedSuite {
        /// Its code.
        code: u8,
    },
    /// The use is not one of the closed list.
    UnknownUse {
        /// Its code.
        code: u8,
    },
    /// The use is not offered at this address.
    UseNotOffered {
        /// What the initiator wants.
        wanted: Use,
        /// What is offered.
        offered: Use,
    },
    /// Both ends speak a newer version than the one offered: somebody in between forged a refusal.
    Downgrade {
        /// The version that the initiator offered.
        offered: ProtocolVersion,
        /// The newest version that it speaks.
        newest: ProtocolVersion,
    },
    /// The responder declined the preamble. Unauthenticated: it may come from somebody in between.
    Declined {
        /// Why, as it says.
        code: RefusalCode,
        /// The oldest version that it speaks, as it says.
        oldest: ProtocolVersion,
        /// The newest version that it speaks, as it says.
        newest: ProtocolVersion,
    },

    // The peer broke a rule, or somebody in between did.
    /// A frame of length zero.
    EmptyFrame,
    /// A frame is longer than any that can come now.
    FrameTooLong {
        /// The most allowed, in bytes.
        max_bytes: usize,
        /// The length stated.
        stated_bytes: usize,
    },
    /// A handshake message has another length than the only one possible.
    HandshakeLength {
        /// The length required, in bytes.
        expected: usize,
        /// The length found.
        found: usize,
    },
    /// A handshake message does not authenticate: the peer has not the static key expected, the
    /// two ends read different preambles, or somebody changed a message.
    HandshakeAuthentication,
    /// The peer's ephemeral key is a point of small order, which makes a shared secret that
    /// everybody knows.
    HandshakeWeakKey,
    /// A frame does not authenticate, and is neither early nor late: it was changed, or made by
    /// somebody else.
    FrameAuthentication,
    /// A frame was received before.
    FrameReplayed,
    /// One or more frames before this one are missing.
    FrameMissing,
    /// A frame is one that this end sent.
    FrameReflected,
    /// A frame is shorter than its tag.
    FrameTooShort,
    /// The first chunk of a content has no length.
    ContentHeader,
    /// A content is stated to be empty.
    ContentEmpty,
    /// A content is stated to be longer than this use allows.
    ContentTooLong {
        /// The most allowed, in bytes.
        max_bytes: usize,
        /// The length stated.
        stated_bytes: u64,
    },
    /// A chunk is not as long as the stated total requires.
    ChunkLength {
        /// The length required, in bytes.
        expected: usize,
        /// The length found.
        found: usize,
    },
    /// A frame came after the peer had closed.
    FrameAfterClose,
    /// The transport ended in the middle of a frame or of a content, or without a close: it was
    /// cut off.
    Truncated,

    // The caller misused us.
    /// A content to send is empty or longer than this use allows.
    SendLength {
        /// The most allowed, in bytes.
        max_bytes: usize,
    },
    /// This end has closed already.
    SendAfterClose,

    // The environment failed.
    /// The operating system has no random bytes, or the cryptographic library refused its
    /// parameters.
    Setup,
    /// The session has carried 2^64 frames.
    Exhausted,
}

impl ChannelError {
    /// The stable id of the reason.
    #[must_use]
    pub const fn id(&self) -> &'static str {
        match self {
            Self::NotThisProtocol => "preamble.not_this_protocol",
            Self::UnsupportedVersion { .. } => "preamble.unsupported_version",
            Self::UnsupportedSuite { .. } => "preamble.unsupported_suite",
            Self::UnknownUse { .. } => "preamble.unknown_use",
            Self::UseNotOffered { .. } => "preamble.use_not_offered",
            Self::Downgrade { .. } => "preamble.downgrade",
            Self::Declined { .. } => "preamble.declined",
            Self::EmptyFrame => "frame.empty",
            Self::FrameTooLong { .. } => "frame.too_long",
            Self::HandshakeLength { .. } => "handshake.length",
            Self::HandshakeAuthentication => "handshake.authentication",
            Self::HandshakeWeakKey => "handshake.weak_key",
            Self::FrameAuthentication => "frame.authentication",
            Self::FrameReplayed => "frame.replayed",
            Self::FrameMissing => "frame.missing",
            Self::FrameReflected => "frame.reflected",
            Self::FrameTooShort => "frame.too_short",
            Self::ContentHeader => "content.header",
            Self::ContentEmpty => "content.empty",
            Self::ContentTooLong { .. } => "content.too_long",
            Self::ChunkLength { .. } => "content.chunk_length",
            Self::FrameAfterClose => "session.frame_after_close",
            Self::Truncated => "session.truncated",
            Self::SendLength { .. } => "caller.send_length",
            Self::SendAfterClose => "caller.send_after_close",
            Self::Setup => "environment.setup",
            Self::Exhausted => "session.exhausted",
        }
    }
}

impl fmt::Display for ChannelError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotThisProtocol => formatter.write_str("the peer does not speak this protocol"),
            Self::UnsupportedVersion { offered } => {
                write!(formatter, "protocol version {offered} is not spoken here")
            }
            Self::UnsupportedSuite { code } => write!(formatter, "suite {code} is not spoken here"),
            Self::UnknownUse { code } => write!(formatter, "use {code} is unknown"),
            Self::UseNotOffered { wanted, offered } => {
                write!(
                    formatter,
                    "the peer wants {wanted}; this address offers {offered}"
                )
            }
            Self::Downgrade { offered, newest } => write!(
                formatter,
                "version {offered} was offered although both ends speak a newer one (up to \
                 {newest}): somebody in between forged a refusal"
            ),
            Self::Declined {
                code,
                oldest,
                newest,
            } => write!(
                formatter,
                "the peer declined because of the {code}; it says that it speaks versions \
                 {oldest} to {newest}"
            ),
            Self::EmptyFrame => formatter.write_str("a frame is empty"),
            Self::FrameTooLong {
                max_bytes,
                stated_bytes,
            } => {
                write!(
                    formatter,
                    "a frame of {stated_bytes} bytes; at most {max_bytes} now"
                )
            }
            Self::HandshakeLength { expected, found } => {
                write!(
                    formatter,
                    "a handshake message has {found} bytes, not {expected}"
                )
            }
            Self::HandshakeAuthentication => formatter.write_str(
                "the handshake does not authenticate: another static key, or somebody in between",
            ),
            Self::HandshakeWeakKey => {
                formatter.write_str("the peer's ephemeral key is of small order")
            }
            Self::FrameAuthentication => {
                formatter.write_str("a frame was changed or made by somebody else")
            }
            Self::FrameReplayed => formatter.write_str("a frame was received twice"),
            Self::FrameMissing => formatter.write_str("frames are missing or out of order"),
            Self::FrameReflected => formatter.write_str("a frame sent from here came back"),
            Self::FrameTooShort => formatter.write_str("a frame is shorter than its tag"),
            Self::ContentHeader => formatter.write_str("a content has no length"),
            Self::ContentEmpty => formatter.write_str("a content is empty"),
            Self::ContentTooLong {
                max_bytes,
                stated_bytes,
            } => {
                write!(
                    formatter,
                    "a content of {stated_bytes} bytes; at most {max_bytes} here"
                )
            }
            Self::ChunkLength { expected, found } => {
                write!(formatter, "a chunk has {found} bytes, not {expected}")
            }
            Self::FrameAfterClose => formatter.write_str("a frame came after the close"),
            Self::Truncated => formatter.write_str("the connection was cut off"),
            Self::SendLength { max_bytes } => {
                write!(
                    formatter,
                    "a content to send must have 1 to {max_bytes} bytes"
                )
            }
            Self::SendAfterClose => formatter.write_str("this end has closed already"),
            Self::Setup => formatter.write_str("the handshake could not be set up"),
            Self::Exhausted => formatter.write_str("the session has carried too many frames"),
        }
    }
}

impl std::error::Error for ChannelError {}
