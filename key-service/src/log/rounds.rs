//! Which checkpoint is shown to which witness, and when it has its quorum. No sockets, no clock.
//!
//! One checkpoint at a time is the *target*: everybody is asked for the same one, because cosignatures of
//! different checkpoints do not add up to a quorum, however many there are. When the target has its quorum, the next
//! one is chosen: the newest checkpoint that ends with a `current` entry if that has none yet (a proof that a bundle is
//! in force needs the quorum on exactly that size), otherwise the newest of all. A witness never goes back, so a
//! target that too many witnesses have gone past is given up.

use std::{collections::BTreeMap, sync::Arc};

use super::{published::Shown, witness::Witness};

/// A question to one witness.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    /// The witness.
    pub(crate) witness: String,
    /// The size it is supposed to know.
    pub(crate) old_size: u64,
    /// What it is shown.
    pub(crate) target: Arc<Shown>,
    /// Which of the bundles that changed the witnesses it was asked under.
    generation: u64,
}

/// What came of a question, as far as the witness's words could be checked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Reply<C> {
    /// A cosignature that verifies, by the right key, of the right time.
    Cosigned(C),
    /// It knows another size (409).
    Knows(u64),
    /// It knows another root of the very size it was shown (409).
    OtherRoot,
    /// It does not accept that the target continues what it knows (422).
    NotContinued,
    /// It was away, refused, or said something that does not count; in words.
    Failed(String),
}

/// Why the service must stop: this is not the log that a witness saw, or nothing can be added to it any more.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum LogStop {
    /// A witness saw more than there is here: an older copy of the database was put back.
    Behind {
        /// The witness's name.
        witness: String,
        /// What it knows.
        known: u64,
        /// What is here.
        here: u64,
    },
    /// A witness saw another log under this name: there are two.
    Forked {
        /// The witness's name.
        witness: String,
        /// The size at which it does not agree.
        size: u64,
    },
    /// The writer of the log, or the task that asks the witnesses, ended though nobody asked it to.
    Ended,
}

/// A checkpoint that has its quorum.
#[derive(Clone, Debug)]
pub(crate) struct Agreed<C> {
    /// The checkpoint.
    pub(crate) shown: Arc<Shown>,
    /// The cosignatures it has by now, by witness.
    pub(crate) cosignatures: Vec<C>,
    /// Whether it is the newest that ends with a `current` entry.
    pub(crate) is_current: bool,
}

struct Round<C> {
    target: Arc<Shown>,
    /// Since when the quorum is waited for, in milliseconds of the caller's clock; also on targets given up since.
    since: u64,
    cosigned: BTreeMap<String, C>,
    done: bool,
}

/// The state of it all.
pub(crate) struct Rounds<C> {
    witnesses: Vec<Witness>,
    quorum: usize,
    newest: Option<Arc<Shown>>,
    current: Option<Arc<Shown>>,
    round: Option<Round<C>>,
    /// The largest size that has its quorum.
    agreed_size: Option<u64>,
    current_lost: bool,
    /// Grows whenever the bundle names other witnesses or keys of witnesses.
    generation: u64,
}

impl<C: Clone> Rounds<C> {
    /// Nothing to show yet.
    pub(crate) fn new(witnesses: impl IntoIterator<Item = String>, quorum: usize) -> Self {
        Self {
            witnesses: witnesses.into_iter().map(Witness::new).collect(),
            quorum,
            newest: None,
            current: None,
            round: None,
            agreed_size: None,
            current_lost: false,
            generation: 0,
        }
    }

    /// The bundle changed: other witnesses, other keys of theirs, or another quorum. What had a quorum before may have
    /// none now, so everything is shown again; and nothing that is still being answered counts, because a witness may
    /// have kept its name and got another key.
    pub(crate) fn configure(&mut self, names: &[String], quorum: usize) {
        self.witnesses = names.iter().cloned().map(Witness::new).collect();
        self.quorum = quorum;
        self.round = None;
        self.agreed_size = None;
        self.generation += 1;
    }

    /// There is a newer checkpoint, and perhaps a newer one that ends with a `current` entry.
    pub(crate) fn publish(&mut self, newest: Arc<Shown>, current: Option<Arc<Shown>>) {
        if current.as_ref().map(|shown| shown.size) != self.current.as_ref().map(|shown| shown.size)
        {
            self.current_lost = false;
        }
        self.newest = Some(newest);
        self.current = current;
    }

