//! A bounded store of documents that have been accepted (R26).
//!
//! Natively a document is bound to one session by the channel's handshake hash in `user_data`, and
//! needs no store. This is for callers without such a channel.

use core::fmt;
use core::time::Duration;
use std::collections::BTreeMap;

use crate::appraisal::Appraised;
use crate::check::CheckId;
use crate::digest::Digest384;
use crate::report::{Detail, Failure, Recorder, Refusal};
use crate::time::UnixMillis;

/// Remembers accepted documents by SHA-384 of their signed payload: not by signature or whole
/// document, because anybody can turn an ECDSA signature into another valid one.
pub struct SeenDocuments {
    capacity: usize,
    keep: Duration,
    entries: BTreeMap<Digest384, UnixMillis>,
}

impl SeenDocuments {
    /// A store of at most `capacity` documents, each kept until it is older than `keep`.
    ///
    /// `keep` must be at least the maximum age of the expectations plus their skew: what is
    /// forgotten could be accepted again.
    #[must_use]
    pub const fn new(capacity: usize, keep: Duration) -> Self {
        Self {
            capacity,
            keep,
            entries: BTreeMap::new(),
        }
    }

    /// Marks a document as used, once. Takes an [`Appraised`], so that only verified documents
    /// fill the store.
    ///
    /// # Errors
    ///
    /// [`Refusal`] with [`CheckId::FreshSingleUse`] when it was used before, and when the store is
    /// full of documents that must still be remembered.
    pub fn record(&mut self, appraised: &Appraised, now: UnixMillis) -> Result<(), Refusal> {
        let keep = self.keep;
        self.entries
            .retain(|_, timestamp| timestamp.saturating_add(keep) >= now);
        let digest = appraised.0.payload_digest();
        let observed = if self.entries.contains_key(&digest) {
            "a document that was accepted before"
        } else if self.entries.len() >= self.capacity {
            "a full store"
        } else {
            self.entries.insert(digest, appraised.timestamp());
            return Ok(());
        };
        let recorder = Recorder::resume(appraised.report());
        Err(recorder.refuse(Failure::new(
            CheckId::FreshSingleUse,
            Detail::from(observed),
        )))
    }

    /// How many documents are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl fmt::Debug for SeenDocuments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SeenDocuments")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}
