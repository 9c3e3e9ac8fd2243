//! `narthex log submit-statement`: kept session statements become entries.

use std::path::Path;

use narthex_channel::submissions::SubmissionOutcome;
use narthex_policy::UnixMillis;
use serde_json::{Value, json};

use super::trust::ledger_of;
use crate::administration::static_key;
use crate::commands::log::taking_part::SubmitStatementArguments;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::moment::now_unix_millis;
use crate::output::Output;
use crate::policy_directory::HeldPolicy;
use crate::receipt::Receipt;
use crate::statements::{SessionRecord, kept};
use crate::submissions;
use crate::transport::run_to_completion;

/// `narthex log submit-statement`.
pub(super) fn submit_statement(
    arguments: &SubmitStatementArguments,
    output: &Output,
) -> Outcome<Exit> {
    let now = UnixMillis(now_unix_millis()?);
    let held =
        HeldPolicy::load_and_tell(&arguments.policy, arguments.genesis.as_deref(), now, output)?;
    ledger_of(&held)?;
    let files = kept(&arguments.paths)?;
    let mut done = Vec::new();
    let mut refused = 0_usize;
    for file in &files {
        match one(arguments, &held, file)? {
            Ok(receipt) => {
                done.push(json!({ "file": file, "log": receipt.to_json() }));
                output.say(format_args!(
                    "{}: logged as {}",
                    file.display(),
                    receipt.words()
                ));
            }
            // The others may be good.
            Err(failure) => {
                refused = refused.saturating_add(1);
                output.say(format_args!("{}: not logged", file.display()));
                output.say(failure);
            }
        }
    }
    let count = done.len();
    let value = json!({ "logged": Value::Array(done), "refused": refused });
    output.result(&value, || format!("{count} logged, {refused} refused\n"))?;
    Ok(match refused {
        0 => Exit::Done,
        _ => Exit::Refused,
    })
}

/// Hands one in. The inner error is about this file alone.
fn one(
    arguments: &SubmitStatementArguments,
    held: &HeldPolicy,
    file: &Path,
) -> Outcome<Result<Receipt, Failure>> {
    let record = SessionRecord::read(file)?;
    let answer = run_to_completion(submissions::submit(
        &arguments.service,
        &static_key(held)?,
        &record.submission(),
        arguments.timeout,
    ))?;
    if let SubmissionOutcome::Refused { reason } = answer.outcome {
        return Ok(Err(submissions::refused(reason.as_str(), " the statement")));
    }
    let Some(receipt) = Receipt::read(held, answer.log_proof.as_deref())? else {
        return Ok(Err(crate::receipt::none()));
    };
    if arguments.keep {
        let mut name = file.as_os_str().to_owned();
        name.push(".proof");
        receipt.write(Path::new(&name))?;
    } else {
        std::fs::remove_file(file).map_err(|error| Failure::file("remove", file, &error))?;
    }
    Ok(Ok(receipt))
}
