//! `image rebuild`: the same image from the same inputs, or every difference.

use narthex_image::manifest::{Difference, compare};
use serde_json::{Value, json};

use super::build::{existing, refuse_existing, refuse_same};
use super::describe;
use super::inspect::registers;
use super::making::Making;
use super::manifest::{ManifestFile, insecure, runtimes, warnings};
use crate::commands::image::RebuildArguments;
use crate::exit::Exit;
use crate::failure::Outcome;
use crate::files::write_file;
use crate::output::Output;
use crate::printable::printable;

/// `narthex image rebuild`.
pub(super) fn rebuild(arguments: &RebuildArguments, output: &Output) -> Outcome<Exit> {
    let file = ManifestFile::read(&arguments.manifest)?;
    let manifest = file.parse_unverified()?;
    let existing = existing(arguments.force);
    if let Some(out) = &arguments.out {
        refuse_same(out, &[&arguments.manifest, &arguments.recipe])?;
        refuse_existing(out, existing)?;
    }
    let built = Making::read(&arguments.recipe)?.build()?;
    if let Some(out) = &arguments.out {
        write_file(out, &built.image, existing)?;
    }
    let differences = compare(&manifest, &built.manifest);
    let same = differences.is_empty();
    let value = json!({
        "verdict": if same { "accepted" } else { "refused" },
        "reason": if same { None } else { Some("manifest.differs") },
        "name": manifest.name,
        "version": manifest.version,
        "manifest_sha384": file.sha384().to_string(),
        "Measurements": describe::measurements(&built.measurements),
        "differences": differences.iter().map(to_json).collect::<Vec<_>>(),
        "insecure": insecure(&manifest),
        "runtimes": runtimes(&manifest),
    });
    output.result(&value, || match same {
        true => format!(
            "THE SAME  {} {}\n{}{}",
            manifest.name,
            manifest.version,
            registers(&built.measurements),
            warnings(&manifest),
        ),
        false => explain(&differences),
    })?;
    match same {
        true => {
            output.say(format_args!(
                "If you have read what goes in: narthex image approve {} --as PERSON --key KEY",
                arguments.manifest.display()
            ));
            Ok(Exit::Done)
        }
        false => {
            output.say("narthex: refused: the image built here is another one [manifest.differs]");
            Ok(Exit::Refused)
        }
    }
}

fn explain(differences: &[Difference]) -> String {
    let (effects, causes): (Vec<_>, Vec<_>) = differences
        .iter()
        .partition(|difference| difference.part.is_consequence());
    let mut text = String::from("DIFFERENT  first: the manifest; second: built here\n");
    let mut list = |title: &str, differences: &[&Difference]| {
        if !differences.is_empty() {
            text.push_str(title);
            for difference in differences {
                text.push_str(&format!("  {}\n", printable(&difference.to_string())));
            }
        }
    };
    list("\nwhat went in\n", &causes);
    list("\nwhat came out\n", &effects);
    if causes.is_empty() {
        text.push_str(
            "\nNothing that went in differs, so what packs it does: compare the versions of narthex.\n",
        );
    }
    text
}

fn to_json(difference: &Difference) -> Value {
    let Difference {
        part,
        subject,
        first,
        second,
    } = difference;
    json!({
        "part": part.name(),
        "subject": subject,
        "manifest": first,
        "built": second,
        "consequence": part.is_consequence(),
    })
}
