//! A tar archive: a whole root file system, or one layer of an OCI image.
//!
//! Owners and modes are kept, because the archive is pinned by its digest; times are dropped. Archives are
//! read in the dialects that GNU tar, BSD tar and Docker write (ustar, GNU, PAX).

use std::collections::BTreeMap;
use std::io::{Cursor, Read as _};
use std::sync::Arc;

use tar::EntryType;

use super::gzip;
use super::member::{Member, Members};
use crate::recipe::Patterns;
use crate::refusal::{Refusal, Rule};
use crate::tree::{
    Attributes, Entry, Kind, Limits, PathRule, Tree, TreePath, is_below_mount_point,
};

/// What one archive says.
#[derive(Debug, Default)]
pub(super) struct Layer {
    /// What it adds.
    pub(super) tree: Tree,
    /// What it removes from the layers below it.
    pub(super) whiteouts: Vec<Whiteout>,
}

/// A removal from the layers below (OCI image specification, "Whiteouts").
#[derive(Debug)]
pub(super) enum Whiteout {
    /// `.wh.NAME`: this path and what is below it.
    Path(TreePath),
    /// `.wh..wh..opq`: everything in this directory, or in the root.
    Below(Option<TreePath>),
}

/// Reads an archive, plain or packed with gzip, as a whole root file system.
///
/// # Errors
///
/// `archive.*`, `tree.*`; `subject` is what the archive is called in them.
pub fn read(subject: &str, bytes: &[u8], limits: &Limits) -> Result<Tree, Refusal> {
    let content = gzip::unpack(subject, bytes, limits.bytes.saturating_mul(2))?;
    Reader::new(subject, limits, None)
        .read(&content)
        .map(|layer| layer.tree)
}

/// Reads a layer that lies on `base`: whiteouts are told apart, and hard links may name files of `base`.
pub(super) fn read_layer(
    subject: &str,
    content: &[u8],
    base: &Tree,
    limits: &Limits,
) -> Result<Layer, Refusal> {
    Reader::new(subject, limits, Some(base)).read(content)
}

/// Removes what `exclude` matches, and what is below that.
///
/// # Errors
///
/// `recipe.files` for a pattern that matches nothing: what it should have kept out may be there under
/// another name.
pub fn exclude(tree: &mut Tree, exclude: &Patterns) -> Result<(), Refusal> {
    let mut matches: BTreeMap<usize, Vec<TreePath>> = BTreeMap::new();
    if exclude.is_empty() {
        return Ok(());
    }
    for (path, _) in tree.iter() {
        for index in exclude.matching(path) {
            matches.entry(index).or_default().push(path.clone());
        }
    }
    for (index, pattern) in exclude.texts().enumerate() {
        let Some(paths) = matches.get(&index) else {
            let detail = "excludes nothing; correct it, or leave it out";
            return Err(Refusal::new(Rule::RecipeFiles, pattern, detail));
        };
        for path in paths {
            tree.remove(path);
        }
    }
    Ok(())
}

struct Reader<'a> {
    subject: &'a str,
    limits: &'a Limits,
    base: Option<&'a Tree>,
    layer: Layer,
}

impl<'a> Reader<'a> {
    fn new(subject: &'a str, limits: &'a Limits, base: Option<&'a Tree>) -> Self {
        Self {
            subject,
            limits,
            base,
            layer: Layer::default(),
        }
    }

    fn malformed(&self, detail: impl core::fmt::Display) -> Refusal {
        Refusal::new(
            Rule::ArchiveFormat,
            self.subject,
            format!("is no sound tar archive: {detail}"),
        )
    }

    fn read(mut self, content: &[u8]) -> Result<Layer, Refusal> {
        let mut archive = tar::Archive::new(Cursor::new(content));
        let entries = archive.entries().map_err(|error| self.malformed(error))?;
        let mut members = Members::default();
        for (count, entry) in entries.enumerate() {
            let mut entry = entry.map_err(|error| self.malformed(error))?;
            if count >= self.limits.entries {
                let detail = format!("has more than {} entries", self.limits.entries);
                return Err(Refusal::new(Rule::TreeLimit, self.subject, detail));
            }
            self.entry(&mut entry, &mut members)?;
        }
        Ok(self.layer)
    }

