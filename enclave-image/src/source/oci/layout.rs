//! From the archive to the one image in it that is for Linux on the recipe's architecture.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::blobs::{Blob, Blobs, document, verify};
use crate::digest::Sha256Digest;
use crate::eif::Architecture;
use crate::refusal::{Refusal, Rule};

/// Indexes may name indexes; `docker buildx` needs two levels.
const MAX_INDEX_DEPTH: usize = 3;
/// Most descriptors of one index.
const MAX_DESCRIPTORS: usize = 256;

/// The blobs of one image.
pub(super) struct Selected<'a> {
    pub(super) configuration: Blob<'a>,
    /// From the lowest.
    pub(super) layers: Vec<Blob<'a>>,
}

#[derive(Deserialize)]
struct Index {
    manifests: Vec<Descriptor>,
    /// What only a manifest has.
    layers: Option<IgnoredAny>,
}

#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    #[serde(default)]
    media_type: String,
    digest: String,
    size: u64,
    platform: Option<Platform>,
}

#[derive(Clone, Deserialize)]
struct Platform {
    architecture: String,
    os: String,
}

#[derive(Deserialize)]
struct Manifest {
    config: Descriptor,
    layers: Vec<Descriptor>,
    /// What only an index has.
    manifests: Option<IgnoredAny>,
}

/// One element of `manifest.json`, which `docker save` writes.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    layers: Vec<String>,
}

/// What of a configuration says what it is for.
#[derive(Deserialize)]
struct ConfigurationPlatform {
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    os: String,
}

pub(super) fn select<'a>(
    blobs: &Blobs<'a>,
    architecture: Architecture,
) -> Result<Selected<'a>, Refusal> {
    // Docker 25 and later write both; the index has the digests.
    if let Some(index) = blobs.find("index.json") {
        let index: Index = document("index.json", index)?;
        let selected = select_by_index(blobs, index, architecture)?;
        check_saved(blobs, &selected, architecture)?;
        return Ok(selected);
    }
    match blobs.find("manifest.json") {
        Some(saved) => select_saved(blobs, document("manifest.json", saved)?),
        None => Err(Refusal::new(
            Rule::OciFormat,
            blobs.subject(),
            "has neither `index.json` nor `manifest.json`; is it an image saved by `docker save` or `skopeo copy … oci-archive:`?",
        )),
    }
}

fn select_by_index<'a>(
    blobs: &Blobs<'a>,
    index: Index,
    architecture: Architecture,
) -> Result<Selected<'a>, Refusal> {
    let mut found = Found::default();
    collect(blobs, index, architecture, MAX_INDEX_DEPTH, &mut found)?;
    let mut found = found.manifests.into_iter();
    match (found.next(), found.next()) {
        (Some(one), None) => one.select(blobs),
        (None, _) => Err(Refusal::new(
            Rule::OciPlatform,
            blobs.subject(),
            format!(
                "has no image for linux/{}; build it for that platform",
                platform_name(architecture)
            ),
        )),
        (Some(_), Some(_)) => Err(Refusal::new(
            Rule::OciPlatform,
            blobs.subject(),
            format!(
                "has several images for linux/{}; save one only",
                platform_name(architecture)
            ),
        )),
    }
}

/// What the indexes named so far.
#[derive(Default)]
struct Found {
    /// Manifests for this platform.
    manifests: Vec<Manifest>,
    /// Indexes and manifests that were read. Each is read once: indexes that name each other many times
    /// would be read millions of times.
    read: BTreeSet<Sha256Digest>,
}

/// Gathers the manifests for this platform, each once.
fn collect(
    blobs: &Blobs<'_>,
    index: Index,
    architecture: Architecture,
    depth: usize,
    found: &mut Found,
) -> Result<(), Refusal> {
    if index.layers.is_some() {
        return Err(both(blobs));
    }
    if index.manifests.len() > MAX_DESCRIPTORS {
        let detail = format!("an index names more than {MAX_DESCRIPTORS} manifests");
        return Err(Refusal::new(Rule::OciFormat, blobs.subject(), detail));
    }
    for descriptor in index.manifests {
        if let Some(platform) = &descriptor.platform
            && !is_wanted(&platform.os, &platform.architecture, architecture)
        {
            continue; // Another platform, or `unknown/unknown`: an attestation about the image.
        }
        match descriptor.media_type.as_str() {
            "application/vnd.oci.image.index.v1+json"
            | "application/vnd.docker.distribution.manifest.list.v2+json" => {
                let Some(depth) = depth.checked_sub(1) else {
                    let detail = "its indexes are nested too deep";
                    return Err(Refusal::new(Rule::OciFormat, blobs.subject(), detail));
                };
                if !found.read.insert(descriptor.sha256()?) {
                    continue;
                }
                let blob = descriptor.blob(blobs)?;
                collect(
                    blobs,
                    document(&blob.name, blob.content)?,
                    architecture,
                    depth,
                    found,
                )?;
            }
            "application/vnd.oci.image.manifest.v1+json"
            | "application/vnd.docker.distribution.manifest.v2+json" => {
                if !found.read.insert(descriptor.sha256()?) {
                    continue;
                }
                let blob = descriptor.blob(blobs)?;
                let manifest: Manifest = document(&blob.name, blob.content)?;
                if manifest.manifests.is_some() {
                    return Err(both(blobs));
                }
                let configuration = manifest.config.blob(blobs)?;
                let platform: ConfigurationPlatform =
                    document(&configuration.name, configuration.content)?;
                if is_wanted(&platform.os, &platform.architecture, architecture) {
                    found.manifests.push(manifest);
                }
            }
            other => {
                let detail = format!(
                    "names something of the unknown type `{}`",
                    other.escape_debug()
                );
                return Err(Refusal::new(Rule::OciFormat, "index.json", detail));
            }
        }
    }
    Ok(())
}

