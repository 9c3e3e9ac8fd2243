//! From one bundle to the next: anchors, chains, succession.

use std::collections::BTreeMap;

use super::statements::StoppedSigners;
use super::{KnownRelease, Policy};
use crate::anchor::TrustAnchor;
use crate::bundle::{Bundle, CLOCK_SKEW};
use crate::digest::Digest384;
use crate::file::{SignedFile, check_project, check_size, limits};
use crate::ledger::Ledger;
use crate::names::{PersonName, ReleaseName, ReleaseVersion};
use crate::person::Person;
use crate::reason::{Reason, Refusal};
use crate::release::ReleaseStatus;
use crate::signature::Namespace;
use crate::tally::Tally;
use crate::time::UnixMillis;

/// What accepting a bundle changed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Succession {
    /// The version now in force.
    pub version: u64,
    /// Its digest.
    pub digest: Digest384,
    /// Whether the reviewers, their keys or their threshold changed; such a bundle belongs to the
    /// chain that agents get at boot.
    pub reviewers_changed: bool,
    /// Releases that the new bundle's authorities did not sign: they are gone until signed again.
    /// Revocations are never dropped.
    pub dropped_releases: Vec<(ReleaseName, ReleaseVersion)>,
}

/// One thing a service accepted, in the order in which it did.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum HistoryEntry {
    /// A bundle.
    Bundle(SignedFile),
    /// A release statement.
    Release(SignedFile),
    /// A stop statement.
    Stop(SignedFile),
}

/// The people who decide about the next bundle.
struct Reviewers<'p> {
    people: Vec<&'p Person>,
    threshold: usize,
}

impl Policy {
    /// What an agent does at boot: `chain` holds every bundle since the anchor that changed the
    /// reviewers, in order, and the newest bundle last. Bundles between them may be left out;
    /// versions rise all the same.
    ///
    /// # Errors
    ///
    /// `bundle.*`, `signature.*`, `person.*`, `file.*`. The newest bundle must not be expired, nor
    /// below the anchor's minimum, and must have, or have had, the anchor's log.
    pub fn from_anchor(
        anchor: &TrustAnchor,
        chain: &[SignedFile],
        now: UnixMillis,
    ) -> Result<Self, Refusal> {
        let (first, rest) = chain.split_first().ok_or_else(missing)?;
        let reviewers = Reviewers {
            people: anchor.reviewers().iter().collect(),
            threshold: anchor.threshold(),
        };
        let bundle = reviewers.accept(first)?;
        check_project(bundle.project.as_str(), anchor.project())?;
        let mut policy = Self::starting_with(bundle, first.clone());
        for file in rest {
            let next = policy.reviewers().accept(file)?;
            check_project(next.project.as_str(), &policy.bundle.project)?;
            policy.check_newer(&next)?;
            let adjacent = next.version == policy.bundle.version.saturating_add(1);
            if adjacent {
                policy.check_previous(&next)?;
            }
            policy.check_ledger(&next, adjacent)?;
            policy.install(next, file.clone());
        }
        if policy.bundle.version < anchor.minimum_bundle_version() {
            return Err(Refusal::new(
                Reason::BundleBelowMinimum,
                format!(
                    "version {}, the image demands at least {}",
                    policy.bundle.version,
                    anchor.minimum_bundle_version()
                ),
            ));
        }
        anchor.check_log(&policy.bundle)?;
        check_issued(&policy.bundle, now)?;
        policy.check_not_expired(now)?;
        Ok(policy)
    }

    /// What a key service does at `init`: the first bundle, whose digest its staff were given by
    /// the reviewers.
    ///
    /// # Errors
    ///
    /// [`Reason::BundleGenesis`] if the digest differs, [`Reason::BundleExpired`], and what
    /// [`Policy::from_lineage`] refuses.
    pub fn from_genesis(
        genesis: &SignedFile,
        digest: &Digest384,
        now: UnixMillis,
    ) -> Result<Self, Refusal> {
        let policy = Self::from_lineage(digest, core::slice::from_ref(genesis), now)?;
        policy.check_not_expired(now)?;
        Ok(policy)
    }

    /// Replays every bundle from the genesis on, without gaps. The newest may have expired: a
    /// service starts all the same, releases nothing, and takes a successor.
    ///
    /// # Errors
    ///
    /// `bundle.*`, `signature.*`, `person.*`, `file.*`.
    pub fn from_lineage(
        genesis_digest: &Digest384,
        chain: &[SignedFile],
        now: UnixMillis,
    ) -> Result<Self, Refusal> {
        let history: Vec<_> = chain.iter().cloned().map(HistoryEntry::Bundle).collect();
        Self::from_history(genesis_digest, &history, now)
    }

