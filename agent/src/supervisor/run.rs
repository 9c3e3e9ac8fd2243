//! The supervisor's life: boot, serve, end.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use narthex_channel::UnixMillis;
use narthex_nsm::{AttestationRequest, own_document};
use nix::unistd::{Gid, Uid};
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, watch};
use tokio::task::LocalSet;

use super::backend::Backend;
use super::connect::listen;
use super::core::{Core, Shutdown, Start};
use super::exchange::Exchanger;
use super::keyring::Keyring;
use super::policy_watch::Intake;
use super::{gate_link, key_watch, policy_watch};
use crate::boot::{Booted, boot, open_nsm};
use crate::config::Config;
use crate::error::AgentError;
use crate::init::checks::Reading;
use crate::init::code::BootCode;
use crate::init::heartbeat::Heartbeat;
use crate::init::status::{BootReporter, Stage};
use crate::ipc::ConfinementOrder;
use crate::local_socket::{Counters, LocalSocket, LocalSocketStatistics};
use crate::mode::{Mode, Privileges};
use crate::notice::Notices;
use crate::platform;
use crate::probes::Probes;
use crate::sandbox::FULL_LANDLOCK_ABI;
use crate::trusted_time::{BootMillis, RENEWAL_INTERVAL};
use crate::workload::{self, WorkloadSettings};

/// Threads for calls to the NSM, which may block.
const BLOCKING_THREADS: usize = 2;
/// How long answers under way may still take at the end.
const LAST_ANSWERS: Duration = Duration::from_millis(200);

/// Runs as an ordinary process until a signal or an operator ends it.
///
/// # Errors
///
/// [`AgentError`]; everything that was started has been ended.
pub fn run_local(config: Config) -> Result<(), AgentError> {
    if std::process::id() == 1 {
        return Err(AgentError::LocalAsInit);
    }
    let privileges = Privileges::current();
    config.check_run(Mode::Local, privileges)?;
    // What an enclave would refuse, a laptop counts.
    let failed_checks = u64::try_from(Reading::read().failed().len()).unwrap_or(u64::MAX);
    let how = Run {
        mode: Mode::Local,
        privileges,
        notices: Notices::StandardError,
        started: BootMillis::read(),
        start: Start {
            failed_checks,
            heartbeat: Heartbeat::NotSent,
        },
    };
    run_to_the_end(config, how, &BootReporter::silent())
}

/// Runs as the supervisor of an enclave until an operator ends it. Configuration and machine have been
/// checked.
///
/// # Errors
///
/// [`AgentError`]; the machine must then restart.
pub fn run_enclave(
    config: Config,
    heartbeat: Heartbeat,
    reporter: &BootReporter,
) -> Result<(), AgentError> {
    let how = Run {
        mode: Mode::Enclave,
        privileges: Privileges::Root,
        // The console is the parent's, and slow: what operators and peers can cause must not be able to fill
        // it. It hears of the boot's stages only, through process 1.
        notices: Notices::Silent,
        started: BootMillis::read(),
        start: Start {
            failed_checks: 0,
            heartbeat,
        },
    };
    run_to_the_end(config, how, reporter)
}

fn run_to_the_end(config: Config, how: Run, reporter: &BootReporter) -> Result<(), AgentError> {
    let failed = |error: io::Error| AgentError::Runtime {
        what: "the process",
        kind: error.kind(),
    };
    // Before anything is started: gate, fetchers and shepherds inherit it.
    platform::process::spare_from_oom_kill();
    // Keys must not land in a core file, nor be read by another process of the same user.
    platform::process::forbid_dumps().map_err(|errno| failed(errno.into()))?;
    let runtime = Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS)
        .build()
        .map_err(failed)?;
    let ended = LocalSet::new().block_on(&runtime, run(config, how, reporter));
    // Not dropped: that would wait for a call to an NSM that may never answer.
    runtime.shutdown_background();
    ended
}

/// How and as whom the agent runs.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// In an enclave or not.
    pub mode: Mode,
    /// With which rights.
    pub privileges: Privileges,
    /// What a person reads.
    pub notices: Notices,
    /// When it started.
    pub started: BootMillis,
    /// How the machine was found.
    pub start: Start,
}

