//! The shepherd: one small process per run of the workload, between it and the agent.
//!
//! It exists for three things the agent's own process cannot do well. It has one thread, so it may
//! fork and then prepare the child with ordinary code. It is the *subreaper*: whatever the workload
//! starts, however often it forks away, ends up as the shepherd's child, so "no child is left" is
//! the kernel's own answer to "has all of it ended", and the agent's other processes are never
//! mistaken for it. And it notices the agent's death, kill -9 included, by the end of the control
//! socket, and then kills everything.
//!
//! It holds no key and no socket but that one. Its life: order → launch → wait for the main
//! process, a command or the end of the socket → end all → report → exit.

use std::ffi::{CString, OsString};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use minicbor::bytes::ByteVec;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal, kill, killpg};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::{Gid, Pid, Uid, getpid, setsid};

use super::cgroup;
use super::exit::LaunchStep;
use super::key_files::{KeyDirectory, Owner};
use super::measures::MeasureSet;
use super::messages::{
    Descriptor, Event, LaunchOrder, RootOrder, STOP_COMMAND_BYTES, receive_order,
};
use super::system_calls::{self, Vsock};
use crate::notice::to_standard_error;
use crate::platform::confined_child::{
    ChildOrder, FileSystem, LaunchFailure, Limits, Tolerance, launch, standard_input,
};
use crate::platform::own_root::{OwnRoot, WrittenPrograms};
use crate::platform::process::{
    ChildEnd, Collected, become_subreaper, collect_child, descendants, forbid_dumps,
    spare_from_oom_kill,
};

/// The argument by which the binary becomes a shepherd.
pub const SUBCOMMAND: &str = "workload-shepherd";

/// How long killed processes may take to disappear before they are reported as survivors.
const KILL_DEADLINE: Duration = Duration::from_secs(10);
/// Pause between two looks at what is left.
const KILL_PAUSE: Duration = Duration::from_millis(2);

/// Runs the shepherd on the control socket that is its standard input. Returns the exit code: 0
/// when everything it was responsible for has ended, 2 when it was not started by an agent, 3
/// otherwise.
pub fn main() -> u8 {
    let Some(control) = control_socket() else {
        to_standard_error(format_args!(
            "narthex-agent: {SUBCOMMAND} is started by the agent only"
        ));
        return 2;
    };
    match run(control) {
        Ok(()) => 0,
        Err(_) => 3, // The agent sees the end of the socket; nobody else would read a message.
    }
}

fn control_socket() -> Option<UnixStream> {
    let input = standard_input().ok()?;
    let stream = UnixStream::from(input);
    // Anything but a connected Unix socket has no peer of that kind.
    stream.peer_addr().ok()?;
    Some(stream)
}

