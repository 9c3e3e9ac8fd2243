//! The task that owns the workload: orders in, runs one after another, and what is observed of
//! them.

use std::cell::RefCell;
use std::future::pending;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio::time::sleep_until;

use super::cgroup::ControlGroupUsage;
use super::exit::{ExitKind, ExitRecord};
use super::handle::{Ending, Order, Permission, WorkloadError, WorkloadSnapshot, WorkloadState};
use super::key_files::KeyFile;
use super::measures::Confinement;
use super::restart::{Next, RestartDecider};
use super::run::{Ended, OutputCounts, Run, RunEnd};
use super::settings::WorkloadSettings;
use crate::local_socket::{LocalRefusal, WorkloadReadiness};

/// A control group is read at most this often, however often the workload's handle is asked.
const USAGE_INTERVAL: Duration = Duration::from_secs(1);

/// Shortest time between two changes of what the workload says of its readiness.
const READY_INTERVAL: Duration = Duration::from_secs(60);

/// What is known of the workload, written by the runner only.
#[derive(Default)]
pub(super) struct Observed {
    state: WorkloadState,
    starts: u64,
    began: Option<Instant>,
    next_start: Option<Instant>,
    last_exit: Option<(ExitRecord, Instant)>,
    oom_kills: u64,
    process_limit_hits: u64,
    counts: OutputCounts,
    confinement: Option<Confinement>,
    usage: Option<ControlGroupUsage>,
    ready: bool,
    ready_changed: Option<Instant>,
    shepherd: Option<u32>,
}

impl Observed {
    pub(super) fn set_ready(
        &mut self,
        readiness: WorkloadReadiness,
        now: Instant,
    ) -> Result<(), LocalRefusal> {
        let ready = readiness == WorkloadReadiness::Ready;
        if ready == self.ready {
            return Ok(());
        }
        let soon = |changed| now.saturating_duration_since(changed) < READY_INTERVAL;
        if self.ready_changed.is_some_and(soon) {
            return Err(LocalRefusal::TooSoon);
        }
        self.ready = ready;
        self.ready_changed = Some(now);
        Ok(())
    }

    pub(super) fn shepherd(&self) -> Option<u32> {
        self.shepherd
    }

    pub(super) fn snapshot(&self, now: Instant) -> WorkloadSnapshot {
        let running_kills = self.usage.and_then(|usage| usage.oom_kills).unwrap_or(0);
        let running_hits = self.usage.and_then(|usage| usage.process_limit_hits);
        WorkloadSnapshot {
            state: self.state,
            restarts: self.starts.saturating_sub(1),
            running_for: self.began.map(|began| now.saturating_duration_since(began)),
            next_start_in: self
                .next_start
                .map(|next| next.saturating_duration_since(now)),
            last_exit: self
                .last_exit
                .map(|(record, when)| (record, now.saturating_duration_since(when))),
            oom_kills: self.oom_kills.saturating_add(running_kills),
            process_limit_hits: self
                .process_limit_hits
                .saturating_add(running_hits.unwrap_or(0)),
            output_bytes: self.counts.output.get(),
            error_bytes: self.counts.error.get(),
            confinement: self.confinement,
            ready: self.ready,
            usage: self.usage,
        }
    }
}

/// Runs until the last handle is dropped, and then ends the workload.
pub(super) async fn run(
    settings: Option<WorkloadSettings>,
    mut inbox: mpsc::UnboundedReceiver<Order>,
    exits: watch::Sender<u64>,
    observed: Rc<RefCell<Observed>>,
    permission: watch::Receiver<Permission>,
    ending: watch::Receiver<Ending>,
) {
    let Some(settings) = settings else {
        return answer_without_workload(inbox).await;
    };
    let restarts = RestartDecider::new(settings.restart);
    let mut runner = Runner {
        settings,
        exits,
        observed,
        permission,
        ending,
        restarts,
        keys: Vec::new(),
        current: None,
    };
    loop {
        let next_start = runner.observed.borrow().next_start;
        tokio::select! {
            order = inbox.recv() => match order {
                Some(order) => runner.obey(order).await,
                None => break,
            },
            ended = end_of(&mut runner.current) => runner.ended_by_itself(ended).await,
            () = at(next_start) => { let _ = runner.launch().await; }
            () = tokio::time::sleep(USAGE_INTERVAL), if runner.current.is_some() => {
                runner.observe_usage();
            }
        }
    }
    let _ = runner.stop(None).await;
}

