//! The Narthex agent: the program inside the enclave.
//!
//! It starts the workload, gets the workload's keys, and offers operators a short, closed list of
//! diagnostics. No shell, no file access, no logs, no free text.
//!
//! Three kinds of process run from this one binary. The **supervisor** holds the NSM, the keys and the
//! policy, and decides everything. The **gate** accepts operators' connections; a **fetcher** speaks to
//! the policy source or to the key service. Gate and fetcher read hostile bytes, so they are confined
//! before the first one, and the supervisor believes nothing they say.

pub mod config;
pub mod local_socket;
pub mod mode;
pub mod platform;
pub mod probes;
pub mod sandbox;
pub mod workload;
