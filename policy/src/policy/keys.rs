//! Which enclave may have which key.

use core::time::Duration;

use super::Policy;
use crate::bundle::KeyCommitment;
use crate::digest::{Digest384, Pcr};
use crate::names::{KeyName, ReleaseName, ReleaseVersion};
use crate::reason::{Reason, Refusal};
use crate::release::{Measurements, Release, ReleaseStatus};
use crate::time::UnixMillis;

/// What an enclave shows when it asks for a key. Taken from an appraised document and the session
/// statement bound to it, never from anything else.
#[derive(Clone, Copy, Debug)]
pub struct KeyClaim<'a> {
    /// PCR0, PCR1, PCR2 and PCR8.
    pub measurements: &'a Measurements,
    /// PCR3, if the document has it.
    pub pcr3: Option<&'a Pcr>,
    /// PCR4, if the document has it.
    pub pcr4: Option<&'a Pcr>,
    /// PCR16: the bundle the agent booted with.
    pub pcr16: &'a Pcr,
    /// The digest of the bundle in force, as the session statement names it.
    pub bundle_in_force: &'a Digest384,
    /// The key asked for.
    pub key: &'a KeyName,
}

/// Proof that an enclave may have a key. Only [`Policy::authorise_key`] makes it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct KeyGrant {
    key: KeyName,
    release: Release,
    boot_bundle: u64,
    max_document_age: Duration,
    commitments: Vec<KeyCommitment>,
}

impl Policy {
    /// Decides whether an enclave may have a key. The caller has verified and appraised the
    /// document, checked its binding, and checks its age against [`KeyGrant::max_document_age`].
    /// Keys go to enclaves only: no role and no person can be given one.
    ///
    /// # Errors
    ///
    /// [`Reason::BundleExpired`], [`Reason::BundleNotInForce`], `release.*`, `key.*`.
    pub fn authorise_key(
        &self,
        claim: &KeyClaim<'_>,
        now: UnixMillis,
    ) -> Result<KeyGrant, Refusal> {
        let KeyClaim {
            measurements,
            pcr3,
            pcr4,
            pcr16,
            bundle_in_force,
            key,
        } = claim;
        self.check_not_expired(now)?;
        let boot_bundle = self.check_boot_bundle(pcr16, bundle_in_force, now)?;
        let releases = self.releases_for(measurements, now)?;
        let rule = self.key_rule(key).ok_or_else(|| {
            Refusal::new(
                Reason::KeyUnknown,
                format!("the policy has no rule for {key}"),
            )
        })?;
        if self.is_key_stopped(key) {
            return Err(Refusal::new(
                Reason::KeyStopped,
                format!("a stop statement names {key}"),
            ));
        }
        let named: Vec<_> = releases
            .into_iter()
            .filter(|release| {
                rule.releases
                    .iter()
                    .any(|names| names.matches(&release.name))
            })
            .collect();
        if named.is_empty() {
            return Err(Refusal::new(
                Reason::KeyRelease,
                format!("{key} is not for the release that runs there"),
            ));
        }
        let release = named
            .into_iter()
            .filter(|release| rule.statuses.contains(&release.status))
            .min_by_key(|release| release.status)
            .ok_or_else(|| {
                Refusal::new(
                    Reason::KeyReleaseStatus,
                    format!("{key} is not for releases of that status"),
                )
            })?;
        if !rule.account.accepts(*pcr3, *pcr4) {
            return Err(Refusal::new(
                Reason::KeyAccount,
                format!("{key} is not for this account or instance (PCR3, PCR4)"),
            ));
        }
        Ok(KeyGrant {
            key: rule.name.clone(),
            release: release.clone(),
            boot_bundle,
            max_document_age: rule.max_document_age,
            commitments: rule.commitments.clone(),
        })
    }

    /// Whether a stop statement names the key: then nobody is given it.
    pub fn is_key_stopped(&self, key: &KeyName) -> bool {
        self.effective_stops().any(|stop| stop.stops_key(key))
    }

    /// Accepted are the newest bundle, or the previous one until `previous_accepted_until`,
    /// or an older one whose agent has taken the newest since. Says the version.
    ///
    /// # Errors
    ///
    /// [`Reason::BundleNotInForce`].
    pub fn check_boot_bundle(
        &self,
        pcr16: &Pcr,
        bundle_in_force: &Digest384,
        now: UnixMillis,
    ) -> Result<u64, Refusal> {
        let (digest, version) = self
            .lineage
            .iter()
            .find(|(digest, _)| Pcr::of_boot_bundle(digest) == *pcr16)
            .ok_or_else(|| {
                Refusal::new(
                    Reason::BundleNotInForce,
                    "PCR16 is that of no accepted bundle",
                )
            })?;
        let newest = *digest == self.bundle.digest;
        let previous = Some(*digest) == self.bundle.previous
            && self
                .bundle
                .previous_accepted_until
                .is_some_and(|until| now < until);
        let succeeded = *bundle_in_force == self.bundle.digest;
        if newest || previous || succeeded {
            return Ok(*version);
        }
        Err(Refusal::new(
            Reason::BundleNotInForce,
            format!(
                "booted with bundle {version} and has not taken bundle {}",
                self.bundle.version
            ),
        ))
    }
}

impl KeyGrant {
    /// The key.
    pub fn key(&self) -> &KeyName {
        &self.key
    }

    /// The release that gets it.
    pub fn release(&self) -> (&ReleaseName, &ReleaseVersion) {
        (&self.release.name, &self.release.version)
    }

    /// Its status.
    pub fn release_status(&self) -> ReleaseStatus {
        self.release.status
    }

    /// The digest of the release statement.
    pub fn release_digest(&self) -> &Digest384 {
        &self.release.digest
    }

    /// The version of the bundle that the enclave booted with.
    pub fn boot_bundle_version(&self) -> u64 {
        self.boot_bundle
    }

    /// How old the document may be.
    pub fn max_document_age(&self) -> Duration {
        self.max_document_age
    }

    /// The commitment to `version` in the policy, if it states one.
    pub fn commitment(&self, version: u32) -> Option<&Digest384> {
        self.commitments
            .iter()
            .find(|commitment| commitment.version == version)
            .map(|commitment| &commitment.sha384)
    }
}