    /// Starts the next round if there is need and nothing to wait for; returns what has its quorum without anybody's
    /// cosignature, which happens only when the bundle asks for none.
    pub(crate) fn advance(&mut self, now: u64) -> Option<Agreed<C>> {
        let newest = self.newest.clone()?;
        let mut since = now;
        if let Some(round) = &self.round
            && !round.done
        {
            let possible = round.cosigned.len()
                + self
                    .witnesses
                    .iter()
                    .filter(|witness| {
                        !round.cosigned.contains_key(&witness.name)
                            && witness.can_cosign(round.target.size)
                    })
                    .count();
            if possible >= self.quorum || newest.size <= round.target.size {
                return None;
            }
            if self.is_current(&round.target) {
                self.current_lost = true;
            }
            since = round.since;
            self.round = None;
        }
        let next = self.next_target(newest)?;
        self.round = Some(Round {
            target: next,
            since,
            cosigned: BTreeMap::new(),
            done: false,
        });
        self.complete()
    }

    fn next_target(&self, newest: Arc<Shown>) -> Option<Arc<Shown>> {
        let is_new = |shown: &Arc<Shown>| self.agreed_size.is_none_or(|agreed| shown.size > agreed);
        let willing = |size| {
            let able = self
                .witnesses
                .iter()
                .filter(|witness| witness.can_cosign(size));
            able.count() >= self.quorum
        };
        self.current
            .clone()
            .filter(|shown| !self.current_lost && is_new(shown) && willing(shown.size))
            .or_else(|| Some(newest).filter(is_new))
    }

    fn is_current(&self, target: &Shown) -> bool {
        self.current
            .as_ref()
            .is_some_and(|current| current.size == target.size)
    }

    /// Marks the round as done if it is.
    fn complete(&mut self) -> Option<Agreed<C>> {
        let quorum = self.quorum;
        let round = self.round.as_mut()?;
        if round.done || round.cosigned.len() < quorum {
            return None;
        }
        round.done = true;
        self.agreed_size = Some(round.target.size);
        let target = Arc::clone(&round.target);
        let cosignatures = round.cosigned.values().cloned().collect();
        Some(Agreed {
            is_current: self.is_current(&target),
            shown: target,
            cosignatures,
        })
    }

    /// Whom to ask for what, now. Those who are asked are taken for busy until their reply.
    pub(crate) fn asks(&mut self, now: u64) -> Vec<Ask> {
        let Some(round) = &self.round else {
            return Vec::new();
        };
        let target = &round.target;
        let generation = self.generation;
        self.witnesses
            .iter_mut()
            .filter(|witness| {
                witness.is_free(now)
                    && witness.can_cosign(target.size)
                    && !round.cosigned.contains_key(&witness.name)
            })
            .map(|witness| {
                witness.asked();
                Ask {
                    witness: witness.name.clone(),
                    old_size: witness.old_size(target.size),
                    target: Arc::clone(target),
                    generation,
                }
            })
            .collect()
    }

    /// Takes in what came of a question; call [`Self::advance`] afterwards.
    ///
    /// Returns the target when it reached its quorum by this, or got a further cosignature after it.
    ///
    /// # Errors
    ///
    /// [`LogStop`] when the witness saw a log that is not this one.
    pub(crate) fn replied(
        &mut self,
        ask: &Ask,
        reply: Reply<C>,
        now: u64,
    ) -> Result<Option<Agreed<C>>, LogStop> {
        if ask.generation != self.generation {
            // The bundle that named it is no longer in force, or named another key.
            return Ok(None);
        }
        let here = self.newest.as_ref().map_or(0, |newest| newest.size);
        let Some(witness) = self
            .witnesses
            .iter_mut()
            .find(|witness| witness.name == ask.witness)
        else {
            return Ok(None);
        };
        match reply {
            Reply::Cosigned(cosignature) => {
                witness.cosigned(ask.target.size);
                return Ok(self.cosigned(ask, cosignature));
            }
            Reply::Knows(known) if known > here => {
                return Err(LogStop::Behind {
                    witness: ask.witness.clone(),
                    known,
                    here,
                });
            }
            Reply::OtherRoot => {
                return Err(LogStop::Forked {
                    witness: ask.witness.clone(),
                    size: ask.target.size,
                });
            }
            Reply::Knows(known) if known == ask.old_size => {
                witness.failed(format!("contradicts itself about size {known}"), now);
            }
            Reply::Knows(known) => witness.corrected(known, now),
            Reply::NotContinued => {
                return Err(LogStop::Forked {
                    witness: ask.witness.clone(),
                    size: ask.old_size,
                });
            }
            Reply::Failed(words) => witness.failed(words, now),
        }
        Ok(None)
    }

