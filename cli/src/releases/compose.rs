//! Release and stop statements, written to be signed.

use std::fs;
use std::path::Path;
use std::time::Duration;

use narthex_policy::{
    Bundle, Digest384, Measurements, ProjectName, Provenance, Refusal, Release, ReleaseName,
    ReleaseStatus, ReleaseVersion, Stop, StoppedRelease, UnixMillis,
};
use serde_json::json;

use crate::commands::release::{NewArguments, RevokeArguments, Status, StopArguments};
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::files::{Existing, write_file};
use crate::moment::{now_to_the_second, now_unix_millis};
use crate::orders::person_name;
use crate::output::Output;
use crate::policy_directory::{Folder, HeldPolicy, PolicyDirectory};

use super::given::Given;

/// `narthex release new`.
pub(super) fn new(arguments: &NewArguments, output: &Output) -> Outcome<Exit> {
    let directory = PolicyDirectory::read(&arguments.directory)?;
    let Given {
        name,
        version,
        measurements,
        provenance,
        approved_by,
    } = Given::from_arguments(arguments, output)?;
    let statement = Statement {
        name,
        version,
        measurements,
        provenance,
        status: match arguments.status {
            Status::Current => ReleaseStatus::Current,
            Status::Previous => ReleaseStatus::Previous,
        },
        valid_for: arguments.valid_for,
    };
    let exit = write(&directory, statement, output)?;
    match provenance {
        Provenance::Manifest(_) => output.say(format_args!(
            "The manifest is approved by {}.",
            approved_by.join(", ")
        )),
        Provenance::InsecureByHand => output.say(
            "narthex: insecure measurements by hand: no manifest says what went into the image, and \
             the statement says so",
        ),
    }
    Ok(exit)
}

/// `narthex release revoke`: the measurements are those of the newest statement about it that holds, for a
/// draft beside it may have others; without one that holds, of the newest.
pub(super) fn revoke(arguments: &RevokeArguments, output: &Output) -> Outcome<Exit> {
    let directory = PolicyDirectory::read(&arguments.directory)?;
    let name = ReleaseName::new(&arguments.name).map_err(|refusal| misuse(&refusal))?;
    let version = ReleaseVersion::new(&arguments.version).map_err(|refusal| misuse(&refusal))?;
    let now = UnixMillis(now_unix_millis()?);
    let holding = HeldPolicy::load(&arguments.directory, None, now)
        .ok()
        .and_then(|held| held.policy.release_named(&name, Some(&version)).cloned());
    let drafts = statements(&directory)
        .into_iter()
        .filter(|release| release.name == name && release.version == version);
    let known = holding
        .or_else(|| drafts.max_by_key(|release| release.serial))
        .ok_or_else(|| {
            Failure::refused(
                "release.unknown",
                format!(
                    "{} has no statement about {name} {version}",
                    directory.path.display()
                ),
            )
            .next("`narthex release verify` lists those there are")
        })?;
    let statement = Statement {
        name,
        version,
        measurements: known.measurements,
        provenance: known.provenance,
        status: ReleaseStatus::Revoked,
        valid_for: arguments.valid_for,
    };
    write(&directory, statement, output)
}

/// `narthex release stop`.
pub(super) fn stop(arguments: &StopArguments, output: &Output) -> Outcome<Exit> {
    let directory = PolicyDirectory::read(&arguments.directory)?;
    let releases = arguments
        .release
        .iter()
        .map(|text| stopped(text))
        .collect::<Outcome<_>>()?;
    let people = arguments
        .person
        .iter()
        .map(|name| person_name(name))
        .collect::<Outcome<_>>()?;
    let keys = arguments
        .key_name
        .iter()
        .map(|name| narthex_policy::KeyName::new(name))
        .collect::<Result<_, _>>()
        .map_err(|refusal| misuse(&refusal))?;
    let known = directory
        .stops
        .iter()
        .filter_map(|file| Stop::parse_unverified(&file.signed.bytes).ok());
    let serial = known
        .map(|stop| stop.serial)
        .max()
        .unwrap_or(0)
        .saturating_add(1);
    let stop = Stop {
        project: project(&directory)?,
        serial,
        issued: UnixMillis(now_to_the_second()?),
        releases,
        people,
        keys,
        ssh_keys: Vec::new(),
        digest: Digest384([0; 48]),
    };
    let text = stop.to_toml();
    Stop::parse_unverified(text.as_bytes()).map_err(|refusal| misuse(&refusal))?;
    for doubt in doubts(&directory, &stop) {
        output.say(format_args!(
            "narthex: {doubt}; if that is a slip, this statement stops nothing"
        ));
    }
    let path = directory.place(Folder::Stops, serial, None);
    put(&path, &text, output)
}

