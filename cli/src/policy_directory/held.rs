//! The policy that a person holds: a directory, verified.

use std::path::Path;

use narthex_policy::{
    Digest384, Policy, Reason, Refusal, Release, ReleaseName, ReleaseVersion, UnixMillis,
};

use super::{FileOnDisk, PolicyDirectory};
use crate::failure::{Failure, Outcome};
use crate::output::Output;
use crate::printable::printable;

/// A policy with the files it came from.
pub(crate) struct HeldPolicy {
    /// The verified state.
    pub(crate) policy: Policy,
    /// The bundles that hold, oldest first; the last one is in force.
    pub(crate) lineage: Vec<Bundle>,
    /// SHA-384 of the first bundle.
    pub(crate) genesis: Digest384,
    /// Every file, those that do not count among them.
    pub(crate) directory: PolicyDirectory,
    /// Files that do not count, and why.
    pub(crate) left_out: Vec<LeftOut>,
}

/// A bundle of the lineage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bundle {
    /// Its version: versions rise by one from the first bundle's.
    pub(crate) version: u64,
    /// SHA-384 of its bytes.
    pub(crate) digest: Digest384,
}

/// A file that does not count.
#[derive(Clone, Debug)]
pub(crate) struct LeftOut {
    /// Its name within the directory.
    pub(crate) file: String,
    /// Why.
    pub(crate) refusal: Refusal,
}

impl LeftOut {
    /// Old statements stay in the directory; that their time is over is no fault.
    pub(crate) fn is_merely_old(&self) -> bool {
        matches!(
            self.refusal.reason(),
            Reason::ReleaseExpired | Reason::ReleaseRolledBack
        )
    }
}

impl HeldPolicy {
    /// Reads and verifies the directory `path` as of `now`. `genesis` is the SHA-384 of the first
    /// bundle; without it, the first bundle in the directory is taken at its word.
    ///
    /// Bundles at the end that are drafts (not signed by enough people yet), or that were issued
    /// after `now`, are left out, as are statements that do not hold.
    ///
    /// # Errors
    /// `file.*`; the reason of the policy if the lineage does not hold.
    pub(crate) fn load(path: &Path, genesis: Option<&[u8]>, now: UnixMillis) -> Outcome<Self> {
        let directory = PolicyDirectory::read(path)?;
        let first = directory.bundles.first().ok_or_else(|| {
            Failure::misuse(
                "bundle.missing",
                format!("{} holds no bundle", path.display()),
            )
            .next("`narthex policy init DIR` writes a first one")
        })?;
        let genesis = match genesis {
            Some(bytes) => digest_from(bytes)?,
            None => first.signed.digest(),
        };
        let mut left_out = Vec::new();
        let mut policy = lineage(&directory.bundles, &genesis, now, &mut left_out)?;
        let count = directory.bundles.len().saturating_sub(left_out.len());
        let lineage = numbered(&directory.bundles, count, policy.bundle().version);
        for file in &directory.stops {
            note(&mut left_out, file, policy.add_stop(&file.signed, now));
        }
        for file in &directory.releases {
            note(
                &mut left_out,
                file,
                policy.add_release(&file.signed, now).map(|_| ()),
            );
        }
        Ok(Self {
            policy,
            lineage,
            genesis,
            directory,
            left_out,
        })
    }

    /// The same, telling the person which files were left out: whoever takes signatures out of the
    /// directory makes a bundle look like a draft and a stop like nothing, and that must be seen.
    ///
    /// # Errors
    /// As [`HeldPolicy::load`].
    pub(crate) fn load_and_tell(
        path: &Path,
        genesis: Option<&[u8]>,
        now: UnixMillis,
        output: &Output,
    ) -> Outcome<Self> {
        let held = Self::load(path, genesis, now)?;
        for left_out in held
            .left_out
            .iter()
            .filter(|left_out| !left_out.is_merely_old())
        {
            let LeftOut { file, refusal } = left_out;
            output.say(format_args!(
                "narthex: {} does not count: {} [{}]",
                printable(file),
                printable(refusal.detail()),
                refusal.id()
            ));
        }
        Ok(held)
    }

