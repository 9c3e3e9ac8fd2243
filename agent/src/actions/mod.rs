//! What an operator may ask for, once the authority has accepted the call.
//!
//! The list is closed, and so is what may come out: fields of the channel's value types. Nothing here can
//! put text or bytes of the workload into an answer, because no value type can hold them.

mod agent;
mod module;
mod trust;
mod write;

pub(crate) use trust::release_state;

use std::rc::Rc;

use narthex_channel::diagnostics::{Action, Field, FieldName, Value};
use narthex_policy::{FreshCall, Parameters};

use crate::supervisor::core::Core;
use crate::supervisor::reason::CallRefusal;

/// Does what `call` asks for. Only an accepted, fresh call gets here: the argument's type says so.
///
/// # Errors
///
/// [`CallRefusal`] when there is nothing to act on, or the NSM failed; then nothing was done.
pub async fn perform(
    core: &Rc<Core>,
    connection: u32,
    call: &FreshCall,
) -> Result<(Action, Vec<Field>), CallRefusal> {
    let action = wire_action(call.action())?;
    let fields = match action {
        Action::Status => status(core, connection, call).await,
        Action::RestartWorkload => write::restart_workload(core, grace(call.parameters()))?,
        Action::ReloadKeys => write::reload_keys(core)?,
        Action::Shutdown => write::shutdown(core, grace(call.parameters())),
        _ => read(core, connection, action, call.parameters()).await?,
    };
    Ok((action, fields))
}

/// The policy's action as the channel names it. The two lists have the same names; a test holds them to it.
fn wire_action(action: narthex_policy::Action) -> Result<Action, CallRefusal> {
    Action::from_name(action.name()).ok_or(CallRefusal::ActionFailed)
}

fn grace(parameters: Parameters) -> Option<std::time::Duration> {
    match parameters {
        Parameters::GraceSeconds(seconds) => {
            Some(std::time::Duration::from_secs(u64::from(seconds)))
        }
        Parameters::None | Parameters::Nonce(_) => None,
    }
}

/// One read action other than `status`.
async fn read(
    core: &Rc<Core>,
    connection: u32,
    action: Action,
    parameters: Parameters,
) -> Result<Vec<Field>, CallRefusal> {
    let fields = match action {
        Action::Health => agent::health(core),
        Action::Version => agent::version(core),
        Action::Connections => agent::connections(core),
        Action::Clock => agent::clock(core),
        Action::Counters => core.counters.borrow().fields(),
        Action::Policy => trust::policy(core),
        Action::Keys => trust::keys(core),
        Action::Nsm => module::nsm(core).await?,
        Action::Pcrs => module::pcrs(core).await?,
        Action::Attest => module::attest(core, connection, parameters).await?,
        Action::Uptime => agent::uptime(core),
        _ => from_probes(core, action),
    };
    Ok(fields)
}

/// What the kernel says about this action.
fn from_probes(core: &Core, action: Action) -> Vec<Field> {
    core.probes.read(action, &core.workload, core.now().trusted)
}

/// All that the caller may read, in one call. One action that fails does not fail the others.
async fn status(core: &Rc<Core>, connection: u32, call: &FreshCall) -> Vec<Field> {
    let mut fields = Vec::new();
    let (mut done, mut failed) = (0_u64, 0_u64);
    let allowed = call.allowed().iter().filter(|action| !action.is_write());
    for action in allowed.filter_map(|action| wire_action(*action).ok()) {
        if action == Action::Status {
            continue;
        }
        match read(core, connection, action, Parameters::None).await {
            Ok(more) => {
                done = done.saturating_add(1);
                fields.extend(more);
            }
            Err(_) => failed = failed.saturating_add(1),
        }
    }
    fields.push(Field::single(FieldName::StatusActions, Value::Count(done)));
    fields.push(Field::single(
        FieldName::StatusFailures,
        Value::Count(failed),
    ));
    fields
}

/// A count.
pub(crate) fn count(name: FieldName, count: u64) -> Field {
    Field::single(name, Value::Count(count))
}

/// A flag.
pub(crate) fn flag(name: FieldName, flag: bool) -> Field {
    Field::single(name, Value::Flag(flag))
}

/// A duration.
pub(crate) fn duration(name: FieldName, duration: std::time::Duration) -> Field {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    Field::single(name, Value::Duration(millis))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policy_and_channel_name_the_same_actions() {
        assert_eq!(narthex_policy::Action::ALL.len(), Action::ALL.len());
        for action in narthex_policy::Action::ALL {
            let wire = wire_action(*action).unwrap();
            assert_eq!(wire.is_write(), action.is_write(), "{action}");
        }
    }
}
