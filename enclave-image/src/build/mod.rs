//! From a recipe to an image: ramdisks, EIF file, manifest.
//!
//! [`Inputs::read`] is the only part that opens files; [`assemble`] is a function of what it read.

use std::collections::BTreeMap;
use std::path::Path;

pub use self::inputs::{Inputs, WorkloadInput};
use crate::digest::{Sha256Digest, Sha384Digest};
use crate::eif::{self, Measurements};
use crate::manifest::{
    Input, Insecure, MAX_MANIFEST_BYTES, Manifest, ManifestContent, ManifestFile,
    ManifestMeasurements,
};
use crate::ramdisk;
use crate::recipe::Recipe;
use crate::refusal::{Refusal, Refusals, Rule};
use crate::tree::{Attributes, Entry, Kind, Limits, Tree};

mod elf;
mod inputs;
mod inspect;
mod memory;
mod root;
mod settings;

/// Name under which `toolchain` of a manifest has the version of this library.
pub const BUILDER: &str = "narthex-image";

/// A built image.
#[derive(Clone, Debug)]
pub struct Built {
    /// The EIF file, unsigned.
    pub image: Vec<u8>,
    /// What it measures to.
    pub measurements: Measurements,
    /// What it was made of.
    pub manifest: Manifest,
    /// The agent's configuration as it is in the image.
    pub agent_toml: String,
    /// Memory that the enclave needs, MiB. `docs/recipe.md` has the rule.
    pub memory_mib: u64,
    /// What was let in that weakens the image.
    pub insecure: Vec<Insecure>,
    /// What somebody should know, one sentence each.
    pub notes: Vec<String>,
}

/// Builds the image of `recipe`, whose paths are relative to `folder`.
///
/// `validate` says whether the agent will accept a configuration; this library does not know the agent.
///
/// # Errors
///
/// Everything that is wrong with the workload in one go; anything else as soon as it is found.
pub fn build(
    recipe: &Recipe,
    folder: &Path,
    validate: &dyn Fn(&str) -> Result<(), String>,
) -> Result<Built, Refusals> {
    let limits = Limits::DEFAULT;
    assemble(
        recipe,
        Inputs::read(recipe, folder, &limits)?,
        validate,
        &limits,
    )
}

/// Builds the image of `recipe` from what it names.
///
/// # Errors
///
/// As [`build`], without `input.*`.
pub fn assemble(
    recipe: &Recipe,
    inputs: Inputs,
    validate: &dyn Fn(&str) -> Result<(), String>,
    limits: &Limits,
) -> Result<Built, Refusals> {
    let Inputs {
        kernel,
        modules,
        agent,
        workload,
    } = inputs;
    elf::check_agent(&agent, recipe.image.architecture)?;
    let root::Root {
        mut tree,
        configuration,
        archive,
        mut notes,
    } = root::read(recipe, workload, limits)?;
    let settings = settings::complete(recipe, configuration, &tree, &mut notes)?;
    root::exclude(recipe, &mut tree)?;
    root::finish(&mut tree, &mut notes, limits)?;
    let insecure = inspect::inspect(recipe, &tree, &settings)?;
    let agent_toml = settings.agent_toml;
    validate(&agent_toml).map_err(|error| {
        let detail = format!("the agent would refuse its configuration: {error}");
        Refusal::new(Rule::RecipeSettings, "settings", detail)
    })?;

    let mut recorded = BTreeMap::new();
    let mut record = |name: String, content: &[u8]| {
        recorded.insert(name, input(content));
    };
    record("kernel".into(), &kernel);
    record("agent".into(), &agent);
    record("agent.toml".into(), agent_toml.as_bytes());
    for (name, content) in &modules {
        record(format!("modules/{name}"), content);
    }
    if let Some(archive) = archive {
        recorded.insert("workload".into(), archive);
    }

    let boot = boot_ramdisk(agent, modules, limits)?;
    let workload = workload_ramdisk(&tree, &agent_toml, limits)?;
    let unpacked = memory::unpacked_bytes([&boot, &workload]);
    let pack = |tree: &Tree| {
        ramdisk::archive(tree).and_then(|archive| ramdisk::pack(archive, recipe.image.compression))
    };
    let ramdisks = [pack(&boot)?, pack(&workload)?];
    let ramdisks = [ramdisks[0].as_slice(), ramdisks[1].as_slice()];
    let parts = |default_memory: u64| eif::Parts {
        architecture: recipe.image.architecture,
        kernel: &kernel,
        command_line: &recipe.image.command_line,
        ramdisks: &ramdisks,
        metadata: eif::Metadata::new(&recipe.image.name, &recipe.image.version),
        default_memory,
        default_cpus: recipe.image.cpus,
    };
    let write = |default_memory: u64| {
        eif::write(&parts(default_memory))
            .map_err(|error| Refusal::new(Rule::ImageFormat, "image", error.to_string()))
    };
    // The size does not depend on what the header proposes, but the proposal on the size.
    let memory_mib =
        memory::needed_mib(write(0)?.len() as u64, unpacked, settings.memory_max_bytes);
    let image = write(memory_mib << 20)?;
    let measurements = eif::Image::parse(&image)
        .map_err(|error| Refusal::new(Rule::ImageFormat, "image", error.to_string()))?
        .measure();

    let mut toolchain = recipe.toolchain.clone();
    toolchain.insert(BUILDER.into(), env!("CARGO_PKG_VERSION").into());
    let manifest = Manifest {
        image_sha256: Sha256Digest::of(&image),
        image_sha384: Sha384Digest::of(&image),
        name: recipe.image.name.clone(),
        version: recipe.image.version.clone(),
        architecture: recipe.image.architecture,
        measurements: ManifestMeasurements {
            pcr0: Sha384Digest::from_bytes(measurements.pcr0),
            pcr1: Sha384Digest::from_bytes(measurements.pcr1),
            pcr2: Sha384Digest::from_bytes(measurements.pcr2),
        },
        recipe_sha256: recipe.sha256,
        command_line: recipe.image.command_line.clone(),
        compression: recipe.image.compression,
        memory_mib,
        runtimes: recipe.workload.runtimes.clone(),
        insecure: insecure.clone(),
        toolchain,
        inputs: recorded,
        files: tree
            .iter()
            .map(|(path, entry)| (path.clone(), listed(entry)))
            .collect(),
    };
    if manifest.to_json().len() > MAX_MANIFEST_BYTES {
        let detail = format!(
            "lists so many files that the manifest is longer than {MAX_MANIFEST_BYTES} bytes"
        );
        return Err(Refusal::new(Rule::TreeLimit, "workload", detail).into());
    }
    Ok(Built {
        image,
        measurements,
        manifest,
        agent_toml,
        memory_mib,
        insecure,
        notes,
    })
}

