//! Single use: what must not happen twice leaves a mark, which follows from its entry.

use narthex_ledger::Entry;

use crate::digest::Digest;

/// What makes a second use of the same thing noticed: unique over all entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mark {
    /// The handshake hash of a session that was answered with keys.
    Session([u8; 32]),
    /// The digest of an order that was accepted, for the service or for an enclave.
    Order(Digest),
    /// The handshake hash of a diagnostics session whose statement was logged.
    Statement([u8; 32]),
}

impl Mark {
    pub(super) fn to_bytes(self) -> Vec<u8> {
        match self {
            Self::Session(hash) => [b"s".as_slice(), &hash].concat(),
            Self::Order(digest) => [b"o".as_slice(), digest.as_bytes()].concat(),
            Self::Statement(hash) => [b"t".as_slice(), &hash].concat(),
        }
    }

    /// The mark that an entry makes. What was refused makes none, so it may be tried again.
    #[must_use]
    pub fn of(entry: &Entry) -> Option<Self> {
        match entry {
            Entry::Release(release) if release.decision.is_accepted() => {
                Some(Self::Session(release.session.0))
            }
            Entry::Order(order) if order.decision.is_accepted() => {
                Some(Self::Order(Digest(order.order.0)))
            }
            Entry::Administration(call) if call.decision.is_accepted() => {
                Some(Self::Order(Digest(call.order.0)))
            }
            Entry::Statement(statement) => Some(Self::Statement(statement.session.0)),
            _ => None,
        }
    }
}
