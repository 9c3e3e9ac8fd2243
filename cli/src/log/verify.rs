//! `narthex log verify`: the whole log, every epoch, from its tiles.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use narthex_ledger::tokio::EarlierEpoch;
use narthex_ledger::{
    Entry, EntryKind, LogError, LogReader, LogReason, LogStore, MAX_NOTE, Outcome as Decided,
    SignedNote, TrustedCheckpoint, VerifiedLog,
};
use serde_json::{Value, json};

use super::evidence::{Evidence, EvidenceCounts};
use super::failures::log_failure;
use super::open::{OpenLog, cosigned_words};
use super::progress::Progress;
use crate::commands::log::reading::VerifyArguments;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::files::{Existing, write_file};
use crate::input::read_text;
use crate::moment::{duration_text, now_unix_millis, time_text};
use crate::output::Output;
use crate::printable::printable;
use crate::table::Table;

/// `narthex log verify`.
pub(super) fn verify(arguments: &VerifyArguments, output: &Output) -> Outcome<Exit> {
    let began = Instant::now();
    let log = OpenLog::open(&arguments.source, output)?;
    require_fresh(&log, arguments)?;
    let reader = log.reader()?;
    for file in &arguments.older {
        continues_kept(&log, &reader, file)?;
    }
    // The oldest first, so that an error names the earliest place.
    let mut epochs = Vec::new();
    let mut before: Option<&EarlierEpoch> = None;
    for (number, epoch) in (0..).zip(&log.relying.earlier) {
        let (store, head) = log.epoch(number)?;
        let name = format!("{}, epoch {number}", log.name);
        let store: Arc<dyn LogStore> = Arc::new(store);
        let part = Part {
            name: &name,
            store: &*store,
            head: &head,
            before,
            ours: true,
        };
        epochs.push(part.verify(arguments.evidence)?);
        before = Some(epoch);
    }
    let part = Part {
        name: &log.name,
        store: &*log.store,
        head: &log.head,
        before,
        // Whoever trusts by a tlog-policy may look at a log of somebody else.
        ours: log.relying.held.is_some(),
    };
    epochs.push(part.verify(arguments.evidence)?);

    if let Some(path) = &arguments.checkpoint_out {
        let note = log.head.note().to_string();
        write_file(path, note.as_bytes(), Existing::Replace)?;
    }
    let incomplete = epochs.iter().any(|found| found.evidence.lacking > 0);
    show(&log, arguments, &epochs, began, output)?;
    match log.remember(&log.head) {
        Ok(()) if log.remembered.is_some() => {}
        Ok(()) => output.say("narthex: there is no state directory, so this is not remembered"),
        Err(failure) => output.say(failure),
    }
    match incomplete {
        false => Ok(Exit::Done),
        true => {
            output.say(
                "narthex: refused: evidence is missing that no entry says was purged [log.evidence]\n         \
                 the log itself holds; ask whoever runs it, or another copy, for the evidence",
            );
            Ok(Exit::Refused)
        }
    }
}

/// With `--max-age`: how long ago the quorum saw that nothing was newer.
fn require_fresh(log: &OpenLog, arguments: &VerifyArguments) -> Outcome<()> {
    let Some(max_age) = arguments.max_age else {
        return Ok(());
    };
    let now = now_unix_millis()?;
    let seen = log
        .head
        .fresh_at()
        .map(|seconds| seconds.saturating_mul(1000));
    let max_age = u64::try_from(max_age.as_millis()).unwrap_or(u64::MAX);
    match seen {
        Some(seen) if now.saturating_sub(seen) <= max_age => Ok(()),
        Some(seen) => Err(log.failure(&LogError::new(
            LogReason::Stale,
            format!(
                "its witnesses saw it last at {}, {} ago",
                time_text(seen),
                duration_text(now.saturating_sub(seen))
            ),
        ))),
        None => Err(log.failure(&LogError::new(
            LogReason::Stale,
            "no witness says when it was seen: nobody who is trusted has to cosign it",
        ))),
    }
}

