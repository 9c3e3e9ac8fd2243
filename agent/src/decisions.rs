//! The hash chain of the agent's own decisions.
//!
//! Every decision since boot is one link: `head = SHA-384(label || previous head || decision)`. The head
//! and the counts stand in every session statement, which a document vouches for, so an agent
//! cannot have decided differently towards two people without two heads. An accepted decision is
//! recorded before it is acted on.
//!
//! A decision is the CBOR array
//! `[1, sequence, unix milliseconds, outcome, subject, order digest or null, h or null]`, where outcome is 0
//! (accepted) or 1 (refused), and subject is the action's or event's name if accepted, the reason if refused. It
//! names no person: the order's digest leads to one for whoever has the order.

use std::convert::Infallible;

use minicbor::Encoder;
use narthex_channel::{Digest384, HandshakeHash, UnixMillis};
use sha2::{Digest, Sha384};

/// Goes before everything that is hashed here.
const LABEL: &[u8] = b"narthex/v1/agent-decision\0";

/// What was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Accepted, and about to be acted on.
    Accepted,
    /// Refused.
    Refused,
}

/// One decision, before it has a place in the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Trusted time.
    pub now: UnixMillis,
    /// What was decided.
    pub outcome: Outcome,
    /// The action's or event's name, or the reason of the refusal: always from a closed list.
    pub subject: &'static str,
    /// The order's digest, once it is known.
    pub order: Option<Digest384>,
    /// The session, for decisions about calls.
    pub session: Option<HandshakeHash>,
}

/// The chain: a head and two counts.
#[derive(Clone, Debug)]
pub struct DecisionChain {
    head: Digest384,
    accepted: u64,
    refused: u64,
}

impl DecisionChain {
    /// A chain without a link: its head is zero.
    pub fn start() -> Self {
        Self {
            head: Digest384::ZERO,
            accepted: 0,
            refused: 0,
        }
    }

    /// Adds a decision and returns the new head.
    pub fn record(&mut self, decision: &Decision) -> Digest384 {
        let sequence = self.accepted.saturating_add(self.refused);
        let link = link(sequence, decision);
        let head = Sha384::new()
            .chain_update(LABEL)
            .chain_update(self.head.as_bytes())
            .chain_update(link)
            .finalize();
        self.head = Digest384::from_bytes(head.into());
        match decision.outcome {
            Outcome::Accepted => self.accepted = self.accepted.saturating_add(1),
            Outcome::Refused => self.refused = self.refused.saturating_add(1),
        }
        self.head
    }

    /// The head.
    pub fn head(&self) -> Digest384 {
        self.head
    }

    /// Decisions accepted since boot.
    pub fn accepted(&self) -> u64 {
        self.accepted
    }

    /// Decisions refused since boot.
    pub fn refused(&self) -> u64 {
        self.refused
    }
}

/// The canonical encoding of a decision.
fn link(sequence: u64, decision: &Decision) -> Vec<u8> {
    let Decision {
        now,
        outcome,
        subject,
        order,
        session,
    } = decision;
    let outcome = match outcome {
        Outcome::Accepted => 0,
        Outcome::Refused => 1,
    };
    let mut encoder = Encoder::new(Vec::with_capacity(192));
    let written = (|| -> Result<(), minicbor::encode::Error<Infallible>> {
        encoder
            .array(7)?
            .u8(1)?
            .u64(sequence)?
            .u64(now.0)?
            .u8(outcome)?
            .str(subject)?;
        for part in [
            order.as_ref().map(Digest384::as_ref),
            session.as_ref().map(bytes_of),
        ] {
            match part {
                Some(bytes) => encoder.bytes(bytes)?,
                None => encoder.null()?,
            };
        }
        Ok(())
    })();
    // Writing to a vector cannot fail: its error type is `Infallible`.
    written.map_or_else(|_| Vec::new(), |()| encoder.into_writer())
}

fn bytes_of(session: &HandshakeHash) -> &[u8] {
    session.as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decision() -> Decision {
        Decision {
            now: UnixMillis(7),
            outcome: Outcome::Refused,
            subject: "order.expired",
            order: None,
            session: None,
        }
    }

    #[test]
    fn the_head_is_what_the_documentation_says() {
        let mut chain = DecisionChain::start();
        assert_eq!(chain.head(), Digest384::ZERO);
        let first = [0; 48];
        let mut link = vec![0x87, 1, 0, 7, 1, 0x6d];
        link.extend_from_slice(b"order.expired");
        link.extend_from_slice(&[0xf6, 0xf6]);
        let second = Sha384::new()
            .chain_update(LABEL)
            .chain_update(first)
            .chain_update(link)
            .finalize();
        assert_eq!(chain.record(&decision()).as_bytes(), second.as_slice());
        assert_eq!((chain.accepted(), chain.refused()), (0, 1));
    }

    #[test]
    fn every_part_of_a_decision_changes_the_head() {
        let head = |decision: &Decision| DecisionChain::start().record(decision);
        let base = head(&decision());
        let others = [
            Decision {
                now: UnixMillis(8),
                ..decision()
            },
            Decision {
                outcome: Outcome::Accepted,
                ..decision()
            },
            Decision {
                subject: "order.role",
                ..decision()
            },
            Decision {
                order: Some(Digest384::from_bytes([0; 48])),
                ..decision()
            },
            Decision {
                session: Some(HandshakeHash::from_bytes([0; 32])),
                ..decision()
            },
        ];
        for other in others {
            assert_ne!(head(&other), base, "{other:?}");
        }
    }

    #[test]
    fn the_order_of_decisions_matters() {
        let accepted = Decision {
            outcome: Outcome::Accepted,
            subject: "health",
            ..decision()
        };
        let (mut one, mut other) = (DecisionChain::start(), DecisionChain::start());
        one.record(&decision());
        one.record(&accepted);
        other.record(&accepted);
        other.record(&decision());
        assert_ne!(one.head(), other.head());
    }
}
