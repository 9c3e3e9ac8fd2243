//! Verification and the cryptography of a key release, in thread CPU time, side by side in one run.
//!
//! Every row is measured in turn with every other, round after round, so that a machine that slows
//! down slows all rows; the table shows medians and, beside them, ratios to one raw signature check.

mod measure;
mod release;
mod verification;

fn main() {
    let documents = std::env::args_os().nth(1).map(std::path::PathBuf::from);
    verification::run(documents.as_deref());
    release::run();
}
