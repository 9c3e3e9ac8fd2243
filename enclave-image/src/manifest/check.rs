//! Bytes → manifest.

use std::collections::BTreeMap;

use super::{
    Input, Insecure, MAX_MANIFEST_BYTES, Manifest, ManifestContent, ManifestFile,
    ManifestMeasurements, PREDICATE_TYPE, STATEMENT_TYPE, text,
};
use crate::digest::{Sha256Digest, Sha384Digest};
use crate::eif::Architecture;
use crate::recipe::{Runtime, is_release_name};
use crate::refusal::{Refusal, Rule};
use crate::tree::{PathRule, TreePath};

type Checked<T> = Result<T, Refusal>;

pub(super) fn manifest(bytes: &[u8]) -> Checked<Manifest> {
    let format = |detail: String| Refusal::new(Rule::ManifestFormat, "manifest", detail);
    if bytes.len() > MAX_MANIFEST_BYTES {
        return Err(format(format!("is longer than {MAX_MANIFEST_BYTES} bytes")));
    }
    // The types first: another statement or version must be refused as that, not by its fields.
    let types: text::Types =
        serde_json::from_slice(bytes).map_err(|error| format(error.to_string()))?;
    for (field, found, known) in [
        ("_type", types.statement_type, STATEMENT_TYPE),
        ("predicateType", types.predicate_type, PREDICATE_TYPE),
    ] {
        if found != known {
            let detail = format!(
                "is `{}`; this program knows `{known}`",
                found.escape_debug()
            );
            return Err(Refusal::new(Rule::ManifestType, field, detail));
        }
    }
    let statement: text::Statement =
        serde_json::from_slice(bytes).map_err(|error| format(error.to_string()))?;
    let manifest = convert(statement)?;
    // One spelling: what two people signed is the same bytes, and nothing hides between fields.
    if manifest.to_json().as_bytes() != bytes {
        return Err(Refusal::new(
            Rule::ManifestSpelling,
            "manifest",
            "has the right content in another spelling than `narthex image build` writes; use the file as it was built",
        ));
    }
    Ok(manifest)
}

fn convert(statement: text::Statement) -> Checked<Manifest> {
    let text::Statement {
        statement_type: _,
        subject,
        predicate_type: _,
        predicate,
    } = statement;
    let text::Predicate {
        name,
        version,
        architecture,
        measurements,
        insecure,
        runtimes,
        memory_mib,
        command_line,
        compression,
        recipe,
        toolchain,
        inputs,
        files,
    } = predicate;
    require(is_release_name(&name), "name", "is not a release's name")?;
    require(
        is_release_name(&version),
        "version",
        "is not a release's version",
    )?;
    let [subject] = subject.as_slice() else {
        return Err(field("subject", "must be exactly one"));
    };
    require(
        subject.name == text::subject_name(&name, &version),
        "subject.name",
        "must be NAME-VERSION.eif",
    )?;
    require(memory_mib > 0, "memory_mib", "must not be 0")?;
    let measurements = ManifestMeasurements {
        pcr0: register("measurements.pcr0", &measurements.pcr0)?,
        pcr1: register("measurements.pcr1", &measurements.pcr1)?,
        pcr2: register("measurements.pcr2", &measurements.pcr2)?,
    };
    Ok(Manifest {
        image_sha256: sha256("subject.digest.sha256", &subject.digest.sha256)?,
        image_sha384: sha384("subject.digest.sha384", &subject.digest.sha384)?,
        architecture: Architecture::from_name(&architecture)
            .ok_or_else(|| field("architecture", "is not known"))?,
        name,
        version,
        measurements,
        recipe_sha256: sha256("recipe.sha256", &recipe.sha256)?,
        command_line,
        compression,
        memory_mib,
        runtimes: rising("runtimes", &runtimes, Runtime::from_name)?,
        insecure: rising("insecure", &insecure, Insecure::from_name)?,
        toolchain,
        inputs: map("inputs", inputs, |input| {
            let sha256 = sha256("inputs.sha256", &input.sha256)?;
            Ok((
                input.name,
                Input {
                    sha256,
                    size: input.size,
                },
            ))
        })?,
        files: map("files", files, file)?,
    })
}

fn file(text: text::File) -> Checked<(TreePath, ManifestFile)> {
    let path = TreePath::parse(&text.path, PathRule::Absolute)
        .map_err(|refusal| field("files.path", refusal.detail()))?;
    let mode = u16::from_str_radix(&text.mode, 8)
        .ok()
        .filter(|mode| *mode <= 0o7777)
        .ok_or_else(|| field("files.mode", "must be four octal digits"))?;
    let (user, group) = text
        .owner
        .split_once(':')
        .and_then(|(user, group)| Some((user.parse().ok()?, group.parse().ok()?)))
        .ok_or_else(|| field("files.owner", "must be USER:GROUP in numbers"))?;
    let content = match (text.kind, text.size, text.sha256, text.target) {
        (text::Kind::Directory, None, None, None) => ManifestContent::Directory,
        (text::Kind::File, Some(size), Some(digest), None) => ManifestContent::File {
            size,
            sha256: sha256("files.sha256", &digest)?,
        },
        (text::Kind::Link, None, None, Some(target)) => ManifestContent::Link { target },
        _ => {
            let detail = "a file has size and sha256, a link has target, a directory neither";
            return Err(field("files.kind", detail));
        }
    };
    Ok((
        path,
        ManifestFile {
            mode,
            user,
            group,
            content,
        },
    ))
}

/// A list whose elements rise, which is what makes its spelling one.
fn rising<T: Copy + Ord>(
    name: &str,
    texts: &[String],
    read: fn(&str) -> Option<T>,
) -> Checked<Vec<T>> {
    let values: Vec<T> = texts
        .iter()
        .map(|text| read(text))
        .collect::<Option<_>>()
        .ok_or_else(|| field(name, "has a word that this program does not know"))?;
    require(
        values.is_sorted_by(|before, after| before < after),
        name,
        "must be sorted, each once",
    )?;
    Ok(values)
}

/// The same for a list of named things.
fn map<T, K: Ord, V>(
    name: &str,
    texts: Vec<T>,
    read: impl Fn(T) -> Checked<(K, V)>,
) -> Checked<BTreeMap<K, V>> {
    let mut values = BTreeMap::new();
    for text in texts {
        let (key, value) = read(text)?;
        let rises = values
            .last_key_value()
            .is_none_or(|(before, _)| *before < key);
        require(rises, name, "must be sorted, each once")?;
        values.insert(key, value);
    }
    Ok(values)
}

/// A register of zeros is what an enclave in debug mode has; it must never be expected.
fn register(name: &str, text: &str) -> Checked<Sha384Digest> {
    let digest = sha384(name, text)?;
    require(digest.as_bytes() != &[0; 48], name, "must not be zero")?;
    Ok(digest)
}

fn sha256(name: &str, text: &str) -> Checked<Sha256Digest> {
    Sha256Digest::from_hex(text)
        .ok_or_else(|| field(name, "must be 64 lower-case hexadecimal digits"))
}

fn sha384(name: &str, text: &str) -> Checked<Sha384Digest> {
    Sha384Digest::from_hex(text)
        .ok_or_else(|| field(name, "must be 96 lower-case hexadecimal digits"))
}

fn require(holds: bool, name: &str, detail: &str) -> Checked<()> {
    if holds {
        Ok(())
    } else {
        Err(field(name, detail))
    }
}

fn field(name: &str, detail: &str) -> Refusal {
    Refusal::new(Rule::ManifestField, name, detail)
}
