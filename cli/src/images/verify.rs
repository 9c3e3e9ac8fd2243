//! `image verify`: this file, this manifest, these people.

use std::path::Path;

use narthex_image::Sha384Digest;
use narthex_image::manifest::Manifest;
use narthex_policy::UnixMillis;
use serde_json::json;

use super::describe;
use super::file::{Checked, check, not_an_image, policy_measurements, read_image};
use super::inspect::registers;
use super::manifest::{self, Approved, ManifestFile, insecure, runtimes, warnings};
use crate::commands::image::VerifyArguments;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::moment::now_unix_millis;
use crate::output::Output;
use crate::policy_directory::HeldPolicy;

/// `narthex image verify`.
pub(super) fn verify(arguments: &VerifyArguments, output: &Output) -> Outcome<Exit> {
    let now = match arguments.at {
        Some(at) => UnixMillis(at),
        None => UnixMillis(now_unix_millis()?),
    };
    let held =
        HeldPolicy::load_and_tell(&arguments.policy, arguments.genesis.as_deref(), now, output)?;
    held.require_unexpired(now)?;
    let file = ManifestFile::read(&arguments.manifest)?;
    let Approved {
        manifest,
        name,
        people,
    } = file.approved(&held.policy)?;
    let bytes = read_image(&arguments.file)?;
    let checked = check(&arguments.file, &bytes)?;
    compare(&manifest, &arguments.file, &checked)?;
    let value = json!({
        "verdict": "accepted",
        "name": name.as_str(),
        "version": manifest.version,
        "approved_by": people,
        "manifest_sha384": file.sha384().to_string(),
        "signed": checked.certificate.is_some(),
        "Measurements": describe::measurements(&checked.measurements),
        "insecure": insecure(&manifest),
        "runtimes": runtimes(&manifest),
    });
    output.result(&value, || {
        format!(
            "ACCEPTED  {name} {}, approved by {}\n{}{}",
            manifest.version,
            people.join(", "),
            registers(&checked.measurements),
            warnings(&manifest),
        )
    })?;
    Ok(Exit::Done)
}

/// The registers decide, then every byte that is not measured. The manifest is about the unsigned file.
fn compare(manifest: &Manifest, path: &Path, checked: &Checked<'_>) -> Outcome<()> {
    let expected = manifest::policy_measurements(&manifest.measurements);
    if !expected.met_by(&policy_measurements(&checked.measurements)) {
        return Err(Failure::refused(
            "manifest.measurements",
            "the image measures to something else than the manifest says",
        )
        .next("`narthex image inspect` and the manifest's inputs show which part is another one"));
    }
    let unsigned = checked
        .image
        .without_signature()
        .map_err(|error| not_an_image(path, &error))?;
    if Sha384Digest::of(&unsigned) != manifest.image_sha384 {
        return Err(Failure::refused(
            "manifest.image",
            "the image measures as the manifest says, but the file is another one: its metadata or \
             its header, which are not measured, differ",
        )
        .next("get the file that was built, or build it again"));
    }
    Ok(())
}
