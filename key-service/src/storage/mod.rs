//! Everything the service must not forget, in one SQLite file that nobody can read or edit unnoticed.
//!
//! - [`schema`] the tables; [`keyring`] what the root keys do for them;
//! - [`entry`], [`evidence`], [`tile`], [`checkpoint`] and [`epoch`] the log; [`tree`] its right edge in memory;
//! - [`key_version`], [`policy_file`], [`setting`] the other tables, and [`account`] what the entries say about them;
//! - [`integrity`], [`walk`] and [`evidence_check`] reading all of it, believing nothing;
//! - [`writer`] and [`writing`] changing it, with [`recording`], [`keys`] and the memory in [`state`]; [`view`] showing it;
//! - [`database`] creating, opening and locking the file.
//!
//! Durability: what [`Store::write`] returned survives the end of the process and of the machine. One
//! process at a time; within it any number of tasks.

mod account;
mod backup;
mod checkpoint;
mod database;
mod entry;
mod epoch;
mod error;
mod evidence;
mod evidence_check;
mod integrity;
mod key_version;
mod keyring;
mod keys;
mod mark;
mod policy_file;
mod record;
mod recording;
mod schema;
mod setting;
mod state;
mod texts;
mod tile;
mod tree;
mod view;
mod walk;
mod writer;
mod writing;

#[cfg(test)]
mod tests;

pub use account::{Anchor, InForce};
pub use backup::{BackupContent, BackupError};
pub use checkpoint::{CheckpointKind, StoredCheckpoint};
pub use database::{Database, Findings, Opened, check, entries, genesis_file, root_keys_in_use};
pub use epoch::{Epoch, EpochEnd};
pub use error::StoreError;
pub use evidence::SealedEvidence;
pub use evidence_check::EvidenceFindings;
pub use key_version::{KeyOrigin, KeyReference, KeyShares, KeyState, KeyVersion};
pub use keys::Rewrapped;
pub use mark::Mark;
pub use policy_file::{PolicyFile, PolicyFileKind};
pub use record::{Head, Record, Recorded};
pub use tree::Tree;
pub use view::LogView;
pub use writer::{SharedTree, Store};
pub use writing::Writing;
