//! The session statement and the results, as JSON and as text.

use narthex_channel::ReasonId;
use narthex_channel::diagnostics::{Field, LogCheck, ResultBody, Selector, Value as Cell};
use narthex_policy::Action;
use narthex_verifier::{Anchor, AnchorKind, TrustAnchors};
use serde_json::{Value, json};

use super::agent::Agent;
use crate::exit::Exit;
use crate::failure::Outcome;
use crate::moment::{duration_text, time_text};
use crate::output::Output;
use crate::printable::printable;
use crate::table::Table;

/// What there is to show when a session ends.
pub(super) struct Shown<'a> {
    agent: &'a Agent,
    anchor: Anchor,
    results: Vec<ResultBody>,
    refused: Option<(Action, ReasonId)>,
}

impl<'a> Shown<'a> {
    pub(super) fn new(agent: &'a Agent, anchors: &TrustAnchors) -> Self {
        Self {
            agent,
            anchor: *anchors.anchor(),
            results: Vec::new(),
            refused: None,
        }
    }

    pub(super) fn add(&mut self, result: ResultBody) {
        self.results.push(result);
    }

    pub(super) fn refuse(&mut self, action: Action, reason: ReasonId) {
        self.refused = Some((action, reason));
    }

    /// Writes it, and returns the exit code that goes with it.
    pub(super) fn show(&self, output: &Output) -> Outcome<Exit> {
        output.result(&self.to_json(), || self.text())?;
        match &self.refused {
            None => Ok(Exit::Done),
            Some((action, reason)) => {
                let reason = reason.as_str();
                output.say(format_args!(
                    "narthex: refused: the agent refuses {action} [{reason}]"
                ));
                if let Some(next) = next_step(reason) {
                    output.say(format_args!("         {next}"));
                }
                Ok(Exit::Refused)
            }
        }
    }

    fn to_json(&self) -> Value {
        let statement = &self.agent.statement;
        let (release, release_version) = &self.agent.release;
        json!({
            "verdict": if self.refused.is_none() { "accepted" } else { "refused" },
            "reason": self.refused.as_ref().map(|(_, reason)| reason.as_str()),
            "refused_action": self.refused.as_ref().map(|(action, _)| action.name()),
            "root": self.anchor.id(),
            "agent": {
                "module_id": statement.module_id.as_str(),
                "boot_id": statement.boot_id.to_string(),
                "agent_version": statement.agent_version.to_string(),
                "attested_at": self.agent.attested_at.to_string(),
                "now": time_text(statement.now.0),
                "release": release,
                "release_version": release_version,
                "release_state": statement.release.name(),
                "insecure_withdrawn_release": self.agent.withdrawn.as_ref().map(narthex_policy::Refusal::id),
                "boot_bundle": {
                    "version": self.agent.boot_bundle.version,
                    "sha384": statement.boot_bundle.to_hex(),
                },
                "bundle_in_force": {
                    "version": statement.bundle_in_force.version,
                    "sha384": statement.bundle_in_force.digest.to_hex(),
                },
                "insecure_without_ledger": self.agent.insecure_without_ledger(),
                "decisions": {
                    "accepted": statement.decisions.accepted,
                    "refused": statement.decisions.refused,
                    "chain_head": statement.chain_head.to_hex(),
                },
            },
            "results": self.results.iter().map(result_json).collect::<Vec<_>>(),
        })
    }

    fn text(&self) -> String {
        let statement = &self.agent.statement;
        let (release, version) = &self.agent.release;
        let mut table = Table::indented(2);
        table.row(["enclave", &printable(statement.module_id.as_str())]);
        table.row(["boot id", &statement.boot_id.to_string()]);
        table.row([
            "release",
            &format!("{release} {version} ({})", statement.release),
        ]);
        table.row(["agent", &statement.agent_version.to_string()]);
        let bundles = format!(
            "bundle {} in force, booted with {}",
            statement.bundle_in_force.version, self.agent.boot_bundle.version
        );
        table.row(["policy", &bundles]);
        let decisions = format!(
            "{} accepted, {} refused since boot",
            statement.decisions.accepted, statement.decisions.refused
        );
        table.row(["decisions", &decisions]);
        table.row(["chain head", &statement.chain_head.to_hex()]);
        table.row(["its time", &time_text(statement.now.0)]);
        if self.anchor.kind() != AnchorKind::Aws {
            table.row(["ROOT", "development root: this is no real enclave"]);
        }
        if let Some(refusal) = &self.agent.withdrawn {
            let words = format!(
                "this release is withdrawn: what it says is as good as that release [{}]",
                refusal.id()
            );
            table.row(["INSECURE", &words]);
        }
        if self.agent.insecure_without_ledger() {
            table.row([
                "INSECURE",
                "without the log: orders are not checked against it",
            ]);
        }
        let mut text = format!(
            "agent, attested {}\n{}",
            self.agent.attested_at,
            table.text()
        );
        for result in &self.results {
            text.push_str(&result_text(result));
        }
        text
    }
}

