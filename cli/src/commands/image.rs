//! `narthex image`: enclave images, from recipe to signed file.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand};

use crate::exit::Exit;
use crate::failure::Outcome;
use crate::input::parse_hex;
use crate::moment::parse_time;
use crate::output::Output;

use super::signing_arguments::SignArguments;

/// Build enclave images that anybody can build again, compare them, sign and approve them.
#[derive(Debug, Args)]
#[command(
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "\
From a recipe to a release that gets keys:

  narthex image build shop.toml --out shop.eif                    writes shop.manifest.json too
  narthex image rebuild shop.manifest.json --recipe shop.toml     somebody else, on another machine
  narthex image approve shop.manifest.json --as alice --key ~/.ssh/id_ed25519
  narthex release new policy/ --manifest shop.manifest.json       when enough people approved"
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What can be done with images.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Build(BuildArguments),
    Inspect(InspectArguments),
    Sign(SignImageArguments),
    Rebuild(RebuildArguments),
    Approve(ApproveArguments),
    Verify(VerifyArguments),
}

/// Build an image from a recipe, and write the manifest that says what went into it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  narthex image build shop.toml --out shop.eif
  narthex image build shop.toml --out shop.eif --manifest release/shop-1.2.0.json --json

The same inputs make the same bytes, wherever and by whomever they are built. Everything that
weakens the image has to be allowed by the recipe, by name, and is printed.")]
pub(crate) struct BuildArguments {
    /// The recipe
    #[arg(value_name = "RECIPE")]
    pub(crate) recipe: PathBuf,

    /// Where the image goes
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,

    /// Where the manifest goes; without it, beside the image: shop.eif and shop.manifest.json
    #[arg(long, value_name = "FILE")]
    pub(crate) manifest: Option<PathBuf>,

    /// Replace files that are there
    #[arg(long)]
    pub(crate) force: bool,
}

/// Show what is in an image file: sections, command line, measurements, signature, metadata.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  narthex image inspect shop.eif
  narthex image inspect shop.eif --json

Metadata and what the header proposes are not measured: whoever holds the file can write what they
like.")]
pub(crate) struct InspectArguments {
    /// The image
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

/// Sign an image, so that PCR8 says whose it is. The other registers stay as they are.
#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("signer").required(true).args(["key", "pkcs11_module"]),
    after_help = "\
Examples:
  narthex image sign shop.eif --certificate signing.pem --key signing.key --out shop.signed.eif
  narthex image sign shop.eif --certificate signing.pem --out shop.signed.eif \\
      --pkcs11-module /usr/lib/softhsm/libsofthsm2.so --pkcs11-pin-file pin \\
      --pkcs11-uri 'pkcs11:token=release;object=image-signing'

The key is on P-384, in PEM without a passphrase (SEC1 or PKCS#8), or in a token. The program
`narthex-pkcs11` talks to tokens: it lies beside this one, or on the PATH. Without --pkcs11-pin-file
the PIN is taken from the environment variable NARTHEX_PKCS11_PIN."
)]
pub(crate) struct SignImageArguments {
    /// The image
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// The signing certificate: one, in PEM; PCR8 is made of it
    #[arg(long, value_name = "PEM")]
    pub(crate) certificate: PathBuf,

    /// The certificate's private key, in a file that only you can read
    #[arg(long, value_name = "PEM")]
    pub(crate) key: Option<PathBuf>,

    /// The PKCS#11 module of the token that holds the private key
    #[arg(long, value_name = "SO", requires = "pkcs11_uri")]
    pub(crate) pkcs11_module: Option<PathBuf>,

    /// The private key in the token (RFC 7512)
    #[arg(long, value_name = "URI", requires = "pkcs11_module")]
    pub(crate) pkcs11_uri: Option<String>,

    /// A file with the token's PIN, which only you can read
    #[arg(long, value_name = "FILE", requires = "pkcs11_module")]
    pub(crate) pkcs11_pin_file: Option<PathBuf>,

    /// Where the signed image goes
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,

    /// Replace a file that is there
    #[arg(long)]
    pub(crate) force: bool,
}

/// Build an image again and compare it with somebody's manifest.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  narthex image rebuild shop.manifest.json --recipe shop.toml

Every difference is listed, causes before consequences. Exit code 1 if there is one.")]
pub(crate) struct RebuildArguments {
    /// The manifest to compare with
    #[arg(value_name = "MANIFEST")]
    pub(crate) manifest: PathBuf,

    /// The recipe, from your own checkout
    #[arg(long, value_name = "RECIPE")]
    pub(crate) recipe: PathBuf,

    /// Keep the image that was built here, whether it is the same or not
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,

    /// Replace a file that is there
    #[arg(long, requires = "out")]
    pub(crate) force: bool,
}

/// Sign a manifest: you have built the image and got what it says.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  narthex image approve shop.manifest.json --as alice --key ~/.ssh/id_ed25519 --recipe shop.toml
  narthex image approve shop.manifest.json --as alice --key ~/.ssh/id_ed25519

With --recipe the image is built again first, and nothing is signed if there is a difference. The
signature goes to MANIFEST.PERSON.sig; `ssh-keygen -Y sign -n image@narthex` makes the same.")]
pub(crate) struct ApproveArguments {
    #[command(flatten)]
    pub(crate) sign: SignArguments,

    /// Build the image from this recipe first
    #[arg(long, value_name = "RECIPE")]
    pub(crate) recipe: Option<PathBuf>,
}

/// Check an image against its manifest, and the manifest against the people who may release it.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  narthex image verify shop.eif --manifest shop.manifest.json --policy policy/

The signatures lie beside the manifest. Exit code 1 if the image is another one, or if fewer people
approved the manifest than the policy asks for.")]
pub(crate) struct VerifyArguments {
    /// The image, signed or not
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// Its manifest
    #[arg(long, value_name = "MANIFEST")]
    pub(crate) manifest: PathBuf,

    /// The policy directory that names those who may approve
    #[arg(long, value_name = "DIR")]
    pub(crate) policy: PathBuf,

    /// SHA-384 of the policy's first bundle; without it the directory itself is trusted
    #[arg(long, value_name = "HEX", value_parser = parse_hex)]
    pub(crate) genesis: Option<std::vec::Vec<u8>>,

    /// Judge as of this time instead of now
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub(crate) at: Option<u64>,
}

/// Runs it.
pub(crate) fn run(arguments: &Arguments, output: &Output) -> Outcome<Exit> {
    crate::images::run(arguments, output)
}
