//! What the rest of the agent holds of the workload.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot, watch};

use super::cgroup::ControlGroupUsage;
use super::exit::{ExitRecord, LaunchStep};
use super::key_files::KeyFile;
use super::measures::Confinement;
use super::runner::{self, Observed};
use super::settings::WorkloadSettings;
use crate::local_socket::{LocalRefusal, WorkloadReadiness};

/// The workload, as the rest of the agent sees it. Cheap to clone; the task behind it ends the
/// workload when the last clone is dropped.
#[derive(Clone)]
pub struct WorkloadHandle {
    orders: mpsc::UnboundedSender<Order>,
    observed: Rc<RefCell<Observed>>,
    exits: watch::Receiver<u64>,
    permission: watch::Sender<Permission>,
    ending: watch::Sender<Ending>,
}

/// Whether the agent ends, and the workload with it for good. Beside the orders, as [`Permission`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    NotYet,
    /// No stop may take longer; `None`: than configured.
    Within(Option<Duration>),
}

/// Whether the workload may run and have keys. Beside the orders, which are obeyed one after the other, so that it
/// reaches a runner that is still busy with the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Permission {
    Granted,
    Withdrawn,
}

/// What the runner is asked to do.
pub(super) enum Order {
    Start(Answer),
    Stop(Option<Duration>, Answer),
    Restart(Option<Duration>, Answer),
    DeliverKeys(Vec<KeyFile>, Answer),
    WipeKeys(Answer),
}

pub(super) type Answer = oneshot::Sender<Result<(), WorkloadError>>;

/// Why something with the workload did not work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkloadError {
    /// The configuration has no workload.
    NotConfigured,
    /// It could not be started: this step, and the kernel's error number (0 when there is none).
    NotStarted(LaunchStep, i32),
    /// It was killed, but so many of its processes would not die in time.
    Survivors(u32),
    /// It may not run: [`WorkloadHandle::withdraw`], [`WorkloadHandle::end`].
    Withdrawn,
    /// The key files could not be written or removed; the kernel's error number.
    KeyFiles(i32),
    /// The task behind the handle has ended: the agent is shutting down.
    Gone,
}

impl WorkloadError {
    /// Stable text.
    pub fn id(self) -> &'static str {
        match self {
            Self::NotConfigured => "workload.not_configured",
            Self::NotStarted(..) => "workload.not_started",
            Self::Survivors(_) => "workload.survivors",
            Self::Withdrawn => "workload.withdrawn",
            Self::KeyFiles(_) => "workload.key_files",
            Self::Gone => "workload.gone",
        }
    }
}

impl fmt::Display for WorkloadError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let system = std::io::Error::from_raw_os_error;
        match *self {
            Self::NotConfigured => formatter.write_str("no workload is configured"),
            Self::NotStarted(step, 0) => {
                write!(
                    formatter,
                    "the workload could not be started: {}",
                    step.id()
                )
            }
            Self::NotStarted(step, error) => {
                write!(
                    formatter,
                    "the workload could not be started: {}: {}",
                    step.id(),
                    system(error)
                )
            }
            Self::Survivors(count) => {
                write!(
                    formatter,
                    "{count} processes of the workload could not be killed in time"
                )
            }
            Self::Withdrawn => formatter.write_str("the workload may not run"),
            Self::KeyFiles(error) => write!(formatter, "the key files: {}", system(error)),
            Self::Gone => formatter.write_str("the agent is shutting down"),
        }
    }
}

impl std::error::Error for WorkloadError {}

/// What the workload is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WorkloadState {
    /// It was never started, or none is configured.
    #[default]
    NotStarted,
    /// It is being started.
    Starting,
    /// It runs.
    Running,
    /// It ended and will be started again.
    WaitingToRestart,
    /// It is being stopped.
    Stopping,
    /// It has ended, and will not be started again by itself.
    Stopped,
    /// It has failed, and will not be started again by itself.
    Failed,
}

/// All there is to say about the workload, at one moment. Numbers are exact here; `probes` rounds
/// them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WorkloadSnapshot {
    /// What it is doing.
    pub state: WorkloadState,
    /// Starts after the first since the agent began, whoever asked for them.
    pub restarts: u64,
    /// How long it has been running. Absent unless it runs.
    pub running_for: Option<Duration>,
    /// How long until it is started again. Absent unless it waits for that.
    pub next_start_in: Option<Duration>,
    /// How it last ended, and how long ago.
    pub last_exit: Option<(ExitRecord, Duration)>,
    /// Its processes that the kernel killed for want of memory, over all runs.
    pub oom_kills: u64,
    /// Processes that it was refused because it had as many as it may, over all runs.
    pub process_limit_hits: u64,
    /// Bytes it wrote to standard output, over all runs.
    pub output_bytes: u64,
    /// Bytes it wrote to standard error, over all runs.
    pub error_bytes: u64,
    /// What confines the run that is, or the last one. Absent before the first.
    pub confinement: Option<Confinement>,
    /// Whether it says that it is ready.
    pub ready: bool,
    /// What its control group counts. Absent without one, or when it does not run.
    pub usage: Option<ControlGroupUsage>,
}

