//! `narthex mock-nsm`: a Nitro Security Module without an enclave.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use crate::exit::Exit;
use crate::failure::Outcome;
use crate::input::parse_hex;
use crate::moment::parse_duration;
use crate::output::Output;

/// Serve a mock Nitro Security Module over a Unix socket, for trying things without an enclave.
#[derive(Debug, Args)]
#[command(
    subcommand_negates_reqs = true,
    args_conflicts_with_subcommands = true,
    after_help = "\
Documents of the mock have AWS's layout and differ in their root alone, so they show nothing about
any machine. The root's key is made on first use under $XDG_STATE_HOME/narthex (or
~/.local/state/narthex). No shipped program trusts it; builds with the feature `dev-root` do when they are told to.

Examples:
  narthex mock-nsm --socket /tmp/nsm.sock --image-label shop-1.2.0
  narthex mock-nsm --socket /tmp/nsm.sock --debug --instance-id i-0123456789abcdef0
  narthex mock-nsm measurements --image-label shop-1.2.0 | narthex release new policy/ \\
      --name shop --version 1.2.0 --insecure-measurements -
  narthex mock-nsm document --image-label shop-1.2.0 --out doc.bin \\
      --nonce 00112233445566778899aabbccddeeff
  narthex mock-nsm --sign-for sign.sock --root-out development-root.der"
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    /// The Unix socket to serve on
    #[arg(long, value_name = "PATH", required_unless_present = "sign_for")]
    pub(crate) socket: Option<PathBuf>,

    /// Instead of a mock, sign for a virtual machine: QEMU sends its NSM's unsigned documents to this
    /// Unix socket (`-M nitro-enclave,signer=PATH`), and the machine's registers are what they say
    #[arg(
        long,
        value_name = "PATH",
        conflicts_with_all = ["socket", "EnclaveArguments", "fault_request"]
    )]
    pub(crate) sign_for: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) enclave: EnclaveArguments,

    #[command(flatten)]
    pub(crate) authority: AuthorityArguments,

    /// Misbehave: slow=DURATION, clock=+DURATION, clock=-DURATION, wrong-key, malformed, or one of
    /// the NSM's error codes (InternalError, …); may be repeated
    #[arg(long, value_name = "FAULT")]
    pub(crate) fault: Vec<String>,

    /// Which request --fault is for, instead of all
    #[arg(long, value_name = "REQUEST", value_enum, requires = "fault")]
    pub(crate) fault_request: Option<RequestName>,

    /// How often --fault happens, instead of always
    #[arg(long, value_name = "COUNT", requires = "fault")]
    pub(crate) fault_times: Option<u32>,
}

/// What the mock does besides serving.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Document(Box<DocumentArguments>),
    Measurements(MeasurementsArguments),
    Root(RootArguments),
}

/// Make one attestation document and end.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  narthex mock-nsm document --image-label shop-1.2.0 --user-data 616263 --out doc.bin
  narthex inspect doc.bin")]
pub(crate) struct DocumentArguments {
    /// Where to put it; `-` for standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,

    /// Up to 1024 bytes
    #[arg(long, value_name = "HEX", value_parser = parse_hex)]
    pub(crate) nonce: Option<std::vec::Vec<u8>>,

    /// Up to 1024 bytes
    #[arg(long, value_name = "HEX", value_parser = parse_hex)]
    pub(crate) user_data: Option<std::vec::Vec<u8>>,

    /// A file of up to 1024 bytes
    #[arg(long, value_name = "FILE")]
    pub(crate) public_key: Option<PathBuf>,

    /// Boot with this policy bundle: PCR16 holds it
    #[arg(long, value_name = "FILE")]
    pub(crate) bundle: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) enclave: EnclaveArguments,

    #[command(flatten)]
    pub(crate) authority: AuthorityArguments,
}

/// Print PCR0, PCR1 and PCR2 of a made-up image, as `nitro-cli build-enclave` does.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  narthex mock-nsm measurements --image-label shop-1.2.0")]
pub(crate) struct MeasurementsArguments {
    /// The image's label: the same text gives the same measurements
    #[arg(long, value_name = "TEXT")]
    pub(crate) image_label: String,
}

/// Write the development root's certificate.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  narthex mock-nsm root --root-out development-root.pem")]
pub(crate) struct RootArguments {
    #[command(flatten)]
    pub(crate) authority: AuthorityArguments,
}

/// Which enclave the mock pretends to be.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "The enclave it pretends to be")]
pub(crate) struct EnclaveArguments {
    /// Derive PCR0, PCR1 and PCR2 from this text
    #[arg(long, value_name = "TEXT", conflicts_with = "pcr0")]
    pub(crate) image_label: Option<String>,

    /// The whole image
    #[arg(long, value_name = "HEX", value_parser = parse_hex, requires_all = ["pcr1", "pcr2"])]
    pub(crate) pcr0: Option<std::vec::Vec<u8>>,

    /// Kernel and boot ramdisk
    #[arg(long, value_name = "HEX", value_parser = parse_hex, requires = "pcr0")]
    pub(crate) pcr1: Option<std::vec::Vec<u8>>,

    /// The application
    #[arg(long, value_name = "HEX", value_parser = parse_hex, requires = "pcr0")]
    pub(crate) pcr2: Option<std::vec::Vec<u8>>,

    /// The certificate that signed the image
    #[arg(long, value_name = "HEX", value_parser = parse_hex)]
    pub(crate) pcr8: Option<std::vec::Vec<u8>>,

    /// i-…-enc…; PCR4 follows from its instance
    #[arg(long, value_name = "ID", conflicts_with = "instance_id")]
    pub(crate) module_id: Option<String>,

    /// The parent instance; PCR4 follows from it
    #[arg(long, value_name = "ID")]
    pub(crate) instance_id: Option<String>,

    /// The parent's IAM role; PCR3 follows from it. Without it PCR3 is zero
    #[arg(long, value_name = "ARN")]
    pub(crate) role_arn: Option<String>,

    /// Debug mode: PCR0, 1, 2 and 8 are zero
    #[arg(long)]
    pub(crate) debug: bool,
}

/// The development authority.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "The development authority")]
pub(crate) struct AuthorityArguments {
    /// Where the root's key is kept, instead of the user's state directory
    #[arg(long, value_name = "DIR")]
    pub(crate) state: Option<PathBuf>,

    /// Also write the root's certificate there: PEM, or DER if the name ends in .der
    #[arg(long, value_name = "FILE")]
    pub(crate) root_out: Option<PathBuf>,
}

/// The NSM's seven requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum RequestName {
    /// DescribePCR
    DescribePcr,
    /// ExtendPCR
    ExtendPcr,
    /// LockPCR
    LockPcr,
    /// LockPCRs
    LockPcrs,
    /// DescribeNSM
    DescribeNsm,
    /// Attestation
    Attestation,
    /// GetRandom
    GetRandom,
}

/// `5s` after a sign.
pub(crate) fn parse_shift(text: &str) -> Result<i64, String> {
    let (sign, duration) = match (text.strip_prefix('+'), text.strip_prefix('-')) {
        (Some(later), _) => (1, later),
        (None, Some(earlier)) => (-1, earlier),
        (None, None) => return Err("expected clock=+DURATION or clock=-DURATION".to_owned()),
    };
    let duration: Duration = parse_duration(duration)?;
    i64::try_from(duration.as_millis())
        .map(|millis| sign * millis)
        .map_err(|_| "the duration is too long".to_owned())
}

/// Runs it.
pub(crate) fn run(arguments: &Arguments, output: &Output) -> Outcome<Exit> {
    crate::mock::run(arguments, output)
}
