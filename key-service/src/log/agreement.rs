//! What waits for the witnesses' quorum, and what is known about it.
//!
//! The cosigner writes here, everybody else reads: answers wait until a checkpoint that covers their entry has its
//! quorum, and nothing new is begun while that is known to be missing.

use std::{
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use narthex_ledger::SignedNote;
use tokio::{sync::watch, time::Instant};

use crate::clock::UnixMillis;

/// A checkpoint with the cosignatures that the bundle asks for.
#[derive(Clone, Debug)]
pub(crate) struct Agreement {
    /// Number of leaves.
    pub(crate) size: u64,
    /// The note with its cosignatures.
    pub(crate) note: SignedNote,
    /// When the service had them together.
    pub(crate) at: UnixMillis,
}

/// How it stands with the witnesses, for metrics, `readyz` and words.
#[derive(Clone, Debug, Default)]
pub(crate) struct Standing {
    /// Whether the witnesses have agreed since the start to what was there at the start.
    pub(crate) confirmed: bool,
    /// How many must cosign.
    pub(crate) quorum: usize,
    /// Since when a checkpoint waits for its quorum, if one does.
    pub(crate) waits_since: Option<Instant>,
    /// Witnesses that did not cosign the checkpoint that is being shown, and what came of asking them.
    pub(crate) missing: Vec<(String, Option<String>)>,
}

/// The shared state.
pub(crate) struct Agreements {
    newest: watch::Sender<Option<Arc<Agreement>>>,
    current: RwLock<Option<Arc<Agreement>>>,
    standing: Mutex<Standing>,
    patience: Duration,
}

impl Agreements {
    /// Nothing is agreed on yet. A quorum that is waited for longer than `patience` is known to be missing.
    pub(crate) fn new(patience: Duration) -> Self {
        Self {
            newest: watch::Sender::new(None),
            current: RwLock::new(None),
            standing: Mutex::new(Standing::default()),
            patience,
        }
    }

    /// The newest checkpoint with its quorum under the bundle in force.
    pub(crate) fn newest(&self) -> Option<Arc<Agreement>> {
        self.newest.borrow().clone()
    }

    /// The newest checkpoint with its quorum whose last leaf is a `current` entry.
    pub(crate) fn current(&self) -> Option<Arc<Agreement>> {
        self.current
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Waits for a checkpoint that covers the leaf `index`; `None` when patience ends first.
    pub(crate) async fn covering(&self, index: u64) -> Option<Arc<Agreement>> {
        let mut newest = self.newest.subscribe();
        let covers = |agreed: &Option<Arc<Agreement>>| {
            agreed.as_ref().is_some_and(|agreed| agreed.size > index)
        };
        let waiting = newest.wait_for(covers);
        let found = tokio::time::timeout(self.patience, waiting).await.ok()?;
        found.ok()?.clone()
    }

    /// A checkpoint has its quorum, or got one more cosignature.
    pub(crate) fn agreed(&self, agreement: Agreement, is_current: bool) {
        let agreement = Arc::new(agreement);
        if is_current {
            *self.current.write().unwrap_or_else(PoisonError::into_inner) =
                Some(Arc::clone(&agreement));
        }
        self.newest.send_replace(Some(agreement));
    }

    /// Another bundle is in force: what its predecessor's witnesses said is worth nothing under it.
    pub(crate) fn forget(&self) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = None;
        self.newest.send_replace(None);
    }

    /// The cosigner reports.
    pub(crate) fn report(&self, standing: Standing) {
        *self.lock() = standing;
    }

    /// Whether the witnesses have agreed since the start to what was there at the start.
    pub(crate) fn is_confirmed(&self) -> bool {
        self.lock().confirmed
    }

    /// Waits until there has been an agreement since the start.
    pub(crate) async fn confirmed(&self) {
        // The sender lives as long as this value, so there is no other end.
        let mut newest = self.newest.subscribe();
        drop(newest.wait_for(Option::is_some).await);
    }

    /// How it stands.
    pub(crate) fn standing(&self) -> Standing {
        self.lock().clone()
    }

    /// Whether the quorum is known to be missing: since the start nobody has confirmed that the log is whole, or a
    /// checkpoint has waited in vain.
    pub(crate) fn is_quorum_missing(&self) -> bool {
        let standing = self.lock();
        let waited = standing.waits_since.map(|since| since.elapsed());
        standing.quorum > 0
            && (!standing.confirmed || waited.is_some_and(|waited| waited > self.patience))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
