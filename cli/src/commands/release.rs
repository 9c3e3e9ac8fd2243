//! `narthex release`: which measurements are ours, and what is revoked at once.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args, Subcommand, ValueEnum};

use crate::exit::Exit;
use crate::failure::Outcome;
use crate::input::{Source, parse_hex};
use crate::moment::{parse_duration, parse_time};
use crate::output::Output;

use super::policy::Delivery;
use super::signing_arguments::SignArguments;

/// Say which measurements are a tested image of ours, and revoke what must not run any more.
#[derive(Debug, Args)]
#[command(
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "\
A release statement names an image's PCR0, PCR1 and PCR2 and the manifest that they come from, and
is signed by those whom the bundle allows to. A stop statement revokes a release, a person or a key
at once; it can only take away.

  narthex release new policy/ --manifest shop.manifest.json
  narthex release sign policy/releases/0001-shop.toml --as alice --key ~/.ssh/id_ed25519 \\
      --manifest shop.manifest.json
  narthex release submit policy/ --service unix:/run/narthex/administration.sock"
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What can be done with releases.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    New(NewArguments),
    Sign(SignCommand),
    Verify(VerifyArguments),
    Submit(SubmitCommand),
    Revoke(RevokeArguments),
    Stop(StopArguments),
}

/// Write a release statement to be signed.
#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("measured").required(true).args(["manifest", "insecure_measurements", "insecure_pcr0"]),
    after_help = "\
Examples:
  narthex release new policy/ --manifest shop.manifest.json
  narthex release new policy/ --manifest shop.manifest.json --signed-image shop.signed.eif
  narthex release new policy/ --name shop --version 1.2.0 --insecure-measurements build.json
  narthex release new policy/ --name shop --version 1.2.0 --insecure-pcr0 2d15… \\
      --insecure-pcr1 72d7… --insecure-pcr2 4955…

The manifest's signatures lie beside it (`narthex image approve`): as many of those who may release
that name must have signed it as the policy asks for. Measurements that are given by hand rest on
nobody's rebuild; the statement says so, and so does everything that lists it."
)]
pub(crate) struct NewArguments {
    /// The policy directory
    #[arg(value_name = "DIR")]
    pub(crate) directory: PathBuf,

    /// The manifest that `narthex image build` wrote, with its signatures beside it
    #[arg(long, value_name = "FILE")]
    pub(crate) manifest: Option<PathBuf>,

    /// The image's name; with --manifest, that of the manifest
    #[arg(long, value_name = "NAME", required_unless_present = "manifest")]
    pub(crate) name: Option<String>,

    /// The image's version; with --manifest, that of the manifest
    #[arg(long, value_name = "VERSION", required_unless_present = "manifest")]
    pub(crate) version: Option<String>,

    /// Demand the signing certificate of this signed image, which must be the manifest's
    #[arg(
        long,
        value_name = "FILE",
        requires = "manifest",
        conflicts_with = "pcr8"
    )]
    pub(crate) signed_image: Option<PathBuf>,

    /// SHA-384 of the policy's first bundle; without it the directory itself is trusted
    #[arg(long, value_name = "HEX", requires = "manifest", value_parser = parse_hex)]
    pub(crate) genesis: Option<std::vec::Vec<u8>>,

    /// Numbers that rest on no manifest: what `nitro-cli build-enclave` or `describe-eif` printed: a file, or `-`
    #[arg(long, value_name = "FILE")]
    pub(crate) insecure_measurements: Option<Source>,

    /// A number that rests on no manifest: the whole image
    #[arg(long, value_name = "HEX", value_parser = parse_hex, requires_all = ["insecure_pcr1", "insecure_pcr2"])]
    pub(crate) insecure_pcr0: Option<std::vec::Vec<u8>>,

    /// The same: kernel and boot ramdisk
    #[arg(long, value_name = "HEX", value_parser = parse_hex, requires = "insecure_pcr0")]
    pub(crate) insecure_pcr1: Option<std::vec::Vec<u8>>,

    /// The same: the application
    #[arg(long, value_name = "HEX", value_parser = parse_hex, requires = "insecure_pcr0")]
    pub(crate) insecure_pcr2: Option<std::vec::Vec<u8>>,

    /// The image's signing certificate, where it is to be demanded
    #[arg(long, value_name = "HEX", value_parser = parse_hex)]
    pub(crate) pcr8: Option<std::vec::Vec<u8>>,

    /// In use, or being replaced
    #[arg(long, value_enum, default_value_t = Status::Current)]
    pub(crate) status: Status,

    /// How long the statement holds
    #[arg(long = "valid-for", value_name = "DURATION", value_parser = parse_duration, default_value = "90d")]
    pub(crate) valid_for: Duration,
}

