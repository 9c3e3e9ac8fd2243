//! `narthex log witness` and `witness-key`.

use std::path::PathBuf;

use clap::Args;

use crate::log::ListenAddress;

/// Witness logs: cosign what only grew, and remember it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  narthex log witness-key --name customer.example/witness --out witness.key
  narthex log witness --key witness.key --log 'keys.example/log+1f2e3d4c+AZ…' \\
      --listen tcp:0.0.0.0:7010

It speaks the C2SP tlog-witness protocol (POST /add-checkpoint), so it can witness other
people's logs, too, and other witnesses can witness ours. Run it on a machine that the key
service's staff cannot reach: all it protects is its memory. What it has cosigned is on disk
before it answers. SIGINT and SIGTERM end it.")]
pub(crate) struct WitnessArguments {
    /// The witness's private key, as `narthex log witness-key` writes it
    #[arg(long, value_name = "FILE")]
    pub(crate) key: PathBuf,

    /// A log's verifier key (name+hash+key), or a file with one a line; may be repeated
    #[arg(long, value_name = "VKEY|FILE", required = true)]
    pub(crate) log: Vec<String>,

    /// The folder in which it remembers, as `witness-key` made it, instead of KEY.state
    #[arg(long, value_name = "DIR")]
    pub(crate) state: Option<PathBuf>,

    /// Where to listen: tcp:IP:PORT or unix:PATH; may be repeated
    #[arg(long, value_name = "ADDRESS", required = true)]
    pub(crate) listen: Vec<ListenAddress>,
}

/// Make a witness's key and its memory, and print the verifier key for the policy.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  narthex log witness-key --name customer.example/witness --out witness.key

The private key stays in FILE (mode 0600), the memory in the folder FILE.state. They belong
together: a key that cosigned before and starts on an empty memory can be made to cosign another
past. Restoring one of them from an old backup does the same. What is printed goes into the
bundle's [ledger] table, or to `narthex policy init --witness`.")]
pub(crate) struct WitnessKeyArguments {
    /// The witness's name, unlike that of any other: a host name and a path of yours
    #[arg(long, value_name = "NAME")]
    pub(crate) name: String,

    /// Where to write the private key. One that is there is kept, and its verifier key printed
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,

    /// The folder for its memory, instead of FILE.state. For a key that is there, only this makes one
    #[arg(long, value_name = "DIR")]
    pub(crate) state: Option<PathBuf>,
}
