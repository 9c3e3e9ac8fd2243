//! `narthex`: everything that a person types.
//!
//! | File | Job |
//! |---|---|
//! | `cli.rs` | what can be typed |
//! | `commands/` | one file per command: its arguments and their help |
//! | `exit.rs`, `failure.rs` | how a command ends, and what it says when it cannot go on |
//! | `output.rs`, `table.rs`, `printable.rs` | standard output and standard error |
//! | `input.rs`, `files.rs`, `state.rs`, `moment.rs` | reading, writing, the state directory, times |
//! | `signing.rs`, `sign_file.rs` | SSH signatures, made here or by `ssh-keygen` |
//! | `policy_directory/` | bundles, releases and stops as files in a directory |
//! | `judge/` | `verify` and `inspect` |
//! | `policies/`, `releases/`, `orders/` | what people write, sign and check |
//! | `images/` | `image` and `measure`: enclave images from recipe to signed file |
//! | `transport.rs`, `session/`, `administration/` | talking to agents and to the key service |
//! | `submissions.rs`, `statements.rs`, `receipt.rs` | handing things in to the log, and the proofs that come back |
//! | `log/` | `log`: reading, searching, verifying, copying, serving and witnessing logs |
//! | `audit/` | `audit`: every decision in a log verified again, claim by claim |
//! | `mock/`, `relay/`, `stop.rs` | `mock-nsm` and `relay`, which run until they are told to stop |
//!
//! Arguments are recorded as typed, then resolved into objects (files read, policy verified), then
//! run. Parsing has no side effects.

mod administration;
mod audit;
mod cli;
mod commands;
mod exit;
mod failure;
mod files;
mod images;
mod input;
mod judge;
mod log;
mod mock;
mod moment;
mod orders;
mod output;
mod policies;
mod policy_directory;
mod printable;
mod receipt;
mod relay;
mod releases;
mod session;
mod sign_file;
mod signing;
mod state;
mod statements;
mod stop;
mod submissions;
mod table;
mod transport;

use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

use cli::{Cli, Command};
use exit::Exit;
use failure::{Failure, Outcome};
use output::{Form, Output};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return misuse(&error).into(),
    };
    let output = Output::new(match cli.json {
        true => Form::Json,
        false => Form::Text,
    });
    match run(&cli.command, &output) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            output.failure(&failure);
            failure.exit().into()
        }
    }
}

fn run(command: &Command, output: &Output) -> Outcome<Exit> {
    match command {
        Command::Verify(arguments) => commands::verify::run(arguments, output),
        Command::Inspect(arguments) => commands::inspect::run(arguments, output),
        Command::Policy(arguments) => commands::policy::run(arguments, output),
        Command::Release(arguments) => commands::release::run(arguments, output),
        Command::Image(arguments) => commands::image::run(arguments, output),
        Command::Measure(arguments) => commands::measure::run(arguments, output),
        Command::Order(arguments) => commands::order::run(arguments, output),
        Command::Diag(arguments) => commands::diag::run(arguments, output),
        Command::Keys(arguments) => commands::keys::run(arguments, output),
        Command::Log(arguments) => commands::log::run(arguments, output),
        Command::Audit(arguments) => commands::audit::run(arguments, output),
        Command::MockNsm(arguments) => commands::mock_nsm::run(arguments, output),
        Command::Relay(arguments) => commands::relay::run(arguments, output),
        Command::Completions(arguments) => commands::completions::run(arguments, output),
        Command::Man(arguments) => commands::man::run(arguments, output),
    }
}

/// Help and version are answers; everything else that `clap` reports is misuse. With `--json`
/// anywhere among the arguments the error is an object too, though parsing did not get that far.
fn misuse(error: &clap::Error) -> Exit {
    if matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    ) {
        let _reader_gone = error.print();
        return Exit::Done;
    }
    let json = std::env::args_os().any(|argument| argument == "--json");
    if json {
        let text = error.render().to_string();
        let text = text.trim().strip_prefix("error: ").unwrap_or(text.trim());
        let failure = Failure::misuse("misuse.arguments", text)
            .next("`narthex --help`, or `--help` after a command, shows what can be typed");
        Output::new(Form::Json).failure(&failure);
    } else {
        let _reader_gone = error.print();
    }
    Exit::Misuse
}
