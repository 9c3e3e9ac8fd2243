//! `narthex log witness-key`, and keys as they are typed.

use std::path::{Path, PathBuf};

use narthex_ledger::tokio::{StateError, create_witness_folder};
use narthex_ledger::{KeyKind, SigningKey, VerifierKey};
use serde_json::json;
use zeroize::Zeroizing;

use crate::commands::log::witnessing::WitnessKeyArguments;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::files::{Existing, write_private_file};
use crate::input::{read_file, read_text};
use crate::output::Output;

/// A private key in text is a few hundred bytes.
const KEY_LIMIT_BYTES: usize = 4096;

/// A file with the verifier keys of a few logs.
const VERIFIER_KEYS_LIMIT_BYTES: usize = 64 * 1024;

/// `narthex log witness-key`.
pub(super) fn witness_key(arguments: &WitnessKeyArguments, output: &Output) -> Outcome<Exit> {
    let WitnessKeyArguments { name, out, state } = arguments;
    let known = out.exists();
    let key = match known {
        true => {
            let key = read_signing_key(out)?;
            if key.name() != name {
                return Err(Failure::misuse(
                    "witness.other_name",
                    format!(
                        "{} holds the key of {}, not of {name}",
                        out.display(),
                        key.name()
                    ),
                )
                .next("choose another --out: a key that was used is not overwritten"));
            }
            key
        }
        false => {
            let key = SigningKey::generate(name, KeyKind::Witness).map_err(|error| {
                Failure::misuse(error.id(), error.detail()).next(
                    "a name is printable, without spaces and plus signs: a host name and a path of \
                     yours, like customer.example/witness",
                )
            })?;
            let text = Zeroizing::new(format!("{}\n", key.to_text().as_str()));
            write_private_file(out, text.as_bytes(), Existing::Keep)?;
            key
        }
    };
    let verifier = key.verifier_key();
    let folder = state.clone().unwrap_or_else(|| state_folder(out));
    // The memory of a key that may have cosigned is made anew only for somebody who says where.
    if !known || state.is_some() {
        match create_witness_folder(&folder, &verifier) {
            Ok(()) => {}
            Err(StateError::Exists(_)) if known => {}
            Err(error) => return Err(state_failure(&error)),
        }
    }
    let verifier = verifier.to_string();
    let value = json!({
        "name": name,
        "verifier_key": verifier,
        "private_key_file": out,
        "state": folder,
    });
    output.result(&value, || format!("{verifier}\n"))?;
    output.say(format_args!(
        "the private key is in {}, its memory in {}: keep both on the witness's machine only",
        out.display(),
        folder.display()
    ));
    Ok(Exit::Done)
}

/// `KEY.state`.
pub(super) fn state_folder(key: &Path) -> PathBuf {
    let mut name = key.as_os_str().to_owned();
    name.push(".state");
    PathBuf::from(name)
}

/// A witness's folder cannot be used.
pub(super) fn state_failure(error: &StateError) -> Failure {
    let words = error.to_string();
    match error {
        StateError::Io { .. } => Failure::environment("witness.state", words)
            .next("look at the folder's owner and mode, and at the space on its disk"),
        StateError::InUse(_) => Failure::environment("witness.in_use", words)
            .next("one process for each witness; end the other one first"),
        StateError::NotAFolder(_) => Failure::environment("witness.no_state", words).next(
            "`narthex log witness-key` makes it with the key; --state DIR names it where it is elsewhere",
        ),
        StateError::Setup(_) => Failure::misuse("witness.setup", words),
        _ => Failure::refused("witness.state", words),
    }
}

/// A witness's private key from its file, which must be its owner's alone.
///
/// # Errors
/// `file.*`, `key.permissions`, `witness.key`.
pub(super) fn read_signing_key(path: &Path) -> Outcome<SigningKey> {
    use std::os::unix::fs::PermissionsExt;

    let bytes = Zeroizing::new(read_file(path, KEY_LIMIT_BYTES)?);
    let mode = std::fs::metadata(path)
        .map_err(|error| Failure::file("read", path, &error))?
        .permissions()
        .mode();
    if mode & 0o077 != 0 {
        return Err(Failure::environment(
            "key.permissions",
            format!("{} can be read by other users", path.display()),
        )
        .next(format!("make it yours alone: chmod 600 {}", path.display())));
    }
    let unusable = || {
        Failure::misuse(
            "witness.key",
            format!("{} holds no witness's private key", path.display()),
        )
        .next("`narthex log witness-key --name NAME --out FILE` makes one")
    };
    let text = std::str::from_utf8(&bytes).map_err(|_| unusable())?;
    let key = SigningKey::parse(text.trim()).map_err(|_| unusable())?;
    match key.kind() {
        KeyKind::Witness => Ok(key),
        _ => Err(Failure::misuse(
            "witness.key",
            format!(
                "{} holds a log's key: a log cannot be its own witness",
                path.display()
            ),
        )
        .next("`narthex log witness-key --name NAME --out FILE` makes a witness's key")),
    }
}

/// The verifier keys that `typed` means: one key, or a file with one a line (`#` begins a comment).
///
/// # Errors
/// `file.*`, `log.key`.
pub(crate) fn verifier_keys(typed: &str) -> Outcome<Vec<VerifierKey>> {
    if let Ok(key) = VerifierKey::parse(typed) {
        return Ok(vec![key]);
    }
    let path = Path::new(typed);
    if !path.exists() && typed.contains('+') {
        return Err(not_a_key(typed));
    }
    let text = read_text(path, VERIFIER_KEYS_LIMIT_BYTES)?;
    let lines = text.lines().map(str::trim);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    let keys = lines
        .map(|line| VerifierKey::parse(line).map_err(|_| not_a_key(line)))
        .collect::<Outcome<Vec<_>>>()?;
    match keys.is_empty() {
        true => Err(not_a_key(typed)),
        false => Ok(keys),
    }
}

fn not_a_key(text: &str) -> Failure {
    Failure::misuse("log.key", format!("`{text}` is no verifier key"))
        .next("it looks like keys.example/log+1f2e3d4c+AZ…; copy it whole, without spaces")
}
