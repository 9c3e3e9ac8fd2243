//! What can go wrong between a program and its NSM.

use std::{error, fmt, io};

/// What an NSM answers in place of a result (aws-nitro-enclaves-nsm-api, `ErrorCode`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// No error; an NSM does not send it as one.
    Success,
    /// An argument is missing or not of its type.
    InvalidArgument,
    /// No such register, or a range beyond the last one.
    InvalidIndex,
    /// The answer does not belong to the request.
    InvalidResponse,
    /// The register is locked.
    ReadOnlyIndex,
    /// The NSM does not know or does not offer this request.
    InvalidOperation,
    /// The answer is larger than the caller's buffer.
    BufferTooSmall,
    /// The request or one of its fields is too large.
    InputTooLarge,
    /// The NSM failed.
    InternalError,
}

impl ErrorCode {
    /// All codes, in AWS's order.
    pub const ALL: [Self; 9] = [
        Self::Success,
        Self::InvalidArgument,
        Self::InvalidIndex,
        Self::InvalidResponse,
        Self::ReadOnlyIndex,
        Self::InvalidOperation,
        Self::BufferTooSmall,
        Self::InputTooLarge,
        Self::InternalError,
    ];

    /// The name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Success => "Success",
            Self::InvalidArgument => "InvalidArgument",
            Self::InvalidIndex => "InvalidIndex",
            Self::InvalidResponse => "InvalidResponse",
            Self::ReadOnlyIndex => "ReadOnlyIndex",
            Self::InvalidOperation => "InvalidOperation",
            Self::BufferTooSmall => "BufferTooSmall",
            Self::InputTooLarge => "InputTooLarge",
            Self::InternalError => "InternalError",
        }
    }

    /// The code with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.name() == name)
    }
}

/// Why an NSM gave no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NsmError {
    /// The NSM refused or failed, and said so.
    Code(ErrorCode),
    /// The NSM answered something else than what was asked for.
    UnexpectedResponse,
    /// The NSM could not be reached, or its answer could not be read.
    Transport(TransportError),
}

/// What failed on the way to the NSM and back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransportError {
    /// The device or socket cannot be opened.
    Open(io::ErrorKind),
    /// Sending or receiving failed.
    Io(io::ErrorKind),
    /// No answer in time.
    TimedOut,
    /// The other end closed before its answer was complete.
    Closed,
    /// The answer says that it is longer than an NSM's answers can be.
    TooLarge,
    /// The answer is not the CBOR of an answer.
    Malformed,
}

impl NsmError {
    /// Stable text for diagnostics and logs.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::Code(ErrorCode::Success) => "nsm.success",
            Self::Code(ErrorCode::InvalidArgument) => "nsm.invalid_argument",
            Self::Code(ErrorCode::InvalidIndex) => "nsm.invalid_index",
            Self::Code(ErrorCode::InvalidResponse) => "nsm.invalid_response",
            Self::Code(ErrorCode::ReadOnlyIndex) => "nsm.read_only_index",
            Self::Code(ErrorCode::InvalidOperation) => "nsm.invalid_operation",
            Self::Code(ErrorCode::BufferTooSmall) => "nsm.buffer_too_small",
            Self::Code(ErrorCode::InputTooLarge) => "nsm.input_too_large",
            Self::Code(ErrorCode::InternalError) => "nsm.internal_error",
            Self::UnexpectedResponse => "nsm.unexpected_response",
            Self::Transport(TransportError::Open(_)) => "nsm.open_failed",
            Self::Transport(TransportError::Io(_)) => "nsm.io_failed",
            Self::Transport(TransportError::TimedOut) => "nsm.timed_out",
            Self::Transport(TransportError::Closed) => "nsm.closed",
            Self::Transport(TransportError::TooLarge) => "nsm.answer_too_large",
            Self::Transport(TransportError::Malformed) => "nsm.answer_malformed",
        }
    }
}

impl fmt::Display for NsmError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "the NSM answered {}", code.name()),
            Self::UnexpectedResponse => write!(f, "the NSM answered something else than asked"),
            Self::Transport(TransportError::Open(kind)) => write!(f, "cannot open the NSM: {kind}"),
            Self::Transport(TransportError::Io(kind)) => {
                write!(f, "cannot talk to the NSM: {kind}")
            }
            Self::Transport(TransportError::TimedOut) => {
                write!(f, "the NSM did not answer in time")
            }
            Self::Transport(TransportError::Closed) => write!(f, "the NSM closed the connection"),
            Self::Transport(TransportError::TooLarge) => write!(f, "the NSM's answer is too large"),
            Self::Transport(TransportError::Malformed) => {
                write!(f, "the NSM's answer cannot be read")
            }
        }
    }
}

impl error::Error for NsmError {}

impl From<ErrorCode> for NsmError {
    fn from(code: ErrorCode) -> Self {
        Self::Code(code)
    }
}

impl From<TransportError> for NsmError {
    fn from(error: TransportError) -> Self {
        Self::Transport(error)
    }
}
