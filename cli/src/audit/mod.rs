//! `narthex audit`: every decision in a log verified again, claim by claim.
//!
//! | File | Job |
//! |---|---|
//! | `check.rs`, `claim.rs` | closed lists: checks, claims, verdicts, what is not shown, what is assumed |
//! | `findings.rs` | how often what was tested, and what does not hold |
//! | `source.rs` | which log, by whose word |
//! | `walk.rs` | through the entries in order, with documents and signatures on all threads |
//! | `lineage.rs` | the policy as it was at each entry |
//! | `judge/` | one entry against its evidence and that policy |
//! | `account.rs` | what only the order shows: states of keys, single use, chains of decisions |
//! | `activity.rs` | counts for charts |
//! | `report.rs` | everything that is reported; `text.rs`, `json.rs`, `html/` show it |

mod account;
mod activity;
mod check;
mod claim;
mod findings;
mod html;
mod json;
mod judge;
mod lineage;
mod report;
mod source;
mod text;
mod walk;

pub(crate) use claim::Assumption;

use std::path::Path;
use std::time::Instant;

use narthex_ledger::tokio::EarlierEpoch;
use narthex_ledger::{
    LogError, LogReader, LogReason, LogStore, MAX_NOTE, SignedNote, Trust, TrustedCheckpoint,
};

use crate::commands::audit::Arguments;
use crate::exit::Exit;
use crate::failure::Outcome;
use crate::files::{Existing, write_file};
use crate::input::read_text;
use crate::judge::anchors;
use crate::log::{OpenLog, Progress, log_failure, trust_of};
use crate::moment::now_unix_millis;
use crate::output::Output;

use check::Check;
use claim::Gap;
use findings::Fault;
use lineage::PolicyState;
use report::{Report, Sources};
use walk::{Tree, Walk};

/// How old the newest view of a quorum may be before the report says that the log may have gone on.
const FRESH_MILLIS: u64 = 24 * 3_600_000;

/// `narthex audit`.
pub(crate) fn run(arguments: &Arguments, output: &Output) -> Outcome<Exit> {
    let began = Instant::now();
    let anchors = anchors(arguments.root.as_deref())?;
    let log = source::open(arguments, output)?;
    let mut walk = Walk::new(&anchors, arguments.genesis.as_deref());
    for assumption in &arguments.assume {
        walk.findings.close(assumption.closes());
    }
    let reader = log.reader()?;
    for file in &arguments.older {
        let outcome = continues(&log, &reader, file)?;
        walk.findings.put(Check::LogOlder, None, outcome);
    }
    through_all(&log, &mut walk)?;
    walk.finish();
    let head = at_the_end(&log, &mut walk);
    let made = now_unix_millis()?;
    if is_older(&log, &head, made)? {
        walk.findings.gap(Gap::OlderCopy);
    }
    let sources = Sources {
        log: &log,
        head: &head,
        anchors: &anchors,
    };
    let report = Report::new(arguments, &sources, &walk, began.elapsed(), made);
    if let Some(path) = &arguments.html {
        write_file(path, html::page(&report).as_bytes(), Existing::Replace)?;
    }
    output.result(&json::value(&report), || {
        text::text(&report, output.symbols())
    })?;
    if let Some(path) = &arguments.html {
        output.say(format_args!("narthex: the report is in {}", path.display()));
    }
    match report.findings.exceptions() {
        0 => Ok(Exit::Done),
        _ => Ok(Exit::Refused),
    }
}

/// Whether the log may have gone on since: by the witnesses' times, or by what this machine remembers.
fn is_older(log: &OpenLog, head: &TrustedCheckpoint, now: u64) -> Outcome<bool> {
    let fresh = head
        .fresh_at()
        .is_some_and(|seconds| now.saturating_sub(seconds.saturating_mul(1000)) <= FRESH_MILLIS);
    let known = match &log.remembered {
        Some(remembered) => remembered.load(&log.relying.trust)?,
        None => None,
    };
    let size = head.checkpoint().size;
    let more = known.is_some_and(|(_, known)| known.checkpoint().size > size);
    Ok(more || !fresh)
}

