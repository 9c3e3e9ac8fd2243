//! Opening a log: the store, its newest checkpoint, and whether that continues what was seen before.

use std::path::Path;
use std::sync::Arc;

use narthex_ledger::tokio::{ClientLimits, EarlierEpoch, HttpLog};
use narthex_ledger::{
    Folder, Frontier, LogError, LogReader, LogReason, LogStore, Resource, StoreError, Trust,
    TrustedCheckpoint,
};
use narthex_policy::SignedTicket;

use super::address::LogAddress;
use super::failures::log_failure;
use super::remembered::Remembered;
use super::trust::Relying;
use crate::commands::log::{AccessArguments, LogArguments};
use crate::failure::{Failure, Outcome};
use crate::input::read_text;
use crate::moment::time_text;
use crate::output::Output;

/// A ticket in base64 is far below this.
const TICKET_LIMIT_BYTES: usize = 64 * 1024;

/// A log whose newest checkpoint holds, and continues what this machine saw before.
pub(crate) struct OpenLog {
    /// Where it is, for messages.
    pub(crate) name: String,
    /// Its contents, not trusted.
    pub(crate) store: Arc<dyn LogStore>,
    /// Who is trusted.
    pub(crate) relying: Relying,
    /// The checkpoint.
    pub(crate) head: TrustedCheckpoint,
    /// What this machine remembers of it; `None` where there is no place to remember.
    pub(crate) remembered: Option<Remembered>,
}

impl OpenLog {
    /// Reaches the log, checks its checkpoint against those who are trusted and against what was
    /// remembered.
    ///
    /// # Errors
    /// `log.*`, `file.*`, and what [`Relying::resolve`] says.
    pub(crate) fn open(arguments: &LogArguments, output: &Output) -> Outcome<Self> {
        let relying = Relying::resolve(&arguments.trust, output)?;
        let store = store(&arguments.log, &arguments.access)?;
        Self::relying_on(relying, store, arguments, output)
    }

    /// The same for a store that is open and trust that is resolved; `arguments.trust` does not count.
    ///
    /// # Errors
    /// As [`OpenLog::open`].
    pub(crate) fn relying_on(
        relying: Relying,
        store: Arc<dyn LogStore>,
        arguments: &LogArguments,
        output: &Output,
    ) -> Outcome<Self> {
        let name = arguments.log.to_string();
        let head =
            checkpoint(&*store, &relying.trust).map_err(|error| log_failure(&name, &error))?;
        let remembered = Remembered::of(relying.trust.log()).ok();
        let log = Self {
            name,
            store,
            relying,
            head,
            remembered,
        };
        log.compare_with_remembered(arguments.older_copy, output)?;
        Ok(log)
    }

    /// An error of this log in words.
    pub(crate) fn failure(&self, error: &LogError) -> Failure {
        log_failure(&self.name, error)
    }

    /// Everything below the checkpoint.
    ///
    /// # Errors
    /// `log.*` if the tree's right edge does not add up to it.
    pub(crate) fn reader(&self) -> Outcome<LogReader<'_, dyn LogStore>> {
        LogReader::at(&*self.store, self.head.clone()).map_err(|error| self.failure(&error))
    }

    /// The newest checkpoint, read again. It is not compared with anything.
    ///
    /// # Errors
    /// `log.*`.
    pub(crate) fn newest(&self) -> Result<TrustedCheckpoint, LogError> {
        checkpoint(&*self.store, &self.relying.trust)
    }

    /// Remembers `head` as the newest checkpoint that passed.
    ///
    /// # Errors
    /// `file.*`.
    pub(crate) fn remember(&self, head: &TrustedCheckpoint) -> Outcome<()> {
        match &self.remembered {
            None => Ok(()),
            Some(remembered) => {
                remembered.save(head.note(), head.checkpoint().size, &self.relying.trust)
            }
        }
    }

    /// One of the earlier epochs: a finished log of its own.
    ///
    /// # Errors
    /// `log.epoch` if the policy names no such epoch; `log.*`.
    pub(crate) fn epoch(&self, number: u32) -> Outcome<(EpochStore, TrustedCheckpoint)> {
        let place = usize::try_from(number).unwrap_or(usize::MAX);
        let epoch = self.relying.earlier.get(place).ok_or_else(|| {
            let failure = Failure::misuse(
                "log.epoch",
                format!("the policy names no earlier epoch {number} of this log"),
            );
            match self.relying.earlier.len() {
                0 => failure.next("it has none: leave --epoch out"),
                count => failure.next(format!(
                    "it names {count}, from 0 to {}; without --epoch the present one is read",
                    count.saturating_sub(1)
                )),
            }
        })?;
        let store = EpochStore {
            store: Arc::clone(&self.store),
            epoch: number,
        };
        let head = last_checkpoint(&store, epoch)
            .map_err(|error| log_failure(&format!("{}, epoch {number}", self.name), &error))?;
        Ok((store, head))
    }

    fn compare_with_remembered(&self, older_copy: bool, output: &Output) -> Outcome<()> {
        let Some(remembered) = &self.remembered else {
            return Ok(());
        };
        let Some((_, known)) = remembered.load(&self.relying.trust)? else {
            return Ok(());
        };
        if older_copy && self.head.checkpoint().size < known.checkpoint().size {
            output.say(format_args!(
                "narthex: {} ends after {} entries; this machine has seen {}",
                self.name,
                self.head.checkpoint().size,
                known.checkpoint().size
            ));
            return Ok(());
        }
        self.reader()?.check_extends(&known).map_err(|error| {
            self.rewritten(&error, &known, &remembered.path().display().to_string())
        })
    }

    /// The log does not continue `known`: both checkpoints are named, because together they are
    /// the proof.
    pub(crate) fn rewritten(
        &self,
        error: &LogError,
        known: &TrustedCheckpoint,
        place: &str,
    ) -> Failure {
        match error.reason() {
            LogReason::Behind => Failure::refused(
                error.id(),
                format!(
                    "{}: the log has shrunk: {}; the larger checkpoint is in {place}",
                    self.name,
                    error.detail()
                ),
            )
            .next(
                "a copy may merely be older: --older-copy accepts one. The log itself must never \
                 shrink: tell the witnesses and the reviewers, and keep that file",
            ),
            LogReason::Forked | LogReason::Consistency => Failure::refused(
                error.id(),
                format!(
                    "{}: the log was rewritten: {}; its checkpoint of {} entries (root {}) does not continue the one of {} \
                     entries (root {}) in {place}",
                    self.name,
                    error.detail(),
                    self.head.checkpoint().size,
                    self.head.checkpoint().root.to_base64(),
                    known.checkpoint().size,
                    known.checkpoint().root.to_base64(),
                ),
            )
            .next(
                "keep both checkpoints: if the log signed both, they prove to anybody that it was \
                 rewritten. Tell the witnesses and the reviewers",
            ),
            _ => self.failure(error),
        }
    }
}

