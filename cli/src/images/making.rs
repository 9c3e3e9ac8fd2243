//! Building from a recipe, for `build`, `rebuild` and `approve`.

use std::path::{Path, PathBuf};

use narthex_agent::config::Config;
use narthex_agent::init::checks::{Reading, SelfCheck};
use narthex_agent::mode::{Mode, Privileges};
use narthex_image::build::{Built, build};
use narthex_image::recipe::{MAX_RECIPE_BYTES, Recipe};
use narthex_image::{Fault, Refusal, Refusals};

use crate::failure::{Failure, Outcome};
use crate::input::read_text;

/// A recipe with the folder that its paths start from.
pub(super) struct Making {
    path: PathBuf,
    recipe: Recipe,
}

impl Making {
    /// Reads and checks a recipe. The files that it names are not looked at yet.
    ///
    /// # Errors
    /// `file.*`, `recipe.*`.
    pub(super) fn read(path: &Path) -> Outcome<Self> {
        let text = read_text(path, MAX_RECIPE_BYTES)?;
        let recipe = Recipe::parse(&text).map_err(|refusals| failure(path, &refusals))?;
        kernel_is_told(path, &recipe.image.command_line)?;
        Ok(Self {
            path: path.to_owned(),
            recipe,
        })
    }

    /// Builds the image in memory.
    ///
    /// # Errors
    /// Every rule of images that its inputs break, the first one as the failure's id.
    pub(super) fn build(&self) -> Outcome<Built> {
        let folder = match self.path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        build(&self.recipe, folder, &agent_accepts)
            .map_err(|refusals| failure(&self.path, &refusals))
    }
}

/// Judges the kernel's command line by the agent's own rules, as far as they speak of it.
fn kernel_is_told(path: &Path, command_line: &str) -> Outcome<()> {
    let seen = Reading {
        command_line: Some(command_line.to_owned()),
        ..Reading::default()
    };
    let about_it = [
        SelfCheck::EntropyTrustCpu,
        SelfCheck::EntropyTrustBootloader,
    ];
    match seen
        .failed()
        .into_iter()
        .find(|check| about_it.contains(check))
    {
        None => Ok(()),
        Some(check) => Err(Failure::misuse(
            "recipe.field",
            format!(
                "{}: image.command_line: {}, or the agent ends the boot with {}",
                path.display(),
                check.advice(),
                check.id()
            ),
        )),
    }
}

/// Judges the configuration as the agent will at boot, by the agent's own code: an image whose agent
/// refuses to start is found out here, not on the instance.
fn agent_accepts(text: &str) -> Result<(), String> {
    Config::parse(text)
        .and_then(|config| config.check_as(Mode::Enclave, Privileges::Root))
        .map_err(|error| error.to_string())
}

/// All refusals, one a line; the first gives id and exit code.
fn failure(recipe: &Path, refusals: &Refusals) -> Failure {
    let first = refusals.first();
    let words = format!("{}: {}", recipe.display(), sentence(first));
    let failure = match refusals.fault() {
        Fault::Refused => Failure::refused(first.id(), words),
        Fault::Misuse => Failure::misuse(first.id(), words),
        Fault::Environment => Failure::environment(first.id(), words),
    };
    let others: Vec<String> = refusals
        .iter()
        .skip(1)
        .map(|refusal| format!("{} [{}]", sentence(refusal), refusal.id()))
        .collect();
    match others.is_empty() {
        true => failure,
        false => failure.next(format!("and also: {}", others.join("; "))),
    }
}

fn sentence(refusal: &Refusal) -> String {
    format!("{}: {}", refusal.subject(), refusal.detail())
}
