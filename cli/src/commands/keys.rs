//! `narthex keys`: key administration at the key service.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use narthex_channel::Address;

use crate::exit::Exit;
use crate::failure::Outcome;
use crate::input::{Source, parse_hex};
use crate::moment::parse_duration;
use crate::output::Output;

/// Create, import, rotate, disable, retire and back up keys at the key service.
#[derive(Debug, Args)]
#[command(
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "\
Each operation is an order that you sign; the policy says who may do what, and what needs other
people's approval. Where approval is needed, go in three steps:

  narthex keys retire database --version 1 --policy policy/ --as alice --key ~/.ssh/id_ed25519 \\
      --write-order retire.order.toml
  narthex order approve retire.order.toml --as bob --key ~/.ssh/id_ed25519        # the other person
  narthex keys retire database --version 1 --policy policy/ \\
      --service unix:/run/narthex/administration.sock --order retire.order.toml"
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) operation: Operation,
}

/// The operations of the service (key-service/docs/administration.md).
#[derive(Debug, Subcommand)]
pub(crate) enum Operation {
    /// Make a key that no person has seen
    #[command(
        after_help = "Example:\n  narthex keys create database --policy policy/ \\\n      --service unix:/run/narthex/administration.sock --as alice --key ~/.ssh/id_ed25519"
    )]
    Create {
        /// The key's name
        #[arg(value_name = "NAME")]
        name: String,
        #[command(flatten)]
        call: CallArguments,
    },
    /// Give the service a key that you have: it is marked as one that a person has seen
    #[command(
        after_help = "Example:\n  narthex keys import database --secret database.key --policy policy/ \\\n      --service unix:/run/narthex/administration.sock --as alice --key ~/.ssh/id_ed25519"
    )]
    Import {
        /// The key's name
        #[arg(value_name = "NAME")]
        name: String,
        /// The version it becomes: 1 for a new key, else one more than the newest
        #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
        version: u32,
        /// The secret: a file of 1 to 4096 bytes, or `-`; taken byte for byte
        #[arg(long, value_name = "FILE")]
        secret: Source,
        #[command(flatten)]
        call: CallArguments,
    },
    /// List keys, their versions, states and commitments
    #[command(
        after_help = "Example:\n  narthex keys list --policy policy/ \\\n      --service unix:/run/narthex/administration.sock --as alice --key ~/.ssh/id_ed25519 --json"
    )]
    List {
        /// Only this key
        #[arg(value_name = "NAME")]
        name: Option<String>,
        #[command(flatten)]
        call: CallArguments,
    },
    /// Make the next version of a key
    #[command(
        after_help = "Example:\n  narthex keys rotate database --policy policy/ \\\n      --service unix:/run/narthex/administration.sock --as alice --key ~/.ssh/id_ed25519\n\nEnclaves get the new version when the next bundle commits to it; the answer shows the commitment."
    )]
    Rotate {
        /// The key's name
        #[arg(value_name = "NAME")]
        name: String,
        #[command(flatten)]
        call: CallArguments,
    },
    /// Stop releasing a version of a key
    #[command(
        after_help = "Example:\n  narthex keys disable database --version 1 --policy policy/ \\\n      --service unix:/run/narthex/administration.sock --as alice --key ~/.ssh/id_ed25519"
    )]
    Disable {
        /// The key's name
        #[arg(value_name = "NAME")]
        name: String,
        /// The version
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        version: u32,
        #[command(flatten)]
        call: CallArguments,
    },
    /// Release a disabled or restored key again
    #[command(
        after_help = "Example:\n  narthex keys enable database --version 1 --policy policy/ \\\n      --service unix:/run/narthex/administration.sock --order enable.order.toml"
    )]
    Enable {
        /// The key's name
        #[arg(value_name = "NAME")]
        name: String,
        /// The version
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        version: u32,
        #[command(flatten)]
        call: CallArguments,
    },
    /// Destroy a version of a key for good
    #[command(
        after_help = "Example:\n  narthex keys retire database --version 1 --policy policy/ \\\n      --service unix:/run/narthex/administration.sock --order retire.order.toml"
    )]
    Retire {
        /// The key's name
        #[arg(value_name = "NAME")]
        name: String,
        /// The version
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        version: u32,
        #[command(flatten)]
        call: CallArguments,
    },
    /// Fetch a backup: wrapped keys only, useless without the service's root key
    #[command(
        after_help = "Example:\n  narthex keys backup --out keys.backup --policy policy/ \\\n      --service unix:/run/narthex/administration.sock --as alice --key ~/.ssh/id_ed25519"
    )]
    Backup {
        /// Where to put it; not overwritten
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        #[command(flatten)]
        call: CallArguments,
    },
    /// Give a backup to a service; what it brings back stays inert until somebody enables it
    #[command(
        after_help = "Example:\n  narthex keys restore --backup keys.backup --policy policy/ \\\n      --service unix:/run/narthex/administration.sock --order restore.order.toml"
    )]
    Restore {
        /// The backup
        #[arg(long, value_name = "FILE")]
        backup: PathBuf,
        #[command(flatten)]
        call: CallArguments,
    },
    /// List the newest entries of the service's log, as a key administrator; `narthex log` reads all of it
    #[command(
        after_help = "Example:\n  narthex keys decisions --policy policy/ \\\n      --service unix:/run/narthex/administration.sock --as alice --key ~/.ssh/id_ed25519 --json"
    )]
    Decisions {
        #[command(flatten)]
        call: CallArguments,
    },
    /// Wrap all keys under a new root key, while the service runs
    #[command(
        after_help = "Example:\n  narthex keys rotate-root --policy policy/ \\\n      --service unix:/run/narthex/administration.sock --order rotate.order.toml"
    )]
    RotateRoot {
        #[command(flatten)]
        call: CallArguments,
    },
}

