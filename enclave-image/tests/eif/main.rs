//! The EIF reader, measurer, writer and signer, from outside: every refusal alone, what changes
//! which measurement, and AWS's own tool as a second opinion.

#![allow(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "tests may end with words"
)]

mod measurements;
mod oracle;
mod refusals;
mod signatures;
mod support;
mod writer;
