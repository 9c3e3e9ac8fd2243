//! Paths in an image.

use core::fmt;

use crate::refusal::{Refusal, Rule};

/// Longest path, bytes: what Linux takes (`PATH_MAX`).
pub const MAX_PATH_BYTES: usize = 4096;
/// Longest component, bytes: what Linux takes (`NAME_MAX`).
const MAX_NAME_BYTES: usize = 255;
/// Room for `/rootfs` and a NUL before a path becomes too long for the kernel that unpacks it.
const RESERVED_BYTES: usize = 16;

/// What a path may begin with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PathRule {
    /// Must begin with `/`: recipes and manifests.
    Absolute,
    /// Must not begin with `/`, may begin with `./`, and may end with `/`: archives.
    Archive,
}

/// A checked path: plain UTF-8 components without `.`, `..`, empty ones, control characters and such
/// that change the direction of text.
///
/// Ordered by its bytes as a whole, so a directory comes before what it holds.
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct TreePath(String);

impl TreePath {
    /// Checks a path.
    ///
    /// # Errors
    ///
    /// `tree.path`, with the reason. The root itself is no path.
    pub fn parse(text: &str, rule: PathRule) -> Result<Self, Refusal> {
        let refuse = |detail: &str| {
            Err(Refusal::new(
                Rule::TreePath,
                text.escape_debug().to_string(),
                detail,
            ))
        };
        let relative = match (rule, text.strip_prefix('/')) {
            (PathRule::Absolute, Some(relative)) => relative,
            (PathRule::Absolute, None) => return refuse("must begin with `/`"),
            (PathRule::Archive, None) => {
                let relative = text.strip_prefix("./").unwrap_or(text);
                relative.strip_suffix('/').unwrap_or(relative)
            }
            (PathRule::Archive, Some(_)) => {
                return refuse("is absolute; archives have paths relative to their root");
            }
        };
        if relative.is_empty() {
            return refuse("names nothing below the root");
        }
        if relative.len() > MAX_PATH_BYTES - RESERVED_BYTES {
            return refuse("is longer than Linux takes");
        }
        if relative.chars().any(deceives) {
            return refuse("has control characters, or such that change the direction of text");
        }
        for name in relative.split('/') {
            match name {
                "" => return refuse("has an empty component"),
                "." | ".." => return refuse("has a component `.` or `..`"),
                _ if name.len() > MAX_NAME_BYTES => {
                    return refuse("has a component of more than 255 bytes");
                }
                _ => {}
            }
        }
        Ok(Self(relative.to_owned()))
    }

    /// The path with a leading `/`.
    #[must_use]
    pub fn absolute(&self) -> String {
        format!("/{}", self.0)
    }

    /// The path without a leading `/`, as ramdisks have it.
    #[must_use]
    pub fn relative(&self) -> &str {
        &self.0
    }

    /// The last component.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }

    /// The directory it is in; `None` for what is directly below the root.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        self.0
            .rsplit_once('/')
            .map(|(parent, _)| Self(parent.to_owned()))
    }

    /// The directories above it, the outermost first.
    pub(crate) fn parents(&self) -> impl Iterator<Item = Self> {
        self.0
            .match_indices('/')
            .filter_map(|(end, _)| self.0.get(..end))
            .map(|parent| Self(parent.to_owned()))
    }

    /// Where the names of the directories above it end, the outermost first, and then its own.
    pub(super) fn ends(&self) -> Vec<usize> {
        let above = self.0.match_indices('/').map(|(end, _)| end);
        above.chain([self.0.len()]).collect()
    }

    /// The path up to one of [`Self::ends`].
    pub(super) fn up_to(&self, end: usize) -> Self {
        Self(self.0.get(..end).unwrap_or_default().to_owned())
    }

    /// The path of `name` in this directory.
    ///
    /// # Errors
    ///
    /// `tree.path` if `name` is not one component, or makes the path too long.
    pub fn join(&self, name: &str) -> Result<Self, Refusal> {
        Self::parse(&format!("/{}/{name}", self.0), PathRule::Absolute)
    }

    /// The same path with `directory` before it, which is the builder's own and for which every path
    /// leaves room.
    pub(crate) fn under(&self, directory: &str) -> Self {
        Self(format!("{directory}/{}", self.0))
    }

    /// Whether it lies in `directory` or deeper.
    #[must_use]
    pub fn is_below(&self, directory: &Self) -> bool {
        self.0
            .strip_prefix(&directory.0)
            .is_some_and(|rest| rest.starts_with('/'))
    }

    /// Sorts before everything below this path, and after the path itself.
    pub(super) fn first_below(&self) -> Self {
        Self(format!("{}/", self.0))
    }

    /// A link must not climb above the root. The kernel would stop there, but what it then names depends
    /// on where the tree is mounted, and somebody who looks at the link reads something else.
    pub(super) fn check_link_target(&self, target: &str) -> Result<(), Refusal> {
        let refuse =
            |detail: &str| Err(Refusal::new(Rule::TreeLinkTarget, self.absolute(), detail));
        if target.is_empty() || target.len() > MAX_PATH_BYTES - 1 {
            return refuse(
                "is a symbolic link with an empty target, or a longer one than Linux takes",
            );
        }
        if target.chars().any(deceives) {
            return refuse(
                "is a symbolic link whose target has control characters, or such that change the direction of text",
            );
        }
        let depth = if target.starts_with('/') {
            0
        } else {
            self.parents().count()
        };
        if climb(depth, target).is_none() {
            return refuse("is a symbolic link that climbs above the root");
        }
        Ok(())
    }

    /// Where this path leads when its beginning `link` is a symbolic link to `target`; `None` if that is
    /// the root or nothing.
    pub(crate) fn through_link(&self, link: &Self, target: &str) -> Option<Self> {
        let rest = self.0.strip_prefix(&link.0)?;
        let mut names: Vec<&str> = Vec::new();
        if !target.starts_with('/')
            && let Some((parent, _)) = link.0.rsplit_once('/')
        {
            names.extend(parent.split('/'));
        }
        for name in target.split('/').chain(rest.split('/')) {
            match name {
                "" | "." => {}
                ".." => {
                    names.pop();
                }
                name => names.push(name),
            }
        }
        Self::parse(&format!("/{}", names.join("/")), PathRule::Absolute).ok()
    }
}

/// People read paths in manifests and messages, and in `diff` what they sign. A line feed or an escape could
/// forge a line there; a character that turns the direction of text shows another path than there is.
fn deceives(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{61c}'
                | '\u{200e}'
                | '\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2066}'..='\u{2069}'
        )
}

/// How deep `target` ends, beginning at `depth`; `None` if it passes above the root.
fn climb(depth: usize, target: &str) -> Option<usize> {
    target.split('/').try_fold(depth, |depth, name| match name {
        "" | "." => Some(depth),
        ".." => depth.checked_sub(1),
        _ => Some(depth + 1),
    })
}

impl fmt::Debug for TreePath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.absolute(), formatter)
    }
}
