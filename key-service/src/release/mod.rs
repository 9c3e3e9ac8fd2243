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
        content: &[u8],
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
        content: &[u8],
    ) -> Result<Vec<SealedKey>, Refused> {
        for _ in 0..MAX_ATTEMPTS {
            let (granted, policy_files) = self.judge(&session, content)?;
            let refused = |refusal: Refusal| refused_after_grant(refusal, &granted);
            match self.choose(session, &granted, policy_files).await {
                Ok(Ok(chosen)) => {
                    self.released(&granted.enclave, &chosen);
                    return Self::seal(&session, &granted.recipient, &chosen)
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

    /// Verification is arithmetic of less than a millisecond, as a handshake is: it runs where the socket is
    /// served. Handing it to another thread and back cost more than a third of it.
    fn judge(&self, session: &HandshakeHash, content: &[u8]) -> Result<(Granted, u64), Refused> {
        let lineage = self.lineage.get();
        let bench = Bench {
            anchors: &self.anchors,
            lineage: &lineage,
            now: self.now(),
        };
        let judged = self
            .contexts
            .with(|context| judge(&bench, context, session, content))
            .unwrap_or_else(|| Err(nobody(Reason::ServiceInternal.into())))?;
        Ok((judged, lineage.count()))
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

    /// Seals the keys one by one: others get their turn between two of thirty-two.
    async fn seal(
        session: &HandshakeHash,
        recipient: &RecipientPublicKey,
        chosen: &[Chosen],
    ) -> Result<Vec<SealedKey>, Refusal> {
        let mut sealed = Vec::with_capacity(chosen.len());
        for (index, chosen) in chosen.iter().enumerate() {
            if index > 0 {
                tokio::task::yield_now().await;
            }
            sealed.push(seal_one(session, recipient, chosen)?);
        }
        Ok(sealed)
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
        log_proof: None,
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
