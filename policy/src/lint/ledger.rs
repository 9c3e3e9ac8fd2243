//! What people should know about the log that a bundle names.

use super::{Finding, note, warning};
use crate::bundle::Bundle;
use crate::ledger::Ledger;

/// What the log is good for depends on who vouches for it, and on who looks.
pub(super) fn of_ledger(bundle: &Bundle) -> Vec<Finding> {
    let Some(ledger) = &bundle.ledger else {
        return vec![warning(
            "lint.no_ledger",
            "no [ledger]: nothing is logged, and agents with the log in their [trust] refuse this \
             bundle"
                .into(),
        )];
    };
    let Ledger {
        log: _,
        witnesses,
        quorum,
        salt: _,
        readers,
        anyone_may_read,
        release_waits_for_quorum,
        insecure_without_witnesses: _, // The same as a quorum of 0.
        previous: _,
    } = ledger;
    let (quorum, of) = (*quorum, witnesses.len());
    let mut findings = Vec::new();
    if quorum == 0 {
        findings.push(warning(
            "lint.no_witnesses",
            "insecure_without_witnesses: the service could show each reader another log, and \
             agents would believe it"
                .into(),
        ));
    } else {
        // Two sets that do not overlap could vouch for two logs, neither knowing of the other.
        if quorum.saturating_mul(2) <= of {
            findings.push(warning(
                "lint.quorum_minority",
                format!(
                    "a quorum of {quorum} of {of} witnesses: two halves that never meet could each \
                     vouch for another log; {} or more always overlap",
                    of / 2 + 1
                ),
            ));
        }
        if quorum == of {
            findings.push(warning(
                "lint.quorum_no_spare",
                format!(
                    "all {of} witnesses must cosign: one that is away stops orders and releases"
                ),
            ));
        }
    }
    if !release_waits_for_quorum {
        findings.push(warning(
            "lint.release_before_quorum",
            "release_waits_for_quorum = false: keys leave on the word of the service's log alone"
                .into(),
        ));
    }
    match (anyone_may_read, readers.is_empty()) {
        (true, _) => findings.push(note(
            "lint.log_public",
            "anyone_may_read: whoever reaches the service reads the log".into(),
        )),
        (false, true) => findings.push(warning(
            "lint.log_unread",
            "no readers: nobody may read the log, so nobody would notice what is in it".into(),
        )),
        (false, false) => {}
    }
    findings
}
