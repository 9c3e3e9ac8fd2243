//! The report as JSON; `docs/audit.md` describes it.

use serde_json::{Value, json};

use super::claim::{Claim, Weight};
use super::findings::Exception;
use super::report::Report;
use crate::moment::time_text;

pub(crate) fn value(report: &Report<'_>) -> Value {
    let claims: Vec<Value> = Claim::ALL
        .iter()
        .map(|claim| self::claim(report, *claim))
        .collect();
    let gaps: Vec<Value> = report
        .findings
        .open_gaps()
        .map(|(gap, count)| {
            json!({
                "id": gap.id(),
                "claims": gap.claims().iter().map(|claim| claim.id()).collect::<Vec<_>>(),
                "decides": gap.weight() == Weight::Decides,
                "count": count,
                "words": gap.words(),
            })
        })
        .collect();
    let assumptions: Vec<Value> = report
        .assumptions()
        .into_iter()
        .map(|(id, words)| json!({ "id": id, "words": words }))
        .collect();
    json!({
        "schema": "narthex/audit/v1",
        "verdict": if report.findings.exceptions() == 0 { "no-exceptions" } else { "exceptions" },
        "exceptions": report.findings.exceptions(),
        "items": report.findings.items(),
        "log": {
            "source": report.source,
            "origin": report.origin,
            "entries": report.entries,
            "epochs": report.epochs,
            "root": report.root,
            "cosigned": report.cosigned.iter().map(|(name, seconds)| json!({
                "witness": name,
                "time": time_text(seconds.saturating_mul(1000)),
            })).collect::<Vec<_>>(),
            "first": report.activity.span.map(|(first, _)| time_text(first)),
            "last": report.activity.span.map(|(_, last)| time_text(last)),
        },
        "policy": report.bundle.as_ref().map(|(version, sha384)| json!({
            "version": version,
            "sha384": sha384,
            "genesis": report.genesis.as_ref().map(|(sha384, _)| sha384),
            "genesis_compared": report.genesis.as_ref().is_some_and(|(_, compared)| *compared),
        })),
        "root_of_documents": report.anchor,
        "claims": claims,
        "not_shown": gaps,
        "assumptions": assumptions,
        "activity": activity(report),
        "made": time_text(report.made),
        "milliseconds": report.milliseconds,
    })
}

fn claim(report: &Report<'_>, claim: Claim) -> Value {
    let checks: Vec<Value> = report
        .checks(claim)
        .into_iter()
        .map(|(check, tested)| {
            let listed = u64::try_from(tested.listed.len()).unwrap_or(u64::MAX);
            json!({
                "id": check.id(),
                "title": check.title(),
                "tested": tested.items,
                "exceptions": tested.exceptions,
                "not_verified": tested.unverified,
                "listed": tested.listed.iter().map(|each| exception(report, each)).collect::<Vec<_>>(),
                "left_out": tested.exceptions.saturating_sub(listed),
            })
        })
        .collect();
    json!({
        "id": claim.id(),
        "title": claim.title(),
        "verdict": report.verdict(claim).word(),
        "checks": checks,
        "not_shown": report.gaps(claim).iter().map(|(gap, _)| gap.id()).collect::<Vec<_>>(),
    })
}

fn exception(report: &Report<'_>, exception: &Exception) -> Value {
    json!({
        "check": exception.check.id(),
        "epoch": exception.place.map(|place| place.epoch),
        "entry": exception.place.map(|place| place.index),
        "reason": exception.fault.reason,
        "words": report.words(exception),
    })
}

fn activity(report: &Report<'_>) -> Value {
    let activity = report.activity;
    let kinds: serde_json::Map<String, Value> = activity
        .kinds
        .iter()
        .map(|(kind, count)| (kind.as_str().to_owned(), (*count).into()))
        .collect();
    let releases: Vec<Value> = activity
        .releases
        .iter()
        .map(|(name, in_use)| {
            json!({
                "release": name,
                "count": in_use.count,
                "first": time_text(in_use.first),
                "last": time_text(in_use.last),
            })
        })
        .collect();
    let steps: Vec<Value> = activity
        .steps()
        .iter()
        .filter(|(_, step)| step.accepted > 0 || step.refused > 0)
        .map(|(at, step)| {
            json!({ "from": time_text(*at), "accepted": step.accepted, "refused": step.refused })
        })
        .collect();
    json!({
        "entries": kinds,
        "refusals": activity.refusals,
        "releases": releases,
        "step_milliseconds": activity.step_millis(),
        "steps": steps,
    })
}
