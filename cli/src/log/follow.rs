//! `narthex log follow`: new entries as they come, and the log's honesty at every step.

use std::time::Instant;

use narthex_ledger::{LogReader, LogReason, LogStore, TrustedCheckpoint};

use super::background::{Pauses, until_stopped};
use super::entries::{Ended, each_entry};
use super::open::OpenLog;
use super::show::line;
use super::words::Numbered;
use crate::commands::log::reading::FollowArguments;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::output::{Form, Output};
use crate::printable::printable_json;

/// `narthex log follow`: until it is told to stop, or the log proves to be dishonest.
pub(super) fn follow(arguments: &FollowArguments, output: &Output) -> Outcome<Exit> {
    let log = OpenLog::open(&arguments.source, output)?;
    let size = log.head.checkpoint().size;
    let next = arguments.since.unwrap_or(size);
    if next > size {
        return Err(Failure::misuse(
            "log.no_such_entry",
            format!("--since {next}: the log has {size} entries, counted from 0"),
        ));
    }
    output.say(format_args!(
        "narthex: following {} from entry {next}",
        log.head.checkpoint().origin
    ));
    if let Err(failure) = log.remember(&log.head) {
        output.say(failure);
    }
    let mut following = Following {
        next,
        seen: log.head.clone(),
        log,
        output: *output,
        unreachable: false,
    };
    let (interval, duration) = (arguments.interval, arguments.duration);
    let ended = until_stopped(move || {
        let began = Instant::now();
        let mut pauses = Pauses::new(interval);
        loop {
            let went_well = following.look()?;
            let left = duration.map(|duration| duration.saturating_sub(began.elapsed()));
            if left.is_some_and(|left| left.is_zero()) {
                return Ok(());
            }
            pauses.pause(went_well, left);
        }
    });
    match ended {
        Ok(_) => Ok(Exit::Done),
        // One line, like everything before it.
        Err(failure) if output.form() == Form::Json => {
            output.data(printable_json(&format!("{}\n", failure.to_json())).as_bytes())?;
            Ok(failure.exit())
        }
        Err(failure) => Err(failure),
    }
}

struct Following {
    log: OpenLog,
    output: Output,
    /// The newest checkpoint that was seen to continue the one before.
    seen: TrustedCheckpoint,
    /// The next entry to print.
    next: u64,
    /// Said once, until it answers again.
    unreachable: bool,
}

impl Following {
    /// Looks once; whether the source answered. What speaks against the log is an error.
    fn look(&mut self) -> Outcome<bool> {
        let error = match self.step() {
            Ok(()) => {
                if std::mem::take(&mut self.unreachable) {
                    self.output
                        .say(format_args!("narthex: {} answers again", self.log.name));
                }
                return Ok(true);
            }
            Err(Ended::Command(failure)) => return Err(failure),
            Err(Ended::Log(error)) => error,
        };
        match error.reason() {
            // A copy that is just being written lacks a part for a moment.
            LogReason::Unavailable | LogReason::Missing => {
                if !std::mem::replace(&mut self.unreachable, true) {
                    self.output.say(format_args!(
                        "narthex: {}: {}; trying again",
                        self.log.name,
                        error.detail()
                    ));
                }
                Ok(false)
            }
            _ => Err(self
                .log
                .rewritten(&error, &self.seen, "what this command saw before")),
        }
    }

    /// Prints what is new, if all of it continues what was seen.
    fn step(&mut self) -> Result<(), Ended> {
        let newest = self.log.newest()?;
        {
            // The store outlives the borrow of `self` that printing needs.
            let store = std::sync::Arc::clone(&self.log.store);
            let reader = LogReader::at(&*store, newest.clone())?;
            reader.check_extends(&self.seen)?;
            self.print_all(&reader)?;
        }
        // That it cannot be remembered is said, and does not end anything.
        if newest.checkpoint().size > self.seen.checkpoint().size
            && let Err(failure) = self.log.remember(&newest)
        {
            self.output.say(failure);
        }
        self.seen = newest;
        Ok(())
    }

    /// Each entry is printed once, and only after it was compared with the tree.
    fn print_all(&mut self, reader: &LogReader<'_, dyn LogStore + '_>) -> Result<(), Ended> {
        let (from, to) = (self.next, reader.size());
        each_entry(reader, from..to, |numbered, _| {
            self.print(&numbered)?;
            self.next = numbered.index.saturating_add(1);
            Ok(())
        })
    }

    fn print(&self, numbered: &Numbered) -> Outcome<()> {
        let people = &self.log.relying.people;
        match self.output.form() {
            Form::Json => {
                let json = format!("{}\n", numbered.to_json(people));
                self.output.data(printable_json(&json).as_bytes())
            }
            Form::Text => self.output.data(line(numbered, people).as_bytes()),
        }
    }
}
