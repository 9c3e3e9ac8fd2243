//! Where words go: data to standard output, words for people to standard error.

use std::io::{self, IsTerminal, Write};

use serde_json::Value;

use crate::failure::{Failure, Outcome};
use crate::printable::{printable_json, printable_lines};

/// The form of what goes to standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Aligned text for people.
    Text,
    /// One JSON value and a line feed.
    Json,
}

/// The command's two outputs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    form: Form,
    symbols: Symbols,
}

/// How outcomes are marked in text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Symbols {
    /// `✓` and `✗`, on a terminal that says it speaks UTF-8.
    Unicode,
    /// Words, everywhere else: a log file or a pipe is searched, not looked at.
    Words,
}

impl Output {
    /// Outputs in `form`, with symbols where standard output is a UTF-8 terminal.
    pub(crate) fn new(form: Form) -> Self {
        let symbols = match io::stdout().is_terminal() && locale_is_utf8() {
            true => Symbols::Unicode,
            false => Symbols::Words,
        };
        Self { form, symbols }
    }

    /// The chosen form.
    pub(crate) fn form(&self) -> Form {
        self.form
    }

    /// How to mark outcomes.
    pub(crate) fn symbols(&self) -> Symbols {
        self.symbols
    }

    /// Writes the result: `value` as JSON, or the text that `text` makes. The text ends with a line
    /// feed.
    ///
    /// # Errors
    /// `output.failed` if standard output cannot be written (a full disk). A reader that has gone
    /// away is no error: the exit code still carries the verdict.
    pub(crate) fn result(&self, value: &Value, text: impl FnOnce() -> String) -> Outcome<()> {
        match self.form {
            Form::Json => self.json(value),
            Form::Text => self.data(printable_lines(&text()).as_bytes()),
        }
    }

    /// Writes `value` to standard output, whatever the form.
    ///
    /// # Errors
    /// As [`Output::result`].
    fn json(&self, value: &Value) -> Outcome<()> {
        self.data(printable_json(&format!("{value:#}\n")).as_bytes())
    }

    /// Writes `bytes` to standard output as they are: text in it must have been made safe before.
    ///
    /// # Errors
    /// As [`Output::result`].
    pub(crate) fn data(&self, bytes: &[u8]) -> Outcome<()> {
        let mut stdout = io::stdout().lock();
        match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            Err(error) => Err(Failure::environment(
                "output.failed",
                format!(
                    "cannot write to standard output: {}",
                    crate::failure::plain(&error)
                ),
            )),
        }
    }

    /// Says something to the person at the terminal. Failing to is ignored: there is nobody to tell.
    pub(crate) fn say(&self, words: impl std::fmt::Display) {
        let words = words.to_string();
        let _nobody_to_tell = writeln!(io::stderr().lock(), "{}", printable_lines(&words));
    }

    /// Reports `failure`: as a JSON object on standard output with `--json`, else as words.
    pub(crate) fn failure(&self, failure: &Failure) {
        match self.form {
            Form::Json => {
                let _nobody_to_tell = self.json(&failure.to_json());
            }
            Form::Text => self.say(failure),
        }
    }
}

/// POSIX: the first of these that is set and not empty decides.
fn locale_is_utf8() -> bool {
    ["LC_ALL", "LC_CTYPE", "LANG"]
        .iter()
        .filter_map(|name| std::env::var(name).ok())
        .find(|value| !value.is_empty())
        .is_some_and(|value| {
            let value = value.to_ascii_lowercase();
            value.contains("utf-8") || value.contains("utf8")
        })
}
