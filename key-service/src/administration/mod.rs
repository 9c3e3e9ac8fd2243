//! Key administration: signed by a person, allowed by a role, recorded before it is answered.
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
use narthex_policy::{
    AdministrationContext, AuthorisedAdministration, KeyOperation, Namespace, SignedOrder, Signer,
};

use self::body::Done;
use crate::{
    digest::Digest,
    lineage::{to_policy_digest, to_policy_time},
    reason::Reason,
    refusal::Refusal,
    service::Service,
    storage::{Body, Decision, DecisionKind, Mark, Outcome, PersonBody, StoreError},
};

/// First byte of an `AdministrationRequest`: a CBOR array of five. A delivery of policy files begins with
/// an array of four.
const REQUEST_FIRST_BYTE: u8 = 0x85;

/// What came of a call: words for the person, or a reason.
type Outcomes = Result<Done, Refusal>;

impl Service {
    /// Answers one content of an administration session, whatever it is.
    pub async fn answer_administration(
        self: &Arc<Self>,
        content: SecretBytes,
    ) -> AdministrationAnswer {
        // A task of its own: a person who goes away in the middle does not leave a rotation half done.
        let service = Arc::clone(self);
        let work = tokio::spawn(async move { service.administer(content).await });
        let outcome = work
            .await
            .unwrap_or_else(|_| Err(Reason::ServiceInternal.into()));
        let encoded = outcome.and_then(|done| {
            let body = done.to_json();
            if body.len() > MAX_BODY_BYTES {
                return Err(Reason::AnswerTooLarge.into());
            }
            Ok(body)
        });
        match encoded {
            Ok(body) => AdministrationAnswer::Done {
                body,
                log_proof: None,
            },
            Err(refusal) => AdministrationAnswer::Refused {
                reason: refusal.to_reason_id(),
                log_proof: None,
            },
        }
    }

    async fn administer(self: &Arc<Self>, content: SecretBytes) -> Outcomes {
        let _one_at_a_time = self.administration.lock().await;
        if content.as_bytes().first() != Some(&REQUEST_FIRST_BYTE) {
            return self.deliver(content.as_bytes()).await;
        }
        let request = match AdministrationRequest::from_bytes(content.as_bytes()) {
            Ok(request) => request,
            Err(error) => {
                let refusal = Refusal::from(&error);
                let kind = DecisionKind::Administration;
                self.refused(kind, refusal, None, Body::default()).await;
                return Err(refusal);
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
        let outcome = match self.authorise(&order) {
            Ok(authorised) => self.carry_out(&authorised, payload).await,
            Err(refusal) => Err(refusal),
        };
        match outcome {
            Ok(done) => {
                self.metrics
                    .decided(DecisionKind::Administration, Outcome::Accepted, "");
                tracing::info!(
                    operation = done.operation,
                    order = %Digest::of(&order.bytes),
                    insecure_without_ledger = true,
                    "administered"
                );
                Ok(done)
            }
            Err(refusal) => {
                self.record_refused_order(refusal, &order).await;
                Err(refusal)
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
        lineage
            .policy()
            .authorise_administration(order, &context)
            .map_err(|refusal| Refusal::from(&refusal))
    }

    async fn carry_out(
        self: &Arc<Self>,
        authorised: &AuthorisedAdministration,
        payload: Option<SecretBytes>,
    ) -> Outcomes {
        let call = Call::new(authorised, self.now());
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
    async fn record_refused_order(&self, refusal: Refusal, order: &SignedOrder) {
        let signer = self
            .lineage
            .get()
            .policy()
            .identify(&order.bytes, &order.signature, Namespace::Order)
            .ok();
        let identity = signer.as_ref().map(|signer| signer.fingerprint.to_string());
        let person = signer.map(|signer| PersonBody {
            requester: signer.fingerprint.to_string(),
            approvers: Vec::new(),
            order: Digest::of(&order.bytes).to_string(),
        });
        let body = Body {
            person,
            ..Body::default()
        };
        self.refused(
            DecisionKind::Administration,
            refusal,
            identity.as_deref(),
            body,
        )
        .await;
    }
}

/// An order that may be carried out, as its record will speak about it.
#[derive(Clone)]
pub(crate) struct Call {
    pub(crate) order: Digest,
    pub(crate) person: PersonBody,
    pub(crate) operation: &'static str,
    pub(crate) now: crate::clock::UnixMillis,
}

impl Call {
    fn new(authorised: &AuthorisedAdministration, now: crate::clock::UnixMillis) -> Self {
        let order = Digest(*authorised.digest().as_bytes());
        let fingerprint = |signer: &Signer| signer.fingerprint.to_string();
        Self {
            order,
            person: PersonBody {
                requester: fingerprint(authorised.requester()),
                approvers: authorised.approvers().iter().map(fingerprint).collect(),
                order: order.to_string(),
            },
            operation: authorised.operation().kind().name(),
            now,
        }
    }

    /// The decision that carries it out, once.
    pub(crate) fn decision(&self, body: Body) -> Decision {
        Decision {
            time: self.now,
            kind: DecisionKind::Administration,
            outcome: Outcome::Accepted,
            reason: String::new(),
            mark: Some(Mark::Order(self.order)),
            body: Body {
                person: Some(self.person.clone()),
                operation: Some(self.operation.to_owned()),
                ..body
            },
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