/// Ramdisk 1: the agent as `/init`, where it mounts things, and modules. Measured in PCR1.
fn boot_ramdisk(
    agent: Vec<u8>,
    modules: Vec<(String, Vec<u8>)>,
    limits: &Limits,
) -> Result<Tree, Refusal> {
    let mut tree = Tree::new();
    let limits = &beyond(limits);
    for directory in ["dev", "narthex", "proc", "rootfs", "run", "sys", "tmp"] {
        let entry = Entry::directory(Attributes::root(0o755));
        tree.insert(root::own_path(directory)?, entry, limits)?;
    }
    let init = Entry::file(Attributes::root(0o755), agent);
    tree.insert(root::own_path("init")?, init, limits)?;
    for (name, content) in modules {
        let module = Entry::file(Attributes::root(0o444), content);
        tree.insert(root::own_path(&format!("modules/{name}"))?, module, limits)?;
    }
    Ok(tree)
}

/// Ramdisk 2: the agent's configuration and the workload's root. Measured in PCR2.
fn workload_ramdisk(root: &Tree, agent_toml: &str, limits: &Limits) -> Result<Tree, Refusal> {
    let mut tree = Tree::new();
    let limits = &beyond(limits);
    let settings = Entry::file(Attributes::root(0o444), agent_toml.as_bytes());
    tree.insert(root::own_path("narthex/agent.toml")?, settings, limits)?;
    for (path, entry) in root.iter() {
        tree.insert(path.under("rootfs"), entry.clone(), limits)?;
    }
    Ok(tree)
}

/// Room for what the builder adds to a tree that was within the limits.
const fn beyond(limits: &Limits) -> Limits {
    Limits {
        entries: limits.entries.saturating_add(1000),
        bytes: limits.bytes.saturating_add(limits.input_bytes),
        input_bytes: limits.input_bytes,
    }
}

fn input(content: &[u8]) -> Input {
    Input {
        sha256: Sha256Digest::of(content),
        size: content.len() as u64,
    }
}

fn listed(entry: &Entry) -> ManifestFile {
    let Attributes { mode, user, group } = entry.attributes;
    ManifestFile {
        mode,
        user,
        group,
        content: match &entry.kind {
            Kind::Directory => ManifestContent::Directory,
            Kind::File(content) => ManifestContent::File {
                size: content.len() as u64,
                sha256: Sha256Digest::of(content),
            },
            Kind::Link(target) => ManifestContent::Link {
                target: target.clone(),
            },
        },
    }
}
