//! What a command says when it cannot go on: whose fault, what happened, what to do next.

use std::fmt;
use std::io;
use std::path::Path;

use serde_json::{Value, json};

use crate::exit::Exit;
use crate::printable::printable;

/// The one error type of the command. Each has a stable id for scripts, a sentence that says what
/// happened, and, where there is one, a sentence that says what to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    exit: Exit,
    id: String,
    what: String,
    next: Option<String>,
}

/// The result of nearly everything here.
pub(crate) type Outcome<T> = Result<T, Failure>;

impl Failure {
    /// Something said no: `id` is its reason.
    pub(crate) fn refused(id: impl Into<String>, what: impl Into<String>) -> Self {
        Self::new(Exit::Refused, id, what)
    }

    /// The arguments or a configuration cannot be right.
    pub(crate) fn misuse(id: impl Into<String>, what: impl Into<String>) -> Self {
        Self::new(Exit::Misuse, id, what)
    }

    /// A file, the network, a device or another program failed.
    pub(crate) fn environment(id: impl Into<String>, what: impl Into<String>) -> Self {
        Self::new(Exit::Environment, id, what)
    }

    /// A file or directory could not be used. `doing` completes "cannot …", for example `read`.
    pub(crate) fn file(doing: &str, path: &Path, error: &io::Error) -> Self {
        let failure = Self::environment(
            match error.kind() {
                io::ErrorKind::NotFound => "file.not_found",
                io::ErrorKind::PermissionDenied => "file.permission",
                io::ErrorKind::AlreadyExists => "file.exists",
                _ => "file.failed",
            },
            format!("cannot {doing} {}: {}", path.display(), plain(error)),
        );
        match error.kind() {
            io::ErrorKind::NotFound => failure.next("check the path, and that it is spelled right"),
            io::ErrorKind::PermissionDenied => {
                failure.next("look at its owner and mode with `ls -l`, or run as its owner")
            }
            io::ErrorKind::AlreadyExists => failure
                .next("nothing was overwritten; choose another name or move the old one away"),
            io::ErrorKind::IsADirectory => failure.next("name a file, not the folder it is in"),
            io::ErrorKind::NotADirectory => failure.next("name a folder, not a file"),
            _ => failure,
        }
    }

    /// Adds what to do next.
    #[must_use]
    pub(crate) fn next(mut self, next: impl Into<String>) -> Self {
        self.next = Some(next.into());
        self
    }

    fn new(exit: Exit, id: impl Into<String>, what: impl Into<String>) -> Self {
        Self {
            exit,
            id: id.into(),
            what: what.into(),
            next: None,
        }
    }

    /// The exit code that goes with it.
    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }

    /// Its stable id.
    #[cfg(test)]
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// The JSON form: `{"error": {"id", "kind", "message", "next"}}`.
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "error": {
                "id": self.id,
                "kind": self.exit.word(),
                "message": self.what,
                "next": self.next,
            }
        })
    }
}

/// For people: `refused: what [id]`, then the next step on a line of its own.
impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.exit {
            Exit::Refused => "refused: ",
            Exit::Done | Exit::Misuse | Exit::Environment => "",
        };
        write!(
            formatter,
            "narthex: {kind}{} [{}]",
            printable(&self.what),
            self.id
        )?;
        if let Some(next) = &self.next {
            write!(formatter, "\n         {}", printable(next))?;
        }
        Ok(())
    }
}

/// The system's text without Rust's `(os error N)`.
pub(crate) fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    match text.split_once(" (os error") {
        Some((words, _)) => words.to_lowercase(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_happened_then_what_to_do() {
        let error = io::Error::from_raw_os_error(2);
        let failure = Failure::file("read", Path::new("x.bin"), &error);
        assert_eq!(failure.exit(), Exit::Environment);
        assert_eq!(
            failure.to_string(),
            "narthex: cannot read x.bin: no such file or directory [file.not_found]\n         \
             check the path, and that it is spelled right"
        );
    }

    #[test]
    fn json_names_kind_and_id() {
        let value = Failure::refused("order.expired", "the order has expired").to_json();
        assert_eq!(value["error"]["kind"], "refused");
        assert_eq!(value["error"]["id"], "order.expired");
        assert!(value["error"]["next"].is_null());
    }
}
