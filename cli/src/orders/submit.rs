//! `order submit`: the log's sequencer judges the order and writes it down; the proof stays here.

use narthex_channel::submissions::{Submission, SubmissionOutcome};
use narthex_policy::{Order, SignedOrder, UnixMillis};
use serde_json::json;

use super::logged::{
    approvals_path, proof_path, read_approvals, read_proof, refusal_path, tidy, write_approvals,
};
use super::proved::{LoggedOrder, parse};
use super::{AnyOrder, OrderOnDisk};
use crate::administration::static_key;
use crate::commands::order::SubmitArguments;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::files::{Existing, write_file};
use crate::log::ledger_of;
use crate::moment::now_unix_millis;
use crate::output::Output;
use crate::policy_directory::HeldPolicy;
use crate::session::armored;
use crate::submissions;
use crate::transport::run_to_completion;

/// `narthex order submit`.
pub(crate) fn submit(arguments: &SubmitArguments, output: &Output) -> Outcome<Exit> {
    let now = UnixMillis(now_unix_millis()?);
    let held =
        HeldPolicy::load_and_tell(&arguments.policy, arguments.genesis.as_deref(), now, output)?;
    ledger_of(&held)?;
    let static_key = static_key(&held)?;
    let on_disk = OrderOnDisk::read(&arguments.file, &arguments.approval)?;
    let signed = as_submitted(&on_disk, arguments, output)?;
    let order = diagnostics(on_disk.parsed, arguments)?;
    let submission = Submission::Order {
        order: signed.bytes.clone(),
        signature: armored(&signed.signature)?,
        approvals: signed
            .approvals
            .iter()
            .map(|text| armored(text))
            .collect::<Outcome<_>>()?,
    };
    let answer = run_to_completion(submissions::submit(
        &arguments.service,
        &static_key,
        &submission,
        arguments.timeout,
    ))?;
    match answer.outcome {
        SubmissionOutcome::Refused { reason } => {
            let logged = match &answer.log_proof {
                None => String::new(),
                Some(proof) => {
                    let index = parse(proof)?.index;
                    let path = refusal_path(&arguments.file);
                    write_file(&path, proof, Existing::Replace)?;
                    format!(" (entry {index}, proof in {})", path.display())
                }
            };
            Err(submissions::refused(reason.as_str(), &logged))
        }
        SubmissionOutcome::Accepted => {
            let proof = answer.log_proof.ok_or_else(|| {
                Failure::refused(
                    "log.proof_missing",
                    "the service says that the order is logged, and sends no proof",
                )
                .next("without a proof no agent acts; is the service the version that you expect?")
            })?;
            // The time of the answer, not of the question: a person may have touched a key meanwhile.
            let now = UnixMillis(now_unix_millis()?);
            let fresh = LoggedOrder::check(&held, &order, &signed, &proof, now)?;
            let path = proof_path(&arguments.file);
            let logged = match earlier_proof(arguments, &held, &order, &signed, now) {
                Some(kept) if kept.at <= fresh.at => {
                    output.say(format_args!(
                        "narthex: {} stays: its delay counts from {}, that of a fresh proof from {}",
                        path.display(),
                        kept.at,
                        fresh.at
                    ));
                    kept
                }
                _ => {
                    keep(arguments, &signed, &proof)?;
                    fresh
                }
            };
            let value = json!({
                "order": arguments.file,
                "proof": path,
                "approvals": approvals_path(&arguments.file),
                "log": logged.to_json(),
            });
            output.result(&value, || format!("{}\n", path.display()))?;
            output.say(format_args!(
                "logged as {}; `narthex diag … --order {}` takes the proof from there",
                logged.words(),
                arguments.file.display()
            ));
            Ok(Exit::Done)
        }
    }
}

/// The proof of a change that is here already, if it still holds. A fresh proof of the same entry would be
/// cosigned later, and the delay that the policy asks for would begin again.
fn earlier_proof(
    arguments: &SubmitArguments,
    held: &HeldPolicy,
    order: &Order,
    signed: &SignedOrder,
    now: UnixMillis,
) -> Option<LoggedOrder> {
    if matches!(order, Order::Read(_)) {
        return None;
    }
    let proof = read_proof(&arguments.file, None).ok()??;
    LoggedOrder::check(held, order, signed, &proof, now).ok()
}

/// First the approvals, then the proof: a proof is only there together with what it is for.
fn keep(arguments: &SubmitArguments, signed: &SignedOrder, proof: &[u8]) -> Outcome<()> {
    write_approvals(&arguments.file, &signed.approvals)?;
    write_file(&proof_path(&arguments.file), proof, Existing::Replace)
}

/// The order with the approvals that were logged before, or with all that are there now.
fn as_submitted(
    on_disk: &OrderOnDisk,
    arguments: &SubmitArguments,
    output: &Output,
) -> Outcome<SignedOrder> {
    let mut signed = on_disk.signed()?;
    match read_approvals(&arguments.file)? {
        Some(approvals) => {
            output.say(format_args!(
                "narthex: submitted before; the approvals are those in {}",
                approvals_path(&arguments.file).display()
            ));
            signed.approvals = approvals;
        }
        None => signed
            .approvals
            .iter_mut()
            .for_each(|text| *text = tidy(text)),
    }
    Ok(signed)
}

fn diagnostics(order: AnyOrder, arguments: &SubmitArguments) -> Outcome<Order> {
    match order {
        AnyOrder::Diagnostics(order) => Ok(order),
        AnyOrder::Administration(_) => Err(Failure::misuse(
            "order.content",
            format!(
                "{} is an order to the key service",
                arguments.file.display()
            ),
        )
        .next("`narthex keys … --order` sends it, and it is logged there")),
    }
}
