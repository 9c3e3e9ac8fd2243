//! `narthex log ticket` and `submit-statement`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use narthex_channel::Address;

use crate::input::parse_hex;
use crate::moment::parse_duration;

/// Sign a ticket that lets its holder read a log that is not public.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  narthex log ticket --policy policy/ --as erin --key ~/.ssh/id_ed25519 --out reader.ticket
  narthex log show http://keys.example:7004 --policy policy/ --ticket reader.ticket
  curl -H \"Authorization: $(cat reader.ticket)\" http://keys.example:7004/checkpoint

Whoever has the file can read until it expires: keep it to yourself.")]
pub(crate) struct TicketArguments {
    /// Your policy directory: names the log and its readers
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

    /// How long it is valid: up to 12 hours
    #[arg(long = "valid-for", value_name = "DURATION", value_parser = parse_duration, default_value = "8h")]
    pub(crate) valid_for: Duration,

    /// Where to write it (mode 0600); one that is there is replaced
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
}

/// Hand in session statements that `narthex diag` kept, so that they become entries.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  narthex log submit-statement kept/ --policy policy/ --service tcp:10.0.0.5:7003

A file is removed once the log's proof for it was verified. It needs no order: a statement is
bound by the agent's own attestation document, whoever hands it in.")]
pub(crate) struct SubmitStatementArguments {
    /// Statement files, or folders with them
    #[arg(value_name = "PATH", required = true)]
    pub(crate) paths: Vec<PathBuf>,

    /// Your policy directory: names the service's key and the log
    #[arg(long, value_name = "DIR")]
    pub(crate) policy: PathBuf,

    /// SHA-384 of the policy's first bundle; without it the directory itself is trusted
    #[arg(long, value_name = "HEX", value_parser = parse_hex)]
    pub(crate) genesis: Option<std::vec::Vec<u8>>,

    /// The service's address for submissions
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) service: Address,

    /// Give up when the service is silent for this long
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "40s")]
    pub(crate) timeout: Duration,

    /// Keep the files, and write each proof to FILE.proof
    #[arg(long)]
    pub(crate) keep: bool,
}