/// What a stop statement names and the directory does not have. It may be newer at the service, so it is said and no more.
fn doubts(directory: &PolicyDirectory, stop: &Stop) -> Vec<String> {
    let releases = statements(directory);
    let bundles: Vec<Bundle> = directory
        .bundles
        .iter()
        .filter_map(|file| Bundle::parse_unverified(&file.signed.bytes).ok())
        .collect();
    let mut doubts = Vec::new();
    for stopped in &stop.releases {
        let mut named = releases
            .iter()
            .filter(|release| release.name == stopped.name);
        let known = match &stopped.version {
            Some(version) => named.any(|release| &release.version == version),
            None => named.next().is_some(),
        };
        if !known {
            let version = stopped.version.as_ref();
            doubts.push(format!(
                "no release statement here is about {}{}",
                stopped.name,
                version
                    .map(|version| format!(" {version}"))
                    .unwrap_or_default()
            ));
        }
    }
    for name in &stop.people {
        if bundles.iter().all(|bundle| bundle.person(name).is_none()) {
            doubts.push(format!("no bundle here names a person {name}"));
        }
    }
    for name in &stop.keys {
        if !bundles
            .iter()
            .any(|bundle| bundle.keys.iter().any(|rule| &rule.name == name))
        {
            doubts.push(format!("no bundle here has a rule for a key {name}"));
        }
    }
    doubts
}

/// What a new release statement says.
struct Statement {
    name: ReleaseName,
    version: ReleaseVersion,
    measurements: Measurements,
    provenance: Provenance,
    status: ReleaseStatus,
    valid_for: Duration,
}

fn write(directory: &PolicyDirectory, statement: Statement, output: &Output) -> Outcome<Exit> {
    let Statement {
        name,
        version,
        measurements,
        provenance,
        status,
        valid_for,
    } = statement;
    // Serials rise per name; one counter for the whole directory does that, and orders the files.
    let serial = statements(directory)
        .iter()
        .map(|release| release.serial)
        .max()
        .unwrap_or(0)
        .saturating_add(1);
    let issued = UnixMillis(now_to_the_second()?);
    let release = Release {
        project: project(directory)?,
        serial,
        issued,
        expires: issued.saturating_add(valid_for),
        name,
        version,
        measurements,
        provenance,
        status,
        digest: Digest384([0; 48]),
    };
    let text = release.to_toml();
    Release::parse_unverified(text.as_bytes()).map_err(|refusal| misuse(&refusal))?;
    let path = directory.place(Folder::Releases, serial, Some(release.name.as_str()));
    put(&path, &text, output)
}

fn put(path: &Path, text: &str, output: &Output) -> Outcome<Exit> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|error| Failure::file("create", folder, &error))?;
    }
    write_file(path, text.as_bytes(), Existing::Keep)?;
    output.result(&json!({ "statement": path }), || {
        format!("{}\n", path.display())
    })?;
    output.say(format_args!(
        "Those who may sign it: narthex release sign {} --as PERSON --key KEY",
        path.display()
    ));
    Ok(Exit::Done)
}

/// All statements that can be read; whether they hold is not asked here.
fn statements(directory: &PolicyDirectory) -> Vec<Release> {
    let files = directory.releases.iter();
    files
        .filter_map(|file| Release::parse_unverified(&file.signed.bytes).ok())
        .collect()
}

fn project(directory: &PolicyDirectory) -> Outcome<ProjectName> {
    let newest = directory.newest_bundle()?;
    narthex_policy::Bundle::parse_unverified(&newest.signed.bytes)
        .map(|bundle| bundle.project)
        .map_err(|refusal| Failure::refused(refusal.id(), refusal.detail()))
}

fn stopped(text: &str) -> Outcome<StoppedRelease> {
    let (name, version) = match text.split_once('=') {
        Some((name, version)) => (name, Some(version)),
        None => (text, None),
    };
    Ok(StoppedRelease {
        name: ReleaseName::new(name).map_err(|refusal| misuse(&refusal))?,
        version: version
            .map(ReleaseVersion::new)
            .transpose()
            .map_err(|refusal| misuse(&refusal))?,
    })
}

pub(super) fn misuse(refusal: &Refusal) -> Failure {
    Failure::misuse(refusal.id(), refusal.detail())
}
