//! `narthex log export` and `mirror`: verified copies in a folder.

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use narthex_ledger::tokio::{Mirror, MirrorReport};
use narthex_ledger::{Folder, LogError, LogReason, LogStore, Resource};
use serde_json::{Value, json};

use super::background::{Pauses, until_stopped};
use super::failures::log_failure;
use super::open::store;
use super::progress::Progress;
use super::remembered::Remembered;
use super::trust::Relying;
use crate::commands::log::LogArguments;
use crate::commands::log::copies::{ExportArguments, MirrorArguments};
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::output::{Form, Output};

/// `narthex log export`.
pub(super) fn export(arguments: &ExportArguments, output: &Output) -> Outcome<Exit> {
    if holds_log(&arguments.directory) {
        return Err(Failure::environment(
            "file.exists",
            format!("{} holds a log already", arguments.directory.display()),
        )
        .next(
            "nothing was changed; choose another folder, or bring this one up to date with `narthex \
             log mirror --once`",
        ));
    }
    let options = Options {
        evidence: !arguments.without_evidence,
        accept_missing: arguments.accept_missing_evidence,
    };
    let copying = Copying::open(&arguments.source, &arguments.directory, options, output)?;
    let Some((copying, report)) = until_stopped(move || {
        let report = copying.run().map_err(|error| copying.failure(&error))?;
        Ok((copying, report))
    })?
    else {
        return Err(Failure::environment("interrupted", "interrupted")
            .next("the same command goes on where it ended"));
    };
    copying.show(&report, output)?;
    Ok(Exit::Done)
}

/// `narthex log mirror`.
pub(super) fn mirror(arguments: &MirrorArguments, output: &Output) -> Outcome<Exit> {
    let options = Options {
        evidence: true,
        accept_missing: arguments.accept_missing_evidence,
    };
    let copying = Copying::open(&arguments.source, &arguments.directory, options, output)?;
    let (once, interval, output) = (arguments.once, arguments.interval, *output);
    until_stopped(move || match once {
        true => {
            let report = copying.run().map_err(|error| copying.failure(&error))?;
            copying.show(&report, &output)
        }
        false => copying.keep_up(interval, &output),
    })?;
    Ok(Exit::Done)
}

/// What is copied beside the entries.
#[derive(Clone, Copy)]
struct Options {
    evidence: bool,
    accept_missing: bool,
}

/// From where to where.
struct Copying {
    name: String,
    source: std::sync::Arc<dyn LogStore>,
    folder: Folder,
    relying: Relying,
    options: Options,
}

impl Copying {
    fn open(
        arguments: &LogArguments,
        directory: &Path,
        options: Options,
        output: &Output,
    ) -> Outcome<Self> {
        let relying = Relying::resolve(&arguments.trust, output)?;
        let source = store(&arguments.log, &arguments.access)?;
        let folder = Folder::create(directory)
            .map_err(|error| Failure::environment("file.failed", error.to_string()))?;
        Ok(Self {
            name: arguments.log.to_string(),
            source,
            folder,
            relying,
            options,
        })
    }

    /// Brings the copy up to date once.
    fn run(&self) -> Result<MirrorReport, LogError> {
        let progress = Mutex::new(Progress::new());
        let shown = |at: narthex_ledger::tokio::MirrorProgress| {
            // Whoever finds it in use goes on.
            if let Ok(mut progress) = progress.try_lock() {
                progress.at("copying", at.entries, at.of);
            }
        };
        let mut mirror = Mirror::new(&*self.source, &self.folder, &self.relying.trust)
            .with_earlier_epochs(self.relying.earlier.clone())
            .with_progress(shown);
        if !self.options.evidence || self.relying.held.is_none() {
            mirror = mirror.without_evidence();
        }
        if self.options.accept_missing {
            mirror = mirror.accepting_missing_evidence();
        }
        let report = mirror.run();
        drop(mirror);
        progress
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
        self.remember();
        report
    }

