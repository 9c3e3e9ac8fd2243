//! The workload's local socket: HTTP/1.1 over a Unix socket, so that any language and `curl`
//! work. `agent/docs/local-socket.md` is its reference.
//!
//! - [`backend`]: what the supervisor answers;
//! - [`counters`]: the workload's declared counters;
//! - [`request`] and [`answer`]: HTTP in, HTTP out, without sockets;
//! - [`socket`]: the listener, its limits, and who may connect;
//! - [`transport`]: what connects `hyper` to `tokio`.

pub mod answer;
pub mod backend;
pub mod counters;
pub mod request;
pub mod socket;
mod transport;

pub use backend::{
    LocalBackend, LocalKey, LocalPolicy, LocalRefusal, Readiness, WorkloadAttestation,
    WorkloadReadiness,
};
pub use counters::Counters;
pub use socket::{LocalSocket, LocalSocketStatistics};
