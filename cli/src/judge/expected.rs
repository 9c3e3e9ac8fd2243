//! What is expected of a document: from flags, from the policy a person holds, or from both.

use narthex_policy::{Measurements, Pcr, Refusal, Release, ReleaseName, ReleaseVersion};
use narthex_verifier::{
    Digest384, ExpectationError, Expectations, Fields, Parsed, PcrIndex, UnixMillis,
    WORKLOAD_PREFIX,
};
use serde_json::{Value, json};

use crate::commands::verify::Arguments;
use crate::failure::{Failure, Outcome};
use crate::input::read_file;
use crate::output::Output;
use crate::policy_directory::HeldPolicy;

/// The longest public key that a document can carry.
const PUBLIC_KEY_LIMIT_BYTES: usize = narthex_verifier::limits::MAX_OPTIONAL_FIELD_BYTES;

/// Expectations with where they came from.
pub(crate) struct Expected {
    /// For the verifier.
    pub(crate) expectations: Expectations,
    /// The policy's part, where there is one.
    pub(crate) policy: Option<FromPolicy>,
    /// The policy says no whatever the document says: the release is revoked, stopped, expired.
    pub(crate) refusal: Option<Refusal>,
    /// PCR0 without PCR1 and PCR2 was asked for.
    pub(crate) insecure_pcr0_only: bool,
}

/// What the policy contributed, for people to see.
#[derive(Clone, Debug)]
pub(crate) struct FromPolicy {
    /// The bundle whose digest PCR16 must hold; `None` with `--insecure-any-policy`.
    pub(crate) bundle: Option<ExpectedBundle>,
    /// The version of the bundle in force.
    pub(crate) version_in_force: u64,
    /// The release.
    pub(crate) release: String,
    /// Its version.
    pub(crate) release_version: String,
}

/// Which bundle PCR16 must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExpectedBundle {
    /// The one in force.
    InForce,
    /// The one before it, which the one in force still accepts.
    Previous,
}

impl Expected {
    /// Resolves what was typed. `judged_at` decides which statements of the policy are in force.
    ///
    /// What the document claims only chooses which of several acceptable values it is compared with
    /// (which version of the release, which of two bundles); the comparison itself is the verifier's.
    pub(crate) fn from_arguments(
        arguments: &Arguments,
        parsed: &Parsed<'_>,
        judged_at: UnixMillis,
        output: &Output,
    ) -> Outcome<Self> {
        let mut builder = Expectations::builder()
            .max_age(arguments.max_age)
            .skew(arguments.skew);
        for (index, value) in &arguments.pcr {
            builder = builder.pcr(*index, digest(value)?);
        }
        if let Some(arn) = &arguments.role_arn {
            builder = builder.role_arn(arn);
        }
        if let Some(id) = &arguments.instance_id {
            builder = builder.instance_id(id);
        }
        if let Some(nonce) = &arguments.nonce {
            builder = builder.nonce(nonce);
        }
        if let Some(user_data) = &arguments.user_data {
            builder = builder.user_data(user_data);
        }
        if let Some(data) = &arguments.workload_data {
            builder = builder.user_data(&[WORKLOAD_PREFIX, data].concat());
        }
        if let Some(path) = &arguments.public_key {
            builder = builder.public_key(&read_file(path, PUBLIC_KEY_LIMIT_BYTES)?);
        }
        if arguments.insecure_pcr0_only {
            builder = builder.insecure_pcr0_only();
        }
        let mut refusal = None;
        let mut policy = None;
        if let (Some(path), Some(name)) = (&arguments.policy, &arguments.release) {
            let now = narthex_policy::UnixMillis(judged_at.as_millis());
            let held = HeldPolicy::load_and_tell(path, arguments.genesis.as_deref(), now, output)?;
            held.require_unexpired(now)?;
            let chosen = choose_release(&held, name, |wanted| shows(wanted, &parsed.fields()))?;
            refusal = held.policy.release_for(&chosen.measurements, now).err();
            for (index, pcr) in measured(&chosen.measurements) {
                builder = builder.pcr(index, Digest384::new(pcr.0));
            }
            let bundle = match arguments.insecure_any_policy {
                true => None,
                false => {
                    let (bundle, pcr16) = choose_bundle(&held, &parsed.fields(), now);
                    builder = builder.pcr(PcrIndex::BUNDLE, Digest384::new(pcr16.0));
                    Some(bundle)
                }
            };
            policy = Some(FromPolicy {
                bundle,
                version_in_force: held.policy.bundle().version,
                release: chosen.name.to_string(),
                release_version: chosen.version.to_string(),
            });
        }
        Ok(Self {
            expectations: builder.build().map_err(|error| unusable(&error))?,
            policy,
            refusal,
            insecure_pcr0_only: arguments.insecure_pcr0_only,
        })
    }
}

