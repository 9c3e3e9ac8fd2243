//! `workload`: what it is doing, how it ended, and what confines it.
//!
//! What it could signal with: an exit code (8 bits), a signal and the length of a run, once per
//! end, and ends are as frequent as the restart delays allow; its readiness, a bit a minute; the
//! magnitude of its output, which only rises.

use std::time::Duration;

use narthex_channel::UnixMillis;
use narthex_channel::diagnostics::{Field, FieldName, State, Value};

use super::rounding::{magnitude, two_bits, whole_seconds};
use crate::local_socket::LocalSocketStatistics;
use crate::workload::{
    Confinement, ConfinementMeasure, ExitKind, ExitRecord, LaunchStep, MeasureState,
    WorkloadSnapshot, WorkloadState,
};

const SIGKILL: u8 = 9;

pub(super) fn fields(
    snapshot: &WorkloadSnapshot,
    local_socket: Option<&LocalSocketStatistics>,
    now: UnixMillis,
) -> Vec<Field> {
    let WorkloadSnapshot {
        state: _,
        restarts,
        running_for,
        next_start_in,
        last_exit,
        oom_kills,
        process_limit_hits,
        output_bytes,
        error_bytes,
        confinement,
        ready,
        usage: _, // In `memory` and `cpu`.
    } = *snapshot;
    let mut fields = vec![
        Field::single(FieldName::WorkloadState, Value::State(state(snapshot))),
        Field::single(FieldName::WorkloadReady, Value::Flag(ready)),
        Field::single(FieldName::WorkloadRestarts, Value::Count(restarts)),
        Field::single(
            FieldName::WorkloadOomKills,
            Value::Count(two_bits(oom_kills)),
        ),
        Field::single(
            FieldName::WorkloadProcessLimitHits,
            Value::Count(two_bits(process_limit_hits)),
        ),
        Field::single(
            FieldName::WorkloadOutputBytes,
            Value::Bytes(magnitude(output_bytes)),
        ),
        Field::single(
            FieldName::WorkloadErrorBytes,
            Value::Bytes(magnitude(error_bytes)),
        ),
    ];
    if let Some(running_for) = running_for {
        fields.push(time(FieldName::WorkloadStarted, before(now, running_for)));
    }
    if let Some(next_start_in) = next_start_in {
        fields.push(time(
            FieldName::WorkloadNextStart,
            after(now, next_start_in),
        ));
    }
    fields.extend(exit(last_exit, now));
    fields.extend(confinement.iter().flat_map(confined));
    if let Some(statistics) = local_socket {
        let documents = Value::Count(magnitude(statistics.documents()));
        fields.push(Field::single(FieldName::WorkloadDocuments, documents));
        let refused = Value::Count(magnitude(statistics.refused()));
        fields.push(Field::single(FieldName::WorkloadRequestsRefused, refused));
    }
    fields
}

/// What the workload is doing, as the channel says it.
pub(crate) fn state(snapshot: &WorkloadSnapshot) -> State {
    match snapshot.state {
        WorkloadState::NotStarted => State::NotStarted,
        WorkloadState::Starting => State::Starting,
        WorkloadState::Running if snapshot.ready => State::Ready,
        WorkloadState::Running => State::Running,
        WorkloadState::WaitingToRestart => State::WaitingToRestart,
        WorkloadState::Stopping => State::Stopping,
        WorkloadState::Stopped => State::Stopped,
        WorkloadState::Failed => State::Failed,
    }
}

fn exit(last_exit: Option<(ExitRecord, Duration)>, now: UnixMillis) -> Vec<Field> {
    let last = |state| Field::single(FieldName::WorkloadLastExit, Value::State(state));
    let Some((record, ago)) = last_exit else {
        return vec![last(State::None)];
    };
    let ExitRecord {
        kind,
        requested: _,
        ran_for,
        oom_kills,
        process_limit_hits: _, // Refused processes end nothing by themselves.
    } = record;
    let count = |name, number| Field::single(name, Value::Count(number));
    let mut fields = match kind {
        ExitKind::Code(code) => vec![
            last(State::Exited),
            count(FieldName::WorkloadLastExitCode, u64::from(code)),
        ],
        ExitKind::Signal(signal) => {
            let out_of_memory = signal == SIGKILL && oom_kills > 0;
            vec![
                last(if out_of_memory {
                    State::OutOfMemory
                } else {
                    State::Signalled
                }),
                count(FieldName::WorkloadLastSignal, u64::from(signal)),
            ]
        }
        ExitKind::NotStarted(step, error) => vec![
            last(State::NotExecutable),
            Field::single(
                FieldName::WorkloadLaunchStep,
                Value::State(step_state(step)),
            ),
            count(
                FieldName::WorkloadLaunchError,
                u64::try_from(error).unwrap_or(0),
            ),
        ],
        ExitKind::Unknown => vec![last(State::Unknown)],
    };
    fields.push(time(FieldName::WorkloadLastExitTime, before(now, ago)));
    let ran_for = Value::Duration(whole_seconds(ran_for));
    fields.push(Field::single(FieldName::WorkloadLastRun, ran_for));
    fields
}