/// Which of the two such a document is would depend on who reads it.
fn both(blobs: &Blobs<'_>) -> Refusal {
    let detail = "has a document that is an index and a manifest at once";
    Refusal::new(Rule::OciFormat, blobs.subject(), detail)
}

impl Manifest {
    fn select<'a>(&self, blobs: &Blobs<'a>) -> Result<Selected<'a>, Refusal> {
        for layer in &self.layers {
            layer.check_layer_type()?;
        }
        Ok(Selected {
            configuration: self.config.blob(blobs)?,
            layers: self
                .layers
                .iter()
                .map(|layer| layer.blob(blobs))
                .collect::<Result<_, _>>()?,
        })
    }
}

/// What `manifest.json` beside the index says of this platform must be the same image: `docker load` and
/// others read the one or the other.
fn check_saved(
    blobs: &Blobs<'_>,
    selected: &Selected<'_>,
    architecture: Architecture,
) -> Result<(), Refusal> {
    let Some(saved) = blobs.find("manifest.json") else {
        return Ok(());
    };
    let saved: Vec<Saved> = document("manifest.json", saved)?;
    for configuration in saved.iter().filter_map(|saved| blobs.find(&saved.config)) {
        let platform: ConfigurationPlatform = document("manifest.json", configuration)?;
        if is_wanted(&platform.os, &platform.architecture, architecture)
            && configuration != selected.configuration.content
        {
            let detail = "names another image than `index.json`; save one image, in one form";
            return Err(Refusal::new(Rule::OciFormat, "manifest.json", detail));
        }
    }
    Ok(())
}

fn select_saved<'a>(blobs: &Blobs<'a>, saved: Vec<Saved>) -> Result<Selected<'a>, Refusal> {
    let [saved] = saved.as_slice() else {
        let detail = "has no image, or several; save one only";
        return Err(Refusal::new(Rule::OciPlatform, blobs.subject(), detail));
    };
    let configuration = blobs.named(&saved.config)?;
    // The name is the digest, and the digest is the image's id. Layers are verified by what the
    // configuration says of their content.
    let name = saved.config.rsplit('/').next().unwrap_or_default();
    let name = name.strip_suffix(".json").unwrap_or(name);
    let Some(sha256) = Sha256Digest::from_hex(name) else {
        let detail = "is not named by its digest";
        return Err(Refusal::new(Rule::OciFormat, configuration.name, detail));
    };
    verify(&configuration, sha256)?;
    Ok(Selected {
        configuration,
        layers: saved
            .layers
            .iter()
            .map(|name| blobs.named(name))
            .collect::<Result<_, _>>()?,
    })
}

impl Descriptor {
    fn sha256(&self) -> Result<Sha256Digest, Refusal> {
        self.digest
            .strip_prefix("sha256:")
            .and_then(Sha256Digest::from_hex)
            .ok_or_else(|| {
                let subject = self.digest.escape_debug().to_string();
                Refusal::new(Rule::OciFormat, subject, "is no SHA-256 digest")
            })
    }

    fn blob<'a>(&self, blobs: &Blobs<'a>) -> Result<Blob<'a>, Refusal> {
        let blob = blobs.verified(self.sha256()?)?;
        if blob.content.len() as u64 != self.size {
            let detail = format!(
                "has {} bytes, and its descriptor says {}",
                blob.content.len(),
                self.size
            );
            return Err(Refusal::new(Rule::OciDigest, blob.name, detail));
        }
        Ok(blob)
    }

    /// Packing is told by content, not by type; but a layer that is encrypted, or no layer at all, must not
    /// be read as something else.
    fn check_layer_type(&self) -> Result<(), Refusal> {
        let shown = self.media_type.escape_debug();
        if self.media_type.contains("zstd") {
            let detail = format!(
                "is of the type `{shown}`; build the image with gzip layers (`--output …,compression=gzip,force-compression=true`)"
            );
            return Err(Refusal::new(Rule::ArchiveCompression, &self.digest, detail));
        }
        let known = [
            "application/vnd.oci.image.layer.",
            "application/vnd.docker.image.rootfs.diff.tar",
        ]
        .iter()
        .any(|prefix| self.media_type.starts_with(prefix));
        if known && !self.media_type.contains("encrypted") {
            return Ok(());
        }
        let detail = format!("is a layer of the unknown type `{shown}`");
        Err(Refusal::new(
            Rule::OciFormat,
            self.digest.escape_debug().to_string(),
            detail,
        ))
    }
}

pub(super) fn is_wanted(os: &str, name: &str, architecture: Architecture) -> bool {
    os == "linux" && name == platform_name(architecture)
}

/// Go's names, which OCI uses.
pub(super) const fn platform_name(architecture: Architecture) -> &'static str {
    match architecture {
        Architecture::X86_64 => "amd64",
        Architecture::Aarch64 => "arm64",
    }
}
