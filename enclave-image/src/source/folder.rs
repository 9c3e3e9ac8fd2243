//! A folder with an explicit list of files.
//!
//! Nothing of the machine it is on comes along: owners become 0:0, directories 0755, files 0755 if their
//! owner may execute them, else 0644; times, extended attributes and hard links are dropped.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::Path;

use crate::recipe::Patterns;
use crate::refusal::{Refusal, Rule};
use crate::tree::{Attributes, Entry, Limits, PathRule, Tree, TreePath};

/// Deepest folder that is looked at; a path of 4,096 bytes has room for no more.
const MAX_DEPTH: usize = 2048;

/// Reads what `files` matches below `root`, without what `exclude` matches. Links are not followed.
///
/// # Errors
///
/// `recipe.files` for a pattern that matches nothing, or names a folder that has content; `tree.*`;
/// `input.unreadable`.
pub fn read(
    root: &Path,
    files: &Patterns,
    exclude: &Patterns,
    limits: &Limits,
) -> Result<Tree, Refusal> {
    let mut walk = Walk {
        files,
        exclude,
        limits,
        tree: Tree::new(),
        seen: 0,
        used: vec![false; files.texts().count()],
        used_exclude: vec![false; exclude.texts().count()],
    };
    walk.folder(root, None, 0)?;
    let unused = files
        .texts()
        .zip(&walk.used)
        .chain(exclude.texts().zip(&walk.used_exclude))
        .find(|(_, used)| !**used);
    if let Some((pattern, _)) = unused {
        let detail = "matches nothing in the folder; correct it, or leave it out";
        return Err(Refusal::new(Rule::RecipeFiles, pattern, detail));
    }
    Ok(walk.tree)
}

struct Walk<'a> {
    files: &'a Patterns,
    exclude: &'a Patterns,
    limits: &'a Limits,
    tree: Tree,
    /// Directory entries looked at, whether they match or not.
    seen: usize,
    /// Which patterns of `files` matched something,
    used: Vec<bool>,
    /// and which of `exclude`.
    used_exclude: Vec<bool>,
}

impl Walk<'_> {
    fn folder(
        &mut self,
        folder: &Path,
        path: Option<&TreePath>,
        depth: usize,
    ) -> Result<usize, Refusal> {
        if depth > MAX_DEPTH {
            return Err(Refusal::new(
                Rule::TreeLimit,
                show(folder),
                "is nested too deep",
            ));
        }
        let mut count = 0;
        for entry in fs::read_dir(folder).map_err(|error| unreadable(folder, &error))? {
            let entry = entry.map_err(|error| unreadable(folder, &error))?;
            self.seen += 1;
            // Ten times what the image may have, for the files that are not listed.
            if self.seen > self.limits.entries.saturating_mul(10) {
                let detail = "has too many files to look through; name a smaller folder as `root`";
                return Err(Refusal::new(Rule::TreeLimit, show(folder), detail));
            }
            let name = entry.file_name();
            let text = name
                .to_str()
                .ok_or_else(|| Refusal::new(Rule::TreePath, show(&entry.path()), "is not UTF-8"))?;
            let child = match path {
                Some(path) => path.join(text)?,
                None => TreePath::parse(&format!("/{text}"), PathRule::Absolute)?,
            };
            self.entry(&entry.path(), child, depth)?;
            count += 1;
        }
        Ok(count)
    }

    fn entry(&mut self, file: &Path, path: TreePath, depth: usize) -> Result<(), Refusal> {
        if mark(self.exclude, &path, &mut self.used_exclude) {
            return Ok(());
        }
        let matched = mark(self.files, &path, &mut self.used);
        let metadata = fs::symlink_metadata(file).map_err(|error| unreadable(file, &error))?;
        let kind = metadata.file_type();
        if kind.is_dir() {
            let content = self.folder(file, Some(&path), depth + 1)?;
            // Somebody who writes `/app` means what is in it, and would get an empty directory.
            if content > 0 && self.files.plain().any(|plain| plain == path.absolute()) {
                let detail = format!(
                    "is a folder; write `{}/**` for everything in it",
                    path.absolute()
                );
                return Err(Refusal::new(Rule::RecipeFiles, path.absolute(), detail));
            }
            if matched {
                let directory = Entry::directory(Attributes::root(0o755));
                self.tree.insert(path, directory, self.limits)?;
            }
            return Ok(());
        }
        if !matched {
            return Ok(());
        }
        let entry = if kind.is_symlink() {
            let target = fs::read_link(file).map_err(|error| unreadable(file, &error))?;
            let target = target.to_str().ok_or_else(|| {
                Refusal::new(
                    Rule::TreeLinkTarget,
                    path.absolute(),
                    "links to what is not UTF-8",
                )
            })?;
            Entry::link(target.to_owned())
        } else if kind.is_file() {
            let owner_executes = metadata.permissions().mode() & 0o100 != 0;
            let mode = if owner_executes { 0o755 } else { 0o644 };
            Entry::file(Attributes::root(mode), read_file(file, self.limits.bytes)?)
        } else {
            let what = if kind.is_fifo() {
                "a named pipe"
            } else if kind.is_socket() {
                "a socket"
            } else {
                "a device node"
            };
            let detail =
                format!("is {what}; images have files, directories and symbolic links only");
            return Err(Refusal::new(Rule::TreeKind, path.absolute(), detail));
        };
        self.tree.insert(path, entry, self.limits)
    }
}

/// Whether one of `patterns` matches, and notes all that do.
fn mark(patterns: &Patterns, path: &TreePath, used: &mut [bool]) -> bool {
    let mut matched = false;
    for index in patterns.matching(path) {
        matched = true;
        if let Some(used) = used.get_mut(index) {
            *used = true;
        }
    }
    matched
}

/// Reads a whole file of at most `limit` bytes.
pub(crate) fn read_file(file: &Path, limit: u64) -> Result<Vec<u8>, Refusal> {
    // Looked at before it is opened: a named pipe would wait for its writer for ever.
    let metadata = fs::metadata(file).map_err(|error| unreadable(file, &error))?;
    if !metadata.is_file() {
        let detail = "is no regular file";
        return Err(Refusal::new(Rule::InputUnreadable, show(file), detail));
    }
    let mut content = Vec::new();
    fs::File::open(file)
        .and_then(|open| open.take(limit.saturating_add(1)).read_to_end(&mut content))
        .map_err(|error| unreadable(file, &error))?;
    if content.len() as u64 > limit {
        let detail = format!("is larger than {limit} bytes");
        return Err(Refusal::new(Rule::InputTooLarge, show(file), detail));
    }
    Ok(content)
}

fn unreadable(file: &Path, error: &std::io::Error) -> Refusal {
    Refusal::new(
        Rule::InputUnreadable,
        show(file),
        format!("cannot be read: {error}"),
    )
}

/// Names in messages must not forge lines.
pub(crate) fn show(file: &Path) -> String {
    file.display().to_string().escape_debug().to_string()
}
