//! `narthex audit`: the arguments. What it does is in `audit/`.

use std::path::PathBuf;

use clap::Args;

use super::log::AccessArguments;
use crate::audit::Assumption;
use crate::exit::Exit;
use crate::failure::Outcome;
use crate::input::parse_hex;
use crate::log::LogAddress;
use crate::output::Output;

/// Verify again everything that a log says was decided, and report claim by claim what that shows.
#[derive(Debug, Args)]
#[command(after_help = "\
From the log and the evidence beside it, and from nothing else: the tree and its signatures; the
policy from its first bundle on; every attestation document, binding, signature, approval, role,
age, expiry and state of a key, each at the time of its entry. Refusals must have the reason that
their evidence gives.

Examples:
  narthex audit exported/ --genesis 3f1a…       # an outsider's run: one digest is all you bring
  narthex audit http://keys.example:7004 --policy policy/ --html audit.html
  narthex audit mirror/ --policy policy/ --older kept-last-year.checkpoint --json

Each claim is `shown`, `exceptions` or `not shown`; the report names every exception with its entry,
what this log does not show, and what remains an assumption. What no log can show you may have seen
yourself: --assume says so, and so does the report.

The exit code is 0 without exceptions and 1 with; 2 and 3 mean that there is no result.")]
pub(crate) struct Arguments {
    /// The log: http://HOST:PORT[/PREFIX], unix:PATH, or a folder
    #[arg(value_name = "LOG")]
    pub(crate) log: LogAddress,

    /// Your policy directory: names log, witnesses and people, and is compared with the log
    #[arg(long, value_name = "DIR", help_heading = "Whom to trust")]
    pub(crate) policy: Option<PathBuf>,

    /// SHA-384 of the first bundle, as the reviewers told you; without it the first bundle is taken at its word
    #[arg(long, value_name = "HEX", value_parser = parse_hex, help_heading = "Whom to trust")]
    pub(crate) genesis: Option<std::vec::Vec<u8>>,

    /// A C2SP tlog-policy file: log, witnesses, quorum
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with = "policy",
        help_heading = "Whom to trust"
    )]
    pub(crate) tlog_policy: Option<PathBuf>,

    /// The root certificate of attestation documents instead of AWS's, DER or PEM; the report says so
    #[arg(long, value_name = "FILE", help_heading = "Whom to trust")]
    pub(crate) root: Option<PathBuf>,

    /// A checkpoint that you kept: the log must extend it; may be repeated
    #[arg(long, value_name = "FILE")]
    pub(crate) older: Vec<PathBuf>,

    /// Accept a copy that ends before what this machine saw last of the log
    #[arg(long)]
    pub(crate) older_copy: bool,

    /// What you have seen yourself because no log can show it; may be repeated
    #[arg(long, value_name = "WHAT", value_enum)]
    pub(crate) assume: Vec<Assumption>,

    /// Write the report to this file, too: one page of HTML with charts, for printing and keeping
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) access: AccessArguments,
}

/// Runs it.
pub(crate) fn run(arguments: &Arguments, output: &Output) -> Outcome<Exit> {
    crate::audit::run(arguments, output)
}
