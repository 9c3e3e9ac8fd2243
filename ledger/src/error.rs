//! Why something about a log was refused: one closed list for the whole crate.
//!
//! A [`LogError`] is a [`LogReason`] plus words for people. Only [`LogReason::id`] may leave an
//! enclave or a service: the words can quote the bytes that were judged.

use core::fmt;

use crate::store::StoreError;

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $id:literal,)*) => {
        /// Every way this crate says no. The text of [`LogReason::id`] is stable.
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        #[non_exhaustive]
        pub enum LogReason {
            $($(#[$doc])* $variant,)*
        }

        impl LogReason {
            /// All reasons, in the order of their declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The stable id: `log.` and `[a-z0-9_]`, at most 64 bytes.
            #[must_use]
            pub const fn id(self) -> &'static str {
                match self {
                    $(Self::$variant => $id,)*
                }
            }
        }
    };
}

reasons! {
    /// A note, checkpoint, proof, path, tile or bundle of entries is not written as its format asks.
    Malformed = "log.malformed",
    /// A key is unreadable, of a kind that cannot be used here, weak, or listed twice.
    Key = "log.key",
    /// No valid signature of the log, or a signature of a known key that does not hold.
    Signature = "log.signature",
    /// The checkpoint is of another log.
    Origin = "log.origin",
    /// Fewer witnesses than the trust policy asks for have cosigned.
    Quorum = "log.quorum",
    /// The trust policy itself is unusable.
    Policy = "log.policy",
    /// The entry is not in the tree at that place.
    Inclusion = "log.inclusion",
    /// The newer tree does not continue the older one.
    Consistency = "log.consistency",
    /// The tiles do not add up to the signed root.
    Root = "log.root",
    /// A tile does not belong to the signed tree: another one stands above it.
    Tile = "log.tile",
    /// An entry is not the one whose hash is in the tree.
    Entries = "log.entries",
    /// The log shows another tree of the same size as one seen before.
    Forked = "log.forked",
    /// The log is smaller than it was.
    Behind = "log.behind",
    /// What the witnesses last saw is too old.
    Stale = "log.stale",
    /// A time lies in the future.
    Future = "log.future",
    /// The entry is not the last one of the tree that was proved.
    NotLast = "log.not_last",
    /// The log names something else as current.
    NotCurrent = "log.not_current",
    /// A proof is needed, and none came.
    ProofMissing = "log.proof_missing",
    /// An entry is not written as entries are, or says something else than it must.
    Entry = "log.entry",
    /// Evidence is not what its digest or its entry says.
    Evidence = "log.evidence",
    /// Something that must be in the log is not there.
    Missing = "log.missing",
    /// The log, or the folder or service that holds it, could not be read or written.
    Unavailable = "log.unavailable",
    /// The reader may not see this log.
    Forbidden = "log.forbidden",
    /// The operating system's random source failed.
    Random = "log.random",
}

/// A refusal: the reason and words about what was expected and found.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LogError {
    reason: LogReason,
    detail: String,
}

impl LogError {
    /// Puts `reason` and words about what was expected and what was found together.
    pub fn new(reason: LogReason, detail: impl Into<String>) -> Self {
        Self {
            reason,
            detail: detail.into(),
        }
    }

    pub(crate) fn malformed(detail: impl Into<String>) -> Self {
        Self::new(LogReason::Malformed, detail)
    }

    /// Why, as a value to compare with.
    #[must_use]
    pub const fn reason(&self) -> LogReason {
        self.reason
    }

    /// Why, as the stable text that may be shown to a peer.
    #[must_use]
    pub const fn id(&self) -> &'static str {
        self.reason.id()
    }

    /// What was expected and found, for people. Never sent to a peer: it may quote what was judged.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// Prefixes the words with where it happened.
    #[must_use]
    pub fn within(mut self, place: &str) -> Self {
        self.detail = format!("{place}: {}", self.detail);
        self
    }
}

impl fmt::Display for LogError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.reason.id(), self.detail)
    }
}

impl std::error::Error for LogError {}

impl From<StoreError> for LogError {
    fn from(error: StoreError) -> Self {
        let reason = match error.kind {
            crate::store::StoreErrorKind::Forbidden => LogReason::Forbidden,
            crate::store::StoreErrorKind::Unavailable => LogReason::Unavailable,
            crate::store::StoreErrorKind::Malformed => LogReason::Malformed,
        };
        Self::new(reason, error.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_short_plain_and_distinct() {
        let mut seen = std::collections::BTreeSet::new();
        for reason in LogReason::ALL {
            let id = reason.id();
            assert!(id.starts_with("log.") && id.len() <= 64);
            assert!(
                id.bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_.".contains(&b))
            );
            assert!(seen.insert(id), "{id} twice");
        }
    }
}
