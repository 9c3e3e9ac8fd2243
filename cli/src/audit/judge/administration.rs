//! Calls that administer keys.

use narthex_ledger::{AdministrationEntry, Digest384};
use narthex_policy::{
    AdministrationContext, AdministrationOrder, AuthorisedAdministration, KeyOperation, Namespace,
    Refusal, SignedOrder, UnixMillis,
};

use super::{Bench, Later, moments, refusal_agrees, signed_order};
use crate::audit::check::Check;
use crate::audit::findings::{Fault, Notes};
use crate::audit::lineage::{PolicyState, same_people};

/// What an order asks to change, for the states of keys.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    /// The operation with its parameters; `None` if it could not be read or was not allowed.
    pub(crate) operation: Option<KeyOperation>,
}

pub(super) fn judge(
    bench: &Bench<'_>,
    state: &PolicyState,
    entry: &AdministrationEntry,
    parts: &[Vec<u8>],
    notes: &mut Notes,
) -> Later {
    let check = match entry.decision.is_accepted() {
        true => Check::AdministrationAuthorised,
        false => Check::RefusalAdministration,
    };
    let order = match signed_order(parts) {
        Ok(order) => order,
        Err(fault) => {
            notes.fail(check, fault);
            return Later::Nothing;
        }
    };
    let operation = AdministrationOrder::parse_unverified(&order.bytes)
        .ok()
        .map(|order| order.operation);
    let change = Change { operation };
    match entry.decision.reason() {
        None => {
            accepted(state, entry, &order, notes);
            Later::Administered(entry.clone(), change)
        }
        Some(reason) => match refused_well(bench, entry, reason, &order, notes) {
            Ok(false) => Later::AdministrationRefused(entry.clone(), change),
            outcome => {
                notes.put(Check::RefusalAdministration, outcome.map(drop));
                Later::Nothing
            }
        },
    }
}

fn authorise(
    state: &PolicyState,
    order: &SignedOrder,
    now: UnixMillis,
) -> Result<AuthorisedAdministration, Refusal> {
    let context = AdministrationContext {
        now,
        genesis: &state.genesis,
    };
    state.policy.authorise_administration(order, &context)
}

fn accepted(
    state: &PolicyState,
    entry: &AdministrationEntry,
    order: &SignedOrder,
    notes: &mut Notes,
) {
    let [at, before] = moments(entry.time);
    let authorised = authorise(state, order, at)
        .or_else(|refusal| authorise(state, order, before).map_err(|_| refusal));
    match authorised {
        Ok(authorised) => {
            notes.pass(Check::AdministrationAuthorised);
            // The closed list of operations has none that hands out a key in the clear.
            notes.pass(Check::AdministrationNoKey);
            notes.put(
                Check::AdministrationEntry,
                agrees(state, entry, order, &authorised),
            );
        }
        Err(refusal) => notes.fail(Check::AdministrationAuthorised, Fault::from(&refusal)),
    }
}

fn agrees(
    state: &PolicyState,
    entry: &AdministrationEntry,
    order: &SignedOrder,
    authorised: &AuthorisedAdministration,
) -> Result<(), Fault> {
    same_order(entry, order)?;
    let operation = authorised.operation().kind().name();
    if entry.operation.as_deref() != Some(operation) {
        return Err(Fault::differs(
            "the operation",
            entry.operation.as_deref().unwrap_or("none"),
            operation,
        ));
    }
    let requester = vec![state.person(authorised.requester())];
    let said: Vec<_> = entry.requester.into_iter().collect();
    same_people("the requester", &said, requester)?;
    let approvers = authorised.approvers().iter();
    let approvers = approvers.map(|signer| state.person(signer)).collect();
    same_people("the approvers", &entry.approvers, approvers)
}

fn same_order(entry: &AdministrationEntry, order: &SignedOrder) -> Result<(), Fault> {
    let digest = Digest384::of(&order.bytes);
    match entry.order == digest {
        true => Ok(()),
        false => Err(Fault::differs("the order's digest", entry.order, digest)),
    }
}

fn refused_well(
    bench: &Bench<'_>,
    entry: &AdministrationEntry,
    reason: &str,
    order: &SignedOrder,
    notes: &mut Notes,
) -> Result<bool, Fault> {
    same_order(entry, order)?;
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
    let asked = AdministrationOrder::parse_unverified(&order.bytes).ok();
    let asked = asked.map(|order| order.operation.kind().name());
    if entry.operation.as_deref() != asked {
        return Err(Fault::differs(
            "the operation",
            entry.operation.as_deref().unwrap_or("none"),
            asked.unwrap_or("none"),
        ));
    }
    // Nobody counts as an approver of what was refused.
    same_people("the approvers", &entry.approvers, Vec::new())?;
    let mut found = Vec::new();
    for state in bench.states {
        for at in moments(entry.time) {
            let refusal = authorise(state, order, at).err();
            found.push(refusal.map(|refusal| Fault::from(&refusal)));
        }
    }
    refusal_agrees(reason, &found, notes)
}