/// A checkpoint that somebody kept must be the beginning of this log.
fn continues_kept(log: &OpenLog, reader: &LogReader<'_, dyn LogStore>, file: &Path) -> Outcome<()> {
    let name = file.display().to_string();
    let text = read_text(file, MAX_NOTE)?;
    let kept = SignedNote::parse(&text)
        .and_then(|note| log.relying.trust.check_log_only(&note))
        .map_err(|error| {
            Failure::refused(error.id(), format!("{name}: {}", error.detail())).next(
                "--older takes a checkpoint of this very log: what `/checkpoint` serves, or \
                 `--checkpoint-out` wrote",
            )
        })?;
    reader
        .check_extends(&kept)
        .map_err(|error| log.rewritten(&error, &kept, &name))
}

/// One tree: an earlier epoch, or the present log.
struct Part<'a> {
    name: &'a str,
    store: &'a dyn LogStore,
    head: &'a TrustedCheckpoint,
    /// The epoch that this one continues.
    before: Option<&'a EarlierEpoch>,
    /// Whether the entries must be Narthex's.
    ours: bool,
}

/// What one tree holds.
struct Found {
    verified: VerifiedLog,
    head: TrustedCheckpoint,
    kinds: BTreeMap<&'static str, u64>,
    refused: u64,
    foreign: u64,
    evidence: EvidenceCounts,
}

/// Counts that all threads share.
#[derive(Default)]
struct Tally {
    kinds: Vec<AtomicU64>,
    refused: AtomicU64,
    foreign: AtomicU64,
    done: AtomicU64,
}

impl Part<'_> {
    fn verify(&self, with_evidence: bool) -> Outcome<Found> {
        let failed = |error: LogError| log_failure(self.name, &error);
        let reader = LogReader::at(self.store, self.head.clone()).map_err(failed)?;
        let size = reader.size();
        let tally = Tally {
            kinds: EntryKind::ALL.iter().map(|_| AtomicU64::new(0)).collect(),
            ..Tally::default()
        };
        let evidence = Evidence::default();
        let progress = Mutex::new(Progress::new());
        let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
        let verified = reader.verify_all(threads, |index, leaf| {
            let done = tally.done.fetch_add(1, Ordering::Relaxed);
            // Whoever finds it in use goes on: a line more or less is of no interest.
            if done.is_multiple_of(512)
                && let Ok(mut progress) = progress.try_lock()
            {
                progress.at("verifying", done, size);
            }
            let entry = match Entry::from_leaf(leaf) {
                Ok(entry) => entry,
                Err(_) if !self.ours => {
                    tally.foreign.fetch_add(1, Ordering::Relaxed);
                    return Ok(());
                }
                Err(error) => return Err(error),
            };
            if index == 0 && self.ours {
                self.begins_well(&entry)?;
            }
            tally.count(&entry);
            match with_evidence {
                true => evidence.check(&reader, index, &entry),
                false => Ok(()),
            }
        });
        progress
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
        let kinds = EntryKind::ALL.iter().zip(&tally.kinds);
        Ok(Found {
            verified: verified.map_err(failed)?,
            head: self.head.clone(),
            kinds: kinds
                .map(|(kind, count)| (kind.as_str(), count.load(Ordering::Relaxed)))
                .filter(|(_, count)| *count > 0)
                .collect(),
            refused: tally.refused.load(Ordering::Relaxed),
            foreign: tally.foreign.load(Ordering::Relaxed),
            evidence: evidence.counts(),
        })
    }

    /// Entry 0 is the genesis bundle, or names the epoch before as the reviewers signed it.
    fn begins_well(&self, first: &Entry) -> Result<(), LogError> {
        let wrong = |words: String| Err(LogError::new(LogReason::Entry, words));
        match (self.before, first) {
            (None, Entry::Policy(_)) => Ok(()),
            (None, other) => wrong(format!(
                "a log begins with its first bundle, this one with an entry of type {}",
                other.kind()
            )),
            (Some(before), Entry::Epoch(epoch))
                if (epoch.old_origin.as_str(), epoch.old_size, epoch.old_root)
                    == (before.log.name(), before.size, before.root) =>
            {
                Ok(())
            }
            (Some(before), _) => wrong(format!(
                "it does not say that it continues {} after {} entries, as the bundle does",
                before.log.name(),
                before.size
            )),
        }
    }
}

