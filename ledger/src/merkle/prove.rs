//! Making proofs from the hashes of full subtrees.

use super::frontier::{full_subtrees, join};
use super::split_level;
use crate::error::{LogError, LogReason};
use crate::hash::{Hash, empty_root};

/// Where the hashes of a tree are kept.
pub trait HashSource {
    /// What can go wrong; a proof that cannot exist is one of these things.
    type Error: From<LogError>;

    /// The hash of the `index`-th full subtree of 2^`level` leaves; level 0 is the leaves.
    ///
    /// # Errors
    ///
    /// If the hash cannot be had.
    fn subtree(&self, level: u8, index: u64) -> Result<Hash, Self::Error>;
}

/// Proves that the entry `index` is in the tree of `size` entries (RFC 6962, section 2.1.1).
///
/// # Errors
///
/// `log.inclusion` if there is no such entry, else what `source` fails with.
pub fn prove_inclusion<S: HashSource + ?Sized>(
    source: &S,
    index: u64,
    size: u64,
) -> Result<Vec<Hash>, S::Error> {
    if index >= size {
        let words = format!("a log of {size} entries has no entry {index}");
        return Err(LogError::new(LogReason::Inclusion, words).into());
    }
    let (mut begin, mut end) = (0, size);
    let mut proof = Vec::new();
    while end - begin > 1 {
        let middle = begin + (1 << split_level(end - begin));
        if index < middle {
            proof.push(range(source, middle, end)?);
            end = middle;
        } else {
            proof.push(range(source, begin, middle)?);
            begin = middle;
        }
    }
    proof.reverse();
    Ok(proof)
}

/// Proves that the tree of `new` entries continues that of `old` entries (RFC 6962, section
/// 2.1.2). Nothing needs to be proved from an empty tree, nor between equal sizes.
///
/// # Errors
///
/// `log.consistency` if `old` is above `new`, else what `source` fails with.
pub fn prove_consistency<S: HashSource + ?Sized>(
    source: &S,
    old: u64,
    new: u64,
) -> Result<Vec<Hash>, S::Error> {
    if old > new {
        let words = format!("a log of {new} entries does not continue one of {old}");
        return Err(LogError::new(LogReason::Consistency, words).into());
    }
    let mut proof = Vec::new();
    if old == 0 || old == new {
        return Ok(proof);
    }
    let (mut begin, mut end) = (0, new);
    // Down to the largest subtree that ends where the old tree ends.
    while end != old {
        let middle = begin + (1 << split_level(end - begin));
        if old <= middle {
            proof.push(range(source, middle, end)?);
            end = middle;
        } else {
            proof.push(range(source, begin, middle)?);
            begin = middle;
        }
    }
    // If it begins where the log begins it is the old tree itself, which the verifier knows.
    if begin != 0 {
        proof.push(range(source, begin, end)?);
    }
    proof.reverse();
    Ok(proof)
}

/// The hash over the leaves `begin..end`, which begin where a subtree of that height begins.
fn range<S: HashSource + ?Sized>(source: &S, begin: u64, end: u64) -> Result<Hash, S::Error> {
    let mut subtrees = Vec::new();
    for (level, index) in full_subtrees(begin, end) {
        subtrees.push(source.subtree(level, index)?);
    }
    Ok(join(&subtrees).unwrap_or_else(empty_root))
}
