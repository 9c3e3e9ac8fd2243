//! What a recipe names, read and compared with its digests.

use std::path::Path;

use crate::digest::Sha256Digest;
use crate::recipe::{PinnedFile, Recipe, WorkloadSource};
use crate::refusal::{Refusal, Rule};
use crate::source::folder;
use crate::tree::{Limits, Tree};

/// Everything that goes into an image, in memory.
#[derive(Clone, Debug)]
pub struct Inputs {
    /// The kernel.
    pub kernel: Vec<u8>,
    /// Modules: `NN-name.ko` and content, in the order of the recipe.
    pub modules: Vec<(String, Vec<u8>)>,
    /// The agent's program.
    pub agent: Vec<u8>,
    /// The workload.
    pub workload: WorkloadInput,
}

/// The workload as the recipe's kind of source gives it.
#[derive(Clone, Debug)]
pub enum WorkloadInput {
    /// What was listed of a folder.
    Folder(Tree),
    /// A tar archive, not yet unpacked.
    Archive(Vec<u8>),
    /// An OCI image's archive, not yet unpacked.
    Oci(Vec<u8>),
}

impl Inputs {
    /// Reads what `recipe` names, relative to `folder`.
    ///
    /// # Errors
    ///
    /// `input.unreadable`, `input.too_large`, `recipe.digest`, and for a folder `recipe.files` and `tree.*`.
    pub fn read(recipe: &Recipe, folder: &Path, limits: &Limits) -> Result<Self, Refusal> {
        let read = |file: &PinnedFile| pinned(folder, file, limits);
        let modules = recipe.kernel.modules.iter().enumerate();
        Ok(Self {
            kernel: read(&recipe.kernel.file)?,
            modules: modules
                .map(|(index, module)| {
                    let name = module
                        .path
                        .file_name()
                        .unwrap_or_default()
                        .to_string_lossy();
                    Ok((format!("{index:02}-{name}"), read(module)?))
                })
                .collect::<Result<_, Refusal>>()?,
            agent: read(&recipe.agent)?,
            workload: match &recipe.workload.source {
                WorkloadSource::Folder { root, files } => WorkloadInput::Folder(folder::read(
                    &folder.join(root),
                    files,
                    &recipe.workload.exclude,
                    limits,
                )?),
                WorkloadSource::Archive(file) => WorkloadInput::Archive(read(file)?),
                WorkloadSource::Oci(file) => WorkloadInput::Oci(read(file)?),
            },
        })
    }
}

fn pinned(folder: &Path, file: &PinnedFile, limits: &Limits) -> Result<Vec<u8>, Refusal> {
    let content = folder::read_file(&folder.join(&file.path), limits.input_bytes)?;
    let found = Sha256Digest::of(&content);
    if found == file.sha256 {
        return Ok(content);
    }
    Err(Refusal::new(
        Rule::RecipeDigest,
        folder::show(&file.path),
        format!(
            "has the SHA-256 {found}, and the recipe says {}; get the file that was meant, or correct the recipe",
            file.sha256
        ),
    ))
}
