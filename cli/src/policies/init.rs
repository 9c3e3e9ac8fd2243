//! `policy init`: a first bundle, written for people to read and change.

use std::fs;
use std::path::{Path, PathBuf};

use narthex_policy::{InitialBundle, NamedKeys, PersonKey, ProjectName, StaticKey, UnixMillis};
use serde_json::json;

use crate::commands::policy::InitArguments;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::files::{Existing, write_file};
use crate::input::read_text;
use crate::moment::now_to_the_second;
use crate::orders::person_name;
use crate::output::Output;
use crate::policy_directory::Folder;

/// A `.pub` file with a handful of keys.
const PUBLIC_KEYS_LIMIT_BYTES: usize = 64 * 1024;

/// `narthex policy init`.
pub(super) fn init(arguments: &InitArguments, output: &Output) -> Outcome<Exit> {
    let bundle = resolve(arguments, UnixMillis(now_to_the_second()?))?;
    // What nobody could ever put into force is not written.
    let text = bundle
        .to_toml()
        .map_err(|refusal| Failure::misuse(refusal.id(), refusal.detail()))?;
    for folder in [Folder::Bundles, Folder::Releases, Folder::Stops] {
        let path = arguments.directory.join(folder.name());
        fs::create_dir_all(&path).map_err(|error| Failure::file("create", &path, &error))?;
    }
    let path = arguments
        .directory
        .join(Folder::Bundles.name())
        .join("0001.toml");
    write_file(&path, text.as_bytes(), Existing::Keep)?;
    output.result(&json!({ "bundle": path }), || {
        format!("{}\n", path.display())
    })?;
    output.say(format_args!(
        "Read and change it, then:\n  narthex policy lint {0}\n  narthex policy sign {0} --as PERSON --key KEY",
        path.display()
    ));
    Ok(Exit::Done)
}

fn resolve(arguments: &InitArguments, issued: UnixMillis) -> Outcome<InitialBundle> {
    let InitArguments {
        directory: _,
        project,
        reviewer,
        threshold,
        operator,
        key_administrator,
        service_key,
        valid_for,
        ledger,
    } = arguments;
    let project = ProjectName::new(project)
        .map_err(|refusal| Failure::misuse(refusal.id(), refusal.detail()))?;
    let reviewers = people(reviewer)?;
    let operators = people(operator)?;
    let key_administrators = people(key_administrator)?;
    let everybody = reviewers
        .iter()
        .chain(&operators)
        .chain(&key_administrators);
    let named: Vec<_> = everybody.map(|person| person.name.clone()).collect();
    Ok(InitialBundle {
        project,
        issued,
        expires: issued.saturating_add(*valid_for),
        reviewers,
        threshold: *threshold,
        operators,
        key_administrators,
        static_key: service_key.as_deref().map(static_key).transpose()?,
        ledger: super::ledger::resolve(ledger, &named)?,
    })
}

/// The service's public key as typed.
///
/// # Errors
/// `hex.malformed`.
pub(super) fn static_key(bytes: &[u8]) -> Outcome<StaticKey> {
    bytes.try_into().map(StaticKey).map_err(|_| {
        Failure::misuse(
            "hex.malformed",
            "--service-key is an X25519 key: 32 bytes, 64 hex digits",
        )
    })
}

/// A person named twice has the keys of both files.
pub(super) fn people(named: &[(String, PathBuf)]) -> Outcome<Vec<NamedKeys>> {
    let mut people: Vec<NamedKeys> = Vec::new();
    for (name, path) in named {
        let name = person_name(name)?;
        let keys = public_keys(path)?;
        match people.iter_mut().find(|person| person.name == name) {
            Some(person) => person.keys.extend(keys),
            None => people.push(NamedKeys { name, keys }),
        }
    }
    Ok(people)
}

fn public_keys(path: &Path) -> Outcome<Vec<PersonKey>> {
    let text = read_text(path, PUBLIC_KEYS_LIMIT_BYTES)?;
    let lines = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    let keys: Vec<PersonKey> = lines
        .map(PersonKey::parse)
        .collect::<Result<_, _>>()
        .map_err(|refusal| {
            Failure::misuse(
                refusal.id(),
                format!("{}: {}", path.display(), refusal.detail()),
            )
            .next("give the .pub file of an Ed25519 or ECDSA key, or of a security key")
        })?;
    match keys.is_empty() {
        true => Err(Failure::misuse(
            "person.key",
            format!("{} holds no key", path.display()),
        )),
        false => Ok(keys),
    }
}
