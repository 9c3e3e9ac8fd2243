//! `kernel-events`: the kernel's messages, counted by class (`/dev/kmsg`,
//! Documentation/ABI/testing/dev-kmsg).
//!
//! A message's text is looked at for a few fixed words and forgotten. It may hold names that a
//! program chose (a crash names its process), so a program can move a count; that is all it can do,
//! and counts are rounded.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;

use narthex_channel::diagnostics::{Field, FieldName, Value};
use nix::libc;

use super::rounding::two_bits;

/// The kernel gives one whole message per read, and none is longer (`CONSOLE_EXT_LOG_MAX`).
const MAX_MESSAGE_BYTES: usize = 8192;
/// Most messages per reading; the rest waits for the next.
const MAX_MESSAGES: usize = 20_000;
/// Levels 0 to 3 are errors or worse (linux/kern_levels.h).
const LEVEL_ERROR: u64 = 3;

/// Counts since boot.
#[derive(Default)]
pub(super) struct KernelEvents {
    messages: Option<File>,
    next_sequence: Option<u64>,
    counts: Counts,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    out_of_memory: u64,
    program_fault: u64,
    hung_task: u64,
    lockup: u64,
    bug: u64,
    warning: u64,
    device_error: u64,
    sandbox_denial: u64,
    other_error: u64,
    messages: u64,
    lost: u64,
}

impl KernelEvents {
    /// Begins with the oldest message that the kernel still has. Without the right to read them
    /// nothing is counted, and `readable` says so.
    pub(super) fn open() -> Self {
        let messages = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NONBLOCK)
            .open("/dev/kmsg")
            .ok();
        Self {
            messages,
            ..Self::default()
        }
    }

    /// Reads what has come since, and returns the counts.
    pub(super) fn read(&mut self) -> Vec<Field> {
        let mut readable = false;
        if let Some(mut file) = self.messages.take() {
            readable = self.drain(&mut file);
            self.messages = Some(file);
        }
        self.fields(readable)
    }

    fn drain(&mut self, file: &mut impl Read) -> bool {
        let mut buffer = [0; MAX_MESSAGE_BYTES];
        for _ in 0..MAX_MESSAGES {
            match file.read(&mut buffer) {
                Ok(0) => return true,
                Ok(count) => self.add(buffer.get(..count).unwrap_or_default()),
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock => return true,
                    // Overwritten before we came: the next message's number tells how many.
                    ErrorKind::BrokenPipe | ErrorKind::Interrupted => {}
                    _ => return false,
                },
            }
        }
        true
    }

    /// One message: `level,sequence,time,flags[,…];text`, and lines of more that begin with a
    /// space.
    pub(super) fn add(&mut self, message: &[u8]) {
        let Some(semicolon) = message.iter().position(|&byte| byte == b';') else {
            return;
        };
        let (head, text) = message.split_at(semicolon);
        let mut numbers = head
            .split(|&byte| byte == b',')
            .map(|field| std::str::from_utf8(field).ok()?.parse::<u64>().ok());
        let (Some(Some(priority)), Some(Some(sequence))) = (numbers.next(), numbers.next()) else {
            return;
        };
        let lost = self
            .next_sequence
            .map_or(0, |next| sequence.saturating_sub(next));
        self.next_sequence = Some(sequence.saturating_add(1));
        self.counts.lost = self.counts.lost.saturating_add(lost);
        // The upper bits are the facility; anything but 0 was written by a program, not the kernel.
        if priority >> 3 != 0 {
            return;
        }
        self.counts.add(priority & 7, text);
    }

    fn fields(&self, readable: bool) -> Vec<Field> {
        let flag = Field::single(FieldName::KernelReadable, Value::Flag(readable));
        if self.messages.is_none() {
            return vec![flag];
        }
        let Counts {
            out_of_memory,
            program_fault,
            hung_task,
            lockup,
            bug,
            warning,
            device_error,
            sandbox_denial,
            other_error,
            messages,
            lost,
        } = self.counts;
        let mut fields = vec![flag];
        fields.extend(
            [
                (FieldName::KernelOutOfMemory, out_of_memory),
                (FieldName::KernelProgramFault, program_fault),
                (FieldName::KernelHungTask, hung_task),
                (FieldName::KernelLockup, lockup),
                (FieldName::KernelBug, bug),
                (FieldName::KernelWarning, warning),
                (FieldName::KernelDeviceError, device_error),
                (FieldName::KernelSandboxDenial, sandbox_denial),
                (FieldName::KernelOtherError, other_error),
                (FieldName::KernelMessages, messages),
                (FieldName::KernelLost, lost),
            ]
            .map(|(name, count)| Field::single(name, Value::Count(two_bits(count)))),
        );
        fields
    }
}

