//! What the agent's scenario tests share.
#![allow(dead_code, unreachable_pub)] // Each test file uses its own part.

pub mod canary;
pub mod users;
pub mod workloads;
