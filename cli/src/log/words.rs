//! Entries in words: one line each for lists, every field for those looked at closely.
//!
//! An entry was read strictly before it gets here, so its JSON holds what it can hold and nothing
//! else; what is shown is taken from there by name.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::people::People;
use crate::moment::time_text;
use crate::printable::printable;
use crate::table::Table;

/// An entry with its place.
#[derive(Clone, Debug)]
pub(crate) struct Numbered {
    /// Its number in the log, counted from 0.
    pub(crate) index: u64,
    /// What it says.
    pub(crate) content: Map<String, Value>,
}

impl Numbered {
    /// An entry for people and scripts; `leaf` was read strictly before.
    pub(crate) fn new(index: u64, leaf: &[u8]) -> Self {
        let content = serde_json::from_slice(leaf).unwrap_or_default();
        Self { index, content }
    }

    /// A text of it, or nothing.
    pub(super) fn text(&self, name: &str) -> &str {
        self.content.get(name).and_then(Value::as_str).unwrap_or("")
    }

    /// A number of it, or 0.
    pub(super) fn number(&self, name: &str) -> u64 {
        self.content.get(name).and_then(Value::as_u64).unwrap_or(0)
    }

    /// A list of it, or none.
    pub(super) fn list(&self, name: &str) -> &[Value] {
        match self.content.get(name) {
            Some(Value::Array(items)) => items,
            _ => &[],
        }
    }

    /// The texts of a list of it.
    pub(super) fn texts(&self, name: &str) -> Vec<&str> {
        self.list(name).iter().filter_map(Value::as_str).collect()
    }

    /// The ids of everybody in it.
    pub(super) fn people(&self) -> Vec<String> {
        ids_in(&self.content)
    }

    /// `accepted`, `refused: REASON`, or nothing where nothing was decided.
    fn outcome(&self) -> String {
        match (self.text("outcome"), self.text("reason")) {
            ("refused", reason) => format!("refused: {reason}"),
            (outcome, _) => outcome.to_owned(),
        }
    }

    /// The JSON form: number, time as RFC 3339, the entry as it stands in the log, and the names of
    /// those people in it that the policy names.
    pub(crate) fn to_json(&self, people: &People) -> Value {
        let names: BTreeMap<String, &str> = ids_in(&self.content)
            .into_iter()
            .filter_map(|id| people.name(&id).map(|name| (id.clone(), name)))
            .collect();
        json!({
            "index": self.index,
            "time": time_text(self.number("time")),
            "entry": self.content,
            "people": names,
        })
    }

    /// Adds a line: number, time, type, outcome, and what it is about.
    pub(crate) fn line(&self, people: &People, table: &mut Table) {
        table.row([
            &format!("#{}", self.index),
            &time_text(self.number("time")),
            self.text("type"),
            &self.outcome(),
            &printable(&self.sentence(people)),
        ]);
    }

    /// Every field, on lines of their own.
    pub(crate) fn block(&self, people: &People) -> String {
        let mut table = Table::indented(2);
        for name in FIELDS {
            let Some(value) = self.content.get(*name) else {
                continue;
            };
            let words = match (*name, value) {
                ("before" | "from" | "to", Value::Number(number)) => {
                    time_text(number.as_u64().unwrap_or(0))
                }
                _ => words(value, people),
            };
            if !words.is_empty() {
                table.row([&name.replace('_', " "), &printable(&words)]);
            }
        }
        let outcome = match self.outcome() {
            outcome if outcome.is_empty() => outcome,
            outcome => format!("  {outcome}"),
        };
        format!(
            "#{}  {}  {}{}\n{}",
            self.index,
            time_text(self.number("time")),
            self.text("type"),
            printable(&outcome),
            table.text()
        )
    }

