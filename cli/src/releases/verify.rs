//! `release verify`: the releases a policy directory knows, and whether each is in force.

use narthex_policy::{Provenance, Release, UnixMillis};
use serde_json::{Value, json};

use crate::commands::release::VerifyArguments;
use crate::exit::Exit;
use crate::failure::Outcome;
use crate::moment::now_unix_millis;
use crate::output::Output;
use crate::policy_directory::HeldPolicy;
use crate::printable::printable;
use crate::table::Table;

/// `narthex release verify`.
pub(super) fn verify(arguments: &VerifyArguments, output: &Output) -> Outcome<Exit> {
    let now = match arguments.at {
        Some(at) => UnixMillis(at),
        None => UnixMillis(now_unix_millis()?),
    };
    let held = HeldPolicy::load(&arguments.directory, arguments.genesis.as_deref(), now)?;
    held.require_unexpired(now)?;
    let mut releases: Vec<&Release> = held
        .policy
        .releases()
        .filter(|release| {
            arguments
                .name
                .as_ref()
                .is_none_or(|name| release.name.as_str() == name)
        })
        .collect();
    releases.sort_by_key(|release| release.serial);
    let state = |release: &Release| match held.policy.release_for(&release.measurements, now) {
        Ok(_) => "in force".to_owned(),
        Err(refusal) => refusal.id().to_owned(),
    };
    let wrong: Vec<Value> = held
        .left_out
        .iter()
        .filter(|left_out| !left_out.file.starts_with("bundles"))
        .map(|left_out| {
            json!({
                "file": left_out.file,
                "reason": left_out.refusal.id(),
                "detail": left_out.refusal.detail(),
            })
        })
        .collect();
    let in_force = releases.iter().any(|release| state(release) == "in force");
    let missing = arguments.name.as_ref().filter(|_| !in_force);
    let refused = missing.is_some() || !wrong.is_empty();
    let value = json!({
        "verdict": if refused { "refused" } else { "accepted" },
        "bundle_in_force": held.policy.bundle().version,
        "releases": releases.iter().map(|release| to_json(release, &state(release))).collect::<Vec<_>>(),
        "left_out": wrong,
    });
    output.result(&value, || {
        let mut table = Table::indented(0);
        for release in &releases {
            let pcr0: String = hex::encode(release.measurements.pcr0.0)
                .chars()
                .take(16)
                .collect();
            table.row([
                release.name.as_str(),
                release.version.as_str(),
                release.status.name(),
                &state(release),
                &format!("until {}", release.expires),
                &format!("PCR0 {pcr0}…"),
                match release.provenance {
                    Provenance::Manifest(_) => "",
                    Provenance::InsecureByHand => "insecure measurements by hand",
                },
            ]);
        }
        let mut text = table.text();
        for left_out in &held.left_out {
            let (id, detail) = (left_out.refusal.id(), left_out.refusal.detail());
            text.push_str(&format!(
                "{} does not count: {} [{id}]\n",
                printable(&left_out.file),
                printable(detail)
            ));
        }
        text
    })?;
    if let Some(name) = missing {
        output.say(format_args!(
            "narthex: refused: no release {name} is in force"
        ));
    }
    Ok(if refused { Exit::Refused } else { Exit::Done })
}

fn to_json(release: &Release, state: &str) -> Value {
    let measurements = &release.measurements;
    json!({
        "name": release.name.as_str(),
        "version": release.version.as_str(),
        "serial": release.serial,
        "status": release.status.name(),
        "state": state,
        "issued": release.issued.to_string(),
        "expires": release.expires.to_string(),
        "pcr0": hex::encode(measurements.pcr0.0),
        "pcr1": hex::encode(measurements.pcr1.0),
        "pcr2": hex::encode(measurements.pcr2.0),
        "pcr8": measurements.pcr8.map(|pcr| hex::encode(pcr.0)),
        "manifest_sha384": match release.provenance {
            Provenance::Manifest(digest) => Some(digest.to_string()),
            Provenance::InsecureByHand => None,
        },
        "insecure_measurements_by_hand": release.provenance == Provenance::InsecureByHand,
        "sha384": hex::encode(release.digest.0),
    })
}
