//! The running service: what its listeners share.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError, TryLockError,
        atomic::{AtomicBool, Ordering},
    },
};

use narthex_channel::tokio::ServeStatistics;
use narthex_ledger::{Decision, Entry, EntryKind, Outcome, SummaryEntry};
use narthex_verifier::{Backend, ChainCache, TrustAnchors, VerificationContext};

use crate::{
    clock::{Clock, UnixMillis},
    digest::Digest,
    lineage::{CurrentLineage, to_policy_time},
    log::{Log, Wait},
    metrics::{Gauges, Metrics},
    refusal::Refusal,
    refusals::{Refusals, Treatment},
    storage::{Record, Recorded, Store, StoreError},
};

/// Chains remembered, by all contexts together: one for every enclave that may ask within the life of its leaf.
const CACHED_CHAINS: usize = 2048;

/// Everything that requests are answered with.
pub struct Service {
    pub(crate) store: Store,
    pub(crate) lineage: CurrentLineage,
    pub(crate) genesis: Digest,
    pub(crate) anchors: TrustAnchors,
    pub(crate) contexts: Contexts,
    pub(crate) refusals: Refusals,
    /// Those of people, apart from those of enclaves: anybody with an enclave of any kind has genuine documents, and must
    /// not keep what people were refused out of the log.
    pub(crate) refusals_of_people: Refusals,
    pub(crate) log: Log,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) root_key_file: PathBuf,
    /// Held through one administrative call, to its end: they are carried out one after the other.
    pub(crate) administration: tokio::sync::Mutex<()>,
    pub(crate) stopping: AtomicBool,
    pub(crate) listeners: Vec<Listening>,
    /// Since when the next summary counts.
    pub(crate) summarised: Mutex<UnixMillis>,
}

/// One of the service's listeners, as the metrics show it.
pub(crate) struct Listening {
    pub(crate) purpose: &'static str,
    pub(crate) address: String,
    pub(crate) statistics: Arc<ServeStatistics>,
}

impl Service {
    /// The service's clock.
    #[must_use]
    pub fn now(&self) -> UnixMillis {
        self.clock.now()
    }

