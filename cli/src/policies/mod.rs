//! `narthex policy`: what it does.

mod describe;
mod init;
mod ledger;
mod next;
mod sign;
mod submit;
mod verify;

pub(crate) use sign::{schema, sign_bundle, sign_statement};
pub(crate) use submit::submit;

use crate::commands::policy::{Arguments, Command};
use crate::exit::Exit;
use crate::failure::Outcome;
use crate::output::Output;

/// `narthex policy`.
pub(crate) fn run(arguments: &Arguments, output: &Output) -> Outcome<Exit> {
    match &arguments.command {
        Command::Init(arguments) => init::init(arguments, output),
        Command::Next(arguments) => next::next(arguments, output),
        Command::Lint(arguments) => describe::lint(arguments, output),
        Command::Sign(arguments) => sign_bundle(&arguments.sign, output),
        Command::Verify(arguments) => verify::verify(arguments, output),
        Command::Diff(arguments) => describe::diff(arguments, output),
        Command::Submit(arguments) => submit(&arguments.submit, output),
    }
}