async fn run(config: Config, run: Run, reporter: &BootReporter) -> Result<(), AgentError> {
    let (shutdown, mut ordered) = watch::channel(None);
    forward_signals(&shutdown)?;
    prepare_directory(&config.runtime_directory)?;
    let exchanger = exchanger(&config);
    let nsm = open_nsm(&config.nsm)?;
    let booted = tokio::select! {
        booted = boot(&config, nsm, &exchanger, run.notices, reporter) => booted?,
        _ = ordered.wait_for(Option::is_some) => return Ok(()),
    };
    let socket = bind_local_socket(&config)?;
    let statistics = socket.as_ref().map(LocalSocket::statistics);
    let (core, intake) = assemble(config, run, booted, statistics, shutdown)?;
    if let Some(socket) = socket {
        tokio::task::spawn_local(socket.serve(Backend(core.clone())));
    }
    let served = serve(&core, intake, reporter).await;
    core.keyring.borrow_mut().wipe();
    served
}

fn exchanger(config: &Config) -> Exchanger {
    Exchanger {
        confinement: ConfinementOrder::new(&config.gate),
        limit: Duration::from_secs(u64::from(config.fetcher.timeout_seconds)),
    }
}

/// Puts together what the supervisor's tasks share. Must be called inside a `LocalSet`.
///
/// # Errors
///
/// [`AgentError`] for a configuration that does not fit how the agent runs.
pub fn assemble(
    config: Config,
    run: Run,
    booted: Booted,
    statistics: Option<Rc<LocalSocketStatistics>>,
    shutdown: watch::Sender<Option<Shutdown>>,
) -> Result<(Rc<Core>, Intake), AgentError> {
    let Run {
        mode,
        privileges,
        notices,
        started,
        start,
    } = run;
    let Booted {
        module,
        time,
        authority,
        intake,
    } = booted;
    let socket_path = config.local_socket_path();
    let settings = config
        .workload
        .as_ref()
        .map(|workload| {
            let directory = &config.runtime_directory;
            let socket = socket_path.as_deref();
            WorkloadSettings::resolve(workload, directory, socket, mode, privileges)
        })
        .transpose()
        .map_err(|error| AgentError::Workload(error.id()))?;
    let probes = Probes::new();
    let core = Rc::new(Core {
        mode,
        privileges,
        notices,
        module,
        exchanger: exchanger(&config),
        policy_source: config.policy.address()?,
        key_service: config.keys.address()?,
        authority: RefCell::new(authority),
        time: RefCell::new(time),
        keyring: RefCell::new(Keyring::new(&config.keys)?),
        workload: workload::spawn(settings),
        probes: match statistics {
            Some(statistics) => probes.with_local_socket(statistics),
            None => probes,
        },
        counters: RefCell::new(Counters::declare(&config.counters)),
        gate: RefCell::default(),
        policy_status: RefCell::default(),
        key_status: RefCell::default(),
        revoked: Cell::new(false),
        workload_started: Cell::new(false),
        fetch_keys: Notify::new(),
        shutdown,
        started,
        start,
        config,
    });
    Ok((core, intake))
}

/// Serves until something ends it, and ends in good order.
async fn serve(core: &Rc<Core>, intake: Intake, reporter: &BootReporter) -> Result<(), AgentError> {
    let listener =
        listen(&core.config.gate.address()?).map_err(|error| AgentError::Listen(error.kind()))?;
    let gate = gate_link::start(&listener, &gate_link::setup(&core.config.gate)).await?;
    core.notices.say("the gate is confined and listens", "");
    reporter.say(Stage::Serving, BootCode::None);
    if core.privileges == Privileges::Unprivileged {
        core.notices.say(
            "without root: gate and workload have no user of their own",
            "",
        );
    }
    if gate.confinement.landlock_abi < FULL_LANDLOCK_ABI {
        core.notices.say(
            "insecure: this kernel's Landlock is older than ABI 6; gate and fetchers rest on seccomp more",
            "",
        );
    }
    core.act_on_release_state().await;
    let mut ordered = core.shutdown.subscribe();
    let ended = async {
        let order = ordered
            .wait_for(Option::is_some)
            .await
            .ok()
            .and_then(|order| *order);
        reporter.say(Stage::ShuttingDown, BootCode::None);
        end(core, order.unwrap_or(Shutdown { grace: None })).await;
    };
    // The gate serves on while the workload is being stopped, so that the end can be watched.
    tokio::select! {
        error = gate_link::serve(core.clone(), listener, gate) => Err(error),
        _ = policy_watch::watch(core.clone(), intake) => Ok(()),
        _ = key_watch::watch(core.clone()) => Ok(()),
        _ = renew_time(core.clone()) => Ok(()),
        () = ended => Ok(()),
    }
}

