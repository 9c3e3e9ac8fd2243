//! `narthex log show` and `search`: one pass over entries, in words.

use std::path::Path;

use narthex_ledger::{
    Entry, EvidenceDigest, LogReader, LogStore, Resource, SaltedEvidence, TrustedCheckpoint,
};
use serde_json::{Value, json};

use super::entries::each_entry;
use super::failures::log_failure;
use super::open::{OpenLog, cosigned_words};
use super::people::People;
use super::search::Wanted;
use super::words::Numbered;
use crate::commands::log::reading::{SearchArguments, ShowArguments};
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::files::{Existing, write_file};
use crate::moment::time_text;
use crate::output::Output;
use crate::printable::printable;
use crate::table::Table;

/// More than this in one answer is a job for `narthex log export`.
const MAX_SHOWN: u64 = 100_000;

/// `narthex log show`.
pub(super) fn show(arguments: &ShowArguments, output: &Output) -> Outcome<Exit> {
    let log = OpenLog::open(&arguments.source, output)?;
    let chosen = Chosen::of(&log, arguments.epoch)?;
    if arguments.entries.is_empty() && arguments.last.is_none() {
        return show_checkpoint(&log, &chosen.head, output);
    }
    let size = chosen.head.checkpoint().size;
    let mut ranges = Vec::new();
    for range in &arguments.entries {
        ranges.push(range.within(size).ok_or_else(|| {
            Failure::misuse(
                "log.no_such_entry",
                format!("there is no entry {range}: the log has {size}, counted from 0"),
            )
        })?);
    }
    if let Some(count) = arguments.last {
        ranges.push(size.saturating_sub(count)..size);
    }
    let count: u64 = ranges
        .iter()
        .map(|range| range.end.saturating_sub(range.start))
        .sum();
    if count > MAX_SHOWN {
        return Err(Failure::misuse(
            "log.too_many",
            format!("{count} entries at once; {MAX_SHOWN} are the most"),
        )
        .next(
            "`narthex log export` copies all of them, `narthex log search` finds those you mean",
        ));
    }
    let reader = chosen.reader()?;
    let people = &log.relying.people;
    let mut values = Vec::new();
    let mut text = String::new();
    for range in ranges {
        let read = each_entry(&reader, range, |numbered, entry| {
            let mut value = numbered.to_json(people);
            text.push_str(&numbered.block(people));
            if let Some(folder) = &arguments.evidence {
                let found =
                    write_evidence(&*chosen.store, &chosen.name, entry, numbered.index, folder)?;
                for piece in &found {
                    text.push_str(&format!("  {}\n", printable(&piece.words())));
                }
                if let Value::Object(members) = &mut value {
                    let pieces = found.iter().map(Piece::to_json).collect();
                    members.insert("evidence".to_owned(), Value::Array(pieces));
                }
            }
            text.push('\n');
            values.push(value);
            Ok(())
        });
        read.map_err(|ended| ended.failure(&chosen.name))?;
    }
    output.result(&Value::Array(values), || text)?;
    Ok(Exit::Done)
}

/// `narthex log search`.
pub(super) fn search(arguments: &SearchArguments, output: &Output) -> Outcome<Exit> {
    let log = OpenLog::open(&arguments.source, output)?;
    let people = &log.relying.people;
    let wanted = Wanted::new(&arguments.conditions, people)?;
    let chosen = Chosen::of(&log, arguments.epoch)?;
    let reader = chosen.reader()?;
    let size = reader.size();
    let mut progress = super::progress::Progress::new();
    let mut found: std::collections::VecDeque<Numbered> = std::collections::VecDeque::new();
    let read = each_entry(&reader, 0..size, |numbered, _| {
        progress.at("searching", numbered.index, size);
        if wanted.means(&numbered) {
            found.push_back(numbered);
        }
        // The newest are wanted, so the oldest go first.
        if arguments.limit.is_some_and(|limit| found.len() > limit) {
            found.pop_front();
        }
        Ok(())
    });
    progress.clear();
    read.map_err(|ended| ended.failure(&chosen.name))?;
    let values = found
        .iter()
        .map(|numbered| numbered.to_json(people))
        .collect();
    output.result(&Value::Array(values), || {
        let mut table = Table::indented(0);
        found
            .iter()
            .for_each(|numbered| numbered.line(people, &mut table));
        table.text()
    })?;
    output.say(format_args!("{} of {size} entries", found.len()));
    Ok(Exit::Done)
}

/// The present log, or an earlier epoch of it.
struct Chosen {
    name: String,
    store: std::sync::Arc<dyn LogStore>,
    head: TrustedCheckpoint,
}

impl Chosen {
    fn of(log: &OpenLog, epoch: Option<u32>) -> Outcome<Self> {
        match epoch {
            None => Ok(Self {
                name: log.name.clone(),
                store: std::sync::Arc::clone(&log.store),
                head: log.head.clone(),
            }),
            Some(number) => {
                let (store, head) = log.epoch(number)?;
                Ok(Self {
                    name: format!("{}, epoch {number}", log.name),
                    store: std::sync::Arc::new(store),
                    head,
                })
            }
        }
    }

