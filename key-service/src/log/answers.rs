//! Answers leave when the log shows what they are about: proofs for the peer, and the decision to wait.

use std::sync::Arc;

use narthex_ledger::{Entry, LogError, LogReason, Proof, SignedNote};

use super::{Log, agreement::Agreement, lock, tree::unavailable};
use crate::{
    digest::Digest, lineage::Lineage, reason::Reason, refusal::Refusal, service::Service,
    storage::Recorded,
};

/// What an answer waits for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Wait {
    /// The quorum of the bundle in force, always.
    ForQuorum,
    /// The quorum, unless the bundle says that keys are released on the log's own signature.
    AsTheBundleSays,
}

impl Service {
    /// Refuses to begin what could not be answered: nothing is recorded while the witnesses' quorum is known to be
    /// missing, or nobody has confirmed since the start that this log is whole.
    ///
    /// # Errors
    ///
    /// `log.quorum`.
    pub(crate) fn require_quorum(&self, wait: Wait) -> Result<(), Refusal> {
        let missing = match wait {
            Wait::AsTheBundleSays if !self.release_waits() => !self.log.agreements.is_confirmed(),
            Wait::AsTheBundleSays | Wait::ForQuorum => self.log.agreements.is_quorum_missing(),
        };
        match missing {
            true => Err(Reason::LogQuorum.into()),
            false => Ok(()),
        }
    }

    /// Refuses to add anything as long as nobody has confirmed since the start that this log is whole.
    ///
    /// # Errors
    ///
    /// `log.quorum`.
    pub(crate) fn require_confirmed(&self) -> Result<(), Refusal> {
        match self.log.agreements.is_confirmed() {
            true => Ok(()),
            false => Err(Reason::LogQuorum.into()),
        }
    }

    /// Waits until the witnesses have confirmed that this log is whole. With a quorum of 0 that is at once.
    pub(crate) async fn log_confirmed(&self) {
        self.log.agreements.confirmed().await;
    }

    /// The proof of an entry, as soon as there is one to give: keys are released as the bundle says, everything else
    /// needs the witnesses' quorum.
    ///
    /// # Errors
    ///
    /// `log.quorum` when the witnesses do not agree in time. The entry stays.
    pub(crate) async fn answer_when_logged(&self, recorded: &Recorded) -> Result<Proof, Refusal> {
        let wait = match &recorded.entry {
            Entry::Release(_) => Wait::AsTheBundleSays,
            _ => Wait::ForQuorum,
        };
        let index = recorded.index;
        let (size, note) = if wait == Wait::AsTheBundleSays && !self.release_waits() {
            self.signed_covering(index).await?
        } else {
            let agreement = self.log.agreements.covering(index).await;
            let agreement = agreement.ok_or_else(|| self.no_quorum())?;
            (agreement.size, agreement.note.clone())
        };
        let proved = recorded
            .extra()
            .map_err(|error| error.to_string())
            .and_then(|extra| {
                let proof = self.log.prove(index, size, note, extra);
                proof.map_err(|error| error.to_string())
            });
        proved.map_err(|error| {
            tracing::error!(error, index, "an entry cannot be proved");
            Reason::ServiceInternal.into()
        })
    }

    /// The proof that the log names the newest bundle as the one in force, if there is one.
    pub(crate) fn currency(&self) -> Option<Vec<u8>> {
        let agreement = self.log.agreements.current()?;
        match self.log.currency(&agreement, &self.lineage.get()) {
            Ok(proof) => proof,
            Err(error) => {
                tracing::error!(id = error.id(), %error, "the entry about the bundle in force cannot be proved");
                None
            }
        }
    }

    fn release_waits(&self) -> bool {
        let lineage = self.lineage.get();
        let ledger = lineage.policy().bundle().ledger.as_ref();
        ledger.is_none_or(|ledger| ledger.release_waits_for_quorum)
    }

    /// The newest checkpoint with the log's own signature; it covers every entry that is durable.
    async fn signed_covering(&self, index: u64) -> Result<(u64, SignedNote), Refusal> {
        let mut published = self.log.published.clone();
        let newest = published
            .wait_for(|published| published.newest.size > index)
            .await
            .map(|published| Arc::clone(&published.newest))
            .map_err(|_| Reason::ServiceStopping)?;
        let note = SignedNote::parse(&newest.note).map_err(|_| Reason::ServiceInternal)?;
        Ok((newest.size, note))
    }

    fn no_quorum(&self) -> Refusal {
        let standing = self.log.agreements.standing();
        let missing: Vec<_> = standing
            .missing
            .iter()
            .map(|(name, _)| name.as_str())
            .collect();
        tracing::warn!(
            missing = missing.join(" "),
            quorum = standing.quorum,
            "the witnesses do not agree in time"
        );
        Reason::LogQuorum.into()
    }
}

impl Log {
    /// The proof that entry `index` is in the tree of `size` entries that `note` signs.
    fn prove(
        &self,
        index: u64,
        size: u64,
        note: SignedNote,
        extra: Option<Vec<u8>>,
    ) -> Result<Proof, LogError> {
        let hashes = self.proofs.inclusion(index, size)?;
        Ok(Proof {
            extra,
            index,
            hashes,
            checkpoint: note,
        })
    }

    /// The bytes of an entry of the epoch that goes on.
    fn leaf(&self, index: u64) -> Result<Vec<u8>, LogError> {
        let missing = || LogError::new(LogReason::Missing, format!("entry {index} is not there"));
        let epoch = self.views.newest_epoch().ok_or_else(missing)?;
        let leaves = self
            .views
            .with(|view| view.leaves(epoch, index, index + 1))
            .map_err(|error| unavailable(&error))?;
        leaves.into_iter().next().ok_or_else(missing)
    }

    /// The proof of the `current` entry at the end of an agreed checkpoint, unless it names another bundle than the
    /// newest. Made once for each agreement.
    fn currency(
        &self,
        agreement: &Arc<Agreement>,
        lineage: &Lineage,
    ) -> Result<Option<Vec<u8>>, LogError> {
        let mut made = lock(&self.currency);
        if !made
            .as_ref()
            .is_some_and(|made| Arc::ptr_eq(&made.agreement, agreement))
        {
            *made = Some(self.prove_current(agreement)?);
        }
        let newest = lineage.policy().digest();
        Ok(made
            .as_ref()
            .filter(|made| made.bundle.as_bytes() == newest.as_bytes())
            .map(|made| made.proof.clone()))
    }

    fn prove_current(&self, agreement: &Arc<Agreement>) -> Result<Currency, LogError> {
        let index = agreement.size.saturating_sub(1);
        let entry = match Entry::from_leaf(&self.leaf(index)?)? {
            Entry::Current(entry) => entry,
            _ => {
                let words = format!("entry {index} does not say which bundle is in force");
                return Err(LogError::new(LogReason::NotCurrent, words));
            }
        };
        let extra = Some(entry.extra().to_bytes()?);
        let proof = self.prove(index, agreement.size, agreement.note.clone(), extra)?;
        Ok(Currency {
            agreement: Arc::clone(agreement),
            bundle: Digest(entry.bundle.0),
            proof: proof.to_string().into_bytes(),
        })
    }
}

/// A proof that a bundle is in force.
pub(super) struct Currency {
    agreement: Arc<Agreement>,
    bundle: Digest,
    proof: Vec<u8>,
}
