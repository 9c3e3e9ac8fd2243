//! RFC 6962 trees: the right edge, making proofs and checking them. Nothing here recurses; every
//! loop ends after at most one step for each bit of a size.

mod frontier;
mod prove;
mod verify;

pub use frontier::{Frontier, root_of};
pub use prove::{HashSource, prove_consistency, prove_inclusion};
pub use verify::{verify_consistency, verify_inclusion};

/// The most hashes that a proof can have: the height of the largest tree.
pub const MAX_PROOF: usize = 63;

/// The largest power of two below `count`, as its exponent. `count` is at least 2.
fn split_level(count: u64) -> u8 {
    level_of(count.saturating_sub(1))
}

/// The exponent of the largest power of two that is not above `count`.
fn level_of(count: u64) -> u8 {
    // At most 63.
    u8::try_from(count.checked_ilog2().unwrap_or(0)).unwrap_or(63)
}
