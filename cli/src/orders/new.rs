//! Composing an order and signing it.

use std::path::Path;
use std::time::Duration;

use narthex_policy::{
    Action, BootId, Bundle, NamePattern, Namespace, Order, OrderHead, Parameters, PersonName,
    ProjectName, ReadOrder, Refusal, Targets, UnixMillis, WriteOrder,
};
use serde_json::json;

use super::person_name;
use crate::commands::order::NewArguments;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::files::{Existing, write_file};
use crate::moment::now_to_the_second;
use crate::output::Output;
use crate::policy_directory::HeldPolicy;
use crate::signing::{sign, signature_path};

/// `narthex order new`.
pub(crate) fn new(arguments: &NewArguments, output: &Output) -> Outcome<Exit> {
    let now = UnixMillis(now_to_the_second()?);
    let held =
        HeldPolicy::load_and_tell(&arguments.policy, arguments.genesis.as_deref(), now, output)?;
    let person = person_name(&arguments.person)?;
    let not_before = arguments.from.map_or(now, UnixMillis);
    let project = held.policy.bundle().project.clone();
    let head = head(project, person, now, not_before, arguments.valid_for)?;
    let order = compose(arguments, head)?;
    let text = order.to_toml();
    // What is written is read back: an order that no agent would take is never signed.
    Order::parse_unverified(text.as_bytes()).map_err(|refusal| misuse(&refusal))?;
    let digest = write_signed(
        &arguments.out,
        text.as_bytes(),
        &arguments.person,
        &arguments.key,
    )?;
    let value = json!({ "order": arguments.out, "sha384": digest });
    output.result(&value, || format!("{}\n", arguments.out.display()))?;
    let bundle = held.policy.bundle();
    for doubt in doubts(bundle, &order) {
        output.say(format_args!(
            "narthex: {doubt}: under bundle {} nobody takes this order",
            bundle.version
        ));
    }
    output.say(match &order {
        Order::Read(_) if bundle.ledger.is_some() => format!(
            "signed; next, have it logged: `narthex order submit {} --policy DIR --service ADDRESS`",
            arguments.out.display()
        ),
        Order::Read(_) => "signed; ready for `narthex diag … --order`".to_owned(),
        Order::Write(_) => format!(
            "signed; others approve it with `narthex order approve {} --as PERSON --key KEY`",
            arguments.out.display()
        ),
    });
    Ok(Exit::Done)
}

/// Why nobody takes this order under this bundle. A later bundle may change that, so it is said and no more.
fn doubts(bundle: &Bundle, order: &Order) -> Vec<String> {
    let requester = &order.head().requester;
    let Some(person) = bundle.person(requester) else {
        return vec![format!("the policy does not know {requester}")];
    };
    let allowed = bundle.actions_of(person);
    let asked = match order {
        Order::Read(order) => order.actions.as_slice(),
        Order::Write(order) => core::slice::from_ref(&order.action),
    };
    let denied = asked.iter().filter(|action| !allowed.contains(action));
    denied
        .map(|action| format!("no role of {requester}'s allows {action}"))
        .collect()
}

/// The fields that all orders share, with a fresh nonce.
///
/// # Errors
/// `random.failed`.
pub(crate) fn head(
    project: ProjectName,
    requester: PersonName,
    now: UnixMillis,
    not_before: UnixMillis,
    valid_for: Duration,
) -> Outcome<OrderHead> {
    let mut nonce = [0; 16];
    getrandom::fill(&mut nonce).map_err(|error| {
        Failure::environment(
            "random.failed",
            format!("the random source failed: {error}"),
        )
    })?;
    let expires = not_before.saturating_add(valid_for);
    Ok(OrderHead {
        project,
        nonce,
        requester,
        issued: now,
        not_before,
        expires,
    })
}

/// Writes an order and its requester's signature; returns the order's SHA-384 in hex.
///
/// # Errors
/// As [`sign`] and [`write_file`]. Signing comes first: an order without its signature is left
/// nowhere.
pub(crate) fn write_signed(path: &Path, bytes: &[u8], person: &str, key: &Path) -> Outcome<String> {
    let signature = sign(key, Namespace::Order, bytes)?;
    write_file(path, bytes, Existing::Keep)?;
    write_file(
        &signature_path(path, person),
        signature.as_bytes(),
        Existing::Keep,
    )?;
    Ok(hex::encode(narthex_policy::Digest384::of(bytes).0))
}

fn compose(arguments: &NewArguments, head: OrderHead) -> Outcome<Order> {
    let actions: Vec<Action> = arguments
        .action
        .iter()
        .map(|name| action(name))
        .collect::<Outcome<_>>()?;
    match actions.as_slice() {
        [only] if only.is_write() => write_order(arguments, head, *only).map(Order::Write),
        some if some.iter().any(|action| action.is_write()) => Err(Failure::misuse(
            "order.content",
            "an order changes one thing, and nothing else stands in it",
        )
        .next("write one order for each change, and one for all that only looks")),
        _ => read_order(arguments, head, actions).map(Order::Read),
    }
}

fn read_order(
    arguments: &NewArguments,
    head: OrderHead,
    actions: Vec<Action>,
) -> Outcome<ReadOrder> {
    if arguments.boot_id.is_some() || arguments.grace.is_some() {
        return Err(Failure::misuse(
            "order.parameters",
            "--boot-id and --grace belong to actions that change something",
        ));
    }
    let (module_ids, instance_ids) = arguments
        .enclave
        .iter()
        .cloned()
        .partition(|id| id.contains("-enc"));
    let releases = arguments
        .release
        .iter()
        .map(|pattern| NamePattern::new(pattern))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|refusal| misuse(&refusal))?;
    let targets = Targets {
        module_ids,
        instance_ids,
        releases,
    };
    Ok(ReadOrder {
        head,
        actions,
        calls: arguments.calls,
        targets,
    })
}

fn write_order(arguments: &NewArguments, head: OrderHead, action: Action) -> Outcome<WriteOrder> {
    let module_id = match (arguments.enclave.as_slice(), arguments.release.as_slice()) {
        ([id], []) if id.contains("-enc") => id.clone(),
        _ => {
            return Err(Failure::misuse(
                "order.content",
                format!("{action} is for one enclave: give its whole module id with --enclave"),
            )
            .next("`narthex diag ADDRESS --status …` shows the module id and the boot id"));
        }
    };
    let boot_id = arguments.boot_id.as_deref().ok_or_else(|| {
        Failure::misuse(
            "order.content",
            format!("{action} is for one boot: --boot-id is missing"),
        )
        .next("`narthex diag ADDRESS --status …` shows the module id and the boot id")
    })?;
    let boot_id = BootId::from_hex(boot_id).map_err(|refusal| misuse(&refusal))?;
    let parameters = match arguments.grace {
        None => Parameters::None,
        Some(grace) => Parameters::GraceSeconds(u16::try_from(grace.as_secs()).unwrap_or(u16::MAX)),
    };
    Ok(WriteOrder {
        head,
        action,
        parameters,
        module_id,
        boot_id,
    })
}

/// An action by its name.
///
/// # Errors
/// `action.unknown`, with the list of those there are.
pub(crate) fn action(name: &str) -> Outcome<Action> {
    Action::from_name(name).ok_or_else(|| {
        let names: Vec<_> = Action::ALL.iter().map(|action| action.name()).collect();
        Failure::misuse("action.unknown", format!("there is no action `{name}`"))
            .next(format!("there are: {}", names.join(" ")))
    })
}

fn misuse(refusal: &Refusal) -> Failure {
    Failure::misuse(refusal.id(), refusal.detail())
}
