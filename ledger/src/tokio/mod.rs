//! Sockets: a log is served to readers and read from a server, shown to witnesses, witnessed, and mirrored.
//!
//! HTTP/1.1 with `hyper`, over TCP or Unix sockets; everything is bounded in number, size and time. What is
//! said here is signed or hashed, so nothing depends on who transports it. There is no TLS: put a proxy or an
//! SSH tunnel before a log that others should not see pass by.

mod address;
mod client;
mod error;
mod http_log;
mod listener;
mod mirror;
mod readers;
mod server;
mod transport;
mod witness;
mod witness_client;

pub use address::{AddressError, HttpAddress, ListenAddress};
pub use client::ClientLimits;
pub use error::{ClientError, ClientErrorKind};
pub use http_log::HttpLog;
pub use listener::HttpListener;
pub use mirror::{EarlierEpoch, Mirror, MirrorProgress, MirrorReport, MissingEvidence};
pub use readers::{Everyone, Gatekeeper, LogServer, serve_log};
pub use server::{ServeLimits, ServeStatistics};
pub use witness::{StateError, Trouble, Witness, WitnessEvent, create_witness_folder};
pub use witness_client::{WitnessClient, WitnessReply};
