//! `policy verify`: every file of a directory, and whether it counts.

use narthex_policy::{Namespace, Policy, Provenance, Reason, Release, UnixMillis};
use serde_json::{Value, json};

use crate::commands::policy::VerifyArguments;
use crate::exit::Exit;
use crate::failure::Outcome;
use crate::moment::now_unix_millis;
use crate::output::Output;
use crate::policy_directory::{FileOnDisk, HeldPolicy, LeftOut};
use crate::printable::printable;
use crate::table::Table;

/// One file with what became of it.
struct Line<'a> {
    file: String,
    /// `None` if it counts.
    left_out: Option<&'a LeftOut>,
    signers: Vec<String>,
    sha384: String,
    /// For a release statement: whether its numbers were given by hand.
    insecure_measurements_by_hand: Option<bool>,
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
    // In the order of time: the first one is where things went wrong.
    let wrong = lines
        .iter()
        .filter_map(|line| line.left_out)
        .find(|left_out| !left_out.is_merely_old());
    let reason = match expired {
        true => Some(Reason::BundleExpired.id()),
        false => wrong.map(|left_out| left_out.refusal.id()),
    };
    let refused = reason.is_some();
    let bundle = held.policy.bundle();
    let value = json!({
        "verdict": if refused { "refused" } else { "accepted" },
        "reason": reason,
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
            let state = match line.left_out {
                None if line.insecure_measurements_by_hand == Some(true) => {
                    "counts; insecure measurements by hand".to_owned()
                }
                None => "counts".to_owned(),
                Some(LeftOut { refusal, .. }) => {
                    format!("does not count: {} [{}]", refusal.detail(), refusal.id())
                }
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

impl Line<'_> {
    fn to_json(&self) -> Value {
        let Self {
            file,
            left_out,
            signers,
            sha384,
            insecure_measurements_by_hand,
        } = self;
        let mut value = json!({
            "file": file,
            "sha384": sha384,
            "counts": left_out.is_none(),
            "reason": left_out.map(|left_out| left_out.refusal.id()),
            "detail": left_out.map(|left_out| left_out.refusal.detail()),
            "signatures": signers,
        });
        if let (Some(by_hand), Some(members)) =
            (insecure_measurements_by_hand, value.as_object_mut())
        {
            members.insert("insecure_measurements_by_hand".to_owned(), json!(by_hand));
        }
        value
    }
}

fn lines(held: &HeldPolicy) -> Vec<Line<'_>> {
    let directory = &held.directory;
    let of = |files: &[FileOnDisk], namespace: Namespace| -> Vec<_> {
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

fn line<'a>(held: &'a HeldPolicy, file: &FileOnDisk, namespace: Namespace) -> Line<'a> {
    let name = file.short_name();
    Line {
        left_out: held.left_out.iter().find(|left_out| left_out.file == name),
        signers: signers(&held.policy, file, namespace),
        sha384: hex::encode(file.signed.digest().0),
        insecure_measurements_by_hand: match namespace {
            Namespace::Release => Release::parse_unverified(&file.signed.bytes)
                .ok()
                .map(|release| release.provenance == Provenance::InsecureByHand),
            _ => None,
        },
        file: name,
    }
}

/// Who signed, as the bundle in force knows their keys; a signature that does not hold shows why.
fn signers(policy: &Policy, file: &FileOnDisk, namespace: Namespace) -> Vec<String> {
    policy
        .signers_of(&file.signed, namespace)
        .into_iter()
        .zip(&file.claimed)
        .map(|(signer, claimed)| match signer {
            Ok(signer) if signer.person.as_str() == claimed => claimed.clone(),
            Ok(signer) => format!("{} (in {claimed}.sig)", signer.person),
            Err(refusal) => format!("{claimed}? [{}]", refusal.id()),
        })
        .collect()
}
