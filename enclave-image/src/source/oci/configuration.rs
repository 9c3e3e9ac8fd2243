//! The image's configuration (OCI image specification, "OCI Image Configuration").

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::blobs::{Blob, document};
use super::layout::{is_wanted, platform_name};
use crate::digest::Sha256Digest;
use crate::eif::Architecture;
use crate::refusal::{Refusal, Rule};

/// What is taken from it.
pub(super) struct Parsed {
    pub(super) diff_ids: Vec<Sha256Digest>,
    pub(super) command: Vec<String>,
    pub(super) environment: BTreeMap<String, String>,
    pub(super) working_directory: Option<String>,
    pub(super) user: Option<String>,
    pub(super) notes: Vec<String>,
}

#[derive(Deserialize)]
struct Text {
    architecture: String,
    os: String,
    #[serde(default)]
    config: Option<Run>,
    rootfs: Rootfs,
}

/// Absent and `null` mean the same in it.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Run {
    user: Option<String>,
    env: Option<Vec<String>>,
    entrypoint: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
    working_dir: Option<String>,
    volumes: Option<BTreeMap<String, Value>>,
    healthcheck: Option<Value>,
}

#[derive(Deserialize)]
struct Rootfs {
    diff_ids: Vec<String>,
}

pub(super) fn parse(blob: &Blob<'_>, architecture: Architecture) -> Result<Parsed, Refusal> {
    let refuse = |detail: &str| Refusal::new(Rule::OciFormat, &blob.name, detail);
    let text: Text = document(&blob.name, blob.content)?;
    if !is_wanted(&text.os, &text.architecture, architecture) {
        let detail = format!(
            "is for {}/{}; the recipe is for linux/{}",
            text.os.escape_debug(),
            text.architecture.escape_debug(),
            platform_name(architecture)
        );
        return Err(Refusal::new(Rule::OciPlatform, &blob.name, detail));
    }
    let Run {
        user,
        env,
        entrypoint,
        cmd,
        working_dir,
        volumes,
        healthcheck,
    } = text.config.unwrap_or_default();
    let diff_ids = text
        .rootfs
        .diff_ids
        .iter()
        .map(|text| {
            text.strip_prefix("sha256:")
                .and_then(Sha256Digest::from_hex)
        })
        .collect::<Option<_>>()
        .ok_or_else(|| refuse("has a `diff_ids` entry that is no SHA-256 digest"))?;
    let mut environment = BTreeMap::new();
    for variable in env.unwrap_or_default() {
        let (name, value) = variable
            .split_once('=')
            .ok_or_else(|| refuse("has an `Env` entry without `=`"))?;
        // C takes the first of two, a shell the last.
        if environment
            .insert(name.to_owned(), value.to_owned())
            .is_some()
        {
            return Err(refuse("has a variable in `Env` twice"));
        }
    }
    let working_directory = working_dir.filter(|path| !path.is_empty());
    if working_directory
        .as_deref()
        .is_some_and(|path| !path.starts_with('/'))
    {
        return Err(refuse("has a `WorkingDir` that is not absolute"));
    }
    let mut notes = Vec::new();
    for volume in volumes.unwrap_or_default().keys() {
        notes.push(format!(
            "the image declares the volume {}; an enclave has no volumes, and its root is read-only",
            volume.escape_debug()
        ));
    }
    if healthcheck.is_some() {
        notes.push(
            "the image has a health check; an enclave does not run it, use counters instead".into(),
        );
    }
    Ok(Parsed {
        diff_ids,
        command: entrypoint
            .unwrap_or_default()
            .into_iter()
            .chain(cmd.unwrap_or_default())
            .collect(),
        environment,
        working_directory,
        user,
        notes,
    })
}