fn run(mut control: UnixStream) -> io::Result<()> {
    forbid_dumps()?;
    become_subreaper()?;
    // Out of memory, the kernel should take anything before the process that ends the rest. Only
    // root may ask for that; the workload itself asks for the opposite.
    spare_from_oom_kill();
    // Away from the terminal: its interrupt is for the agent, which then stops the workload in
    // order.
    match setsid() {
        Ok(_) | Err(Errno::EPERM) => {}
        Err(error) => return Err(error.into()),
    }
    let mut watched = SigSet::empty();
    watched.add(Signal::SIGCHLD);
    let mut ignored = watched;
    for signal in [
        Signal::SIGTERM,
        Signal::SIGINT,
        Signal::SIGHUP,
        Signal::SIGPIPE,
    ] {
        ignored.add(signal);
    }
    ignored.thread_block()?;
    let children = SignalFd::with_flags(&watched, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;

    let (order, descriptors) = receive_order(&mut control)?;
    let mut files = Files::default();
    for (kind, descriptor) in descriptors {
        files.take(kind, descriptor);
    }
    let launched = launch_workload(&order, &files);
    let kill_all = files.control_group_kill.take().map(File::from);
    drop(files); // The workload's output ends with the workload.
    let main_process = match launched {
        Ok((main_process, measures)) => {
            let measures = measures.bits();
            // An agent that has died in the meantime is noticed by the watch, which then ends
            // everything.
            let _ = Event::Started { measures }.send(&mut control);
            main_process
        }
        Err(LaunchFailure { step, error }) => {
            // The child that failed has nothing to tell; it is collected when the shepherd exits.
            return Event::NotStarted {
                step: step as u8,
                error: error as i32,
            }
            .send(&mut control);
        }
    };
    let mut flock = Flock {
        main_process,
        end: None,
    };
    let watched = flock.watch(&control, &children);
    let survivors = flock.end_everything(kill_all.as_ref());
    if matches!(watched?, Watched::AgentGone) {
        tidy_for_the_agent(&order);
        return Ok(());
    }
    let (code, signal) = match flock.end {
        Some(ChildEnd::Code(code)) => (Some(code), None),
        Some(ChildEnd::Signal(signal)) => (None, Some(signal)),
        None => (None, None), // It survived; `survivors` says so.
    };
    Event::Ended {
        code,
        signal,
        survivors,
    }
    .send(&mut control)
}

/// What the agent would have removed: key files outside a tmpfs, and the control group. A keys'
/// tmpfs has gone with the last process that saw it.
fn tidy_for_the_agent(order: &LaunchOrder) {
    let path = |bytes: &ByteVec| PathBuf::from(OsString::from_vec(bytes.to_vec()));
    if !order.descriptors.contains(&Descriptor::Keys) {
        let owner = order.user.map(|(user, group)| Owner {
            user: Uid::from_raw(user),
            group: Gid::from_raw(group),
        });
        // Opening it wipes what an earlier run left in it.
        let _ = KeyDirectory::in_directory(&path(&order.keys_place), owner);
    }
    if let Some(group) = &order.control_group_place {
        cgroup::remove(&path(group));
    }
}

#[derive(Default)]
struct Files {
    output: Option<OwnedFd>,
    error: Option<OwnedFd>,
    keys: Option<OwnedFd>,
    control_group_processes: Option<OwnedFd>,
    control_group_kill: Option<OwnedFd>,
}

impl Files {
    fn take(&mut self, kind: Descriptor, descriptor: OwnedFd) {
        let place = match kind {
            Descriptor::Output => &mut self.output,
            Descriptor::Error => &mut self.error,
            Descriptor::Keys => &mut self.keys,
            Descriptor::ControlGroupProcesses => &mut self.control_group_processes,
            Descriptor::ControlGroupKill => &mut self.control_group_kill,
        };
        *place = Some(descriptor);
    }
}

fn launch_workload(order: &LaunchOrder, files: &Files) -> Result<(Pid, MeasureSet), LaunchFailure> {
    let fail = |step, error| LaunchFailure { step, error };
    let text = |bytes: &ByteVec| {
        CString::new(bytes.to_vec()).map_err(|_| fail(LaunchStep::Program, Errno::EINVAL))
    };
    let LaunchOrder {
        program,
        arguments,
        environment,
        working_directory,
        user,
        keys_place,
        cover_temporary_files,
        open_files,
        processes,
        control_group_measures,
        control_group_place: _,
        tolerant,
        descriptors: _,
        root,
        vsock,
    } = order;
    let null = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/null")
        .map_err(|error| fail(LaunchStep::Files, number(&error)))?;
    let program = text(program)?;
    let mut all_arguments = vec![program.clone()];
    for argument in arguments {
        all_arguments.push(text(argument)?);
    }
    let environment = environment
        .iter()
        .map(text)
        .collect::<Result<Vec<_>, _>>()?;
    let working_directory = text(working_directory)?;
    let keys_place = text(keys_place)?;
    let vsock = if *vsock { Vsock::Allow } else { Vsock::Deny };
    let written_programs = match root {
        Some(root) if !root.insecure_executable_tmp => WrittenPrograms::Deny,
        // What it sees of a laptop's file system has writable places that are not `noexec`.
        Some(_) | None => WrittenPrograms::InsecurelyAllow,
    };
    let filters = system_calls::filters(vsock, written_programs)
        .map_err(|_| fail(LaunchStep::SystemCalls, Errno::EINVAL))?;
    let keys = files
        .keys
        .as_ref()
        .map(|tmpfs| (tmpfs.as_fd(), keys_place.as_c_str()));
    let root_texts = root
        .as_ref()
        .map(|root| {
            let socket = root.socket.as_ref().map(text).transpose()?;
            Ok((root, text(&root.folder)?, socket))
        })
        .transpose()?;
    let file_system = match &root_texts {
        Some((root, folder, socket)) => {
            let RootOrder {
                folder: _,
                socket: _,
                tmp_bytes,
                shm_bytes,
                insecure_executable_tmp: _,
            } = root;
            FileSystem::Own(OwnRoot {
                folder,
                // Key files in a folder of the agent's would be out of the workload's sight.
                keys: keys.ok_or(fail(LaunchStep::KeyFiles, Errno::ENODEV))?,
                socket: socket.as_deref(),
                tmp_bytes: *tmp_bytes,
                shm_bytes: *shm_bytes,
                written_programs,
            })
        }
        None if *cover_temporary_files => FileSystem::AgentsWithOwnTmp { keys },
        None => FileSystem::Agents { keys },
    };
    let pipe_missing = fail(LaunchStep::Files, Errno::EBADF);
    launch(&ChildOrder {
        program: &program,
        arguments: &all_arguments,
        environment: &environment,
        working_directory: &working_directory,
        user: user.map(|(user, group)| (Uid::from_raw(user), Gid::from_raw(group))),
        file_system,
        control_group: files.control_group_processes.as_ref().map(|processes| {
            (
                processes.as_fd(),
                MeasureSet::from_bits(*control_group_measures),
            )
        }),
        limits: Limits {
            open_files: *open_files,
            processes: *processes,
        },
        null: null.as_fd(),
        output: files.output.as_ref().ok_or(pipe_missing)?.as_fd(),
        error: files.error.as_ref().ok_or(pipe_missing)?.as_fd(),
        filters: &filters,
        tolerance: if *tolerant {
            Tolerance::Local
        } else {
            Tolerance::Nothing
        },
    })
}

/// The workload's processes.
struct Flock {
    main_process: Pid,
    end: Option<ChildEnd>,
}

impl Flock {
    /// Returns when the main process has ended or everything must be killed: the grace time after a
    /// stop is over, or the agent has gone.
    fn watch(&mut self, control: &UnixStream, children: &SignalFd) -> io::Result<Watched> {
        let mut deadline: Option<Instant> = None;
        loop {
            self.collect();
            if self.end.is_some() {
                return Ok(Watched::Over);
            }
            let now = Instant::now();
            if deadline.is_some_and(|deadline| now >= deadline) {
                return Ok(Watched::Over);
            }
            let wait = deadline.map_or(PollTimeout::NONE, |deadline| {
                // Rounded up, so that the loop does not spin in the last millisecond.
                let rest = deadline.saturating_duration_since(now) + Duration::from_millis(1);
                PollTimeout::try_from(rest).unwrap_or(PollTimeout::MAX)
            });
            let mut events = [
                PollFd::new(children.as_fd(), PollFlags::POLLIN),
                PollFd::new(control.as_fd(), PollFlags::POLLIN),
            ];
            match poll(&mut events, wait) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
            let [child_event, control_event] = events;
            if child_event.any() == Some(true) {
                while let Ok(Some(_)) = children.read_signal() {}
            }
            if control_event.any() == Some(true) {
                match read_command(control)? {
                    Command::Stop(grace) => {
                        // Its own process group: what it started there is meant to hear it too.
                        let _ = killpg(self.main_process, Signal::SIGTERM);
                        let _ = killpg(self.main_process, Signal::SIGCONT);
                        deadline = Some(Instant::now() + grace);
                    }
                    Command::AgentGone => return Ok(Watched::AgentGone),
                }
            }
        }
    }

    /// Collects everything that has ended. Returns whether no child is left.
    fn collect(&mut self) -> bool {
        loop {
            match collect_child() {
                Collected::Ended(pid, end) if pid == self.main_process => self.end = Some(end),
                Collected::Ended(..) => {}
                Collected::AllRunning => return false,
                Collected::NoneLeft => return true,
            }
        }
    }

    /// Kills until the kernel says that no child is left: the shepherd is the subreaper, so that
    /// answer covers every descendant. Returns how many would not die in time, which is 0 unless
    /// the kernel holds one in an uninterruptible wait.
    ///
    /// Without a control group each round stops all descendants before it kills any, so that a
    /// process that forks as fast as it can has no parent left that runs.
    fn end_everything(&mut self, kill_all: Option<&File>) -> u32 {
        let deadline = Instant::now() + KILL_DEADLINE;
        loop {
            if self.collect() {
                return 0;
            }
            let killed = kill_all.is_some_and(|mut file| file.write_all(b"1\n").is_ok());
            let left = descendants(getpid());
            if Instant::now() >= deadline {
                return u32::try_from(left.len()).unwrap_or(u32::MAX);
            }
            if !killed {
                for &process in &left {
                    let _ = kill(process, Signal::SIGSTOP);
                }
            }
            for &process in &left {
                let _ = kill(process, Signal::SIGKILL);
            }
            std::thread::sleep(KILL_PAUSE);
        }
    }
}

/// Why the watch ended.
enum Watched {
    /// The main process has ended, or had its time to.
    Over,
    /// Nobody is there to be told.
    AgentGone,
}

enum Command {
    Stop(Duration),
    AgentGone,
}

fn read_command(mut control: &UnixStream) -> io::Result<Command> {
    let mut grace = [0_u8; STOP_COMMAND_BYTES];
    match control.read_exact(&mut grace) {
        Ok(()) => Ok(Command::Stop(Duration::from_millis(
            u32::from_be_bytes(grace).into(),
        ))),
        Err(error) => match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => Ok(Command::AgentGone),
            _ => Err(error),
        },
    }
}

fn number(error: &io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}
