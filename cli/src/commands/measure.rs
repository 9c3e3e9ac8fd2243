//! `narthex measure`: what an image file measures to.

use std::path::PathBuf;

use clap::Args;

use crate::exit::Exit;
use crate::failure::Outcome;
use crate::input::parse_hex;
use crate::moment::parse_time;
use crate::output::Output;

/// Measure an image file, as the hypervisor will; or compare it with a release.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  narthex measure shop.eif
  narthex measure shop.eif --expect policy/ --release shop
  narthex measure shop.eif --expect policy/ --release shop=1.2.0 --json

Prints the JSON of `nitro-cli describe-eif`. With --expect it says register by register whether
this is the release, which must be signed and in force; exit code 1 if it is not. The signature of
a signed image is verified, and an image whose signature does not hold is not measured.")]
pub(crate) struct Arguments {
    /// The image
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// A policy directory
    #[arg(long, value_name = "DIR", requires = "release")]
    pub(crate) expect: Option<PathBuf>,

    /// The release that the image must be: any version in force, or NAME=VERSION
    #[arg(long, value_name = "NAME", requires = "expect")]
    pub(crate) release: Option<String>,

    /// SHA-384 of the policy's first bundle; without it the directory itself is trusted
    #[arg(long, value_name = "HEX", requires = "expect", value_parser = parse_hex)]
    pub(crate) genesis: Option<std::vec::Vec<u8>>,

    /// Judge as of this time instead of now
    #[arg(long, value_name = "TIME", requires = "expect", value_parser = parse_time)]
    pub(crate) at: Option<u64>,
}

/// Runs it.
pub(crate) fn run(arguments: &Arguments, output: &Output) -> Outcome<Exit> {
    crate::images::measure(arguments, output)
}
