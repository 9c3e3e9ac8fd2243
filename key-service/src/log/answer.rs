//! Proofs that answers carry.

use narthex_ledger::{Proof, SignedNote, prove_inclusion};

use crate::{reason::Reason, refusal::Refusal, service::Service, storage::Recorded};

impl Service {
    /// Waits until an answer may say that this is logged, and returns the proof that it is.
    ///
    /// # Errors
    ///
    /// `service.internal` when the tree that was signed does not hold it, which cannot be.
    pub(crate) async fn answer_when_logged(&self, recorded: &Recorded) -> Result<Proof, Refusal> {
        let newest = {
            let mut published = self.store.published();
            let published = published
                .wait_for(|published| {
                    published.epoch > recorded.epoch || published.newest.size > recorded.index
                })
                .await
                .map_err(|_| Reason::ServiceStopping)?;
            std::sync::Arc::clone(&published.newest)
        };
        let internal = || Refusal::from(Reason::ServiceInternal);
        let hashes = self
            .store
            .tree()
            .with(recorded.epoch, |tree| {
                prove_inclusion(tree, recorded.index, newest.size).ok()
            })
            .flatten()
            .ok_or_else(internal)?;
        Ok(Proof {
            extra: recorded.extra().map_err(|_| internal())?,
            index: recorded.index,
            hashes,
            checkpoint: SignedNote::parse(&newest.note).map_err(|_| internal())?,
        })
    }
}