    fn entry(&mut self, entry: &mut Member<'_, '_>, members: &mut Members) -> Result<(), Refusal> {
        let kind = entry.header().entry_type();
        let records = members
            .records(entry)
            .map_err(|error| self.malformed(error))?;
        if kind == EntryType::XGlobalHeader {
            return Ok(());
        }
        let path = entry.path_bytes().into_owned();
        let path = String::from_utf8(path).map_err(|error| {
            let shown = String::from_utf8_lossy(error.as_bytes())
                .escape_debug()
                .to_string();
            Refusal::new(Rule::TreePath, shown, "is not UTF-8")
        })?;
        if matches!(path.as_str(), "." | "./" | "/") && kind == EntryType::Directory {
            return Ok(()); // The root itself is the builder's.
        }
        let path = TreePath::parse(&path, PathRule::Archive)?;
        if self.base.is_some() && self.whiteout(&path)? {
            return Ok(());
        }
        if kind == EntryType::GNUSparse || records.sparse {
            let detail = "is a sparse file; pack it with `tar` without `--sparse`";
            return Err(Refusal::new(Rule::ArchiveSparse, path.absolute(), detail));
        }
        let mut tree_entry = match kind {
            EntryType::Directory => Entry::directory(self.attributes(entry)?),
            EntryType::Regular | EntryType::Continuous => {
                let attributes = self.attributes(entry)?;
                Entry::file(attributes, self.content(entry, &path)?)
            }
            EntryType::Symlink => {
                Entry::link(self.link_name(entry, Rule::TreeLinkTarget, &path)?)
            }
            EntryType::Link => self.hard_link(entry, &path)?,
            // `docker export` leaves devices there; what is below a mount point is dropped anyway.
            EntryType::Char | EntryType::Block | EntryType::Fifo if is_below_mount_point(&path) => {
                return Ok(());
            }
            _ => {
                let what = match kind {
                    EntryType::Char | EntryType::Block => "a device node",
                    EntryType::Fifo => "a named pipe",
                    _ => "of a kind that is not known",
                };
                let detail = format!("is {what}; images have files, directories and links only");
                return Err(Refusal::new(Rule::TreeKind, path.absolute(), detail));
            }
        };
        tree_entry.has_capability |= records.capability;
        self.layer.tree.insert(path, tree_entry, self.limits)
    }

    fn attributes(&self, entry: &Member<'_, '_>) -> Result<Attributes, Refusal> {
        let header = entry.header();
        let number = |value: std::io::Result<u64>| {
            value
                .map_err(|error| self.malformed(error))
                .and_then(|value| {
                    u32::try_from(value)
                        .map_err(|_| self.malformed("it has an owner above 32 bits"))
                })
        };
        let mode = header.mode().map_err(|error| self.malformed(error))? & 0o7777;
        Ok(Attributes {
            mode: u16::try_from(mode).map_err(|error| self.malformed(error))?,
            user: number(header.uid())?,
            group: number(header.gid())?,
        })
    }

    fn content(&self, entry: &mut Member<'_, '_>, path: &TreePath) -> Result<Vec<u8>, Refusal> {
        let size = entry.size();
        if size > self.limits.bytes {
            let detail = format!("is larger than {} bytes", self.limits.bytes);
            return Err(Refusal::new(Rule::TreeLimit, path.absolute(), detail));
        }
        let mut content = Vec::new();
        entry
            .read_to_end(&mut content)
            .map_err(|error| self.malformed(error))?;
        if content.len() as u64 != size {
            return Err(self.malformed(format!("it ends within `{}`", path.absolute())));
        }
        Ok(content)
    }

