//! What a caller brings to a verification besides the document and the time.

use core::time::Duration;
use std::sync::Arc;

use crate::cache::ChainCache;
use crate::certificate::PublicKey;
use crate::crypto::{Backend, BadSignature};
use crate::deny_list::DenyList;
use crate::limits::{DEFAULT_SKEW, MAX_SKEW};

/// Chain cache, deny-list, clock skew and cryptography, kept by the caller between calls.
///
/// One per thread: a lock around it would be held while signatures are checked. Contexts can share
/// one cache.
#[derive(Debug)]
pub struct VerificationContext {
    /// Chains verified before.
    pub cache: Arc<ChainCache>,
    /// Certificates that are refused though AWS signed them.
    pub deny_list: DenyList,
    skew: Duration,
    backend: Backend,
    signature_checks: u64,
}

impl VerificationContext {
    /// A context with this backend, no cache, no denied certificates and a skew of one minute.
    #[must_use]
    pub fn new(backend: Backend) -> Self {
        Self {
            cache: Arc::new(ChainCache::with_capacity(0)),
            deny_list: DenyList::new(),
            skew: DEFAULT_SKEW,
            backend,
            signature_checks: 0,
        }
    }

    /// The same with a cache of its own, or one that it shares with other contexts.
    #[must_use]
    pub fn with_cache(mut self, cache: impl Into<Arc<ChainCache>>) -> Self {
        self.cache = cache.into();
        self
    }

    /// The same with a deny-list.
    #[must_use]
    pub fn with_deny_list(mut self, deny_list: DenyList) -> Self {
        self.deny_list = deny_list;
        self
    }

    /// The same with this much allowance for a clock that is behind: a certificate may begin that
    /// long after the judging time (R27: AWS does not backdate leaves). There is no allowance at
    /// a certificate's end. More than [`MAX_SKEW`] counts as [`MAX_SKEW`].
    #[must_use]
    pub fn with_skew(mut self, skew: Duration) -> Self {
        self.skew = skew.min(MAX_SKEW);
        self
    }

    /// The allowance for a clock that is behind.
    #[must_use]
    pub fn skew(&self) -> Duration {
        self.skew
    }

    /// The backend that checks signatures.
    #[must_use]
    pub fn backend(&self) -> Backend {
        self.backend
    }

    /// How many signatures have been checked in this context: 5 for a document never seen, 2 for
    /// a known instance with a new leaf, 1 for a known leaf, 0 for what is refused before.
    #[must_use]
    pub fn signature_checks(&self) -> u64 {
        self.signature_checks
    }

    pub(crate) fn check_signature(
        &mut self,
        key: &PublicKey,
        message: &[u8],
        signature: &[u8; 96],
    ) -> Result<(), BadSignature> {
        self.signature_checks = self.signature_checks.saturating_add(1);
        self.backend.check(key, message, signature)
    }
}

impl Default for VerificationContext {
    fn default() -> Self {
        Self::new(Backend::default())
    }
}
