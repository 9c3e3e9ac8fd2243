//! What the ledger says no with, as what a person can do about it.

use narthex_ledger::{LogError, LogReason};

use crate::failure::Failure;

/// A refusal or a fault of the source, in words; `what` is what was looked at.
pub(crate) fn log_failure(what: &str, error: &LogError) -> Failure {
    let words = format!("{what}: {}", error.detail());
    if error.reason() == LogReason::Unavailable {
        return Failure::environment(error.id(), words).next(
            "is it running, is the address right, and does anything in between drop it? A copy \
             that was made before (`narthex log mirror`) can be read instead",
        );
    }
    let failure = Failure::refused(error.id(), words);
    match error.reason() {
        LogReason::Forbidden => failure.next(
            "`narthex log ticket --policy DIR --as NAME --key KEY --out FILE` signs a ticket for a \
             reader whom the policy names; give it with --ticket FILE",
        ),
        LogReason::Signature | LogReason::Origin | LogReason::Key => failure.next(
            "is this the log that your policy names? A new log key counts once the reviewers have \
             signed the bundle with it",
        ),
        LogReason::Quorum => failure.next(
            "too few witnesses have cosigned it: what it shows may be shown to you alone. The \
             service's /readyz names those that are missing",
        ),
        LogReason::Consistency | LogReason::Forked | LogReason::Behind => failure.next(
            "keep both checkpoints: together they prove to anybody that this log was rewritten. \
             Tell the witnesses and the reviewers; do not act on what it says",
        ),
        LogReason::Root
        | LogReason::Tile
        | LogReason::Entries
        | LogReason::Inclusion
        | LogReason::Entry => failure.next(
            "what is served is not what the log signed. Try another source (a mirror); if it is \
             the same there, tell the reviewers",
        ),
        LogReason::Evidence => failure.next(
            "evidence was altered after it was recorded; the entry itself stands. Try another \
             source, and tell the reviewers",
        ),
        LogReason::Missing => failure.next(
            "the source is not complete; `narthex log mirror` or `narthex log export` makes one \
             that is",
        ),
        LogReason::Stale => failure.next(
            "no witness has seen this log lately: it may be frozen, or they cannot be reached",
        ),
        LogReason::Future => failure.next("compare the clocks of this machine and the witnesses"),
        LogReason::Malformed => failure.next("is this a log at all? See `narthex log --help`"),
        LogReason::ProofMissing => failure.next("`narthex order submit` gets one"),
        _ => failure,
    }
}
