//! What people should know about a file before they sign it.
//!
//! A file that could never take effect is an error with the reason of its refusal. Everything else
//! is advice: allowed, but worth a look.

use core::fmt;
use core::time::Duration;

use crate::administration::{ADMINISTRATION_ORDER_SCHEMA, AdministrationOrder};
use crate::bundle::{AccountRule, Approval, Bundle, KeyRule, ReleaseAuthority};
use crate::counters::{DeclaredCounter, bits_per_minute};
use crate::file::schema_of_bytes;
use crate::names::{NamePattern, PersonName};
use crate::order::{Order, READ_ORDER_SCHEMA, WRITE_ORDER_SCHEMA};
use crate::reason::Refusal;
use crate::release::{Provenance, RELEASE_SCHEMA, Release, ReleaseStatus};
use crate::stop::{STOP_SCHEMA, Stop};
use crate::time::{UnixMillis, format_duration};

mod ledger;

/// Expiry nearer than this is worth a warning.
const SOON: Duration = Duration::from_secs(14 * 86_400);

/// How grave a finding is.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Severity {
    /// The file could never take effect.
    Error,
    /// Allowed, and probably not what its authors want, or a weakness they accept.
    Warning,
    /// Good to know.
    Note,
}

/// One thing to know.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Finding {
    /// How grave.
    pub severity: Severity,
    /// Stable id: that of the refusal, or `lint.*`.
    pub id: &'static str,
    /// What, where, and what to do.
    pub words: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        };
        write!(formatter, "{severity}: {}: {}", self.id, self.words)
    }
}

/// Looks at a bundle, release statement, stop statement or order of any kind, as it would stand at
/// `now`. An empty list means: nothing to say.
pub fn lint(bytes: &[u8], now: UnixMillis) -> Vec<Finding> {
    let findings = match schema_of_bytes(bytes).as_deref() {
        Ok(RELEASE_SCHEMA) => {
            Release::parse_unverified(bytes).map(|release| of_release(&release, now))
        }
        Ok(STOP_SCHEMA) => Stop::parse_unverified(bytes).map(|_| Vec::new()),
        Ok(READ_ORDER_SCHEMA | WRITE_ORDER_SCHEMA) => {
            Order::parse_unverified(bytes).map(|order| of_order(order.head().expires, now))
        }
        Ok(ADMINISTRATION_ORDER_SCHEMA) => AdministrationOrder::parse_unverified(bytes)
            .map(|order| of_order(order.head.expires, now)),
        // Anything else was meant to be a bundle, or is told that it is none.
        Ok(_) => Bundle::parse_unverified(bytes).map(|bundle| of_bundle(&bundle, now)),
        Err(refusal) => Err(refusal.clone()),
    };
    findings.unwrap_or_else(|refusal| vec![error(&refusal)])
}

/// What the declared counters of an agent's configuration let a colluding workload say.
pub fn lint_counters(counters: &[DeclaredCounter]) -> Vec<Finding> {
    let mut findings: Vec<Finding> = counters
        .iter()
        .map(|counter| {
            note(
                "lint.counter",
                format!(
                    "counter {}: {:.1} bits per minute",
                    counter.name,
                    counter.bits_per_minute()
                ),
            )
        })
        .collect();
    findings.push(note(
        "lint.counters",
        format!(
            "a workload that colludes can send at most {:.1} bits per minute through its counters",
            bits_per_minute(counters)
        ),
    ));
    findings
}

fn of_bundle(bundle: &Bundle, now: UnixMillis) -> Vec<Finding> {
    let mut findings = of_expiry(bundle.expires, now);
    findings.extend(of_review(bundle));
    findings.extend(
        bundle
            .approvals
            .iter()
            .flat_map(|approval| of_approval(bundle, approval)),
    );
    findings.extend(bundle.release_authorities.iter().flat_map(of_authority));
    if bundle.stop.threshold > 1 {
        findings.push(warning(
            "lint.stop_threshold",
            format!(
                "{} people must sign before anything stops at once",
                bundle.stop.threshold
            ),
        ));
    }
    findings.extend(bundle.keys.iter().flat_map(|key| of_key(bundle, key)));
    if !bundle.keys.is_empty() && bundle.key_service.is_none() {
        findings.push(warning(
            "lint.key_service",
            "there are keys, and no [key_service]: agents cannot tell the right service".into(),
        ));
    }
    findings.extend(ledger::of_ledger(bundle));
    findings.extend(of_idle(bundle));
    findings
}

fn of_review(bundle: &Bundle) -> Vec<Finding> {
    let review = &bundle.review;
    let mut findings = Vec::new();
    if review.threshold == review.reviewers.len() {
        findings.push(warning(
            "lint.review_no_spare",
            format!(
                "all {} reviewers must sign: one lost key and the policy can never change",
                review.threshold
            ),
        ));
    }
    for person in bundle.people_named(&review.reviewers) {
        if !person.keys.iter().all(|key| key.is_security_key()) {
            findings.push(note(
                "lint.software_key",
                format!("reviewer {} has a key that is no security key", person.name),
            ));
        }
    }
    findings
}

