//! What a new release statement says, and where it was taken from: an approved manifest, or a
//! person's keyboard.

use narthex_policy::{Measurements, Pcr, Provenance, ReleaseName, ReleaseVersion, UnixMillis};
use serde_json::Value;

use super::compose::misuse;
use crate::commands::release::NewArguments;
use crate::failure::{Failure, Outcome};
use crate::images::{Approved, ManifestFile, policy_measurements, signing_register};
use crate::input::Source;
use crate::moment::now_unix_millis;
use crate::output::Output;
use crate::policy_directory::HeldPolicy;

/// What `nitro-cli build-enclave` prints is below 1 KiB.
const MEASUREMENTS_LIMIT_BYTES: usize = 64 * 1024;

/// Which release, and why it may be believed.
pub(super) struct Given {
    pub(super) name: ReleaseName,
    pub(super) version: ReleaseVersion,
    pub(super) measurements: Measurements,
    pub(super) provenance: Provenance,
    /// Who approved the manifest.
    pub(super) approved_by: Vec<String>,
}

impl Given {
    /// Resolves what was typed.
    ///
    /// # Errors
    /// `manifest.*`, `release.*`, `name.*`, `file.*`.
    pub(super) fn from_arguments(arguments: &NewArguments, output: &Output) -> Outcome<Self> {
        let name = arguments
            .name
            .as_deref()
            .map(ReleaseName::new)
            .transpose()
            .map_err(|refusal| misuse(&refusal))?;
        let version = arguments
            .version
            .as_deref()
            .map(ReleaseVersion::new)
            .transpose()
            .map_err(|refusal| misuse(&refusal))?;
        match (&arguments.manifest, name, version) {
            (Some(path), name, version) => {
                let file = ManifestFile::read(path)?;
                let given = from_manifest(&file, arguments, output)?;
                same("name", name.as_ref(), &given.name)?;
                same("version", version.as_ref(), &given.version)?;
                Ok(given)
            }
            (None, Some(name), Some(version)) => Ok(Self {
                name,
                version,
                measurements: by_hand(arguments)?,
                provenance: Provenance::InsecureByHand,
                approved_by: Vec::new(),
            }),
            _ => Err(Failure::misuse(
                "misuse.arguments",
                "--name and --version say which release it is",
            )),
        }
    }
}

/// The policy in force says who must have signed the manifest. A draft says nothing yet.
fn from_manifest(file: &ManifestFile, arguments: &NewArguments, output: &Output) -> Outcome<Given> {
    let now = UnixMillis(now_unix_millis()?);
    let genesis = arguments.genesis.as_deref();
    let held = HeldPolicy::load_and_tell(&arguments.directory, genesis, now, output)?;
    held.require_unexpired(now)?;
    let Approved {
        manifest,
        name,
        people,
    } = file.approved(&held.policy)?;
    let mut measurements = policy_measurements(&manifest.measurements);
    measurements.pcr8 = match (&arguments.signed_image, &arguments.pcr8) {
        (Some(path), _) => Some(signing_register(path, &measurements)?),
        (None, given) => given.as_deref().map(pcr).transpose()?,
    };
    for insecure in &manifest.insecure {
        output.say(format_args!(
            "narthex: the manifest says INSECURE: {}",
            insecure.name()
        ));
    }
    Ok(Given {
        version: ReleaseVersion::new(&manifest.version).map_err(|refusal| misuse(&refusal))?,
        name,
        measurements,
        provenance: Provenance::Manifest(file.sha384()),
        approved_by: people,
    })
}

/// What was typed beside a manifest must be what the manifest says.
fn same<T: PartialEq + core::fmt::Display>(
    what: &str,
    typed: Option<&T>,
    manifest: &T,
) -> Outcome<()> {
    match typed.filter(|typed| *typed != manifest) {
        Some(typed) => Err(Failure::refused(
            "manifest.release",
            format!("the manifest's {what} is {manifest}, and not {typed}"),
        )
        .next(format!("leave --{what} out, or take the right manifest"))),
        None => Ok(()),
    }
}

/// From nitro-cli's JSON, or from the flags.
fn by_hand(arguments: &NewArguments) -> Outcome<Measurements> {
    let from_flags = |bytes: &Option<Vec<u8>>| bytes.as_deref().map(pcr).transpose();
    let pcr8 = from_flags(&arguments.pcr8)?;
    let (pcr0, pcr1, pcr2, signed_by) = match &arguments.insecure_measurements {
        Some(source) => from_json(source)?,
        None => (
            from_flags(&arguments.insecure_pcr0)?,
            from_flags(&arguments.insecure_pcr1)?,
            from_flags(&arguments.insecure_pcr2)?,
            None,
        ),
    };
    match (pcr0, pcr1, pcr2) {
        (Some(pcr0), Some(pcr1), Some(pcr2)) => Ok(Measurements {
            pcr0,
            pcr1,
            pcr2,
            pcr8: pcr8.or(signed_by),
        }),
        _ => Err(Failure::misuse(
            "release.partial_pcrs",
            "PCR0, PCR1 and PCR2 belong together: PCR0 alone does not pin what runs",
        )),
    }
}

type Registers = (Option<Pcr>, Option<Pcr>, Option<Pcr>, Option<Pcr>);

fn from_json(source: &Source) -> Outcome<Registers> {
    let unreadable = |why: String| {
        Failure::misuse(
            "measurements.unreadable",
            format!("{} holds no measurements: {why}", source.name()),
        )
        .next("expected what `nitro-cli build-enclave` prints: {\"Measurements\": {\"PCR0\": …}}")
    };
    let bytes = source.read(MEASUREMENTS_LIMIT_BYTES)?;
    let value: Value =
        serde_json::from_slice(&bytes).map_err(|error| unreadable(error.to_string()))?;
    let measurements = value.get("Measurements").unwrap_or(&value);
    let register = |name: &str| -> Outcome<Option<Pcr>> {
        match measurements.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Pcr::from_hex(text)
                .map(Some)
                .map_err(|refusal| misuse(&refusal)),
            Some(_) => Err(unreadable(format!("{name} is not text"))),
        }
    };
    Ok((
        register("PCR0")?,
        register("PCR1")?,
        register("PCR2")?,
        register("PCR8")?,
    ))
}

fn pcr(bytes: &[u8]) -> Outcome<Pcr> {
    bytes.try_into().map(Pcr).map_err(|_| {
        Failure::misuse(
            "hex.malformed",
            format!(
                "a register holds 48 bytes (96 hex digits), this is {}",
                bytes.len()
            ),
        )
    })
}
