//! The rules of a recipe that types cannot state.

use std::path::PathBuf;

use super::{
    DEFAULT_COMMAND_LINE, ImageSection, KernelSection, MAX_RECIPE_BYTES, Patterns, PinnedFile,
    RECIPE_SCHEMA, Recipe, WorkloadSection, WorkloadSource, text,
};
use crate::digest::Sha256Digest;
use crate::eif::{Architecture, MAX_COMMAND_LINE_BYTES};
use crate::refusal::{Refusal, Refusals, Rule};

/// The agent numbers modules with two digits.
const MAX_MODULES: usize = 99;
const MAX_PATTERNS: usize = 1024;
const MAX_TOOLCHAIN_ENTRIES: usize = 64;
const MAX_TOOLCHAIN_BYTES: usize = 256;
/// No Nitro host has more.
const MAX_CPUS: u64 = 1024;

pub(super) fn recipe(source: &str) -> Result<Recipe, Refusals> {
    if source.len() > MAX_RECIPE_BYTES {
        let detail = format!("is longer than {MAX_RECIPE_BYTES} bytes");
        return Err(Refusal::new(Rule::RecipeSyntax, "recipe", detail).into());
    }
    // Parsed as a table first: what is no TOML at all and what has a wrong field are two mistakes, and a
    // recipe of another schema must be refused by its schema, not by its unknown fields.
    let table: toml::Table = source.parse().map_err(|error: toml::de::Error| {
        Refusal::new(Rule::RecipeSyntax, "recipe", one_line(&error))
    })?;
    if table.get("schema").and_then(toml::Value::as_integer) != Some(RECIPE_SCHEMA) {
        let detail = format!("must be {RECIPE_SCHEMA}, the only one that this program knows");
        return Err(Refusal::new(Rule::RecipeSchema, "schema", detail).into());
    }
    // From the text rather than the table, because errors then have a line number.
    let text: text::Text = toml::from_str(source)
        .map_err(|error| Refusal::new(Rule::RecipeField, "recipe", one_line(&error)))?;
    let mut check = Check { found: Vec::new() };
    let recipe = check.recipe(source, text);
    Refusals::none_in(check.found)?;
    // Every `None` has left its reason above.
    recipe.ok_or_else(|| Refusal::new(Rule::RecipeField, "recipe", "is incomplete").into())
}

/// `toml` shows the line with a pointer below it; ours are single lines.
fn one_line(error: &toml::de::Error) -> String {
    let text = error.to_string();
    let lines: Vec<_> = text
        .lines()
        .filter(|line| !line.contains('|'))
        .map(str::trim)
        .collect();
    lines.join(": ")
}

struct Check {
    found: Vec<Refusal>,
}

impl Check {
    fn refuse(&mut self, field: &str, detail: impl Into<String>) {
        self.found
            .push(Refusal::new(Rule::RecipeField, field, detail));
    }

    fn require(&mut self, holds: bool, field: &str, detail: &str) {
        if !holds {
            self.refuse(field, detail);
        }
    }

    fn recipe(&mut self, source: &str, text: text::Text) -> Option<Recipe> {
        let text::Text {
            _schema,
            image,
            kernel,
            agent,
            workload,
            toolchain,
            settings,
        } = text;
        self.require(
            toolchain.len() <= MAX_TOOLCHAIN_ENTRIES,
            "toolchain",
            "has more than 64 entries",
        );
        for (name, value) in &toolchain {
            let sound = |text: &str| {
                (1..=MAX_TOOLCHAIN_BYTES).contains(&text.len())
                    && !text.chars().any(char::is_control)
            };
            self.require(
                sound(name) && sound(value),
                "toolchain",
                "has a name or text that is empty, longer than 256 bytes, or has control characters",
            );
        }
        let image = self.image(image);
        let kernel = self.kernel(kernel);
        let text::Agent { program, sha256 } = agent;
        let agent = self.pinned("agent.program", program, "agent.sha256", &sha256);
        let workload = self.workload(workload);
        Some(Recipe {
            sha256: Sha256Digest::of(source.as_bytes()),
            image,
            kernel: kernel?,
            agent: agent?,
            workload: workload?,
            toolchain,
            settings,
        })
    }

    fn image(&mut self, text: text::Image) -> ImageSection {
        let text::Image {
            name,
            version,
            architecture,
            compression,
            command_line,
            cpus,
        } = text;
        for (field, value) in [("image.name", &name), ("image.version", &version)] {
            self.require(
                is_release_name(value),
                field,
                "must be a lower-case letter or digit, then up to 63 of these, `.`, `-` and `_`, without `..`",
            );
        }
        let command_line = command_line.unwrap_or_else(|| DEFAULT_COMMAND_LINE.to_owned());
        self.require(
            (1..=MAX_COMMAND_LINE_BYTES).contains(&command_line.len())
                && command_line.bytes().all(|byte| matches!(byte, b' '..=b'~')),
            "image.command_line",
            "must be 1 to 2047 printable ASCII characters",
        );
        self.require(
            !names_another_init(&command_line),
            "image.command_line",
            "has `rdinit=` or `init=`; process 1 is the agent, and nothing may run in its place",
        );
        self.require(
            (1..=MAX_CPUS).contains(&cpus),
            "image.cpus",
            "must be 1 to 1024",
        );
        ImageSection {
            name,
            version,
            architecture: match architecture {
                text::Architecture::X86_64 => Architecture::X86_64,
                text::Architecture::Aarch64 => Architecture::Aarch64,
            },
            compression,
            command_line,
            cpus,
        }
    }

