//! What a person at `--local` reads on standard error. An enclave says nothing of the kind.
//!
//! Notices carry ids from closed lists, never text from a peer or a workload, so that even a laptop's log shows
//! no more than diagnostics would.

use std::fmt;
use std::io::Write;

/// Writes one line on standard error. Nobody has to read it: where it cannot be written (a pipe whose reader has gone),
/// it is lost, and nothing else happens. `eprintln!` would panic there and end the agent.
pub fn to_standard_error(line: fmt::Arguments<'_>) {
    let _lost = writeln!(std::io::stderr(), "{line}");
}

/// Where notices go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notices {
    /// Nowhere: inside an enclave, and in tests.
    Silent,
    /// One line each on standard error.
    StandardError,
}

impl Notices {
    /// Says that something happened; `id` is from a closed list.
    pub fn say(self, what: &'static str, id: &str) {
        if self == Self::StandardError {
            let separator = if id.is_empty() { "" } else { ": " };
            to_standard_error(format_args!("narthex-agent: {what}{separator}{id}"));
        }
    }
}