    /// What a key service does at start: replays everything it accepted, in the order in which it
    /// did, so that statements are judged by the bundle that was in force then.
    ///
    /// # Errors
    ///
    /// `bundle.*`, `release.*`, `stop.*`, `signature.*`, `person.*`, `file.*`.
    pub fn from_history(
        genesis_digest: &Digest384,
        history: &[HistoryEntry],
        now: UnixMillis,
    ) -> Result<Self, Refusal> {
        let Some((HistoryEntry::Bundle(genesis), rest)) = history.split_first() else {
            return Err(missing());
        };
        let mut policy = Self::genesis(genesis, genesis_digest)?;
        for entry in rest {
            match entry {
                HistoryEntry::Bundle(file) => {
                    let next = policy.judge_successor(file)?;
                    policy.install(next, file.clone());
                }
                HistoryEntry::Release(file) => drop(policy.add_release(file, now)?),
                HistoryEntry::Stop(file) => policy.add_stop(file, now)?,
            }
        }
        check_issued(&policy.bundle, now)?;
        Ok(policy)
    }

    /// The digest stands for the signatures of a file nobody could check before: its signers'
    /// keys are inside. They are checked all the same.
    fn genesis(file: &SignedFile, digest: &Digest384) -> Result<Self, Refusal> {
        if file.digest() != *digest {
            return Err(Refusal::new(
                Reason::BundleGenesis,
                format!("expected the bundle {digest}, found {}", file.digest()),
            ));
        }
        let bundle = Bundle::parse_unverified(&file.bytes)?;
        if bundle.version != 1 {
            return Err(Refusal::new(
                Reason::BundleGenesis,
                format!("the first bundle has version 1, not {}", bundle.version),
            ));
        }
        let policy = Self::starting_with(bundle, file.clone());
        policy.reviewers().check(file, Reason::BundleUnderSigned)?;
        Ok(policy)
    }

    fn starting_with(bundle: Bundle, file: SignedFile) -> Self {
        Self {
            lineage: BTreeMap::from([(bundle.digest, bundle.version)]),
            bundle,
            file,
            releases: Vec::new(),
            release_serials: BTreeMap::new(),
            stops: Vec::new(),
        }
    }

    /// Takes the next bundle: [`Policy::succeed_chain`] with one.
    ///
    /// # Errors
    ///
    /// `bundle.*`, `signature.*`, `person.*`, `file.*`.
    pub fn succeed(&mut self, file: &SignedFile, now: UnixMillis) -> Result<Succession, Refusal> {
        let mut taken = self.succeed_chain(core::slice::from_ref(file), now)?;
        taken.pop().ok_or_else(missing)
    }

    /// Takes the next bundles, in their order: each exactly one version more, naming the digest of
    /// the one before, signed by the reviewers of that one, and by the new ones too if they change.
    /// An expired bundle can be succeeded, otherwise nothing could repair it; so a bundle that has
    /// expired meanwhile is taken too if another follows that has not. Whoever was away for long
    /// catches up.
    ///
    /// Takes as many as there are up to the last that may be in force now, and returns what each of
    /// them changed, at least one. To learn what is wrong with the first that was not taken, offer
    /// the rest again.
    ///
    /// # Errors
    ///
    /// `bundle.*`, `signature.*`, `person.*`, `file.*`; nothing has changed then.
    pub fn succeed_chain(
        &mut self,
        chain: &[SignedFile],
        now: UnixMillis,
    ) -> Result<Vec<Succession>, Refusal> {
        let mut ahead = self.clone();
        let mut steps = Vec::new();
        let mut in_force = None;
        let mut refusal = missing();
        for file in chain {
            match ahead.step(file, now) {
                Ok(succession) => steps.push(succession),
                Err(found) => {
                    refusal = found;
                    break;
                }
            }
            match ahead.check_not_expired(now) {
                Ok(()) => in_force = Some((ahead.clone(), steps.len())),
                Err(expired) => refusal = expired,
            }
        }
        let (policy, taken) = in_force.ok_or(refusal)?;
        *self = policy;
        steps.truncate(taken);
        Ok(steps)
    }

    /// Takes a bundle that was accepted before, and may have expired since: for whoever keeps the
    /// files it accepted, and reads them again in their order. Says nothing about whether the bundle
    /// may be in force now; [`Policy::succeed_chain`] does.
    ///
    /// # Errors
    ///
    /// As [`Policy::succeed`], without [`Reason::BundleExpired`].
    pub fn replay_successor(
        &mut self,
        file: &SignedFile,
        now: UnixMillis,
    ) -> Result<Succession, Refusal> {
        self.step(file, now)
    }

    fn step(&mut self, file: &SignedFile, now: UnixMillis) -> Result<Succession, Refusal> {
        let next = self.judge_successor(file)?;
        check_issued(&next, now)?;
        Ok(self.install(next, file.clone()))
    }

