//! An order in words.

use narthex_ledger::Checkpoint;
use narthex_policy::{Order, OrderHead, Parameters};
use serde_json::{Value, json};

use super::{AnyOrder, OrderOnDisk, parse_proof, proof_path, read_proof};
use crate::commands::order::ShowArguments;
use crate::exit::Exit;
use crate::failure::Outcome;
use crate::output::Output;
use crate::printable::printable;
use crate::table::Table;

/// `narthex order show`.
pub(crate) fn show(arguments: &ShowArguments, output: &Output) -> Outcome<Exit> {
    let order = OrderOnDisk::read(&arguments.file, &[])?;
    // A proof that cannot be read is no reason not to show the order.
    if let Some(proof) = read_proof(&arguments.file, None)?
        && let Err(failure) = parse_proof(&proof)
    {
        output.say(failure);
    }
    output.result(&to_json(&order), || text(&order))?;
    output.say("shown as it stands; `narthex order verify` checks signatures and roles");
    Ok(Exit::Done)
}

pub(crate) fn to_json(order: &OrderOnDisk) -> Value {
    let OrderHead {
        project,
        nonce,
        requester,
        issued,
        not_before,
        expires,
    } = order.parsed.head();
    let approvals: Vec<_> = order.approvals.iter().map(|(name, _)| name).collect();
    let mut value = json!({
        "sha384": hex::encode(narthex_policy::Digest384::of(&order.bytes).0),
        "project": project.as_str(),
        "nonce": hex::encode(nonce),
        "requester": requester.as_str(),
        "issued": issued.to_string(),
        "not_before": not_before.to_string(),
        "expires": expires.to_string(),
        "approval_files": approvals,
    });
    if let (Value::Object(value), Some(log)) = (&mut value, proof_json(order)) {
        value.insert("log".to_owned(), log);
    }
    let content = match &order.parsed {
        AnyOrder::Diagnostics(Order::Read(read)) => json!({
            "kind": "read",
            "actions": read.actions.iter().map(|action| action.name()).collect::<Vec<_>>(),
            "calls": read.calls,
            "module_ids": read.targets.module_ids,
            "instance_ids": read.targets.instance_ids,
            "releases": read.targets.releases.iter().map(ToString::to_string).collect::<Vec<_>>(),
        }),
        AnyOrder::Diagnostics(Order::Write(write)) => json!({
            "kind": "write",
            "action": write.action.name(),
            "grace_seconds": grace(&write.parameters),
            "module_id": write.module_id,
            "boot_id": hex::encode(write.boot_id.0),
        }),
        AnyOrder::Administration(administration) => json!({
            "kind": "administration",
            "genesis": hex::encode(administration.genesis.0),
            "operation": administration.operation.kind().name(),
            "key": administration.operation.key().map(narthex_policy::KeyName::as_str),
            "version": administration.operation.version(),
        }),
    };
    if let (Value::Object(value), Value::Object(content)) = (&mut value, content) {
        value.extend(content);
    }
    value
}

/// What the proof beside the order says, unchecked.
fn proof_json(order: &OrderOnDisk) -> Option<Value> {
    let proof = read_proof(&order.path, None).ok().flatten()?;
    let proof = parse_proof(&proof).ok()?;
    let head = Checkpoint::parse(proof.checkpoint.text()).ok()?;
    Some(json!({
        "proof": proof_path(&order.path),
        "origin": head.origin,
        "index": proof.index,
        "checkpoint_size": head.size,
    }))
}

/// The members of the JSON form in the order in which people ask.
const LINES: [&str; 19] = [
    "kind",
    "project",
    "requester",
    "action",
    "actions",
    "operation",
    "key",
    "version",
    "grace_seconds",
    "calls",
    "module_id",
    "boot_id",
    "module_ids",
    "instance_ids",
    "releases",
    "not_before",
    "expires",
    "approval_files",
    "sha384",
];

/// Every line of the JSON form that says something, aligned.
fn text(order: &OrderOnDisk) -> String {
    let mut table = Table::indented(0);
    let value = to_json(order);
    for name in LINES {
        let words = match value.get(name) {
            None | Some(Value::Null) => continue,
            Some(Value::String(text)) => text.clone(),
            Some(Value::Array(items)) if items.is_empty() => continue,
            Some(Value::Array(items)) => items
                .iter()
                .filter_map(Value::as_str)
                .collect::<Vec<_>>()
                .join(", "),
            Some(other) => other.to_string(),
        };
        table.row([&name.replace('_', " "), &printable(&words)]);
    }
    if let Some(log) = value.get("log") {
        let member = |name: &str| log.get(name).map(Value::to_string).unwrap_or_default();
        let origin = log.get("origin").and_then(Value::as_str).unwrap_or("");
        let words = format!(
            "proof of entry {} of {}",
            member("index"),
            printable(origin)
        );
        table.row(["log", &words]);
    }
    table.text()
}

fn grace(parameters: &Parameters) -> Option<u16> {
    match parameters {
        Parameters::GraceSeconds(seconds) => Some(*seconds),
        Parameters::None | Parameters::Nonce(_) => None,
    }
}
