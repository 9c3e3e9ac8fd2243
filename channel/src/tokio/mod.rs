//! The thin shell (feature `tokio`): sockets, timeouts and nothing else.
//!
//! [`Stream`] and [`Listener`] stand for every kind of [`crate::Address`]; [`connect()`] opens one,
//! [`serve()`] accepts from the other; a [`Connection`] runs one end of a session over any byte
//! stream, so also over one that was inherited or already connected.

mod connect;
mod connection;
mod error;
mod listener;
mod serve;
mod stream;

pub use connect::connect;
pub use connection::{Connection, Timeouts};
pub use error::{Phase, TransportError};
pub use listener::Listener;
pub use serve::{ServeLimits, ServeStatistics, ServeSummary, serve};
pub use stream::{PeerAddress, Stream};
