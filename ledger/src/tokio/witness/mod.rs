//! A witness (C2SP tlog-witness): cosigns checkpoints of the logs it watches, each one only if it continues the
//! last, and remembers that durably before it answers.
//!
//! One process for each key and folder. Requests for one log are served one after the other, those for different
//! logs side by side.

mod error;
mod event;
mod folder;
mod serve;
mod state;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

pub use error::StateError;
pub use event::{Trouble, WitnessEvent};
pub use folder::create_witness_folder;
use folder::{Folder, Remembered};
use state::{Memory, Whose};

use crate::cosignature::cosign;
use crate::key::{KeyKind, SigningKey, VerifierKey};
use crate::witness::{AddCheckpoint, Seen, WitnessAnswer, judge_add_checkpoint};

/// A running witness.
pub struct Witness {
    key: SigningKey,
    verifier: VerifierKey,
    logs: Vec<Watched>,
    clock: Clock,
    observer: Observer,
    _folder: Folder,
}

/// The present time in Unix seconds; `None` if there is none.
type Clock = Box<dyn Fn() -> Option<u64> + Send + Sync>;
/// Hears of every decision.
type Observer = Box<dyn Fn(&WitnessEvent<'_>) + Send + Sync>;

struct Watched {
    log: VerifierKey,
    path: PathBuf,
    memory: Mutex<Memory>,
}

impl Witness {
    /// Opens the folder of the witness `key`, made by [`create_witness_folder`], to watch `logs`.
    ///
    /// # Errors
    ///
    /// [`StateError`]: the folder is missing, another key's, in use, or damaged; `key` is not a witness's; `logs`
    /// is empty, holds a key that is not a log's, or two with one name.
    pub fn open(
        folder: &Path,
        key: SigningKey,
        logs: Vec<VerifierKey>,
    ) -> Result<Self, StateError> {
        let setup = |what: String| Err(StateError::Setup(what));
        if key.kind() != KeyKind::Witness {
            return setup(format!(
                "the key {} is not a witness's; make one with `narthex log witness-key`",
                key.name()
            ));
        }
        if logs.is_empty() {
            return setup("a witness needs at least one log to watch".to_owned());
        }
        let mut names = std::collections::BTreeSet::new();
        for log in &logs {
            if log.kind() != KeyKind::Log {
                return setup(format!("{log} is not the key of a log"));
            }
            if !names.insert(log.name()) {
                return setup(format!("two keys are given for the log {}", log.name()));
            }
        }
        let verifier = key.verifier_key();
        let (folder, remembered) = Folder::open(folder, &verifier, &logs)?;
        let logs = logs
            .into_iter()
            .zip(remembered)
            .map(|(log, Remembered { path, memory })| Watched {
                log,
                path,
                memory: Mutex::new(memory),
            })
            .collect();
        Ok(Self {
            key,
            verifier,
            logs,
            clock: Box::new(system_clock),
            observer: Box::new(|_| ()),
            _folder: folder,
        })
    }

    /// Tells `observer` of every decision, on the thread that makes it.
    #[must_use]
    pub fn observed(
        mut self,
        observer: impl Fn(&WitnessEvent<'_>) + Send + Sync + 'static,
    ) -> Self {
        self.observer = Box::new(observer);
        self
    }

    /// Takes the time in Unix seconds from `clock` in place of the system.
    #[must_use]
    pub fn with_clock(mut self, clock: impl Fn() -> Option<u64> + Send + Sync + 'static) -> Self {
        self.clock = Box::new(clock);
        self
    }

    /// The public half of the key it cosigns with.
    #[must_use]
    pub fn verifier_key(&self) -> &VerifierKey {
        &self.verifier
    }

    /// What it saw last of each log: origin, head, and when it cosigned that, in Unix seconds (0 for never).
    #[must_use]
    pub fn seen(&self) -> Vec<(String, Seen, u64)> {
        self.logs
            .iter()
            .map(|watched| {
                let memory = watched.memory();
                (watched.log.name().to_owned(), memory.seen, memory.time)
            })
            .collect()
    }

    /// Judges the body of one request, and cosigns. Blocks until what was seen is on the disk.
    ///
    /// # Errors
    ///
    /// [`Trouble`] of the witness itself; nothing is cosigned then.
    pub fn add_checkpoint(&self, body: &[u8]) -> Result<WitnessAnswer, Trouble> {
        let parsed = core::str::from_utf8(body)
            .ok()
            .and_then(|body| AddCheckpoint::parse(body).ok())
            .and_then(|request| Some((request.origin().ok()?, request)));
        let Some((origin, request)) = parsed else {
            return Ok(self.refuse(None, WitnessAnswer::Malformed));
        };
        let Some(watched) = self
            .logs
            .iter()
            .find(|watched| watched.log.name() == origin)
        else {
            return Ok(self.refuse(None, WitnessAnswer::UnknownLog));
        };
        // Held until the answer is durable: between judging and writing no other request may come in.
        let mut memory = watched.memory();
        match judge_add_checkpoint(&request, &watched.log, Some(&memory.seen)) {
            Err(answer) => {
                if let WitnessAnswer::SameSizeOtherRoot { size } = answer {
                    self.forked(watched, &memory, &request, size);
                }
                drop(memory);
                Ok(self.refuse(Some(&origin), answer))
            }
            Ok(seen) => self
                .cosign(watched, &mut memory, &request, seen)
                .inspect_err(|trouble| {
                    let origin = &origin;
                    (self.observer)(&WitnessEvent::Unable { origin, trouble });
                }),
        }
    }

    fn cosign(
        &self,
        watched: &Watched,
        memory: &mut Memory,
        request: &AddCheckpoint,
        seen: Seen,
    ) -> Result<WitnessAnswer, Trouble> {
        let time = match (self.clock)() {
            Some(now) if now >= memory.time => now,
            now => {
                return Err(Trouble::Clock {
                    now,
                    last: memory.time,
                });
            }
        };
        let signature = cosign(&request.checkpoint, &self.key, time).map_err(Trouble::Key)?;
        let next = Memory {
            time,
            seen,
            // Signatures of others are not ours to keep.
            note: Some(
                request
                    .checkpoint
                    .with_only(|line| watched.log.claims(line)),
            ),
        };
        // What is on the disk already need not go there again: anybody may show a published checkpoint, as often as
        // they like, and the log must not wait for the disk behind them.
        let known = memory.note.is_some() && (memory.time, memory.seen) == (next.time, next.seen);
        if !known {
            // If this fails, the old memory or the new one is on the disk, and no cosignature has left: both are true.
            state::write(&watched.path, &next, &self.whose(watched)).map_err(Trouble::State)?;
            *memory = next;
        }
        (self.observer)(&WitnessEvent::Cosigned {
            origin: watched.log.name(),
            size: seen.size,
            time,
        });
        Ok(WitnessAnswer::Cosigned(signature))
    }

    fn refuse(&self, origin: Option<&str>, answer: WitnessAnswer) -> WitnessAnswer {
        (self.observer)(&WitnessEvent::Refused {
            origin,
            answer: &answer,
        });
        answer
    }

    /// Keeps both checkpoints, the first time: together they prove that the log signed two histories.
    fn forked(&self, watched: &Watched, memory: &Memory, request: &AddCheckpoint, size: u64) {
        let path = watched.path.with_extension("fork");
        let other = request
            .checkpoint
            .with_only(|line| watched.log.claims(line));
        let written = match (&memory.note, path.symlink_metadata()) {
            (_, Ok(_)) => true,
            (Some(seen), Err(_)) => state::write_text(&path, &format!("{seen}\n{other}")).is_ok(),
            (None, Err(_)) => false,
        };
        (self.observer)(&WitnessEvent::Forked {
            origin: watched.log.name(),
            size,
            evidence: written.then_some(path.as_path()),
        });
    }

    fn whose<'w>(&'w self, watched: &'w Watched) -> Whose<'w> {
        Whose {
            witness: &self.verifier,
            log: &watched.log,
        }
    }
}

impl Watched {
    /// A panic elsewhere leaves the memory as it was: it is replaced only once it is on the disk.
    fn memory(&self) -> std::sync::MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn system_clock() -> Option<u64> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    Some(since.as_secs())
}
