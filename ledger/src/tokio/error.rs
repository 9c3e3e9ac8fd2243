//! What can go wrong between a client and a server.

use core::fmt;
use std::io;

/// Why a request got no usable answer. `Display` is for people and names the address.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ClientError {
    kind: ClientErrorKind,
    /// The server's address, as written in configuration.
    address: String,
}

/// What kind of trouble.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ClientErrorKind {
    /// The host's name has no address.
    Name(io::ErrorKind),
    /// Nobody accepted the connection.
    Connect(io::ErrorKind),
    /// The connection ended before the answer did.
    Lost,
    /// The answer is not HTTP/1.1.
    Protocol,
    /// No time left.
    TimedOut,
    /// The answer is longer than anything that could have been asked for.
    TooLarge {
        /// Most bytes that were acceptable.
        limit: usize,
    },
    /// The answer is compressed, though that was not asked for.
    Encoded,
    /// The server does not let this reader in (401 or 403).
    Forbidden,
    /// A status that does not belong here.
    Status {
        /// The status code.
        code: u16,
    },
    /// A status that belongs here with a body that does not.
    Body(&'static str),
    /// The header that authorises the reader cannot be sent: it holds other than printable ASCII.
    Authorization,
    /// The client has been shut down, or its thread could not be started.
    Stopped,
}

impl ClientError {
    pub(super) fn new(kind: ClientErrorKind, address: &super::HttpAddress) -> Self {
        Self {
            kind,
            address: address.to_string(),
        }
    }

    /// What kind of trouble.
    #[must_use]
    pub fn kind(&self) -> &ClientErrorKind {
        &self.kind
    }

    /// Whether asking again may help, without anybody changing anything.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        use ClientErrorKind::{Connect, Lost, Name, Status, TimedOut};
        match self.kind {
            Name(_) | Connect(_) | Lost | TimedOut => true,
            Status { code } => matches!(code, 408 | 429 | 500 | 502 | 503 | 504),
            _ => false,
        }
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: ", self.address)?;
        match &self.kind {
            ClientErrorKind::Name(kind) => {
                write!(formatter, "the host name has no address ({kind})")
            }
            ClientErrorKind::Connect(kind) => write!(formatter, "cannot connect ({kind})"),
            ClientErrorKind::Lost => {
                formatter.write_str("the connection ended before the answer did")
            }
            ClientErrorKind::Protocol => formatter.write_str("the answer is not HTTP/1.1"),
            ClientErrorKind::TimedOut => formatter.write_str("no answer in time"),
            ClientErrorKind::TooLarge { limit } => write!(
                formatter,
                "the answer is longer than {limit} bytes, the most it could have been"
            ),
            ClientErrorKind::Encoded => formatter.write_str(
                "the answer is compressed; switch Content-Encoding off for this server",
            ),
            ClientErrorKind::Forbidden => formatter.write_str(
                "the server does not let this reader in; is the reader's ticket there, and still valid?",
            ),
            ClientErrorKind::Status { code } => write!(formatter, "unexpected status {code}"),
            ClientErrorKind::Body(what) => formatter.write_str(what),
            ClientErrorKind::Authorization => {
                formatter.write_str("the reader's ticket holds what no HTTP header can")
            }
            ClientErrorKind::Stopped => formatter.write_str("the client has stopped"),
        }
    }
}

impl std::error::Error for ClientError {}
