//! Counting signatures: distinct people, distinct keys.

use std::collections::BTreeSet;

use crate::file::limits::MAX_SIGNATURES;
use crate::names::PersonName;
use crate::person::Person;
use crate::reason::{Reason, Refusal};
use crate::signature::{Namespace, Signer, check_signature};

/// Who signed some bytes, each person once and each key once, and what did not count.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Tally {
    signers: Vec<Signer>,
    ignored: Vec<Refusal>,
}

impl Tally {
    /// Checks every signature, and leaves out those whose signer `refuse` has something against. A bad
    /// one does not spoil the others, not even others of the same person: whoever carries the files
    /// could otherwise undo any decision by adding one.
    pub(crate) fn of<'p>(
        signatures: &[String],
        namespace: Namespace,
        message: &[u8],
        people: impl IntoIterator<Item = &'p Person> + Clone,
        refuse: impl Fn(&Signer) -> Option<Refusal>,
    ) -> Result<Self, Refusal> {
        if signatures.len() > MAX_SIGNATURES {
            return Err(Refusal::new(
                Reason::FileTooManySignatures,
                format!("{} signatures, at most {MAX_SIGNATURES}", signatures.len()),
            ));
        }
        let mut tally = Self::default();
        for armoured in signatures {
            match check_signature(armoured, namespace, message, people.clone()) {
                Ok(signer) => match refuse(&signer) {
                    Some(refusal) => tally.ignored.push(refusal),
                    None => tally.count(signer),
                },
                Err(refusal) => tally.ignored.push(refusal),
            }
        }
        Ok(tally)
    }

    /// TUF's one advisory (RUSTSEC-2020-0024) was a key that counted twice.
    fn count(&mut self, signer: Signer) {
        let known = |counted: &Signer| {
            counted.person == signer.person || counted.fingerprint == signer.fingerprint
        };
        if !self.signers.iter().any(known) {
            self.signers.push(signer);
        }
    }

    /// Those who count, in the order of their signatures.
    pub(crate) fn signers(&self) -> &[Signer] {
        &self.signers
    }

    /// How many of `eligible` signed.
    pub(crate) fn among(&self, eligible: &[PersonName]) -> usize {
        self.signers
            .iter()
            .filter(|signer| eligible.contains(&signer.person))
            .count()
    }

    /// Refuses when fewer than `threshold` of `eligible` signed: for the first defect of a
    /// signature if there is one, else with `reason`. A stranger's signature is no defect: people
    /// come and go.
    pub(crate) fn require(
        &self,
        threshold: usize,
        eligible: &[PersonName],
        reason: Reason,
    ) -> Result<(), Refusal> {
        let counted = self.among(eligible);
        if counted >= threshold {
            return Ok(());
        }
        let defect = self
            .ignored
            .iter()
            .find(|found| found.reason() != Reason::SignatureUnknownSigner);
        Err(defect.cloned().unwrap_or_else(|| {
            let names: BTreeSet<&str> = self
                .signers
                .iter()
                .map(|signer| signer.person.as_str())
                .collect();
            let names = match names.is_empty() {
                true => String::from("nobody"),
                false => names.into_iter().collect::<Vec<_>>().join(", "),
            };
            Refusal::new(
                reason,
                format!("{counted} of {threshold} people needed signed: {names}"),
            )
        }))
    }
}
