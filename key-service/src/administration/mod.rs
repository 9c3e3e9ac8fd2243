//! Key administration: signed by a person, allowed by a role, logged before it is answered.
//!
//! `docs/administration.md` states operations and answers. Calls are carried out one after the other, each in one
//! transaction with its record and the mark of its order; nothing else in the service waits for them.

mod backup;
mod body;
mod delivery;
mod operations;
mod root_key;

pub(crate) use root_key::rewrap_all;

use std::sync::Arc;

use narthex_channel::{
    Message, SecretBytes,
    administration::{AdministrationAnswer, AdministrationRequest},
    limits::MAX_BODY_BYTES,
};
use narthex_ledger::{
    AdministrationEntry, Decision, Digest384, Entry, EntryKind, Evidence, Outcome, PersonId,
};
use narthex_policy::{
    AdministrationContext, AdministrationOrder, AuthorisedAdministration, KeyOperation, Namespace,
    SignedOrder,
};

use self::body::Done;
use crate::{
    digest::Digest,
    lineage::{Lineage, to_policy_digest, to_policy_time},
    reason::Reason,
    refusal::Refusal,
    root_key::RootKeyId,
    service::Service,
    storage::{KeyVersion, Record, Recorded, SealedEvidence, StoreError},
};

/// First byte of an `AdministrationRequest`: a CBOR array of five. A delivery of policy files begins with
/// an array of four.
const REQUEST_FIRST_BYTE: u8 = 0x85;

/// What came of a call: words for the person, or a reason.
type Outcomes = Result<Done, Refusal>;

/// What came of a call, and the entry that says so, if there is one.
type Answered = (Outcomes, Option<Recorded>);

impl Service {
    /// Answers one content of an administration session, whatever it is.
    pub async fn answer_administration(
        self: &Arc<Self>,
        content: SecretBytes,
    ) -> AdministrationAnswer {
        // A task of its own: a person who goes away in the middle does not leave a rotation half done.
        let service = Arc::clone(self);
        let work = tokio::spawn(async move {
            let (outcome, recorded) = service.administer(content).await;
            // What was done is done, and logged, whoever has seen the log by now: a bundle that replaces a witness that
            // is gone must get through without it. The proof may be missing then.
            let proof = match &recorded {
                Some(recorded) => service.answer_when_logged(recorded).await.ok(),
                None => None,
            };
            (outcome, proof)
        });
        let (outcome, proof) = work
            .await
            .unwrap_or_else(|_| (Err(Reason::ServiceInternal.into()), None));
        let log_proof = proof.map(|proof| proof.to_string().into_bytes());
        let encoded = outcome.and_then(|done| {
            let body = done.to_json();
            if body.len() > MAX_BODY_BYTES {
                return Err(Reason::AnswerTooLarge.into());
            }
            Ok(body)
        });
        match encoded {
            Ok(body) => AdministrationAnswer::Done { body, log_proof },
            Err(refusal) => AdministrationAnswer::Refused {
                reason: refusal.to_reason_id(),
                log_proof,
            },
        }
    }

    async fn administer(self: &Arc<Self>, content: SecretBytes) -> Answered {
        let _one_at_a_time = self.administration.lock().await;
        if content.as_bytes().first() != Some(&REQUEST_FIRST_BYTE) {
            return self.deliver(content.as_bytes()).await;
        }
        let request = match AdministrationRequest::from_bytes(content.as_bytes()) {
            Ok(request) => request,
            Err(error) => {
                let refusal = Refusal::from(&error);
                self.refused_unknown(EntryKind::Administration, refusal);
                return (Err(refusal), None);
            }
        };
        let AdministrationRequest {
            order,
            signature,
            approvals,
            payload,
        } = request;
        let order = SignedOrder {
            bytes: order,
            signature: signature.as_str().to_owned(),
            approvals: approvals
                .iter()
                .map(|approval| approval.as_str().to_owned())
                .collect(),
        };
        let confirmed = self.require_confirmed();
        let outcome = match confirmed.and_then(|()| self.authorise(&order)) {
            Ok(authorised) => self.carry_out(&order, &authorised, payload).await,
            Err(refusal) => Err(refusal),
        };
        match outcome {
            Ok(done) => {
                self.metrics
                    .decided(EntryKind::Administration, Outcome::Accepted, "");
                tracing::info!(
                    operation = done.operation,
                    order = %Digest::of(&order.bytes),
                    "administered"
                );
                let recorded = done.recorded.clone();
                (Ok(done), recorded)
            }
            Err(refusal) => {
                let recorded = self.record_refused_order(refusal, &order).await;
                (Err(refusal), recorded)
            }
        }
    }

    fn authorise(&self, order: &SignedOrder) -> Result<AuthorisedAdministration, Refusal> {
        let lineage = self.lineage.get();
        let genesis = to_policy_digest(&self.genesis);
        let context = AdministrationContext {
            now: to_policy_time(self.now()),
            genesis: &genesis,
        };
        let authorised = lineage
            .policy()
            .authorise_administration(order, &context)
            .map_err(|refusal| Refusal::from(&refusal))?;
        let AdministrationOrder { head, .. } = AdministrationOrder::parse_unverified(&order.bytes)
            .map_err(|refusal| Refusal::from(&refusal))?;
        if self.log.may_have_used(head.issued) {
            return Err(narthex_policy::Reason::OrderReused.into());
        }
        Ok(authorised)
    }

