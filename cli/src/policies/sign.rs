//! Signing bundles, releases and stops: only what could take effect is signed.

use std::path::Path;

use narthex_policy::{
    BUNDLE_SCHEMA, Bundle, Namespace, RELEASE_SCHEMA, Refusal, Release, STOP_SCHEMA, Stop, limits,
};

use crate::commands::signing_arguments::SignArguments;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::input::read_file;
use crate::output::Output;
use crate::sign_file::sign_file;

/// `narthex policy sign`.
pub(crate) fn sign_bundle(arguments: &SignArguments, output: &Output) -> Outcome<Exit> {
    let bytes = read_file(&arguments.file, limits::MAX_BUNDLE_BYTES)?;
    match schema(&bytes).as_deref() {
        Some(RELEASE_SCHEMA | STOP_SCHEMA) => Err(other_command(&arguments.file, "release sign")),
        _ => {
            let bundle = Bundle::parse_unverified(&bytes)
                .map_err(|refusal| never(&arguments.file, &refusal))?;
            if !bundle
                .people
                .iter()
                .any(|person| person.name.as_str() == arguments.person)
            {
                output.say(format_args!(
                    "narthex: this bundle does not know {}; the signature counts only where the one \
                     before it does",
                    arguments.person
                ));
            }
            sign_file(arguments, Namespace::Policy, &bytes, output)
        }
    }
}

/// `narthex release sign`: `bytes` are the file's, which the caller has looked at.
pub(crate) fn sign_statement(
    arguments: &SignArguments,
    bytes: &[u8],
    output: &Output,
) -> Outcome<Exit> {
    let namespace = match schema(bytes).as_deref() {
        Some(BUNDLE_SCHEMA) => return Err(other_command(&arguments.file, "policy sign")),
        Some(STOP_SCHEMA) => {
            Stop::parse_unverified(bytes).map_err(|refusal| never(&arguments.file, &refusal))?;
            Namespace::Stop
        }
        _ => {
            Release::parse_unverified(bytes).map_err(|refusal| never(&arguments.file, &refusal))?;
            Namespace::Release
        }
    };
    sign_file(arguments, namespace, bytes, output)
}

/// What a file says that it is. Who relies on it reads the whole file again, strictly.
pub(crate) fn schema(bytes: &[u8]) -> Option<String> {
    let table: toml::Table = core::str::from_utf8(bytes).ok()?.parse().ok()?;
    table.get("schema")?.as_str().map(str::to_owned)
}

fn never(file: &Path, refusal: &Refusal) -> Failure {
    Failure::refused(
        refusal.id(),
        format!(
            "{} could never take effect: {}",
            file.display(),
            refusal.detail()
        ),
    )
    .next("nothing was signed; mend it first")
}

fn other_command(file: &Path, command: &str) -> Failure {
    Failure::misuse(
        "file.schema",
        format!("{} is no file for this command", file.display()),
    )
    .next(format!("sign it with `narthex {command}`"))
}
