//! One run of the workload: everything that exists from its start to its end, and nothing longer.

use std::cell::Cell;
use std::future::pending;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixStream as BlockingStream;
use std::path::Path;
use std::pin::pin;
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

use minicbor::bytes::ByteVec;
use nix::errno::Errno;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::cgroup::{ControlGroup, ControlGroupLimits, ControlGroupUsage};
use super::exit::{ExitKind, LaunchStep};
use super::handle::{Ending, Permission, WorkloadError};
use super::key_files::{KeyDirectory, KeyFile};
use super::measures::{Confinement, ConfinementMeasure, MeasureSet};
use super::messages::{Descriptor, Event, LaunchOrder, MAX_EVENT_BYTES, RootOrder, send_order};
use super::output::OutputPipe;
use super::settings::WorkloadSettings;
use super::shepherd;
use crate::platform::filesystems;

/// How long a shepherd may take from its start to the workload's first instruction.
const LAUNCH_TIMEOUT: Duration = Duration::from_secs(10);
/// What a stop may take beyond the grace time: the shepherd's own deadline, and some.
const KILL_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a killed shepherd may take to disappear; the kernel may hold it longer, and nobody waits for that.
const REAP_TIMEOUT: Duration = Duration::from_secs(1);
/// Pause between two looks whether the shepherd has ended.
const REAP_PAUSE: Duration = Duration::from_millis(2);
/// How long the last of the output may take to be counted after the end.
const DRAIN_TIMEOUT: Duration = Duration::from_millis(500);

/// A workload that runs.
pub(super) struct Run {
    shepherd: Child,
    control: UnixStream,
    received: Vec<u8>,
    keys: KeyDirectory,
    group: Option<ControlGroup>,
    pumps: [JoinHandle<()>; 2],
    pub(super) began: Instant,
    pub(super) confinement: Confinement,
}

/// How a run ended.
pub(super) struct RunEnd {
    pub(super) kind: ExitKind,
    pub(super) ran_for: Duration,
    pub(super) oom_kills: u64,
    pub(super) process_limit_hits: u64,
    pub(super) survivors: u32,
}

/// Where output bytes are counted, over all runs.
#[derive(Clone, Default)]
pub(super) struct OutputCounts {
    pub(super) output: Rc<Cell<u64>>,
    pub(super) error: Rc<Cell<u64>>,
}

impl Run {
    /// Starts the workload with these keys.
    pub(super) async fn launch(
        settings: &WorkloadSettings,
        keys: &[KeyFile],
        counts: &OutputCounts,
    ) -> Result<Self, WorkloadError> {
        let (mut directory, tmpfs) =
            key_directory(settings).map_err(|error| failed(LaunchStep::KeyFiles, &error))?;
        directory
            .publish(keys)
            .map_err(|error| failed(LaunchStep::KeyFiles, &error))?;
        let at_group = |error: io::Error| failed(LaunchStep::ControlGroup, &error);
        let limits = settings.limits.now().map_err(at_group)?;
        let group = match ControlGroup::create(limits) {
            Ok(group) => Some(group),
            // The measures are then missing, and reported.
            Err(_) if settings.tolerant => None,
            Err(error) => return Err(at_group(error)),
        };
        let group_measures = group
            .as_ref()
            .map(ControlGroup::measures)
            .unwrap_or_default();
        let confinement = Confinement {
            enforced: MeasureSet::default(),
            not_asked: limits.not_asked().union(not_asked(settings)),
        };
        refuse_unlimited(settings, group_measures, confinement)?;

        let at_files = |error: io::Error| failed(LaunchStep::Files, &error);
        let (output_pipe, output) = OutputPipe::new().map_err(at_files)?;
        let (error_pipe, error) = OutputPipe::new().map_err(at_files)?;
        let mut files = Files::default();
        files.add(Descriptor::Output, output);
        files.add(Descriptor::Error, error);
        if let Some(tmpfs) = tmpfs {
            files.add(Descriptor::Keys, tmpfs);
        }
        if let Some(group) = &group {
            let processes = group.processes().map_err(at_group)?;
            files.add(Descriptor::ControlGroupProcesses, processes.into());
            let kill_switch = group.kill_switch().map_err(at_group)?;
            files.add(Descriptor::ControlGroupKill, kill_switch.into());
        }
        let order = launch_order(settings, limits, group.as_ref(), &files);
        let at_shepherd = |error: io::Error| failed(LaunchStep::Shepherd, &error);
        let (shepherd, control) = start_shepherd(settings, &order, files).map_err(at_shepherd)?;
        let mut run = Self {
            shepherd,
            control,
            received: Vec::new(),
            keys: directory,
            group,
            pumps: [
                output_pipe.drain(settings.output, Rc::clone(&counts.output)),
                error_pipe.drain(settings.output, Rc::clone(&counts.error)),
            ],
            began: Instant::now(),
            confinement,
        };
        match tokio::time::timeout(LAUNCH_TIMEOUT, run.event()).await {
            Ok(Some(Event::Started { measures })) => {
                run.began = Instant::now();
                run.confinement.enforced = MeasureSet::from_bits(measures);
                Ok(run)
            }
            Ok(Some(Event::NotStarted { step, error })) => {
                run.tear_down().await;
                let step = LaunchStep::from_number(step).unwrap_or(LaunchStep::Shepherd);
                Err(WorkloadError::NotStarted(step, error))
            }
            Ok(Some(Event::Ended { .. }) | None) | Err(_) => {
                run.tear_down().await;
                Err(WorkloadError::NotStarted(LaunchStep::Shepherd, 0))
            }
        }
    }

