//! `narthex log prove` and `verify-proof`.

use std::path::PathBuf;

use clap::{ArgGroup, Args};

use super::{AccessArguments, LogArguments, TrustArguments};
use crate::log::LogAddress;

/// Prove to anybody, offline, that an entry is in the log.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  narthex log prove http://keys.example:7004 12 --policy policy/ --out release.proof
  narthex log verify-proof release.proof --policy policy/

The proof is a C2SP tlog-proof file; the entry itself goes to FILE.entry.")]
pub(crate) struct ProveArguments {
    #[command(flatten)]
    pub(crate) source: LogArguments,

    /// The entry's number
    #[arg(value_name = "N")]
    pub(crate) index: u64,

    /// Where to write the proof; nothing is overwritten
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
}

/// Verify a tlog-proof file against its entry, the log's key and the witnesses.
#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("entry_from").args(["entry", "log"]),
    after_help = "\
Examples:
  narthex log verify-proof release.proof --policy policy/           # with release.proof.entry
  narthex log verify-proof keys.proof --log http://keys.example:7004 --policy policy/
  narthex order verify shift.order.toml --policy policy/            # with shift.order.toml.proof

Nothing but --log touches the network."
)]
pub(crate) struct VerifyProofArguments {
    /// The proof
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// The entry's exact bytes, instead of FILE.entry
    #[arg(long, value_name = "FILE")]
    pub(crate) entry: Option<PathBuf>,

    /// Fetch the entry from this log
    #[arg(long, value_name = "LOG")]
    pub(crate) log: Option<LogAddress>,

    #[command(flatten)]
    pub(crate) trust: TrustArguments,

    #[command(flatten)]
    pub(crate) access: AccessArguments,
}
