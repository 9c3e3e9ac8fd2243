//! `narthex audit` on logs made here: real signatures, real mock documents, one thing wrong at a time.
//!
//! | File | About |
//! |---|---|
//! | `fixture.rs` | a project, its people, and the entries of its log |
//! | `clean.rs` | a log with an entry of every kind, in which nothing is wrong |
//! | `tampering.rs` | one test for each thing that can be wrong |
//! | `load.rs` | large logs, by hand |
//! | `page.rs` | the report as a page, in a browser |

// Mock documents are trusted in development builds only.
#![cfg(feature = "dev-root")]
// All of it is a test, its helpers too.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice
)]

mod clean;
mod fixture;
mod load;
mod page;
mod tampering;