    /// Waits for the end. May be dropped and called again.
    pub(super) async fn ended(&mut self) -> Ended {
        loop {
            match self.event().await {
                Some(Event::Ended {
                    code,
                    signal,
                    survivors,
                }) => {
                    let kind = match (code, signal) {
                        (Some(code), _) => ExitKind::Code(code),
                        (None, Some(signal)) => ExitKind::Signal(signal),
                        (None, None) => ExitKind::Unknown,
                    };
                    return Ended { kind, survivors };
                }
                Some(_) => {}
                None => {
                    return Ended {
                        kind: ExitKind::Unknown,
                        survivors: 0,
                    };
                }
            }
        }
    }

    /// Asks it to end, and waits until it has, by force after the grace time. When the permission to run is
    /// withdrawn, its keys are wiped at once and it has no more than the `configured` grace time left; when the agent
    /// ends, no more than that allows. Neither gives it more time than it had.
    pub(super) async fn stop(
        mut self,
        mut grace: Duration,
        configured: Duration,
        permission: watch::Receiver<Permission>,
        ending: watch::Receiver<Ending>,
    ) -> RunEnd {
        let deadline = Instant::now() + grace;
        let (mut withdrawn, mut agent_ends) = (pin!(withdrawn(permission)), pin!(ends(ending)));
        let (mut is_withdrawn, mut agent_is_ending) = (false, false);
        let ended = loop {
            let most = tokio::select! {
                biased;
                () = &mut withdrawn, if !is_withdrawn => {
                    is_withdrawn = true;
                    // What cannot be wiped now is tried again when the run is torn down.
                    let _ = self.keys.clear();
                    configured
                }
                most = &mut agent_ends, if !agent_is_ending => {
                    agent_is_ending = true;
                    most.unwrap_or(configured)
                }
                ended = self.end_within(grace) => break ended,
            };
            grace = deadline.saturating_duration_since(Instant::now()).min(most);
        };
        self.finish(ended).await
    }

    /// One command to the shepherd, which counts from the last it gets.
    async fn end_within(&mut self, grace: Duration) -> Ended {
        let grace_millis = u32::try_from(grace.as_millis()).unwrap_or(u32::MAX);
        // A shepherd that has gone already is noticed by the wait.
        let _ = self.control.write_all(&grace_millis.to_be_bytes()).await;
        tokio::time::timeout(grace.saturating_add(KILL_TIMEOUT), self.ended())
            .await
            .unwrap_or(Ended {
                kind: ExitKind::Unknown,
                survivors: 1,
            })
    }

    /// Wipes the keys and removes what belonged to the run.
    pub(super) async fn finish(mut self, ended: Ended) -> RunEnd {
        let Ended { kind, survivors } = ended;
        let ran_for = self.began.elapsed();
        for pump in &mut self.pumps {
            // Ends by itself with the last writer.
            let _ = tokio::time::timeout(DRAIN_TIMEOUT, &mut *pump).await;
        }
        let usage = self.usage();
        self.tear_down().await;
        let usage = usage.unwrap_or_default();
        RunEnd {
            kind,
            ran_for,
            oom_kills: usage.oom_kills.unwrap_or(0),
            process_limit_hits: usage.process_limit_hits.unwrap_or(0),
            survivors,
        }
    }

    /// Process id of the shepherd.
    pub(super) fn shepherd_id(&self) -> u32 {
        self.shepherd.id()
    }

    /// What the run's control group counts.
    pub(super) fn usage(&self) -> Option<ControlGroupUsage> {
        self.group.as_ref().map(ControlGroup::usage)
    }

