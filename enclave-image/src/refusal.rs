//! Why a recipe, an input or a manifest is refused: a closed list of rules with stable ids.

use core::fmt;

/// Whose fault it is, which is also how the command ends.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Fault {
    /// The content of an input breaks a rule of images (exit code 1).
    Refused,
    /// The recipe is wrong, or names what is not there (exit code 2).
    Misuse,
    /// A file could not be read (exit code 3).
    Environment,
}

macro_rules! rules {
    ($($(#[$meta:meta])* $name:ident = $id:literal, $fault:ident;)*) => {
        /// The rules, each with a stable id. `docs/recipe.md` says what to do about each.
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        #[non_exhaustive]
        pub enum Rule {
            $($(#[$meta])* $name,)*
        }

        impl Rule {
            /// Every rule, for documentation and tests.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The stable id, for example `image.shell`.
            #[must_use]
            pub const fn id(self) -> &'static str {
                match self { $(Self::$name => $id,)* }
            }

            /// Whose fault a breach is.
            #[must_use]
            pub const fn fault(self) -> Fault {
                match self { $(Self::$name => Fault::$fault,)* }
            }
        }
    };
}

rules! {
    /// The recipe is longer than [`crate::recipe::MAX_RECIPE_BYTES`], or no TOML.
    RecipeSyntax = "recipe.syntax", Misuse;
    /// `schema` is not one that this program knows.
    RecipeSchema = "recipe.schema", Misuse;
    /// A field is unknown, missing, of another type, or has a value that is not allowed.
    RecipeField = "recipe.field", Misuse;
    /// The file has another digest than the recipe says.
    RecipeDigest = "recipe.digest", Refused;
    /// A pattern of `files` or `exclude` matches nothing, or names a folder that has content.
    RecipeFiles = "recipe.files", Misuse;
    /// Neither the settings nor the image's configuration say what must be said.
    RecipeMissing = "recipe.missing", Misuse;
    /// The agent would not accept the configuration that results.
    RecipeSettings = "recipe.settings", Misuse;
    /// A file that the recipe names cannot be read.
    InputUnreadable = "input.unreadable", Environment;
    /// A file that the recipe names is larger than the limit for its kind.
    InputTooLarge = "input.too_large", Refused;
    /// The agent is no ELF program for the recipe's architecture.
    AgentProgram = "agent.program", Refused;
    /// The agent needs a dynamic loader or libraries, and the ramdisk has none.
    AgentNotStatic = "agent.not_static", Refused;
    /// A path is empty, relative where it must not be, climbs with `..`, is too long or is no plain UTF-8.
    TreePath = "tree.path", Refused;
    /// A path occurs twice.
    TreeDuplicate = "tree.duplicate", Refused;
    /// An entry lies below something that is not a directory.
    TreeParent = "tree.parent", Refused;
    /// A device node, a named pipe, a socket, or another kind of entry that images cannot have.
    TreeKind = "tree.kind", Refused;
    /// A symbolic link's target is empty, too long, or climbs above the root.
    TreeLinkTarget = "tree.link_target", Refused;
    /// A hard link names something that is not a file before it.
    TreeHardLink = "tree.hard_link", Refused;
    /// More entries or bytes than a tree may have.
    TreeLimit = "tree.limit", Refused;
    /// `/dev`, `/proc`, `/run` or `/tmp` is something other than a directory.
    TreeMountPoint = "tree.mount_point", Refused;
    /// The archive is malformed or cut off.
    ArchiveFormat = "archive.format", Refused;
    /// The archive holds a sparse file.
    ArchiveSparse = "archive.sparse", Refused;
    /// The archive is compressed in a way that is not supported.
    ArchiveCompression = "archive.compression", Refused;
    /// The archive unpacks to more than the limit.
    ArchiveTooLarge = "archive.too_large", Refused;
    /// The OCI image's index, manifest or configuration is malformed or of an unknown type.
    OciFormat = "oci.format", Refused;
    /// Nothing in the OCI image, or more than one thing, is for Linux on the recipe's architecture.
    OciPlatform = "oci.platform", Refused;
    /// A blob of the OCI image has another digest or size than its descriptor says.
    OciDigest = "oci.digest", Refused;
    /// A blob that the OCI image names is not in the archive.
    OciMissing = "oci.missing", Refused;
    /// A whiteout has no sensible name, holds something, or lies behind a symbolic link.
    OciWhiteout = "oci.whiteout", Refused;
    /// The image's user or group is not in its own `/etc/passwd` or `/etc/group`.
    OciUser = "oci.user", Refused;
    /// The workload would run as user or group 0.
    ImageRootUser = "image.root_user", Refused;
    /// A file with the set-user-id bit.
    ImageSetUserId = "image.set_user_id", Refused;
    /// A file with the set-group-id bit.
    ImageSetGroupId = "image.set_group_id", Refused;
    /// A file with Linux capabilities.
    ImageCapability = "image.capability", Refused;
    /// A private key.
    ImagePrivateKey = "image.private_key", Refused;
    /// A file or directory that everybody may write.
    ImageWorldWritable = "image.world_writable", Refused;
    /// A shell, without `insecure_shell = true`.
    ImageShell = "image.shell", Refused;
    /// `insecure_shell = true`, and there is no shell.
    ImageNoShell = "image.no_shell", Misuse;
    /// A language runtime that `runtimes` does not declare.
    ImageRuntime = "image.runtime", Refused;
    /// `runtimes` declares a runtime that is not there.
    ImageNoRuntime = "image.no_runtime", Misuse;
    /// The workload's program is not in its root, or its user cannot run it there.
    ImageCommand = "image.command", Refused;
    /// The image cannot be written as an EIF file.
    ImageFormat = "image.format", Refused;
    /// The manifest is longer than the limit, or no JSON of the right shape.
    ManifestFormat = "manifest.format", Refused;
    /// The manifest says the right thing in another spelling than the one that is signed.
    ManifestSpelling = "manifest.spelling", Refused;
    /// The manifest's statement or predicate has a type or schema that is not known.
    ManifestType = "manifest.type", Refused;
    /// A value in the manifest is not allowed.
    ManifestField = "manifest.field", Refused;
}

/// One breach of one [`Rule`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Refusal {
    rule: Rule,
    subject: String,
    detail: String,
}

impl Refusal {
    pub(crate) fn new(rule: Rule, subject: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            rule,
            subject: subject.into(),
            detail: detail.into(),
        }
    }

    /// The rule.
    #[must_use]
    pub const fn rule(&self) -> Rule {
        self.rule
    }

    /// The rule's stable id.
    #[must_use]
    pub const fn id(&self) -> &'static str {
        self.rule.id()
    }

    /// What it is about: a path in the image, a file on disk, or a field.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// What is wrong and what to do next, as one sentence or two.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }
}

