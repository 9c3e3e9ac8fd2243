//! Tests of all messages alike, and the test vectors.

mod messages;
mod samples;
mod vectors;
