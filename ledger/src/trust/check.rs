//! Judging a signed checkpoint.

use super::Trust;
use crate::checkpoint::Checkpoint;
use crate::cosignature;
use crate::error::{LogError, LogReason};
use crate::key::VerifierKey;
use crate::note::{NoteSignature, SignedNote};

/// A checkpoint whose signatures were checked. Only [`Trust`] makes it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TrustedCheckpoint {
    checkpoint: Checkpoint,
    note: SignedNote,
    log: VerifierKey,
    cosignatures: Vec<(String, u64)>,
    has_quorum: bool,
    seen_at: Option<u64>,
    fresh_at: Option<u64>,
}

impl TrustedCheckpoint {
    /// The head of the tree.
    #[must_use]
    pub const fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The note as it came, with all its signatures.
    #[must_use]
    pub const fn note(&self) -> &SignedNote {
        &self.note
    }

    /// Which log signed it.
    #[must_use]
    pub const fn log(&self) -> &VerifierKey {
        &self.log
    }

    /// The cosignatures that hold: the witness as the policy calls it, and the time in seconds.
    /// A witness that cosigned more than once is listed with its first and its last time.
    #[must_use]
    pub fn cosignatures(&self) -> &[(String, u64)] {
        &self.cosignatures
    }

    /// Whether as many witnesses cosigned as the policy asks for; always, if it asks for none.
    #[must_use]
    pub const fn has_quorum(&self) -> bool {
        self.has_quorum
    }

    /// When the tree had been seen: the smallest time, in seconds, such that the witnesses that
    /// cosigned by then make the quorum. `None` without a quorum.
    #[must_use]
    pub const fn seen_at(&self) -> Option<u64> {
        self.seen_at
    }

    /// Until when it was the newest: the largest time, in seconds, such that the witnesses that
    /// cosigned from then on make the quorum. `None` without a quorum.
    #[must_use]
    pub const fn fresh_at(&self) -> Option<u64> {
        self.fresh_at
    }
}

impl Trust {
    /// Checks the signature of the log, and that enough witnesses cosigned.
    ///
    /// # Errors
    ///
    /// `log.malformed` if the note is no checkpoint, `log.signature` if a signature of a known key
    /// does not hold or the log's is not there, `log.origin` if it is the checkpoint of another
    /// log, `log.quorum` if too few witnesses cosigned.
    pub fn check(&self, note: &SignedNote) -> Result<TrustedCheckpoint, LogError> {
        let trusted = self.check_log_only(note)?;
        if !trusted.has_quorum {
            return Err(LogError::new(
                LogReason::Quorum,
                format!(
                    "{} of the witnesses that the policy names have cosigned, which is not enough; \
                     missing: {}",
                    self.witnesses.len() - self.missing(&trusted).len(),
                    self.missing(&trusted).join(", ")
                ),
            ));
        }
        Ok(trusted)
    }

    /// Checks the signature of the log and the cosignatures of known witnesses, however few: of each
    /// witness the first and the last, because no other tells anything, and copies once. So a note
    /// costs two signature checks for each key at most, whatever somebody filled it up with.
    ///
    /// # Errors
    ///
    /// As for [`Trust::check`], without `log.quorum`.
    pub fn check_log_only(&self, note: &SignedNote) -> Result<TrustedCheckpoint, LogError> {
        let checkpoint = Checkpoint::parse(note.text())?;
        if !self
            .all_logs()
            .any(|log| log.key.name() == checkpoint.origin)
        {
            return Err(LogError::new(
                LogReason::Origin,
                format!("no log of origin {:?} is trusted", checkpoint.origin),
            ));
        }
        let mut signer = None;
        let mut times: Vec<(usize, u64)> = Vec::new();
        for signature in note.distinct_signatures() {
            // Unknown keys are nobody's; a known key that does not hold spoils the note.
            if let Some(log) = self.all_logs().find(|log| log.key.claims(signature)) {
                log.key.verify(note.text(), signature)?;
                if log.key.name() == checkpoint.origin {
                    signer = signer.or(Some(&log.key));
                }
            }
            let witness = self
                .witnesses
                .iter()
                .enumerate()
                .find(|(_, witness)| witness.key.claims(signature));
            if let Some((index, witness)) = witness
                && !is_between(note, &witness.key, signature)
                && let Some(time) = witness.key.verify(note.text(), signature)?
            {
                times.push((index, time));
            }
        }
        let signer = signer.ok_or_else(|| {
            LogError::new(
                LogReason::Signature,
                format!("the log {:?} has not signed this", checkpoint.origin),
            )
        })?;
        Ok(TrustedCheckpoint {
            log: signer.clone(),
            has_quorum: self
                .quorum
                .reached(|index| times.iter().any(|(witness, _)| *witness == index)),
            seen_at: self.seen_at(&times),
            fresh_at: self.fresh_at(&times),
            cosignatures: times
                .iter()
                .filter_map(|(index, time)| {
                    let witness = self.witnesses.get(*index)?;
                    Some((witness.name.clone(), *time))
                })
                .collect(),
            note: note.clone(),
            checkpoint,
        })
    }

    /// The witnesses that have not cosigned, as the policy calls them.
    #[must_use]
    pub fn missing(&self, trusted: &TrustedCheckpoint) -> Vec<String> {
        self.witnesses
            .iter()
            .map(|witness| &witness.name)
            .filter(|name| !trusted.cosignatures.iter().any(|(done, _)| done == *name))
            .cloned()
            .collect()
    }

    fn seen_at(&self, times: &[(usize, u64)]) -> Option<u64> {
        let quorum_by = |limit: u64| {
            self.quorum.reached(|index| {
                times
                    .iter()
                    .any(|(witness, time)| *witness == index && *time <= limit)
            })
        };
        self.candidates(times)
            .filter(|limit| quorum_by(*limit))
            .min()
    }

    fn fresh_at(&self, times: &[(usize, u64)]) -> Option<u64> {
        let quorum_from = |limit: u64| {
            self.quorum.reached(|index| {
                times
                    .iter()
                    .any(|(witness, time)| *witness == index && *time >= limit)
            })
        };
        self.candidates(times)
            .filter(|limit| quorum_from(*limit))
            .max()
    }

    /// The answer is always a time that some witness stated; without witnesses there is none.
    fn candidates(&self, times: &[(usize, u64)]) -> impl Iterator<Item = u64> {
        let times = if self.needs_witnesses() { times } else { &[] };
        times.iter().map(|(_, time)| *time)
    }
}

/// Whether the same witness is said to have cosigned both earlier and later. Those lines are checked: were they not
/// genuine, the note would be refused for them.
fn is_between(note: &SignedNote, witness: &VerifierKey, signature: &NoteSignature) -> bool {
    let time_of = |line: &NoteSignature| cosignature::split(line.signature()).map(|(time, _)| time);
    let Some(time) = time_of(signature) else {
        return false;
    };
    let mut times = note
        .signatures()
        .iter()
        .filter(|line| witness.claims(line))
        .filter_map(time_of);
    times.clone().any(|other| other < time) && times.any(|other| other > time)
}
