//! Release and stop statements under the bundle in force.

use super::{KnownRelease, KnownStop, Policy};
use crate::bundle::CLOCK_SKEW;
use crate::file::{SignedFile, check_project, check_size, limits};
use crate::names::{ReleaseName, ReleaseVersion};
use crate::reason::{Reason, Refusal};
use crate::release::{Measurements, Release, ReleaseStatus};
use crate::signature::Namespace;
use crate::stop::Stop;
use crate::tally::Tally;
use crate::time::UnixMillis;

/// Whether signatures of stopped people count for a release statement.
#[derive(Clone, Copy)]
pub(super) enum StoppedSigners {
    /// For a statement that was accepted before they were stopped.
    Count,
    /// For a new statement.
    DoNotCount,
}

/// Release statements kept, one per name and version.
pub(crate) const MAX_RELEASES: usize = 4096;
/// Stop statements kept.
pub(crate) const MAX_STOPS: usize = 4096;
/// Of these, stop statements that one person signed first. Often one signature is enough for a stop, and one
/// person who signs thousands must not keep the others from stopping them.
pub(crate) const MAX_STOPS_PER_PERSON: usize = 512;

impl Policy {
    /// Takes a release statement. One that is already known changes nothing and is no error. An
    /// expired one is taken: it counts for serials, and its revocation holds.
    ///
    /// # Errors
    ///
    /// [`Reason::ReleaseUnderSigned`], [`Reason::ReleaseName`], [`Reason::ReleaseRolledBack`],
    /// [`Reason::ReleaseNotYetValid`], [`Reason::ReleaseTooMany`], and what reading and signatures
    /// refuse.
    pub fn add_release(&mut self, file: &SignedFile, now: UnixMillis) -> Result<&Release, Refusal> {
        let digest = file.digest();
        if let Some(index) = self
            .releases
            .iter()
            .position(|known| known.release.digest == digest)
        {
            return self.release_at(index);
        }
        let release = self.judge_release(file, StoppedSigners::DoNotCount)?;
        if release.issued > now.saturating_add(CLOCK_SKEW) {
            return Err(Refusal::new(
                Reason::ReleaseNotYetValid,
                format!("issued at {}, and it is {now}", release.issued),
            ));
        }
        let same = |known: &KnownRelease| {
            known.release.name == release.name && known.release.version == release.version
        };
        let index = self.releases.iter().position(same);
        let newest = self.release_serials.get(&release.name).copied();
        let is_newest = newest.is_none_or(|newest| release.serial > newest);
        if !is_newest && !self.is_late_revocation(&release, index) {
            return Err(Refusal::new(
                Reason::ReleaseRolledBack,
                format!(
                    "serial {} about {}, {} is known",
                    release.serial,
                    release.name,
                    newest.unwrap_or_default()
                ),
            ));
        }
        if index.is_none() && self.releases.len() >= MAX_RELEASES {
            return Err(Refusal::new(
                Reason::ReleaseTooMany,
                format!("{MAX_RELEASES} names and versions are known"),
            ));
        }
        let serial = newest.map_or(release.serial, |newest| newest.max(release.serial));
        self.release_serials.insert(release.name.clone(), serial);
        let known = KnownRelease {
            release,
            file: file.clone(),
        };
        let index = match index.and_then(|index| Some((index, self.releases.get_mut(index)?))) {
            Some((index, slot)) => {
                *slot = known;
                index
            }
            None => {
                self.releases.push(known);
                self.releases.len() - 1
            }
        };
        self.release_at(index)
    }

    /// Whether this is a revocation that comes after statements about other versions that were signed
    /// later. It counts all the same: whoever carries the files could otherwise undo a revocation for
    /// good by bringing a later statement first. Only a later statement about the same version is
    /// above it.
    fn is_late_revocation(&self, release: &Release, known: Option<usize>) -> bool {
        let known = known.and_then(|index| self.releases.get(index));
        release.status == ReleaseStatus::Revoked
            && known.is_none_or(|known| known.release.serial < release.serial)
    }

    fn release_at(&self, index: usize) -> Result<&Release, Refusal> {
        self.releases
            .get(index)
            .map(|known| &known.release)
            .ok_or_else(|| Refusal::new(Reason::ReleaseUnknown, "no such release"))
    }

    /// Checks signatures, reads the statement, and finds an authority for its name that signed.
    pub(super) fn judge_release(
        &self,
        file: &SignedFile,
        stopped: StoppedSigners,
    ) -> Result<Release, Refusal> {
        check_size(&file.bytes, limits::MAX_STATEMENT_BYTES)?;
        // Before the file is read, some authority must have signed it; which one had to is known
        // only after.
        let signed = self.release_authorities_of(
            file,
            Namespace::Release,
            stopped,
            Reason::ReleaseUnderSigned,
        )?;
        let release = Release::parse_unverified(&file.bytes)?;
        check_project(release.project.as_str(), &self.bundle.project)?;
        if !signed.speak_for(&release.name) {
            return Err(Refusal::new(
                Reason::ReleaseName,
                format!("those who signed may not speak for {}", release.name),
            ));
        }
        Ok(release)
    }

