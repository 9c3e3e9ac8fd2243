//! `image`, `measure`, and releases that rest on manifests: real processes on images made here.
//!
//! | File | About |
//! |---|---|
//! | `fixture.rs` | a policy with people, and a recipe with everything that it names |
//! | `building.rs` | build, inspect, measure, rebuild, approve |
//! | `releases.rs` | `release new --manifest`, `release sign --manifest`, `image verify`, `measure --expect` |
//! | `signing.rs` | keys in files; OpenSSL makes them, and Python with OpenSSL checks the result |
//! | `tokens.rs` | keys in a token: SoftHSM |

// All of it is a test, its helpers too.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice
)]

mod building;
#[path = "../common/mod.rs"]
mod common;
mod fixture;
mod releases;
mod signing;
mod tokens;
