//! The formats against published vectors, against other implementations, and against mischief.

// Helpers of tests fail loudly too.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::unwrap_used
)]

mod checkpoints;
mod keys;
mod merkle;
mod notes;
mod proofs;
mod robustness;
mod support;
mod tiles;
mod trust;
mod witnesses;
