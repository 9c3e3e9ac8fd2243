//! `narthex completions SHELL`.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::cli::Cli;
use crate::exit::Exit;
use crate::failure::Outcome;
use crate::output::Output;

/// Print a completion script for your shell.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  narthex completions bash > ~/.local/share/bash-completion/completions/narthex
  narthex completions zsh  > ~/.zfunc/_narthex
  narthex completions fish > ~/.config/fish/completions/narthex.fish")]
pub(crate) struct Arguments {
    /// The shell to write for
    #[arg(value_enum, value_name = "SHELL")]
    shell: Shell,
}

/// Prints the script.
pub(crate) fn run(arguments: &Arguments, output: &Output) -> Outcome<Exit> {
    let Arguments { shell } = arguments;
    let mut script = Vec::new();
    clap_complete::generate(*shell, &mut Cli::command(), "narthex", &mut script);
    output.data(&script)?;
    Ok(Exit::Done)
}
