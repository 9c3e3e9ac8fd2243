//! How far long work has come, on a terminal only.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// Between two looks of the line: a terminal is slower than the work.
const INTERVAL: Duration = Duration::from_millis(100);

/// One line on standard error that is written over and over, and wiped at the end.
pub(crate) struct Progress {
    terminal: bool,
    shown: Option<Instant>,
}

impl Progress {
    /// Nothing is shown where standard error is no terminal.
    pub(crate) fn new() -> Self {
        Self {
            terminal: io::stderr().is_terminal(),
            shown: None,
        }
    }

    /// `what done of total`; most calls show nothing.
    pub(crate) fn at(&mut self, what: &str, done: u64, total: u64) {
        let due = self.shown.is_none_or(|shown| shown.elapsed() >= INTERVAL);
        if !self.terminal || !due {
            return;
        }
        self.shown = Some(Instant::now());
        let percent = done.saturating_mul(100).checked_div(total).unwrap_or(100);
        let _nobody_to_tell = write!(
            io::stderr().lock(),
            "\r\u{1b}[Knarthex: {what}: {done} of {total} ({percent} %)"
        );
    }

    /// Takes the line away, so that words can follow.
    pub(crate) fn clear(&mut self) {
        if self.shown.take().is_some() {
            let _nobody_to_tell = write!(io::stderr().lock(), "\r\u{1b}[K");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}