    fn cosigned(&mut self, ask: &Ask, cosignature: C) -> Option<Agreed<C>> {
        let round = self.round.as_mut()?;
        if round.target.size != ask.target.size {
            return None;
        }
        round.cosigned.insert(ask.witness.clone(), cosignature);
        if !round.done {
            return self.complete();
        }
        let target = Arc::clone(&round.target);
        let cosignatures = round.cosigned.values().cloned().collect();
        Some(Agreed {
            is_current: self.is_current(&target),
            shown: target,
            cosignatures,
        })
    }

    /// When somebody's pause ends, the first of them.
    pub(crate) fn wakes_at(&self, now: u64) -> Option<u64> {
        self.witnesses
            .iter()
            .filter_map(|witness| witness.pause_ends(now))
            .min()
    }

    /// Since when a checkpoint waits for its quorum, if one does.
    pub(crate) fn waits_since(&self) -> Option<u64> {
        self.round
            .as_ref()
            .filter(|round| !round.done)
            .map(|round| round.since)
    }

    /// Whether everything that is durable has its quorum.
    #[cfg(test)]
    fn is_settled(&self) -> bool {
        match (&self.newest, self.agreed_size) {
            (Some(newest), Some(agreed)) => agreed >= newest.size,
            (newest, _) => newest.is_none(),
        }
    }

    /// The newest checkpoint with a `current` entry at its end can no longer get its quorum: a new one is needed.
    pub(crate) fn needs_new_current(&self) -> bool {
        self.current_lost
    }

    /// Witnesses that did not cosign the target, and what they said last.
    pub(crate) fn missing(&self) -> Vec<(String, Option<String>)> {
        self.witnesses
            .iter()
            .filter(|witness| {
                self.round
                    .as_ref()
                    .is_none_or(|round| !round.cosigned.contains_key(&witness.name))
            })
            .map(|witness| (witness.name.clone(), witness.trouble().map(str::to_owned)))
            .collect()
    }
}

impl LogStop {
    /// Stable identifier.
    #[must_use]
    pub fn id(&self) -> &'static str {
        match self {
            Self::Behind { .. } => "log.behind",
            Self::Forked { .. } => "log.forked",
            Self::Ended => "service.internal",
        }
    }
}

impl std::fmt::Display for LogStop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Behind {
                witness,
                known,
                here,
            } => write!(
                f,
                "the witness {witness} saw this log with {known} entries, and only {here} are here: an older copy of \
                 the database was put back. Nothing is served from it. Restore what is missing from a mirror with \
                 `narthex-key-service catch-up --config FILE --mirror DIR|URL`, or, if there is none, open a new \
                 epoch with `narthex-key-service new-epoch --config FILE --bundle FILE --signature FILE...`"
            ),
            Self::Forked { witness, size } => write!(
                f,
                "the witness {witness} saw another log of {size} entries under this name: two services share the log \
                 key, or the database was put back and written to. Nothing is served from it. Find out which of the \
                 two people relied on (`narthex log verify` against a mirror); then put that one back, or open a new \
                 epoch with `narthex-key-service new-epoch --config FILE --bundle FILE --signature FILE...`"
            ),
            Self::Ended => f.write_str(
                "the part of the service that writes the log, or that shows it to the witnesses, has ended by a mistake \
                 of the program: nothing can be decided any more. What was answered is durable. Start the service \
                 again, and report what it wrote on stderr before this",
            ),
        }
    }
}

