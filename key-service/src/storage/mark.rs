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

    /// The mark of a release, taken from its leaf without reading all of it: releases are most of a log, and change
    /// nothing but their mark. `None` when this is another entry, or looks unusual: then it must be read.
    ///
    /// Sound because texts in entries hold no quotes, fields are in order, and the caller demands that the bytes are
    /// those that were signed.
    pub(super) fn of_release_leaf(leaf: &[u8]) -> Option<Option<Self>> {
        let rest = leaf.strip_suffix(br#","type":"release","v":1}"#)?;
        let digits = rest.iter().rev().take_while(|byte| byte.is_ascii_digit());
        let (rest, _time) = rest.split_at_checked(rest.len().checked_sub(digits.count())?)?;
        let rest = rest.strip_suffix(br#"","time":"#)?;
        let (rest, session) = rest.split_last_chunk::<64>()?;
        let rest = rest.strip_suffix(br#","session":""#)?;
        let mut hash = [0; 32];
        hex::decode_to_slice(session, &mut hash).ok()?;
        // Before the session stands the outcome, with the release's name between them if it is known.
        let outcome = match rest.strip_suffix(b"\"") {
            Some(text) => {
                let quote = text.iter().rposition(|byte| *byte == b'"')?;
                let (before, _) = text.split_at_checked(quote)?;
                match before.strip_suffix(br#","release":"#) {
                    Some(before) => before,
                    None => rest,
                }
            }
            None => return None,
        };
        if outcome.ends_with(br#"],"outcome":"accepted""#) {
            Some(Some(Self::Session(hash)))
        } else {
            // Refused ones give their reason; they are few enough to be read.
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use narthex_ledger::{
        Decision, Digest384, EvidenceDigest, ReleaseEntry, ReleasedKey, SessionHash,
    };

    fn release(release: Option<&str>, decision: Decision) -> ReleaseEntry {
        let accepted = decision.is_accepted();
        let key = ReleasedKey {
            name: "database".to_owned(),
            version: 3,
            commitment: Digest384::of(b"key"),
        };
        ReleaseEntry {
            time: 1_767_225_600_000,
            decision,
            enclave: "i-0123456789abcdef0-enc0123456789abcde".to_owned(),
            session: SessionHash([7; 32]),
            evidence: EvidenceDigest([9; 48]),
            boot_bundle: Some(1),
            in_force: 2,
            release: release.map(str::to_owned),
            keys: if accepted { vec![key] } else { Vec::new() },
            asked: if accepted {
                Vec::new()
            } else {
                vec!["database".to_owned()]
            },
        }
    }

    #[test]
    fn the_short_way_gives_the_same_mark_or_none() {
        for name in [
            None,
            Some("shop 1.0"),
            Some("]outcome:accepted"),
            Some("],outcome:accepted, session:"),
            Some(" "),
        ] {
            let entry = Entry::Release(release(name, Decision::Accepted));
            let leaf = entry.to_leaf().unwrap();
            let short = Mark::of_release_leaf(&leaf);
            assert_eq!(short, Some(Mark::of(&entry)), "{name:?}");
            assert_eq!(short, Some(Some(Mark::Session([7; 32]))));
            let reason = "key.retired".to_owned();
            let refused = Entry::Release(release(name, Decision::Refused { reason }));
            assert_eq!(Mark::of_release_leaf(&refused.to_leaf().unwrap()), None);
        }
    }

    #[test]
    fn other_leaves_are_read_in_full() {
        let good = Entry::Release(release(None, Decision::Accepted))
            .to_leaf()
            .unwrap();
        for length in 0..good.len() {
            assert_eq!(Mark::of_release_leaf(&good[..length]), None, "{length}");
        }
        let text = String::from_utf8(good).unwrap();
        for (from, to) in [
            ("\"type\":\"release\"", "\"type\":\"summary\""),
            ("accepted", "refused"),
            ("\"time\":", "\"time\":x"),
            ("0707", "07zz"),
            ("\"session\"", "\"sessio\""),
        ] {
            let other = text.replace(from, to);
            assert_ne!(other, text, "{from}");
            assert_eq!(Mark::of_release_leaf(other.as_bytes()), None, "{from}");
        }
    }
}
