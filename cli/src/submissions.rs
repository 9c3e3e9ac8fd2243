//! Handing things in to the log: the client of the key service's submissions (use 5 of the channel).

use std::time::Duration;

use narthex_channel::submissions::{Submission, SubmissionAnswer};
use narthex_channel::{Address, Opening, StaticPublic};
use narthex_policy::StaticKey;

use crate::failure::{Failure, Outcome};
use crate::transport::Conversation;

/// The service waits for its witnesses before it answers.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);

/// One submission, one answer.
///
/// # Errors
/// What the channel says.
pub(crate) async fn submit(
    service: &Address,
    static_key: &StaticKey,
    submission: &Submission,
    silence: Duration,
) -> Outcome<SubmissionAnswer> {
    let opening = Opening::Submissions {
        service: StaticPublic::from_bytes(static_key.0),
    };
    let mut conversation = Conversation::open(service, &opening, silence).await?;
    conversation.send(submission).await?;
    let answer: SubmissionAnswer = conversation.receive().await?;
    conversation.close().await;
    Ok(answer)
}

/// The service said no: its reason, and what can be done about it.
pub(crate) fn refused(reason: &str, logged: &str) -> Failure {
    let failure = Failure::refused(reason, format!("the log's sequencer refuses{logged}"));
    match reason {
        "order.under_approved" => {
            failure.next("others approve it with `narthex order approve`; then submit it again")
        }
        "order.reused" => failure.next(
            "it was logged before with another signature or other approvals: put back the FILE.proof and \
             FILE.approvals of that time, or make a new order",
        ),
        "order.expired" => failure.next("make a new order: `narthex order new`"),
        "order.role" => failure
            .next("no role of the requester's allows this; the reviewers' bundle says who may"),
        "signature.unknown_signer" | "person.unknown" | "order.not_requester" => failure.next(
            "the service's newest bundle does not know this person or key; is it newer than yours?",
        ),
        "person.stopped" => failure.next("a stop statement names this person or key"),
        "order.delay" => {
            failure.next("the policy asks for a delay; it counts from the entry in the log")
        }
        "bundle.expired" => failure.next("the policy has expired: its reviewers sign a new bundle"),
        "file.project" => failure.next("this service is another project's"),
        "log.quorum" => failure.next(
            "too few witnesses have cosigned in time, so nothing can be proved; the service's \
             /readyz and its log name those that are missing. Submit it again when they are back",
        ),
        "session.used" => failure.next("another statement of this session is in the log"),
        "bundle.pcr16_unknown" | "bundle.pcr16_absent" | "release.unknown" => failure.next(
            "this service does not know the enclave's policy or release: is it another project's?",
        ),
        "service.busy" | "service.stopping" => failure.next("try again in a minute"),
        _ => failure,
    }
}
