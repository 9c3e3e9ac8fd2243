//! Checking proofs, with the procedures of RFC 9162, sections 2.1.3.2 and 2.1.4.2.

use crate::error::{LogError, LogReason};
use crate::hash::{Hash, empty_root, node_hash};

/// Checks that `leaf` is the hash of the entry `index` in the tree of `size` entries with `root`.
///
/// # Errors
///
/// `log.inclusion` if it is not, or the proof has more or fewer hashes than it must have.
pub fn verify_inclusion(
    index: u64,
    size: u64,
    leaf: &Hash,
    proof: &[Hash],
    root: &Hash,
) -> Result<(), LogError> {
    let refuse = |what: &str| {
        LogError::new(
            LogReason::Inclusion,
            format!("entry {index} of a log of {size} entries: {what}"),
        )
    };
    if index >= size {
        return Err(refuse("there is no such entry"));
    }
    let (mut node, mut last) = (index, size - 1);
    let mut hash = *leaf;
    for sibling in proof {
        if last == 0 {
            return Err(refuse("the proof is too long"));
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            // A node at the right edge without a sibling moves up as it is.
            if node & 1 == 0 {
                let levels = node.trailing_zeros();
                node = node.checked_shr(levels).unwrap_or(0);
                last = node;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(refuse("the proof is too short"));
    }
    if hash != *root {
        return Err(refuse("the proof does not lead to the signed root"));
    }
    Ok(())
}

/// Checks that the tree of `new_size` entries with `new_root` continues the older one.
///
/// # Errors
///
/// `log.consistency` if it does not, or the proof has more or fewer hashes than it must have.
/// From an empty tree and between equal sizes the proof is empty.
pub fn verify_consistency(
    old_size: u64,
    old_root: &Hash,
    new_size: u64,
    new_root: &Hash,
    proof: &[Hash],
) -> Result<(), LogError> {
    let refuse = |what: &str| {
        LogError::new(
            LogReason::Consistency,
            format!("from {old_size} to {new_size} entries: {what}"),
        )
    };
    if old_size > new_size {
        return Err(refuse("the log became smaller"));
    }
    for (size, root) in [(old_size, old_root), (new_size, new_root)] {
        if size == 0 && *root != empty_root() {
            return Err(refuse("a tree without entries has another root"));
        }
    }
    if old_size == 0 || old_size == new_size {
        return match proof {
            [_, ..] => Err(refuse("the proof is too long")),
            [] if old_size == new_size && old_root != new_root => {
                Err(refuse("the same size has two roots"))
            }
            [] => Ok(()),
        };
    }
    let (mut node, mut last) = (old_size - 1, new_size - 1);
    // Below the largest subtree that ends where the old tree ends, both trees are the same.
    let levels = node.trailing_ones();
    node = node.checked_shr(levels).unwrap_or(0);
    last = last.checked_shr(levels).unwrap_or(0);
    let (start, rest) = if node == 0 {
        (old_root, proof)
    } else {
        proof
            .split_first()
            .ok_or_else(|| refuse("the proof is too short"))?
    };
    let (mut old, mut new) = (*start, *start);
    for sibling in rest {
        if last == 0 {
            return Err(refuse("the proof is too long"));
        }
        if node & 1 == 1 || node == last {
            old = node_hash(sibling, &old);
            new = node_hash(sibling, &new);
            if node & 1 == 0 {
                let levels = node.trailing_zeros();
                node = node.checked_shr(levels).unwrap_or(0);
                last = node;
            }
        } else {
            new = node_hash(&new, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(refuse("the proof is too short"));
    }
    if old != *old_root {
        return Err(refuse("the proof does not lead to the older root"));
    }
    if new != *new_root {
        return Err(refuse("the proof does not lead to the newer root"));
    }
    Ok(())
}
