//! Process 1: starts the supervisor, collects what ends, tells the parent, restarts the machine.

use std::io::{self, PipeReader, Read};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use narthex_channel::Address;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::reboot::{RebootMode, reboot};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::Pid;

use super::code::BootCode;
use super::link::Link;
use super::status::{BootStatus, RECORD_BYTES, Stage};
use super::{STATUS_ADDRESS, panic, supervisor, system};
use crate::notice::to_standard_error;
use crate::platform::process::{ChildEnd, Collected, collect_child};

/// How long one status message may take: connecting, sending, and the parent's closing of the connection.
pub const STATUS_LIMIT: Duration = Duration::from_secs(2);

/// Process 1's whole life. Does not return: the machine restarts.
pub fn main() -> ! {
    panic::restart_on_panic();
    let mut announcer = Announcer::new(STATUS_ADDRESS);
    let prepared = system::prepare().map_err(|fault| {
        to_standard_error(format_args!(
            "narthex-agent: {}: {}",
            fault.code.id(),
            fault.error
        ));
        fault.code
    });
    if let Err(code) = prepared.and_then(|()| supervise(supervisor_command(), &mut announcer)) {
        announcer.fail(code);
    }
    restart()
}

/// Says that process 1 itself failed, and restarts.
pub(super) fn fail(code: BootCode) -> ! {
    Announcer::new(STATUS_ADDRESS).fail(code);
    restart()
}

/// The agent's program again, without the kernel's arguments and environment.
fn supervisor_command() -> Command {
    let mut command = Command::new("/proc/self/exe");
    command
        .arg0("narthex-agent")
        .arg(supervisor::SUBCOMMAND)
        .env_clear()
        .current_dir("/");
    command
}

/// Starts the supervisor with the status pipe as its standard input, and watches it until it has ended. Collects
/// every other child that ends meanwhile. To be called once, by a process that has no other use for its children.
///
/// # Errors
///
/// How the supervisor ended, if it has not said so itself.
pub fn supervise(command: Command, announcer: &mut Announcer) -> Result<(), BootCode> {
    let (supervisor, records) = start(command).map_err(|_| BootCode::Supervisor)?;
    announcer.announce(BootStatus {
        stage: Stage::Begun,
        code: BootCode::None,
    });
    let end = watch(supervisor, records, announcer).map_err(|_| BootCode::InitFailed)?;
    if announcer.heard_the_end() {
        return Ok(());
    }
    Err(match end {
        ChildEnd::Signal(signal) if i32::from(signal) == libc::SIGABRT => {
            BootCode::SupervisorPanicked
        }
        ChildEnd::Signal(_) => BootCode::SupervisorKilled,
        ChildEnd::Code(_) => BootCode::SupervisorEnded,
    })
}

fn start(mut command: Command) -> io::Result<(Pid, PipeReader)> {
    let (reader, writer) = io::pipe()?;
    let child = command.stdin(Stdio::from(writer)).spawn()?;
    let id = i32::try_from(child.id()).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
    let flags = OFlag::from_bits_retain(fcntl(reader.as_fd(), FcntlArg::F_GETFL)?);
    fcntl(reader.as_fd(), FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    Ok((Pid::from_raw(id), reader))
}

/// Collects every child that ends and passes on what the supervisor says, until the supervisor itself has
/// ended.
fn watch(
    supervisor: Pid,
    mut records: PipeReader,
    announcer: &mut Announcer,
) -> io::Result<ChildEnd> {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGCHLD);
    // Only now: the supervisor would have inherited the mask. A child that ended before is found by
    // the first look below.
    signals.thread_block()?;
    let ended = SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
    let mut open = true;
    loop {
        let end = collect(supervisor);
        let mut statuses = Vec::new();
        if open {
            open = read_records(&mut records, &mut statuses);
        }
        announcer.announce_all(&statuses);
        if let Some(end) = end {
            return Ok(end);
        }
        let mut events = vec![PollFd::new(ended.as_fd(), PollFlags::POLLIN)];
        if open {
            events.push(PollFd::new(records.as_fd(), PollFlags::POLLIN));
        }
        match poll(&mut events, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        while let Ok(Some(_)) = ended.read_signal() {}
    }
}

/// Collects all that has ended; the supervisor's end, if it was among them.
fn collect(supervisor: Pid) -> Option<ChildEnd> {
    let mut found = None;
    loop {
        match collect_child() {
            Collected::Ended(pid, end) if pid == supervisor => found = Some(end),
            Collected::Ended(..) => {}
            Collected::AllRunning | Collected::NoneLeft => return found,
        }
    }
}

/// Reads what is there. Returns whether the pipe is still open.
fn read_records(pipe: &mut impl Read, statuses: &mut Vec<BootStatus>) -> bool {
    /// More wait for the next turn, after children have been collected.
    const MOST: usize = 64;
    for _ in 0..MOST {
        let mut record = [0; RECORD_BYTES];
        match pipe.read(&mut record) {
            // Records are written whole, and nothing else writes into this pipe.
            Ok(RECORD_BYTES) => statuses.extend(BootStatus::from_record(record)),
            Ok(_) => return false,
            Err(error) => match error.kind() {
                io::ErrorKind::Interrupted => {}
                kind => return kind == io::ErrorKind::WouldBlock,
            },
        }
    }
    true
}

/// Tells console and parent.
#[derive(Debug)]
pub struct Announcer {
    parent: Address,
    served: bool,
    last: Option<Stage>,
}

impl Announcer {
    /// One that tells the parent at this address.
    pub fn new(parent: Address) -> Self {
        Self {
            parent,
            served: false,
            last: None,
        }
    }

    /// Says that it failed.
    pub fn fail(&mut self, code: BootCode) {
        self.announce(BootStatus {
            stage: Stage::Failed,
            code,
        });
    }

    /// Whether the last status said how the machine ends.
    fn heard_the_end(&self) -> bool {
        matches!(self.last, Some(Stage::Failed | Stage::ShuttingDown))
    }

    /// All of them on the console; to the parent the newest, which is where the boot is: one that does not
    /// listen costs the full limit for each.
    fn announce_all(&mut self, statuses: &[BootStatus]) {
        if let Some((newest, earlier)) = statuses.split_last() {
            for status in earlier {
                self.say(*status);
            }
            self.announce(*newest);
        }
    }

    fn announce(&mut self, status: BootStatus) {
        self.say(status);
        // Best effort: the boot does not depend on a parent that wants to know.
        let _ = tell(&self.parent, status, STATUS_LIMIT);
    }

    fn say(&mut self, status: BootStatus) {
        to_standard_error(format_args!("{}", status.line(self.served)));
        self.served |= status.stage == Stage::Serving;
        self.last = Some(status.stage);
    }
}

/// Sends one status message, and waits until the parent has closed the connection: a restart right after the
/// last message would otherwise take it back.
///
/// # Errors
///
/// The system's; `TimedOut` when the parent has not taken it within `limit`.
pub fn tell(parent: &Address, status: BootStatus, limit: Duration) -> io::Result<()> {
    let mut link = Link::connect(parent, limit)?;
    link.write_all(&status.encode())?;
    // A parent has nothing to say here. One that does say something is not waited for: it could go on for ever.
    link.read_byte().map(drop)
}

/// Restarts the machine, which ends an enclave. Nothing is to be saved, so nothing is written out first.
fn restart() -> ! {
    // Does not return unless it is refused. Then the end of process 1 makes the kernel panic, which restarts as
    // well (`kernel.panic`, set in `system`).
    let _ = reboot(RebootMode::RB_AUTOBOOT);
    std::process::exit(1)
}
