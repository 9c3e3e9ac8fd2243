//! What the scenarios of Narthex share: people with keys, programs as real processes, a hostile host
//! in between, and both ends of the channel to play by hand. Nothing here ships.
//!
//! - [`lab`]: a whole deployment in a temporary folder.
//! - [`machine`]: virtual machines that boot the real image.
//! - [`operator`]: the operator's end of a diagnostics session, without the tool's own checks.
//! - [`connection`]: the channel over a blocking socket.
//! - [`relay`]: the hostile host. It records, and it misbehaves when told to.
//! - [`policy_source`]: a source of policy that gives out what it likes.
//! - [`peers`]: programs by other people.
//! - [`canary`]: searching bytes for secrets.
//! - [`statement`]: what clients state that are no agents.
//! - [`random`]: the same changes in every run.

#![forbid(unsafe_code)]

pub mod canary;
pub mod connection;
pub mod lab;
pub mod machine;
pub mod operator;
pub mod peers;
pub mod policy_source;
pub mod random;
pub mod relay;
pub mod statement;
