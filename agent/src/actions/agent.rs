//! `health`, `version`, `uptime`, `connections`, `clock`: what the agent knows about itself.

use narthex_channel::ProtocolVersion;
use narthex_channel::UnixMillis;
use narthex_channel::diagnostics::{Action, Field, FieldName, LogCheck, State, Value};
use narthex_policy::Pcr;

use super::{count, duration, flag, from_probes};
use crate::init::checks::ClockKind;
use crate::init::heartbeat::Heartbeat;
use crate::mode::{Mode, Privileges};
use crate::probes::kernel_version;
use crate::sandbox::FULL_LANDLOCK_ABI;
use crate::supervisor::core::{Core, GateStatus};
use crate::supervisor::identity::agent_version;
use crate::trusted_time::{BootMillis, danger_system_clock};
use crate::workload::WorkloadState;

/// Whether all is well, and what keeps it from being so.
pub(super) fn health(core: &Core) -> Vec<Field> {
    let now = core.now();
    let state = core.state();
    let expired = core.authority.borrow().is_expired(now);
    let keys_complete = core.keyring.borrow().is_complete();
    let workload = core.workload.snapshot().state;
    let configured = core.config.workload.is_some();
    let gate = *core.gate.borrow();
    let ready = state == State::Running
        && !expired
        && gate.running
        && (!configured || workload == WorkloadState::Running);
    let without_ledger =
        core.authority.borrow().log().log_check() == LogCheck::InsecureWithoutLedger;
    let measurements = core.authority.borrow().identity().measurements;
    let debug_mode = [measurements.pcr0, measurements.pcr1, measurements.pcr2] == [Pcr::ZERO; 3];
    vec![
        flag(FieldName::HealthReady, ready),
        Field::single(FieldName::HealthState, Value::State(state)),
        Field::single(
            FieldName::HealthWorkload,
            Value::State(workload_state(workload)),
        ),
        flag(FieldName::HealthKeysComplete, keys_complete),
        flag(FieldName::HealthPolicyExpired, expired),
        flag(FieldName::HealthGateRunning, gate.running),
        count(FieldName::HealthGateRestarts, gate.restarts),
        flag(FieldName::HealthGateOwnUser, gate.user_changed),
        flag(
            FieldName::HealthOlderLandlock,
            gate.landlock_abi < FULL_LANDLOCK_ABI,
        ),
        flag(
            FieldName::HealthPrivileged,
            core.privileges == Privileges::Root,
        ),
        flag(FieldName::HealthDebugMode, debug_mode),
        flag(FieldName::HealthInsecureWithoutLedger, without_ledger),
        count(FieldName::HealthFailedChecks, core.start.failed_checks),
        Field::single(
            FieldName::HealthHeartbeat,
            Value::State(heartbeat(core.start.heartbeat)),
        ),
    ]
}

fn workload_state(state: WorkloadState) -> State {
    match state {
        WorkloadState::NotStarted => State::NotStarted,
        WorkloadState::Starting => State::Starting,
        WorkloadState::Running => State::Running,
        WorkloadState::WaitingToRestart => State::WaitingToRestart,
        WorkloadState::Stopping => State::Stopping,
        WorkloadState::Stopped => State::Stopped,
        WorkloadState::Failed => State::Failed,
    }
}

/// Which software is running.
pub(super) fn version(core: &Core) -> Vec<Field> {
    let version = agent_version();
    let number = |name, number: u16| count(name, u64::from(number));
    let mut fields = vec![
        number(FieldName::VersionMajor, version.major),
        number(FieldName::VersionMinor, version.minor),
        number(FieldName::VersionPatch, version.patch),
        number(FieldName::VersionProtocol, ProtocolVersion::NEWEST.0),
        flag(FieldName::VersionLocal, core.mode == Mode::Local),
    ];
    let names = [
        FieldName::VersionKernelMajor,
        FieldName::VersionKernelMinor,
        FieldName::VersionKernelPatch,
    ];
    let numbers = kernel_version();
    fields.extend(
        names
            .into_iter()
            .zip(numbers)
            .map(|(name, number)| count(name, number)),
    );
    fields
}

/// How long things have been running.
pub(super) fn uptime(core: &Core) -> Vec<Field> {
    let mut fields = from_probes(core, Action::Uptime);
    fields.retain(|field| field.name != FieldName::UptimeAgent);
    let agent = BootMillis::read().0.saturating_sub(core.started.0);
    fields.push(Field::single(
        FieldName::UptimeAgent,
        Value::Duration(agent),
    ));
    fields
}

/// The gate's connections, and the kernel's sockets.
pub(super) fn connections(core: &Core) -> Vec<Field> {
    let GateStatus {
        accepted,
        limited,
        faulty,
        timed_out,
        running: _,
        user_changed: _,
        landlock_abi: _,
        restarts: _,
    } = *core.gate.borrow();
    let open = u64::try_from(core.authority.borrow().open_sessions()).unwrap_or(u64::MAX);
    let mut fields = vec![
        count(FieldName::ConnectionsGateOpen, open),
        count(FieldName::ConnectionsGateAccepted, accepted),
        count(FieldName::ConnectionsGateLimited, limited),
        count(FieldName::ConnectionsGateFaulty, faulty),
        count(FieldName::ConnectionsGateTimedOut, timed_out),
    ];
    fields.extend(from_probes(core, Action::Connections));
    fields
}

/// Trusted time, and how the system clock, which nothing here relies on, differs from it.
pub(super) fn clock(core: &Core) -> Vec<Field> {
    let now = core.now();
    let system = danger_system_clock();
    let time = core.time.borrow();
    let difference = system.0.abs_diff(now.trusted.0);
    let at = |name, time: UnixMillis| Field::single(name, Value::Time(time));
    let mut fields = vec![
        at(FieldName::ClockNow, now.trusted),
        at(FieldName::ClockDocument, time.document()),
        duration(FieldName::ClockAge, time.document_age(now.boot)),
        at(FieldName::ClockSystem, system),
        Field::single(FieldName::ClockDifference, Value::Duration(difference)),
        flag(FieldName::ClockSystemAhead, system > now.trusted),
        count(FieldName::ClockRenewals, time.renewals()),
        count(FieldName::ClockFailures, time.failures()),
        count(FieldName::ClockHeld, time.held()),
    ];
    if let Some(witnessed) = core.authority.borrow().witnessed() {
        fields.push(at(FieldName::ClockWitnessed, witnessed));
    }
    let source = clock_source();
    fields.push(Field::single(FieldName::ClockSource, Value::State(source)));
    fields
}

/// R28: where the enclave's clock comes from.
fn clock_source() -> State {
    match ClockKind::read() {
        ClockKind::Kvm => State::KvmClock,
        ClockKind::Tsc => State::Tsc,
        ClockKind::Arm => State::ArmCounter,
        ClockKind::Other => State::OtherClock,
        ClockKind::Unknown => State::Unknown,
    }
}

fn heartbeat(heartbeat: Heartbeat) -> State {
    match heartbeat {
        Heartbeat::NotSent => State::None,
        Heartbeat::Answered => State::HeartbeatAnswered,
        Heartbeat::NoConnection => State::HeartbeatNoConnection,
        Heartbeat::Silent => State::HeartbeatSilent,
        Heartbeat::WrongAnswer => State::HeartbeatWrong,
    }
}