fn of_approval(bundle: &Bundle, approval: &Approval) -> Vec<Finding> {
    let what: Vec<&str> = approval
        .actions
        .iter()
        .map(|action| action.name())
        .chain(approval.operations.iter().map(|kind| kind.name()))
        .collect();
    let what = what.join(", ");
    let mut findings = vec![note(
        "lint.approval",
        format!(
            "{what}: {} of {} approvers, after {}",
            approval.threshold,
            approval.approvers.len(),
            format_duration(approval.delay)
        ),
    )];
    let asks = |name: &&PersonName| {
        bundle.person(name).is_some_and(|person| {
            bundle
                .actions_of(person)
                .iter()
                .any(|action| approval.actions.contains(action))
                || bundle
                    .operations_of(person)
                    .iter()
                    .any(|kind| approval.operations.contains(kind))
        })
    };
    // The requester's own approval never counts: such a person must find all of the others.
    if approval.threshold == approval.approvers.len() {
        for name in approval.approvers.iter().filter(asks) {
            findings.push(warning(
                "lint.approval_unreachable",
                format!("{what}: {name} may ask, and never finds enough other approvers"),
            ));
        }
    }
    findings
}

fn of_authority(authority: &ReleaseAuthority) -> Vec<Finding> {
    let mut findings = Vec::new();
    if authority.names.iter().any(NamePattern::is_any) {
        findings.push(note(
            "lint.any_release",
            "a release authority speaks for every release name (\"*\")".into(),
        ));
    }
    if authority.threshold == authority.signers.len() {
        findings.push(note(
            "lint.release_no_spare",
            format!(
                "all {} signers of a release authority must sign",
                authority.threshold
            ),
        ));
    }
    findings
}

fn of_key(bundle: &Bundle, key: &KeyRule) -> Vec<Finding> {
    let KeyRule {
        name,
        releases,
        statuses,
        account,
        shares: _,
        max_document_age: _,
        commitments,
    } = key;
    let mut findings = Vec::new();
    if *account == AccountRule::InsecureAny {
        findings.push(warning(
            "lint.any_account",
            format!(
                "key {name}: insecure_any_account: the same image in a stranger's AWS account has \
                 the same PCR0 to PCR2 and PCR16, and gets the key; name role_arns or instance_ids"
            ),
        ));
    }
    if releases.iter().any(NamePattern::is_any) {
        findings.push(warning(
            "lint.key_any_release",
            format!("key {name} is for every release"),
        ));
    }
    for pattern in releases {
        let spoken_for = bundle
            .release_authorities
            .iter()
            .flat_map(|authority| &authority.names)
            .any(|names| names.covers(pattern) || pattern.covers(names));
        if !spoken_for {
            findings.push(warning(
                "lint.key_without_release",
                format!("key {name}: no release authority speaks for {pattern}"),
            ));
        }
    }
    if !statuses.contains(&ReleaseStatus::Current) {
        findings.push(warning(
            "lint.key_not_current",
            format!("key {name} is not for current releases"),
        ));
    }
    if commitments.is_empty() {
        findings.push(note(
            "lint.key_without_commitment",
            format!("key {name}: no commitment, so agents cannot tell a substituted key"),
        ));
    }
    findings
}

/// Roles nobody has, and people who can do nothing.
fn of_idle(bundle: &Bundle) -> Vec<Finding> {
    let mut findings = Vec::new();
    for role in &bundle.roles {
        if !bundle
            .people
            .iter()
            .any(|person| person.roles.contains(&role.name))
        {
            findings.push(note(
                "lint.role_unused",
                format!("nobody has the role {}", role.name),
            ));
        }
    }
    for person in &bundle.people {
        let named = bundle.review.reviewers.contains(&person.name)
            || bundle.stop.signers.contains(&person.name)
            || bundle
                .ledger
                .as_ref()
                .is_some_and(|ledger| ledger.readers.contains(&person.name))
            || bundle
                .approvals
                .iter()
                .any(|approval| approval.approvers.contains(&person.name))
            || bundle
                .release_authorities
                .iter()
                .any(|rule| rule.signers.contains(&person.name));
        if !named && person.roles.is_empty() {
            findings.push(note(
                "lint.person_idle",
                format!("{} may do nothing", person.name),
            ));
        }
    }
    findings
}

fn of_release(release: &Release, now: UnixMillis) -> Vec<Finding> {
    if release.status == ReleaseStatus::Revoked {
        return Vec::new(); // A revocation holds for good.
    }
    let mut findings = of_expiry(release.expires, now);
    if release.provenance == Provenance::InsecureByHand {
        findings.push(warning(
            "lint.measurements_by_hand",
            "insecure_measurements_by_hand: the numbers were given by hand, and no release manifest \
             says what went into the image; `narthex release new --manifest` takes one"
                .into(),
        ));
    }
    if release.measurements.pcr8.is_none() {
        findings.push(note(
            "lint.no_pcr8",
            "no PCR8: who signed the image is not checked, only what it is".into(),
        ));
    }
    findings
}

/// Orders live for hours: only that one is over is worth saying.
fn of_order(expires: UnixMillis, now: UnixMillis) -> Vec<Finding> {
    of_expiry(expires, now)
        .into_iter()
        .filter(|finding| finding.id == "lint.expired")
        .collect()
}

fn of_expiry(expires: UnixMillis, now: UnixMillis) -> Vec<Finding> {
    if now >= expires {
        vec![warning("lint.expired", format!("expired at {expires}"))]
    } else if expires.since(now) < SOON {
        vec![warning(
            "lint.expires_soon",
            format!("expires at {expires}, in less than 14 days"),
        )]
    } else {
        Vec::new()
    }
}

fn error(refusal: &Refusal) -> Finding {
    Finding {
        severity: Severity::Error,
        id: refusal.id(),
        words: refusal.detail().to_owned(),
    }
}

fn warning(id: &'static str, words: String) -> Finding {
    Finding {
        severity: Severity::Warning,
        id,
        words,
    }
}

fn note(id: &'static str, words: String) -> Finding {
    Finding {
        severity: Severity::Note,
        id,
        words,
    }
}
