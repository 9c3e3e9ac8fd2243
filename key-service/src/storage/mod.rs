//! Everything the service must not forget, in one SQLite file that nobody can read or edit unnoticed.
//!
//! - [`schema`] the tables; [`keyring`] what the root keys do for them;
//! - [`decision`] what is recorded and [`chain`] how; [`key_version`], [`policy_file`], [`setting`] the other tables;
//! - [`integrity`] reading all of it at start; [`writer`] and [`writing`] changing it;
//! - [`database`] creating, opening and locking the file.
//!
//! Durability: what [`Store::write`] returned survives the end of the process and of the machine. One
//! process at a time; within it any number of tasks.

mod backup;
mod chain;
mod database;
mod decision;
mod error;
mod integrity;
mod key_version;
mod keyring;
mod policy_file;
mod schema;
mod setting;
mod writer;
mod writing;

#[cfg(test)]
mod tests;

pub use backup::{BackupContent, BackupError};
pub use database::{Database, Findings, Opened, check, decisions, genesis_file, root_keys_in_use};
pub use decision::{
    Body, Decision, DecisionKind, EnclaveBody, Head, KeyBody, Mark, Outcome, PersonBody,
    PolicyFileBody, Recorded,
};
pub use error::StoreError;
pub use key_version::{KeyOrigin, KeyReference, KeyShares, KeyState, KeyVersion};
pub use policy_file::{PolicyFile, PolicyFileKind};
pub use writer::Store;
pub use writing::{Anchor, Rewrapped, Writing};