impl std::error::Error for LogStop {}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(size: u64) -> Arc<Shown> {
        Arc::new(Shown {
            size,
            root: [u8::try_from(size % 251).unwrap(); 32],
            note: size.to_string(),
        })
    }

    fn rounds(quorum: usize) -> Rounds<String> {
        Rounds::new(["a", "b", "c"].map(str::to_owned), quorum)
    }

    fn signs(rounds: &mut Rounds<String>, ask: &Ask) -> Option<Agreed<String>> {
        let cosignature = format!("{} {}", ask.witness, ask.target.size);
        rounds
            .replied(ask, Reply::Cosigned(cosignature), 0)
            .unwrap()
    }

    fn says(rounds: &mut Rounds<String>, ask: &Ask, reply: Reply<String>, now: u64) {
        assert!(rounds.replied(ask, reply, now).unwrap().is_none());
    }

    fn of<'a>(asks: &'a [Ask], name: &str) -> &'a Ask {
        asks.iter().find(|ask| ask.witness == name).unwrap()
    }

    #[test]
    fn two_of_three_are_enough_and_the_third_still_comes() {
        let mut rounds = rounds(2);
        rounds.publish(shown(10), None);
        assert!(rounds.advance(0).is_none());
        let asks = rounds.asks(0);
        assert_eq!(asks.len(), 3);
        assert!(
            asks.iter()
                .all(|ask| ask.old_size == 10 && ask.target.size == 10)
        );
        assert!(rounds.asks(0).is_empty(), "all are busy");
        assert!(signs(&mut rounds, of(&asks, "a")).is_none());
        assert!(!rounds.is_settled());
        let agreed = signs(&mut rounds, of(&asks, "c")).unwrap();
        assert_eq!(agreed.cosignatures, ["a 10", "c 10"]);
        assert!(rounds.is_settled());
        assert_eq!(rounds.missing(), [("b".to_owned(), None)]);
        let more = signs(&mut rounds, of(&asks, "b")).unwrap();
        assert_eq!(more.cosignatures.len(), 3);
        assert!(rounds.advance(0).is_none() && rounds.asks(0).is_empty());
    }

    #[test]
    fn all_are_asked_for_the_same_checkpoint_however_fast_the_log_grows() {
        let mut rounds = rounds(2);
        rounds.publish(shown(10), None);
        rounds.advance(0);
        let first = rounds.asks(0);
        signs(&mut rounds, of(&first, "a"));
        rounds.publish(shown(20), None);
        rounds.advance(0);
        assert!(rounds.asks(0).is_empty(), "a waits for b or c");
        assert_eq!(signs(&mut rounds, of(&first, "b")).unwrap().shown.size, 10);
        rounds.advance(0);
        let second = rounds.asks(0);
        assert_eq!(second.len(), 2);
        assert!(
            second
                .iter()
                .all(|ask| ask.target.size == 20 && ask.old_size == 10)
        );
        // c is late with the first; it counts for nothing, and c is asked for the second.
        assert!(signs(&mut rounds, of(&first, "c")).is_none());
        assert_eq!(of(&rounds.asks(0), "c").old_size, 10);
    }

    #[test]
    fn a_current_entry_is_cosigned_at_its_own_size() {
        let mut rounds = rounds(2);
        rounds.publish(shown(10), Some(shown(10)));
        rounds.advance(0);
        let first = rounds.asks(0);
        // Before anybody answers, more is written, and then another current entry and more.
        rounds.publish(shown(30), Some(shown(25)));
        assert!(signs(&mut rounds, of(&first, "a")).is_none());
        assert!(
            !signs(&mut rounds, of(&first, "b")).unwrap().is_current,
            "a newer one is there"
        );
        rounds.advance(0);
        let second = rounds.asks(0);
        assert!(second.iter().all(|ask| ask.target.size == 25));
        signs(&mut rounds, of(&second, "a"));
        assert!(signs(&mut rounds, of(&second, "b")).unwrap().is_current);
        rounds.advance(0);
        assert!(rounds.asks(0).iter().all(|ask| ask.target.size == 30));
    }

    #[test]
    fn a_witness_says_what_it_knows_and_is_shown_the_way_from_there() {
        let mut rounds = rounds(2);
        rounds.publish(shown(10), None);
        rounds.advance(0);
        let asks = rounds.asks(0);
        says(&mut rounds, of(&asks, "a"), Reply::Knows(4), 0);
        says(&mut rounds, of(&asks, "b"), Reply::Knows(0), 0);
        let asks = rounds.asks(0);
        assert_eq!((of(&asks, "a").old_size, of(&asks, "b").old_size), (4, 0));
    }

    #[test]
    fn a_witness_that_is_away_is_asked_again_later_and_named() {
        let mut rounds = rounds(2);
        rounds.publish(shown(10), None);
        rounds.advance(0);
        let asks = rounds.asks(0);
        signs(&mut rounds, of(&asks, "a"));
        for name in ["b", "c"] {
            says(
                &mut rounds,
                of(&asks, name),
                Reply::Failed("refused".to_owned()),
                0,
            );
        }
        assert!(rounds.asks(0).is_empty());
        let missing: Vec<_> = rounds.missing().into_iter().map(|(name, _)| name).collect();
        assert_eq!(missing, ["b", "c"]);
        let wakes = rounds.wakes_at(0).unwrap();
        let asks = rounds.asks(wakes);
        assert_eq!(asks.len(), 2);
        assert!(signs(&mut rounds, of(&asks, "b")).is_some());
    }

    #[test]
    fn a_witness_that_went_past_the_target_moves_it() {
        let mut rounds = rounds(3);
        rounds.publish(shown(10), Some(shown(10)));
        rounds.advance(0);
        let asks = rounds.asks(0);
        rounds.publish(shown(20), Some(shown(10)));
        // The service was killed after it had shown 15 to b.
        says(&mut rounds, of(&asks, "b"), Reply::Knows(15), 0);
        assert!(rounds.advance(0).is_none());
        assert!(rounds.needs_new_current());
        let asks = rounds.asks(0);
        assert_eq!(
            (of(&asks, "b").old_size, of(&asks, "b").target.size),
            (15, 20)
        );
        rounds.publish(shown(21), Some(shown(21)));
        assert!(!rounds.needs_new_current());
    }

    #[test]
    fn a_witness_that_knows_more_or_another_log_stops_everything() {
        let mut rounds = rounds(1);
        rounds.publish(shown(10), None);
        rounds.advance(0);
        let asks = rounds.asks(0);
        let stop = rounds
            .replied(of(&asks, "a"), Reply::Knows(11), 0)
            .unwrap_err();
        assert_eq!(stop.id(), "log.behind");
        assert!(stop.to_string().contains("catch-up"), "{stop}");
        let stop = rounds
            .replied(of(&asks, "b"), Reply::OtherRoot, 0)
            .unwrap_err();
        assert_eq!(stop.id(), "log.forked");
        let stop = rounds
            .replied(of(&asks, "c"), Reply::NotContinued, 0)
            .unwrap_err();
        assert_eq!(stop.id(), "log.forked");
    }

    #[test]
    fn without_a_quorum_nobody_is_waited_for_and_witnesses_are_shown_all_the_same() {
        let mut rounds = rounds(0);
        rounds.publish(shown(10), Some(shown(10)));
        let agreed = rounds.advance(0).unwrap();
        assert!(agreed.is_current && agreed.cosignatures.is_empty());
        let asks = rounds.asks(0);
        assert_eq!(asks.len(), 3);
        assert_eq!(
            signs(&mut rounds, of(&asks, "b")).unwrap().cosignatures,
            ["b 10"]
        );
        assert!(rounds.advance(0).is_none());
    }

    #[test]
    fn another_bundle_means_that_its_witnesses_must_agree_again() {
        let mut rounds = rounds(2);
        rounds.publish(shown(10), None);
        rounds.advance(0);
        let asks = rounds.asks(0);
        signs(&mut rounds, of(&asks, "a"));
        signs(&mut rounds, of(&asks, "b"));
        assert!(rounds.is_settled());
        rounds.configure(&["b".to_owned(), "d".to_owned()], 2);
        assert!(!rounds.is_settled());
        rounds.advance(0);
        let again = rounds.asks(0);
        assert_eq!(again.len(), 2);
        assert_eq!(of(&again, "b").old_size, 10);
        // c belongs to the old bundle; whatever it says now is nobody's business.
        assert!(
            rounds
                .replied(of(&asks, "c"), Reply::Knows(99), 0)
                .unwrap()
                .is_none()
        );
        signs(&mut rounds, of(&again, "b"));
        says(&mut rounds, of(&again, "d"), Reply::Knows(0), 0);
        let again = rounds.asks(0);
        assert_eq!(
            signs(&mut rounds, of(&again, "d")).unwrap().cosignatures,
            ["b 10", "d 10"]
        );
    }

    #[test]
    fn an_answer_of_the_old_key_of_a_witness_does_not_count_for_the_new_one() {
        let mut rounds = rounds(3);
        rounds.publish(shown(10), None);
        rounds.advance(0);
        let asks = rounds.asks(0);
        // The bundle gives c another key; the others stay as they are.
        rounds.configure(&["a", "b", "c"].map(str::to_owned), 3);
        rounds.advance(0);
        let again = rounds.asks(0);
        assert_eq!(again.len(), 3, "everybody is asked under the new bundle");
        for name in ["a", "b", "c"] {
            assert!(signs(&mut rounds, of(&asks, name)).is_none());
        }
        assert!(!rounds.is_settled());
        for name in ["a", "b"] {
            assert!(signs(&mut rounds, of(&again, name)).is_none());
        }
        assert!(signs(&mut rounds, of(&again, "c")).is_some());
    }
}
