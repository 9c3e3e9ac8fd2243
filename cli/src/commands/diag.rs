//! `narthex diag`: the arguments. The session itself is in `session/`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use narthex_channel::Address;

use crate::exit::Exit;
use crate::failure::Outcome;
use crate::input::parse_hex;
use crate::moment::parse_duration;
use crate::output::Output;

/// Ask an attested agent for diagnostics.
#[derive(Debug, Args)]
#[command(after_help = "\
Nothing is sent before the agent's own fresh document was verified: its signature and chain,
that it was made for this very session, that it is the enclave you named, that it runs the
release you named, and that PCR16 holds the policy you hold (or the one before it, while that is
still accepted).

Actions that look: health version uptime memory cpu pressure filesystems connections processes
workload kernel-events nsm pcrs attest policy keys clock entropy counters status
Actions that change something (they need approvals): restart-workload reload-keys shutdown

Examples:
  narthex diag vsock:16:5005 --status --policy policy/ --release shop --enclave i-0123456789abcdef0
  narthex diag vsock:16:5005 health memory --order shift.order.toml --key ~/.ssh/id_ed25519 \\
      --policy policy/ --release shop --enclave i-0123456789abcdef0-enc0123456789abcdef --json

Where the policy names a log, the agent acts only under an order that the log holds: `narthex
order submit` writes the proof beside the order, and it is taken from there. What the agent
states about itself goes to the log afterwards (--submissions), or into a folder until it can
(--keep-statement, `narthex log submit-statement`).

Every call has a counter that is used once under an order; the next free one is remembered in
$XDG_STATE_HOME/narthex (or ~/.local/state/narthex), so that running the same line again works.")]
pub(crate) struct Arguments {
    /// The agent's address: vsock:CID:PORT, tcp:IP:PORT, unix:PATH or hybrid:PATH:PORT
    #[arg(value_name = "ADDRESS")]
    pub(crate) address: Address,

    /// What to ask for, in this order, in one session
    #[arg(value_name = "ACTION", required_unless_present = "status")]
    pub(crate) actions: Vec<String>,

    /// Verify the agent, show its session statement, and send nothing: needs no order
    #[arg(long, conflicts_with_all = ["actions", "order", "key"])]
    pub(crate) status: bool,

    /// The order that allows it; its signatures are read from the files FILE.PERSON.sig beside it
    #[arg(long, value_name = "FILE", required_unless_present = "status")]
    pub(crate) order: Option<PathBuf>,

    /// An approval that is kept elsewhere; may be repeated
    #[arg(long, value_name = "SIG")]
    pub(crate) approval: Vec<PathBuf>,

    /// The proof that the order was logged, instead of FILE.proof beside it
    #[arg(long, value_name = "FILE", requires = "order")]
    pub(crate) proof: Option<PathBuf>,

    /// Your SSH key: signs each call
    #[arg(long, value_name = "KEY", required_unless_present = "status")]
    pub(crate) key: Option<PathBuf>,

    /// Your policy directory
    #[arg(long, value_name = "DIR")]
    pub(crate) policy: PathBuf,

    /// SHA-384 of the policy's first bundle; without it the directory itself is trusted
    #[arg(long, value_name = "HEX", value_parser = parse_hex)]
    pub(crate) genesis: Option<std::vec::Vec<u8>>,

    /// The release that the enclave must run: any version in force, or NAME=VERSION
    #[arg(long, value_name = "NAME")]
    pub(crate) release: String,

    /// Look also when the release is revoked, stopped or expired: what it says is as good as that release
    #[arg(long)]
    pub(crate) insecure_withdrawn_release: bool,

    /// The enclave you mean: its module id (i-…-enc…), or the id of its parent instance (i-…)
    #[arg(long, value_name = "ID")]
    pub(crate) enclave: String,

    /// Give up when the agent is silent for this long
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "15s")]
    pub(crate) timeout: Duration,

    /// Afterwards, hand the agent's session statement in to the log: the service's address for submissions
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) submissions: Option<Address>,

    /// Keep the session statement in this folder, when --submissions is not given or cannot be reached
    #[arg(long, value_name = "DIR")]
    pub(crate) keep_statement: Option<PathBuf>,

    /// Trust the development root in this file: documents of `narthex mock-nsm` pass
    #[cfg(feature = "dev-root")]
    #[arg(long, value_name = "FILE")]
    pub(crate) insecure_development_root: Option<PathBuf>,
}

/// Runs it.
pub(crate) fn run(arguments: &Arguments, output: &Output) -> Outcome<Exit> {
    crate::session::diagnostics(arguments, output)
}
