//! The transparency log, as far as it is more than rows of the database.
//!
//! Entries, tiles and the signed checkpoint become durable in one transaction with what they are about
//! ([`crate::storage`]). What happens to them then is here:
//!
//! - [`settings`] where the witnesses are; [`published`] what the writer tells after each commit;
//! - [`rounds`] and [`witness`] whom to show which checkpoint, and when it has its quorum; [`reply`] what a witness's
//!   answer is worth; [`cosigner`] the task that does it; [`agreement`] what everybody else sees of it;
//! - [`tree`] making proofs; [`answers`] waiting for what an answer needs;
//! - [`submissions`] and [`statements`] what people want logged;
//! - [`recovery`] catching up with a mirror, and opening a new epoch;
//! - [`views`], [`read_side`] and [`gatekeeper`] the log as readers see it; [`purge`] deleting old evidence; [`gauges`]
//!   how it stands
//!
//! Nothing in here can change what was recorded.

mod agreement;
mod answers;
mod cosigner;
mod gatekeeper;
mod gauges;
mod published;
mod purge;
mod read_side;
pub mod recovery;
mod reply;
mod rounds;
mod settings;
mod statements;
mod submissions;
mod tree;
mod views;
mod witness;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use narthex_ledger::{Entry, LogError, Trust, VerifierKey};
use narthex_policy::Ledger;
use tokio::sync::watch;

use self::{agreement::Agreements, answers::Currency, tree::Proofs, views::Views};
pub(crate) use self::{
    answers::Wait, cosigner::Cosigner, gatekeeper::PolicyGate, read_side::ReadSide,
};
pub use self::{
    gauges::LogGauges,
    published::{Published, Shown},
    rounds::LogStop,
    settings::LedgerConfig,
};
use crate::{
    clock::UnixMillis,
    config::Config,
    refusals::Refusals,
    storage::{Epoch, Recorded, Store, StoreError},
};

/// Orders of one person, or statements of one enclave, that are accepted in a minute.
const ACCEPTED_PER_MINUTE: u32 = 60;

/// What the service knows about its log.
pub(crate) struct Log {
    pub(crate) settings: LedgerConfig,
    pub(crate) published: watch::Receiver<Published>,
    pub(crate) agreements: Arc<Agreements>,
    pub(crate) views: Arc<Views>,
    proofs: Proofs,
    /// Bound what is accepted, as [`crate::service::Service::refused`] bounds what is refused. Statements apart from
    /// orders: anybody who runs the published image has genuine ones, and must not keep staff from submitting.
    accepted_orders: Refusals,
    accepted_statements: Refusals,
    currency: Mutex<Option<Currency>>,
    /// When the epoch that goes on began, if another was before it.
    begun: Option<UnixMillis>,
}

impl Log {
    /// The log whose entries `store` writes.
    ///
    /// # Errors
    ///
    /// What SQLite says.
    pub(crate) fn new(
        config: &Config,
        store: &Store,
        epochs: Vec<Epoch>,
    ) -> Result<Self, StoreError> {
        let settings = &config.ledger;
        // A session that is over cannot be told why it got no answer.
        let patience = settings
            .quorum_timeout()
            .min(config.limits.session() * 4 / 5);
        let views = Arc::new(Views::open(&config.storage, epochs)?);
        let epoch = views.newest_epoch().ok_or(StoreError::Stopped)?.clone();
        let begun = match views.with(|view| view.leaves(&epoch, 0, 1))?.first() {
            Some(leaf) => match Entry::from_leaf(leaf)? {
                Entry::Epoch(first) => Some(UnixMillis(first.time)),
                _ => None,
            },
            None => None,
        };
        let proofs = Proofs::new(store.tree().clone(), Arc::clone(&views), epoch);
        Ok(Self {
            settings: settings.clone(),
            published: store.published(),
            agreements: Arc::new(Agreements::new(patience)),
            views,
            proofs,
            accepted_orders: Refusals::new(ACCEPTED_PER_MINUTE),
            accepted_statements: Refusals::new(ACCEPTED_PER_MINUTE),
            currency: Mutex::new(None),
            begun,
        })
    }

    /// Whether an order may have been used in the part of an earlier epoch that is lost: an epoch is opened also when the
    /// database was put back and there is no mirror, and then nobody knows.
    pub(crate) fn may_have_used(&self, issued: narthex_policy::UnixMillis) -> bool {
        self.begun.is_some_and(|begun| issued.as_millis() < begun.0)
    }

    /// Whether an entry stands in the epoch that goes on: the log of the bundle in force proves no other.
    fn is_provable(&self, recorded: &Recorded) -> bool {
        let newest = self.views.newest_epoch();
        newest.is_some_and(|epoch| epoch.number == recorded.epoch)
    }

    /// What the HTTP server for readers reads from.
    pub(crate) fn read_side(&self, store: Store) -> ReadSide {
        ReadSide::new(Arc::clone(&self.views), Arc::clone(&self.agreements), store)
    }
}

/// The trust that a bundle states: what those who rely on it will check.
pub(crate) fn trust_of(ledger: &Ledger) -> Result<Trust, LogError> {
    let key = |key: &narthex_policy::VerifierKey| VerifierKey::parse(key.as_str());
    let witnesses = ledger.witnesses.iter().map(key).collect::<Result<_, _>>()?;
    Trust::new(key(&ledger.log)?, witnesses, ledger.quorum)
}

/// A panic elsewhere leaves nothing half done here.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