    fn link_name(
        &self,
        entry: &Member<'_, '_>,
        rule: Rule,
        path: &TreePath,
    ) -> Result<String, Refusal> {
        let target = entry.link_name_bytes().unwrap_or_default().into_owned();
        String::from_utf8(target)
            .map_err(|_| Refusal::new(rule, path.absolute(), "links to what is not UTF-8"))
    }

    /// A hard link names a file that came before, in this archive or in a layer below.
    fn hard_link(&self, entry: &Member<'_, '_>, path: &TreePath) -> Result<Entry, Refusal> {
        let refuse = |detail: String| Refusal::new(Rule::TreeHardLink, path.absolute(), detail);
        let target = self.link_name(entry, Rule::TreeHardLink, path)?;
        // Some writers give the target with the leading `/` that they took off the paths.
        let relative = target.strip_prefix('/').unwrap_or(&target);
        let target = TreePath::parse(relative, PathRule::Archive)
            .map_err(|error| refuse(format!("is a hard link whose target {}", error.detail())))?;
        let found = self.layer.tree.get(&target).or_else(|| self.lower(&target));
        match found {
            Some(Entry {
                attributes,
                kind: Kind::File(content),
                has_capability,
            }) => Ok(Entry {
                attributes: *attributes,
                kind: Kind::File(Arc::clone(content)),
                has_capability: *has_capability,
            }),
            Some(Entry {
                kind: Kind::Link(target),
                ..
            }) => Ok(Entry::link(target.clone())),
            Some(Entry {
                kind: Kind::Directory,
                ..
            })
            | None => Err(refuse(format!(
                "is a hard link to `{}`, which is no file before it",
                target.absolute()
            ))),
        }
    }

    /// What a layer below has at `path`, unless this one has put something in the way: behind a link it would
    /// be another file, for readers that follow it.
    fn lower(&self, path: &TreePath) -> Option<&Entry> {
        match self.layer.tree.deepest(path).map(|(_, entry)| &entry.kind) {
            None | Some(Kind::Directory) => self.base?.get(path),
            Some(Kind::File(_) | Kind::Link(_)) => None,
        }
    }

    /// Takes `path` as a whiteout if its name says so. No file of an image may have such a name, and so
    /// no directory on the way to one either.
    fn whiteout(&mut self, path: &TreePath) -> Result<bool, Refusal> {
        let mut above = path.relative().rsplit('/').skip(1);
        if let Some(parent) = above.find(|name| name.starts_with(".wh.")) {
            let detail =
                format!("lies in `{parent}`, which is the name of a whiteout and no directory");
            return Err(Refusal::new(Rule::OciWhiteout, path.absolute(), detail));
        }
        let Some(name) = path.name().strip_prefix(".wh.") else {
            return Ok(false);
        };
        let whiteout = if name == ".wh..opq" {
            Whiteout::Below(path.parent())
        } else if name.is_empty() || name.starts_with(".wh.") {
            let detail = "is a whiteout of no known kind";
            return Err(Refusal::new(Rule::OciWhiteout, path.absolute(), detail));
        } else {
            let refuse = |refusal: Refusal| {
                let detail = format!("is a whiteout of a path that {}", refusal.detail());
                Refusal::new(Rule::OciWhiteout, path.absolute(), detail)
            };
            Whiteout::Path(match path.parent() {
                Some(parent) => parent.join(name).map_err(refuse)?,
                None => TreePath::parse(&format!("/{name}"), PathRule::Absolute).map_err(refuse)?,
            })
        };
        // It is about the layers below; but readers that remove at once would lose what they just unpacked.
        if let Whiteout::Path(removed) = &whiteout
            && self.layer.tree.get(removed).is_some()
        {
            let detail = "removes what stands before it in the same layer";
            return Err(Refusal::new(Rule::OciWhiteout, path.absolute(), detail));
        }
        self.layer.whiteouts.push(whiteout);
        Ok(true)
    }
}