    fn kernel(&mut self, text: text::Kernel) -> Option<KernelSection> {
        let text::Kernel {
            file,
            sha256,
            modules,
        } = text;
        self.require(
            modules.len() <= MAX_MODULES,
            "kernel.modules",
            "lists more than 99 modules",
        );
        let file = self.pinned("kernel.file", file, "kernel.sha256", &sha256);
        let modules = modules
            .into_iter()
            .map(|text::Module { file, sha256 }| {
                let module = self.pinned(
                    "kernel.modules.file",
                    file,
                    "kernel.modules.sha256",
                    &sha256,
                )?;
                let plain = module.path.file_name().and_then(|name| name.to_str());
                self.require(
                    plain.is_some_and(is_module_name),
                    "kernel.modules.file",
                    "must be named NAME.ko, of letters, digits, `-` and `_`, and not be compressed",
                );
                Some(module)
            })
            .collect::<Vec<_>>();
        Some(KernelSection {
            file: file?,
            modules: modules.into_iter().collect::<Option<_>>()?,
        })
    }

    fn workload(&mut self, text: text::Workload) -> Option<WorkloadSection> {
        let text::Workload {
            root,
            files,
            archive,
            oci,
            sha256,
            exclude,
            insecure_shell,
            mut runtimes,
        } = text;
        let exclude = self.patterns("workload.exclude", &exclude);
        let source = match (root, archive, oci) {
            (Some(root), None, None) => {
                self.require(
                    sha256.is_none(),
                    "workload.sha256",
                    "does not go with `root`: the manifest lists its files one by one",
                );
                let root = self.path("workload.root", root);
                match files {
                    Some(files) if !files.is_empty() => self
                        .patterns("workload.files", &files)
                        .zip(root)
                        .map(|(files, root)| WorkloadSource::Folder { root, files }),
                    _ => {
                        self.refuse(
                            "workload.files",
                            "must list what is taken from `root`; `[\"/**\"]` is everything",
                        );
                        None
                    }
                }
            }
            (None, Some(archive), None) => self
                .archive("workload.archive", archive, sha256, files.as_deref())
                .map(WorkloadSource::Archive),
            (None, None, Some(oci)) => self
                .archive("workload.oci", oci, sha256, files.as_deref())
                .map(WorkloadSource::Oci),
            _ => {
                self.refuse(
                    "workload",
                    "must have exactly one of `root`, `archive` and `oci`",
                );
                None
            }
        };
        let listed = runtimes.len();
        runtimes.sort_unstable();
        runtimes.dedup();
        self.require(
            runtimes.len() == listed,
            "workload.runtimes",
            "names a runtime twice",
        );
        Some(WorkloadSection {
            source: source?,
            exclude: exclude?,
            insecure_shell,
            runtimes,
        })
    }

    fn archive(
        &mut self,
        field: &str,
        path: String,
        sha256: Option<String>,
        files: Option<&[String]>,
    ) -> Option<PinnedFile> {
        self.require(
            files.is_none(),
            "workload.files",
            "goes with `root` only; use `exclude` to leave something out of an archive",
        );
        let Some(sha256) = sha256 else {
            self.refuse("workload.sha256", "is required: the archive's digest");
            return None;
        };
        self.pinned(field, path, "workload.sha256", &sha256)
    }

    fn patterns(&mut self, field: &str, texts: &[String]) -> Option<Patterns> {
        self.require(
            texts.len() <= MAX_PATTERNS,
            field,
            "lists more than 1024 patterns",
        );
        Patterns::parse(texts)
            .map_err(|(text, reason)| {
                self.refuse(field, format!("`{}`: {reason}", text.escape_debug()))
            })
            .ok()
    }

    fn pinned(
        &mut self,
        path_field: &str,
        path: String,
        digest_field: &str,
        sha256: &str,
    ) -> Option<PinnedFile> {
        let digest = Sha256Digest::from_hex(sha256);
        self.require(
            digest.is_some(),
            digest_field,
            "must be 64 lower-case hexadecimal digits, as `sha256sum` prints them",
        );
        let path = self.path(path_field, path)?;
        Some(PinnedFile {
            path,
            sha256: digest?,
        })
    }

    fn path(&mut self, field: &str, path: String) -> Option<PathBuf> {
        let sound = !path.is_empty() && path.len() <= 4096 && !path.chars().any(char::is_control);
        self.require(
            sound,
            field,
            "must be a path of 1 to 4096 bytes without control characters",
        );
        sound.then(|| PathBuf::from(path))
    }
}

/// The form of a release's name and version in policies.
pub(crate) fn is_release_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    text.len() <= 64
        && text.bytes().next().is_some_and(plain)
        && text
            .bytes()
            .all(|byte| plain(byte) || matches!(byte, b'.' | b'-' | b'_'))
        && !text.contains("..")
}

/// Whether the kernel would start something else than `/init`. A word may be quoted as a whole.
fn names_another_init(command_line: &str) -> bool {
    command_line
        .split(' ')
        .map(|word| word.trim_start_matches('"'))
        .any(|word| word.starts_with("rdinit=") || word.starts_with("init="))
}

fn is_module_name(name: &str) -> bool {
    name.strip_suffix(".ko").is_some_and(|stem| {
        (1..=64).contains(&stem.len())
            && stem
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    })
}