impl Tally {
    fn count(&self, entry: &Entry) {
        let place = EntryKind::ALL.iter().position(|kind| *kind == entry.kind());
        if let Some(counter) = place.and_then(|place| self.kinds.get(place)) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        if entry.outcome() == Decided::Refused {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Found {
    fn to_json(&self, with_evidence: bool) -> Value {
        let VerifiedLog { size, root, bytes } = self.verified;
        let mut value = json!({
            "origin": self.head.checkpoint().origin,
            "size": size,
            "root": root.to_base64(),
            "entry_bytes": bytes,
            "entries": self.kinds,
            "refused": self.refused,
            "foreign": self.foreign,
        });
        if let (true, Value::Object(members)) = (with_evidence, &mut value) {
            members.insert("evidence".to_owned(), self.evidence.to_json());
        }
        value
    }

    fn rows(&self, with_evidence: bool, table: &mut Table) {
        let kinds = self
            .kinds
            .iter()
            .map(|(kind, count)| format!("{count} {kind}"));
        let kinds: Vec<String> = kinds.collect();
        table.row([
            "entries",
            &format!("{}: {}", self.verified.size, kinds.join(", ")),
        ]);
        if self.foreign > 0 {
            table.row([
                "foreign",
                &format!("{} entries of another kind of log", self.foreign),
            ]);
        }
        table.row(["refusals", &self.refused.to_string()]);
        table.row(["root", &self.verified.root.to_base64()]);
        if with_evidence {
            table.row(["evidence", &self.evidence.words()]);
        }
    }
}

fn show(
    log: &OpenLog,
    arguments: &VerifyArguments,
    epochs: &[Found],
    began: Instant,
    output: &Output,
) -> Outcome<()> {
    let missing = log.relying.trust.missing(&log.head);
    let remembered = log.remembered.as_ref().map(|place| place.path().to_owned());
    let incomplete = epochs.iter().any(|found| found.evidence.lacking > 0);
    let millis = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let value = json!({
        "verdict": if incomplete { "refused" } else { "accepted" },
        "origin": log.head.checkpoint().origin,
        "size": log.head.checkpoint().size,
        "root": log.head.checkpoint().root.to_base64(),
        "cosigned_by": log.head.cosignatures().iter().map(|(name, _)| name).collect::<Vec<_>>(),
        "missing_witnesses": missing,
        "continues": arguments.older,
        "epochs": epochs.iter().map(|found| found.to_json(arguments.evidence)).collect::<Vec<_>>(),
        "remembered": remembered,
        "milliseconds": millis,
    });
    output.result(&value, || {
        let verdict = match incomplete {
            false => "ACCEPTED",
            true => "INCOMPLETE",
        };
        let total: u64 = epochs.iter().map(|found| found.verified.size).sum();
        let mut text = format!(
            "{verdict}  {}: {total} entries verified in {}\n",
            printable(&log.head.checkpoint().origin),
            duration_text(millis)
        );
        let last = epochs.len().saturating_sub(1);
        for (number, found) in epochs.iter().enumerate() {
            let mut table = Table::indented(2);
            if last > 0 {
                let origin = printable(&found.head.checkpoint().origin).into_owned();
                table.row([&format!("epoch {number}"), &origin]);
            }
            found.rows(arguments.evidence, &mut table);
            if number == last {
                table.row(["cosigned", &printable(&cosigned_words(&log.head))]);
                if !missing.is_empty() {
                    table.row(["not cosigned", &printable(&missing.join(", "))]);
                }
                for file in &arguments.older {
                    table.row(["continues", &printable(&file.display().to_string())]);
                }
            }
            text.push_str(&table.text());
        }
        text
    })
}
