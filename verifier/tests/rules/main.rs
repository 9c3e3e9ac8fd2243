//! For every rule one document in which only that rule is broken, and its exact reason.
//!
//! The documents are made by the mock's recipes, never by hand: each case changes one field of a
//! correct one. The root's subject is AWS's, so that no feature is needed to trust it; only
//! `roots.rs` has to do with the development root.

// Helpers outside of `#[test]` functions are tests too: a panic is how they fail.
#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod appraisal;
mod certificates;
mod chain;
mod context;
mod documentation;
mod envelope;
mod payload;
mod properties;
mod roots;
mod support;
