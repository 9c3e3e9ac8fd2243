//! Work that goes on until it ends or somebody asks it to stop.

use std::io;
use std::time::Duration;

use crate::failure::{Failure, Outcome};
use crate::stop::Stop;
use crate::transport::runtime;

/// The longest pause while a log cannot be reached.
const MAX_PAUSE: Duration = Duration::from_secs(60);

/// Runs `work` on a thread of its own, and returns what it says; `None` if SIGINT or SIGTERM came
/// first. The work is then left where it is: the process ends, and everything done here is whole at
/// every moment.
///
/// # Errors
/// What `work` says; `signal.failed`, `runtime.failed`.
pub(super) fn until_stopped<T: Send + 'static>(
    work: impl FnOnce() -> Outcome<T> + Send + 'static,
) -> Outcome<Option<T>> {
    let outcome = runtime()?.block_on(async {
        let mut stop = Stop::listening()?;
        let (send, receive) = tokio::sync::oneshot::channel();
        std::thread::Builder::new()
            .name("work".to_owned())
            .spawn(move || {
                let _nobody_waits_any_more = send.send(work());
            })
            .map_err(|error| {
                Failure::environment("runtime.failed", format!("cannot start: {error}"))
            })?;
        tokio::select! {
            () = stop.asked() => Ok(None),
            done = receive => match done {
                Ok(outcome) => outcome.map(Some),
                Err(_) => Err(Failure::environment("runtime.failed", "the work ended unexpectedly")),
            },
        }
    });
    if matches!(outcome, Ok(None)) {
        // A line that is being printed is finished; the next one is not begun.
        std::mem::forget(io::stdout().lock());
    }
    outcome
}

/// Pauses between looks: longer and longer while nobody answers.
pub(super) struct Pauses {
    usual: Duration,
    next: Duration,
}

impl Pauses {
    pub(super) fn new(usual: Duration) -> Self {
        Self { usual, next: usual }
    }

    /// After a look that went well, or did not; at most `limit`.
    pub(super) fn pause(&mut self, went_well: bool, limit: Option<Duration>) {
        self.next = match went_well {
            true => self.usual,
            false => self.next.saturating_mul(2).min(MAX_PAUSE.max(self.usual)),
        };
        std::thread::sleep(limit.map_or(self.next, |limit| limit.min(self.next)));
    }
}
