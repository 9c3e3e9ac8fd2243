//! After the session: what the agent stated goes to the log, or is kept until it can.
//!
//! The results are shown by then. That the log cannot be reached does not make them wrong, and a
//! read order goes on working without it, so this never changes how the command ends; it says what
//! became of the statement.

use narthex_channel::submissions::SubmissionOutcome;

use crate::administration::static_key;
use crate::commands::diag::Arguments;
use crate::failure::{Failure, Outcome};
use crate::output::Output;
use crate::policy_directory::HeldPolicy;
use crate::receipt::Receipt;
use crate::state::state_directory;
use crate::statements::SessionRecord;
use crate::submissions;
use crate::transport::run_to_completion;

/// Hands `record` in, or keeps it.
///
/// # Errors
/// `file.*` if it cannot be kept where the person said.
pub(super) fn hand_in(
    arguments: &Arguments,
    held: &HeldPolicy,
    record: &SessionRecord,
    output: &Output,
) -> Outcome<()> {
    if held.policy.bundle().ledger.is_none() {
        return match &arguments.keep_statement {
            None => Ok(()),
            Some(folder) => keep(record, folder, output),
        };
    }
    match (&arguments.submissions, &arguments.keep_statement) {
        (Some(_), folder) => match submit(arguments, held, record, output) {
            Ok(()) => Ok(()),
            Err(failure) => {
                output.say(failure);
                match folder {
                    Some(folder) => keep(record, folder, output),
                    // Nobody said where: kept all the same, so that it is not lost.
                    None => match state_directory() {
                        Ok(state) => keep(record, &state.join("statements"), output),
                        Err(_) => Ok(()),
                    },
                }
            }
        },
        (None, Some(folder)) => keep(record, folder, output),
        (None, None) => {
            output.say(
                "narthex: what the agent states was not handed in to the log; --submissions ADDRESS \
                 does, --keep-statement DIR keeps it for later",
            );
            Ok(())
        }
    }
}

fn submit(
    arguments: &Arguments,
    held: &HeldPolicy,
    record: &SessionRecord,
    output: &Output,
) -> Outcome<()> {
    let service = arguments
        .submissions
        .as_ref()
        .ok_or_else(|| Failure::misuse("misuse.arguments", "--submissions is missing"))?;
    let answer = run_to_completion(submissions::submit(
        service,
        &static_key(held)?,
        &record.submission(),
        submissions::PATIENCE,
    ))?;
    match answer.outcome {
        SubmissionOutcome::Refused { reason } => Err(submissions::refused(
            reason.as_str(),
            " the session statement",
        )),
        SubmissionOutcome::Accepted => {
            if let Some(receipt) = Receipt::read(held, answer.log_proof.as_deref())? {
                output.say(format_args!(
                    "narthex: statement logged as {}",
                    receipt.words()
                ));
            }
            Ok(())
        }
    }
}

fn keep(record: &SessionRecord, folder: &std::path::Path, output: &Output) -> Outcome<()> {
    let path = record.keep(folder)?;
    output.say(format_args!(
        "narthex: statement kept in {}; `narthex log submit-statement` hands it in",
        path.display()
    ));
    Ok(())
}