    fn reader(&self) -> Outcome<LogReader<'_, dyn LogStore>> {
        LogReader::at(&*self.store, self.head.clone())
            .map_err(|error| log_failure(&self.name, &error))
    }
}

/// An entry's piece of evidence.
struct Piece {
    digest: EvidenceDigest,
    /// Its kind and the files of its parts; `None` if it is not there.
    parts: Option<(String, Vec<std::path::PathBuf>)>,
}

impl Piece {
    fn words(&self) -> String {
        match &self.parts {
            None => format!(
                "evidence {} is not there: purged, or not copied",
                self.digest
            ),
            Some((kind, files)) => {
                let files: Vec<String> = files
                    .iter()
                    .map(|file| file.display().to_string())
                    .collect();
                format!("evidence ({kind}): {}", files.join(", "))
            }
        }
    }

    fn to_json(&self) -> Value {
        json!({
            "digest": self.digest.to_string(),
            "kind": self.parts.as_ref().map(|(kind, _)| kind),
            "files": self.parts.as_ref().map(|(_, files)| files),
        })
    }
}

/// Fetches what an entry was decided on, compares it with the digest in the entry, and writes each
/// part to a file of its own.
fn write_evidence(
    store: &dyn LogStore,
    name: &str,
    entry: &Entry,
    index: u64,
    folder: &Path,
) -> Outcome<Vec<Piece>> {
    std::fs::create_dir_all(folder).map_err(|error| Failure::file("create", folder, &error))?;
    let mut pieces = Vec::new();
    for (digest, number) in entry.evidence().into_iter().zip(0_usize..) {
        let fetched = store
            .get(&Resource::Evidence(digest))
            .map_err(|error| log_failure(name, &error.into()))?;
        let Some(bytes) = fetched else {
            pieces.push(Piece {
                digest,
                parts: None,
            });
            continue;
        };
        let evidence = SaltedEvidence::open(&digest, &bytes)
            .map_err(|error| log_failure(&format!("{name}, entry {index}"), &error))?
            .evidence;
        let mut files = Vec::new();
        for (part, place) in evidence.parts().iter().zip(0_usize..) {
            let path = folder.join(format!(
                "{index}-{number}-{}",
                part_name(evidence.kind().as_str(), place)
            ));
            write_file(&path, part, Existing::Replace)?;
            files.push(path);
        }
        pieces.push(Piece {
            digest,
            parts: Some((evidence.kind().as_str().to_owned(), files)),
        });
    }
    Ok(pieces)
}

/// What the parts of evidence are, by their place.
fn part_name(kind: &str, place: usize) -> String {
    match (kind, place) {
        ("policy-file", 0) => "file.toml".to_owned(),
        ("policy-file", n) => format!("signature-{n}.sig"),
        ("order" | "administration", 0) => "order.toml".to_owned(),
        ("order" | "administration", 1) => "requester.sig".to_owned(),
        ("order" | "administration", n) => format!("approval-{}.sig", n.saturating_sub(1)),
        (_, 0) => "session.bin".to_owned(),
        (_, 1) => "document.bin".to_owned(),
        ("key-request", _) => "request.bin".to_owned(),
        (_, _) => "statement.bin".to_owned(),
    }
}

/// The checkpoint, and who vouches for it.
fn show_checkpoint(log: &OpenLog, head: &TrustedCheckpoint, output: &Output) -> Outcome<Exit> {
    let at = head.checkpoint();
    let missing = log.relying.trust.missing(head);
    let value = json!({
        "origin": at.origin,
        "size": at.size,
        "root": at.root.to_base64(),
        "cosignatures": head
            .cosignatures()
            .iter()
            .map(|(name, seconds)| json!({
                "witness": name,
                "time": time_text(seconds.saturating_mul(1000)),
            }))
            .collect::<Vec<_>>(),
        "missing_witnesses": missing,
        "fresh_at": head.fresh_at().map(|seconds| time_text(seconds.saturating_mul(1000))),
        "earlier_epochs": log.relying.earlier.len(),
        "checkpoint": head.note().to_string(),
    });
    output.result(&value, || {
        let mut table = Table::indented(0);
        table.row(["log", &printable(&at.origin)]);
        table.row(["entries", &at.size.to_string()]);
        table.row(["root", &at.root.to_base64()]);
        table.row(["cosigned", &printable(&cosigned_words(head))]);
        if !missing.is_empty() {
            table.row(["not cosigned", &printable(&missing.join(", "))]);
        }
        if !log.relying.earlier.is_empty() {
            table.row(["earlier epochs", &log.relying.earlier.len().to_string()]);
        }
        table.text()
    })?;
    Ok(Exit::Done)
}

/// One entry on a line of its own.
pub(super) fn line(numbered: &Numbered, people: &People) -> String {
    let mut table = Table::indented(0);
    numbered.line(people, &mut table);
    table.text()
}
