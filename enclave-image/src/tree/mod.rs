//! A file tree in memory: what becomes the workload's root file system.
//!
//! The rules hold for every tree, wherever it comes from. The most important one: an entry's parent is
//! always a directory, never a symbolic link. The kernel unpacks ramdisks by path and follows links, so
//! that `rootfs/x -> /` and then `rootfs/x/init` would replace the agent itself.

use std::collections::btree_map::Entry as Slot;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub use self::path::{MAX_PATH_BYTES, PathRule, TreePath};
use crate::refusal::{Refusal, Rule};

mod path;

/// Directories that the agent mounts something on before the workload starts, without the leading `/`.
/// Every image has them, empty; what an input has below them would be measured and never seen.
pub const MOUNT_POINTS: [&str; 4] = ["dev", "proc", "run", "tmp"];

/// Whether `path` lies below one of [`MOUNT_POINTS`].
pub(crate) fn is_below_mount_point(path: &TreePath) -> bool {
    MOUNT_POINTS.iter().any(|point| {
        path.relative()
            .strip_prefix(point)
            .is_some_and(|rest| rest.starts_with('/'))
    })
}

/// How large a tree may be, and what is read to make one.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Entries of a tree, and of each archive that is read.
    pub entries: usize,
    /// Bytes of all files of a tree, and bytes that an archive unpacks to.
    pub bytes: u64,
    /// Bytes of one input file as it is on disk.
    pub input_bytes: u64,
}

impl Limits {
    /// What [`crate::build::build`] uses. Everything is in memory at once, a few times over; whoever has a
    /// larger workload should fetch its data when it runs, for an image is loaded whole at every start.
    pub const DEFAULT: Self = Self {
        entries: 100_000,
        bytes: 1 << 30,
        input_bytes: 1 << 30,
    };
}

/// Who owns an entry and who may do what with it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Attributes {
    /// Permission bits, with set-user-id, set-group-id and sticky: at most `0o7777`.
    pub mode: u16,
    /// Numeric user id.
    pub user: u32,
    /// Numeric group id.
    pub group: u32,
}

impl Attributes {
    /// Owned by 0:0 with these permission bits.
    #[must_use]
    pub const fn root(mode: u16) -> Self {
        Self {
            mode,
            user: 0,
            group: 0,
        }
    }
}

/// What an entry is. There are no devices, pipes or sockets.
#[derive(Clone, Debug)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A regular file. Hard links are files that share their content.
    File(Arc<[u8]>),
    /// A symbolic link.
    Link(String),
}

/// One entry.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Owner and mode.
    pub attributes: Attributes,
    /// Directory, file or link.
    pub kind: Kind,
    /// Whether the archive gave it Linux capabilities, which a ramdisk cannot carry.
    pub has_capability: bool,
}

impl Entry {
    /// A directory.
    #[must_use]
    pub const fn directory(attributes: Attributes) -> Self {
        Self {
            attributes,
            kind: Kind::Directory,
            has_capability: false,
        }
    }

    /// A file.
    #[must_use]
    pub fn file(attributes: Attributes, content: impl Into<Arc<[u8]>>) -> Self {
        Self {
            attributes,
            kind: Kind::File(content.into()),
            has_capability: false,
        }
    }

    /// A symbolic link. Its mode means nothing to Linux.
    #[must_use]
    pub const fn link(target: String) -> Self {
        Self {
            attributes: Attributes::root(0o777),
            kind: Kind::Link(target),
            has_capability: false,
        }
    }

    const fn is_directory(&self) -> bool {
        matches!(self.kind, Kind::Directory)
    }
}

/// A file tree. The root itself is not an entry.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    entries: BTreeMap<TreePath, Entry>,
    /// Directories that no input has, only paths below them.
    implied: BTreeSet<TreePath>,
    bytes: u64,
}

impl Tree {
    /// An empty tree.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts an entry where there is none, with the parents that are missing (0755, 0:0).
    ///
    /// A directory may be put twice when both are alike, and once over one that was only there as a
    /// parent; archives do that.
    ///
    /// # Errors
    ///
    /// `tree.duplicate`, `tree.parent`, `tree.link_target`, `tree.limit`.
    pub fn insert(&mut self, path: TreePath, entry: Entry, limits: &Limits) -> Result<(), Refusal> {
        if let Kind::Link(target) = &entry.kind {
            path.check_link_target(target)?;
        }
        self.add_parents(&path, limits)?;
        if self.entries.len() >= limits.entries {
            return Err(too_many(&path, limits));
        }
        let bytes = match &entry.kind {
            Kind::File(content) => content.len() as u64,
            Kind::Directory | Kind::Link(_) => 0,
        };
        match self.entries.entry(path) {
            Slot::Vacant(slot) => {
                let total = self.bytes.saturating_add(bytes);
                if total > limits.bytes {
                    let detail =
                        format!("the files are larger than {} bytes together", limits.bytes);
                    return Err(Refusal::new(Rule::TreeLimit, slot.key().absolute(), detail));
                }
                self.bytes = total;
                slot.insert(entry);
                Ok(())
            }
            Slot::Occupied(mut slot) => {
                let present = slot.get();
                let alike =
                    self.implied.contains(slot.key()) || present.attributes == entry.attributes;
                if present.is_directory() && entry.is_directory() && alike {
                    self.implied.remove(slot.key());
                    slot.insert(entry);
                    Ok(())
                } else {
                    Err(Refusal::new(
                        Rule::TreeDuplicate,
                        slot.key().absolute(),
                        "occurs twice; an image has one entry for each path",
                    ))
                }
            }
        }
    }

