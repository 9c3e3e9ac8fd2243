//! The newest checkpoint of each log that passed on this machine.
//!
//! It is the reader's own small witness: a log that was seen once cannot show this machine a
//! shorter or another past again. Lost, it protects no more; altered, it can only make a good log be
//! refused, because what stands in it must be signed by the log to count.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use narthex_ledger::{Digest384, SignedNote, Trust, TrustedCheckpoint, VerifierKey};

use crate::failure::{Failure, Outcome};
use crate::files::{Existing, write_private_file};
use crate::input::read_text;
use crate::state::state_directory;

/// Notes are at most this long.
const NOTE_LIMIT_BYTES: usize = 64 * 1024;

/// Where one log's checkpoint is kept.
#[derive(Clone, Debug)]
pub(crate) struct Remembered {
    path: PathBuf,
}

impl Remembered {
    /// The place for the log with the key `log`: a file in the user's state directory. Named after
    /// the key and not after the origin alone, so that another log of the same name is another log.
    ///
    /// # Errors
    /// `state.no_home`.
    pub(crate) fn of(log: &VerifierKey) -> Outcome<Self> {
        let name = Digest384::of(log.to_string().as_bytes()).to_string();
        let folder = state_directory()?.join("checkpoints");
        Ok(Self {
            path: folder.join(name),
        })
    }

    /// The file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What was remembered, if anything was.
    ///
    /// # Errors
    /// `file.*`; `state.checkpoint` if the file holds no checkpoint that the log signed.
    pub(crate) fn load(&self, trust: &Trust) -> Outcome<Option<(SignedNote, TrustedCheckpoint)>> {
        if !self.path.exists() {
            return Ok(None);
        }
        let unusable = |error: narthex_ledger::LogError| {
            Failure::environment(
                "state.checkpoint",
                format!(
                    "what was remembered of this log in {} does not hold: {error}",
                    self.path.display()
                ),
            )
            .next("somebody changed it; look into it, then move it away to start afresh")
        };
        let text = read_text(&self.path, NOTE_LIMIT_BYTES)?;
        let note = SignedNote::parse(&text).map_err(unusable)?;
        let checkpoint = trust.check_log_only(&note).map_err(unusable)?;
        Ok(Some((note, checkpoint)))
    }

    /// Remembers `note`, unless something newer is there.
    ///
    /// # Errors
    /// `file.*`.
    pub(crate) fn save(&self, note: &SignedNote, size: u64, trust: &Trust) -> Outcome<()> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder).map_err(|error| Failure::file("create", folder, &error))?;
        // Two commands at once: the one that saw less does not overwrite.
        let lock_path = self.path.with_extension("lock");
        let lock = File::create(&lock_path)
            .and_then(|lock| lock.lock().map(|()| lock))
            .map_err(|error| Failure::file("lock", &lock_path, &error))?;
        let newer = self
            .load(trust)?
            .is_some_and(|(_, known)| known.checkpoint().size > size);
        if !newer {
            write_private_file(&self.path, note.to_string().as_bytes(), Existing::Replace)?;
        }
        drop(lock);
        Ok(())
    }
}
