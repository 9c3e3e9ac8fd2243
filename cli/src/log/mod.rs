//! `narthex log`: what it does.
//!
//! | File | Job |
//! |---|---|
//! | `address.rs` | what people type for a log, a place to listen, and entries |
//! | `trust.rs`, `people.rs` | whose signatures count; names for ids |
//! | `open.rs`, `remembered.rs` | the newest checkpoint, and whether it continues what was seen before |
//! | `entries.rs`, `words.rs`, `search.rs` | passes over entries; entries in words; which are meant |
//! | `show.rs`, `follow.rs`, `verify.rs`, `prove.rs` | reading commands |
//! | `copies.rs`, `serve.rs`, `witness.rs` | copies of logs, and servers |
//! | `ticket.rs`, `witness_key.rs`, `hand_in.rs` | tickets, keys, kept statements |
//! | `evidence.rs` | evidence beside the log: there as recorded, purged, or missing |
//! | `background.rs` | work until it ends or is told to stop |
//! | `failures.rs`, `progress.rs` | what went wrong and what to do; how far it has come |

mod address;
mod background;
mod copies;
mod entries;
mod evidence;
mod failures;
mod follow;
mod hand_in;
mod open;
mod people;
mod progress;
mod prove;
mod remembered;
mod search;
mod serve;
mod show;
mod ticket;
mod trust;
mod verify;
mod witness;
mod witness_key;
mod words;

pub(crate) use address::{ListenAddress, LogAddress, Range};
pub(crate) use failures::log_failure;
pub(crate) use open::{OpenLog, store as open_store};
pub(crate) use people::People;
pub(crate) use progress::Progress;
pub(crate) use trust::{Relying, ledger_of, trust_of};
pub(crate) use witness_key::verifier_keys;
pub(crate) use words::Numbered;

use crate::commands::log::Command;
use crate::exit::Exit;
use crate::failure::Outcome;
use crate::output::Output;

/// `narthex log`.
pub(crate) fn run(command: &Command, output: &Output) -> Outcome<Exit> {
    match command {
        Command::Show(arguments) => show::show(arguments, output),
        Command::Search(arguments) => show::search(arguments, output),
        Command::Follow(arguments) => follow::follow(arguments, output),
        Command::Verify(arguments) => verify::verify(arguments, output),
        Command::Prove(arguments) => prove::prove(arguments, output),
        Command::VerifyProof(arguments) => prove::verify_proof(arguments, output),
        Command::SubmitStatement(arguments) => hand_in::submit_statement(arguments, output),
        Command::Serve(arguments) => serve::serve(arguments, output),
        Command::Ticket(arguments) => ticket::ticket(arguments, output),
        Command::Witness(arguments) => witness::witness(arguments, output),
        Command::WitnessKey(arguments) => witness_key::witness_key(arguments, output),
        Command::Export(arguments) => copies::export(arguments, output),
        Command::Mirror(arguments) => copies::mirror(arguments, output),
    }
}