    /// Whether a key request would be judged on its merits.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.why_not_ready().is_none()
    }

    /// Whether decisions can be recorded.
    #[must_use]
    pub fn storage_works(&self) -> bool {
        !self.store.has_failed() && self.store.is_running()
    }

    /// Why key requests are refused whatever they say, if they are.
    #[must_use]
    pub fn why_not_ready(&self) -> Option<&'static str> {
        let lineage = self.lineage.get();
        if self.stopping.load(Ordering::Acquire) {
            Some("service.stopping")
        } else if !self.storage_works() {
            Some("storage.unavailable")
        } else if self.store.is_full() {
            Some("storage.full")
        } else if lineage.policy().is_expired(to_policy_time(self.now())) {
            Some("bundle.expired")
        } else {
            let quorum = self.require_quorum(Wait::AsTheBundleSays);
            quorum.err().map(|refusal| refusal.id())
        }
    }

    /// From now on `readyz` says that the service is being stopped.
    pub fn begin_stopping(&self) {
        self.stopping.store(true, Ordering::Release);
    }

    /// What the metrics page says about this moment.
    #[must_use]
    pub fn gauges(&self) -> Gauges {
        let lineage = self.lineage.get();
        let (policy, now) = (lineage.policy(), self.now());
        Gauges {
            policy_expiry_seconds: seconds_until(policy.bundle().expires.as_millis(), now),
            bundle_version: policy.version(),
            releases: policy
                .releases()
                .filter(|release| release.status != narthex_policy::ReleaseStatus::Revoked)
                .map(|release| {
                    let seconds = seconds_until(release.expires.as_millis(), now);
                    (
                        release.name.to_string(),
                        release.version.to_string(),
                        seconds,
                    )
                })
                .collect(),
            ready: self.is_ready(),
            log: self.log_gauges(),
            listeners: self
                .listeners
                .iter()
                .map(|listening| {
                    let seen = listening.statistics.summary();
                    (listening.purpose, listening.address.clone(), seen)
                })
                .collect(),
        }
    }

    /// The counters.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Accounts for a refusal of somebody who is known, by an entry of its own while there is room for this `identity`,
    /// by counting it otherwise. The peer is answered either way. `record` says what the log will say; it is asked only
    /// if there is room.
    pub(crate) async fn refused(
        &self,
        kind: EntryKind,
        refusal: Refusal,
        identity: &str,
        record: impl FnOnce(UnixMillis, Decision) -> Result<Record, StoreError>,
    ) -> Option<Recorded> {
        let now = self.now();
        self.metrics.decided(kind, Outcome::Refused, refusal.id());
        let refusals = match kind {
            EntryKind::Release => &self.refusals,
            _ => &self.refusals_of_people,
        };
        if refusals.refused(Some(identity), refusal.id(), now) == Treatment::Counted {
            tracing::debug!(kind = kind.as_str(), reason = refusal.id(), "refused");
            self.metrics.unrecorded();
            return None;
        }
        tracing::info!(
            kind = kind.as_str(),
            reason = refusal.id(),
            identity,
            "refused"
        );
        let reason = refusal.id().to_owned();
        if !self.log.agreements.is_confirmed() {
            // Nobody has said yet that this log is whole: nothing is added to it.
            self.metrics.unrecorded();
            self.refusals.count(refusal.id());
            return None;
        }
        let recorded = match record(now, Decision::Refused { reason }) {
            // Genuine documents of strangers are refusals that can be attributed, too: the last room is not theirs.
            Ok(record) => {
                self.store
                    .write(move |writing| match writing.is_nearly_full()? {
                        true => Ok(None),
                        false => writing.record(record).map(Some),
                    })
                    .await
            }
            Err(error) => Err(error),
        };
        match recorded {
            Ok(Some(recorded)) => Some(recorded),
            Ok(None) => {
                self.metrics.unrecorded();
                self.refusals.count(refusal.id());
                None
            }
            Err(error) => {
                tracing::error!(id = error.id(), error = %error, "a refusal could not be recorded");
                self.refusals.count(refusal.id());
                None
            }
        }
    }

    /// Counts a refusal of somebody who is not known. Anybody can cause as many of these as they like, so they fill
    /// neither the record nor the log on stderr.
    pub(crate) fn refused_unknown(&self, kind: EntryKind, refusal: Refusal) {
        tracing::debug!(kind = kind.as_str(), reason = refusal.id(), "refused");
        self.metrics.decided(kind, Outcome::Refused, refusal.id());
        self.metrics.unrecorded();
        self.refusals.count(refusal.id());
    }

    /// Records what was only counted since the last time, if anything was.
    pub async fn summarise(&self) {
        if !self.log.agreements.is_confirmed() {
            return;
        }
        let mut counts = self.refusals.take_counts();
        for (reason, count) in self.refusals_of_people.take_counts() {
            *counts.entry(reason).or_default() += count;
        }
        if counts.is_empty() {
            return;
        }
        let now = self.now();
        let from = *self
            .summarised
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let record = Record::of(Entry::Summary(SummaryEntry {
            time: now.0,
            counts: counts.clone(),
            // A clock that went back does not make a summary of the future.
            from: from.0.min(now.0),
            to: now.0,
        }));
        match self
            .store
            .write(move |writing| writing.record(record))
            .await
        {
            Ok(_) => {
                *self
                    .summarised
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner) = now;
            }
            Err(error) => {
                tracing::error!(id = error.id(), error = %error, "a summary could not be recorded");
                self.refusals.give_back(counts);
            }
        }
    }

    /// Has the log say which bundle is in force.
    pub async fn record_current(&self) {
        let now = self.now();
        let written = self.store.write(move |writing| {
            writing.request_current(now);
            Ok(())
        });
        if let Err(error) = written.await {
            tracing::error!(id = error.id(), error = %error, "the bundle in force could not be recorded");
        }
    }
}

#[allow(clippy::cast_precision_loss)] // Milliseconds of this age fit into a float's 53 bits.
fn seconds_until(expires: u64, now: UnixMillis) -> f64 {
    (expires as f64 - now.0 as f64) / 1000.0
}

/// Verification contexts, one for each thread that serves sockets, over one cache of chains. A context is used by one
/// verification at a time.
pub(crate) struct Contexts(Vec<Mutex<VerificationContext>>);

impl Contexts {
    pub(crate) fn new(count: usize) -> Self {
        let cache = Arc::new(ChainCache::with_capacity(CACHED_CHAINS));
        let context = || VerificationContext::new(Backend::AwsLc).with_cache(Arc::clone(&cache));
        Self((0..count.max(1)).map(|_| Mutex::new(context())).collect())
    }

    /// Lends a free one to `work`, or waits for the first.
    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut VerificationContext) -> T) -> Option<T> {
        for context in &self.0 {
            match context.try_lock() {
                Ok(mut context) => return Some(work(&mut context)),
                Err(TryLockError::Poisoned(context)) => {
                    return Some(work(&mut context.into_inner()));
                }
                Err(TryLockError::WouldBlock) => {}
            }
        }
        let context = self.0.first()?;
        Some(work(
            &mut context.lock().unwrap_or_else(PoisonError::into_inner),
        ))
    }
}
