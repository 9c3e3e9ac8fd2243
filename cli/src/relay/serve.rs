//! The relay's outer layer: sockets, signals, and a place for each connection.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use narthex_channel::tokio::{Listener, Stream, connect};
use tokio::task::{JoinSet, LocalSet};

use super::counts::{Counts, End};
use super::pump::{Moved, pump};
use crate::commands::relay::Arguments;
use crate::exit::Exit;
use crate::failure::Outcome;
use crate::output::{Form, Output};
use crate::stop::Stop;
use crate::transport::{failure, runtime};

/// After a failed accept: out of file descriptors, most often, and trying at once would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What all connections share. They run on one thread, so cells suffice.
struct Relay {
    arguments: Arguments,
    output: Output,
    counts: RefCell<Counts>,
    /// A failed connect is said once, until one succeeds: a flood must not fill the log.
    said_unreachable: Cell<bool>,
}

/// Relays until it is told to stop.
pub(crate) fn serve(arguments: &Arguments, output: &Output) -> Outcome<Exit> {
    let relay = Rc::new(Relay {
        arguments: arguments.clone(),
        output: *output,
        counts: RefCell::default(),
        said_unreachable: Cell::new(false),
    });
    LocalSet::new().block_on(&runtime()?, Rc::clone(&relay).run())?;
    let counts = *relay.counts.borrow();
    output.say(format_args!("narthex: relay ended: {}", counts.text()));
    match output.form() {
        Form::Json => output.result(&counts.to_json(), String::new)?,
        Form::Text => {}
    }
    Ok(Exit::Done)
}

impl Relay {
    async fn run(self: Rc<Self>) -> Outcome<()> {
        let Arguments {
            listen,
            connect,
            max_connections,
            drain,
            ..
        } = &self.arguments;
        let mut stop = Stop::listening()?;
        let listener = Listener::bind(listen)
            .await
            .map_err(|error| failure(listen, error))?;
        let address = listener.local_address().unwrap_or_else(|_| listen.clone());
        self.output
            .say(format_args!("narthex: relay from {address} to {connect}"));

        let mut pairs = JoinSet::new();
        loop {
            let has_room = pairs.len() < usize::from(*max_connections);
            tokio::select! {
                () = stop.asked() => break,
                // While all places are taken, new connections wait in the system's queue.
                accepted = listener.accept(), if has_room => match accepted {
                    Ok((near, _)) => drop(pairs.spawn_local(Rc::clone(&self).one(near))),
                    Err(_) => {
                        self.counts.borrow_mut().accept_failures += 1;
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
                _ = pairs.join_next(), if !pairs.is_empty() => {}
            }
        }
        // Nobody may begin any more; who has begun may end.
        drop(listener);
        tokio::select! {
            () = async { while pairs.join_next().await.is_some() {} } => {}
            () = tokio::time::sleep(*drain) => {}
            () = stop.asked() => {}
        }
        pairs.shutdown().await;
        Ok(())
    }

    /// One connection, from accept to end. Nothing that happens to it concerns another.
    async fn one(self: Rc<Self>, near: Stream) {
        let counting = Counting::begin(&self.counts);
        let Arguments {
            connect: address,
            connect_timeout,
            idle_timeout,
            ..
        } = &self.arguments;
        let far = match connect(address, *connect_timeout).await {
            Ok(far) => far,
            Err(error) => {
                counting.end.set(End::Unreachable);
                if !self.said_unreachable.replace(true) {
                    self.output.say(failure(address, error));
                }
                return;
            }
        };
        if self.said_unreachable.replace(false) {
            self.output
                .say(format_args!("narthex: {address} answers again"));
        }
        let ending = pump(near, far, *idle_timeout, &counting.moved).await;
        counting.end.set(End::Pair(ending));
    }
}

/// Adds a connection to the totals when it ends, also when it is cut off in the middle.
struct Counting<'a> {
    counts: &'a RefCell<Counts>,
    moved: Moved,
    end: Cell<End>,
}

impl<'a> Counting<'a> {
    fn begin(counts: &'a RefCell<Counts>) -> Self {
        counts.borrow_mut().accepted += 1;
        Self {
            counts,
            moved: Moved::default(),
            end: Cell::new(End::Cut),
        }
    }
}

impl Drop for Counting<'_> {
    fn drop(&mut self) {
        self.counts.borrow_mut().add(self.end.get(), &self.moved);
    }
}
