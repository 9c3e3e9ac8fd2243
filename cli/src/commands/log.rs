//! `narthex log`: the transparency log, for those who read it, keep copies of it, and witness it.
//!
//! | File | Commands |
//! |---|---|
//! | `reading.rs` | `show`, `search`, `follow`, `verify` |
//! | `proofs.rs` | `prove`, `verify-proof` |
//! | `copies.rs` | `export`, `mirror`, `serve` |
//! | `witnessing.rs` | `witness`, `witness-key` |
//! | `taking_part.rs` | `ticket`, `submit-statement` |

pub(crate) mod copies;
pub(crate) mod proofs;
pub(crate) mod reading;
pub(crate) mod taking_part;
pub(crate) mod witnessing;

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args, Subcommand};

use crate::exit::Exit;
use crate::failure::Outcome;
use crate::input::parse_hex;
use crate::log::LogAddress;
use crate::moment::parse_duration;
use crate::output::Output;

/// Read, search, verify, copy, serve and witness the transparency log.
#[derive(Debug, Args)]
#[command(
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "\
Every release of a key, every refusal, diagnostic order and change of policy is an entry of one
log that only grows. A log is read from where it is served or from a copy, always in the same
way:

  http://HOST:PORT[/PREFIX]   the key service, a mirror, or anything that serves C2SP tlog-tiles
  unix:PATH                   the same through a Unix socket
  DIR                         a folder that `narthex log mirror` or `narthex log export` made

Nothing is taken at its word: what is shown hangs below a checkpoint that the log's key signed
and enough witnesses cosigned, and extends the newest one that `verify`, `follow` and `mirror`
saw on this machine (kept in $XDG_STATE_HOME/narthex/checkpoints, or
~/.local/state/narthex/checkpoints). Who is trusted stands in the policy (--policy DIR), or in a
tlog-policy file (--tlog-policy FILE)."
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What can be done with a log.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Show(reading::ShowArguments),
    Search(Box<reading::SearchArguments>),
    Follow(reading::FollowArguments),
    Verify(reading::VerifyArguments),
    Prove(proofs::ProveArguments),
    VerifyProof(proofs::VerifyProofArguments),
    Export(copies::ExportArguments),
    Mirror(copies::MirrorArguments),
    Serve(copies::ServeArguments),
    Ticket(taking_part::TicketArguments),
    SubmitStatement(taking_part::SubmitStatementArguments),
    Witness(witnessing::WitnessArguments),
    WitnessKey(witnessing::WitnessKeyArguments),
}

/// How a log is reached.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Reaching the log")]
pub(crate) struct AccessArguments {
    /// A ticket that `narthex log ticket` wrote, for a log that is not public
    #[arg(long, value_name = "FILE")]
    pub(crate) ticket: Option<PathBuf>,

    /// Give up when nothing comes for this long
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "15s")]
    pub(crate) timeout: Duration,
}

/// Whose signatures count.
#[derive(Clone, Debug, Args)]
#[command(
    next_help_heading = "Whom to trust",
    group = ArgGroup::new("trust").required(true).args(["policy", "tlog_policy"])
)]
pub(crate) struct TrustArguments {
    /// Your policy directory: names the log's key, the witnesses, and the people
    #[arg(long, value_name = "DIR")]
    pub(crate) policy: Option<PathBuf>,

    /// SHA-384 of the policy's first bundle; without it the directory itself is trusted
    #[arg(long, value_name = "HEX", value_parser = parse_hex, requires = "policy")]
    pub(crate) genesis: Option<std::vec::Vec<u8>>,

    /// A C2SP tlog-policy file instead: log, witnesses, quorum
    #[arg(long, value_name = "FILE")]
    pub(crate) tlog_policy: Option<PathBuf>,
}

/// A log to read.
#[derive(Clone, Debug, Args)]
pub(crate) struct LogArguments {
    /// The log: http://HOST:PORT[/PREFIX], unix:PATH, or a folder
    #[arg(value_name = "LOG")]
    pub(crate) log: LogAddress,

    /// Accept a copy that ends before what this machine saw last of the log
    #[arg(long)]
    pub(crate) older_copy: bool,

    #[command(flatten)]
    pub(crate) trust: TrustArguments,

    #[command(flatten)]
    pub(crate) access: AccessArguments,
}

/// Runs it.
pub(crate) fn run(arguments: &Arguments, output: &Output) -> Outcome<Exit> {
    crate::log::run(&arguments.command, output)
}
