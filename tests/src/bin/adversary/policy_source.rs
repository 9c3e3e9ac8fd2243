//! A policy source that gives out what it likes: an old bundle, or one that too few people signed.

use std::path::PathBuf;

use narthex_channel::policy::PolicyAnswer;
use narthex_tests::policy_source::{PolicySource, signed};

/// Serves exactly these bundles on a Unix socket, until it is killed
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The Unix socket
    #[arg(long)]
    socket: PathBuf,
    /// A bundle; its signatures are the files BUNDLE.PERSON.sig beside it; may be repeated
    #[arg(long, required = true)]
    bundle: Vec<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<bool, String> {
    let bundles = arguments
        .bundle
        .iter()
        .map(|file| signed(file))
        .collect::<Result<_, _>>()?;
    let answer = PolicyAnswer {
        bundles,
        ..PolicyAnswer::default()
    };
    let source =
        PolicySource::bind(&arguments.socket, answer).map_err(|error| error.to_string())?;
    source.serve().map_err(|error| error.to_string())?;
    Ok(true)
}
