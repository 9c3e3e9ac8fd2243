//! The workload's root file system: read, trimmed, and given its mount points.

use super::input;
use super::inputs::WorkloadInput;
use crate::manifest::Input;
use crate::recipe::{Recipe, WorkloadSource};
use crate::refusal::{Refusal, Rule};
use crate::source::oci::Configuration;
use crate::source::{archive, folder, oci};
use crate::tree::{Attributes, Entry, Limits, MOUNT_POINTS, PathRule, Tree, TreePath};

/// Debian and others have it open to everybody. The root is read-only, so nobody can use it anyway.
const OTHER_TEMPORARY: &str = "var/tmp";

/// A root as its source gives it.
pub(super) struct Root {
    pub(super) tree: Tree,
    pub(super) configuration: Option<Configuration>,
    /// The archive it came from.
    pub(super) archive: Option<Input>,
    pub(super) notes: Vec<String>,
}

pub(super) fn read(
    recipe: &Recipe,
    workload: WorkloadInput,
    limits: &Limits,
) -> Result<Root, Refusal> {
    let name = match &recipe.workload.source {
        WorkloadSource::Folder { root, .. } => folder::show(root),
        WorkloadSource::Archive(file) | WorkloadSource::Oci(file) => folder::show(&file.path),
    };
    Ok(match workload {
        WorkloadInput::Folder(tree) => Root {
            tree,
            configuration: None,
            archive: None,
            notes: Vec::new(),
        },
        WorkloadInput::Archive(bytes) => Root {
            tree: archive::read(&name, &bytes, limits)?,
            configuration: None,
            archive: Some(input(&bytes)),
            notes: Vec::new(),
        },
        WorkloadInput::Oci(bytes) => {
            let image = oci::read(&name, &bytes, recipe.image.architecture, limits)?;
            Root {
                tree: image.tree,
                notes: image.configuration.notes.clone(),
                configuration: Some(image.configuration),
                archive: Some(input(&bytes)),
            }
        }
    })
}

/// A folder's files were left out while it was read.
pub(super) fn exclude(recipe: &Recipe, tree: &mut Tree) -> Result<(), Refusal> {
    match recipe.workload.source {
        WorkloadSource::Folder { .. } => Ok(()),
        WorkloadSource::Archive(_) | WorkloadSource::Oci(_) => {
            archive::exclude(tree, &recipe.workload.exclude)
        }
    }
}

/// Makes the mount points empty directories of 0:0 and 0755, whatever they were.
pub(super) fn finish(
    tree: &mut Tree,
    notes: &mut Vec<String>,
    limits: &Limits,
) -> Result<(), Refusal> {
    for point in MOUNT_POINTS {
        let path = own_path(point)?;
        if let Some(entry) = tree.get(&path)
            && !matches!(entry.kind, crate::tree::Kind::Directory)
        {
            let detail = "is where the agent mounts something, so it must be a directory or absent";
            return Err(Refusal::new(Rule::TreeMountPoint, path.absolute(), detail));
        }
        let dropped = tree.remove(&path).saturating_sub(1);
        if dropped > 0 {
            notes.push(format!(
                "{dropped} entries below {} were left out: the agent mounts something there",
                path.absolute()
            ));
        }
        tree.insert(path, Entry::directory(Attributes::root(0o755)), limits)?;
    }
    let path = own_path(OTHER_TEMPORARY)?;
    let open = tree.get(&path).is_some_and(|entry| {
        matches!(entry.kind, crate::tree::Kind::Directory)
            && entry.attributes.mode & 0o1002 == 0o1002
    });
    if open {
        tree.remove(&path);
        tree.insert(path, Entry::directory(Attributes::root(0o755)), limits)?;
        notes.push("/var/tmp was made an empty directory that nobody may write: the root is read-only, use /tmp".into());
    }
    Ok(())
}

/// A path of the builder's own.
pub(super) fn own_path(relative: &str) -> Result<TreePath, Refusal> {
    TreePath::parse(&format!("/{relative}"), PathRule::Absolute)
}