    /// What it is about, in a sentence.
    fn sentence(&self, people: &People) -> String {
        let by = |name: &str| match self.text(name) {
            "" => "somebody unknown".to_owned(),
            id => people.name_or_id(id).to_owned(),
        };
        let all = |name: &str| {
            let names: Vec<&str> = self
                .texts(name)
                .into_iter()
                .map(|id| people.name_or_id(id))
                .collect();
            names.join(", ")
        };
        let approved = match all("approvers") {
            none if none.is_empty() => none,
            names => format!(", approved by {names}"),
        };
        match self.text("type") {
            "policy" => {
                let files = self.list("files").iter().map(|file| {
                    let member = |name| file.get(name).and_then(Value::as_str).unwrap_or("");
                    let signers = file.get("signers").map(|ids| words(ids, people));
                    let signed = match signers {
                        Some(names) if !names.is_empty() => format!(" signed by {names}"),
                        _ => String::new(),
                    };
                    format!("{} {}{signed}", member("kind"), member("version"))
                });
                let files: Vec<String> = files.collect();
                files.join("; ")
            }
            "current" => format!(
                "bundle {} is in force",
                words_of(&self.content, "version", people)
            ),
            "order" => {
                let enclave = match self.text("enclave") {
                    "" => String::new(),
                    enclave => format!(" in {enclave}"),
                };
                format!(
                    "{} asks for {}{enclave}{approved}",
                    by("requester"),
                    self.texts("actions").join(", ")
                )
            }
            "release" => {
                let keys = match self.list("keys") {
                    [] => format!("keys asked for: {}", self.texts("asked").join(", ")),
                    keys => format!("keys: {}", keys_of(keys)),
                };
                let release = match self.text("release") {
                    "" => String::new(),
                    release => format!(" ({release})"),
                };
                format!("{}{release}, {keys}", self.text("enclave"))
            }
            "administration" => {
                let keys = match self.list("keys") {
                    [] => String::new(),
                    keys => format!(" {}", keys_of(keys)),
                };
                format!(
                    "{}: {}{keys}{approved}",
                    by("requester"),
                    self.text("operation")
                )
            }
            "statement" => format!(
                "{} says: {} accepted, {} refused since its boot",
                self.text("enclave"),
                self.number("accepted"),
                self.number("refused")
            ),
            "summary" => format!(
                "refused without an entry of their own: {}",
                words_of(&self.content, "counts", people)
            ),
            "purge" => format!(
                "{} pieces of evidence from before {} were removed: {}",
                self.number("count"),
                time_text(self.number("before")),
                self.texts("kinds").join(", ")
            ),
            "epoch" => format!(
                "continues {} after its {} entries",
                self.text("old_origin"),
                self.number("old_size")
            ),
            "restore" => {
                let lost = match self.list("lost") {
                    [] => "nothing".to_owned(),
                    keys => keys_of(keys),
                };
                format!(
                    "caught up from {} to {} entries; lost: {lost}",
                    self.number("from_size"),
                    self.number("to_size")
                )
            }
            other => other.to_owned(),
        }
    }
}

/// Every field that an entry can have, in the order in which people ask; `type`, `time`, `outcome`
/// and `reason` stand in the first line.
const FIELDS: &[&str] = &[
    "kind",
    "operation",
    "requester",
    "approvers",
    "submitter",
    "signers",
    "files",
    "actions",
    "enclave",
    "release",
    "keys",
    "asked",
    "lost",
    "boot",
    "session",
    "version",
    "bundle",
    "boot_bundle",
    "in_force",
    "accepted",
    "refused",
    "chain_head",
    "counts",
    "from",
    "to",
    "before",
    "kinds",
    "count",
    "old_origin",
    "old_size",
    "old_root",
    "from_size",
    "to_size",
    "root_key",
    "order",
    "evidence",
];

fn words_of(content: &Map<String, Value>, name: &str, people: &People) -> String {
    content
        .get(name)
        .map(|value| words(value, people))
        .unwrap_or_default()
}

/// A value for people: names for ids, `name version` for keys, `N reason` for counts.
fn words(value: &Value, people: &People) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => people.name_or_id(text).to_owned(),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(|item| words(item, people)).collect();
            items.join(", ")
        }
        Value::Object(members) if members.values().all(Value::is_number) => {
            let counts = members
                .iter()
                .map(|(name, count)| format!("{count} {name}"));
            let counts: Vec<String> = counts.collect();
            counts.join(", ")
        }
        Value::Object(members) => {
            // A key, a policy file: what it is first, its digests after it.
            let order = [
                "name",
                "kind",
                "version",
                "state",
                "signers",
                "commitment",
                "sha384",
            ];
            let mut parts = Vec::new();
            for name in order {
                match (name, members.get(name)) {
                    (_, None) => {}
                    ("name" | "kind" | "state", Some(value)) => parts.push(words(value, people)),
                    ("signers", Some(value)) => {
                        parts.push(format!("signed by {}", words(value, people)));
                    }
                    (name, Some(value)) => parts.push(format!("{name} {}", words(value, people))),
                }
            }
            parts.join(" ")
        }
        other => other.to_string(),
    }
}

/// `database 1, cache 2`.
fn keys_of(keys: &[Value]) -> String {
    let keys = keys.iter().map(|key| {
        let name = key.get("name").and_then(Value::as_str).unwrap_or("");
        let version = key.get("version").and_then(Value::as_u64).unwrap_or(0);
        format!("{name} {version}")
    });
    let keys: Vec<String> = keys.collect();
    keys.join(", ")
}

/// Every text of the form of a person's id, wherever it stands.
fn ids_in(content: &Map<String, Value>) -> Vec<String> {
    let mut waiting: Vec<&Value> = content.values().collect();
    let mut ids = Vec::new();
    while let Some(value) = waiting.pop() {
        match value {
            Value::String(text) if text.starts_with("p-") => ids.push(text.clone()),
            Value::Array(items) => waiting.extend(items),
            Value::Object(members) => waiting.extend(members.values()),
            _ => {}
        }
    }
    ids
}
