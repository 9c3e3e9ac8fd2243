//! The arguments of every `sign` and `approve`.

use std::path::PathBuf;

use clap::Args;

/// A file, a person and a key.
#[derive(Debug, Args)]
pub(crate) struct SignArguments {
    /// What to sign
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// Your name in the policy: the signature goes to FILE.PERSON.sig
    #[arg(long = "as", value_name = "PERSON")]
    pub(crate) person: String,

    /// Your SSH private key, or the public key of one that your agent or security key holds
    #[arg(long, value_name = "KEY")]
    pub(crate) key: PathBuf,
}
