//! Exit codes: the same four for every command, so that a script can tell "no" from "I could not".

use std::process::ExitCode;

/// How a command ended.
///
/// | Code | Meaning |
/// |---|---|
/// | 0 | accepted, or done |
/// | 1 | refused: the document, a signature, the policy or the service said no |
/// | 2 | misuse: arguments or configuration cannot be right, nothing was tried |
/// | 3 | environment: a file, the network or a device failed, so there is no answer |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Accepted or done.
    Done = 0,
    /// The document, signature, policy or service said no.
    Refused = 1,
    /// The arguments or the configuration are wrong.
    Misuse = 2,
    /// A file, the network or a device failed.
    Environment = 3,
}

impl Exit {
    /// The number that the shell sees.
    pub(crate) fn code(self) -> u8 {
        self as u8
    }

    /// The word used for it in JSON.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Exit::Done => "done",
            Exit::Refused => "refused",
            Exit::Misuse => "misuse",
            Exit::Environment => "environment",
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit.code())
    }
}
