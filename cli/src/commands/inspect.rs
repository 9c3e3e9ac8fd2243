//! `narthex inspect`: everything in a document, and whether its signature and chain hold.

use std::path::PathBuf;

use clap::Args;

use crate::exit::Exit;
use crate::failure::Outcome;
use crate::input::Source;
use crate::output::Output;

use narthex_verifier::ReplayAt;

use crate::judge::parse_replay_at;

/// Show everything in an attestation document, and whether its signature and chain hold.
#[derive(Debug, Args)]
#[command(after_help = "\
It appraises nothing: a genuine document of a stranger's enclave passes. Use `narthex verify` to
decide.

Examples:
  narthex inspect document.bin
  narthex inspect document.b64 --replay-at document
  narthex inspect - --json < document.bin | jq .document.pcrs

The exit code is the verdict on signature and chain: 0 they hold, 1 they do not.")]
pub(crate) struct Arguments {
    /// The document: a path, or `-` for standard input; binary, base64 or hex
    #[arg(value_name = "DOC")]
    pub(crate) document: Source,

    /// Judge an archived document as of TIME (RFC 3339), or of its own time with `document`.
    /// Says nothing about now
    #[arg(long, value_name = "TIME|document", value_parser = parse_replay_at)]
    pub(crate) replay_at: Option<ReplayAt>,

    /// Trust the certificate in this file (PEM or DER) instead of AWS's root
    #[arg(long, value_name = "FILE")]
    pub(crate) root: Option<PathBuf>,
}

/// Runs it.
pub(crate) fn run(arguments: &Arguments, output: &Output) -> Outcome<Exit> {
    crate::judge::inspect(arguments, output)
}
