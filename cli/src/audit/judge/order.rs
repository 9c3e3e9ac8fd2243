//! Orders for diagnostics.

use narthex_ledger::{BootId, Digest384, OrderEntry, OrderScope};
use narthex_policy::{AdmittedOrder, Namespace, Order, SignedOrder};

use super::{Bench, Later, groundless, moments, refusal_agrees, signed_order};
use crate::audit::check::Check;
use crate::audit::claim::Gap;
use crate::audit::findings::{Fault, Notes};
use crate::audit::lineage::{PolicyState, same_people};

pub(super) fn judge(
    bench: &Bench<'_>,
    state: &PolicyState,
    entry: &OrderEntry,
    parts: &[Vec<u8>],
    notes: &mut Notes,
) -> Later {
    let check = match entry.decision.is_accepted() {
        true => Check::OrderAuthorised,
        false => Check::RefusalOrder,
    };
    let order = match signed_order(parts) {
        Ok(order) => order,
        Err(fault) => {
            notes.fail(check, fault);
            return Later::Nothing;
        }
    };
    match entry.decision.reason() {
        None => accepted(state, entry, &order, notes),
        Some(reason) => refused(bench, entry, reason, &order, notes),
    }
}

fn accepted(
    state: &PolicyState,
    entry: &OrderEntry,
    order: &SignedOrder,
    notes: &mut Notes,
) -> Later {
    let admitted = match admit(state, order, entry.time) {
        Ok(admitted) => admitted,
        Err(fault) => {
            notes.fail(Check::OrderAuthorised, fault);
            return Later::OrderAccepted(entry.clone());
        }
    };
    notes.pass(Check::OrderAuthorised);
    // Reading it has seen to that: the format has no other actions, and no free text.
    notes.pass(Check::OrderScope);
    notes.put(Check::OrderActions, same_scope(entry, admitted.order()));
    notes.put(Check::OrderEntry, agrees(state, entry, order, &admitted));
    if matches!(admitted.order(), Order::Write(_)) {
        notes.gaps.push(Gap::Delays);
    }
    Later::OrderAccepted(entry.clone())
}

/// Admits the order as the service did, at the entry's time or a moment before.
fn admit(state: &PolicyState, order: &SignedOrder, time: u64) -> Result<AdmittedOrder, Fault> {
    let [at, before] = moments(time);
    state.policy.admit_order(order, at).or_else(|refusal| {
        state
            .policy
            .admit_order(order, before)
            .map_err(|_| Fault::from(&refusal))
    })
}

fn agrees(
    state: &PolicyState,
    entry: &OrderEntry,
    order: &SignedOrder,
    admitted: &AdmittedOrder,
) -> Result<(), Fault> {
    same_order(entry, order)?;
    let requester = state.person(admitted.requester());
    if entry.requester != Some(requester) {
        let said = entry
            .requester
            .map_or_else(|| "nobody".to_owned(), |person| person.to_string());
        return Err(Fault::differs("the requester", said, requester));
    }
    let approvers = admitted.approvers().iter();
    let approvers = approvers.map(|signer| state.person(signer)).collect();
    same_people("the approvers", &entry.approvers, approvers)?;
    if entry.bundle != state.policy.version() {
        return Err(Fault::differs(
            "the bundle in force",
            entry.bundle,
            state.policy.version(),
        ));
    }
    Ok(())
}

fn same_order(entry: &OrderEntry, order: &SignedOrder) -> Result<(), Fault> {
    let digest = Digest384::of(&order.bytes);
    match entry.order == digest {
        true => Ok(()),
        false => Err(Fault::differs("the order's digest", entry.order, digest)),
    }
}

fn same_scope(entry: &OrderEntry, order: &Order) -> Result<(), Fault> {
    let found = match order {
        Order::Read(read) => OrderScope::Read {
            actions: read.actions.iter().map(ToString::to_string).collect(),
        },
        Order::Write(write) => OrderScope::Write {
            action: write.action.to_string(),
            enclave: write.module_id.clone(),
            boot: BootId(*write.boot_id.as_bytes()),
        },
    };
    match entry.scope.as_ref() == Some(&found) {
        true => Ok(()),
        false => Err(Fault::differs(
            "what is allowed where",
            entry
                .scope
                .as_ref()
                .map_or_else(|| "nothing".to_owned(), |scope| format!("{scope:?}")),
            format_args!("{found:?}"),
        )),
    }
}

/// What the entry says about an order that was refused: what the order asks for, if it can be read.
fn said_of_refused(
    bench: &Bench<'_>,
    entry: &OrderEntry,
    order: &SignedOrder,
) -> Result<(), Fault> {
    match Order::parse_unverified(&order.bytes) {
        Ok(parsed) => same_scope(entry, &parsed)?,
        Err(_) if entry.scope.is_none() => {}
        Err(refusal) => {
            return Err(Fault::differs(
                "what is allowed where",
                "something",
                Fault::from(&refusal).words,
            ));
        }
    }
    // Nobody counts as an approver of what was refused.
    same_people("the approvers", &entry.approvers, Vec::new())?;
    bench.knows_bundle(entry.bundle)
}

fn refused(
    bench: &Bench<'_>,
    entry: &OrderEntry,
    reason: &str,
    order: &SignedOrder,
    notes: &mut Notes,
) -> Later {
    let outcome = refused_well(bench, entry, reason, order, notes);
    notes.put(Check::RefusalOrder, outcome);
    Later::Nothing
}

fn refused_well(
    bench: &Bench<'_>,
    entry: &OrderEntry,
    reason: &str,
    order: &SignedOrder,
    notes: &mut Notes,
) -> Result<(), Fault> {
    same_order(entry, order)?;
    // An entry says who asked; nobody may be blamed for what they have not signed.
    if let Some(requester) = entry.requester {
        let signed = bench.states.iter().any(|state| {
            state
                .policy
                .identify(&order.bytes, &order.signature, Namespace::Order)
                .is_ok_and(|signer| state.person(&signer) == requester)
        });
        if !signed {
            return Err(Fault::new(
                "refusal.not_theirs",
                format_args!("the order does not bear a signature of {requester}"),
            ));
        }
    }
    said_of_refused(bench, entry, order)?;
    let mut found = Vec::new();
    for state in bench.states {
        for at in moments(entry.time) {
            let admitted = state.policy.admit_order(order, at);
            found.push(admitted.err().map(|refusal| Fault::from(&refusal)));
        }
    }
    match refusal_agrees(reason, &found, notes)? {
        true => Ok(()),
        // Accepted before with other approvals: only the entries before can tell.
        false if reason == "order.reused" => Ok(()),
        false => Err(groundless(reason)),
    }
}
