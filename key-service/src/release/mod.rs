//! Releasing keys: judge the request, record the decision, wait until it is logged, seal, answer.

mod choose;
pub(crate) mod judge;

use std::{sync::Arc, time::Instant};

use narthex_channel::{
    HandshakeHash, KeyName, RecipientPublicKey, SealContext,
    diagnostics::LogCheck,
    keys::{KeyAnswer, KeyOutcome, SealedKey, Shares},
    seal,
};

use narthex_ledger::{Entry, EntryKind, Outcome, Proof};

use self::{
    choose::{Chosen, choose_and_record},
    judge::{Asker, Bench, Granted, Refused, judge},
};
use crate::{
    log::Wait,
    reason::Reason,
    refusal::Refusal,
    service::Service,
    storage::{KeyShares, Record, Recorded, SealedEvidence, StoreError},
};

/// How often a request is judged again because the policy changed meanwhile.
const MAX_ATTEMPTS: usize = 4;

/// What came of a request that is not released, and whether the log has it.
enum NotReleased {
    /// It was refused.
    Refused(Refused),
    /// It was granted and recorded, and then something failed: no key leaves, and there is nothing more to record.
    Failed(Refusal),
}

impl Service {
    /// Answers the content of a key session, whatever it is.
    pub async fn answer_key_request(
        self: &Arc<Self>,
        session: HandshakeHash,
        content: &[u8],
    ) -> KeyAnswer {
        let started = Instant::now();
        let answer = match self.release(session, content).await {
            Ok((keys, proof)) => answer(KeyOutcome::Released(keys), Some(&proof)),
            Err(NotReleased::Refused(refused)) => {
                let reason = refused.refusal.to_reason_id();
                let recorded = self.record_refused_release(refused).await;
                let proof = self.proof_of_refusal(recorded).await;
                answer(KeyOutcome::Refused { reason }, proof.as_ref())
            }
            Err(NotReleased::Failed(refusal)) => {
                self.refused_unknown(EntryKind::Release, refusal);
                let reason = refusal.to_reason_id();
                answer(KeyOutcome::Refused { reason }, None)
            }
        };
        self.metrics.release_answered(started.elapsed());
        answer
    }

    async fn release(
        self: &Arc<Self>,
        session: HandshakeHash,
        content: &[u8],
    ) -> Result<(Vec<SealedKey>, Proof), NotReleased> {
        self.require_quorum(Wait::AsTheBundleSays)
            .map_err(NotReleased::Failed)?;
        for _ in 0..MAX_ATTEMPTS {
            let (granted, policy_files) = self
                .judge(&session, content)
                .map_err(NotReleased::Refused)?;
            let refused =
                |refusal: Refusal| NotReleased::Refused(refused_after_grant(refusal, &granted));
            let evidence = granted
                .asker
                .evidence()
                .map_err(|error| refused((&error).into()))?;
            match self.choose(&granted, evidence, policy_files).await {
                Ok(Ok((chosen, recorded))) => {
                    let proof = self
                        .answer_when_logged(&recorded)
                        .await
                        .map_err(NotReleased::Failed)?;
                    let keys = Self::seal(&session, &granted.recipient, &chosen)
                        .await
                        .map_err(NotReleased::Failed)?;
                    self.released(&granted.asker, &chosen);
                    return Ok((keys, proof));
                }
                Ok(Err(reason)) => return Err(refused(reason.into())),
                Err(StoreError::PolicyMoved) => {}
                Err(error) => return Err(refused((&error).into())),
            }
        }
        Err(NotReleased::Refused(nobody(Reason::ServiceBusy.into())))
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
        granted: &Granted,
        evidence: SealedEvidence,
        policy_files: u64,
    ) -> Result<Result<(Vec<Chosen>, Recorded), Reason>, StoreError> {
        let (keys, asker) = (granted.keys.clone(), Arc::clone(&granted.asker));
        let now = self.now();
        self.store
            .write(move |writing| {
                writing.require_policy(policy_files)?;
                choose_and_record(writing, &keys, &asker, evidence, now)
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

    fn released(&self, asker: &Asker, chosen: &[Chosen]) {
        self.metrics
            .decided(EntryKind::Release, Outcome::Accepted, "");
        for Chosen { key, .. } in chosen {
            tracing::info!(
                key = key.reference.name.as_str(),
                version = key.reference.version,
                enclave = asker.module_id.as_str(),
                release = asker.release.as_deref(),
                "released"
            );
        }
    }

    async fn record_refused_release(&self, refused: Refused) -> Option<Recorded> {
        let Refused {
            refusal,
            asker,
            asked,
        } = refused;
        let Some(asker) = asker else {
            self.refused_unknown(EntryKind::Release, refusal);
            return None;
        };
        self.refused(
            EntryKind::Release,
            refusal,
            &asker.module_id,
            |now, decision| {
                let evidence = asker.evidence()?;
                let entry = asker.entry(now, decision, &evidence, Vec::new(), asked);
                Ok(Record {
                    entry: Entry::Release(entry),
                    evidence: vec![evidence],
                })
            },
        )
        .await
    }

    /// The proof of a refusal that is an entry. A refusal is answered without one rather than not at all.
    pub(crate) async fn proof_of_refusal(&self, recorded: Option<Recorded>) -> Option<Proof> {
        self.answer_when_logged(&recorded?).await.ok()
    }
}

/// An outcome as it leaves.
pub(crate) fn answer(outcome: KeyOutcome, proof: Option<&Proof>) -> KeyAnswer {
    KeyAnswer {
        log_check: LogCheck::Required,
        log_proof: proof.map(|proof| proof.to_string().into_bytes()),
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
        asker: Some(Arc::clone(&granted.asker)),
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
        asker: None,
        asked: Vec::new(),
    }
}
