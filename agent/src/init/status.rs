//! The boot status: 16 bytes to the parent, one line to the console, and three bytes between the
//! supervisor and process 1.
//!
//! It is the only thing that leaves an enclave without a logged order. It says where the boot is and, from
//! a closed list, why it is not further; nothing else fits in.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};

use nix::fcntl::{FcntlArg, OFlag, fcntl};

use super::code::BootCode;

/// The first bytes of every status message.
pub const MAGIC: [u8; 12] = *b"narthex-boot";
/// The version of the message.
pub const VERSION: u8 = 1;
/// Length of a message.
pub const MESSAGE_BYTES: usize = 16;
/// Length of a record between supervisor and process 1.
pub(super) const RECORD_BYTES: usize = 3;

/// Where the boot is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The kernel has started the agent.
    Begun,
    /// Diagnostics are answered.
    Serving,
    /// It failed, and the machine restarts.
    Failed,
    /// It was told to end, and the machine restarts.
    ShuttingDown,
    /// It waits for the parent: for the heartbeat's answer or for a policy.
    Waiting,
}

impl Stage {
    /// The byte in the message.
    pub const fn number(self) -> u8 {
        match self {
            Self::Begun => 0,
            Self::Serving => 1,
            Self::Failed => 2,
            Self::ShuttingDown => 3,
            Self::Waiting => 4,
        }
    }

    /// The stage of that byte.
    pub fn from_number(number: u8) -> Option<Self> {
        [
            Self::Begun,
            Self::Serving,
            Self::Failed,
            Self::ShuttingDown,
            Self::Waiting,
        ]
        .into_iter()
        .find(|stage| stage.number() == number)
    }
}

/// What is said at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BootStatus {
    /// Where the boot is.
    pub stage: Stage,
    /// Why it is not further.
    pub code: BootCode,
}

impl BootStatus {
    /// The message to the parent: [`MAGIC`], [`VERSION`], the stage, the code in big-endian order.
    pub fn encode(self) -> [u8; MESSAGE_BYTES] {
        let [high, low] = self.code.number().to_be_bytes();
        let mut message = [0; MESSAGE_BYTES];
        let bytes = MAGIC
            .into_iter()
            .chain([VERSION, self.stage.number(), high, low]);
        for (place, byte) in message.iter_mut().zip(bytes) {
            *place = byte;
        }
        message
    }

    /// Reads a message, as a parent does. `None` for anything that [`BootStatus::encode`] does not write.
    pub fn decode(message: &[u8]) -> Option<Self> {
        let rest = message.strip_prefix(&MAGIC)?;
        let &[VERSION, stage, high, low] = rest else {
            return None;
        };
        Self::from_record([stage, high, low])
    }

    pub(super) fn record(self) -> [u8; RECORD_BYTES] {
        let [high, low] = self.code.number().to_be_bytes();
        [self.stage.number(), high, low]
    }

    pub(super) fn from_record([stage, high, low]: [u8; RECORD_BYTES]) -> Option<Self> {
        Some(Self {
            stage: Stage::from_number(stage)?,
            code: BootCode::from_number(u16::from_be_bytes([high, low]))?,
        })
    }

    /// The line on the console. `served`: whether diagnostics were answered before.
    pub fn line(self, served: bool) -> String {
        let what = match (self.stage, served) {
            (Stage::Begun, _) => "boot begun",
            (Stage::Serving, _) => "serving",
            (Stage::Failed, false) => "boot failed",
            (Stage::Failed, true) => "failed",
            (Stage::ShuttingDown, _) => "shutting down",
            (Stage::Waiting, _) => "waiting for a policy",
        };
        match self.code {
            BootCode::None => format!("narthex-agent: {what}"),
            code => format!(
                "narthex-agent: {what}: {} (0x{:04x})",
                code.id(),
                code.number()
            ),
        }
    }
}

/// The supervisor's way to say where the boot is. Never blocks, and says nothing twice in a row.
#[derive(Debug, Default)]
pub struct BootReporter {
    records: Option<OwnedFd>,
    last: Cell<Option<BootStatus>>,
}

impl BootReporter {
    /// One that says nothing: with `--local`.
    pub fn silent() -> Self {
        Self::default()
    }

    /// Writes records of three bytes to a pipe.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn to_pipe(pipe: OwnedFd) -> io::Result<Self> {
        let flags = OFlag::from_bits_retain(fcntl(pipe.as_fd(), FcntlArg::F_GETFL)?);
        fcntl(pipe.as_fd(), FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
        Ok(Self {
            records: Some(pipe),
            last: Cell::new(None),
        })
    }

    /// Says it.
    pub fn say(&self, stage: Stage, code: BootCode) {
        let status = BootStatus { stage, code };
        let Some(records) = &self.records else { return };
        if self.last.replace(Some(status)) == Some(status) {
            return;
        }
        // A record is shorter than PIPE_BUF: it goes in as a whole or not at all. When process 1 is busy
        // with a parent that does not listen, and thousands of records wait, one more is of no use.
        let Ok(pipe) = records.try_clone() else {
            return;
        };
        let _ = File::from(pipe).write_all(&status.record());
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    const FAILED: BootStatus = BootStatus {
        stage: Stage::Failed,
        code: BootCode::EntropyRngCurrent,
    };

    #[test]
    fn the_message_is_as_documented() {
        assert_eq!(&FAILED.encode(), b"narthex-boot\x01\x02\x02\x01");
        assert_eq!(BootStatus::decode(&FAILED.encode()), Some(FAILED));
    }

    #[test]
    fn anything_else_is_no_message() {
        let good = FAILED.encode();
        for index in 0..good.len() {
            let mut bad = good;
            bad[index] ^= 0x40;
            assert_eq!(BootStatus::decode(&bad), None, "byte {index}");
            assert_eq!(BootStatus::decode(&good[..index]), None);
        }
        let mut long = good.to_vec();
        long.push(0);
        assert_eq!(BootStatus::decode(&long), None);
    }

    #[test]
    fn every_stage_and_code_comes_back() {
        for stage in (0..=255).filter_map(Stage::from_number) {
            for &code in BootCode::ALL {
                let status = BootStatus { stage, code };
                assert_eq!(BootStatus::decode(&status.encode()), Some(status));
                assert_eq!(BootStatus::from_record(status.record()), Some(status));
            }
        }
    }

    #[test]
    fn lines_say_stage_and_reason() {
        let line = "narthex-agent: boot failed: entropy.rng_current (0x0201)";
        assert_eq!(FAILED.line(false), line);
        let serving = BootStatus {
            stage: Stage::Serving,
            code: BootCode::None,
        };
        assert_eq!(serving.line(true), "narthex-agent: serving");
    }

    #[test]
    fn a_reporter_says_nothing_twice_and_never_blocks() {
        let (mut reader, writer) = io::pipe().unwrap();
        let reporter = BootReporter::to_pipe(writer.into()).unwrap();
        reporter.say(Stage::Waiting, BootCode::None);
        reporter.say(Stage::Waiting, BootCode::None);
        reporter.say(Stage::Serving, BootCode::None);
        let mut records = [0; 6];
        reader.read_exact(&mut records).unwrap();
        assert_eq!(records, [4, 0, 0, 1, 0, 0]);
        for _ in 0..100_000 {
            reporter.say(Stage::Waiting, BootCode::PolicyConnection);
            reporter.say(Stage::Waiting, BootCode::PolicyAnswer);
        }
        BootReporter::silent().say(Stage::Serving, BootCode::None);
    }
}
