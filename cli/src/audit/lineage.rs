//! The policy as it was at each entry: replayed from the first bundle on, each file at its own time.

use std::sync::Arc;

use narthex_ledger::{PersonId, PolicyFile, PolicyFileKind};
use narthex_policy::{
    AccountRule, Digest384, Namespace, Pcr, Policy, Provenance, Refusal, ReleaseStatus, SignedFile,
    Signer, UnixMillis,
};

use super::check::Check;
use super::claim::Gap;
use super::findings::{Fault, Notes};

/// The policy at one moment of the log. Cheap to share with those who judge.
pub(crate) struct PolicyState {
    /// What is in force.
    pub(crate) policy: Policy,
    /// Every bundle so far, with the PCR16 of an enclave that booted with it.
    pub(crate) bundles: Vec<BootBundle>,
    /// SHA-384 of the first bundle.
    pub(crate) genesis: Digest384,
    salt: [u8; 32],
}

/// A bundle that an enclave may have booted with.
#[derive(Clone, Copy)]
pub(crate) struct BootBundle {
    pub(crate) pcr16: Pcr,
    pub(crate) version: u64,
    pub(crate) digest: Digest384,
}

impl PolicyState {
    /// The first bundle, at the time of its entry.
    ///
    /// # Errors
    /// What the policy refuses; `bundle.ledger` if it names no log.
    pub(crate) fn begin(file: &SignedFile, at: UnixMillis) -> Result<Self, Refusal> {
        let genesis = file.digest();
        let policy = Policy::from_lineage(&genesis, std::slice::from_ref(file), at)?;
        let ledger = policy.bundle().ledger.as_ref();
        let salt = ledger
            .map(|ledger| *ledger.salt.as_bytes())
            .ok_or_else(|| {
                Refusal::new(
                    narthex_policy::Reason::BundleLedger,
                    "the first bundle names no log",
                )
            })?;
        let mut state = Self {
            policy,
            bundles: Vec::new(),
            genesis,
            salt,
        };
        state.note_bundle();
        Ok(state)
    }

    /// With one more file.
    ///
    /// # Errors
    /// What the policy refuses.
    pub(crate) fn with(
        &self,
        kind: PolicyFileKind,
        file: &SignedFile,
        at: UnixMillis,
    ) -> Result<Self, Refusal> {
        let mut next = Self {
            policy: self.policy.clone(),
            bundles: self.bundles.clone(),
            genesis: self.genesis,
            salt: self.salt,
        };
        match kind {
            PolicyFileKind::Bundle => {
                next.policy.replay_successor(file, at)?;
                next.note_bundle();
            }
            PolicyFileKind::Release => {
                next.policy.add_release(file, at)?;
            }
            PolicyFileKind::Stop => next.policy.add_stop(file, at)?,
        }
        Ok(next)
    }

    fn note_bundle(&mut self) {
        let digest = *self.policy.digest();
        self.bundles.push(BootBundle {
            pcr16: Pcr::of_boot_bundle(&digest),
            version: self.policy.version(),
            digest,
        });
    }

    /// The bundle that an enclave with this PCR16 booted with.
    pub(crate) fn bundle_of(&self, pcr16: &[u8]) -> Option<&BootBundle> {
        self.bundles
            .iter()
            .rev()
            .find(|bundle| bundle.pcr16.as_bytes().as_slice() == pcr16)
    }

    /// The pseudonym of a signer.
    pub(crate) fn person(&self, signer: &Signer) -> PersonId {
        PersonId::of(&self.salt, signer.person.as_str())
    }