    /// Replaces the key files.
    pub(super) fn publish_keys(&mut self, keys: &[KeyFile]) -> Result<(), WorkloadError> {
        self.keys
            .publish(keys)
            .map_err(|error| WorkloadError::KeyFiles(number(&error)))
    }

    /// Wipes the key files.
    pub(super) fn clear_keys(&mut self) -> Result<(), WorkloadError> {
        self.keys
            .clear()
            .map_err(|error| WorkloadError::KeyFiles(number(&error)))
    }

    async fn tear_down(mut self) {
        for pump in &self.pumps {
            pump.abort();
        }
        drop(self.control); // A shepherd that is still there kills everything now.
        wait_or_kill(&mut self.shepherd).await;
        drop(self.keys); // Wiped after the last reader has ended.
        drop(self.group); // Kills what a killed shepherd has left.
    }

    /// The next event; `None` at the end of the socket. May be dropped and called again.
    async fn event(&mut self) -> Option<Event> {
        loop {
            if let Some((length, rest)) = self.received.split_first_chunk::<2>() {
                let length = usize::from(u16::from_be_bytes(*length));
                if length > MAX_EVENT_BYTES {
                    return None;
                }
                if let Some(body) = rest.get(..length) {
                    let event = Event::decode(body);
                    self.received.drain(..length + 2);
                    return event;
                }
            }
            let mut bytes = [0; MAX_EVENT_BYTES];
            match self.control.read(&mut bytes).await {
                Ok(count) if count > 0 => {
                    self.received
                        .extend_from_slice(bytes.get(..count).unwrap_or_default());
                }
                Ok(_) | Err(_) => return None,
            }
        }
    }
}

/// Returns when the workload may no longer run; never if nobody can say so any more.
async fn withdrawn(mut permission: watch::Receiver<Permission>) {
    let found = permission.wait_for(|permission| *permission == Permission::Withdrawn);
    if found.await.is_err() {
        pending::<()>().await;
    }
}

/// Returns when the agent ends, with the grace time that this allows; never if nobody can say so any more.
async fn ends(mut ending: watch::Receiver<Ending>) -> Option<Duration> {
    let found = ending.wait_for(|ending| *ending != Ending::NotYet).await;
    match found.as_deref() {
        Ok(Ending::Within(grace)) => *grace,
        Ok(Ending::NotYet) | Err(_) => pending().await,
    }
}

/// How a run ended, before what belonged to it is removed.
pub(super) struct Ended {
    kind: ExitKind,
    survivors: u32,
}

#[derive(Default)]
struct Files {
    kinds: Vec<Descriptor>,
    descriptors: Vec<OwnedFd>,
}

impl Files {
    fn add(&mut self, kind: Descriptor, descriptor: OwnedFd) {
        self.kinds.push(kind);
        self.descriptors.push(descriptor);
    }
}

