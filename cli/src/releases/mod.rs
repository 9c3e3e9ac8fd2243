//! `narthex release`: what it does.

mod compose;
mod given;
mod sign;
mod verify;

use crate::commands::release::{Arguments, Command};
use crate::exit::Exit;
use crate::failure::Outcome;
use crate::output::Output;

/// `narthex release`.
pub(crate) fn run(arguments: &Arguments, output: &Output) -> Outcome<Exit> {
    match &arguments.command {
        Command::New(arguments) => compose::new(arguments, output),
        Command::Sign(arguments) => sign::sign(arguments, output),
        Command::Verify(arguments) => verify::verify(arguments, output),
        Command::Submit(arguments) => crate::policies::submit(&arguments.submit, output),
        Command::Revoke(arguments) => compose::revoke(arguments, output),
        Command::Stop(arguments) => compose::stop(arguments, output),
    }
}
