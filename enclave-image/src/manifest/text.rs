//! The manifest as JSON: field names and order.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Manifest, ManifestContent, PREDICATE_TYPE, STATEMENT_TYPE};
use crate::recipe::Compression;

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Statement {
    #[serde(rename = "_type")]
    pub(super) statement_type: String,
    pub(super) subject: Vec<Subject>,
    #[serde(rename = "predicateType")]
    pub(super) predicate_type: String,
    pub(super) predicate: Predicate,
}

/// What says of a statement whether the rest can be understood at all.
#[derive(Deserialize)]
pub(super) struct Types {
    #[serde(rename = "_type")]
    pub(super) statement_type: String,
    #[serde(rename = "predicateType")]
    pub(super) predicate_type: String,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Subject {
    pub(super) name: String,
    pub(super) digest: SubjectDigest,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SubjectDigest {
    pub(super) sha256: String,
    pub(super) sha384: String,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Predicate {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) architecture: String,
    pub(super) measurements: Measurements,
    pub(super) insecure: Vec<String>,
    pub(super) runtimes: Vec<String>,
    pub(super) memory_mib: u64,
    pub(super) command_line: String,
    pub(super) compression: Compression,
    pub(super) recipe: Recipe,
    pub(super) toolchain: BTreeMap<String, String>,
    pub(super) inputs: Vec<Input>,
    pub(super) files: Vec<File>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Measurements {
    pub(super) pcr0: String,
    pub(super) pcr1: String,
    pub(super) pcr2: String,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Recipe {
    pub(super) sha256: String,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Input {
    pub(super) name: String,
    pub(super) sha256: String,
    pub(super) size: u64,
}

/// A directory has neither of the last three, a file the first two of them, a link the third.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) path: String,
    pub(super) kind: Kind,
    pub(super) mode: String,
    pub(super) owner: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) size: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) sha256: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) target: Option<String>,
}

#[derive(Clone, Copy, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    Directory,
    File,
    Link,
}

impl From<&Manifest> for Statement {
    fn from(manifest: &Manifest) -> Self {
        let Manifest {
            image_sha256,
            image_sha384,
            name,
            version,
            architecture,
            measurements,
            recipe_sha256,
            command_line,
            compression,
            memory_mib,
            runtimes,
            insecure,
            toolchain,
            inputs,
            files,
        } = manifest;
        Self {
            statement_type: STATEMENT_TYPE.into(),
            subject: vec![Subject {
                name: subject_name(name, version),
                digest: SubjectDigest {
                    sha256: image_sha256.to_string(),
                    sha384: image_sha384.to_string(),
                },
            }],
            predicate_type: PREDICATE_TYPE.into(),
            predicate: Predicate {
                name: name.clone(),
                version: version.clone(),
                architecture: architecture.name().into(),
                measurements: Measurements {
                    pcr0: measurements.pcr0.to_string(),
                    pcr1: measurements.pcr1.to_string(),
                    pcr2: measurements.pcr2.to_string(),
                },
                insecure: insecure.iter().map(|item| item.name().into()).collect(),
                runtimes: runtimes.iter().map(|item| item.name().into()).collect(),
                memory_mib: *memory_mib,
                command_line: command_line.clone(),
                compression: *compression,
                recipe: Recipe {
                    sha256: recipe_sha256.to_string(),
                },
                toolchain: toolchain.clone(),
                inputs: inputs
                    .iter()
                    .map(|(name, input)| Input {
                        name: name.clone(),
                        sha256: input.sha256.to_string(),
                        size: input.size,
                    })
                    .collect(),
                files: files
                    .iter()
                    .map(|(path, file)| File::new(path.absolute(), file))
                    .collect(),
            },
        }
    }
}

impl File {
    fn new(path: String, file: &super::ManifestFile) -> Self {
        let (kind, size, sha256, target) = match &file.content {
            ManifestContent::Directory => (Kind::Directory, None, None, None),
            ManifestContent::File { size, sha256 } => {
                (Kind::File, Some(*size), Some(sha256.to_string()), None)
            }
            ManifestContent::Link { target } => (Kind::Link, None, None, Some(target.clone())),
        };
        Self {
            path,
            kind,
            mode: format!("{:04o}", file.mode),
            owner: format!("{}:{}", file.user, file.group),
            size,
            sha256,
            target,
        }
    }
}

/// What the image's file is called in the statement.
pub(super) fn subject_name(name: &str, version: &str) -> String {
    format!("{name}-{version}.eif")
}
