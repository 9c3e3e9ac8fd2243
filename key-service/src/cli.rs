//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Hands keys to attested enclaves, under a policy that several people signed.
///
/// Every decision is an entry of a transparency log before it has any effect.
///
/// Exit codes: 0 done, 1 refused, 2 misuse (arguments, configuration), 3 environment (file, network).
#[derive(Debug, Parser)]
#[command(name = "narthex-key-service", version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make the service's static key unless there is one, and print its public half for the bundle.
    StaticKey(ConfigArgument),
    /// Make the log's key unless there is one, and print its public half for the bundle.
    LogKey(LogKeyArguments),
    /// Fix the genesis bundle for good: make root key and database, and begin the log.
    Init(InitArguments),
    /// Serve until SIGTERM or SIGINT.
    Run(ConfigArgument),
    /// Check every row of the database, the log and its evidence; works beside a running service.
    Check(ConfigArgument),
    /// Check the log and print every entry as a line of JSON; works beside a running service.
    Entries(ConfigArgument),
    /// Bring an older copy of the database to where a mirror of the log is.
    ///
    /// For a service that refuses to start with `log.behind`. Imports every entry that the mirror has more, once the
    /// witnesses' quorum has confirmed that the mirror is complete. Keys made since that copy are gone, unless a backup
    /// of them is restored: they are retired, and an entry lists them.
    CatchUp(CatchUpArguments),
    /// End the log that is here and begin the one that a signed bundle names.
    ///
    /// For a log that cannot go on: its key is lost or stolen, or there is no mirror to catch up with. The bundle says
    /// in `[[ledger.previous]]` where the old log ends; without the right values, this command prints them.
    NewEpoch(NewEpochArguments),
    /// Look after the root key file.
    #[command(subcommand)]
    RootKey(RootKeyCommand),
}

#[derive(Debug, Args)]
pub(crate) struct ConfigArgument {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct LogKeyArguments {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// The name of the log: unique in the world, such as a domain name with a path. Printable, without spaces and `+`.
    #[arg(long, value_name = "NAME")]
    pub(crate) origin: String,
}

#[derive(Debug, Args)]
pub(crate) struct InitArguments {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// The first policy bundle.
    #[arg(long, value_name = "FILE")]
    pub(crate) genesis: PathBuf,
    /// The reviewers' signatures over it.
    #[arg(long, value_name = "FILE", required = true, num_args = 1..)]
    pub(crate) signature: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct CatchUpArguments {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// A folder that `narthex log mirror` keeps, or `http://…` or `unix:PATH` of a server of one.
    #[arg(long, value_name = "DIR|URL")]
    pub(crate) mirror: String,
}

#[derive(Debug, Args)]
pub(crate) struct NewEpochArguments {
    /// The configuration file; its `[storage] log_key` is the key of the new log.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// The bundle that names the new log.
    #[arg(long, value_name = "FILE")]
    pub(crate) bundle: PathBuf,
    /// The reviewers' signatures over it.
    #[arg(long, value_name = "FILE", required = true, num_args = 1..)]
    pub(crate) signature: Vec<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RootKeyCommand {
    /// Print the ids of the keys in the file, oldest first, and which of them the database needs.
    List(ConfigArgument),
    /// Add the keys of another machine's root key file, so that its backups can be restored here.
    Import(ImportArguments),
    /// Remove a key that the database does not need. Backups made under it become unreadable for ever.
    Forget(ForgetArguments),
}

#[derive(Debug, Args)]
pub(crate) struct ImportArguments {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// The other machine's root key file, mode 0600.
    #[arg(long, value_name = "FILE")]
    pub(crate) from: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct ForgetArguments {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// The key's id, 32 hex digits.
    #[arg(value_name = "ID")]
    pub(crate) id: String,
}
