//! `image build`: a recipe becomes an image and its manifest.

use std::fs;
use std::path::{Path, PathBuf};

use narthex_image::build::Built;
use narthex_policy::Digest384;
use serde_json::json;

use super::describe;
use super::inspect::registers;
use super::making::Making;
use super::manifest::{insecure, runtimes, warnings};
use crate::commands::image::BuildArguments;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::files::{Existing, write_file};
use crate::output::Output;
use crate::policy_directory::read_signatures;
use crate::printable::printable;

/// `narthex image build`.
pub(super) fn build(arguments: &BuildArguments, output: &Output) -> Outcome<Exit> {
    let BuildArguments {
        recipe,
        out,
        manifest,
        force,
    } = arguments;
    let manifest_path = manifest.clone().unwrap_or_else(|| beside(out));
    refuse_same(out, &[recipe, &manifest_path])?;
    refuse_same(&manifest_path, &[recipe])?;
    let existing = existing(*force);
    refuse_existing(out, existing)?;
    refuse_existing(&manifest_path, existing)?;
    let built = Making::read(recipe)?.build()?;
    let text = built.manifest.to_json();
    write_file(out, &built.image, existing)?;
    write_file(&manifest_path, text.as_bytes(), existing)?;
    let digest = Digest384::of(text.as_bytes());
    let value = json!({
        "image": out,
        "manifest": manifest_path,
        "manifest_sha384": digest.to_string(),
        "name": built.manifest.name,
        "version": built.manifest.version,
        "size": built.image.len(),
        "sha256": built.manifest.image_sha256.to_string(),
        "Measurements": describe::measurements(&built.measurements),
        "memory_mib": built.memory_mib,
        "notes": built.notes,
        "runtimes": runtimes(&built.manifest),
        "insecure": insecure(&built.manifest),
    });
    output.result(&value, || text_of(&built, out, &manifest_path))?;
    tell_of_signatures(&manifest_path, output)?;
    Ok(Exit::Done)
}

/// `shop.eif` has `shop.manifest.json` beside it. Only that ending is taken off: what follows the last
/// point of `shop-1.2.0` is part of its version, and 1.2.1 must not have the same manifest.
fn beside(image: &Path) -> PathBuf {
    let mut name = match image.extension() {
        Some(ending) if ending == "eif" => image.file_stem().unwrap_or_default().to_owned(),
        _ => image.file_name().unwrap_or_default().to_owned(),
    };
    name.push(".manifest.json");
    image.with_file_name(name)
}

fn text_of(built: &Built, out: &Path, manifest: &Path) -> String {
    format!(
        "{}: {} {}, {} bytes\n{}  memory    {} MiB at least\n{}{}manifest: {}\n",
        out.display(),
        built.manifest.name,
        built.manifest.version,
        built.image.len(),
        registers(&built.measurements),
        built.memory_mib,
        warnings(&built.manifest),
        built
            .notes
            .iter()
            .map(|note| format!("  note      {}\n", printable(note)))
            .collect::<String>(),
        manifest.display(),
    )
}

/// Signatures that were over the manifest before this one hold no more, or are over these very bytes:
/// whoever sees them beside the file should know that they have to be checked.
fn tell_of_signatures(manifest: &Path, output: &Output) -> Outcome<()> {
    let people: Vec<String> = read_signatures(manifest)?
        .into_iter()
        .map(|(person, _)| person)
        .collect();
    match people.is_empty() {
        true => output.say(format_args!(
            "Somebody else: narthex image rebuild {} --recipe RECIPE",
            manifest.display()
        )),
        false => output.say(format_args!(
            "narthex: there were signatures of {} beside the manifest, and they are still there: they \
             count only if the manifest is the same as before",
            people.join(", ")
        )),
    }
    Ok(())
}

/// What `--force` means.
pub(super) fn existing(force: bool) -> Existing {
    match force {
        true => Existing::Replace,
        false => Existing::Keep,
    }
}

/// Refuses to write over a file that is read or written too, however its path is spelt: `--force` is for
/// what an earlier build left.
pub(super) fn refuse_same(written: &Path, others: &[&PathBuf]) -> Outcome<()> {
    let place_of_it = place(written);
    match others.iter().find(|other| place(other) == place_of_it) {
        None => Ok(()),
        Some(other) => Err(Failure::misuse(
            "misuse.arguments",
            format!(
                "{} and {} cannot be the same file",
                other.display(),
                written.display()
            ),
        )
        .next("nothing was written")),
    }
}

/// The file that a path leads to, or would if it were there.
fn place(path: &Path) -> PathBuf {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    fs::canonicalize(path)
        .or_else(|_| {
            let folder = fs::canonicalize(folder)?;
            Ok::<_, std::io::Error>(folder.join(path.file_name().unwrap_or_default()))
        })
        .unwrap_or_else(|_| path.to_owned())
}

/// Says so before the work is done, not after it. Writing checks again.
pub(super) fn refuse_existing(path: &PathBuf, existing: Existing) -> Outcome<()> {
    match existing == Existing::Keep && fs::symlink_metadata(path).is_ok() {
        true => Err(Failure::environment(
            "file.exists",
            format!("{} is there already", path.display()),
        )
        .next("nothing was overwritten; --force replaces it, or choose another name")),
        false => Ok(()),
    }
}
