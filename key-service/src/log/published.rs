//! What the writer tells everybody else after each commit.

use std::sync::Arc;

/// A checkpoint that the log signed, and that is durable with everything under it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Shown {
    /// Number of leaves.
    pub size: u64,
    /// Root of the tree.
    pub root: [u8; 32],
    /// The signed note, without cosignatures.
    pub note: String,
}

/// What is durable now.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Published {
    /// The epoch that is being written to.
    pub epoch: u32,
    /// Its newest checkpoint.
    pub newest: Arc<Shown>,
    /// Its newest checkpoint whose last leaf is a `current` entry, once this process has written one. Others may be
    /// published before anybody has looked at it, so it is kept here until the next one.
    pub current: Option<Arc<Shown>>,
}
