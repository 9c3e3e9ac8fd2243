//! Checking an order against the policy a person holds, as an enclave or the service would.

use narthex_policy::{
    AdministrationContext, BootId, Logged, Measurements, Order, OrderContext, Policy, ReadOrder,
    Refusal, SignedOrder, UnixMillis,
};
use serde_json::json;

use super::{AnyOrder, LoggedOrder, OrderOnDisk, read_proof};
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
    let logged = logged(&held, &order, arguments, now)?;
    // Approvals that came after it was logged do not count for an agent, so they do not here.
    let signed = match &logged {
        Some(_) => order.as_logged()?,
        None => order.signed()?,
    };
    let since = logged.as_ref().map(|logged| logged.at);
    judge(&held, &order.parsed, &signed, since, now)
        .map_err(|refusal| Failure::refused(refusal.id(), refusal.detail()))?;
    let head = order.parsed.head();
    let value = json!({
        "verdict": "accepted",
        "judged_at": now.to_string(),
        "bundle_in_force": held.policy.bundle().version,
        "log": logged.as_ref().map(LoggedOrder::to_json),
        "order": super::show::to_json(&order),
    });
    output.result(&value, || {
        let mut text = format!(
            "ACCEPTED  {}'s order holds under bundle {} at {now}, and expires {}\n",
            head.requester,
            held.policy.bundle().version,
            head.expires
        );
        if let Some(logged) = &logged {
            text.push_str(&format!("  logged as {}\n", logged.words()));
        }
        text
    })?;
    let needs_log = matches!(order.parsed, AnyOrder::Diagnostics(_));
    if logged.is_none() && needs_log && held.policy.bundle().ledger.is_some() {
        output.say(format_args!(
            "narthex: not submitted yet: no agent acts on it before `narthex order submit {}`",
            arguments.file.display()
        ));
    }
    Ok(Exit::Done)
}

/// What the log says about the order, if there is a proof. One that does not hold is a refusal.
fn logged(
    held: &HeldPolicy,
    order: &OrderOnDisk,
    arguments: &VerifyArguments,
    now: UnixMillis,
) -> Outcome<Option<LoggedOrder>> {
    let AnyOrder::Diagnostics(parsed) = &order.parsed else {
        return match &arguments.proof {
            None => Ok(None),
            Some(_) => Err(Failure::misuse(
                "order.content",
                "an order to the key service is logged when it is carried out; it has no proof of its own",
            )
            .next("`narthex log verify-proof` checks the proof that `narthex keys --proof` wrote")),
        };
    };
    match read_proof(&arguments.file, arguments.proof.as_deref())? {
        None => Ok(None),
        Some(proof) => LoggedOrder::check(held, parsed, &order.as_logged()?, &proof, now).map(Some),
    }
}

fn judge(
    held: &HeldPolicy,
    order: &AnyOrder,
    signed: &SignedOrder,
    logged: Option<UnixMillis>,
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
        AnyOrder::Diagnostics(order) => {
            authorise_for_its_target(&held.policy, order, signed, logged, now)
        }
    }
}

/// Stands in for the enclave that the order names: the order's own targets match by construction,
/// and everything else (signatures, roles, approvals, times) is judged as the agent does.
fn authorise_for_its_target(
    policy: &Policy,
    order: &Order,
    signed: &SignedOrder,
    logged: Option<UnixMillis>,
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
        logged: logged.map_or(Logged::InsecureNotLooked, Logged::At),
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