impl FromPolicy {
    /// For the JSON result.
    pub(crate) fn to_json(&self) -> Value {
        let Self {
            bundle,
            version_in_force,
            release,
            release_version,
        } = self;
        json!({
            "bundle_in_force": version_in_force,
            "expected_bundle": match bundle {
                Some(ExpectedBundle::InForce) => "in-force",
                Some(ExpectedBundle::Previous) => "previous",
                None => "insecure-any",
            },
            "release": release,
            "release_version": release_version,
        })
    }

    /// For people.
    pub(crate) fn text(&self) -> String {
        let bundle = match self.bundle {
            Some(ExpectedBundle::InForce) => format!("bundle {} in PCR16", self.version_in_force),
            Some(ExpectedBundle::Previous) => format!(
                "the bundle before {} in PCR16, which it still accepts",
                self.version_in_force
            ),
            None => "ANY policy (--insecure-any-policy)".to_owned(),
        };
        format!(
            "release {} {}, {bundle}",
            self.release, self.release_version
        )
    }
}

/// `NAME` or `NAME=VERSION`: the statement whose measurements are `shown`, or else the newest.
pub(crate) fn choose_release<'a>(
    held: &'a HeldPolicy,
    name: &str,
    shown: impl Fn(&Measurements) -> bool,
) -> Outcome<&'a Release> {
    let (name, version) = match name.split_once('=') {
        Some((name, version)) => (name, Some(ReleaseVersion::new(version).map_err(bad_name)?)),
        None => (name, None),
    };
    let name = ReleaseName::new(name).map_err(bad_name)?;
    let releases = held.releases_named(&name, version.as_ref());
    releases
        .iter()
        .find(|release| shown(&release.measurements))
        .or_else(|| releases.first())
        .copied()
        .ok_or_else(|| no_release(held, &name))
}

fn no_release(held: &HeldPolicy, name: &ReleaseName) -> Failure {
    let mut known: Vec<_> = held
        .policy
        .releases()
        .map(|release| release.name.to_string())
        .collect();
    known.sort();
    known.dedup();
    let next = match known.is_empty() {
        true => "`narthex release new` writes a statement; `narthex release verify` says why one \
                 does not count"
            .to_owned(),
        false => format!("it knows: {}", known.join(", ")),
    };
    Failure::refused(
        "release.unknown",
        format!("{} has no release {name}", held.directory.path.display()),
    )
    .next(next)
}

fn bad_name(refusal: Refusal) -> Failure {
    Failure::misuse(refusal.id(), refusal.detail())
}

/// Whether a document has these registers.
pub(crate) fn shows(measurements: &Measurements, fields: &Fields<'_>) -> bool {
    measured(measurements).all(|(index, pcr)| fields.pcr(index) == Some(&pcr.0))
}

/// The registers that a release names.
pub(crate) fn measured(measurements: &Measurements) -> impl Iterator<Item = (PcrIndex, Pcr)> {
    let Measurements {
        pcr0,
        pcr1,
        pcr2,
        pcr8,
    } = *measurements;
    [(0, Some(pcr0)), (1, Some(pcr1)), (2, Some(pcr2)), (8, pcr8)]
        .into_iter()
        .filter_map(|(index, pcr)| Some((PcrIndex::new(index)?, pcr?)))
}

/// The value that PCR16 must have: that of the bundle in force, unless the document shows the one
/// before it and that one is still accepted.
pub(crate) fn choose_bundle(
    held: &HeldPolicy,
    fields: &Fields<'_>,
    now: narthex_policy::UnixMillis,
) -> (ExpectedBundle, Pcr) {
    match held.policy.previous_accepted(now).map(Pcr::of_boot_bundle) {
        Some(pcr) if fields.pcr(PcrIndex::BUNDLE) == Some(&pcr.0) => {
            (ExpectedBundle::Previous, pcr)
        }
        _ => (
            ExpectedBundle::InForce,
            Pcr::of_boot_bundle(held.policy.digest()),
        ),
    }
}

fn digest(bytes: &[u8]) -> Outcome<Digest384> {
    bytes
        .try_into()
        .map(Digest384::new)
        .map_err(|_| Failure::misuse("misuse.arguments", "a register holds 48 bytes"))
}

fn unusable(error: &ExpectationError) -> Failure {
    let failure = Failure::misuse(error.id(), format!("this cannot be expected: {error}"));
    match error {
        ExpectationError::Pcr0Alone => failure.next(
            "give --pcr 1=… and --pcr 2=… too; --insecure-pcr0-only accepts any kernel and application",
        ),
        ExpectationError::Twice(_) => {
            failure.next("--pcr, --policy, --role-arn and --instance-id must not name one register twice")
        }
        _ => failure.next("`narthex verify --help` shows what can be expected"),
    }
}
