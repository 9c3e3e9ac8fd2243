//! `policy` and `keys`: what is in force, and what was received under it.

use narthex_channel::diagnostics::{Field, FieldName, ReleaseState, Selector, State, Value};
use narthex_channel::{Digest384, UnixMillis};
use narthex_ledger::LogReason;

use super::{count, flag};
use crate::supervisor::core::{Core, SourceStatus};

/// The policy in force, and the agent's own decisions.
pub(super) fn policy(core: &Core) -> Vec<Field> {
    let now = core.now();
    let authority = core.authority.borrow();
    let (policy, chain) = (authority.policy(), authority.chain());
    let bundle = policy.bundle();
    let digest = |name, digest: Digest384| Field::single(name, Value::Digest(digest));
    let time = |name, time: u64| Field::single(name, Value::Time(UnixMillis(time)));
    let length = |length: usize| u64::try_from(length).unwrap_or(u64::MAX);
    let release = release_state(authority.release_state(now));
    let mut fields = vec![
        digest(FieldName::PolicyBootBundle, authority.boot_bundle()),
        digest(FieldName::PolicyBundle, authority.bundle_in_force()),
        count(FieldName::PolicyVersion, bundle.version),
        time(FieldName::PolicyIssued, bundle.issued.0),
        time(FieldName::PolicyExpires, bundle.expires.0),
        flag(FieldName::PolicyExpired, authority.is_expired(now)),
        Field::single(FieldName::PolicyRelease, Value::State(release)),
        count(FieldName::PolicyReleases, length(policy.releases().count())),
        count(FieldName::PolicyStops, length(policy.stops().count())),
        count(FieldName::PolicyAccepted, chain.accepted()),
        count(FieldName::PolicyRefused, chain.refused()),
        digest(FieldName::PolicyChainHead, chain.head()),
    ];
    let SourceStatus {
        requests: _,
        failures,
        succeeded,
        next: _,
    } = *core.policy_status.borrow();
    fields.push(count(FieldName::PolicyFailures, failures));
    if let Some(refreshed) = succeeded {
        fields.push(time(FieldName::PolicyRefreshed, refreshed.0));
    }
    if let Some(current_at) = authority.current_at() {
        fields.push(time(FieldName::PolicyCurrentAt, current_at.0));
    }
    let successor = authority
        .successor_withheld()
        .map_or(State::None, log_state);
    fields.push(Field::single(
        FieldName::PolicySuccessor,
        Value::State(successor),
    ));
    fields
}

/// What is wrong with a proof, as a result shows it.
fn log_state(reason: LogReason) -> State {
    match reason {
        LogReason::ProofMissing => State::LogProofMissing,
        LogReason::Malformed | LogReason::Entry => State::LogMalformed,
        LogReason::Signature | LogReason::Origin => State::LogSignature,
        LogReason::Quorum => State::LogQuorum,
        LogReason::Inclusion => State::LogInclusion,
        LogReason::Stale => State::LogStale,
        LogReason::Future => State::LogFuture,
        LogReason::NotLast => State::LogNotLast,
        LogReason::NotCurrent => State::LogNotCurrent,
        _ => State::LogOther,
    }
}

/// The release state as a result shows it.
pub(crate) fn release_state(state: ReleaseState) -> State {
    match state {
        ReleaseState::Current => State::Current,
        ReleaseState::Previous => State::Previous,
        ReleaseState::Revoked => State::Revoked,
        ReleaseState::Expired => State::Expired,
        _ => State::Unknown,
    }
}

/// Names, versions and times of the keys; never anything of a key but its public commitment.
pub(super) fn keys(core: &Core) -> Vec<Field> {
    let keyring = core.keyring.borrow();
    let mut fields = Vec::new();
    for wanted in keyring.wanted() {
        let mut push = |name, value| {
            let selector = Selector::Key(wanted.name.clone());
            fields.push(Field {
                name,
                selector,
                value,
            });
        };
        let Some(held) = keyring.held(&wanted.name) else {
            push(FieldName::KeyState, Value::State(State::Missing));
            continue;
        };
        push(FieldName::KeyState, Value::State(State::Received));
        push(FieldName::KeyVersion, Value::Count(u64::from(held.version)));
        push(FieldName::KeyReceived, Value::Time(held.received));
        push(FieldName::KeyCommitment, Value::Digest(held.commitment));
    }
    let SourceStatus {
        requests,
        failures,
        succeeded: _,
        next,
    } = *core.key_status.borrow();
    fields.push(count(FieldName::KeyRequests, requests));
    fields.push(count(FieldName::KeyFailures, failures));
    if let Some(next) = next {
        fields.push(Field::single(FieldName::KeyNextRequest, Value::Time(next)));
    }
    fields
}
