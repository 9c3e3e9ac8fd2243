//! `narthex log` and what else the command does with a log: real processes, on logs made here.
//!
//! | File | About |
//! |---|---|
//! | `fixture.rs` | a policy with a log, and a log with an entry of most kinds |
//! | `reading.rs` | show, search, verify, prove |
//! | `attacks.rs` | logs that were meddled with, and sources that are no logs |
//! | `epochs.rs` | a log that another one followed |
//! | `servers.rs` | serve, follow, mirror, export, witness |
//! | `submitting.rs` | order submit, verify with a proof, statements |

// All of it is a test, its helpers too.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice
)]

mod attacks;
#[path = "../common/mod.rs"]
mod common;
mod epochs;
mod fixture;
mod reading;
mod servers;
mod submitting;