async fn end(core: &Rc<Core>, order: Shutdown) {
    core.notices.say("stopping", "");
    let stopping = async {
        if let Err(error) = core.workload.end(order.grace).await {
            core.notices
                .say("the workload did not stop in good order", error.id());
        }
        let _ = core.workload.wipe_keys().await;
    };
    tokio::join!(stopping, tokio::time::sleep(LAST_ANSWERS));
}

/// Binds the workload's local socket, if there is one.
fn bind_local_socket(config: &Config) -> Result<Option<LocalSocket>, AgentError> {
    let (Some(settings), Some(path)) = (&config.local_socket, config.local_socket_path()) else {
        return Ok(None);
    };
    let owner = config.workload.as_ref().and_then(|workload| {
        let (user, group) = (workload.user?, workload.group?);
        Some(workload::Owner {
            user: Uid::from_raw(user),
            group: Gid::from_raw(group),
        })
    });
    let bound = LocalSocket::bind(settings, &path, owner);
    bound.map(Some).map_err(|error| AgentError::Runtime {
        what: "the workload's local socket",
        kind: error.kind(),
    })
}

/// Renews trusted time from a fresh document, again and again.
async fn renew_time(core: Rc<Core>) -> std::convert::Infallible {
    loop {
        tokio::time::sleep(RENEWAL_INTERVAL).await;
        let asked = BootMillis::read();
        let document = core.module.attest(AttestationRequest::default()).await;
        let timestamp = document
            .ok()
            .and_then(|document| own_document::timestamp(&document).ok());
        let mut time = core.time.borrow_mut();
        match timestamp {
            Some(timestamp) => time.renew(UnixMillis(timestamp.0), asked),
            None => time.renewal_failed(),
        }
    }
}

/// SIGTERM and SIGINT end the agent as an operator's `shutdown` does.
fn forward_signals(shutdown: &watch::Sender<Option<Shutdown>>) -> Result<(), AgentError> {
    for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
        let failed = |error: io::Error| AgentError::Runtime {
            what: "the signals",
            kind: error.kind(),
        };
        let mut signals = signal(kind).map_err(failed)?;
        let shutdown = shutdown.clone();
        tokio::task::spawn_local(async move {
            while signals.recv().await.is_some() {
                shutdown.send_replace(Some(Shutdown { grace: None }));
            }
        });
    }
    Ok(())
}

/// The directory of key files and socket: the agent's own, passed through by the workload.
fn prepare_directory(path: &Path) -> Result<(), AgentError> {
    own_directory(path).map_err(|error| AgentError::Runtime {
        what: "runtime_directory",
        kind: error.kind(),
    })
}

/// Makes the directory, or takes over one that is ours already. Whoever owned it, or had put a link in its place,
/// could give the workload a socket and keys of their own.
fn own_directory(path: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o711)
        .create(path)?;
    let found = std::fs::symlink_metadata(path)?;
    if !found.is_dir() || found.uid() != nix::unistd::geteuid().as_raw() {
        return Err(io::Error::from(io::ErrorKind::PermissionDenied));
    }
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o711))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_runtime_directory_must_be_our_own() {
        let parent = tempfile::tempdir().unwrap();
        let ours = parent.path().join("a/b");
        own_directory(&ours).unwrap();
        std::fs::set_permissions(&ours, std::fs::Permissions::from_mode(0o777)).unwrap();
        own_directory(&ours).unwrap();
        let mode = std::fs::metadata(&ours).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o711);
        let refused = |path: &Path| own_directory(path).unwrap_err().kind();
        let link = parent.path().join("link");
        std::os::unix::fs::symlink(&ours, &link).unwrap();
        assert_eq!(refused(&link), io::ErrorKind::PermissionDenied);
        if nix::unistd::geteuid().is_root() {
            let stranger = Some(Uid::from_raw(64_123));
            nix::unistd::chown(&ours, stranger, None).unwrap();
            assert_eq!(refused(&ours), io::ErrorKind::PermissionDenied);
        }
    }
}