    /// Again and again, until the log proves to be dishonest.
    fn keep_up(&self, interval: Duration, output: &Output) -> Outcome<()> {
        let mut pauses = Pauses::new(interval);
        let mut unreachable = false;
        loop {
            let went_well = match self.run() {
                Ok(report) => {
                    if std::mem::take(&mut unreachable) {
                        output.say(format_args!("narthex: {} answers again", self.name));
                    }
                    if report.to > report.from || report.evidence > 0 {
                        output.say(format_args!("narthex: {}", words(&report)));
                    }
                    self.warn(&report, output);
                    true
                }
                Err(error) if error.reason() == LogReason::Unavailable => {
                    if !std::mem::replace(&mut unreachable, true) {
                        output.say(format_args!("narthex: {}; trying again", error.detail()));
                    }
                    false
                }
                Err(error) => return Err(self.failure(&error)),
            };
            pauses.pause(went_well, None);
        }
    }

    /// What the copy has now is what this machine has seen of the log.
    fn remember(&self) {
        let remembered = Remembered::of(self.relying.trust.log());
        let note = narthex_ledger::LogReader::newest(&self.folder);
        if let (Ok(remembered), Ok(note)) = (remembered, note)
            && let Ok(head) = self.relying.trust.check(&note)
        {
            let size = head.checkpoint().size;
            let _the_copy_itself_remembers = remembered.save(&note, size, &self.relying.trust);
        }
    }

    fn failure(&self, error: &LogError) -> Failure {
        let failure = log_failure(&self.name, error);
        match error.reason() {
            LogReason::Behind | LogReason::Forked | LogReason::Consistency => failure.next(format!(
                "the copy in {} stays as it was, and the checkpoint that contradicts it is kept beside \
                 it: together they prove that the log was rewritten. Tell the witnesses and the reviewers",
                self.folder.path().display()
            )),
            LogReason::Evidence => failure.next(
                "ask whoever runs the log. --accept-missing-evidence goes on without what is not \
                 there (altered evidence is never taken)",
            ),
            _ => failure,
        }
    }

    fn warn(&self, report: &MirrorReport, output: &Output) {
        if report.lost_by_source > 0 {
            output.say(format_args!(
                "narthex: the log went on without {} entries of an earlier epoch; only this copy has them",
                report.lost_by_source
            ));
        }
        if !report.missing_epochs.is_empty() {
            let numbers: Vec<String> = report.missing_epochs.iter().map(u32::to_string).collect();
            output.say(format_args!(
                "narthex: the source has no epoch {}, and neither has this copy",
                numbers.join(", ")
            ));
        }
        if !report.missing.is_empty() {
            output.say(format_args!(
                "narthex: {} pieces of evidence are missing, and no entry says why",
                report.missing.len()
            ));
        }
    }

    fn show(&self, report: &MirrorReport, output: &Output) -> Outcome<()> {
        let value = json!({
            "directory": self.folder.path(),
            "from": report.from,
            "to": report.to,
            "evidence": report.evidence,
            "purged": report.purged,
            "missing_evidence": report
                .missing
                .iter()
                .map(|missing| json!({ "entry": missing.index, "digest": missing.digest.to_string() }))
                .collect::<Vec<Value>>(),
            "missing_epochs": report.missing_epochs,
            "lost_by_source": report.lost_by_source,
        });
        output.result(&value, || format!("{}\n", self.folder.path().display()))?;
        if output.form() == Form::Text {
            output.say(format_args!("narthex: {}", words(report)));
        }
        self.warn(report, output);
        Ok(())
    }
}

fn words(report: &MirrorReport) -> String {
    format!(
        "{} entries, {} of them new; {} pieces of evidence fetched, {} purged",
        report.to,
        report.to.saturating_sub(report.from),
        report.evidence,
        report.purged
    )
}

fn holds_log(directory: &Path) -> bool {
    Folder::open(directory)
        .and_then(|folder| folder.get(&Resource::Checkpoint))
        .is_ok_and(|found| found.is_some())
}
