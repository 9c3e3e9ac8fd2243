//! `narthex policy`: bundles in a policy directory.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use narthex_channel::Address;

use crate::exit::Exit;
use crate::failure::Outcome;
use crate::input::parse_hex;
use crate::moment::{parse_duration, parse_time};
use crate::output::Output;

use super::signing_arguments::SignArguments;

/// Write, check, sign and compare the policy that several people agree on.
#[derive(Debug, Args)]
#[command(
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "\
A policy directory holds what was signed, and the signatures beside it:

  bundles/0001.toml    bundles/0001.toml.alice.sig      who may do what
  releases/0001-shop.toml  …                            which measurements are ours
  stops/0001.toml  …                                    what is revoked at once

Signatures are plain SSH signatures; anybody can check one without this command:
  ssh-keygen -Y verify -f allowed_signers -I alice -n policy@narthex \\
      -s 0001.toml.alice.sig < 0001.toml"
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What can be done with a policy.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Init(InitArguments),
    Next(NextArguments),
    Lint(LintArguments),
    Sign(SignCommand),
    Verify(VerifyArguments),
    Diff(DiffArguments),
    Submit(SubmitCommand),
}

/// Start a policy directory with a first bundle to edit, review and sign.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  narthex policy init policy/ --project shop --reviewer alice=alice.pub --reviewer bob=bob.pub \\
      --operator carol=carol.pub
  narthex policy init policy/ --project shop --reviewer alice=alice.pub --reviewer bob=bob.pub \\
      --operator carol=carol.pub --key-administrator kim=kim.pub --log-reader erin=erin.pub \\
      --service-key \"$(narthex-key-service static-key --config service.toml)\" \\
      --log 'keys.example/log+1f2e3d4c+AZ…' --witness 'customer.example/witness+5e6f7a8b+BA…'

The bundle is a file for people: read it, change it, then `narthex policy lint` and `narthex
policy sign`.")]
pub(crate) struct InitArguments {
    /// The directory; made if it is not there
    #[arg(value_name = "DIR")]
    pub(crate) directory: PathBuf,

    /// The project's name: nothing signed for one project holds in another
    #[arg(long, value_name = "NAME")]
    pub(crate) project: String,

    /// A person who signs policy, with a file of SSH public keys; at least two of them
    #[arg(long, value_name = "NAME=PUBLIC_KEY_FILE", required = true, value_parser = parse_person)]
    pub(crate) reviewer: Vec<(String, PathBuf)>,

    /// How many reviewers must sign
    #[arg(long, value_name = "COUNT", default_value_t = 2)]
    pub(crate) threshold: usize,

    /// A person who asks enclaves for diagnostics
    #[arg(long, value_name = "NAME=PUBLIC_KEY_FILE", value_parser = parse_person)]
    pub(crate) operator: Vec<(String, PathBuf)>,

    /// A person who administers keys at the key service
    #[arg(long, value_name = "NAME=PUBLIC_KEY_FILE", value_parser = parse_person)]
    pub(crate) key_administrator: Vec<(String, PathBuf)>,

    /// The key service's public key, as `narthex-key-service static-key` prints it
    #[arg(long, value_name = "HEX", value_parser = parse_hex)]
    pub(crate) service_key: Option<std::vec::Vec<u8>>,

    /// How long the bundle is valid
    #[arg(long = "valid-for", value_name = "DURATION", value_parser = parse_duration, default_value = "90d")]
    pub(crate) valid_for: Duration,

    #[command(flatten)]
    pub(crate) ledger: LedgerArguments,
}

/// The log that everything goes through.
#[derive(Debug, Args)]
#[command(next_help_heading = "The log")]
pub(crate) struct LedgerArguments {
    /// The log's verifier key, as `narthex-key-service log-key` prints it, or a file with it
    #[arg(long, value_name = "VKEY|FILE")]
    pub(crate) log: Option<String>,

    /// A witness's verifier key, as `narthex log witness-key` prints it, or a file with it; may be repeated
    #[arg(long, value_name = "VKEY|FILE", requires = "log")]
    pub(crate) witness: Vec<String>,

    /// How many witnesses must have cosigned, instead of all
    #[arg(long, value_name = "COUNT", requires = "witness")]
    pub(crate) quorum: Option<usize>,

    /// A person who may read the log: somebody named above, or NAME=PUBLIC_KEY_FILE; may be repeated
    #[arg(long, value_name = "NAME[=PUBLIC_KEY_FILE]", requires = "log")]
    pub(crate) log_reader: Vec<String>,

    /// Everybody who reaches the log may read it
    #[arg(long, requires = "log")]
    pub(crate) anyone_may_read_log: bool,

