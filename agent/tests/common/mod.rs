//! What the agent's scenario tests share.
// Each test file uses its own part.
#![allow(dead_code, unreachable_pub)]
// Helpers of tests are tests to the lints only when they carry the attribute.
#![allow(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

pub mod canary;
pub mod users;
pub mod workloads;
