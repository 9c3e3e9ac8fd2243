//! What people submit to the log: orders before they are used, and session statements after a session.
//!
//! An order is judged as the agent will judge it, as far as that can be known here, and written down as accepted or
//! refused; no agent acts without the proof of an accepted one. The same order may be submitted again: one that was
//! accepted has its entry and gets a fresh proof of it, one that was refused is judged again, because approvals may
//! have come.

use std::sync::Arc;

use narthex_channel::{
    ArmoredSignature, Message,
    submissions::{Submission, SubmissionAnswer, SubmissionOutcome},
};
use narthex_ledger::{
    BootId, Decision, Digest384, Entry, EntryKind, Evidence, LogError, OrderEntry, OrderScope,
    Outcome, PersonId, SaltedEvidence,
};
use narthex_policy::{AdmittedOrder, Namespace, Order, SignedOrder, Signer};

use super::Wait;
use crate::{
    clock::UnixMillis,
    digest::Digest,
    lineage::{Lineage, to_policy_time},
    reason::Reason,
    refusal::Refusal,
    refusals::Treatment,
    service::Service,
    storage::{Mark, Record, Recorded, SealedEvidence, StoreError},
};

/// How often an order is judged again because the policy changed meanwhile.
const MAX_ATTEMPTS: usize = 4;

/// What a submission led to. The proof is there when it has an entry of its own.
pub(super) type Answered = Result<Option<Vec<u8>>, NotAccepted>;

/// A submission that was not accepted.
pub(super) struct NotAccepted {
    refusal: Refusal,
    proof: Option<Vec<u8>>,
}

impl From<Refusal> for NotAccepted {
    fn from(refusal: Refusal) -> Self {
        Self {
            refusal,
            proof: None,
        }
    }
}

impl Service {
    /// Answers one content of a session of submissions, whatever it is.
    pub async fn answer_submission(self: &Arc<Self>, content: &[u8]) -> SubmissionAnswer {
        let answered = match Submission::from_bytes(content) {
            Ok(Submission::Order {
                order,
                signature,
                approvals,
            }) => {
                let order = signed_order(order, &signature, &approvals);
                self.submit_order(order).await
            }
            Ok(Submission::Statement {
                session,
                document,
                statement,
            }) => self.submit_statement(session, document, statement).await,
            Err(error) => Err(self.counted(EntryKind::Order, &error)),
        };
        match answered {
            Ok(log_proof) => SubmissionAnswer {
                outcome: SubmissionOutcome::Accepted,
                log_proof,
            },
            Err(NotAccepted { refusal, proof }) => SubmissionAnswer {
                outcome: SubmissionOutcome::Refused {
                    reason: refusal.to_reason_id(),
                },
                log_proof: proof,
            },
        }
    }

    async fn submit_order(self: &Arc<Self>, order: SignedOrder) -> Answered {
        let kind = EntryKind::Order;
        let digest = Digest::of(&order.bytes);
        if let Some(answered) = self.answer_logged_order(digest, &order).await {
            return answered;
        }
        self.require_quorum(Wait::ForQuorum)
            .map_err(|refusal| self.counted(kind, refusal))?;
        for _ in 0..MAX_ATTEMPTS {
            let (lineage, now) = (self.lineage.get(), self.now());
            let admitted = match lineage.policy().admit_order(&order, to_policy_time(now)) {
                Ok(admitted) => admitted,
                Err(refusal) => {
                    return self.refuse_order(&lineage, &order, (&refusal).into()).await;
                }
            };
            if self.log.may_have_used(admitted.order().head().issued) {
                let reused = narthex_policy::Reason::OrderReused.into();
                return self.refuse_order(&lineage, &order, reused).await;
            }
            self.require_room(kind, &admitted.requester().fingerprint.to_string())?;
            let known = Known::admitted(&lineage, &admitted);
            let record = order_record(&lineage, &order, known, Decision::Accepted, now)
                .map_err(|error| self.counted(kind, &error))?;
            let policy_files = lineage.count();
            let recorded = self
                .store
                .write(move |writing| {
                    writing.require_policy(policy_files)?;
                    writing.record(record)
                })
                .await;
            match recorded {
                Ok(recorded) => {
                    self.metrics.decided(kind, Outcome::Accepted, "");
                    tracing::info!(order = %digest, index = recorded.index, "an order was logged");
                    return self.prove_entry(&recorded).await;
                }
                // Submitted twice at the same moment.
                Err(StoreError::MarkUsed) => {
                    return match self.answer_logged_order(digest, &order).await {
                        Some(answered) => answered,
                        None => Err(self.counted(kind, narthex_policy::Reason::OrderReused)),
                    };
                }
                Err(StoreError::PolicyMoved) => {}
                Err(error) => return Err(self.counted(kind, &error)),
            }
        }
        Err(self.counted(kind, Reason::ServiceBusy))
    }

    /// The answer to an order that is in the log as accepted: the same entry, a fresh proof.
    async fn answer_logged_order(&self, digest: Digest, order: &SignedOrder) -> Option<Answered> {
        let kind = EntryKind::Order;
        let recorded = match self
            .log
            .views
            .with(|view| view.entry_of(Mark::Order(digest)))
        {
            Ok(found) => found?,
            Err(error) => return Some(Err(self.counted(kind, &error))),
        };
        if !self.is_same_order(&recorded, order) {
            // Logged with another signature or other approvals, which that entry does not cover; or what it was
            // decided on has been purged; or it stands in a log that has ended.
            return Some(Err(self.counted(kind, narthex_policy::Reason::OrderReused)));
        }
        tracing::debug!(order = %digest, index = recorded.index, "an order was submitted again");
        Some(self.prove_entry(&recorded).await)
    }