fn confined(confinement: &Confinement) -> Vec<Field> {
    let flag = |name, flag| Field::single(name, Value::Flag(flag));
    let mut fields = vec![flag(
        FieldName::WorkloadConfined,
        confinement.missing().is_empty(),
    )];
    for measure in ConfinementMeasure::ALL {
        match confinement.state(measure) {
            MeasureState::Enforced => fields.push(flag(measure_name(measure), true)),
            MeasureState::NotEnforced => fields.push(flag(measure_name(measure), false)),
            MeasureState::NotAsked => {}
        }
    }
    fields
}

fn measure_name(measure: ConfinementMeasure) -> FieldName {
    match measure {
        ConfinementMeasure::OwnUser => FieldName::WorkloadOwnUser,
        ConfinementMeasure::NoNewPrivileges => FieldName::WorkloadNoNewPrivileges,
        ConfinementMeasure::NoCapabilities => FieldName::WorkloadNoCapabilities,
        ConfinementMeasure::NoUserNamespaces => FieldName::WorkloadNoUserNamespaces,
        ConfinementMeasure::ResourceLimits => FieldName::WorkloadResourceLimits,
        ConfinementMeasure::OwnSession => FieldName::WorkloadOwnSession,
        ConfinementMeasure::EndsWithAgent => FieldName::WorkloadEndsWithAgent,
        ConfinementMeasure::NoInheritedFiles => FieldName::WorkloadNoInheritedFiles,
        ConfinementMeasure::PrivateMounts => FieldName::WorkloadPrivateMounts,
        ConfinementMeasure::NoSetUserId => FieldName::WorkloadNoSetUserId,
        ConfinementMeasure::PrivateKeyFiles => FieldName::WorkloadPrivateKeyFiles,
        ConfinementMeasure::PrivateTemporaryFiles => FieldName::WorkloadPrivateTemporaryFiles,
        ConfinementMeasure::MemoryLimit => FieldName::WorkloadMemoryLimit,
        ConfinementMeasure::ProcessLimit => FieldName::WorkloadProcessLimit,
        ConfinementMeasure::OwnControlGroup => FieldName::WorkloadOwnControlGroup,
        ConfinementMeasure::OwnRoot => FieldName::WorkloadOwnRoot,
        ConfinementMeasure::NoWrittenPrograms => FieldName::WorkloadNoWrittenPrograms,
        ConfinementMeasure::OwnIpc => FieldName::WorkloadOwnIpc,
        ConfinementMeasure::ScopedSignals => FieldName::WorkloadScopedSignals,
        ConfinementMeasure::ProcessorShare => FieldName::WorkloadProcessorShare,
    }
}

fn step_state(step: LaunchStep) -> State {
    match step {
        LaunchStep::Shepherd => State::StepShepherd,
        LaunchStep::KeyFiles => State::StepKeyFiles,
        LaunchStep::ControlGroup => State::StepControlGroup,
        LaunchStep::Fork => State::StepFork,
        LaunchStep::Session => State::StepSession,
        LaunchStep::Mounts => State::StepMounts,
        LaunchStep::ResourceLimits => State::StepResourceLimits,
        LaunchStep::User => State::StepUser,
        LaunchStep::Capabilities => State::StepCapabilities,
        LaunchStep::SystemCalls => State::StepSystemCalls,
        LaunchStep::Files => State::StepFiles,
        LaunchStep::WorkingDirectory => State::StepWorkingDirectory,
        LaunchStep::Program => State::StepProgram,
        LaunchStep::Root => State::StepRoot,
    }
}