    /// What the bundle in force and the releases leave open.
    pub(crate) fn gaps(&self) -> Vec<Gap> {
        let bundle = self.policy.bundle();
        let mut gaps = Vec::new();
        if let Some(ledger) = &bundle.ledger {
            if ledger.quorum == 0 || ledger.insecure_without_witnesses {
                gaps.push(Gap::NoQuorum);
            }
            if !ledger.release_waits_for_quorum {
                gaps.push(Gap::KeysBeforeQuorum);
            }
        }
        for rule in &bundle.keys {
            if rule.account == AccountRule::InsecureAny {
                gaps.push(Gap::AnyAccount);
            }
            if rule.commitments.is_empty() {
                gaps.push(Gap::UncommittedKeys);
            }
        }
        // A revocation opens nothing, however its numbers were given.
        if self.policy.releases().any(|release| {
            release.status != ReleaseStatus::Revoked
                && release.provenance == Provenance::InsecureByHand
        }) {
            gaps.push(Gap::MeasurementsByHand);
        }
        gaps.sort_unstable();
        gaps.dedup();
        gaps
    }

    fn signers(&self, kind: PolicyFileKind, file: &SignedFile) -> Vec<PersonId> {
        let namespace = match kind {
            PolicyFileKind::Bundle => Namespace::Policy,
            PolicyFileKind::Release => Namespace::Release,
            PolicyFileKind::Stop => Namespace::Stop,
        };
        let signers = self.policy.signers_of(file, namespace);
        signers
            .iter()
            .flatten()
            .map(|signer| self.person(signer))
            .collect()
    }

    /// How an entry names the version of a file that was just taken.
    fn version_text(&self, kind: PolicyFileKind, file: &SignedFile) -> String {
        let digest = file.digest();
        match kind {
            PolicyFileKind::Bundle => self.policy.version().to_string(),
            PolicyFileKind::Release => self
                .policy
                .releases()
                .find(|release| release.digest == digest)
                .map_or_else(String::new, |release| {
                    format!("{} {}", release.name, release.version)
                }),
            PolicyFileKind::Stop => self
                .policy
                .stops()
                .find(|stop| stop.digest == digest)
                .map_or_else(String::new, |stop| stop.serial.to_string()),
        }
    }
}

/// Takes one file of a policy entry: its signatures, and what the entry says about it. `None` when the file
/// does not count.
pub(crate) fn take_file(
    before: Option<&Arc<PolicyState>>,
    said: &PolicyFile,
    file: &SignedFile,
    at: UnixMillis,
    notes: &mut Notes,
) -> Option<Arc<PolicyState>> {
    let next = match before {
        None => PolicyState::begin(file, at),
        Some(before) => before.with(said.kind, file, at),
    };
    let next = match next {
        Ok(next) => next,
        Err(refusal) => {
            notes.fail(Check::PolicySignatures, Fault::from(&refusal));
            return None;
        }
    };
    notes.pass(Check::PolicySignatures);
    notes.put(Check::PolicyEntry, agrees(before, &next, said, file));
    Some(Arc::new(next))
}

fn agrees(
    before: Option<&Arc<PolicyState>>,
    after: &PolicyState,
    said: &PolicyFile,
    file: &SignedFile,
) -> Result<(), Fault> {
    let digest = file.digest();
    if said.sha384.as_bytes() != digest.as_bytes() {
        return Err(Fault::differs("the file's digest", said.sha384, digest));
    }
    let version = after.version_text(said.kind, file);
    if said.version != version {
        return Err(Fault::differs("its version", &said.version, version));
    }
    // A signature counts under the policy before or after: a bundle may bring the people who sign it.
    let mut signers = after.signers(said.kind, file);
    if let Some(before) = before {
        signers.extend(before.signers(said.kind, file));
    }
    same_people("its signers", &said.signers, signers)
}

/// The same people, in whatever order.
pub(crate) fn same_people(
    what: &str,
    said: &[PersonId],
    mut found: Vec<PersonId>,
) -> Result<(), Fault> {
    let mut said = said.to_vec();
    said.sort_unstable();
    found.sort_unstable();
    found.dedup();
    match said == found {
        true => Ok(()),
        false => Err(Fault::differs(what, list(&said), list(&found))),
    }
}

fn list(people: &[PersonId]) -> String {
    let people: Vec<String> = people.iter().map(ToString::to_string).collect();
    match people.is_empty() {
        true => "nobody".to_owned(),
        false => people.join(", "),
    }
}
