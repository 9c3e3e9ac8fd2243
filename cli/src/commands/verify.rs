//! `narthex verify`: the arguments. What they come to is in `judge/`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args};

use crate::exit::Exit;
use crate::failure::Outcome;
use crate::input::{Source, parse_hex};
use crate::moment::parse_duration;
use crate::output::Output;

use narthex_verifier::{PcrIndex, ReplayAt};

use crate::judge::parse_replay_at;

/// Appraise an attestation document: signature, chain, freshness, and what you expect of it.
#[derive(Debug, Args)]
#[command(
    override_usage = "narthex verify DOC (--policy DIR --release NAME | --pcr N=HEX …) [OPTIONS]",
    group = ArgGroup::new("expectation").required(true).multiple(true).args([
        "policy", "pcr", "role_arn", "instance_id", "nonce", "user_data", "workload_data",
        "public_key",
    ]),
    after_help = "\
At least one expectation is needed: a document that nobody expects anything of proves nothing.
PCR0 alone does not cover the kernel's command line and the application's ramdisk: give PCR0, 1
and 2.

Examples:
  narthex verify document.bin --policy policy/ --release shop --nonce 5f2c…
  narthex verify document.b64 --pcr 0=2d15… --pcr 1=72d7… --pcr 2=4955… \\
      --role-arn arn:aws:iam::123456789012:role/enclave
  curl -s https://shop.example/attestation | narthex verify - --policy policy/ --release shop --json
  narthex verify archived.bin --replay-at document --pcr 0=… --pcr 1=… --pcr 2=…

The exit code is the verdict: 0 accepted, 1 refused; 2 and 3 mean that there is no verdict."
)]
pub(crate) struct Arguments {
    /// The document: a path, or `-` for standard input; binary, base64 or hex
    #[arg(value_name = "DOC")]
    pub(crate) document: Source,

    /// A policy directory: takes the measurements of --release from it, and expects PCR16 to hold
    /// its bundle in force
    #[arg(
        long,
        value_name = "DIR",
        requires = "release",
        help_heading = "What to expect"
    )]
    pub(crate) policy: Option<PathBuf>,

    /// The release that the document must show: any version in force, or NAME=VERSION
    #[arg(
        long,
        value_name = "NAME",
        requires = "policy",
        help_heading = "What to expect"
    )]
    pub(crate) release: Option<String>,

    /// SHA-384 of the policy's first bundle; without it the directory itself is trusted
    #[arg(long, value_name = "HEX", requires = "policy", value_parser = parse_hex, help_heading = "What to expect")]
    pub(crate) genesis: Option<std::vec::Vec<u8>>,

    /// Do not expect PCR16: the enclave may run under any policy
    #[arg(long, requires = "policy", help_heading = "What to expect")]
    pub(crate) insecure_any_policy: bool,

    /// Expect register N (0 to 31) to hold HEX; may be repeated
    #[arg(long, value_name = "N=HEX", value_parser = parse_pcr, help_heading = "What to expect")]
    pub(crate) pcr: Vec<(PcrIndex, Vec<u8>)>,

    /// Expect PCR3 to be the parent instance's IAM role
    #[arg(long, value_name = "ARN", help_heading = "What to expect")]
    pub(crate) role_arn: Option<String>,

    /// Expect PCR4 to be this parent instance
    #[arg(long, value_name = "ID", help_heading = "What to expect")]
    pub(crate) instance_id: Option<String>,

    /// Expect this nonce: at least 16 random bytes that you gave the enclave
    #[arg(long, value_name = "HEX", value_parser = parse_hex, help_heading = "What to expect")]
    pub(crate) nonce: Option<std::vec::Vec<u8>>,

    /// Expect exactly this user data
    #[arg(long, value_name = "HEX", value_parser = parse_hex, help_heading = "What to expect")]
    pub(crate) user_data: Option<std::vec::Vec<u8>>,

    /// Expect the data that a Narthex agent attests for its workload: the bytes that the workload
    /// asked for, without the agent's prefix
    #[arg(long, value_name = "HEX", value_parser = parse_hex, conflicts_with = "user_data", help_heading = "What to expect")]
    pub(crate) workload_data: Option<std::vec::Vec<u8>>,

    /// Expect exactly the public key in this file (compared byte for byte)
    #[arg(long, value_name = "FILE", help_heading = "What to expect")]
    pub(crate) public_key: Option<PathBuf>,

    /// Accept PCR0 without PCR1 and PCR2
    #[arg(long, help_heading = "What to expect")]
    pub(crate) insecure_pcr0_only: bool,

    /// How old the document may be
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "5m", help_heading = "Time and trust")]
    pub(crate) max_age: Duration,

    /// How far the enclave's clock may be ahead of this computer's
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "60s", help_heading = "Time and trust")]
    pub(crate) skew: Duration,

    /// Judge an archived document as of TIME (RFC 3339), or of its own time with `document`.
    /// Says nothing about now
    #[arg(long, value_name = "TIME|document", value_parser = parse_replay_at, help_heading = "Time and trust")]
    pub(crate) replay_at: Option<ReplayAt>,

    /// Trust the certificate in this file (PEM or DER) instead of AWS's root
    #[arg(long, value_name = "FILE", help_heading = "Time and trust")]
    pub(crate) root: Option<PathBuf>,
}

/// Runs it.
pub(crate) fn run(arguments: &Arguments, output: &Output) -> Outcome<Exit> {
    crate::judge::verify(arguments, output)
}

/// `N=HEX`.
fn parse_pcr(text: &str) -> Result<(PcrIndex, Vec<u8>), String> {
    const FORM: &str = "expected N=HEX, for example 0=2d15…";
    let (index, value) = text.split_once('=').ok_or(FORM)?;
    let index: u8 = index.parse().map_err(|_| FORM)?;
    let index = PcrIndex::new(index).ok_or("registers are numbered 0 to 31")?;
    let value = parse_hex(value)?;
    match value.len() {
        48 => Ok((index, value)),
        other => Err(format!(
            "a register holds 48 bytes (96 hex digits), this is {other}"
        )),
    }
}
