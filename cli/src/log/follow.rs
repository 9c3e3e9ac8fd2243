//! `narthex log follow`: new entries as they come, and the log's honesty at every step.

use std::time::{Duration, Instant};

use narthex_ledger::{LogReader, LogReason, LogStore, TrustedCheckpoint};

use super::entries::{Ended, each_entry};
use super::open::OpenLog;
use super::show::line;
use super::words::Numbered;
use crate::commands::log::reading::FollowArguments;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::output::{Form, Output};
use crate::printable::printable_json;
use crate::stop::Stop;
use crate::transport::runtime;

/// The longest pause while a log cannot be reached.
const MAX_PAUSE: Duration = Duration::from_secs(60);

/// `narthex log follow`: until it is told to stop, or the log proves to be dishonest.
pub(super) fn follow(arguments: &FollowArguments, output: &Output) -> Outcome<Exit> {
    let log = OpenLog::open(&arguments.source, output)?;
    let runtime = runtime()?;
    let mut stop = {
        let _inside = runtime.enter();
        Stop::listening()?
    };
    let mut following = Following {
        next: arguments.since.unwrap_or(log.head.checkpoint().size),
        seen: log.head.clone(),
        log: &log,
        output,
        unreachable: false,
    };
    if following.next > following.seen.checkpoint().size {
        return Err(Failure::misuse(
            "log.no_such_entry",
            format!(
                "--since {}: the log has {} entries, counted from 0",
                following.next,
                following.seen.checkpoint().size
            ),
        ));
    }
    output.say(format_args!(
        "narthex: following {} from entry {}",
        following.seen.checkpoint().origin,
        following.next
    ));
    let began = Instant::now();
    let mut pause = arguments.interval;
    // What is there already, before the first pause.
    following.survive(Following::step)?;
    loop {
        let left = arguments
            .duration
            .map(|duration| duration.saturating_sub(began.elapsed()));
        if left.is_some_and(|left| left.is_zero()) {
            return Ok(Exit::Done);
        }
        let nap = left.map_or(pause, |left| left.min(pause));
        let stopped = runtime.block_on(async {
            tokio::select! {
                () = stop.asked() => true,
                () = tokio::time::sleep(nap) => false,
            }
        });
        if stopped {
            return Ok(Exit::Done);
        }
        pause = match following.survive(Following::step)? {
            true => arguments.interval,
            false => pause
                .saturating_mul(2)
                .min(MAX_PAUSE.max(arguments.interval)),
        };
    }
}

struct Following<'a> {
    log: &'a OpenLog,
    output: &'a Output,
    /// The newest checkpoint that was seen to continue the one before.
    seen: TrustedCheckpoint,
    /// The next entry to print.
    next: u64,
    /// Said once, until it answers again.
    unreachable: bool,
}

impl Following<'_> {
    /// Looks once; prints what is new.
    fn step(&mut self) -> Result<(), Ended> {
        let newest = self.log.newest()?;
        let reader = LogReader::at(&*self.log.store, newest.clone())?;
        reader.check_extends(&self.seen)?;
        if newest.checkpoint().size > self.next {
            self.print_all(&reader)?;
        }
        self.remember(&newest);
        self.seen = newest;
        Ok(())
    }

    /// Each entry is printed once, and only after it was compared with the tree.
    fn print_all(&mut self, reader: &LogReader<'_, dyn LogStore>) -> Result<(), Ended> {
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

    /// That it cannot be remembered is said and does not end anything.
    fn remember(&self, head: &TrustedCheckpoint) {
        if let Err(failure) = self.log.remember(head) {
            self.output.say(failure);
        }
    }

    /// Whether a step went well. A source that is away, or of which a part is not there yet, is
    /// asked again; what speaks against the log ends the command.
    fn survive(&mut self, step: impl FnOnce(&mut Self) -> Result<(), Ended>) -> Outcome<bool> {
        let error = match step(self) {
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
            _ => {
                let place = "what this command saw before".to_owned();
                Err(self.log.rewritten(&error, &self.seen, &place))
            }
        }
    }
}