    /// Takes a stop statement, effective at once. One that is already known changes nothing and is
    /// no error. It stays when the bundle changes; only `lifted` ends it.
    ///
    /// # Errors
    ///
    /// [`Reason::StopUnderSigned`], [`Reason::StopEmpty`], [`Reason::StopNotYetValid`],
    /// [`Reason::StopTooMany`], and what reading and signatures refuse.
    pub fn add_stop(&mut self, file: &SignedFile, now: UnixMillis) -> Result<(), Refusal> {
        let digest = file.digest();
        if self.stops.iter().any(|known| known.stop.digest == digest) {
            return Ok(());
        }
        check_size(&file.bytes, limits::MAX_STATEMENT_BYTES)?;
        let authority = &self.bundle.stop;
        let people = self.bundle.people_named(&authority.signers);
        let tally = Tally::of(
            &file.signatures,
            Namespace::Stop,
            &file.bytes,
            people,
            |_| None,
        )?;
        tally.require(
            authority.threshold,
            &authority.signers,
            Reason::StopUnderSigned,
        )?;
        let signer = tally.signers().first().map(|signer| signer.person.clone());
        // The threshold is at least 1, so there is one.
        let signer =
            signer.ok_or_else(|| Refusal::new(Reason::StopUnderSigned, "nobody signed"))?;
        let stop = Stop::parse_unverified(&file.bytes)?;
        check_project(stop.project.as_str(), &self.bundle.project)?;
        if stop.issued > now.saturating_add(CLOCK_SKEW) {
            return Err(Refusal::new(
                Reason::StopNotYetValid,
                format!("issued at {}, and it is {now}", stop.issued),
            ));
        }
        if self.stops.len() >= MAX_STOPS {
            return Err(Refusal::new(
                Reason::StopTooMany,
                format!("{MAX_STOPS} are known"),
            ));
        }
        let own = self.stops.iter().filter(|known| known.signer == signer);
        if own.count() >= MAX_STOPS_PER_PERSON {
            return Err(Refusal::new(
                Reason::StopTooMany,
                format!("{MAX_STOPS_PER_PERSON} of {signer} are known"),
            ));
        }
        self.stops.push(KnownStop {
            stop,
            signer,
            file: file.clone(),
        });
        Ok(())
    }

    /// The newest statement about the release `name`, in `version` if given. For people who look
    /// something up: it may be expired, revoked or stopped.
    pub fn release_named(
        &self,
        name: &ReleaseName,
        version: Option<&ReleaseVersion>,
    ) -> Option<&Release> {
        self.releases()
            .filter(|release| {
                &release.name == name && version.is_none_or(|version| *version == release.version)
            })
            .max_by_key(|release| release.serial)
    }

    /// The release with these measurements; if several have them, a current one before a previous
    /// one.
    ///
    /// # Errors
    ///
    /// [`Reason::ReleaseZeroPcr`], [`Reason::ReleaseUnknown`], [`Reason::ReleaseRevoked`],
    /// [`Reason::ReleaseStopped`], [`Reason::ReleaseExpired`].
    pub fn release_for(
        &self,
        measurements: &Measurements,
        now: UnixMillis,
    ) -> Result<&Release, Refusal> {
        self.releases_for(measurements, now)?
            .into_iter()
            .min_by_key(|release| release.status)
            .ok_or_else(unknown)
    }

    /// All releases with these measurements that hold; at least one.
    pub(super) fn releases_for(
        &self,
        measurements: &Measurements,
        now: UnixMillis,
    ) -> Result<Vec<&Release>, Refusal> {
        measurements.check_not_zero()?;
        // What narrows counts for the image, under whatever name it was released and whichever
        // certificate signed it.
        for release in self.releases() {
            if !release.measurements.same_image(measurements) {
                continue;
            }
            let place = || format!("{} {}", release.name, release.version);
            if release.status == ReleaseStatus::Revoked {
                return Err(Refusal::new(Reason::ReleaseRevoked, place()));
            }
            if self
                .effective_stops()
                .any(|stop| stop.stops_release(release))
            {
                return Err(Refusal::new(Reason::ReleaseStopped, place()));
            }
        }
        let known: Vec<_> = self
            .releases()
            .filter(|release| release.measurements.met_by(measurements))
            .collect();
        let first = known.first().ok_or_else(unknown)?;
        let (expired_name, expired_at) = (&first.name, first.expires);
        let holding: Vec<_> = known
            .iter()
            .copied()
            .filter(|release| !release.is_expired(now))
            .collect();
        if holding.is_empty() {
            return Err(Refusal::new(
                Reason::ReleaseExpired,
                format!("the statement about {expired_name} expired at {expired_at}"),
            ));
        }
        Ok(holding)
    }
}

fn unknown() -> Refusal {
    Refusal::new(
        Reason::ReleaseUnknown,
        "no release statement has these measurements",
    )
}

#[cfg(test)]
impl Policy {
    /// Pretends that `count` versions of one release are known.
    pub(crate) fn fill_releases_for_test(&mut self, file: &SignedFile, count: usize) {
        let release = self.judge_release(file, StoppedSigners::Count).unwrap();
        for index in 0..count {
            let version = ReleaseVersion::new(&format!("filler-{index}")).unwrap();
            let release = Release {
                version,
                ..release.clone()
            };
            self.releases.push(KnownRelease {
                release,
                file: file.clone(),
            });
        }
    }

    /// Pretends that `count` stop statements are known.
    pub(crate) fn fill_stops_for_test(&mut self, file: &SignedFile, signer: &str, count: usize) {
        let stop = Stop::parse_unverified(&file.bytes).unwrap();
        let known = KnownStop {
            stop,
            signer: crate::names::PersonName::new(signer).unwrap(),
            file: file.clone(),
        };
        self.stops = vec![known; count];
    }
}
