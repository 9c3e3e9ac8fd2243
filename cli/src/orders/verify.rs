//! Checking an order against the policy a person holds, as an enclave or the service would.

use narthex_policy::{
    AdministrationContext, BootId, Measurements, Order, OrderContext, Policy, ReadOrder, Refusal,
    SignedOrder, UnixMillis,
};
use serde_json::json;

use super::{AnyOrder, OrderOnDisk};
use crate::commands::order::VerifyArguments;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::moment::now_unix_millis;
use crate::output::Output;
use crate::policy_directory::HeldPolicy;

/// `narthex order verify`.
pub(crate) fn verify(arguments: &VerifyArguments, output: &Output) -> Outcome<Exit> {
    let now = match arguments.at {
        Some(at) => UnixMillis(at),
        None => UnixMillis(now_unix_millis()?),
    };
    let held =
        HeldPolicy::load_and_tell(&arguments.policy, arguments.genesis.as_deref(), now, output)?;
    let order = OrderOnDisk::read(&arguments.file, &arguments.approval)?;
    let signed = order.signed()?;
    judge(&held, &order.parsed, &signed, now)
        .map_err(|refusal| Failure::refused(refusal.id(), refusal.detail()))?;
    let head = order.parsed.head();
    let value = json!({
        "verdict": "accepted",
        "judged_at": now.to_string(),
        "bundle_in_force": held.policy.bundle().version,
        "order": super::show::to_json(&order),
    });
    output.result(&value, || {
        format!(
            "ACCEPTED  {}'s order holds under bundle {} at {now}, and expires {}\n",
            head.requester,
            held.policy.bundle().version,
            head.expires
        )
    })?;
    Ok(Exit::Done)
}

fn judge(
    held: &HeldPolicy,
    order: &AnyOrder,
    signed: &SignedOrder,
    now: UnixMillis,
) -> Result<(), Refusal> {
    match order {
        AnyOrder::Administration(_) => {
            let context = AdministrationContext {
                now,
                genesis: &held.genesis,
            };
            held.policy
                .authorise_administration(signed, &context)
                .map(|_| ())
        }
        AnyOrder::Diagnostics(order) => authorise_for_its_target(&held.policy, order, signed, now),
    }
}

/// Stands in for the enclave that the order names: the order's own targets match by construction,
/// and everything else (signatures, roles, approvals, times) is judged as the agent does.
fn authorise_for_its_target(
    policy: &Policy,
    order: &Order,
    signed: &SignedOrder,
    now: UnixMillis,
) -> Result<(), Refusal> {
    let measurements = match order {
        Order::Read(read) => measurements_for(policy, read),
        Order::Write(_) => None,
    };
    let nothing = Measurements {
        pcr0: narthex_policy::Pcr([0xff; 48]),
        pcr1: narthex_policy::Pcr([0xff; 48]),
        pcr2: narthex_policy::Pcr([0xff; 48]),
        pcr8: None,
    };
    let (module_id, instance_id, boot_id) = match order {
        Order::Write(write) => (write.module_id.as_str(), "", write.boot_id),
        Order::Read(read) => (
            read.targets.module_ids.first().map_or("", String::as_str),
            read.targets.instance_ids.first().map_or("", String::as_str),
            BootId([0; 16]),
        ),
    };
    let context = OrderContext {
        now,
        module_id,
        instance_id,
        boot_id: &boot_id,
        measurements: measurements.as_ref().unwrap_or(&nothing),
        logged: None,
    };
    policy.authorise_order(signed, &context).map(|_| ())
}

/// Those of a release that the order's patterns mean.
fn measurements_for(policy: &Policy, order: &ReadOrder) -> Option<Measurements> {
    policy
        .releases()
        .find(|release| {
            order
                .targets
                .releases
                .iter()
                .any(|pattern| pattern.matches(&release.name))
        })
        .map(|release| release.measurements)
}