/// Without a workload there is nothing to start or to give keys to, and that is no failure; only an
/// operator who asks for a restart is told.
async fn answer_without_workload(mut inbox: mpsc::UnboundedReceiver<Order>) {
    while let Some(order) = inbox.recv().await {
        let (answer, result) = match order {
            Order::Restart(_, answer) => (answer, Err(WorkloadError::NotConfigured)),
            Order::Start(answer)
            | Order::Stop(_, answer)
            | Order::WipeKeys(answer)
            | Order::DeliverKeys(_, answer) => (answer, Ok(())),
        };
        let _ = answer.send(result);
    }
}

async fn end_of(current: &mut Option<Run>) -> Ended {
    match current {
        Some(run) => run.ended().await,
        None => pending().await,
    }
}

async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment.into()).await,
        None => pending().await,
    }
}

struct Runner {
    settings: WorkloadSettings,
    exits: watch::Sender<u64>,
    observed: Rc<RefCell<Observed>>,
    permission: watch::Receiver<Permission>,
    ending: watch::Receiver<Ending>,
    restarts: RestartDecider,
    keys: Vec<KeyFile>,
    current: Option<Run>,
}

impl Runner {
    async fn obey(&mut self, order: Order) {
        let (answer, result) = match order {
            Order::Start(answer) => (answer, self.start().await),
            Order::Stop(grace, answer) => (answer, self.stop(grace).await),
            Order::Restart(grace, answer) => {
                let stopped = self.stop(grace).await;
                let result = match stopped {
                    Ok(()) => self.start().await,
                    Err(error) => Err(error),
                };
                (answer, result)
            }
            Order::DeliverKeys(keys, answer) => (answer, self.deliver_keys(keys)),
            Order::WipeKeys(answer) => (answer, self.wipe_keys()),
        };
        let _ = answer.send(result); // Whoever asked may have stopped waiting.
    }

    async fn start(&mut self) -> Result<(), WorkloadError> {
        if self.current.is_some() {
            return Ok(());
        }
        self.restarts.begin_anew();
        self.launch().await
    }

    async fn launch(&mut self) -> Result<(), WorkloadError> {
        let withdrawn = *self.permission.borrow() == Permission::Withdrawn;
        if withdrawn || *self.ending.borrow() != Ending::NotYet {
            let mut observed = self.observed.borrow_mut();
            observed.state = WorkloadState::Stopped;
            observed.next_start = None;
            return Err(WorkloadError::Withdrawn);
        }
        let counts = {
            let mut observed = self.observed.borrow_mut();
            observed.state = WorkloadState::Starting;
            observed.next_start = None;
            observed.ready = false;
            observed.ready_changed = None;
            observed.starts = observed.starts.saturating_add(1);
            observed.counts.clone()
        };
        match Run::launch(&self.settings, &self.keys, &counts).await {
            Ok(run) => {
                let mut observed = self.observed.borrow_mut();
                observed.state = WorkloadState::Running;
                observed.began = Some(run.began);
                observed.confinement = Some(run.confinement);
                observed.usage = run.usage();
                observed.shepherd = Some(run.shepherd_id());
                drop(observed);
                self.current = Some(run);
                Ok(())
            }
            Err(error) => {
                let kind = match error {
                    WorkloadError::NotStarted(step, number) => ExitKind::NotStarted(step, number),
                    _ => ExitKind::Unknown,
                };
                let ran_for = Duration::ZERO;
                self.record(
                    RunEnd {
                        kind,
                        ran_for,
                        oom_kills: 0,
                        process_limit_hits: 0,
                        survivors: 0,
                    },
                    Asked::No,
                );
                self.decide(kind, ran_for);
                Err(error)
            }
        }
    }