    fn add_parents(&mut self, path: &TreePath, limits: &Limits) -> Result<(), Refusal> {
        // What is above a directory that is here are directories too.
        let parent = path.parent().and_then(|parent| self.entries.get(&parent));
        if parent.is_some_and(Entry::is_directory) {
            return Ok(());
        }
        for parent in path.parents() {
            match self.entries.get(&parent) {
                Some(entry) if entry.is_directory() => {}
                Some(_) => {
                    let detail = format!(
                        "lies below `{}`, which is not a directory; put it where it really is",
                        parent.absolute()
                    );
                    return Err(Refusal::new(Rule::TreeParent, path.absolute(), detail));
                }
                None if self.entries.len() >= limits.entries => {
                    return Err(too_many(path, limits));
                }
                None => {
                    let directory = Entry::directory(Attributes::root(0o755));
                    self.implied.insert(parent.clone());
                    self.entries.insert(parent, directory);
                }
            }
        }
        Ok(())
    }

    /// Puts `upper` over this tree, as the layers of an OCI image are put over each other: a directory over
    /// a directory keeps what is below it, everything else replaces what is there.
    ///
    /// # Errors
    ///
    /// As [`Self::insert`]. A directory that `upper` only implies replaces nothing: where this tree has a
    /// link, the path would lead through it.
    pub fn overlay(&mut self, upper: Self, limits: &Limits) -> Result<(), Refusal> {
        let Self {
            entries,
            implied,
            bytes: _,
        } = upper;
        for (path, entry) in entries {
            if implied.contains(&path) {
                continue; // Its children bring it along, where there is none.
            }
            let both_directories =
                entry.is_directory() && self.entries.get(&path).is_some_and(Entry::is_directory);
            if both_directories {
                self.implied.remove(&path);
                self.entries.insert(path, entry);
            } else {
                self.remove(&path);
                self.insert(path, entry, limits)?;
            }
        }
        Ok(())
    }

    /// Removes an entry and everything below it; says how many entries that were.
    pub fn remove(&mut self, path: &TreePath) -> usize {
        let below = self.remove_below(path);
        match self.entries.remove(path) {
            Some(entry) => {
                self.forget(path, &entry);
                below + 1
            }
            None => below,
        }
    }

    /// Removes everything below a directory, but not the directory; says how many entries that were.
    pub fn remove_below(&mut self, directory: &TreePath) -> usize {
        let paths: Vec<_> = self
            .below(directory)
            .map(|(path, _)| path.clone())
            .collect();
        for path in &paths {
            if let Some(entry) = self.entries.remove(path) {
                self.forget(path, &entry);
            }
        }
        paths.len()
    }

    /// Removes everything.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    fn forget(&mut self, path: &TreePath, entry: &Entry) {
        self.implied.remove(path);
        if let Kind::File(content) = &entry.kind {
            self.bytes = self.bytes.saturating_sub(content.len() as u64);
        }
    }

    /// The entries below a directory, which in the order of bytes are neighbours: all begin with its path
    /// and `/`.
    pub fn below<'a>(
        &'a self,
        directory: &'a TreePath,
    ) -> impl Iterator<Item = (&'a TreePath, &'a Entry)> {
        self.entries
            .range(directory.first_below()..)
            .take_while(|(path, _)| path.is_below(directory))
    }

    /// The entry at `path`, not following links.
    #[must_use]
    pub fn get(&self, path: &TreePath) -> Option<&Entry> {
        self.entries.get(path)
    }

    /// The entry at `path`, following links as a process whose root this is would; `None` if there is
    /// none, or after 40 links, where Linux gives up too. `..` in a target is taken by name.
    #[must_use]
    pub fn resolve(&self, path: &TreePath) -> Option<(TreePath, &Entry)> {
        let mut path = path.clone();
        for _ in 0..40 {
            match self.deepest(&path)? {
                (step, entry) if step == path && !matches!(entry.kind, Kind::Link(_)) => {
                    return Some((step, entry));
                }
                (step, entry) => match &entry.kind {
                    Kind::Link(target) => path = path.through_link(&step, target)?,
                    Kind::Directory | Kind::File(_) => return None,
                },
            }
        }
        None
    }

    /// The deepest entry that is `path` or above it. Above that are directories only, so nothing else on
    /// the way can be a link. Found by halves, because a path may have two thousand names.
    pub(crate) fn deepest(&self, path: &TreePath) -> Option<(TreePath, &Entry)> {
        let ends = path.ends();
        let present = ends.partition_point(|end| self.entries.contains_key(&path.up_to(*end)));
        let deepest = path.up_to(*ends.get(present.checked_sub(1)?)?);
        let entry = self.entries.get(&deepest)?;
        Some((deepest, entry))
    }

    /// All entries, in the order of their paths' bytes, so parents come first.
    pub fn iter(&self) -> impl Iterator<Item = (&TreePath, &Entry)> {
        self.entries.iter()
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes of all files; hard links count each.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }
}

fn too_many(path: &TreePath, limits: &Limits) -> Refusal {
    let detail = format!(
        "is one more than the {} entries that an image may have",
        limits.entries
    );
    Refusal::new(Rule::TreeLimit, path.absolute(), detail)
}
