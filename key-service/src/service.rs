//! The running service: what its listeners share.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError, TryLockError,
        atomic::{AtomicBool, Ordering},
    },
};

use narthex_channel::tokio::ServeStatistics;
use narthex_verifier::{Backend, ChainCache, TrustAnchors, VerificationContext};

use crate::{
    clock::{Clock, UnixMillis},
    digest::Digest,
    lineage::{CurrentLineage, to_policy_time},
    metrics::{Gauges, Metrics},
    refusal::Refusal,
    refusals::{Refusals, Treatment},
    storage::{Body, Decision, DecisionKind, Outcome, Store},
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
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) root_key_file: PathBuf,
    /// Held through one administrative call, to its end: they are carried out one after the other.
    pub(crate) administration: tokio::sync::Mutex<()>,
    pub(crate) stopping: AtomicBool,
    pub(crate) listeners: Vec<Listening>,
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
        } else if lineage.policy().is_expired(to_policy_time(self.now())) {
            Some("bundle.expired")
        } else {
            None
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

    /// Accounts for a refusal: by a record of its own if `identity` is known and has room, by counting it
    /// otherwise. The peer is answered either way.
    pub(crate) async fn refused(
        &self,
        kind: DecisionKind,
        refusal: Refusal,
        identity: Option<&str>,
        body: Body,
    ) {
        let now = self.now();
        self.metrics.decided(kind, Outcome::Refused, refusal.id());
        if self.refusals.refused(identity, refusal.id(), now) == Treatment::Counted {
            // Anybody can cause as many of these as they like, so they do not fill the log either.
            tracing::debug!(kind = kind.as_str(), reason = refusal.id(), "refused");
            self.metrics.unrecorded();
            return;
        }
        tracing::info!(
            kind = kind.as_str(),
            reason = refusal.id(),
            enclave = body
                .enclave
                .as_ref()
                .map(|enclave| enclave.module_id.as_str()),
            person = body.person.as_ref().map(|person| person.requester.as_str()),
            "refused"
        );
        let decision = Decision {
            time: now,
            kind,
            outcome: Outcome::Refused,
            reason: refusal.id().to_owned(),
            mark: None,
            body,
        };
        // Genuine documents of strangers are refusals that can be attributed, too: the last room is not theirs.
        let recorded = self
            .store
            .write(move |writing| match writing.is_nearly_full()? {
                true => Ok(None),
                false => writing.record(decision).map(Some),
            })
            .await;
        match recorded {
            Ok(Some(_)) => {}
            Ok(None) => {
                self.metrics.unrecorded();
                self.refusals.count(refusal.id());
            }
            Err(error) => {
                tracing::error!(id = error.id(), error = %error, "a refusal could not be recorded");
                self.refusals.count(refusal.id());
            }
        }
    }

    /// Counts a session that broke before anything could be judged.
    pub(crate) fn broken_session(&self, kind: DecisionKind, refusal: Refusal) {
        tracing::debug!(
            kind = kind.as_str(),
            reason = refusal.id(),
            "a session broke"
        );
        self.metrics.decided(kind, Outcome::Refused, refusal.id());
        self.metrics.unrecorded();
        self.refusals.count(refusal.id());
    }

    /// Records what was only counted since the last time, if anything was.
    pub async fn summarise(&self) {
        let counts = self.refusals.take_counts();
        if counts.is_empty() {
            return;
        }
        let decision = Decision {
            time: self.now(),
            kind: DecisionKind::Summary,
            outcome: Outcome::Refused,
            reason: String::new(),
            mark: None,
            body: Body {
                counts: counts.clone(),
                ..Body::default()
            },
        };
        if let Err(error) = self
            .store
            .write(move |writing| writing.record(decision))
            .await
        {
            tracing::error!(id = error.id(), error = %error, "a summary could not be recorded");
            self.refusals.give_back(counts);
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
