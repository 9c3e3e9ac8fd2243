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
use crate::expectations::Expectations;
use crate::report::{Detail, Failure, Recorder, Refusal};
use crate::time::UnixMillis;

/// Remembers accepted documents by SHA-384 of their signed payload: not by signature or whole
/// document, because anybody can turn an ECDSA signature into another valid one.
pub struct SeenDocuments {
    capacity: usize,
    max_age: Duration,
    /// The latest time that the store has been told: what is too old then is forgotten, and stays
    /// refused if the clock is set back.
    latest: UnixMillis,
    entries: BTreeMap<Digest384, UnixMillis>,
}

impl SeenDocuments {
    /// A store of at most `capacity` documents, each kept until these expectations would refuse it
    /// for its age. With several expectations, give those with the largest maximum age.
    #[must_use]
    pub fn new(capacity: usize, expectations: &Expectations) -> Self {
        Self {
            capacity,
            max_age: expectations.max_age(),
            latest: UnixMillis::from_millis(0),
            entries: BTreeMap::new(),
        }
    }

    /// Marks a document as used, once. Takes an [`Appraised`], so that only verified documents
    /// fill the store.
    ///
    /// # Errors
    ///
    /// [`Refusal`] with [`CheckId::FreshSingleUse`] when it was used before, when it is older than
    /// what the store remembers, and when the store is full of documents that must be remembered.
    pub fn record(&mut self, appraised: &Appraised, now: UnixMillis) -> Result<(), Refusal> {
        self.latest = self.latest.max(now);
        let (latest, max_age) = (self.latest, self.max_age);
        let remembered = |timestamp: UnixMillis| timestamp.saturating_add(max_age) >= latest;
        self.entries.retain(|_, timestamp| remembered(*timestamp));
        let digest = appraised.payload_digest();
        let observed = if self.entries.contains_key(&digest) {
            "a document that was accepted before"
        } else if !remembered(appraised.timestamp()) {
            "a document older than what is remembered"
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
