//! `policy verify`: every file of a directory, and whether it counts.

use narthex_policy::{Namespace, Policy, Reason, UnixMillis};
use serde_json::{Value, json};

use crate::commands::policy::VerifyArguments;
use crate::exit::Exit;
use crate::failure::Outcome;
use crate::moment::now_unix_millis;
use crate::output::Output;
use crate::policy_directory::{FileOnDisk, HeldPolicy};
use crate::printable::printable;
use crate::table::Table;

/// One file with what became of it.
struct Line {
    file: String,
    /// `None` if it counts.
    reason: Option<(Reason, String)>,
    signers: Vec<String>,
    sha384: String,
}

/// `narthex policy verify`.
pub(super) fn verify(arguments: &VerifyArguments, output: &Output) -> Outcome<Exit> {
    let now = match arguments.at {
        Some(at) => UnixMillis(at),
        None => UnixMillis(now_unix_millis()?),
    };
    let held = HeldPolicy::load(&arguments.directory, arguments.genesis.as_deref(), now)?;
    let expired = held.policy.is_expired(now);
    let lines = lines(&held);
    let wrong = lines.iter().filter(|line| {
        line.reason
            .as_ref()
            .is_some_and(|(reason, _)| !is_age(*reason))
    });
    let refused = expired || wrong.count() > 0;
    let bundle = held.policy.bundle();
    let value = json!({
        "verdict": if refused { "refused" } else { "accepted" },
        "reason": if expired { Some(Reason::BundleExpired.id()) } else { first_reason(&lines) },
        "judged_at": now.to_string(),
        "project": bundle.project.as_str(),
        "genesis_sha384": hex::encode(held.genesis.0),
        "genesis_pinned": arguments.genesis.is_some(),
        "bundle_in_force": {
            "version": bundle.version,
            "sha384": hex::encode(held.policy.digest().0),
            "expires": bundle.expires.to_string(),
        },
        "files": lines.iter().map(Line::to_json).collect::<Vec<_>>(),
    });
    output.result(&value, || {
        let mut table = Table::indented(2);
        for line in &lines {
            let state = match &line.reason {
                None => "counts".to_owned(),
                Some((reason, words)) => format!("does not count: {words} [{reason}]"),
            };
            let signers = match line.signers.is_empty() {
                true => "nobody signed".to_owned(),
                false => format!("signed by {}", line.signers.join(", ")),
            };
            table.row([
                &printable(&line.file),
                &printable(&signers),
                &printable(&state),
            ]);
        }
        let verdict = match (expired, refused) {
            (true, _) => format!(
                "REFUSED  bundle {} expired {}",
                bundle.version, bundle.expires
            ),
            (false, true) => "REFUSED  some files do not hold".to_owned(),
            (false, false) => "ACCEPTED  every file holds, or is merely past its time".to_owned(),
        };
        format!(
            "{verdict}\n  {}: bundle {} in force until {}\n  genesis {}\n\n{}",
            bundle.project,
            bundle.version,
            bundle.expires,
            hex::encode(held.genesis.0),
            table.text()
        )
    })?;
    if arguments.genesis.is_none() {
        output.say(
            "narthex: the first bundle was taken at its word; --genesis HEX, from its reviewers, pins it",
        );
    }
    Ok(if refused { Exit::Refused } else { Exit::Done })
}

impl Line {
    fn to_json(&self) -> Value {
        let Self {
            file,
            reason,
            signers,
            sha384,
        } = self;
        json!({
            "file": file,
            "sha384": sha384,
            "counts": reason.is_none(),
            "reason": reason.as_ref().map(|(reason, _)| reason.id()),
            "detail": reason.as_ref().map(|(_, words)| words),
            "signatures": signers,
        })
    }
}

fn lines(held: &HeldPolicy) -> Vec<Line> {
    let directory = &held.directory;
    let of = |files: &[FileOnDisk], namespace: Namespace| -> Vec<Line> {
        files
            .iter()
            .map(|file| line(held, file, namespace))
            .collect()
    };
    let mut lines = of(&directory.bundles, Namespace::Policy);
    lines.extend(of(&directory.releases, Namespace::Release));
    lines.extend(of(&directory.stops, Namespace::Stop));
    lines
}

fn line(held: &HeldPolicy, file: &FileOnDisk, namespace: Namespace) -> Line {
    let name = file.short_name();
    let left_out = held.left_out.iter().find(|left_out| left_out.file == name);
    Line {
        reason: left_out.map(|left_out| {
            (
                left_out.refusal.reason(),
                left_out.refusal.detail().to_owned(),
            )
        }),
        signers: signers(&held.policy, file, namespace),
        sha384: hex::encode(file.signed.digest().0),
        file: name,
    }
}

/// Who signed, as the bundle in force knows their keys; a signature that does not hold shows why.
pub(super) fn signers(policy: &Policy, file: &FileOnDisk, namespace: Namespace) -> Vec<String> {
    policy
        .signers_of(&file.signed, namespace)
        .into_iter()
        .zip(&file.claimed)
        .map(|(signer, claimed)| match signer {
            Ok(signer) => signer.person.to_string(),
            Err(refusal) => format!("{claimed}? [{}]", refusal.id()),
        })
        .collect()
}

/// Old statements stay in the directory; that their time is over is no fault.
fn is_age(reason: Reason) -> bool {
    matches!(reason, Reason::ReleaseExpired | Reason::ReleaseRolledBack)
}

fn first_reason(lines: &[Line]) -> Option<&'static str> {
    let reasons = lines
        .iter()
        .filter_map(|line| line.reason.as_ref().map(|(reason, _)| *reason));
    reasons
        .into_iter()
        .find(|reason| !is_age(*reason))
        .map(Reason::id)
}