    /// A log without witnesses: its operator alone could fork it or roll it back
    #[arg(long, requires = "log", conflicts_with = "witness")]
    pub(crate) insecure_without_witnesses: bool,
}

/// Draft the next bundle: a copy of the newest with its version, digest and times moved on.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  narthex policy next policy/ --valid-for 90d")]
pub(crate) struct NextArguments {
    /// The policy directory
    #[arg(value_name = "DIR")]
    pub(crate) directory: PathBuf,

    /// How long the new bundle is valid
    #[arg(long = "valid-for", value_name = "DURATION", value_parser = parse_duration, default_value = "90d")]
    pub(crate) valid_for: Duration,

    /// How long enclaves that booted with the bundle before it go on to get keys; 0s for not at all
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "7d")]
    pub(crate) previous_accepted_for: Duration,
}

/// Check a bundle, release or stop statement before it is signed, and say what it allows.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  narthex policy lint policy/bundles/0002.toml
  narthex policy lint policy/ --json

Exit code 1 if the file could never take effect; warnings leave it at 0.")]
pub(crate) struct LintArguments {
    /// A file, or a policy directory (its newest bundle, and every statement)
    #[arg(value_name = "PATH")]
    pub(crate) path: PathBuf,

    /// Also say how many bits per minute the counters in this agent configuration can carry out
    #[arg(long, value_name = "FILE")]
    pub(crate) agent_config: Option<PathBuf>,
}

/// Sign a bundle with your SSH key.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  narthex policy sign policy/bundles/0001.toml --as alice --key ~/.ssh/id_ed25519
  narthex policy sign policy/bundles/0001.toml --as alice --key ~/.ssh/id_ed25519_sk.pub   # FIDO

The same by hand: ssh-keygen -Y sign -n policy@narthex -f KEY FILE, and rename to FILE.alice.sig")]
pub(crate) struct SignCommand {
    #[command(flatten)]
    pub(crate) sign: SignArguments,
}

/// Verify a policy directory: every signature, threshold and succession from the first bundle on.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  narthex policy verify policy/
  narthex policy verify policy/ --genesis 3f1a… --at 2026-11-21T14:00:00Z --json")]
pub(crate) struct VerifyArguments {
    /// The policy directory
    #[arg(value_name = "DIR")]
    pub(crate) directory: PathBuf,

    /// SHA-384 of the policy's first bundle; without it the directory itself is trusted
    #[arg(long, value_name = "HEX", value_parser = parse_hex)]
    pub(crate) genesis: Option<std::vec::Vec<u8>>,

    /// Judge as of this time instead of now
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub(crate) at: Option<u64>,
}

/// Say what changes between two bundles, in words.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  narthex policy diff policy/bundles/0001.toml policy/bundles/0002.toml")]
pub(crate) struct DiffArguments {
    /// The older bundle
    #[arg(value_name = "OLD")]
    pub(crate) old: PathBuf,

    /// The newer bundle
    #[arg(value_name = "NEW")]
    pub(crate) new: PathBuf,
}

/// Deliver a policy directory to the key service.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  narthex policy submit policy/ --service unix:/run/narthex/administration.sock

It needs no order: the service judges each file by its own signatures, and counts what it
already has.")]
pub(crate) struct SubmitCommand {
    #[command(flatten)]
    pub(crate) submit: Delivery,
}

/// Where policy files are delivered to.
#[derive(Debug, Args)]
pub(crate) struct Delivery {
    /// The policy directory
    #[arg(value_name = "DIR")]
    pub(crate) directory: PathBuf,

    /// The service's administration address
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) service: Address,

    /// The service's public key, where the newest bundle here does not name the one it runs with
    #[arg(long, value_name = "HEX", value_parser = parse_hex)]
    pub(crate) service_key: Option<std::vec::Vec<u8>>,

    /// SHA-384 of the policy's first bundle; without it the directory itself is trusted
    #[arg(long, value_name = "HEX", value_parser = parse_hex)]
    pub(crate) genesis: Option<std::vec::Vec<u8>>,

    /// Give up when the service is silent for this long
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "30s")]
    pub(crate) timeout: Duration,

    /// Write the proof that the delivery was logged to this file; one that is there is replaced
    #[arg(long, value_name = "FILE")]
    pub(crate) proof: Option<PathBuf>,
}

/// `NAME=FILE`.
fn parse_person(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((name, file)) if !name.is_empty() && !file.is_empty() => {
            Ok((name.to_owned(), PathBuf::from(file)))
        }
        _ => Err("expected NAME=PUBLIC_KEY_FILE, for example alice=alice.pub".to_owned()),
    }
}

/// Runs it.
pub(crate) fn run(arguments: &Arguments, output: &Output) -> Outcome<Exit> {
    crate::policies::run(arguments, output)
}
