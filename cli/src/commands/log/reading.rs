//! `narthex log show`, `search`, `follow` and `verify`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::LogArguments;
use crate::log::Range;
use crate::moment::{parse_duration, parse_time};

/// Show the log's newest checkpoint, or entries in words.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  narthex log show http://keys.example:7004 --policy policy/      # how large, who cosigned
  narthex log show http://keys.example:7004 12 40-45 --policy policy/
  narthex log show exported/ 12 --policy policy/ --evidence evidence/

People appear by name where the policy names them; the log itself holds only ids.")]
pub(crate) struct ShowArguments {
    #[command(flatten)]
    pub(crate) source: LogArguments,

    /// Entries: N, FROM-TO (both included), or FROM- (to the end)
    #[arg(value_name = "N")]
    pub(crate) entries: Vec<Range>,

    /// The last entries, this many
    #[arg(long, value_name = "COUNT", conflicts_with = "entries")]
    pub(crate) last: Option<u64>,

    /// Entries of an earlier epoch of the log, counted from 0
    #[arg(long, value_name = "N")]
    pub(crate) epoch: Option<u32>,

    /// Fetch the evidence of these entries, compare it with its digest, and write its parts into this folder
    #[arg(long, value_name = "DIR")]
    pub(crate) evidence: Option<PathBuf>,
}

/// Find entries by time, person, action, key, enclave, outcome, type or reason.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  narthex log search http://keys.example:7004 --policy policy/ --person carol \\
      --from 2026-11-21T00:00:00Z
  narthex log search exported/ --policy policy/ --outcome refused --json
  narthex log search mirror/ --policy policy/ --type release --key database \\
      --enclave i-0123456789abcdef0

All conditions must hold; of one that is given several times, any.")]
pub(crate) struct SearchArguments {
    #[command(flatten)]
    pub(crate) source: LogArguments,

    #[command(flatten)]
    pub(crate) conditions: Conditions,

    /// At most this many, the newest of them
    #[arg(long, value_name = "COUNT")]
    pub(crate) limit: Option<usize>,

    /// Look through an earlier epoch of the log, counted from 0
    #[arg(long, value_name = "N")]
    pub(crate) epoch: Option<u32>,
}

/// What entries are looked for.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "What to look for")]
pub(crate) struct Conditions {
    /// Not before this time
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub(crate) from: Option<u64>,

    /// Before this time
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub(crate) to: Option<u64>,

    /// A person by name (needs --policy) or by id (p-…), whatever their part in it; may be repeated
    #[arg(long, value_name = "PERSON")]
    pub(crate) person: Vec<String>,

    /// An action of an order, or an operation on keys; may be repeated
    #[arg(long, value_name = "ACTION")]
    pub(crate) action: Vec<String>,

    /// A key by name; may be repeated
    #[arg(long, value_name = "NAME")]
    pub(crate) key: Vec<String>,

    /// An enclave by its module id (i-…-enc…), or all of a parent instance (i-…); may be repeated
    #[arg(long, value_name = "ID")]
    pub(crate) enclave: Vec<String>,

    /// Accepted or refused
    #[arg(long, value_name = "OUTCOME", value_enum)]
    pub(crate) outcome: Option<OutcomeName>,

    /// What kind of entry; may be repeated
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) kind: Vec<String>,

    /// A reason of a refusal, or the part before its dot (`order`, `order.expired`); may be repeated
    #[arg(long, value_name = "REASON")]
    pub(crate) reason: Vec<String>,
}

/// How a decision came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutcomeName {
    /// It was done
    Accepted,
    /// It was not
    Refused,
}

/// Print new entries as they come, and see at every step that the log only grew.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  narthex log follow http://keys.example:7004 --policy policy/
  narthex log follow unix:/run/narthex/log.sock --policy policy/ --since 0 --json | jq .entry

With --json each line is one JSON object. A log that cannot be reached is tried again; one that
shrank, forked or lost its witnesses ends the command with exit code 1. SIGINT and SIGTERM end
it with 0.")]
pub(crate) struct FollowArguments {
    #[command(flatten)]
    pub(crate) source: LogArguments,

    /// Begin with this entry, instead of with the next new one
    #[arg(long, value_name = "N")]
    pub(crate) since: Option<u64>,

    /// How often to look
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "5s")]
    pub(crate) interval: Duration,

    /// End after this time instead of going on
    #[arg(long = "for", value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) duration: Option<Duration>,
}

/// Verify a whole log: every entry, tile, signature and checkpoint, all epochs.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  narthex log verify http://keys.example:7004 --policy policy/
  narthex log verify exported/ --policy policy/ --genesis 3f1a… --older kept.checkpoint --json
  narthex log verify mirror/ --policy policy/ --evidence

The newest checkpoint that passed is remembered on this machine; a log that no longer extends it
is refused the next time, and both checkpoints are shown: together they prove to anybody that
the log forked.")]
pub(crate) struct VerifyArguments {
    #[command(flatten)]
    pub(crate) source: LogArguments,

    /// A checkpoint that you kept: the log must extend it; may be repeated
    #[arg(long, value_name = "FILE")]
    pub(crate) older: Vec<PathBuf>,

    /// Also fetch all evidence and compare it with the digests in the entries
    #[arg(long)]
    pub(crate) evidence: bool,

    /// Refuse a checkpoint whose witnesses cosigned longer ago than this
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) max_age: Option<Duration>,

    /// Write the checkpoint that passed to this file, to keep
    #[arg(long, value_name = "FILE")]
    pub(crate) checkpoint_out: Option<PathBuf>,
}
