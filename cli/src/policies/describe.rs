//! `policy lint` and `policy diff`: what people should know before they sign.

use std::path::Path;

use narthex_policy::{
    Bundle, Change, ChangeKind, DeclaredCounter, Effect, Finding, Severity, UnixMillis,
    bits_per_minute, diff as compare, limits, lint as look, lint_counters,
};
use serde_json::{Value, json};

use crate::commands::policy::{DiffArguments, LintArguments};
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::input::{read_file, read_text};
use crate::moment::now_unix_millis;
use crate::output::Output;
use crate::policy_directory::PolicyDirectory;
use crate::printable::printable;

/// A configuration of an agent is a few KiB.
const CONFIGURATION_LIMIT_BYTES: usize = 1024 * 1024;

/// `narthex policy lint`.
pub(super) fn lint(arguments: &LintArguments, output: &Output) -> Outcome<Exit> {
    let now = UnixMillis(now_unix_millis()?);
    let mut findings = Vec::new();
    for (name, bytes) in files(&arguments.path)? {
        findings.extend(
            look(&bytes, now)
                .into_iter()
                .map(|finding| (name.clone(), finding)),
        );
    }
    let mut bits = None;
    if let Some(path) = &arguments.agent_config {
        let text = read_text(path, CONFIGURATION_LIMIT_BYTES)?;
        let counters = DeclaredCounter::of_agent_configuration(&text)
            .map_err(|refusal| Failure::refused(refusal.id(), refusal.detail()))?;
        bits = Some(bits_per_minute(&counters));
        let name = path.display().to_string();
        findings.extend(
            lint_counters(&counters)
                .into_iter()
                .map(|found| (name.clone(), found)),
        );
    }
    let errors = findings
        .iter()
        .any(|(_, finding)| finding.severity == Severity::Error);
    let value = json!({
        "verdict": if errors { "refused" } else { "accepted" },
        "findings": findings.iter().map(|(file, finding)| finding_json(file, finding)).collect::<Vec<_>>(),
        "counter_bits_per_minute": bits,
    });
    output.result(&value, || match findings.is_empty() {
        true => "nothing to say\n".to_owned(),
        false => findings
            .iter()
            .map(|(file, finding)| format!("{}: {}\n", printable(file), multi_line(finding)))
            .collect(),
    })?;
    Ok(if errors { Exit::Refused } else { Exit::Done })
}

/// `narthex policy diff`.
pub(super) fn diff(arguments: &DiffArguments, output: &Output) -> Outcome<Exit> {
    let changes = compare(&bundle(&arguments.old)?, &bundle(&arguments.new)?);
    let widens = changes.iter().any(|change| change.effect == Effect::Widens);
    let value = json!({
        "widens": widens,
        "changes": changes.iter().map(change_json).collect::<Vec<_>>(),
    });
    output.result(&value, || match changes.is_empty() {
        true => "no difference in meaning\n".to_owned(),
        false => changes
            .iter()
            .map(|change| format!("{}\n", printable(&change.to_string())))
            .collect(),
    })?;
    Ok(Exit::Done)
}

/// One file; or the newest bundle and all statements of a directory.
fn files(path: &Path) -> Outcome<Vec<(String, Vec<u8>)>> {
    if !path.is_dir() {
        let bytes = read_file(path, limits::MAX_BUNDLE_BYTES)?;
        return Ok(vec![(path.display().to_string(), bytes)]);
    }
    let directory = PolicyDirectory::read(path)?;
    let newest = directory.bundles.last();
    let files = newest
        .into_iter()
        .chain(&directory.releases)
        .chain(&directory.stops);
    Ok(files
        .map(|file| (file.short_name(), file.signed.bytes.clone()))
        .collect())
}

fn bundle(path: &Path) -> Outcome<Bundle> {
    Bundle::parse_unverified(&read_file(path, limits::MAX_BUNDLE_BYTES)?).map_err(|refusal| {
        Failure::refused(
            refusal.id(),
            format!("{}: {}", path.display(), refusal.detail()),
        )
    })
}

/// TOML's messages have several lines with a marker under the place; they keep them.
fn multi_line(finding: &Finding) -> String {
    let lines: Vec<_> = finding
        .to_string()
        .lines()
        .map(|line| printable(line).into_owned())
        .collect();
    lines.join("\n  ")
}

fn finding_json(file: &str, finding: &Finding) -> Value {
    let severity = match finding.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    };
    json!({ "file": file, "severity": severity, "id": finding.id, "words": finding.words })
}

fn change_json(change: &Change) -> Value {
    let kind = match change.kind {
        ChangeKind::Added => "added",
        ChangeKind::Removed => "removed",
        ChangeKind::Changed => "changed",
    };
    let effect = match change.effect {
        Effect::Widens => "widens",
        Effect::Narrows => "narrows",
        Effect::Neutral => "neutral",
    };
    json!({ "kind": kind, "effect": effect, "what": change.what })
}
