//! `narthex man`.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, Command, CommandFactory};

use crate::cli::Cli;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::output::Output;

/// Print the manual page of a command, or write all pages into a directory.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  narthex man verify | man -l -
  narthex man --out /usr/local/share/man/man1")]
pub(crate) struct Arguments {
    /// The command, for example `verify` or `policy sign`; without it the page of `narthex` itself
    #[arg(value_name = "COMMAND")]
    command: Vec<String>,

    /// Write one page for each command into this directory instead
    #[arg(long, value_name = "DIR", conflicts_with = "command")]
    out: Option<PathBuf>,
}

/// Prints or writes pages.
pub(crate) fn run(arguments: &Arguments, output: &Output) -> Outcome<Exit> {
    let Arguments { command, out } = arguments;
    let mut root = Cli::command();
    root.build();
    match out {
        Some(directory) => {
            fs::create_dir_all(directory)
                .map_err(|error| Failure::file("create", directory, &error))?;
            let count = write_pages(&root, directory)?;
            output.say(format_args!(
                "wrote {count} pages into {}",
                directory.display()
            ));
        }
        None => output.data(&page(find(&root, command)?)?)?,
    }
    Ok(Exit::Done)
}

fn find<'tree>(root: &'tree Command, path: &[String]) -> Outcome<&'tree Command> {
    path.iter().try_fold(root, |command, name| {
        command.find_subcommand(name).ok_or_else(|| {
            Failure::misuse(
                "man.no_such_command",
                format!("there is no command `{}`", path.join(" ")),
            )
            .next("`narthex --help` lists the commands")
        })
    })
}

/// Writes `command` and what is below it; returns how many pages that were.
fn write_pages(command: &Command, directory: &Path) -> Outcome<usize> {
    let path = directory.join(format!("{}.1", full_name(command)));
    fs::write(&path, page(command)?).map_err(|error| Failure::file("write", &path, &error))?;
    command
        .get_subcommands()
        .filter(|below| below.get_name() != "help")
        .try_fold(1, |count, below| Ok(count + write_pages(below, directory)?))
}

fn page(command: &Command) -> Outcome<Vec<u8>> {
    let named = command
        .clone()
        .name(full_name(command))
        .disable_help_subcommand(true);
    let mut page = Vec::new();
    clap_mangen::Man::new(named)
        .render(&mut page)
        .map_err(|error| {
            Failure::environment("man.failed", format!("cannot make the page: {error}"))
        })?;
    Ok(page)
}

/// `narthex-policy-sign`, the way manual pages of subcommands are named.
fn full_name(command: &Command) -> String {
    command
        .get_display_name()
        .unwrap_or_else(|| command.get_name())
        .to_owned()
}
