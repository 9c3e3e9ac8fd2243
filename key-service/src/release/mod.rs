//! Releasing keys: judge the request, record the decision, seal, answer.

mod choose;
mod judge;

use std::{sync::Arc, time::Instant};

use narthex_channel::{
    HandshakeHash, KeyName, RecipientPublicKey, SealContext,
    diagnostics::LogCheck,
    keys::{KeyAnswer, KeyOutcome, SealedKey, Shares},
    seal,
};

use self::{
    choose::{Chosen, choose_and_record},
    judge::{Bench, Granted, Refused, judge},
};
use crate::{
    reason::Reason,
    refusal::Refusal,
    service::Service,
    storage::{Body, DecisionKind, EnclaveBody, KeyShares, Outcome, StoreError},
};

/// How often a request is judged again because the policy changed meanwhile.
const MAX_ATTEMPTS: usize = 4;

impl Service {
    /// Answers the content of a key session, whatever it is.
    pub async fn answer_key_request(
        self: &Arc<Self>,
        session: HandshakeHash,
        content: Vec<u8>,
    ) -> KeyAnswer {
        let started = Instant::now();
        let outcome = match self.release(session, content).await {
            Ok(keys) => KeyOutcome::Released(keys),
            Err(refused) => {
                let reason = refused.refusal.to_reason_id();
                self.record_refused_release(refused).await;
                KeyOutcome::Refused { reason }
            }
        };
        self.metrics.release_answered(started.elapsed());
        answer(outcome)
    }

    async fn release(
        self: &Arc<Self>,
        session: HandshakeHash,
        content: Vec<u8>,
    ) -> Result<Vec<SealedKey>, Refused> {
        let content: Arc<[u8]> = content.into();
        for _ in 0..MAX_ATTEMPTS {
            let (granted, policy_files) = self.judge(session, Arc::clone(&content)).await?;
            let refused = |refusal: Refusal| refused_after_grant(refusal, &granted);
            match self.choose(session, &granted, policy_files).await {
                Ok(Ok(chosen)) => {
                    self.released(&granted.enclave, &chosen);
                    return self
                        .seal(session, granted.recipient.clone(), chosen)
                        .await
                        .map_err(refused);
                }
                Ok(Err(reason)) => return Err(refused(reason.into())),
                Err(StoreError::PolicyMoved) => {}
                Err(error) => return Err(refused((&error).into())),
            }
        }
        Err(nobody(Reason::ServiceBusy.into()))
    }

    /// Verification is milliseconds of arithmetic: it runs beside the threads that serve sockets.
    async fn judge(
        self: &Arc<Self>,
        session: HandshakeHash,
        content: Arc<[u8]>,
    ) -> Result<(Granted, u64), Refused> {
        let service = Arc::clone(self);
        let work = move || {
            let lineage = service.lineage.get();
            let bench = Bench {
                anchors: &service.anchors,
                lineage: &lineage,
                now: service.now(),
            };
            let judged = service
                .contexts
                .with(|context| judge(&bench, context, &session, &content))
                .unwrap_or_else(|| Err(nobody(Reason::ServiceInternal.into())))?;
            Ok((judged, lineage.count()))
        };
        self.compute(work)
            .await
            .unwrap_or_else(|refusal| Err(nobody(refusal)))
    }

    async fn choose(
        &self,
        session: HandshakeHash,
        granted: &Granted,
        policy_files: u64,
    ) -> Result<Result<Vec<Chosen>, Reason>, StoreError> {
        let (keys, enclave) = (granted.keys.clone(), granted.enclave.clone());
        let now = self.now();
        self.store
            .write(move |writing| {
                writing.require_policy(policy_files)?;
                choose_and_record(writing, &keys, &enclave, *session.as_bytes(), now)
            })
            .await
    }

    async fn seal(
        &self,
        session: HandshakeHash,
        recipient: RecipientPublicKey,
        chosen: Vec<Chosen>,
    ) -> Result<Vec<SealedKey>, Refusal> {
        self.compute(move || {
            chosen
                .iter()
                .map(|chosen| seal_one(&session, &recipient, chosen))
                .collect::<Result<Vec<_>, _>>()
        })
        .await?
    }

    /// Runs arithmetic on a thread of its own, as many at once as there are contexts.
    async fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        let _permit = self
            .computing
            .acquire()
            .await
            .map_err(|_| Reason::ServiceStopping)?;
        tokio::task::spawn_blocking(work)
            .await
            .map_err(|_| Reason::ServiceInternal.into())
    }

    fn released(&self, enclave: &EnclaveBody, chosen: &[Chosen]) {
        self.metrics
            .decided(DecisionKind::Release, Outcome::Accepted, "");
        for Chosen { key, .. } in chosen {
            tracing::info!(
                key = key.reference.name.as_str(),
                version = key.reference.version,
                enclave = enclave.module_id.as_str(),
                release = enclave.release.as_deref(),
                insecure_without_ledger = true,
                "released"
            );
        }
    }

    async fn record_refused_release(&self, refused: Refused) {
        let Refused {
            refusal,
            enclave,
            asked,
        } = refused;
        let identity = enclave.as_ref().map(|enclave| enclave.module_id.clone());
        let body = Body {
            enclave: enclave.map(|enclave| *enclave),
            asked,
            ..Body::default()
        };
        self.refused(DecisionKind::Release, refusal, identity.as_deref(), body)
            .await;
    }
}

/// An outcome as it leaves: this service decides without the log, and every answer says so.
pub(crate) fn answer(outcome: KeyOutcome) -> KeyAnswer {
    KeyAnswer {
        log_check: LogCheck::InsecureWithoutLedger,
        outcome,
    }
}

fn seal_one(
    session: &HandshakeHash,
    recipient: &RecipientPublicKey,
    chosen: &Chosen,
) -> Result<SealedKey, Refusal> {
    let Chosen { key, secret } = chosen;
    let name = KeyName::new(&key.reference.name).map_err(|_| Reason::ServiceInternal)?;
    let context = SealContext {
        handshake_hash: session,
        name: &name,
        version: key.reference.version,
        shares: match key.shares {
            KeyShares::Service => Shares::Service,
        },
    };
    seal(recipient, &context, secret).map_err(|error| match error {
        narthex_channel::SealError::Recipient => Reason::RequestRecipientKey.into(),
        _ => Reason::ServiceInternal.into(),
    })
}

fn refused_after_grant(refusal: Refusal, granted: &Granted) -> Refused {
    Refused {
        refusal,
        enclave: Some(Box::new(granted.enclave.clone())),
        asked: granted
            .keys
            .iter()
            .map(|wanted| wanted.name.to_string())
            .collect(),
    }
}

fn nobody(refusal: Refusal) -> Refused {
    Refused {
        refusal,
        enclave: None,
        asked: Vec::new(),
    }
}
