//! The agent's configuration: `[settings]`, with what its `workload` lacks from the OCI image.
//!
//! A field that the recipe has counts alone; nothing is merged with the image's. The arguments come from the
//! image only with the command they belong to.

use std::collections::BTreeMap;

use toml::{Table, Value};

use crate::recipe::Recipe;
use crate::refusal::{Refusal, Rule};
use crate::source::oci::Configuration;
use crate::tree::{Entry, Kind, PathRule, Tree, TreePath};

/// Where Docker looks for programs if an image does not say.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The completed configuration, and what of it must fit the root file system.
pub(super) struct Settings {
    pub(super) agent_toml: String,
    pub(super) command: String,
    pub(super) working_directory: String,
    pub(super) user: u32,
    pub(super) group: u32,
    pub(super) memory_max_bytes: Option<u64>,
}

pub(super) fn complete(
    recipe: &Recipe,
    configuration: Option<Configuration>,
    tree: &Tree,
    notes: &mut Vec<String>,
) -> Result<Settings, Refusal> {
    let mut settings = recipe.settings.clone();
    let workload = settings
        .entry("workload")
        .or_insert_with(|| Value::Table(Table::new()));
    let Value::Table(workload) = workload else {
        return Err(refuse(
            Rule::RecipeSettings,
            "settings.workload",
            "must be a table",
        ));
    };
    if let Some(configuration) = configuration {
        fill(workload, configuration, tree)?;
    }
    let command = text(workload, "command")?
        .ok_or_else(|| missing("command", "no image says what to run"))?;
    let number = |field: &str| {
        integer(workload, field)?
            .map(|value| {
                u32::try_from(value).map_err(|_| {
                    refuse(
                        Rule::RecipeSettings,
                        &format!("settings.workload.{field}"),
                        "must be a number of 32 bits",
                    )
                })
            })
            .transpose()
    };
    let user = number("user")?
        .ok_or_else(|| missing("user", "no image says who runs it; it must not be 0"))?;
    let group = number("group")?.ok_or_else(|| {
        missing(
            "group",
            "no image says which group runs it; it must not be 0",
        )
    })?;
    let memory_max_bytes =
        integer(workload, "memory_max_bytes")?.and_then(|bytes| u64::try_from(bytes).ok());
    if memory_max_bytes.is_none() {
        notes.push(
            "settings.workload.memory_max_bytes is absent: 64 MiB are counted for the workload, and nothing keeps it to them"
                .into(),
        );
    }
    Ok(Settings {
        command,
        working_directory: text(workload, "working_directory")?.unwrap_or_else(|| "/".into()),
        user,
        group,
        memory_max_bytes,
        agent_toml: toml::to_string(&settings)
            .map_err(|error| refuse(Rule::RecipeSettings, "settings", &error.to_string()))?,
    })
}

/// Takes from the image what is not there.
fn fill(workload: &mut Table, configuration: Configuration, tree: &Tree) -> Result<(), Refusal> {
    let Configuration {
        command,
        environment,
        working_directory,
        user,
        notes: _,
    } = configuration;
    let directory = match text(workload, "working_directory")? {
        Some(directory) => Some(directory),
        None => working_directory,
    };
    if !workload.contains_key("command")
        && let Some((program, arguments)) = command.split_first()
    {
        let search = match workload.get("environment") {
            Some(own) => own.get("PATH").and_then(Value::as_str).map(str::to_owned),
            None => environment.get("PATH").cloned(),
        };
        let search = search.as_deref().unwrap_or(DEFAULT_PATH);
        let program = locate(program, directory.as_deref().unwrap_or("/"), search, tree)?;
        workload.insert("command".into(), Value::String(program));
        workload.entry("arguments").or_insert_with(|| {
            arguments
                .iter()
                .cloned()
                .map(Value::String)
                .collect::<Vec<_>>()
                .into()
        });
    }
    workload
        .entry("environment")
        .or_insert_with(|| Value::Table(as_table(environment)));
    if let Some(directory) = directory {
        workload.insert("working_directory".into(), Value::String(directory));
    }
    if !(workload.contains_key("user") && workload.contains_key("group")) {
        // An image without a user runs as 0, and is refused as that rather than as incomplete.
        let (user, group) = user.unwrap_or(Ok((0, 0)))?;
        for (field, value) in [("user", user), ("group", group)] {
            workload
                .entry(field)
                .or_insert(Value::Integer(value.into()));
        }
    }
    Ok(())
}

fn as_table(environment: BTreeMap<String, String>) -> Table {
    environment
        .into_iter()
        .map(|(name, value)| (name, Value::String(value)))
        .collect()
}

/// The absolute path of a program, as a shell or Docker would find it: the agent searches nothing.
fn locate(program: &str, directory: &str, search: &str, tree: &Tree) -> Result<String, Refusal> {
    if program.starts_with('/') {
        return Ok(program.to_owned());
    }
    let candidates: Vec<String> = if program.contains('/') {
        let program = program.strip_prefix("./").unwrap_or(program);
        vec![format!("{}/{program}", directory.trim_end_matches('/'))]
    } else {
        let folders = search.split(':').filter(|folder| folder.starts_with('/'));
        folders
            .map(|folder| format!("{}/{program}", folder.trim_end_matches('/')))
            .collect()
    };
    candidates
        .into_iter()
        .find(|candidate| {
            TreePath::parse(candidate, PathRule::Absolute)
                .ok()
                .and_then(|path| tree.resolve(&path))
                .is_some_and(|(_, entry)| is_program(entry))
        })
        .ok_or_else(|| {
            let detail = "is the image's program, and is not where the image looks for programs";
            Refusal::new(
                Rule::ImageCommand,
                program.escape_debug().to_string(),
                detail,
            )
        })
}

pub(super) const fn is_program(entry: &Entry) -> bool {
    matches!(entry.kind, Kind::File(_)) && entry.attributes.mode & 0o111 != 0
}

fn text(workload: &Table, field: &str) -> Result<Option<String>, Refusal> {
    match workload.get(field) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(refuse(
            Rule::RecipeSettings,
            &format!("settings.workload.{field}"),
            "must be a string",
        )),
    }
}

fn integer(workload: &Table, field: &str) -> Result<Option<i64>, Refusal> {
    match workload.get(field) {
        None => Ok(None),
        Some(Value::Integer(number)) => Ok(Some(*number)),
        Some(_) => Err(refuse(
            Rule::RecipeSettings,
            &format!("settings.workload.{field}"),
            "must be a number",
        )),
    }
}

fn missing(field: &str, reason: &str) -> Refusal {
    refuse(
        Rule::RecipeMissing,
        &format!("settings.workload.{field}"),
        &format!("is required: {reason}"),
    )
}

fn refuse(rule: Rule, subject: &str, detail: &str) -> Refusal {
    Refusal::new(rule, subject, detail)
}
