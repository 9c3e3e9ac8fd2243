//! Delivery of policy files: whoever brings them, their own signatures decide.

use std::sync::Arc;

use narthex_channel::{
    Message,
    policy::{PolicyAnswer, Signed},
};
use serde_json::json;

use super::{Outcomes, body::Done};
use crate::{
    lineage::{Lineage, Offered},
    refusal::Refusal,
    service::Service,
    storage::{
        Body, Decision, DecisionKind, Outcome, PolicyFile, PolicyFileKind, Recorded, StoreError,
    },
};

/// The name under which answers and records speak about it.
const OPERATION: &str = "policy-submit";

impl Service {
    pub(crate) async fn deliver(self: &Arc<Self>, content: &[u8]) -> Outcomes {
        let delivered = match PolicyAnswer::from_bytes(content) {
            Ok(delivered) => delivered,
            Err(error) => return self.not_delivered((&error).into()).await,
        };
        let PolicyAnswer {
            bundles,
            releases,
            stops,
        } = delivered;
        let kinds = [
            (PolicyFileKind::Bundle, bundles),
            (PolicyFileKind::Release, releases),
            (PolicyFileKind::Stop, stops),
        ];
        let (mut accepted, mut known, mut last) = (0_u64, 0_u64, None);
        for (kind, files) in kinds {
            for file in files {
                match self.deliver_one(kind, file).await {
                    Ok(Some(recorded)) => {
                        accepted += 1;
                        last = Some(recorded);
                    }
                    Ok(None) => known += 1,
                    Err(refusal) => return self.not_delivered(refusal).await,
                }
            }
        }
        let lineage = self.lineage.get();
        let policy = lineage.policy();
        Ok(Done::new(OPERATION, last)
            .with(
                "bundle",
                json!({ "version": policy.version(), "sha384": policy.digest().to_string() }),
            )
            .with("accepted", accepted.into())
            .with("known", known.into()))
    }

    /// Judges one file and stores it; `None` when it is here already.
    async fn deliver_one(
        self: &Arc<Self>,
        kind: PolicyFileKind,
        file: Signed,
    ) -> Result<Option<Recorded>, Refusal> {
        let signatures = file
            .signatures
            .iter()
            .map(|signature| signature.as_str().to_owned())
            .collect();
        let offered = self
            .lineage
            .get()
            .offer(kind, file.bytes, signatures, self.now())
            .map_err(|refusal| Refusal::from(&refusal))?;
        let (lineage, file) = match offered {
            Offered::Known => return Ok(None),
            Offered::Accepted { lineage, file } => (lineage, file),
        };
        let recorded = self
            .store_file(*lineage, file)
            .await
            .map_err(|error| Refusal::from(&error))?;
        self.metrics
            .decided(DecisionKind::Policy, Outcome::Accepted, "");
        tracing::info!(
            kind = kind.as_str(),
            bundle_version = self.lineage.get().policy().version(),
            insecure_without_ledger = true,
            "policy file accepted"
        );
        Ok(Some(recorded))
    }

    /// The policy is in force when the file is durable, before anybody is answered.
    async fn store_file(
        self: &Arc<Self>,
        lineage: Lineage,
        file: PolicyFile,
    ) -> Result<Recorded, StoreError> {
        let service = Arc::clone(self);
        self.store
            .write(move |writing| {
                let time = file.accepted;
                let file = writing.insert_policy_file(file)?;
                let recorded = writing.record(Decision {
                    time,
                    kind: DecisionKind::Policy,
                    outcome: Outcome::Accepted,
                    reason: String::new(),
                    mark: None,
                    body: Body {
                        operation: Some(OPERATION.to_owned()),
                        policy_files: vec![file.to_body()],
                        ..Body::default()
                    },
                })?;
                writing.after_commit(move || service.lineage.set(lineage));
                Ok(recorded)
            })
            .await
    }

    /// A file whose signatures do not hold can come from anybody.
    async fn not_delivered(&self, refusal: Refusal) -> Outcomes {
        let body = Body {
            operation: Some(OPERATION.to_owned()),
            ..Body::default()
        };
        self.refused(DecisionKind::Policy, refusal, None, body)
            .await;
        Err(refusal)
    }
}