/// Times are shown to the second.
fn time(name: FieldName, millis: u64) -> Field {
    Field::single(name, Value::Time(UnixMillis(millis - millis % 1000)))
}

fn before(now: UnixMillis, ago: Duration) -> u64 {
    now.0.saturating_sub(millis(ago))
}

fn after(now: UnixMillis, ahead: Duration) -> u64 {
    now.0.saturating_add(millis(ahead))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_000_000);

    fn value(snapshot: &WorkloadSnapshot, name: FieldName) -> Option<Value> {
        let fields = fields(snapshot, None, NOW);
        fields
            .iter()
            .find(|field| field.name == name)
            .map(|field| field.value)
    }

    fn ended(kind: ExitKind, oom_kills: u64) -> WorkloadSnapshot {
        let ran_for = Duration::from_millis(2500);
        let record = ExitRecord {
            kind,
            requested: false,
            ran_for,
            oom_kills,
            process_limit_hits: 0,
        };
        let last_exit = Some((record, Duration::from_millis(10_001)));
        WorkloadSnapshot {
            last_exit,
            ..Default::default()
        }
    }

    #[test]
    fn every_end_is_told_apart() {
        for (kind, oom_kills, state) in [
            (ExitKind::Code(137), 0, State::Exited),
            (ExitKind::Signal(9), 0, State::Signalled),
            (ExitKind::Signal(9), 1, State::OutOfMemory),
            (ExitKind::Signal(11), 1, State::Signalled),
            (
                ExitKind::NotStarted(LaunchStep::Program, 2),
                0,
                State::NotExecutable,
            ),
            (ExitKind::Unknown, 0, State::Unknown),
        ] {
            let shown = value(&ended(kind, oom_kills), FieldName::WorkloadLastExit);
            assert_eq!(shown, Some(Value::State(state)), "{kind:?}");
        }
        let never = WorkloadSnapshot::default();
        let shown = value(&never, FieldName::WorkloadLastExit);
        assert_eq!(shown, Some(Value::State(State::None)));
    }

    #[test]
    fn numbers_of_an_end() {
        let exited = ended(ExitKind::Code(42), 0);
        let count = |snapshot, name| value(snapshot, name);
        assert_eq!(
            count(&exited, FieldName::WorkloadLastExitCode),
            Some(Value::Count(42))
        );
        assert_eq!(count(&exited, FieldName::WorkloadLastSignal), None);
        assert_eq!(
            count(&exited, FieldName::WorkloadLastExitTime),
            Some(Value::Time(UnixMillis(989_000)))
        );
        assert_eq!(
            count(&exited, FieldName::WorkloadLastRun),
            Some(Value::Duration(2000))
        );
        let failed = ended(ExitKind::NotStarted(LaunchStep::User, 1), 0);
        assert_eq!(
            count(&failed, FieldName::WorkloadLaunchError),
            Some(Value::Count(1))
        );
        assert_eq!(
            count(&failed, FieldName::WorkloadLaunchStep),
            Some(Value::State(State::StepUser))
        );
    }

    #[test]
    fn measures_that_do_not_hold_are_said_and_limits_nobody_asked_for_are_not() {
        let mut confinement = Confinement::default();
        confinement.enforced.insert(ConfinementMeasure::OwnUser);
        confinement
            .not_asked
            .insert(ConfinementMeasure::MemoryLimit);
        let snapshot = WorkloadSnapshot {
            confinement: Some(confinement),
            ..Default::default()
        };
        assert_eq!(
            value(&snapshot, FieldName::WorkloadConfined),
            Some(Value::Flag(false))
        );
        assert_eq!(
            value(&snapshot, FieldName::WorkloadOwnUser),
            Some(Value::Flag(true))
        );
        assert_eq!(
            value(&snapshot, FieldName::WorkloadPrivateMounts),
            Some(Value::Flag(false))
        );
        assert_eq!(value(&snapshot, FieldName::WorkloadMemoryLimit), None);
    }

    #[test]
    fn readiness_is_a_state_of_its_own_while_it_runs() {
        let mut snapshot = WorkloadSnapshot {
            ready: true,
            ..Default::default()
        };
        assert_eq!(state(&snapshot), State::NotStarted);
        snapshot.state = WorkloadState::Running;
        assert_eq!(state(&snapshot), State::Ready);
    }
}