    async fn carry_out(
        self: &Arc<Self>,
        order: &SignedOrder,
        authorised: &AuthorisedAdministration,
        payload: Option<SecretBytes>,
    ) -> Outcomes {
        let call = Call::new(order, authorised, &self.lineage.get(), self.now())
            .map_err(|error| Refusal::from(&error))?;
        let payload = match (authorised.operation(), payload) {
            (KeyOperation::Import { .. } | KeyOperation::Restore { .. }, Some(payload)) => payload,
            (KeyOperation::Import { .. } | KeyOperation::Restore { .. }, None) => {
                return Err(Reason::PayloadMissing.into());
            }
            (_, Some(_)) => return Err(Reason::PayloadUnexpected.into()),
            (_, None) => SecretBytes::copied_from(b""),
        };
        match authorised.operation().clone() {
            KeyOperation::RotateRootKey => self.rotate_root_key(call).await,
            operation => {
                let outcome = self
                    .store
                    .write(move |writing| {
                        match operations::carry_out(writing, &call, &operation, &payload) {
                            Ok(done) => Ok(Ok(done)),
                            Err(operations::Stop::Refused(refusal)) => Ok(Err(refusal)),
                            Err(operations::Stop::Storage(error)) => Err(error),
                        }
                    })
                    .await;
                flatten(outcome)
            }
        }
    }

    /// A refusal is a person's when the order bears a signature of theirs that holds.
    async fn record_refused_order(
        &self,
        refusal: Refusal,
        order: &SignedOrder,
    ) -> Option<Recorded> {
        let lineage = self.lineage.get();
        let signer = lineage
            .policy()
            .identify(&order.bytes, &order.signature, Namespace::Order);
        let Ok(signer) = signer else {
            self.refused_unknown(EntryKind::Administration, refusal);
            return None;
        };
        let identity = signer.fingerprint.to_string();
        self.refused(
            EntryKind::Administration,
            refusal,
            &identity,
            |now, decision| {
                let evidence = evidence_of(order)?;
                let entry = AdministrationEntry {
                    time: now.0,
                    decision,
                    operation: operation_of(order),
                    order: Digest384::of(&order.bytes),
                    evidence: evidence.digest(),
                    requester: Some(lineage.person(&signer)),
                    approvers: Vec::new(),
                    keys: Vec::new(),
                    root_key: None,
                };
                Ok(Record {
                    entry: Entry::Administration(entry),
                    evidence: vec![evidence],
                })
            },
        )
        .await
    }
}

/// What a call is decided on. Its payload is no part of it: it is a secret, or as good as one.
fn evidence_of(order: &SignedOrder) -> Result<SealedEvidence, StoreError> {
    let approvals: Vec<&[u8]> = order
        .approvals
        .iter()
        .map(|approval| approval.as_bytes())
        .collect();
    SealedEvidence::new(Evidence::administration(
        &order.bytes,
        order.signature.as_bytes(),
        &approvals,
    )?)
}

/// The operation that an order asks for, if it is an order at all.
fn operation_of(order: &SignedOrder) -> Option<String> {
    let order = AdministrationOrder::parse_unverified(&order.bytes).ok()?;
    Some(order.operation.kind().name().to_owned())
}

/// An order that may be carried out, as its entry will speak about it.
#[derive(Clone)]
pub(crate) struct Call {
    pub(crate) order: Digest,
    pub(crate) operation: &'static str,
    pub(crate) now: crate::clock::UnixMillis,
    requester: PersonId,
    approvers: Vec<PersonId>,
    evidence: SealedEvidence,
}

impl Call {
    fn new(
        order: &SignedOrder,
        authorised: &AuthorisedAdministration,
        lineage: &Lineage,
        now: crate::clock::UnixMillis,
    ) -> Result<Self, StoreError> {
        let approvers = authorised.approvers().iter();
        Ok(Self {
            order: Digest(*authorised.digest().as_bytes()),
            operation: authorised.operation().kind().name(),
            now,
            requester: lineage.person(authorised.requester()),
            approvers: approvers.map(|signer| lineage.person(signer)).collect(),
            evidence: evidence_of(order)?,
        })
    }

    /// The entry that carries it out, once, with these changes.
    pub(crate) fn record(&self, keys: &[KeyVersion]) -> Record {
        Record {
            entry: Entry::Administration(self.entry(keys)),
            evidence: vec![self.evidence.clone()],
        }
    }

    /// A further entry of the same call, directly after [`Self::record`]: one entry does not hold all changes.
    pub(crate) fn further(&self, keys: &[KeyVersion]) -> Record {
        Record::of(Entry::Administration(self.entry(keys)))
    }

    /// The entry that puts another root key to use.
    pub(crate) fn record_root_key(&self, root_key: RootKeyId) -> Record {
        Record {
            entry: Entry::Administration(AdministrationEntry {
                root_key: Some(narthex_ledger::RootKeyId(root_key.0)),
                ..self.entry(&[])
            }),
            evidence: vec![self.evidence.clone()],
        }
    }

    fn entry(&self, keys: &[KeyVersion]) -> AdministrationEntry {
        AdministrationEntry {
            time: self.now.0,
            decision: Decision::Accepted,
            operation: Some(self.operation.to_owned()),
            order: Digest384(self.order.0),
            evidence: self.evidence.digest(),
            requester: Some(self.requester),
            approvers: self.approvers.clone(),
            keys: keys.iter().map(KeyVersion::to_change).collect(),
            root_key: None,
        }
    }
}

fn flatten(outcome: Result<Outcomes, StoreError>) -> Outcomes {
    match outcome {
        Ok(outcome) => outcome,
        // The mark of an order is the only one that an administrative call makes.
        Err(StoreError::MarkUsed) => Err(narthex_policy::Reason::OrderReused.into()),
        Err(error) => Err((&error).into()),
    }
}