/// What a person can do about the reasons they meet most.
fn next_step(reason: &str) -> Option<&'static str> {
    Some(match reason {
        "order.expired" => "write a new order: `narthex order new`",
        "order.not_yet_valid" => "it begins later; look with `narthex order show`",
        "order.wrong_boot" => "the enclave was started again; `--status` shows its new boot id",
        "order.wrong_enclave" => "the order names other enclaves; look with `narthex order show`",
        "order.under_approved" => "others approve it with `narthex order approve`",
        "order.delay" => "the policy asks for a delay that is not over; try again later",
        "order.role" => "the policy gives you no role for this; its reviewers can",
        "call.counter_reused" => "this change was asked for before; look before asking again",
        "person.stopped" => "a stop statement names this person or key",
        "log.proof_missing" => "submit the order first: `narthex order submit`",
        "log.inclusion" | "log.entry" | "log.evidence" => {
            "order, approvals and proof do not belong together; submit the order again"
        }
        "log.quorum" | "log.signature" | "log.origin" => {
            "the agent trusts another log or other witnesses than the proof is of: does it have your bundle?"
        }
        "log.stale" | "log.future" => {
            "the times of the order, the witnesses and the enclave do not fit"
        }
        "bundle.expired" => "the policy has expired; reviewers sign a new bundle",
        _ => return None,
    })
}

fn result_json(result: &ResultBody) -> Value {
    json!({
        "action": result.action.name(),
        "insecure_without_ledger": result.log_check == LogCheck::InsecureWithoutLedger,
        "fields": result.fields.iter().map(field_json).collect::<Vec<_>>(),
    })
}

fn field_json(field: &Field) -> Value {
    let (kind, value) = match field.value {
        Cell::Count(count) => ("count", json!(count)),
        Cell::Bytes(bytes) => ("bytes", json!(bytes)),
        Cell::Duration(millis) => ("duration_ms", json!(millis)),
        Cell::Ratio(millionths) => ("ratio", json!(f64::from(millionths) / 1e6)),
        Cell::Flag(flag) => ("flag", json!(flag)),
        Cell::State(state) => ("state", json!(state.name())),
        Cell::Digest(digest) => ("digest", json!(digest.to_hex())),
        Cell::Time(time) => ("time", json!(time_text(time.0))),
        _ => ("unknown", Value::Null),
    };
    let mut object = json!({ "name": field.name.name(), "kind": kind, "value": value });
    let selector = match &field.selector {
        Selector::Single => return object,
        Selector::Index(index) => ("index", json!(index)),
        Selector::Declared(name) => ("counter", json!(name.as_str())),
        Selector::Key(name) => ("key", json!(name.as_str())),
    };
    if let Value::Object(members) = &mut object {
        members.insert(selector.0.to_owned(), selector.1);
    }
    object
}

fn result_text(result: &ResultBody) -> String {
    let mut table = Table::indented(2);
    for field in &result.fields {
        let name = field.name.name();
        let short = name
            .strip_prefix(result.action.name())
            .and_then(|rest| rest.strip_prefix('.'));
        let name = short.unwrap_or(name).replace('_', " ");
        let name = match &field.selector {
            Selector::Single => name,
            Selector::Index(index) => format!("{name} {index}"),
            Selector::Declared(declared) => format!("{name} {}", declared.as_str()),
            Selector::Key(key) => format!("{name} {}", key.as_str()),
        };
        table.row([&name, &cell_text(&field.value)]);
    }
    let nothing = if result.fields.is_empty() {
        "  nothing to tell\n"
    } else {
        ""
    };
    format!("\n{}\n{}{nothing}", result.action, table.text())
}

fn cell_text(value: &Cell) -> String {
    match value {
        Cell::Count(count) => count.to_string(),
        Cell::Bytes(bytes) => bytes_text(*bytes),
        Cell::Duration(millis) => duration_text(*millis),
        Cell::Ratio(millionths) => format!("{:.4}", f64::from(*millionths) / 1e6),
        Cell::Flag(true) => "yes".to_owned(),
        Cell::Flag(false) => "no".to_owned(),
        Cell::State(state) => state.name().to_owned(),
        Cell::Digest(digest) => digest.to_hex(),
        Cell::Time(time) => time_text(time.0),
        _ => "a kind of value that this version does not know".to_owned(),
    }
}

/// `1.5 GiB`, one decimal, rounded down.
fn bytes_text(bytes: u64) -> String {
    const UNITS: [(u64, &str); 4] = [
        (1 << 40, "TiB"),
        (1 << 30, "GiB"),
        (1 << 20, "MiB"),
        (1 << 10, "KiB"),
    ];
    match UNITS.iter().find(|(size, _)| bytes >= *size) {
        Some((size, unit)) => {
            let tenths = u128::from(bytes) * 10 / u128::from(*size);
            format!("{}.{} {unit}", tenths / 10, tenths % 10)
        }
        None => format!("{bytes} B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_for_people() {
        assert_eq!(bytes_text(1023), "1023 B");
        assert_eq!(bytes_text(1536), "1.5 KiB");
        assert_eq!(bytes_text(u64::MAX), "16777215.9 TiB");
    }
}
