//! Recipes, what they name, and the images and manifests that come of them.
//!
//! Every refusal has a test in which only its rule is broken.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod archives;
mod build;
mod folders;
mod manifests;
mod oci;
mod peers;
mod recipes;
mod refusals;
mod support;