/// All epochs, the oldest first.
fn through_all(log: &OpenLog, walk: &mut Walk<'_>) -> Outcome<()> {
    let mut progress = Progress::new();
    let mut before: Option<&EarlierEpoch> = None;
    let mut number = 0;
    for epoch in &log.relying.earlier {
        let (store, head) = log.epoch(number)?;
        let tree = Tree {
            number,
            store: &store,
            size: epoch.size,
            before,
            head,
        };
        let more = tree.head.checkpoint().size.saturating_sub(epoch.size);
        walk.findings.gaps(Gap::LostEntries, more);
        let name = format!("{}, epoch {number}", log.name);
        walk.through(&tree, &mut progress)
            .map_err(|error| log_failure(&name, &error))?;
        before = Some(epoch);
        number += 1;
    }
    let tree = Tree {
        number,
        store: &*log.store,
        size: log.head.checkpoint().size,
        before,
        head: log.head.clone(),
    };
    let outcome = walk.through(&tree, &mut progress);
    progress.clear();
    outcome.map_err(|error| log.failure(&error))
}

/// What the newest bundle says about the log, and the reader's own directory about the policy. Gives back the
/// checkpoint with the cosignatures of the witnesses that this bundle names.
fn at_the_end(log: &OpenLog, walk: &mut Walk<'_>) -> TrustedCheckpoint {
    let mut head = log.head.clone();
    let Some(state) = walk.state.clone() else {
        return head;
    };
    if let Some(ledger) = &state.policy.bundle().ledger {
        match trust_of(ledger) {
            Err(failure) => {
                let fault = Fault::new("log.policy", failure);
                walk.findings.fail(Check::LogQuorum, None, fault);
            }
            Ok(trust) => {
                let note = log.head.note();
                let outcome = trust.check(note);
                // Without a quorum, those that did cosign are still worth showing.
                if let Ok(found) = outcome.clone().or_else(|_| trust.check_log_only(note)) {
                    head = found;
                }
                let outcome = outcome.map(drop).map_err(|error| Fault::from(&error));
                walk.findings.put(Check::LogQuorum, None, outcome);
            }
        }
    }
    walk.not_in_the_future(&head);
    compare_directory(log, &state, walk);
    head
}

/// The bundles of the reader's policy directory must be those of the log.
fn compare_directory(log: &OpenLog, state: &PolicyState, walk: &mut Walk<'_>) {
    let Some(held) = &log.relying.held else {
        return;
    };
    for bundle in &held.lineage {
        let known = state
            .bundles
            .iter()
            .any(|known| known.digest == bundle.digest);
        let outcome = match known {
            true => Ok(()),
            false => Err(Fault::new(
                "bundle.not_in_log",
                format_args!(
                    "bundle {} of your directory ({}) is not in the log",
                    bundle.version, bundle.digest
                ),
            )),
        };
        walk.findings.put(Check::PolicyDirectory, None, outcome);
    }
}

/// Whether the log continues a checkpoint that somebody kept, of this epoch or an earlier one.
fn continues(
    log: &OpenLog,
    reader: &LogReader<'_, dyn LogStore>,
    file: &Path,
) -> Outcome<Result<(), Fault>> {
    let text = read_text(file, MAX_NOTE)?;
    let fault = |error: &LogError| {
        Fault::new(
            error.id(),
            format_args!("{}: {}", file.display(), error.detail()),
        )
    };
    let note = match SignedNote::parse(&text) {
        Ok(note) => note,
        Err(error) => return Ok(Err(fault(&error))),
    };
    for (number, epoch) in (0..).zip(&log.relying.earlier) {
        let kept = Trust::new(epoch.log.clone(), Vec::new(), 0)
            .and_then(|trust| trust.check_log_only(&note));
        let Ok(kept) = kept else { continue };
        let (store, head) = log.epoch(number)?;
        let outcome = LogReader::at(&store, head).and_then(|reader| {
            reader.check_extends(&kept)?;
            match kept.checkpoint().size > epoch.size {
                false => Ok(()),
                true => Err(LogError::new(
                    LogReason::Behind,
                    format!(
                        "the log had {} entries, and went on in a new epoch without the last {}",
                        kept.checkpoint().size,
                        kept.checkpoint().size.saturating_sub(epoch.size)
                    ),
                )),
            }
        });
        return Ok(outcome.map_err(|error| fault(&error)));
    }
    let outcome = log
        .relying
        .trust
        .check_log_only(&note)
        .and_then(|kept| reader.check_extends(&kept));
    Ok(outcome.map_err(|error| fault(&error)))
}
