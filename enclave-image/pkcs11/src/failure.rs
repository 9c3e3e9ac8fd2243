//! Why nothing was signed.

use core::fmt;
use std::process::ExitCode;

/// Whose fault it is; the exit code follows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    /// The token said no, or has no such key.
    Refused,
    /// Arguments or input that cannot be right.
    Misuse,
    /// A file or the module failed.
    Environment,
}

/// A stable id, and a sentence for people.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Failure {
    kind: Kind,
    id: &'static str,
    words: String,
}

impl Failure {
    pub(crate) fn new(kind: Kind, id: &'static str, words: impl Into<String>) -> Self {
        Self {
            kind,
            id,
            words: words.into(),
        }
    }

    /// 1 refused, 2 misuse, 3 environment: as `narthex` does.
    pub(crate) fn exit(&self) -> ExitCode {
        ExitCode::from(match self.kind {
            Kind::Refused => 1,
            Kind::Misuse => 2,
            Kind::Environment => 3,
        })
    }

    #[cfg(test)]
    pub(crate) fn id(&self) -> &str {
        self.id
    }
}

/// A token chooses its labels and a module its messages: control characters are escaped.
impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.words.chars() {
            match character.is_control() {
                true => write!(formatter, "{}", character.escape_unicode())?,
                false => write!(formatter, "{character}")?,
            }
        }
        write!(formatter, " [{}]", self.id)
    }
}