impl Counts {
    fn add(&mut self, level: u64, text: &[u8]) {
        self.messages = self.messages.saturating_add(1);
        let has = |words: &[&str]| {
            words
                .iter()
                .any(|word| text.windows(word.len()).any(|part| part == word.as_bytes()))
        };
        // The first class that fits; the words are those of mm/oom_kill.c, arch/*/mm/fault.c,
        // arch/*/kernel/ traps.c, kernel/hung_task.c, kernel/watchdog.c, kernel/rcu,
        // kernel/panic.c, block, kernel/audit.c.
        let count = if has(&["Killed process", "oom-kill:"]) {
            if has(&["oom-kill:"]) {
                return; // Announces the line that is counted.
            }
            &mut self.out_of_memory
        } else if has(&[
            "segfault at",
            "general protection",
            "traps:",
            "invalid opcode",
        ]) {
            &mut self.program_fault
        } else if has(&["blocked for more than"]) {
            &mut self.hung_task
        } else if has(&[
            "soft lockup",
            "hard LOCKUP",
            "rcu_sched self-detected",
            "detected stalls",
        ]) {
            &mut self.lockup
        } else if has(&["BUG:", "kernel BUG at", "Oops", "Kernel panic"]) {
            &mut self.bug
        } else if has(&["WARNING: CPU"]) {
            &mut self.warning
        } else if has(&[
            "I/O error",
            "EXT4-fs error",
            "SQUASHFS error",
            "erofs:",
            "nsm:",
        ]) && level <= LEVEL_ERROR
        {
            &mut self.device_error
        } else if has(&["type=1326", "type=1423"]) {
            &mut self.sandbox_denial
        } else if level <= LEVEL_ERROR {
            &mut self.other_error
        } else {
            return;
        };
        *count = count.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(messages: &[&[u8]]) -> Counts {
        let mut events = KernelEvents::default();
        for message in messages {
            events.add(message);
        }
        events.counts
    }

    #[test]
    fn messages_fall_into_classes() {
        let counts = counted(&[
            b"6,1,0,-;Linux version 6.1\n",
            b"3,2,5,-;Out of memory: Killed process 77 (secret) total-vm:1kB\n",
            b"6,3,5,-;oom-kill:constraint=CONSTRAINT_MEMCG,task=secret\n",
            b"6,4,5,-;secret[77]: segfault at 0 ip 0 sp 0 error 4 in secret\n",
            b"3,5,5,-;INFO: task secret:5 blocked for more than 120 seconds.\n",
            b"0,6,5,-;watchdog: BUG: soft lockup - CPU#0 stuck for 22s!\n",
            b"4,7,5,-;WARNING: CPU: 0 PID: 1 at x.c:1\n",
            b"3,8,5,-;blk_update_request: I/O error, dev vda\n",
            b"5,9,5,-;audit: type=1326 audit(1:2): auid=0\n",
            b"5,9,5,-;audit: type=1423 audit(1:3): domain=1 blockers=fs.read_file\n",
            b"6,9,5,-;landlock: Up and running.\n",
            b"3,10,5,-;something else went wrong\n SUBSYSTEM=x\n",
            b"1,11,5,-;BUG: kernel NULL pointer dereference\n",
        ]);
        let wanted = Counts {
            out_of_memory: 1,
            program_fault: 1,
            hung_task: 1,
            lockup: 1,
            bug: 1,
            warning: 1,
            device_error: 1,
            sandbox_denial: 2,
            other_error: 1,
            messages: 13,
            lost: 0,
        };
        assert_eq!(counts, wanted);
    }

    #[test]
    fn what_programs_write_is_not_the_kernels() {
        let counts = counted(&[b"11,1,0,-;Out of memory: Killed process 1\n"]); // Facility 1: user.
        assert_eq!(counts, Counts::default());
    }

    #[test]
    fn gaps_are_counted_as_lost() {
        let counts = counted(&[b"6,10,0,-;a\n", b"6,15,0,-;b\n", b"6,3,0,-;c\n"]);
        assert_eq!((counts.messages, counts.lost), (3, 4));
    }

    #[test]
    fn strange_messages_are_passed_over() {
        for message in [
            &b""[..],
            b";",
            b"x",
            b"6;x",
            b"x,y;z",
            b"6,;",
            b",,,;",
            b"\xff,\xff;\xff",
        ] {
            assert_eq!(counted(&[message]), Counts::default(), "{message:?}");
        }
    }

    #[test]
    fn a_kernel_whose_messages_are_not_for_us_says_so() {
        let unreadable = KernelEvents::default().read();
        assert_eq!(
            unreadable,
            [Field::single(FieldName::KernelReadable, Value::Flag(false))]
        );
    }

    #[test]
    fn reading_ends_and_overwritten_messages_do_not_end_it() {
        struct Script(Vec<Result<&'static [u8], ErrorKind>>);
        impl Read for Script {
            fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
                match self.0.pop() {
                    Some(Ok(bytes)) => {
                        buffer[..bytes.len()].copy_from_slice(bytes);
                        Ok(bytes.len())
                    }
                    Some(Err(kind)) => Err(kind.into()),
                    None => Err(ErrorKind::WouldBlock.into()),
                }
            }
        }
        let mut events = KernelEvents::default();
        let mut script = Script(vec![
            Ok(b"6,2,0,-;b\n"),
            Err(ErrorKind::BrokenPipe),
            Ok(b"6,1,0,-;a\n"),
        ]);
        assert!(events.drain(&mut script));
        assert_eq!(events.counts.messages, 2);
        assert!(!events.drain(&mut Script(vec![Err(ErrorKind::PermissionDenied)])));
    }
}
