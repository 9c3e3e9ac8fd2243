//! An OCI image in a tar archive: an image layout (OCI image specification 1.1), or what `docker save`
//! writes, old or new.
//!
//! Every blob's digest is verified against the descriptor that names it, and every unpacked layer against
//! the image's configuration; the archive as a whole is pinned by the recipe.

use std::collections::BTreeMap;

use self::blobs::Blobs;
use self::layout::Selected;
use super::{archive, gzip};
use crate::digest::Sha256Digest;
use crate::eif::Architecture;
use crate::refusal::{Refusal, Rule};
use crate::source::archive::Whiteout;
use crate::tree::{Kind, Limits, Tree};

mod blobs;
mod configuration;
mod layout;
mod user;

/// Most layers; Docker's own limit is 127.
const MAX_LAYERS: usize = 128;
/// Longest index, manifest or configuration, bytes; registries refuse longer ones.
const MAX_DOCUMENT_BYTES: usize = 4 * 1024 * 1024;

/// What an OCI image holds.
#[derive(Debug)]
pub struct OciImage {
    /// Its layers over each other.
    pub tree: Tree,
    /// How it is run.
    pub configuration: Configuration,
}

/// How an OCI image is run, as far as an enclave can do the same.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Configuration {
    /// `Entrypoint` and `Cmd`, one after the other.
    pub command: Vec<String>,
    /// `Env`.
    pub environment: BTreeMap<String, String>,
    /// `WorkingDir`, if it has one.
    pub working_directory: Option<String>,
    /// `User` as numbers, or why it has none; `None` if it is absent, which means 0. A recipe that says
    /// both itself does not mind.
    pub user: Option<Result<(u32, u32), Refusal>>,
    /// What the image asks for and an enclave does not give.
    pub notes: Vec<String>,
}

/// Reads an OCI image for `architecture`.
///
/// # Errors
///
/// `oci.*`, `archive.*`, `tree.*`; `subject` is what the archive is called in them.
pub fn read(
    subject: &str,
    bytes: &[u8],
    architecture: Architecture,
    limits: &Limits,
) -> Result<OciImage, Refusal> {
    let bytes = gzip::unpack(subject, bytes, limits.input_bytes)?;
    let blobs = Blobs::read(subject, &bytes, limits)?;
    let Selected {
        configuration,
        layers,
    } = layout::select(&blobs, architecture)?;
    let configuration = configuration::parse(&configuration, architecture)?;
    if layers.len() != configuration.diff_ids.len() || layers.len() > MAX_LAYERS {
        let detail = format!(
            "has {} layers, and its configuration {}; at most {MAX_LAYERS} are read",
            layers.len(),
            configuration.diff_ids.len()
        );
        return Err(Refusal::new(Rule::OciFormat, subject, detail));
    }
    let mut tree = Tree::new();
    for (layer, diff_id) in layers.iter().zip(&configuration.diff_ids) {
        let content = gzip::unpack(&layer.name, layer.content, limits.bytes.saturating_mul(2))?;
        if Sha256Digest::of(&content) != *diff_id {
            let detail = format!(
                "unpacks to something else than sha256:{diff_id}, which the configuration lists"
            );
            return Err(Refusal::new(Rule::OciDigest, &layer.name, detail));
        }
        apply(&mut tree, &layer.name, &content, limits)?;
    }
    let user = match configuration.user.as_deref() {
        None | Some("") => None,
        Some(user) => Some(user::resolve(user, &tree)),
    };
    Ok(OciImage {
        configuration: Configuration {
            command: configuration.command,
            environment: configuration.environment,
            working_directory: configuration.working_directory,
            user,
            notes: configuration.notes,
        },
        tree,
    })
}

/// Puts one layer over the others. Its whiteouts count for the layers below only, wherever they stand in it.
fn apply(tree: &mut Tree, name: &str, content: &[u8], limits: &Limits) -> Result<(), Refusal> {
    let layer = archive::read_layer(name, content, tree, limits)?;
    for whiteout in &layer.whiteouts {
        refuse_through_link(tree, &layer.tree, whiteout)?;
    }
    for whiteout in &layer.whiteouts {
        match whiteout {
            Whiteout::Path(path) => {
                tree.remove(path);
            }
            Whiteout::Below(Some(directory)) => {
                tree.remove_below(directory);
            }
            Whiteout::Below(None) => tree.clear(),
        }
    }
    tree.overlay(layer.tree, limits)
}

/// A whiteout behind a symbolic link of a lower layer removes what the link leads to for some readers, and
/// nothing for others. It is plain again if the layer puts a directory in the link's place.
fn refuse_through_link(lower: &Tree, layer: &Tree, whiteout: &Whiteout) -> Result<(), Refusal> {
    let directory = match whiteout {
        Whiteout::Path(path) => path.parent(),
        Whiteout::Below(directory) => directory.clone(),
    };
    let deepest = directory.and_then(|directory| lower.deepest(&directory));
    let Some((link, _)) = deepest.filter(|(_, entry)| matches!(entry.kind, Kind::Link(_))) else {
        return Ok(());
    };
    match layer.get(&link).map(|entry| &entry.kind) {
        Some(Kind::Directory | Kind::File(_)) => Ok(()),
        Some(Kind::Link(_)) | None => Err(Refusal::new(
            Rule::OciWhiteout,
            link.absolute(),
            "is a symbolic link in a lower layer, and a whiteout removes something behind it",
        )),
    }
}
