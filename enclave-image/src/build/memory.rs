//! How much memory an enclave needs.
//!
//! It must hold at once: the image's file, which the hypervisor puts there whole; the kernel with what it
//! needs itself; the ramdisks unpacked; and then the agent and the workload. Linux lets the unpacked
//! ramdisks fill half of what there is (they are a tmpfs of the default size), so what is beside them must
//! be at least as much again. `nitro-cli` demands four times the file's size, and 64 MiB at least.

use std::collections::HashSet;
use std::sync::Arc;

use crate::tree::{Kind, Tree};

const MIB: u64 = 1 << 20;
/// The kernel unpacked, its tables (a sixty-fourth of the memory is page descriptors alone) and its buffers.
const KERNEL_BYTES: u64 = 64 * MIB;
/// What all of the agent's processes may take: the goal in the README's numbers.
const AGENT_BYTES: u64 = 16 * MIB;
/// Counted for a workload without a limit.
const WORKLOAD_BYTES: u64 = 64 * MIB;
/// `nitro-cli` gives memory in huge pages of this size.
const HUGE_PAGE_MIB: u64 = 2;
const SMALLEST_MIB: u64 = 64;
const PAGE_BYTES: u64 = 4096;
/// An inode of a tmpfs and its name, rounded up.
const INODE_BYTES: u64 = 1024;

/// What the entries take as a tmpfs; hard links once.
pub(super) fn unpacked_bytes<'a>(trees: impl IntoIterator<Item = &'a Tree>) -> u64 {
    let mut seen = HashSet::new();
    let mut bytes: u64 = 0;
    for (_, entry) in trees.into_iter().flat_map(Tree::iter) {
        bytes = bytes.saturating_add(INODE_BYTES);
        if let Kind::File(content) = &entry.kind
            && seen.insert(Arc::as_ptr(content).cast::<u8>())
        {
            let size = content.len() as u64;
            bytes = bytes.saturating_add(size.next_multiple_of(PAGE_BYTES));
        }
    }
    bytes
}

/// MiB for an image of `image_bytes` whose ramdisks unpack to `unpacked_bytes`.
pub(super) fn needed_mib(
    image_bytes: u64,
    unpacked_bytes: u64,
    memory_max_bytes: Option<u64>,
) -> u64 {
    let running = AGENT_BYTES.saturating_add(memory_max_bytes.unwrap_or(WORKLOAD_BYTES));
    let together = image_bytes
        .saturating_add(KERNEL_BYTES)
        .saturating_add(unpacked_bytes)
        .saturating_add(running.max(unpacked_bytes));
    together
        .max(image_bytes.saturating_mul(4))
        .div_ceil(MIB)
        .max(SMALLEST_MIB)
        .next_multiple_of(HUGE_PAGE_MIB)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::root::own_path;
    use crate::tree::{Attributes, Entry, Limits};

    #[test]
    fn the_rule_is_as_documented() {
        // File, kernel, unpacked, agent and workload.
        assert_eq!(
            needed_mib(8 * MIB, 20 * MIB, Some(32 * MIB)),
            8 + 64 + 20 + 16 + 32
        );
        // Without a limit, 64 MiB are counted.
        assert_eq!(needed_mib(8 * MIB, 20 * MIB, None), 8 + 64 + 20 + 16 + 64);
        // Rounded up to whole huge pages.
        assert_eq!(needed_mib(8 * MIB + 1, 20 * MIB, Some(32 * MIB)), 142);
        // Half of what is left is for the ramdisks.
        assert_eq!(
            needed_mib(100 * MIB, 200 * MIB, Some(MIB)),
            100 + 64 + 200 + 200
        );
        // Four times the file, as nitro-cli demands.
        assert_eq!(needed_mib(200 * MIB, 201 * MIB, Some(MIB)), 800);
        assert_eq!(needed_mib(u64::MAX, u64::MAX, Some(u64::MAX)) % 2, 0);
    }

    #[test]
    fn unpacked_files_take_whole_pages_and_hard_links_nothing() {
        let mut tree = Tree::new();
        let limits = Limits::DEFAULT;
        let file = Entry::file(Attributes::root(0o644), vec![1; 4097]);
        for path in ["a", "b"] {
            tree.insert(own_path(path).unwrap(), file.clone(), &limits)
                .unwrap();
        }
        assert_eq!(unpacked_bytes([&tree]), 2 * 1024 + 8192);
    }
}
