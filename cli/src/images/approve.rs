//! `image approve`: a person's word that they built the image and got the same.

use narthex_image::manifest::compare;
use narthex_policy::Namespace;

use super::making::Making;
use super::manifest::{ManifestFile, insecure};
use crate::commands::image::ApproveArguments;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::output::Output;
use crate::sign_file::sign_file;

/// `narthex image approve`.
pub(super) fn approve(arguments: &ApproveArguments, output: &Output) -> Outcome<Exit> {
    let file = ManifestFile::read(&arguments.sign.file)?;
    // Read before it is signed: what nobody could use is not worth a name.
    let manifest = file.parse_unverified()?;
    match &arguments.recipe {
        Some(recipe) => {
            let built = Making::read(recipe)?.build()?;
            let differences = compare(&manifest, &built.manifest);
            if let Some(first) = differences.first() {
                return Err(Failure::refused(
                    "manifest.differs",
                    format!(
                        "the image built here is another one, in {} places: {first}",
                        differences.len()
                    ),
                )
                .next("nothing was signed; `narthex image rebuild` lists every difference"));
            }
        }
        None => output.say(
            "narthex: nothing was built here; your signature says that you have done so yourself \
             (--recipe does it first)",
        ),
    }
    for insecure in insecure(&manifest) {
        output.say(format_args!(
            "narthex: the manifest says INSECURE: {insecure}"
        ));
    }
    sign_file(&arguments.sign, Namespace::Image, file.bytes(), output)
}
