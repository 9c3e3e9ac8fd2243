//! Requests and answers as CBOR, as AWS's client sends them to `/dev/nsm`.
//!
//! serde's external tagging: a request without fields is a text string, one with fields is a map
//! of one entry whose value is the map of its fields. Both directions are here, because a socket
//! client reads answers and a mock reads requests; `docs/mock-socket.md` shows the bytes.
//!
//! Reading is bounded and without recursion: definite lengths only, every field at most once,
//! nothing unknown, nothing after the end. Integers may be wider than needed and fields may come in
//! any order, because other people's encoders do both.

mod fields;
mod request;
mod response;

pub use request::{decode_request, encode_request};
pub use response::{decode_response, encode_response};

/// Why bytes are not a request or an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WireError {
    /// Larger than the device allows.
    TooLarge,
    /// Not CBOR, an indefinite length, or something after the end.
    Malformed,
    /// CBOR, but not an operation that an NSM knows.
    UnknownOperation,
    /// A known operation with a field that is missing, unknown, there twice, or of another type.
    InvalidField,
}