/// The directory, and the tmpfs to attach when it is one.
fn key_directory(settings: &WorkloadSettings) -> io::Result<(KeyDirectory, Option<OwnedFd>)> {
    let place = settings.keys_place.as_path();
    if let Some(parent) = place.parent() {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(parent)?;
    }
    if let Some(owner) = settings.owner {
        match filesystems::key_tmpfs() {
            Ok(tmpfs) => {
                let directory = KeyDirectory::in_tmpfs(tmpfs.as_fd(), owner)?;
                make_mount_point(place)?;
                return Ok((directory, Some(tmpfs)));
            }
            // Root without CAP_SYS_ADMIN (a container), or an old kernel.
            Err(Errno::EPERM | Errno::ENOSYS) if settings.tolerant && settings.root.is_none() => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok((KeyDirectory::in_directory(place, settings.owner)?, None))
}

fn make_mount_point(place: &Path) -> io::Result<()> {
    match std::fs::DirBuilder::new().mode(0o700).create(place) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Measures beside the limits that only an enclave always asks for.
fn not_asked(settings: &WorkloadSettings) -> MeasureSet {
    let mut set = MeasureSet::default();
    if settings.root.is_none() {
        set.insert(ConfinementMeasure::OwnRoot);
        set.insert(ConfinementMeasure::NoWrittenPrograms);
    }
    // A laptop's agent has no group of its own that would compete with the workload's.
    if settings.tolerant {
        set.insert(ConfinementMeasure::ProcessorShare);
    }
    set
}

/// The limits are the control group's, which the shepherd knows only as a set of measures; whether
/// one that was asked for may be missing is decided here.
fn refuse_unlimited(
    settings: &WorkloadSettings,
    group_measures: MeasureSet,
    confinement: Confinement,
) -> Result<(), WorkloadError> {
    let limits = [
        ConfinementMeasure::MemoryLimit,
        ConfinementMeasure::ProcessLimit,
        ConfinementMeasure::ProcessorShare,
    ];
    let missing = limits.into_iter().any(|measure| {
        !group_measures.contains(measure) && !confinement.not_asked.contains(measure)
    });
    if missing && !settings.tolerant {
        return Err(WorkloadError::NotStarted(
            LaunchStep::ControlGroup,
            Errno::ENOENT as i32,
        ));
    }
    Ok(())
}

fn launch_order(
    settings: &WorkloadSettings,
    limits: ControlGroupLimits,
    group: Option<&ControlGroup>,
    files: &Files,
) -> LaunchOrder {
    let config = &settings.config;
    let group_measures = group.map(ControlGroup::measures).unwrap_or_default();
    // Where the control group limits processes, that limit is the one to be hit: it is counted.
    let processes = match limits.pids_max {
        Some(limit) if group_measures.contains(ConfinementMeasure::ProcessLimit) => {
            settings.processes.map(|_| limit.saturating_mul(2))
        }
        _ => settings.processes,
    };
    let bytes = |path: &Path| ByteVec::from(path.as_os_str().as_bytes().to_vec());
    let group_place = group.map(|group| bytes(group.directory()));
    LaunchOrder {
        program: bytes(&config.command),
        arguments: config
            .arguments
            .iter()
            .map(|text| text.as_bytes().to_vec().into())
            .collect(),
        environment: settings
            .environment
            .iter()
            .map(|line| line.clone().into())
            .collect(),
        working_directory: bytes(&config.working_directory),
        user: settings
            .owner
            .map(|owner| (owner.user.as_raw(), owner.group.as_raw())),
        keys_place: bytes(&settings.keys_place),
        cover_temporary_files: settings.cover_temporary_files,
        open_files: settings.open_files,
        processes,
        control_group_measures: group_measures.bits(),
        control_group_place: group_place,
        tolerant: settings.tolerant,
        descriptors: files.kinds.clone(),
        root: settings.root.as_ref().map(|folder| RootOrder {
            folder: bytes(folder),
            socket: settings.socket.as_deref().map(bytes),
            tmp_bytes: config.tmp_max_bytes,
            shm_bytes: config.shm_max_bytes,
            insecure_executable_tmp: config.insecure_executable_tmp,
        }),
        vsock: config.vsock,
    }
}

fn start_shepherd(
    settings: &WorkloadSettings,
    order: &LaunchOrder,
    files: Files,
) -> io::Result<(Child, UnixStream)> {
    let (mut ours, theirs) = BlockingStream::pair()?;
    let mut shepherd = Command::new(&settings.shepherd_program)
        .arg(shepherd::SUBCOMMAND)
        .env_clear()
        .current_dir("/")
        .stdin(OwnedFd::from(theirs))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let descriptors: Vec<RawFd> = files.descriptors.iter().map(AsRawFd::as_raw_fd).collect();
    // A shepherd that does not read must not stop the agent.
    ours.set_write_timeout(Some(LAUNCH_TIMEOUT))?;
    let sent = send_order(&mut ours, order, &descriptors);
    let connected = sent.and_then(|()| {
        ours.set_nonblocking(true)?;
        UnixStream::from_std(ours)
    });
    match connected {
        Ok(control) => Ok((shepherd, control)),
        Err(error) => {
            let _ = shepherd.kill();
            let _ = shepherd.wait();
            Err(error)
        }
    }
}

/// The shepherd exits by itself once its socket has ended and everything is dead. On the event loop: the threads for
/// what blocks may all wait for an NSM that never answers.
async fn wait_or_kill(shepherd: &mut Child) {
    if !has_ended(shepherd, KILL_TIMEOUT).await {
        let _ = shepherd.kill();
        has_ended(shepherd, REAP_TIMEOUT).await;
    }
}

async fn has_ended(shepherd: &mut Child, limit: Duration) -> bool {
    let deadline = Instant::now() + limit;
    loop {
        match shepherd.try_wait() {
            Ok(Some(_)) | Err(_) => return true,
            Ok(None) if Instant::now() >= deadline => return false,
            Ok(None) => tokio::time::sleep(REAP_PAUSE).await,
        }
    }
}

fn failed(step: LaunchStep, error: &io::Error) -> WorkloadError {
    WorkloadError::NotStarted(step, number(error))
}

fn number(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(0)
}
