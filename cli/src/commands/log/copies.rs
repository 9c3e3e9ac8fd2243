//! `narthex log export`, `mirror` and `serve`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args};

use super::LogArguments;
use crate::log::ListenAddress;
use crate::moment::parse_duration;

/// Copy a whole log with its evidence into a new folder, for an auditor or an archive.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  narthex log export http://keys.example:7004 log-2026-11/ --policy policy/
  narthex log verify log-2026-11/ --policy policy/ --evidence

Everything is verified before the folder counts as a log. An export that was cut off goes on
where it ended.")]
pub(crate) struct ExportArguments {
    #[command(flatten)]
    pub(crate) source: LogArguments,

    /// The folder; made if it is not there
    #[arg(value_name = "DIR")]
    pub(crate) directory: PathBuf,

    /// Leave the evidence behind: the log can still be verified, the decisions cannot
    #[arg(long)]
    pub(crate) without_evidence: bool,

    /// Go on when evidence is not there and no entry says that it was purged
    #[arg(long)]
    pub(crate) accept_missing_evidence: bool,
}

/// Keep a verified copy of a log up to date.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  narthex log mirror http://keys.example:7004 /var/lib/narthex-mirror --policy policy/
  narthex log mirror http://keys.example:7004 mirror/ --policy policy/ --once      # from cron

A checkpoint that does not extend the copy is never taken: the copy stays as it is, and the
command ends with exit code 1. It can be restored from: `narthex-key-service catch-up --mirror
DIR`.")]
pub(crate) struct MirrorArguments {
    #[command(flatten)]
    pub(crate) source: LogArguments,

    /// The folder; made if it is not there
    #[arg(value_name = "DIR")]
    pub(crate) directory: PathBuf,

    /// Copy once and end, instead of going on
    #[arg(long)]
    pub(crate) once: bool,

    /// How often to look
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "30s")]
    pub(crate) interval: Duration,

    /// Go on when evidence is not there and no entry says that it was purged
    #[arg(long)]
    pub(crate) accept_missing_evidence: bool,
}

/// Serve a folder's log to readers over HTTP.
#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("readers").required(true).args(["policy", "anyone"]),
    after_help = "\
Examples:
  narthex log serve mirror/ --listen tcp:127.0.0.1:7004 --policy policy/     # for its readers
  narthex log serve exported/ --listen unix:/run/narthex-log.sock --anyone

The connection is plain HTTP: across a network, put it behind TLS or an SSH tunnel. SIGINT and
SIGTERM end it."
)]
pub(crate) struct ServeArguments {
    /// A folder that `narthex log mirror` or `narthex log export` made
    #[arg(value_name = "DIR")]
    pub(crate) directory: PathBuf,

    /// Where to listen: tcp:IP:PORT or unix:PATH; may be repeated
    #[arg(long, value_name = "ADDRESS", required = true)]
    pub(crate) listen: Vec<ListenAddress>,

    /// Your policy directory: its readers may read, with a ticket; everybody where it says so
    #[arg(long, value_name = "DIR")]
    pub(crate) policy: Option<PathBuf>,

    /// SHA-384 of the policy's first bundle; without it the directory itself is trusted
    #[arg(long, value_name = "HEX", value_parser = crate::input::parse_hex, requires = "policy")]
    pub(crate) genesis: Option<std::vec::Vec<u8>>,

    /// Whoever reaches the address may read
    #[arg(long)]
    pub(crate) anyone: bool,
}
