//! `release sign`: a name under a statement that says what the signer thinks it says.

use std::path::Path;

use narthex_image::manifest::Manifest;
use narthex_policy::{Provenance, RELEASE_SCHEMA, Release, ReleaseStatus, limits};

use crate::commands::release::SignCommand;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::images::{ManifestFile, policy_measurements};
use crate::input::read_file;
use crate::output::Output;
use crate::policies::schema;

/// `narthex release sign`.
pub(super) fn sign(arguments: &SignCommand, output: &Output) -> Outcome<Exit> {
    let SignCommand { sign, manifest } = arguments;
    let bytes = read_file(&sign.file, limits::MAX_STATEMENT_BYTES)?;
    let is_release = schema(&bytes).as_deref() == Some(RELEASE_SCHEMA);
    // One that does not parse is refused below, by the code that signs it.
    let release = match is_release {
        true => Release::parse_unverified(&bytes).ok(),
        false => None,
    };
    match (manifest, &release) {
        (Some(path), Some(release)) => rests_on(release, path, &sign.person, output)?,
        (Some(_), None) if !is_release => {
            return Err(Failure::misuse(
                "misuse.arguments",
                "only release statements rest on a manifest",
            ));
        }
        (None, Some(release)) => tell(release, output),
        _ => {}
    }
    crate::policies::sign_statement(sign, &bytes, output)
}

/// Refuses to sign a statement that says something else than the manifest.
fn rests_on(release: &Release, path: &Path, person: &str, output: &Output) -> Outcome<()> {
    let file = ManifestFile::read(path)?;
    let refused = |id: &str, what: String| {
        Failure::refused(id, what)
            .next("nothing was signed; `narthex release new` writes a right one")
    };
    match release.provenance {
        Provenance::InsecureByHand => {
            return Err(refused(
                "release.provenance",
                "the statement's numbers were given by hand; it rests on no manifest".to_owned(),
            ));
        }
        Provenance::Manifest(named) if named != file.sha384() => {
            return Err(refused(
                "manifest.digest",
                format!(
                    "the statement rests on another manifest: it names {named}, and {} has {}",
                    path.display(),
                    file.sha384()
                ),
            ));
        }
        Provenance::Manifest(_) => {}
    }
    let Manifest {
        name,
        version,
        measurements,
        ..
    } = file.parse_unverified()?;
    if release.name.as_str() != name || release.version.as_str() != version {
        return Err(refused(
            "manifest.release",
            format!(
                "the statement is about {} {}, the manifest about {name} {version}",
                release.name, release.version
            ),
        ));
    }
    // PCR8 is not in manifests: it narrows, and says who signed the image.
    let mut stated = release.measurements;
    stated.pcr8 = None;
    if stated != policy_measurements(&measurements) {
        return Err(refused(
            "manifest.measurements",
            "the statement has other measurements than the manifest".to_owned(),
        ));
    }
    if !file.has_signature_file_of(person) {
        output.say(format_args!(
            "narthex: there is no signature of {person} beside the manifest: have you built the image \
             yourself? `narthex image approve` says that you have"
        ));
    }
    Ok(())
}

/// What a signer should know where nothing was compared. A revocation needs no manifest.
fn tell(release: &Release, output: &Output) {
    match (release.status, release.provenance) {
        (ReleaseStatus::Revoked, _) => {}
        (_, Provenance::Manifest(_)) => output.say(
            "narthex: not compared with its manifest; --manifest FILE signs only what the manifest says",
        ),
        (_, Provenance::InsecureByHand) => output.say(
            "narthex: insecure measurements by hand: no manifest says what went into this image",
        ),
    }
}
