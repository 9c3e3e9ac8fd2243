//! `image` and `measure`: what they do.
//!
//! | File | Job |
//! |---|---|
//! | `file.rs` | reading an image file; its refusals in the command's words |
//! | `describe.rs` | the JSON of `nitro-cli describe-eif` |
//! | `inspect.rs`, `expect.rs` | `image inspect`, `measure` |
//! | `making.rs`, `build.rs`, `rebuild.rs` | building, and comparing what was built |
//! | `manifest.rs` | reading a manifest and the signatures beside it |
//! | `approve.rs`, `verify.rs` | `image approve`, `image verify` |
//! | `sign.rs`, `pkcs11.rs` | signing an image with a key in a file or a token |

mod approve;
mod build;
mod describe;
mod expect;
mod file;
mod inspect;
mod making;
mod manifest;
mod pkcs11;
mod rebuild;
mod sign;
mod verify;

pub(crate) use expect::measure;
pub(crate) use file::signing_register;
pub(crate) use manifest::{Approved, ManifestFile, policy_measurements};

use crate::commands::image::{Arguments, Command};
use crate::exit::Exit;
use crate::failure::Outcome;
use crate::output::Output;

/// `narthex image`.
pub(crate) fn run(arguments: &Arguments, output: &Output) -> Outcome<Exit> {
    match &arguments.command {
        Command::Build(arguments) => build::build(arguments, output),
        Command::Inspect(arguments) => inspect::inspect(arguments, output),
        Command::Sign(arguments) => sign::sign(arguments, output),
        Command::Rebuild(arguments) => rebuild::rebuild(arguments, output),
        Command::Approve(arguments) => approve::approve(arguments, output),
        Command::Verify(arguments) => verify::verify(arguments, output),
    }
}
