//! Which counter of an order is used next.
//!
//! An agent takes each counter once per order and boot. So that the same command works again, the
//! next free one is kept in a small file for each pair of order and boot, in the user's state
//! directory. It is a convenience, not a protection: if it is lost, or two commands run at once, the
//! agent says `call.counter_reused` and the next one is tried.

use std::fs;
use std::path::PathBuf;

use narthex_policy::Digest384;

use crate::files::{Existing, write_private_file};
use crate::input::read_file;
use crate::state::state_directory;

/// The counters of one order at one boot of an enclave.
pub(super) struct Counters {
    file: Option<PathBuf>,
    next: u64,
}

impl Counters {
    /// Finds out where the last command ended.
    pub(super) fn open(order: &Digest384, boot_id: &[u8; 16]) -> Self {
        let file = state_directory().ok().map(|directory| {
            let order: String = hex::encode(order.0).chars().take(32).collect();
            directory
                .join("calls")
                .join(format!("{order}-{}", hex::encode(boot_id)))
        });
        let next = file
            .as_ref()
            .and_then(|file| read_file(file, 32).ok())
            .and_then(|bytes| String::from_utf8(bytes).ok()?.trim().parse().ok())
            .unwrap_or(0);
        Self { file, next }
    }

    /// Takes the next counter below `limit`. It is marked as used before it is used.
    pub(super) fn take(&mut self, limit: u64) -> Option<u64> {
        let counter = self.next;
        if counter >= limit {
            return None;
        }
        self.next = counter.saturating_add(1);
        self.save();
        Some(counter)
    }

    /// The agent knows better: skips `count` more.
    pub(super) fn skip(&mut self, count: u64) {
        self.next = self.next.saturating_add(count);
    }

    /// Failing to is no reason not to ask: the worst that follows is another question.
    fn save(&self) {
        let Some(file) = &self.file else { return };
        if let Some(folder) = file.parent() {
            let _may_exist = fs::create_dir_all(folder);
        }
        let text = format!("{}\n", self.next);
        let _worst_is_another_question =
            write_private_file(file, text.as_bytes(), Existing::Replace);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_up_to_the_limit_and_remembers() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("calls").join("x");
        let mut counters = Counters {
            file: Some(file.clone()),
            next: 0,
        };
        assert_eq!(counters.take(3), Some(0));
        assert_eq!(fs::read_to_string(&file).unwrap(), "1\n");
        counters.skip(1);
        assert_eq!(counters.take(3), Some(2));
        assert_eq!(counters.take(3), None);
    }
}
