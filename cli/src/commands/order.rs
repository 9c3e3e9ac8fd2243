//! `narthex order`: who may do what to which enclaves, from when to when, how often.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args, Subcommand};
use narthex_channel::Address;

use crate::exit::Exit;
use crate::failure::Outcome;
use crate::input::parse_hex;
use crate::moment::{parse_duration, parse_time};
use crate::output::Output;

use super::signing_arguments::SignArguments;

/// Write, approve and check the orders under which diagnostics are asked for.
#[derive(Debug, Args)]
#[command(
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "\
A read order covers a shift: actions that look, up to 12 hours. A write order names one change
to one boot of one enclave, and needs the approvals that the policy asks for, never the
requester's own.

Where the policy names a log, no agent acts under an order that the log does not hold as
accepted: submit it first. The proof stays good for as long as the order does, also while the
log cannot be reached."
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What can be done with orders.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    New(Box<NewArguments>),
    Approve(ApproveCommand),
    Submit(SubmitArguments),
    Show(ShowArguments),
    Verify(VerifyArguments),
}

/// Write an order and sign it.
#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("target").required(true).multiple(true).args(["enclave", "release"]),
    after_help = "\
Examples:
  narthex order new --policy policy/ --as carol --key ~/.ssh/id_ed25519 --action health \\
      --action memory --enclave i-0123456789abcdef0 --valid-for 8h --out shift.order.toml
  narthex order new --policy policy/ --as carol --key ~/.ssh/id_ed25519 --action restart-workload \\
      --enclave i-0123456789abcdef0-enc0123456789abcdef --boot-id 9f0c… \\
      --valid-for 2h --out restart.order.toml

The boot id is in what `narthex diag ADDRESS --status` shows."
)]
pub(crate) struct NewArguments {
    /// Your policy directory
    #[arg(long, value_name = "DIR")]
    pub(crate) policy: PathBuf,

    /// SHA-384 of the policy's first bundle; without it the directory itself is trusted
    #[arg(long, value_name = "HEX", value_parser = parse_hex)]
    pub(crate) genesis: Option<std::vec::Vec<u8>>,

    /// Your name in the policy
    #[arg(long = "as", value_name = "PERSON")]
    pub(crate) person: String,

    /// Your SSH key
    #[arg(long, value_name = "KEY")]
    pub(crate) key: PathBuf,

    /// An action; may be repeated for actions that look
    #[arg(long, value_name = "ACTION", required = true)]
    pub(crate) action: Vec<String>,

    /// An enclave by its module id (i-…-enc…), or all of a parent instance (i-…); may be repeated
    #[arg(long, value_name = "ID")]
    pub(crate) enclave: Vec<String>,

    /// All enclaves that run a release with this name (`shop`, `shop-*`); may be repeated
    #[arg(long, value_name = "PATTERN")]
    pub(crate) release: Vec<String>,

    /// The boot that a change is for (32 hex digits)
    #[arg(long, value_name = "HEX")]
    pub(crate) boot_id: Option<String>,

    /// For restart-workload and shutdown: how long the workload has to end by itself
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) grace: Option<Duration>,

    /// How many calls, per enclave and boot
    #[arg(long, value_name = "COUNT", default_value_t = 1000)]
    pub(crate) calls: u64,

    /// When it begins, instead of now
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub(crate) from: Option<u64>,

    /// How long it is valid
    #[arg(long = "valid-for", value_name = "DURATION", value_parser = parse_duration, default_value = "8h")]
    pub(crate) valid_for: Duration,

    /// Where to write it; its signature goes to FILE.PERSON.sig. Nothing is overwritten
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
}

/// Approve somebody else's order with your SSH key.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  narthex order show restart.order.toml
  narthex order approve restart.order.toml --as bob --key ~/.ssh/id_ed25519")]
pub(crate) struct ApproveCommand {
    #[command(flatten)]
    pub(crate) sign: SignArguments,
}

/// Have an order judged and logged, and keep the proof that agents ask for.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  narthex order submit shift.order.toml --policy policy/ --service tcp:10.0.0.5:7003
  narthex diag vsock:16:5005 health --order shift.order.toml …     # finds shift.order.toml.proof

The proof (a C2SP tlog-proof file) goes to FILE.proof, the approvals as they were logged to
FILE.approvals: keep both beside the order. Submitting again gives a fresh proof of the same
entry. A refusal is an entry, too; its proof goes to FILE.refused.proof, and the order may be
submitted again with more approvals.")]
pub(crate) struct SubmitArguments {
    /// The order; its signatures are read from the files FILE.PERSON.sig beside it
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// An approval that is kept elsewhere; may be repeated
    #[arg(long, value_name = "SIG")]
    pub(crate) approval: Vec<PathBuf>,

    /// Your policy directory: names the service's key, the log and its witnesses
    #[arg(long, value_name = "DIR")]
    pub(crate) policy: PathBuf,

    /// SHA-384 of the policy's first bundle; without it the directory itself is trusted
    #[arg(long, value_name = "HEX", value_parser = parse_hex)]
    pub(crate) genesis: Option<std::vec::Vec<u8>>,

    /// The service's address for submissions
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) service: Address,

    /// Give up when the service is silent for this long: it waits for witnesses
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "40s")]
    pub(crate) timeout: Duration,
}

/// Show an order in words.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  narthex order show restart.order.toml")]
pub(crate) struct ShowArguments {
    /// The order
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

/// Check an order, its approvals and its proof against the policy you hold, as an enclave would.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  narthex order verify restart.order.toml --policy policy/

An order that was not submitted yet is judged without a proof, and that is said.")]
pub(crate) struct VerifyArguments {
    /// The order; its signatures are read from the files FILE.PERSON.sig beside it
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// The proof that it was logged, instead of FILE.proof
    #[arg(long, value_name = "FILE")]
    pub(crate) proof: Option<PathBuf>,

    /// An approval that is kept elsewhere; may be repeated
    #[arg(long, value_name = "SIG")]
    pub(crate) approval: Vec<PathBuf>,

    /// Your policy directory
    #[arg(long, value_name = "DIR")]
    pub(crate) policy: PathBuf,

    /// SHA-384 of the policy's first bundle; without it the directory itself is trusted
    #[arg(long, value_name = "HEX", value_parser = parse_hex)]
    pub(crate) genesis: Option<std::vec::Vec<u8>>,

    /// Judge as of this time instead of now
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub(crate) at: Option<u64>,
}

/// Runs it.
pub(crate) fn run(arguments: &Arguments, output: &Output) -> Outcome<Exit> {
    match &arguments.command {
        Command::New(arguments) => crate::orders::new(arguments, output),
        Command::Approve(arguments) => crate::orders::approve(&arguments.sign, output),
        Command::Submit(arguments) => crate::orders::submit(arguments, output),
        Command::Show(arguments) => crate::orders::show(arguments, output),
        Command::Verify(arguments) => crate::orders::verify(arguments, output),
    }
}