/// Starts the task that owns the workload. The workload itself waits for [`WorkloadHandle::start`].
/// Must be called inside a `LocalSet`.
pub fn spawn(settings: Option<WorkloadSettings>) -> WorkloadHandle {
    let (orders, inbox) = mpsc::unbounded_channel();
    let (exit_count, exits) = watch::channel(0);
    let (permission, permitted) = watch::channel(Permission::Granted);
    let (ending, ended) = watch::channel(Ending::NotYet);
    let observed = Rc::new(RefCell::new(Observed::default()));
    tokio::task::spawn_local(runner::run(
        settings,
        inbox,
        exit_count,
        Rc::clone(&observed),
        permitted,
        ended,
    ));
    WorkloadHandle {
        orders,
        observed,
        exits,
        permission,
        ending,
    }
}

impl WorkloadHandle {
    /// Starts the workload if it does not run. Without a configured workload this does nothing.
    ///
    /// # Errors
    ///
    /// [`WorkloadError::NotStarted`], also when the restart policy will try again.
    pub async fn start(&self) -> Result<(), WorkloadError> {
        self.ask(Order::Start).await
    }

    /// Ends the workload: SIGTERM, the grace time (the configured one by default), SIGKILL for
    /// whatever is left. Returns when nothing of it is left and its key files are wiped; it stays
    /// stopped until somebody starts it. Does nothing when it does not run.
    ///
    /// # Errors
    ///
    /// [`WorkloadError::Survivors`].
    pub async fn stop(&self, grace: Option<Duration>) -> Result<(), WorkloadError> {
        self.ask(|answer| Order::Stop(grace, answer)).await
    }

    /// Ends the workload as [`WorkloadHandle::stop`] does, and starts it. Returns when the new run
    /// has begun, so it takes up to the grace time and a little more: spawn it where that is too
    /// long.
    ///
    /// # Errors
    ///
    /// [`WorkloadError`]; `NotConfigured` without a workload.
    pub async fn restart(&self, grace: Option<Duration>) -> Result<(), WorkloadError> {
        self.ask(|answer| Order::Restart(grace, answer)).await
    }

    /// Replaces the keys: now for a workload that runs, and for every start from now on.
    ///
    /// # Errors
    ///
    /// [`WorkloadError::KeyFiles`]; the files are then as before until the next start.
    pub async fn deliver_keys(&self, keys: Vec<KeyFile>) -> Result<(), WorkloadError> {
        self.ask(|answer| Order::DeliverKeys(keys, answer)).await
    }

    /// Takes the keys away: wipes the files, those a running workload has open included, and
    /// forgets them.
    ///
    /// # Errors
    ///
    /// [`WorkloadError::KeyFiles`]; every file has been tried by then, and the keys are forgotten.
    pub async fn wipe_keys(&self) -> Result<(), WorkloadError> {
        self.ask(Order::WipeKeys).await
    }

    /// Takes keys and life away, whatever was ordered before: a stop under way with a longer grace time is
    /// cut to the configured one and its key files are wiped at once, and nothing starts the workload,
    /// neither a restart under way nor the restart policy, until [`WorkloadHandle::permit`]. Returns when
    /// nothing of it is left.
    ///
    /// # Errors
    ///
    /// As [`WorkloadHandle::wipe_keys`] and [`WorkloadHandle::stop`]; both have been tried by then.
    pub async fn withdraw(&self) -> Result<(), WorkloadError> {
        self.permission.send_replace(Permission::Withdrawn);
        let wiped = self.wipe_keys().await;
        self.stop(None).await.and(wiped)
    }

    /// Ends what [`WorkloadHandle::withdraw`] began. Starts nothing.
    pub fn permit(&self) {
        self.permission.send_replace(Permission::Granted);
    }

    /// Ends the workload for good, because the agent ends: as [`WorkloadHandle::stop`], but whatever was ordered before. A
    /// stop under way is cut to this grace time, and nothing starts the workload any more, a restart under way neither.
    ///
    /// # Errors
    ///
    /// As [`WorkloadHandle::stop`].
    pub async fn end(&self, grace: Option<Duration>) -> Result<(), WorkloadError> {
        self.ending.send_replace(Ending::Within(grace));
        self.stop(grace).await
    }

    /// What it is doing, and what became of it so far.
    pub fn snapshot(&self) -> WorkloadSnapshot {
        self.observed.borrow().snapshot(Instant::now())
    }

    /// Process id of the shepherd above the workload, while there is one. For counting only.
    pub fn shepherd(&self) -> Option<u32> {
        self.observed.borrow().shepherd()
    }

    /// The workload says whether it is ready. At the start of each run it is not.
    ///
    /// # Errors
    ///
    /// [`LocalRefusal::TooSoon`]: what it says is a bit that operators see, so it changes once a
    /// minute at most; only the first change of a run is free.
    pub fn set_ready(&self, readiness: WorkloadReadiness) -> Result<(), LocalRefusal> {
        self.observed
            .borrow_mut()
            .set_ready(readiness, Instant::now())
    }

    /// The number of ends so far; changes with each.
    pub fn exits(&self) -> watch::Receiver<u64> {
        self.exits.clone()
    }

    async fn ask(&self, order: impl FnOnce(Answer) -> Order) -> Result<(), WorkloadError> {
        let (answer, answered) = oneshot::channel();
        self.orders
            .send(order(answer))
            .map_err(|_| WorkloadError::Gone)?;
        answered.await.map_err(|_| WorkloadError::Gone)?
    }
}