/// What a new statement says of its release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Status {
    /// In use
    Current,
    /// Being replaced
    Previous,
}

/// Sign a release or stop statement with your SSH key.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  narthex release sign policy/releases/0001-shop.toml --as alice --key ~/.ssh/id_ed25519 \\
      --manifest shop.manifest.json

With --manifest nothing is signed unless the statement says what the manifest says: its digest,
name, version and measurements.")]
pub(crate) struct SignCommand {
    #[command(flatten)]
    pub(crate) sign: SignArguments,

    /// The manifest that the release statement must rest on, as you approved it
    #[arg(long, value_name = "FILE")]
    pub(crate) manifest: Option<PathBuf>,
}

/// Show the releases that a policy directory knows, and whether each is in force.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  narthex release verify policy/
  narthex release verify policy/ --name shop --json

Exit code 1 if a statement does not hold, or if --name has no release in force.")]
pub(crate) struct VerifyArguments {
    /// The policy directory
    #[arg(value_name = "DIR")]
    pub(crate) directory: PathBuf,

    /// Only this release, which must be in force
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,

    /// SHA-384 of the policy's first bundle; without it the directory itself is trusted
    #[arg(long, value_name = "HEX", value_parser = parse_hex)]
    pub(crate) genesis: Option<std::vec::Vec<u8>>,

    /// Judge as of this time instead of now
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub(crate) at: Option<u64>,
}

/// Deliver a policy directory, with its releases and stops, to the key service.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  narthex release submit policy/ --service unix:/run/narthex/administration.sock

The same as `narthex policy submit`: the service takes what it does not have yet.")]
pub(crate) struct SubmitCommand {
    #[command(flatten)]
    pub(crate) submit: Delivery,
}

/// Write a statement that a release is revoked, to be signed by those who approve releases.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  narthex release revoke policy/ --name shop --version 1.2.0

Like any release statement it needs their signatures. If it must count at once, see `narthex
release stop`.")]
pub(crate) struct RevokeArguments {
    /// The policy directory
    #[arg(value_name = "DIR")]
    pub(crate) directory: PathBuf,

    /// The release's name
    #[arg(long, value_name = "NAME")]
    pub(crate) name: String,

    /// The release's version
    #[arg(long, value_name = "VERSION")]
    pub(crate) version: String,

    /// How long the statement holds
    #[arg(long = "valid-for", value_name = "DURATION", value_parser = parse_duration, default_value = "90d")]
    pub(crate) valid_for: Duration,
}

/// Write a stop statement: it takes a release, a person or a key out of force at once.
#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("stopped").required(true).multiple(true).args(["release", "person", "key_name"]),
    after_help = "\
Examples:
  narthex release stop policy/ --release shop=1.2.0
  narthex release stop policy/ --person mallory --key-name database

Sign it with `narthex release sign`, deliver it with `narthex release submit`."
)]
pub(crate) struct StopArguments {
    /// The policy directory
    #[arg(value_name = "DIR")]
    pub(crate) directory: PathBuf,

    /// A release, in one version or in all; may be repeated
    #[arg(long, value_name = "NAME[=VERSION]")]
    pub(crate) release: Vec<String>,

    /// A person: a leaver, or somebody who lost a key; may be repeated
    #[arg(long, value_name = "NAME")]
    pub(crate) person: Vec<String>,

    /// A key of the key service; may be repeated
    #[arg(long, value_name = "NAME")]
    pub(crate) key_name: Vec<String>,
}

/// Runs it.
pub(crate) fn run(arguments: &Arguments, output: &Output) -> Outcome<Exit> {
    crate::releases::run(arguments, output)
}