    async fn stop(&mut self, grace: Option<Duration>) -> Result<(), WorkloadError> {
        self.observed.borrow_mut().next_start = None;
        let Some(run) = self.current.take() else {
            let mut observed = self.observed.borrow_mut();
            if observed.state == WorkloadState::WaitingToRestart {
                observed.state = WorkloadState::Stopped;
            }
            return Ok(());
        };
        self.observed.borrow_mut().state = WorkloadState::Stopping;
        let configured = self.settings.grace;
        let grace = grace.unwrap_or(configured);
        let (permission, ending) = (self.permission.clone(), self.ending.clone());
        let end = run.stop(grace, configured, permission, ending).await;
        let survivors = end.survivors;
        self.record(end, Asked::Yes);
        if survivors > 0 {
            self.observed.borrow_mut().state = WorkloadState::Failed;
            return Err(WorkloadError::Survivors(survivors));
        }
        self.observed.borrow_mut().state = WorkloadState::Stopped;
        Ok(())
    }

    async fn ended_by_itself(&mut self, ended: Ended) {
        let Some(run) = self.current.take() else {
            return;
        };
        let end = run.finish(ended).await;
        let (kind, ran_for, survivors) = (end.kind, end.ran_for, end.survivors);
        self.record(end, Asked::No);
        if survivors > 0 {
            // A second run beside the rest of the first would share its files; better none.
            self.observed.borrow_mut().state = WorkloadState::Failed;
            return;
        }
        self.decide(kind, ran_for);
    }

    fn decide(&mut self, kind: ExitKind, ran_for: Duration) {
        let next = self.restarts.after_end(kind, ran_for);
        let mut observed = self.observed.borrow_mut();
        match next {
            Next::Restart(pause) => {
                observed.state = WorkloadState::WaitingToRestart;
                observed.next_start = Some(Instant::now() + pause);
            }
            Next::StayStopped => observed.state = WorkloadState::Stopped,
            Next::StayFailed => observed.state = WorkloadState::Failed,
        }
    }

    fn record(&mut self, end: RunEnd, asked: Asked) {
        let RunEnd {
            kind,
            ran_for,
            oom_kills,
            process_limit_hits,
            survivors: _,
        } = end;
        let requested = matches!(asked, Asked::Yes);
        let mut observed = self.observed.borrow_mut();
        observed.began = None;
        observed.ready = false;
        observed.usage = None;
        observed.shepherd = None;
        observed.oom_kills = observed.oom_kills.saturating_add(oom_kills);
        observed.process_limit_hits = observed
            .process_limit_hits
            .saturating_add(process_limit_hits);
        let record = ExitRecord {
            kind,
            requested,
            ran_for,
            oom_kills,
            process_limit_hits,
        };
        observed.last_exit = Some((record, Instant::now()));
        drop(observed);
        self.exits
            .send_modify(|count| *count = count.saturating_add(1));
    }

    fn deliver_keys(&mut self, keys: Vec<KeyFile>) -> Result<(), WorkloadError> {
        if *self.permission.borrow() == Permission::Withdrawn {
            return Err(WorkloadError::Withdrawn);
        }
        let running = self.current.as_mut();
        let published = running.map_or(Ok(()), |run| run.publish_keys(&keys));
        // Whatever keeps them from the present run, the next one gets what the agent holds.
        self.keys = keys;
        published
    }

    fn wipe_keys(&mut self) -> Result<(), WorkloadError> {
        self.keys.clear(); // Each key wipes itself.
        self.current.as_mut().map_or(Ok(()), Run::clear_keys)
    }

    fn observe_usage(&mut self) {
        let usage = self.current.as_ref().and_then(Run::usage);
        self.observed.borrow_mut().usage = usage;
    }
}

/// Whether the agent had asked for an end.
#[derive(Clone, Copy)]
enum Asked {
    Yes,
    No,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readiness_changes_once_a_minute_after_the_first_time() {
        let mut observed = Observed::default();
        let start = Instant::now();
        let mut set = |readiness, seconds| {
            observed.set_ready(readiness, start + Duration::from_secs(seconds))
        };
        assert_eq!(set(WorkloadReadiness::Ready, 0), Ok(()));
        assert_eq!(set(WorkloadReadiness::Ready, 1), Ok(()), "no change");
        assert_eq!(
            set(WorkloadReadiness::NotReady, 59),
            Err(LocalRefusal::TooSoon)
        );
        assert_eq!(set(WorkloadReadiness::NotReady, 60), Ok(()));
        assert_eq!(
            set(WorkloadReadiness::Ready, 119),
            Err(LocalRefusal::TooSoon)
        );
    }
}
