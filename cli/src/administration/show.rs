//! The service's answers for people; `--json` passes them on as they are.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use narthex_policy::Digest384;
use serde_json::Value;

use crate::commands::keys::Operation;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::files::{Existing, write_private_file};
use crate::log::{Numbered, People};
use crate::output::Output;
use crate::printable::printable;
use crate::table::Table;

/// Shows `answer`, the body described in `administration.md`.
pub(super) fn show(operation: &Operation, answer: &Value, output: &Output) -> Outcome<Exit> {
    match operation {
        Operation::Backup { out, .. } => {
            let bytes = backup(answer)?;
            write_private_file(out, &bytes, Existing::Keep)?;
            let mut without = answer.clone();
            if let Value::Object(members) = &mut without {
                members.remove("backup");
                members.insert("file".to_owned(), Value::String(out.display().to_string()));
            }
            output.result(&without, || format!("{}\n", out.display()))?;
            output.say(
                "narthex: keep the service's root key in another place: without it this is useless",
            );
        }
        Operation::List {
            name: Some(name), ..
        } => {
            let mut only = answer.clone();
            if let Some(Value::Array(keys)) = only.get_mut("keys") {
                keys.retain(|key| key.get("name").and_then(Value::as_str) == Some(name));
            }
            output.result(&only, || text(&only))?;
        }
        _ => output.result(answer, || text(answer))?,
    }
    if let Some(Value::Array(altered)) = answer.get("altered")
        && !altered.is_empty()
    {
        output.say(format_args!(
            "narthex: {} rows of the service's database were altered by somebody else; they are not used",
            altered.len()
        ));
    }
    if answer.get("insecure_without_ledger") == Some(&Value::Bool(true)) {
        output.say("narthex: the service runs without the log (insecure_without_ledger)");
    }
    Ok(Exit::Done)
}

/// The bytes of a backup, compared with the digest that came with them.
fn backup(answer: &Value) -> Outcome<Vec<u8>> {
    let malformed = || Failure::refused("answer.malformed", "the service's answer holds no backup");
    let member = |name: &str| {
        answer
            .get(name)
            .and_then(Value::as_str)
            .ok_or_else(malformed)
    };
    let bytes = STANDARD
        .decode(member("backup")?)
        .map_err(|_| malformed())?;
    match hex::encode(Digest384::of(&bytes).0) == member("sha384")? {
        true => Ok(bytes),
        false => Err(malformed()),
    }
}

/// Key versions as a table; every other member on a line of its own.
fn text(answer: &Value) -> String {
    let mut text = String::new();
    let Value::Object(members) = answer else {
        return format!("{answer:#}\n");
    };
    let mut plain = Table::indented(0);
    for (name, value) in members {
        match value {
            Value::Array(items) => {
                let mut table = Table::indented(2);
                items.iter().for_each(|item| row(&mut table, item));
                let none = if items.is_empty() { "  none\n" } else { "" };
                text.push_str(&format!(
                    "{}\n{none}{}",
                    name.replace('_', " "),
                    table.text()
                ));
            }
            Value::Object(_) if name == "key" => {
                let mut table = Table::indented(2);
                row(&mut table, value);
                text.push_str(&format!("key\n{}", table.text()));
            }
            Value::Object(inner) => {
                for (inner_name, value) in inner {
                    plain.row([
                        &format!("{name} {inner_name}").replace('_', " "),
                        &words(value),
                    ]);
                }
            }
            other => plain.row([&name.replace('_', " "), &words(other)]),
        }
    }
    text + &plain.text()
}

fn row(table: &mut Table, item: &Value) {
    let member = |name: &str| item.get(name).map(words).unwrap_or_default();
    match item.get("commitment") {
        Some(_) => table.row([
            &member("name"),
            &format!("version {}", member("version")),
            &member("state"),
            &member("origin"),
            &format!("changed {}", member("changed")),
            &format!("commitment {}", member("commitment")),
        ]),
        // An entry of the log; without a policy at hand, people go by their ids.
        None => match item.get("entry") {
            Some(Value::Object(content)) => {
                let index = item.get("index").and_then(Value::as_u64).unwrap_or(0);
                let content = content.clone();
                Numbered { index, content }.line(&People::default(), table);
            }
            _ => table.row([&words(item)]),
        },
    }
}

fn words(value: &Value) -> String {
    match value {
        Value::String(text) => printable(text).into_owned(),
        Value::Null => "none".to_owned(),
        other => printable(&other.to_string()).into_owned(),
    }
}
