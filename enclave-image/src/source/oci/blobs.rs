//! The files of the outer archive, by name.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Cursor;

use serde_json::Value;
use tar::EntryType;

use super::super::member::Members;
use super::MAX_DOCUMENT_BYTES;
use crate::digest::Sha256Digest;
use crate::refusal::{Refusal, Rule};
use crate::tree::{Limits, PathRule, TreePath};

/// Names and contents; contents are slices of the archive.
pub(super) struct Blobs<'a> {
    subject: &'a str,
    files: BTreeMap<String, File<'a>>,
}

enum File<'a> {
    Content(&'a [u8]),
    /// Old versions of Docker save a layer that occurs twice as a symbolic link.
    Link(String),
}

/// A blob and what to call it.
pub(super) struct Blob<'a> {
    pub(super) name: String,
    pub(super) content: &'a [u8],
}

impl<'a> Blobs<'a> {
    pub(super) fn read(
        subject: &'a str,
        bytes: &'a [u8],
        limits: &Limits,
    ) -> Result<Self, Refusal> {
        let malformed = |detail: &dyn core::fmt::Display| {
            let detail = format!("is no sound tar archive: {detail}");
            Refusal::new(Rule::ArchiveFormat, subject, detail)
        };
        let mut files = BTreeMap::new();
        let mut archive = tar::Archive::new(Cursor::new(bytes));
        let mut members = Members::default();
        for entry in archive.entries().map_err(|error| malformed(&error))? {
            let mut entry = entry.map_err(|error| malformed(&error))?;
            if files.len() >= limits.entries {
                let detail = format!("has more than {} entries", limits.entries);
                return Err(Refusal::new(Rule::TreeLimit, subject, detail));
            }
            let records = members
                .records(&mut entry)
                .map_err(|error| malformed(&error))?;
            let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            if records.sparse {
                let detail = "has a sparse file; pack it with `tar` without `--sparse`";
                return Err(Refusal::new(Rule::ArchiveSparse, subject, detail));
            }
            let file = match entry.header().entry_type() {
                EntryType::Regular | EntryType::Continuous => {
                    let range = usize::try_from(entry.raw_file_position())
                        .ok()
                        .zip(usize::try_from(entry.size()).ok())
                        .and_then(|(start, size)| bytes.get(start..start.checked_add(size)?));
                    File::Content(range.ok_or_else(|| {
                        malformed(&format!("it ends within `{}`", name.escape_debug()))
                    })?)
                }
                EntryType::Symlink => {
                    let target = entry.link_name_bytes().unwrap_or_default().into_owned();
                    File::Link(String::from_utf8_lossy(&target).into_owned())
                }
                EntryType::Directory | EntryType::XGlobalHeader => continue,
                _ => {
                    let detail = "is no file, directory or symbolic link, which is all that an image's archive has";
                    let shown = name.escape_debug().to_string();
                    return Err(Refusal::new(Rule::TreeKind, shown, detail));
                }
            };
            let path = TreePath::parse(&name, PathRule::Archive)?;
            if files.insert(path.relative().to_owned(), file).is_some() {
                let detail = "occurs twice in the image's archive";
                return Err(Refusal::new(Rule::TreeDuplicate, path.relative(), detail));
            }
        }
        Ok(Self { subject, files })
    }

    /// The archive's own name, for messages.
    pub(super) const fn subject(&self) -> &str {
        self.subject
    }

    /// The content of a file, if it is there.
    pub(super) fn find(&self, name: &str) -> Option<&'a [u8]> {
        match self.files.get(name)? {
            File::Content(content) => Some(content),
            File::Link(target) => {
                let link = TreePath::parse(name, PathRule::Archive).ok()?;
                let target = link.through_link(&link, target)?;
                // One step: that is all that Docker writes.
                match self.files.get(target.relative())? {
                    File::Content(content) => Some(content),
                    File::Link(_) => None,
                }
            }
        }
    }

    /// The file of this name.
    pub(super) fn named(&self, name: &str) -> Result<Blob<'a>, Refusal> {
        let shown = name.escape_debug().to_string();
        match self.find(name) {
            Some(content) => Ok(Blob {
                name: shown,
                content,
            }),
            None => {
                let detail = format!(
                    "is not in {}, which names it; save the image again",
                    self.subject
                );
                Err(Refusal::new(Rule::OciMissing, shown, detail))
            }
        }
    }

    /// The blob of this digest, verified.
    pub(super) fn verified(&self, sha256: Sha256Digest) -> Result<Blob<'a>, Refusal> {
        let blob = self.named(&format!("blobs/sha256/{sha256}"))?;
        verify(&blob, sha256)?;
        Ok(blob)
    }
}

pub(super) fn verify(blob: &Blob<'_>, sha256: Sha256Digest) -> Result<(), Refusal> {
    let found = Sha256Digest::of(blob.content);
    if found == sha256 {
        return Ok(());
    }
    let detail = format!("has the digest sha256:{found}, not the one by which it is named");
    Err(Refusal::new(Rule::OciDigest, &blob.name, detail))
}

/// Reads one JSON document of the image.
pub(super) fn document<T: serde::de::DeserializeOwned>(
    name: &str,
    content: &[u8],
) -> Result<T, Refusal> {
    let refuse = |detail: String| Refusal::new(Rule::OciFormat, name, detail);
    if content.len() > MAX_DOCUMENT_BYTES {
        return Err(refuse(format!("is longer than {MAX_DOCUMENT_BYTES} bytes")));
    }
    let malformed = |error: serde_json::Error| refuse(format!("is malformed: {error}"));
    if !names_are_distinct(&serde_json::from_slice(content).map_err(malformed)?) {
        return Err(refuse("has two names that differ in case only".into()));
    }
    serde_json::from_slice(content).map_err(malformed)
}

/// Go, in which most other readers are written, takes `LAYERS` for `layers`, and of the two the last. Only
/// where names are not fixed are these two names.
fn names_are_distinct(value: &Value) -> bool {
    const FREE: [&str; 4] = ["annotations", "ExposedPorts", "Labels", "Volumes"];
    match value {
        Value::Array(values) => values.iter().all(names_are_distinct),
        Value::Object(members) => {
            let mut seen = BTreeSet::new();
            members.iter().all(|(name, value)| {
                seen.insert(name.to_uppercase())
                    && (FREE.contains(&name.as_str()) || names_are_distinct(value))
            })
        }
        _ => true,
    }
}