/// How the order comes about, and where it goes.
#[derive(Debug, Args)]
pub(crate) struct CallArguments {
    /// Your policy directory: project, and the service's public key
    #[arg(long, value_name = "DIR", help_heading = "Policy and service")]
    pub(crate) policy: PathBuf,

    /// SHA-384 of the policy's first bundle; without it the directory itself is trusted
    #[arg(long, value_name = "HEX", value_parser = parse_hex, help_heading = "Policy and service")]
    pub(crate) genesis: Option<std::vec::Vec<u8>>,

    /// The service's administration address
    #[arg(
        long,
        value_name = "ADDRESS",
        required_unless_present = "write_order",
        help_heading = "Policy and service"
    )]
    pub(crate) service: Option<Address>,

    /// Give up when the service is silent for this long
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "30s", help_heading = "Policy and service")]
    pub(crate) timeout: Duration,

    /// Write the proof that it was logged to this file; one that is there is replaced
    #[arg(
        long,
        value_name = "FILE",
        help_heading = "Policy and service",
        conflicts_with = "write_order"
    )]
    pub(crate) proof: Option<PathBuf>,

    /// Your name in the policy
    #[arg(
        long = "as",
        value_name = "PERSON",
        required_unless_present = "order",
        help_heading = "The order"
    )]
    pub(crate) person: Option<String>,

    /// Your SSH key
    #[arg(
        long,
        value_name = "KEY",
        required_unless_present = "order",
        help_heading = "The order"
    )]
    pub(crate) key: Option<PathBuf>,

    /// How long the order is valid
    #[arg(long = "valid-for", value_name = "DURATION", value_parser = parse_duration, default_value = "1h", help_heading = "The order")]
    pub(crate) valid_for: Duration,

    /// Only write the signed order to this file, for others to approve; send nothing
    #[arg(long, value_name = "FILE", conflicts_with_all = ["order", "service"], help_heading = "The order")]
    pub(crate) write_order: Option<PathBuf>,

    /// Send this order, made before with --write-order, with the signatures beside it
    #[arg(long, value_name = "FILE", conflicts_with_all = ["person", "key"], help_heading = "The order")]
    pub(crate) order: Option<PathBuf>,

    /// An approval that is kept elsewhere; may be repeated
    #[arg(
        long,
        value_name = "SIG",
        requires = "order",
        help_heading = "The order"
    )]
    pub(crate) approval: Vec<PathBuf>,
}

/// Runs it.
pub(crate) fn run(arguments: &Arguments, output: &Output) -> Outcome<Exit> {
    crate::administration::keys(arguments, output)
}
