//! `policy init`: the `[ledger]` table from what was typed.

use std::path::PathBuf;

use narthex_policy::{InitialLedger, LedgerSalt, NamedKeys, PersonName, VerifierKey};

use super::init::people;
use crate::commands::policy::LedgerArguments;
use crate::failure::{Failure, Outcome};
use crate::log::verifier_keys;
use crate::orders::person_name;

/// The log, its witnesses and its readers; `None` where no log was named. `named` are the people
/// whom the bundle names anyway.
///
/// # Errors
/// `log.key`, `policy.witnesses`, `person.unknown`, `file.*`, `random.failed`.
pub(super) fn resolve(
    arguments: &LedgerArguments,
    named: &[PersonName],
) -> Outcome<Option<InitialLedger>> {
    let LedgerArguments {
        log,
        witness,
        quorum,
        log_reader,
        anyone_may_read_log,
        insecure_without_witnesses,
    } = arguments;
    let Some(log) = log else { return Ok(None) };
    let mut witnesses = Vec::new();
    for typed in witness {
        for key in verifier_keys(typed)? {
            witnesses.push(policy_key(&key.to_string(), VerifierKey::parse_witness)?);
        }
    }
    if witnesses.is_empty() && !insecure_without_witnesses {
        return Err(Failure::misuse(
            "policy.witnesses",
            "a log without witnesses can be rewritten by whoever runs it: --witness is missing",
        )
        .next(
            "`narthex log witness-key` makes a witness's key, best on a machine of your customer; \
             --insecure-without-witnesses goes without, and says so in the bundle",
        ));
    }
    let [log] = <[_; 1]>::try_from(verifier_keys(log)?).map_err(|keys| {
        Failure::misuse(
            "log.key",
            format!("--log is one verifier key; the file holds {}", keys.len()),
        )
    })?;
    let (readers, reader_keys) = readers(log_reader, named)?;
    Ok(Some(InitialLedger {
        log: policy_key(&log.to_string(), VerifierKey::parse_log)?,
        quorum: quorum.unwrap_or(witnesses.len()),
        witnesses,
        readers,
        reader_keys,
        anyone_may_read: *anyone_may_read_log,
        salt: salt()?,
        insecure_without_witnesses: *insecure_without_witnesses,
    }))
}

fn policy_key(
    text: &str,
    parse: impl Fn(&str) -> Result<VerifierKey, narthex_policy::Refusal>,
) -> Outcome<VerifierKey> {
    parse(text).map_err(|refusal| {
        Failure::misuse("log.key", refusal.detail()).next(
            "--log takes the key of a log (`narthex-key-service log-key`), --witness that of a \
             witness (`narthex log witness-key`)",
        )
    })
}

/// `NAME` for somebody named elsewhere, `NAME=FILE` for somebody who only reads.
fn readers(typed: &[String], named: &[PersonName]) -> Outcome<(Vec<PersonName>, Vec<NamedKeys>)> {
    let mut readers = Vec::new();
    let mut with_keys: Vec<(String, PathBuf)> = Vec::new();
    for one in typed {
        let (name, file) = match one.split_once('=') {
            Some((name, file)) => (name, Some(file)),
            None => (one.as_str(), None),
        };
        let person = person_name(name)?;
        match file {
            Some(file) => with_keys.push((name.to_owned(), PathBuf::from(file))),
            None if named.contains(&person) => {}
            None => {
                return Err(Failure::misuse(
                    "person.unknown",
                    format!("--log-reader {name} is named nowhere else"),
                )
                .next(format!(
                    "give their public key, too: --log-reader {name}=PUBLIC_KEY_FILE"
                )));
            }
        }
        if !readers.contains(&person) {
            readers.push(person);
        }
    }
    Ok((readers, people(&with_keys)?))
}

/// What pseudonyms are made with: nobody who has only the log can guess names.
fn salt() -> Outcome<LedgerSalt> {
    let mut salt = [0; 32];
    getrandom::fill(&mut salt).map_err(|error| {
        Failure::environment(
            "random.failed",
            format!("the random source failed: {error}"),
        )
    })?;
    Ok(LedgerSalt(salt))
}
