//! `narthex log prove` and `verify-proof`.

use std::path::{Path, PathBuf};

use narthex_ledger::{Entry, LogReason, MAX_ENTRY, MAX_PROOF_TEXT};
use serde_json::json;

use super::failures::log_failure;
use super::open::{OpenLog, cosigned_words, store};
use super::trust::Relying;
use super::words::Numbered;
use crate::commands::log::LogArguments;
use crate::commands::log::proofs::{ProveArguments, VerifyProofArguments};
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::files::{Existing, write_file};
use crate::input::read_file;
use crate::orders::parse_proof;
use crate::output::Output;
use crate::printable::printable;

/// `narthex log prove`.
pub(super) fn prove(arguments: &ProveArguments, output: &Output) -> Outcome<Exit> {
    let ProveArguments { source, index, out } = arguments;
    let log = OpenLog::open(source, output)?;
    let size = log.head.checkpoint().size;
    if *index >= size {
        return Err(Failure::misuse(
            "log.no_such_entry",
            format!("there is no entry {index}: the log has {size}, counted from 0"),
        ));
    }
    let failed = |error| log.failure(&error);
    let reader = log.reader()?;
    let leaf = reader.entry(*index).map_err(failed)?;
    let proof = reader.prove(*index, None).map_err(failed)?;
    // What is written is checked as anybody will check it.
    proof.verify(&leaf, &log.relying.trust).map_err(failed)?;
    let entry_path = entry_path(out);
    write_file(&entry_path, &leaf, Existing::Keep)?;
    if let Err(failure) = write_file(out, proof.to_string().as_bytes(), Existing::Keep) {
        // An entry without its proof is of no use, and would stand in the way of the next try.
        let _left_behind = std::fs::remove_file(&entry_path);
        return Err(failure);
    }
    let value = json!({
        "proof": out,
        "entry_file": entry_path,
        "index": index,
        "checkpoint_size": size,
    });
    output.result(&value, || format!("{}\n", out.display()))?;
    output.say(format_args!(
        "the entry itself is in {}; `narthex log verify-proof {}` checks both",
        entry_path.display(),
        out.display()
    ));
    Ok(Exit::Done)
}

/// `narthex log verify-proof`.
pub(super) fn verify_proof(arguments: &VerifyProofArguments, output: &Output) -> Outcome<Exit> {
    let relying = Relying::resolve(&arguments.trust, output)?;
    let name = arguments.file.display().to_string();
    let proof = parse_proof(&read_file(&arguments.file, MAX_PROOF_TEXT)?)?;
    let leaf =
        match &arguments.log {
            Some(_) => fetched(arguments, proof.index, output)?,
            None => {
                let path = match &arguments.entry {
                    Some(path) => path.clone(),
                    None => entry_path(&arguments.file),
                };
                if !path.exists() {
                    return Err(Failure::environment(
                    "file.not_found",
                    format!("a proof is about an entry, and there is no {}", path.display()),
                )
                .next(
                    "--entry FILE names the entry's bytes; --log LOG fetches them; the proof of an \
                     order is checked by `narthex order verify`",
                ));
                }
                read_file(&path, MAX_ENTRY)?
            }
        };
    let head = proof
        .verify(&leaf, &relying.trust)
        .map_err(|error| match error.reason() {
            LogReason::Inclusion => Failure::refused(
                error.id(),
                format!("{name}: it does not prove this entry: {}", error.detail()),
            )
            .next("proof and entry do not belong together, or one of them was altered"),
            _ => log_failure(&name, &error),
        })?;
    Entry::from_leaf(&leaf).map_err(|error| log_failure(&name, &error))?;
    let numbered = Numbered::new(proof.index, &leaf);
    let at = head.checkpoint();
    let value = json!({
        "verdict": "accepted",
        "origin": at.origin,
        "index": proof.index,
        "checkpoint_size": at.size,
        "cosigned_by": head.cosignatures().iter().map(|(name, _)| name).collect::<Vec<_>>(),
        "entry": numbered.to_json(&relying.people),
    });
    output.result(&value, || {
        format!(
            "ACCEPTED  entry {} of {} is in the log of {} entries\n  cosigned: {}\n\n{}",
            proof.index,
            printable(&at.origin),
            at.size,
            printable(&cosigned_words(&head)),
            numbered.block(&relying.people)
        )
    })?;
    Ok(Exit::Done)
}

/// The entry with the proof's number, from a log; it need not be trusted, because the proof is what
/// is checked.
fn fetched(arguments: &VerifyProofArguments, index: u64, output: &Output) -> Outcome<Vec<u8>> {
    let address = arguments
        .log
        .clone()
        .ok_or_else(|| Failure::misuse("misuse.arguments", "--log is missing"))?;
    // Reached like any other log, so that a ticket, a remembered checkpoint and the words are the same.
    store(&address, &arguments.access)?;
    let log = OpenLog::open(
        &LogArguments {
            log: address,
            older_copy: true,
            trust: arguments.trust.clone(),
            access: arguments.access.clone(),
        },
        output,
    )?;
    log.reader()?
        .entry(index)
        .map_err(|error| log.failure(&error))
}

/// `FILE.entry`.
fn entry_path(proof: &Path) -> PathBuf {
    let mut name = proof.as_os_str().to_owned();
    name.push(".entry");
    PathBuf::from(name)
}