    fn judge_successor(&self, file: &SignedFile) -> Result<Bundle, Refusal> {
        let next = self.reviewers().accept(file)?;
        check_project(next.project.as_str(), &self.bundle.project)?;
        self.check_newer(&next)?;
        if next.version != self.bundle.version.saturating_add(1) {
            return Err(Refusal::new(
                Reason::BundleVersionSkipped,
                format!(
                    "version {} after {}: one step at a time",
                    next.version, self.bundle.version
                ),
            ));
        }
        self.check_previous(&next)?;
        self.check_ledger(&next, true)?;
        Ok(next)
    }

    fn check_newer(&self, next: &Bundle) -> Result<(), Refusal> {
        if next.version <= self.bundle.version {
            return Err(Refusal::new(
                Reason::BundleRolledBack,
                format!("version {} after {}", next.version, self.bundle.version),
            ));
        }
        Ok(())
    }

    fn check_previous(&self, next: &Bundle) -> Result<(), Refusal> {
        if next.previous != Some(self.bundle.digest) {
            return Err(Refusal::new(
                Reason::BundlePrevious,
                format!(
                    "version {} does not follow the bundle {}",
                    next.version, self.bundle.digest
                ),
            ));
        }
        Ok(())
    }

    fn check_ledger(&self, next: &Bundle, adjacent: bool) -> Result<(), Refusal> {
        Ledger::check_succession(self.bundle.ledger.as_ref(), next.ledger.as_ref(), adjacent)
    }

    fn install(&mut self, next: Bundle, file: SignedFile) -> Succession {
        let reviewers_changed = !self.reviewers().same_as(&Reviewers::of(&next));
        let (version, digest) = (next.version, next.digest);
        self.lineage.insert(digest, version);
        self.bundle = next;
        self.file = file;
        Succession {
            version,
            digest,
            reviewers_changed,
            dropped_releases: self.drop_unauthorised_releases(),
        }
    }

    /// A leaver's signature stops counting with the bundle that removes them. What narrows stays.
    fn drop_unauthorised_releases(&mut self) -> Vec<(ReleaseName, ReleaseVersion)> {
        let authorised = |known: &KnownRelease| {
            known.release.status == ReleaseStatus::Revoked
                || self
                    .judge_release(&known.file, StoppedSigners::Count)
                    .is_ok()
        };
        let (kept, dropped): (Vec<_>, Vec<_>) = self.releases.iter().cloned().partition(authorised);
        self.releases = kept;
        dropped
            .into_iter()
            .map(|known| (known.release.name, known.release.version))
            .collect()
    }

    fn reviewers(&self) -> Reviewers<'_> {
        Reviewers::of(&self.bundle)
    }
}

impl<'p> Reviewers<'p> {
    fn of(bundle: &'p Bundle) -> Self {
        Self {
            people: bundle.people_named(&bundle.review.reviewers).collect(),
            threshold: bundle.review.threshold,
        }
    }

    /// Checks the signatures, then reads the bundle, then lets its own reviewers agree if they are
    /// others: a change of who decides is decided by both.
    fn accept(&self, file: &SignedFile) -> Result<Bundle, Refusal> {
        self.check(file, Reason::BundleUnderSigned)?;
        let bundle = Bundle::parse_unverified(&file.bytes)?;
        let new = Reviewers::of(&bundle);
        if !self.same_as(&new) {
            new.check(file, Reason::BundleUnderSignedByNew)?;
        }
        Ok(bundle)
    }

    fn check(&self, file: &SignedFile, reason: Reason) -> Result<(), Refusal> {
        check_size(&file.bytes, limits::MAX_BUNDLE_BYTES)?;
        let people = self.people.iter().copied();
        let tally = Tally::of(
            &file.signatures,
            Namespace::Policy,
            &file.bytes,
            people,
            |_| None,
        )?;
        let names: Vec<PersonName> = self
            .people
            .iter()
            .map(|person| person.name.clone())
            .collect();
        tally.require(self.threshold, &names, reason)
    }

    /// The same people with the same keys and requirements under the same threshold. Roles do not
    /// matter here, nor does the order.
    fn same_as(&self, other: &Reviewers<'_>) -> bool {
        let covers = |these: &Reviewers<'_>, those: &Reviewers<'_>| {
            those.people.iter().all(|that| {
                these.people.iter().any(|this| {
                    this.name == that.name
                        && this.requirement == that.requirement
                        && this.keys.len() == that.keys.len()
                        && that.keys.iter().all(|key| this.keys.contains(key))
                })
            })
        };
        self.threshold == other.threshold && covers(self, other) && covers(other, self)
    }
}

fn check_issued(bundle: &Bundle, now: UnixMillis) -> Result<(), Refusal> {
    if bundle.issued > now.saturating_add(CLOCK_SKEW) {
        return Err(Refusal::new(
            Reason::BundleNotYetValid,
            format!(
                "bundle {} was issued at {}, and it is {now}",
                bundle.version, bundle.issued
            ),
        ));
    }
    Ok(())
}

fn missing() -> Refusal {
    Refusal::new(Reason::BundleMissing, "no bundle was given")
}
