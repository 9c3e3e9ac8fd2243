//! The Narthex agent: the program inside the enclave.
//!
//! It starts the workload, gets the workload's keys, and offers operators a short, closed list of
//! diagnostics. No shell, no file access, no logs, no free text.
//!
//! Five kinds of process run from this one binary:
//!
//! | Process | Job | Trusted |
//! |---|---|---|
//! | process 1 of an enclave ([`init`]) | prepares the machine, collects what ends, restarts it | yes |
//! | supervisor ([`supervisor`]) | holds NSM, keys and policy; decides everything | yes |
//! | gate ([`gate`]) | accepts operators' connections, carries bytes | no: reads hostile bytes, [`sandbox`]ed |
//! | fetcher ([`fetcher`]) | one exchange with policy source or key service | no: as the gate |
//! | shepherd ([`workload::shepherd`]) | between agent and workload: confines it, ends all of it | yes |
//!
//! The way of a call: an operator's bytes come through the gate ([`ipc`]) to the supervisor, whose
//! [`supervisor::authority`] judges them against policy, session and replay, and records the decision
//! ([`decisions`]); what it accepts, [`actions`] does; what comes out are fields of closed value types.
//!
//! Before any of this the [`log`] must have recorded it: no proof, no action.
//!
//! [`boot`] is the way there: identity, [`trusted_time`], policy, PCR16 and the locks. In an enclave [`init`] comes
//! first: the agent is the first program that the kernel starts.

pub mod actions;
pub mod boot;
pub mod child;
pub mod cli;
pub mod config;
pub mod decisions;
pub mod error;
pub mod fetcher;
pub mod gate;
pub mod init;
pub mod ipc;
pub mod local_socket;
pub mod log;
pub mod mode;
pub mod module;
pub mod notice;
pub mod platform;
pub mod probes;
pub mod rate;
pub mod reserved_port;
pub mod sandbox;
pub mod supervisor;
pub mod trusted_time;
pub mod workload;
