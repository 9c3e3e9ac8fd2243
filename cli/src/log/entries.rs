//! A pass over entries: each is compared with the tree and read strictly before it is used.

use narthex_ledger::{Entry, LogError, LogReader, LogStore};

use super::failures::log_failure;
use super::words::Numbered;
use crate::failure::{Failure, Outcome};

/// Why a pass over entries ended early.
pub(crate) enum Ended {
    /// What speaks against the log or its source.
    Log(LogError),
    /// The command's own trouble: standard output, for example.
    Command(Failure),
}

impl From<LogError> for Ended {
    fn from(error: LogError) -> Self {
        Self::Log(error)
    }
}

impl Ended {
    /// In words; `what` is what was looked at.
    pub(crate) fn failure(self, what: &str) -> Failure {
        match self {
            Self::Log(error) => log_failure(what, &error),
            Self::Command(failure) => failure,
        }
    }
}

/// Hands every entry of `range` to `take`, in order.
///
/// # Errors
/// What the reader says, `log.entry`, and what `take` fails with.
pub(crate) fn each_entry<S: LogStore + ?Sized>(
    reader: &LogReader<'_, S>,
    range: std::ops::Range<u64>,
    mut take: impl FnMut(Numbered, &Entry) -> Outcome<()>,
) -> Result<(), Ended> {
    for read in reader.entries(range) {
        let (index, leaf) = read?;
        let entry =
            Entry::from_leaf(&leaf).map_err(|error| error.within(&format!("entry {index}")))?;
        take(Numbered::new(index, &leaf), &entry).map_err(Ended::Command)?;
    }
    Ok(())
}
