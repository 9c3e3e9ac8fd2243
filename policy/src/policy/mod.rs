//! Verified state: the bundle in force, its releases and stops.
//!
//! Whoever holds a [`Policy`] may rely on it: every way to make or change one checks signatures,
//! thresholds and order first. Nothing here reads a clock or a file.

use std::collections::BTreeMap;

use crate::bundle::{Bundle, KeyRule, StopAuthority};
use crate::digest::Digest384;
use crate::file::SignedFile;
use crate::names::{KeyName, PersonName, ReleaseName};
use crate::person::Person;
use crate::reason::{Reason, Refusal};
use crate::release::Release;
use crate::signature::{Namespace, Signer, check_signature};
use crate::stop::Stop;
use crate::time::UnixMillis;

mod administration;
mod keys;
mod lineage;
mod manifests;
mod orders;
mod readers;
mod statements;

pub use administration::{AdministrationContext, AuthorisedAdministration};
pub use keys::{KeyClaim, KeyGrant};
pub use lineage::{HistoryEntry, Succession};
pub use manifests::ApprovedManifest;
pub use orders::{AdmittedOrder, AuthorisedCall, AuthorisedOrder, Logged, OrderContext};
pub use readers::AuthorisedReader;
#[cfg(test)]
pub(crate) use statements::{MAX_RELEASES, MAX_STOPS, MAX_STOPS_PER_PERSON};

/// Everything an agent, a service or a person at the command may rely on after its checks.
#[derive(Clone, Debug)]
pub struct Policy {
    bundle: Bundle,
    /// The bytes and signatures of the bundle in force, for those who ask for it.
    file: SignedFile,
    /// Every bundle accepted so far, by digest.
    lineage: BTreeMap<Digest384, u64>,
    /// The newest statement per name and version.
    releases: Vec<KnownRelease>,
    /// Highest serial per release name; survives the statements themselves.
    release_serials: BTreeMap<ReleaseName, u64>,
    stops: Vec<KnownStop>,
}

/// A release statement whose signatures were checked, with its file.
#[derive(Clone, Debug)]
struct KnownRelease {
    release: Release,
    file: SignedFile,
}

/// A stop statement whose signatures were checked, with its file.
#[derive(Clone, Debug)]
struct KnownStop {
    stop: Stop,
    /// The first whose signature counted, for the bound on each person's.
    signer: PersonName,
    file: SignedFile,
}

impl Policy {
    /// The bundle in force.
    pub fn bundle(&self) -> &Bundle {
        &self.bundle
    }

    /// The file of the bundle in force.
    pub fn bundle_file(&self) -> &SignedFile {
        &self.file
    }

    /// The version of the bundle in force.
    pub fn version(&self) -> u64 {
        self.bundle.version
    }

    /// The digest of the bundle in force.
    pub fn digest(&self) -> &Digest384 {
        &self.bundle.digest
    }

    /// The version of an accepted bundle, by its digest.
    pub fn version_of(&self, bundle: &Digest384) -> Option<u64> {
        self.lineage.get(bundle).copied()
    }

    /// The digest of the bundle before, while enclaves that booted with it still get keys.
    pub fn previous_accepted(&self, now: UnixMillis) -> Option<&Digest384> {
        let until = self.bundle.previous_accepted_until?;
        if now < until {
            self.bundle.previous.as_ref()
        } else {
            None
        }
    }

    /// Whether the bundle in force has expired. Then keys and write actions are refused; read
    /// actions go on.
    pub fn is_expired(&self, now: UnixMillis) -> bool {
        now >= self.bundle.expires
    }

    /// Highest serial among the stop statements taken, 0 if none.
    pub fn highest_stop(&self) -> u64 {
        self.stops
            .iter()
            .map(|known| known.stop.serial)
            .max()
            .unwrap_or(0)
    }

    /// All stop statements taken, lifted ones among them.
    pub fn stops(&self) -> impl Iterator<Item = &Stop> {
        self.stops.iter().map(|known| &known.stop)
    }

    /// The files of the stop statements that have effect, in the order in which somebody wants them who
    /// cannot take all at once: first those whose signer may still stop something, because whoever
    /// begins with the bundle in force cannot judge the others; of both, the newest first.
    pub fn stop_files(&self) -> impl Iterator<Item = &SignedFile> {
        let StopAuthority {
            signers, lifted, ..
        } = &self.bundle.stop;
        let (by_signers, by_leavers): (Vec<_>, Vec<_>) = self
            .stops
            .iter()
            .rev()
            .filter(|known| !lifted.contains(&known.stop.digest))
            .partition(|known| signers.contains(&known.signer));
        let all = by_signers.into_iter().chain(by_leavers);
        all.map(|known| &known.file)
    }

    /// All release statements taken, the newest per name and version.
    pub fn releases(&self) -> impl Iterator<Item = &Release> {
        self.releases.iter().map(|known| &known.release)
    }

    /// The files of [`Policy::releases`].
    pub fn release_files(&self) -> impl Iterator<Item = &SignedFile> {
        self.releases.iter().map(|known| &known.file)
    }

    /// The rule for a key. Being listed says nothing about who gets it: see
    /// [`Policy::authorise_key`].
    pub fn key_rule(&self, key: &KeyName) -> Option<&KeyRule> {
        self.bundle.key_rule(key)
    }

    /// Whose signature this is, by a key the bundle knows, if it holds. Authorises nothing: it
    /// serves to count refusals per person.
    ///
    /// # Errors
    ///
    /// `signature.*`.
    pub fn identify(
        &self,
        message: &[u8],
        signature: &str,
        namespace: Namespace,
    ) -> Result<Signer, Refusal> {
        check_signature(signature, namespace, message, &self.bundle.people)
    }

    /// Checks every signature of a file by itself, against everybody in the bundle in force. For
    /// people who look; it counts towards nothing.
    pub fn signers_of(
        &self,
        file: &SignedFile,
        namespace: Namespace,
    ) -> Vec<Result<Signer, Refusal>> {
        file.signatures
            .iter()
            .map(|signature| self.identify(&file.bytes, signature, namespace))
            .collect()
    }

    /// Stop statements that have effect.
    fn effective_stops(&self) -> impl Iterator<Item = &Stop> {
        let lifted = &self.bundle.stop.lifted;
        self.stops
            .iter()
            .map(|known| &known.stop)
            .filter(|stop| !lifted.contains(&stop.digest))
    }

    /// Refuses a signer whom a stop statement names, by name or by key.
    fn check_not_stopped(&self, signer: &Signer) -> Result<(), Refusal> {
        match self.stopped(signer) {
            Some(refusal) => Err(refusal),
            None => Ok(()),
        }
    }

    fn stopped(&self, signer: &Signer) -> Option<Refusal> {
        let stop = self
            .effective_stops()
            .find(|stop| stop.stops_signer(signer))?;
        Some(Refusal::new(
            Reason::PersonStopped,
            format!(
                "stop statement {} names {} or their key",
                stop.serial, signer.person
            ),
        ))
    }

    fn check_not_expired(&self, now: UnixMillis) -> Result<(), Refusal> {
        if self.is_expired(now) {
            return Err(Refusal::new(
                Reason::BundleExpired,
                format!(
                    "bundle {} expired at {}",
                    self.bundle.version, self.bundle.expires
                ),
            ));
        }
        Ok(())
    }

    /// The person who signed; they are known, because the signature was checked against them.
    fn person(&self, name: &PersonName) -> Result<&Person, Refusal> {
        self.bundle
            .person(name)
            .ok_or_else(|| Refusal::new(Reason::PersonUnknown, format!("no person {name}")))
    }
}