/// Opens the store at `address`. Nothing is read yet, but for a folder that must be there.
///
/// # Errors
/// `file.*`, `ticket.*`, `log.*`.
pub(crate) fn store(address: &LogAddress, access: &AccessArguments) -> Outcome<Arc<dyn LogStore>> {
    match address {
        LogAddress::Folder(path) => {
            if let Err(error) = std::fs::read_dir(path) {
                return Err(Failure::file("read", path, &error).next(
                    "a log is http://HOST:PORT[/PREFIX], unix:PATH, or a folder that `narthex log \
                     mirror` or `narthex log export` made",
                ));
            }
            let folder = Folder::open(path)
                .map_err(|error| log_failure(&path.display().to_string(), &error.into()))?;
            Ok(Arc::new(folder))
        }
        LogAddress::Http(address) => {
            let ticket = access.ticket.as_deref().map(ticket).transpose()?;
            let limits = ClientLimits {
                connect: access.timeout.min(ClientLimits::default().connect),
                stall: access.timeout,
                ..ClientLimits::default()
            };
            let log = HttpLog::new(address.clone(), ticket.as_deref(), limits)
                .map_err(|error| Failure::environment("log.unavailable", error.to_string()))?;
            Ok(Arc::new(log))
        }
    }
}

/// A ticket's file holds the header's value; that it is one is seen before it is sent anywhere.
fn ticket(path: &Path) -> Outcome<String> {
    let text = read_text(path, TICKET_LIMIT_BYTES)?;
    let value = text.trim();
    SignedTicket::from_header(value).map_err(|refusal| {
        Failure::misuse(
            refusal.id(),
            format!("{} is no ticket: {}", path.display(), refusal.detail()),
        )
        .next("`narthex log ticket --policy DIR --as NAME --key KEY --out FILE` makes one")
    })?;
    Ok(value.to_owned())
}

/// The store's checkpoint, if it holds.
fn checkpoint(store: &dyn LogStore, trust: &Trust) -> Result<TrustedCheckpoint, LogError> {
    trust.check(&LogReader::newest(store)?)
}

/// An earlier epoch as a log of its own. Evidence lies beside all epochs.
pub(crate) struct EpochStore {
    store: Arc<dyn LogStore>,
    epoch: u32,
}

impl LogStore for EpochStore {
    fn get(&self, resource: &Resource) -> Result<Option<Vec<u8>>, StoreError> {
        match resource {
            Resource::Evidence(_) => self.store.get(resource),
            other => {
                let inside = Resource::Epoch(self.epoch, Box::new(other.clone()));
                self.store.get(&inside)
            }
        }
    }
}

/// A finished epoch's checkpoint: the old key signed it, and the tree that the reviewers signed is
/// its beginning. A mirror may have seen more of it than the log remembered when it began anew.
fn last_checkpoint(
    store: &EpochStore,
    epoch: &EarlierEpoch,
) -> Result<TrustedCheckpoint, LogError> {
    let trust = Trust::new(epoch.log.clone(), Vec::new(), 0)?;
    let head = trust.check(&LogReader::newest(store)?)?;
    let at = head.checkpoint();
    let wrong = |reason, words: String| Err(LogError::new(reason, words));
    if at.size < epoch.size {
        return wrong(
            LogReason::Behind,
            format!(
                "it has {} entries here; the bundle says {}",
                at.size, epoch.size
            ),
        );
    }
    let reader = LogReader::at(store, head.clone())?;
    let root = Frontier::from_source(reader.tiles(), epoch.size)?.root();
    match root == epoch.root {
        true => Ok(head),
        false => wrong(
            LogReason::Forked,
            format!(
                "the first {} entries have the root {}; the bundle says {}",
                epoch.size,
                root.to_base64(),
                epoch.root.to_base64()
            ),
        ),
    }
}

/// When the witnesses saw a checkpoint, for people: `cosigned TIME by NAME, NAME`.
pub(crate) fn cosigned_words(head: &TrustedCheckpoint) -> String {
    let witnesses: Vec<String> = head
        .cosignatures()
        .iter()
        .map(|(name, seconds)| format!("{name} {}", time_text(seconds.saturating_mul(1000))))
        .collect();
    match witnesses.is_empty() {
        true => "nobody".to_owned(),
        false => witnesses.join(", "),
    }
}