    /// Whether an entry is about exactly this order with this signature and these approvals.
    fn is_same_order(&self, recorded: &Recorded, order: &SignedOrder) -> bool {
        let Entry::Order(entry) = &recorded.entry else {
            return false;
        };
        if !self.log.is_provable(recorded) {
            return false;
        }
        let stored = self.log.views.with(|view| view.evidence(&entry.evidence));
        let Ok(Some(stored)) = stored else {
            return false;
        };
        match (
            SaltedEvidence::open(&entry.evidence, &stored),
            evidence_of(order),
        ) {
            (Ok(stored), Ok(submitted)) => stored.evidence == submitted,
            _ => false,
        }
    }

    /// A refusal is a person's when the order bears a signature of theirs that holds.
    async fn refuse_order(
        self: &Arc<Self>,
        lineage: &Lineage,
        order: &SignedOrder,
        refusal: Refusal,
    ) -> Answered {
        let kind = EntryKind::Order;
        let signer = lineage
            .policy()
            .identify(&order.bytes, &order.signature, Namespace::Order);
        let Ok(signer) = signer else {
            return Err(self.counted(kind, refusal));
        };
        let identity = signer.fingerprint.to_string();
        let recorded = self
            .refused(kind, refusal, &identity, |now, decision| {
                let known = Known::signed(lineage, &signer, order);
                order_record(lineage, order, known, decision, now)
            })
            .await;
        let proof = match recorded {
            Some(recorded) => self.answer_when_logged(&recorded).await.ok(),
            None => None,
        };
        Err(NotAccepted {
            refusal,
            proof: proof.map(|proof| proof.to_string().into_bytes()),
        })
    }

    /// The answer to what is in the log as accepted.
    pub(super) async fn prove_entry(&self, recorded: &Recorded) -> Answered {
        let proof = self.answer_when_logged(recorded).await?;
        Ok(Some(proof.to_string().into_bytes()))
    }

    /// Nobody fills the log alone, with whatever they may submit.
    pub(super) fn require_room(&self, kind: EntryKind, identity: &str) -> Result<(), NotAccepted> {
        let busy = Reason::ServiceBusy;
        let bounds = match kind {
            EntryKind::Statement => &self.log.accepted_statements,
            _ => &self.log.accepted_orders,
        };
        match bounds.refused(Some(identity), busy.id(), self.now()) {
            Treatment::Record => Ok(()),
            Treatment::Counted => Err(self.counted(kind, busy)),
        }
    }

    /// A refusal that nobody can be named for, or that is not worth an entry, is counted.
    pub(super) fn counted(&self, kind: EntryKind, refusal: impl Into<Refusal>) -> NotAccepted {
        let refusal = refusal.into();
        self.refused_unknown(kind, refusal);
        refusal.into()
    }
}

/// What is known of an order before it becomes an entry.
struct Known {
    requester: PersonId,
    approvers: Vec<PersonId>,
    scope: Option<OrderScope>,
}

impl Known {
    fn admitted(lineage: &Lineage, admitted: &AdmittedOrder) -> Self {
        let approvers = admitted.approvers().iter();
        Self {
            requester: lineage.person(admitted.requester()),
            approvers: approvers.map(|signer| lineage.person(signer)).collect(),
            scope: Some(scope(admitted.order())),
        }
    }

    /// The order may be anything; who signed it is known.
    fn signed(lineage: &Lineage, signer: &Signer, order: &SignedOrder) -> Self {
        let parsed = Order::parse_unverified(&order.bytes);
        Self {
            requester: lineage.person(signer),
            approvers: Vec::new(),
            scope: parsed.ok().map(|order| scope(&order)),
        }
    }
}

/// The record of an order, with what it was decided on.
fn order_record(
    lineage: &Lineage,
    order: &SignedOrder,
    known: Known,
    decision: Decision,
    now: UnixMillis,
) -> Result<Record, StoreError> {
    let evidence = SealedEvidence::new(evidence_of(order)?)?;
    let Known {
        requester,
        approvers,
        scope,
    } = known;
    let entry = OrderEntry {
        time: now.0,
        decision,
        order: Digest384::of(&order.bytes),
        evidence: evidence.digest(),
        requester: Some(requester),
        approvers,
        scope,
        bundle: lineage.policy().version(),
    };
    Ok(Record {
        entry: Entry::Order(entry),
        evidence: vec![evidence],
    })
}

fn evidence_of(order: &SignedOrder) -> Result<Evidence, LogError> {
    Evidence::order(&order.bytes, order.signature.as_bytes(), &order.approvals)
}

fn scope(order: &Order) -> OrderScope {
    match order {
        Order::Read(read) => OrderScope::Read {
            actions: read.actions.iter().map(ToString::to_string).collect(),
        },
        Order::Write(write) => OrderScope::Write {
            action: write.action.to_string(),
            enclave: write.module_id.clone(),
            boot: BootId(*write.boot_id.as_bytes()),
        },
    }
}

fn signed_order(
    order: Vec<u8>,
    signature: &ArmoredSignature,
    approvals: &[ArmoredSignature],
) -> SignedOrder {
    let approvals = approvals.iter();
    SignedOrder {
        bytes: order,
        signature: signature.as_str().to_owned(),
        approvals: approvals.map(|each| each.as_str().to_owned()).collect(),
    }
}
