//! What can be typed: the commands and the flags that all of them share.

use clap::{Parser, Subcommand};

use crate::commands::{
    audit, completions, diag, image, inspect, keys, log, man, measure, mock_nsm, order, policy,
    relay, release, verify,
};

/// The version, with what makes this build weaker than the shipped one.
const VERSION: &str = match cfg!(feature = "dev-root") {
    true => concat!(
        env!("CARGO_PKG_VERSION"),
        " (dev-root: development builds only)"
    ),
    false => env!("CARGO_PKG_VERSION"),
};

/// Verify AWS Nitro Enclaves, and look after the policy, keys and diagnostics around them.
#[derive(Debug, Parser)]
#[command(
    name = "narthex",
    version = VERSION,
    max_term_width = 100,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    after_help = "\
Exit codes, the same for every command:
  0  accepted, or done
  1  refused: the document, a signature, the policy or the service said no
  2  misuse: arguments or configuration
  3  environment: a file, the network or a device failed, so there is no answer

Data goes to standard output, words for people to standard error.

Examples:
  narthex inspect document.bin
  narthex verify document.bin --policy policy/ --release shop
  narthex diag vsock:16:5005 status --policy policy/ --release shop --order shift.order.toml \\
      --key ~/.ssh/id_ed25519 --enclave i-0123456789abcdef0-enc0123456789abcdef"
)]
pub(crate) struct Cli {
    /// Print JSON on standard output, errors included
    #[arg(long, global = true)]
    pub(crate) json: bool,

    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Verify(Box<verify::Arguments>),
    Inspect(inspect::Arguments),
    Policy(policy::Arguments),
    Release(release::Arguments),
    Image(image::Arguments),
    Measure(measure::Arguments),
    Order(order::Arguments),
    Diag(Box<diag::Arguments>),
    Keys(keys::Arguments),
    Log(Box<log::Arguments>),
    Audit(Box<audit::Arguments>),
    MockNsm(Box<mock_nsm::Arguments>),
    Relay(relay::Arguments),
    Completions(completions::Arguments),
    Man(man::Arguments),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn arguments_are_consistent() {
        Cli::command().debug_assert();
    }
}