    /// The bundle in force must not have expired.
    ///
    /// # Errors
    /// `bundle.expired`.
    pub(crate) fn require_unexpired(&self, now: UnixMillis) -> Outcome<()> {
        match self.policy.is_expired(now) {
            false => Ok(()),
            true => Err(Failure::refused(
                Reason::BundleExpired.id(),
                format!(
                    "bundle {} in {} expired {}",
                    self.policy.bundle().version,
                    self.directory.path.display(),
                    self.policy.bundle().expires,
                ),
            )
            .next(
                "get the newest bundle from its reviewers; `narthex policy next` drafts a new one",
            )),
        }
    }

    /// Whether `file` does not count.
    pub(crate) fn is_left_out(&self, file: &FileOnDisk) -> bool {
        let name = file.short_name();
        self.left_out.iter().any(|left_out| left_out.file == name)
    }

    /// The statements about the release called `name`, the newest first.
    pub(crate) fn releases_named(
        &self,
        name: &ReleaseName,
        version: Option<&ReleaseVersion>,
    ) -> Vec<&Release> {
        let mut releases: Vec<&Release> = self
            .policy
            .releases()
            .filter(|release| release.name == *name)
            .filter(|release| version.is_none_or(|version| release.version == *version))
            .collect();
        releases.sort_by_key(|release| core::cmp::Reverse(release.serial));
        releases
    }
}

/// The longest lineage that holds.
fn lineage(
    bundles: &[FileOnDisk],
    genesis: &Digest384,
    now: UnixMillis,
    left_out: &mut Vec<LeftOut>,
) -> Outcome<Policy> {
    let mut chain: Vec<_> = bundles.iter().map(|file| file.signed.clone()).collect();
    loop {
        match Policy::from_lineage(genesis, &chain, now) {
            Ok(policy) => return Ok(policy),
            Err(refusal) => {
                let index = chain.len().saturating_sub(1);
                let newest = bundles.get(index);
                match newest {
                    Some(file) if index > 0 && is_not_yet(refusal.reason()) => {
                        left_out.push(LeftOut {
                            file: file.short_name(),
                            refusal,
                        });
                        chain.pop();
                    }
                    _ => return Err(no_policy(&refusal, newest)),
                }
            }
        }
    }
}

/// The lineage does not hold. With one bundle left the fault is in it.
fn no_policy(refusal: &Refusal, last: Option<&FileOnDisk>) -> Failure {
    let place = last.map_or_else(
        || "the policy".to_owned(),
        |file| match file.signed.signatures.len() {
            0 => format!("{} (nobody has signed it)", file.short_name()),
            _ => format!("the policy up to {}", file.short_name()),
        },
    );
    let failure = Failure::refused(refusal.id(), format!("{place}: {}", refusal.detail()));
    match refusal.reason() {
        Reason::BundleUnderSigned | Reason::BundleUnderSignedByNew => {
            failure.next("reviewers sign it with `narthex policy sign FILE --as PERSON --key KEY`")
        }
        Reason::BundleGenesis => {
            failure.next("this is another policy than the one --genesis names")
        }
        _ => failure.next("`narthex policy lint FILE` says what is wrong with a file by itself"),
    }
}

/// The first `count` bundles with their versions: the last one's is known, and each is one more
/// than the one before it.
fn numbered(bundles: &[FileOnDisk], count: usize, newest_version: u64) -> Vec<Bundle> {
    let mut lineage: Vec<Bundle> = bundles
        .iter()
        .take(count)
        .rev()
        .zip((0..=newest_version).rev())
        .map(|(file, version)| Bundle {
            version,
            digest: file.signed.digest(),
        })
        .collect();
    lineage.reverse();
    lineage
}

/// Whether a bundle may merely be too early: a draft, or one issued later than the time judged.
fn is_not_yet(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::BundleUnderSigned | Reason::BundleUnderSignedByNew | Reason::BundleNotYetValid
    )
}

fn note(left_out: &mut Vec<LeftOut>, file: &FileOnDisk, result: Result<(), Refusal>) {
    if let Err(refusal) = result {
        left_out.push(LeftOut {
            file: file.short_name(),
            refusal,
        });
    }
}

fn digest_from(bytes: &[u8]) -> Outcome<Digest384> {
    bytes.try_into().map(Digest384).map_err(|_| {
        Failure::misuse(
            "misuse.genesis",
            "--genesis is a SHA-384: 48 bytes, 96 hex digits",
        )
        .next("`sha384sum bundles/0001.toml` prints it; ask the reviewers for theirs")
    })
}
