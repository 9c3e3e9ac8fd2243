//! The three actions that change something. Each only begins its work: an answer says that, and the read actions
//! show how it went.

use std::rc::Rc;
use std::time::Duration;

use narthex_channel::diagnostics::{Field, FieldName};

use super::{count, duration, flag};
use crate::supervisor::core::{Core, Shutdown};
use crate::supervisor::reason::CallRefusal;

/// Stops the workload and starts it again.
pub(super) fn restart_workload(
    core: &Rc<Core>,
    grace: Option<Duration>,
) -> Result<Vec<Field>, CallRefusal> {
    // A workload that still waits for its keys must not be started without them, nor one that is being ended for good.
    let ending = core.shutdown.borrow().is_some();
    if ending || core.config.workload.is_none() || !core.keyring.borrow().is_complete() {
        return Err(CallRefusal::NothingToActOn);
    }
    let restarts = core.workload.snapshot().restarts;
    let restarting = core.clone();
    tokio::task::spawn_local(async move {
        // A revocation may have come between the decision and here.
        if restarting.revoked.get() {
            return;
        }
        if let Err(error) = restarting.workload.restart(grace).await {
            restarting
                .notices
                .say("the workload was not started again", error.id());
        }
    });
    Ok(vec![
        flag(FieldName::RestartWorkloadBegun, true),
        count(FieldName::RestartWorkloadRestarts, restarts),
    ])
}

/// Fetches the keys again. The ones held stay until all new ones are there.
pub(super) fn reload_keys(core: &Core) -> Result<Vec<Field>, CallRefusal> {
    let keyring = core.keyring.borrow();
    if keyring.wanted().is_empty() {
        return Err(CallRefusal::NothingToActOn);
    }
    let length = |length: usize| u64::try_from(length).unwrap_or(u64::MAX);
    let received = keyring
        .wanted()
        .iter()
        .filter(|wanted| keyring.held(&wanted.name).is_some())
        .count();
    core.fetch_keys.notify_one();
    Ok(vec![
        flag(FieldName::ReloadKeysBegun, true),
        count(FieldName::ReloadKeysWanted, length(keyring.wanted().len())),
        count(FieldName::ReloadKeysReceived, length(received)),
    ])
}

/// Stops the workload, then the agent.
pub(super) fn shutdown(core: &Core, grace: Option<Duration>) -> Vec<Field> {
    core.shutdown.send_replace(Some(Shutdown { grace }));
    let configured = core
        .config
        .workload
        .as_ref()
        .map_or(0, |workload| workload.stop_grace_millis);
    let grace = grace.unwrap_or(Duration::from_millis(configured));
    vec![
        flag(FieldName::ShutdownBegun, true),
        duration(FieldName::ShutdownGrace, grace),
    ]
}