impl fmt::Display for Refusal {
    /// `id: subject: detail`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{}: {}: {}",
            self.id(),
            self.subject,
            self.detail
        )
    }
}

impl core::error::Error for Refusal {}

/// Everything that was found wrong in one go, never empty: whoever cleans up an image wants the whole list.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Refusals {
    first: Refusal,
    others: Vec<Refusal>,
}

impl Refusals {
    /// `Ok` when `found` is empty.
    pub(crate) fn none_in(found: Vec<Refusal>) -> Result<(), Self> {
        let mut found = found.into_iter();
        match found.next() {
            None => Ok(()),
            Some(first) => Err(Self {
                first,
                others: found.collect(),
            }),
        }
    }

    /// The first of them.
    #[must_use]
    pub const fn first(&self) -> &Refusal {
        &self.first
    }

    /// All of them, in the order in which they were found.
    pub fn iter(&self) -> impl Iterator<Item = &Refusal> {
        core::iter::once(&self.first).chain(&self.others)
    }

    /// Whose fault the first is.
    #[must_use]
    pub const fn fault(&self) -> Fault {
        self.first.rule.fault()
    }
}

impl From<Refusal> for Refusals {
    fn from(first: Refusal) -> Self {
        Self {
            first,
            others: Vec::new(),
        }
    }
}

impl fmt::Display for Refusals {
    /// One line each.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.first)?;
        for refusal in &self.others {
            write!(formatter, "\n{refusal}")?;
        }
        Ok(())
    }
}

impl core::error::Error for Refusals {}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_rule_has_an_id_of_its_own_and_is_documented() {
        let ids: BTreeSet<_> = Rule::ALL.iter().map(|rule| rule.id()).collect();
        assert_eq!(ids.len(), Rule::ALL.len());
        let pages = concat!(
            include_str!("../docs/recipe.md"),
            include_str!("../docs/manifest.md")
        );
        for id in ids {
            assert!(
                pages.contains(&format!("| `{id}` |")),
                "{id} is not documented"
            );
        }
    }
}
