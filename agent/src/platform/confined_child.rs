//! From `fork` to the workload's first instruction.
//!
//! The order of the steps is the point of this file. Mounts, control group and limits need rights
//! that the user change takes away; the parent-death signal is cleared by that change, so it comes
//! after; the system-call filters come last, because they would refuse some of the steps before
//! them.
//!
//! The caller (the shepherd) must have one thread: the child then may do anything an ordinary
//! program may, not only what is safe after a fork among threads.
#![allow(unsafe_code)] // fork(2), close_range(2), _exit(2) and rt_sigaction(2).

use std::convert::Infallible;
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::libc;
use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{
    ForkResult, Gid, Pid, Uid, chdir, dup2_stderr, dup2_stdin, dup2_stdout, execve, fork, getegid,
    geteuid, getpid, getppid, getresgid, getresuid, pipe2, setgroups, setresgid, setresuid, setsid,
};
use seccompiler::BpfProgram;

use super::own_root::{OwnRoot, WrittenPrograms};
use super::{capabilities, isolation, mounts};
use crate::workload::{ConfinementMeasure as Measure, LaunchStep, MeasureSet};

/// Everything the child needs, made before the fork.
pub struct ChildOrder<'a> {
    /// Absolute path of the program.
    pub program: &'a CStr,
    /// Its arguments, the program's own name included.
    pub arguments: &'a [CString],
    /// Its whole environment, `NAME=VALUE`.
    pub environment: &'a [CString],
    /// Entered after the user change, so that it must be reachable for that user.
    pub working_directory: &'a CStr,
    /// User and group to become. Absent: stay who we are, which must not be user 0.
    pub user: Option<(Uid, Gid)>,
    /// What it sees of files.
    pub file_system: FileSystem<'a>,
    /// An open `cgroup.procs`, and which measures membership brings.
    pub control_group: Option<(BorrowedFd<'a>, MeasureSet)>,
    /// Resource limits.
    pub limits: Limits,
    /// `/dev/null`, open for reading and writing.
    pub null: BorrowedFd<'a>,
    /// Where standard output goes.
    pub output: BorrowedFd<'a>,
    /// Where standard error goes.
    pub error: BorrowedFd<'a>,
    /// seccomp filters, in the order of their installation.
    pub filters: &'a [BpfProgram],
    /// What may be missing.
    pub tolerance: Tolerance,
}

/// What the workload sees of files.
#[derive(Clone, Copy, Debug)]
pub enum FileSystem<'a> {
    /// A root of its own.
    Own(OwnRoot<'a>),
    /// What the agent sees, but for an empty `/tmp` of its own.
    AgentsWithOwnTmp {
        /// The detached keys' tmpfs, and where to attach it.
        keys: Option<Keys<'a>>,
    },
    /// What the agent sees: the program or the agent's runtime directory lies in `/tmp` (a laptop's demo).
    Agents {
        /// The detached keys' tmpfs, and where to attach it.
        keys: Option<Keys<'a>>,
    },
}

/// A detached tmpfs, and its place.
pub type Keys<'a> = (BorrowedFd<'a>, &'a CStr);

/// Which measures may be missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tolerance {
    /// None.
    Nothing,
    /// Those for which [`Measure::may_be_missing`] holds.
    Local,
}

/// Resource limits of the workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// `RLIMIT_NOFILE`.
    pub open_files: u64,
    /// `RLIMIT_NPROC`, which counts all processes of a user: only for a user of its own.
    pub processes: Option<u64>,
}

/// Why the child did not become the workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaunchFailure {
    /// The step that failed.
    pub step: LaunchStep,
    /// The kernel's reason.
    pub error: Errno,
}

/// Forks, confines the child, and lets it become the program. Returns when the program has begun:
/// its process id and the measures that hold.
///
/// # Errors
///
/// [`LaunchFailure`]; the child has then ended, and the caller collects it like any other.
pub fn launch(order: &ChildOrder<'_>) -> Result<(Pid, MeasureSet), LaunchFailure> {
    let fork_failed = |error| LaunchFailure {
        step: LaunchStep::Fork,
        error,
    };
    let (report_reader, report_writer) = pipe2(OFlag::O_CLOEXEC).map_err(fork_failed)?;
    let parent = getpid();
    // SAFETY: the caller has one thread, so the child inherits no lock that another thread holds.
    match unsafe { fork() }.map_err(fork_failed)? {
        ForkResult::Child => {
            drop(report_reader);
            run_child(order, parent, report_writer)
        }
        ForkResult::Parent { child } => {
            drop(report_writer);
            let measures = Report::read(report_reader)?;
            Ok((child, measures))
        }
    }
}

fn run_child(order: &ChildOrder<'_>, parent: Pid, report: OwnedFd) -> ! {
    let mut report = File::from(report);
    let Err(failure) = Child {
        order,
        enforced: MeasureSet::default(),
    }
    .become_workload(parent, &mut report);
    // The parent reads the failure, or an early end of the pipe: both are failures to it.
    let _ = report.write_all(&Report::Failed(failure).encode());
    // SAFETY: ends the process at once; no destructor of the parent's copy must run here.
    unsafe { libc::_exit(127) }
}

/// The child's way, step by step.
struct Child<'a> {
    order: &'a ChildOrder<'a>,
    enforced: MeasureSet,
}

impl Child<'_> {
    fn become_workload(
        mut self,
        parent: Pid,
        report: &mut File,
    ) -> Result<Infallible, LaunchFailure> {
        let preferred = prefer_for_oom_kill();
        self.need(LaunchStep::ResourceLimits, preferred)?;
        at(LaunchStep::Session, reset_signals())?;
        self.hold(Measure::OwnSession, LaunchStep::Session, setsid().map(drop))?;
        self.join_control_group()?;
        self.change_mounts()?;
        let separate = isolation::separate_ipc();
        self.hold(Measure::OwnIpc, LaunchStep::Session, separate)?;
        let limited = self.order.limits.apply();
        self.hold(Measure::ResourceLimits, LaunchStep::ResourceLimits, limited)?;
        self.change_user()?;
        let dropped = capabilities::drop_held();
        self.hold(Measure::NoCapabilities, LaunchStep::Capabilities, dropped)?;
        // Changing the user clears the signal, so this comes after; and the parent may have died
        // before.
        let bound = prctl::set_pdeathsig(Signal::SIGKILL).and_then(|()| {
            if getppid() == parent {
                Ok(())
            } else {
                Err(Errno::ESRCH)
            }
        });
        self.hold(Measure::EndsWithAgent, LaunchStep::Session, bound)?;
        at(
            LaunchStep::WorkingDirectory,
            chdir(self.order.working_directory),
        )?;
        umask(Mode::S_IRWXG | Mode::S_IRWXO);
        let files = self.replace_files();
        self.hold(Measure::NoInheritedFiles, LaunchStep::Files, files)?;
        let step = LaunchStep::SystemCalls;
        self.hold(Measure::NoNewPrivileges, step, prctl::set_no_new_privs())?;
        let scoped = isolation::confine_signals();
        self.hold(Measure::ScopedSignals, step, scoped)?;
        let filtered = install(self.order.filters);
        self.hold(Measure::NoUserNamespaces, step, filtered)?;

        let reported = report
            .write_all(&Report::Confined(self.enforced).encode())
            .map_err(|_| Errno::EPIPE);
        at(LaunchStep::Shepherd, reported)?;
        let ChildOrder {
            program,
            arguments,
            environment,
            ..
        } = self.order;
        at(LaunchStep::Program, execve(program, arguments, environment))
    }

    /// Records that a measure holds; fails the launch when it does not and may not be missing.
    fn hold(
        &mut self,
        measure: Measure,
        step: LaunchStep,
        result: Result<(), Errno>,
    ) -> Result<(), LaunchFailure> {
        match result {
            Ok(()) => {
                self.enforced.insert(measure);
                Ok(())
            }
            Err(error) => self.miss(measure, step, error),
        }
    }

    /// Fails the launch in an enclave; with `--local` it may fail.
    fn need(&self, step: LaunchStep, result: Result<(), Errno>) -> Result<(), LaunchFailure> {
        match self.order.tolerance {
            Tolerance::Local => Ok(()),
            Tolerance::Nothing => at(step, result),
        }
    }

    fn miss(&self, measure: Measure, step: LaunchStep, error: Errno) -> Result<(), LaunchFailure> {
        match self.order.tolerance {
            Tolerance::Local if measure.may_be_missing() => Ok(()),
            Tolerance::Local | Tolerance::Nothing => Err(LaunchFailure { step, error }),
        }
    }

    fn join_control_group(&mut self) -> Result<(), LaunchFailure> {
        let step = LaunchStep::ControlGroup;
        let Some((processes, measures)) = self.order.control_group else {
            return self.miss(Measure::OwnControlGroup, step, Errno::ENOENT);
        };
        match nix::unistd::write(processes, b"0\n") {
            Ok(_) => {
                self.enforced = self.enforced.union(measures);
                Ok(())
            }
            Err(error) => self.miss(Measure::OwnControlGroup, step, error),
        }
    }

    fn change_mounts(&mut self) -> Result<(), LaunchFailure> {
        let step = LaunchStep::Mounts;
        let own = mounts::enter_private_namespace();
        self.hold(Measure::PrivateMounts, step, own)?;
        let (keys, covered) = match self.order.file_system {
            FileSystem::Own(root) => {
                at(step, own)?;
                return self.enter_root(root);
            }
            FileSystem::AgentsWithOwnTmp { keys } => (keys, true),
            FileSystem::Agents { keys } => (keys, false),
        };
        if let Err(error) = own {
            // Covering or attaching anything now would change the agent's own view.
            return match keys {
                Some(_) => Err(LaunchFailure { step, error }),
                None => Ok(()),
            };
        }
        self.hold(Measure::NoSetUserId, step, mounts::forbid_set_user_id())?;
        let covered = if covered {
            mounts::cover_temporary_files()
        } else {
            Err(Errno::EBUSY)
        };
        self.hold(Measure::PrivateTemporaryFiles, step, covered)?;
        match keys {
            Some((tmpfs, place)) => {
                at(step, mounts::attach(tmpfs, place))?;
                self.enforced.insert(Measure::PrivateKeyFiles);
                Ok(())
            }
            None => self.miss(Measure::PrivateKeyFiles, step, Errno::ENODEV),
        }
    }

    /// All of it, or no workload: half a root is none.
    fn enter_root(&mut self, root: OwnRoot<'_>) -> Result<(), LaunchFailure> {
        let step = LaunchStep::Root;
        at(step, root.enter())?;
        at(step, mounts::forbid_set_user_id())?;
        for measure in [
            Measure::OwnRoot,
            Measure::NoSetUserId,
            Measure::PrivateTemporaryFiles,
            Measure::PrivateKeyFiles,
        ] {
            self.enforced.insert(measure);
        }
        if root.written_programs == WrittenPrograms::Deny {
            self.enforced.insert(Measure::NoWrittenPrograms);
        }
        Ok(())
    }

    fn change_user(&mut self) -> Result<(), LaunchFailure> {
        let step = LaunchStep::User;
        let agent = (geteuid(), getegid());
        let Some((user, group)) = self.order.user else {
            // Never 0, whatever the configuration says.
            if agent.0.is_root() || Uid::current().is_root() {
                return Err(LaunchFailure {
                    step,
                    error: Errno::EPERM,
                });
            }
            return self.miss(Measure::OwnUser, step, Errno::EPERM);
        };
        if user.is_root() || group.as_raw() == 0 {
            return Err(LaunchFailure {
                step,
                error: Errno::EPERM,
            });
        }
        at(LaunchStep::Capabilities, capabilities::drop_bounding_set())?;
        at(step, setgroups(&[]))?;
        at(step, setresgid(group, group, group))?;
        at(step, setresuid(user, user, user))?;
        at(step, look_at_user(user, group))?;
        let differs = user != agent.0 && group != agent.1;
        self.hold(
            Measure::OwnUser,
            step,
            if differs { Ok(()) } else { Err(Errno::EEXIST) },
        )
    }

    fn replace_files(&self) -> Result<(), Errno> {
        dup2_stdin(self.order.null)?;
        dup2_stdout(self.order.output)?;
        dup2_stderr(self.order.error)?;
        const FIRST: libc::c_uint = 3;
        const LAST: libc::c_uint = libc::c_uint::MAX;
        const CLOSE_RANGE_CLOEXEC: libc::c_uint = 4;
        // Closed by the exec, not now: the report pipe must live until then.
        // SAFETY: takes integers only.
        let marked =
            unsafe { libc::syscall(libc::SYS_close_range, FIRST, LAST, CLOSE_RANGE_CLOEXEC) };
        Errno::result(marked).map(drop)
    }
}

impl Limits {
    fn apply(self) -> Result<(), Errno> {
        let Self {
            open_files,
            processes,
        } = self;
        // 1, not 0: the kernel ignores the limit when `core_pattern` is a pipe (systemd-coredump),
        // except for the value 1, which it takes as "never" (fs/coredump.c). A file of 1 byte is
        // not written either.
        lower(Resource::RLIMIT_CORE, 1)?;
        set(Resource::RLIMIT_NOFILE, open_files)?;
        match processes {
            Some(processes) => set(Resource::RLIMIT_NPROC, processes),
            None => Ok(()),
        }
    }
}

/// Sets both limits to `wanted`, which root may do above the present hard limit (a kernel's first process has 4,096
/// files and half of all threads); otherwise as [`lower`].
fn set(resource: Resource, wanted: u64) -> Result<(), Errno> {
    match setrlimit(resource, wanted, wanted) {
        Err(Errno::EPERM) => lower(resource, wanted),
        result => result,
    }
}

/// Sets both limits to `wanted`, or to the present hard limit where that is lower.
fn lower(resource: Resource, wanted: u64) -> Result<(), Errno> {
    let (_, hard) = getrlimit(resource)?;
    let limit = wanted.min(hard);
    setrlimit(resource, limit, limit)
}

/// Lets the kernel kill the workload rather than the agent when memory runs out: it would otherwise inherit the shepherd's
/// protection. Without root the kernel refuses it, and then there is none to inherit.
fn prefer_for_oom_kill() -> Result<(), Errno> {
    let written = std::fs::write("/proc/self/oom_score_adj", "500");
    written.map_err(|error| error.raw_os_error().map_or(Errno::EIO, Errno::from_raw))
}

/// Handlers do not survive `exec`, but ignored and blocked signals do.
///
/// By the bare system call, because the C library keeps real-time signals 32 and 33 to itself, and
/// programs that start programs have been seen to pass them on ignored.
fn reset_signals() -> Result<(), Errno> {
    const LAST_SIGNAL: libc::c_int = 64;
    const SIGNAL_SET_BYTES: usize = 8;
    // The kernel's `struct sigaction`, all zero: SIG_DFL, no flags, an empty mask.
    let default = [0_u64; 4];
    for number in 1..=LAST_SIGNAL {
        // SAFETY: the structure is as long as the kernel's on every 64-bit architecture.
        let set = unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                number,
                default.as_ptr(),
                std::ptr::null_mut::<u64>(),
                SIGNAL_SET_BYTES,
            )
        };
        match Errno::result(set) {
            Ok(_) => {}
            Err(Errno::EINVAL) if matches!(number, libc::SIGKILL | libc::SIGSTOP) => {}
            Err(error) => return Err(error),
        }
    }
    SigSet::empty().thread_set_mask()
}

/// The kernel takes one number (-1) for "as it is", and succeeds.
fn look_at_user(user: Uid, group: Gid) -> Result<(), Errno> {
    let (users, groups) = (getresuid()?, getresgid()?);
    let became = [users.real, users.effective, users.saved] == [user; 3]
        && [groups.real, groups.effective, groups.saved] == [group; 3];
    if became { Ok(()) } else { Err(Errno::EPERM) }
}

fn install(filters: &[BpfProgram]) -> Result<(), Errno> {
    if filters.is_empty() {
        return Err(Errno::EINVAL);
    }
    for filter in filters {
        seccompiler::apply_filter(filter).map_err(|_| Errno::ENOSYS)?;
    }
    Ok(())
}

fn at<T>(step: LaunchStep, result: Result<T, Errno>) -> Result<T, LaunchFailure> {
    result.map_err(|error| LaunchFailure { step, error })
}

/// What the child says through the pipe that `exec` closes: 6 bytes each.
enum Report {
    Confined(MeasureSet),
    Failed(LaunchFailure),
}

impl Report {
    const CONFINED: u8 = 1;
    const FAILED: u8 = 2;

    fn encode(&self) -> [u8; 6] {
        let (kind, step, value) = match self {
            Self::Confined(measures) => (Self::CONFINED, 0, measures.bits().to_be_bytes()),
            Self::Failed(LaunchFailure { step, error }) => {
                (Self::FAILED, *step as u8, (*error as i32).to_be_bytes())
            }
        };
        let [a, b, c, d] = value;
        [kind, step, a, b, c, d]
    }

    /// Reads until the child has become the program (the pipe ends) or has failed.
    fn read(pipe: OwnedFd) -> Result<MeasureSet, LaunchFailure> {
        let unclear = LaunchFailure {
            step: LaunchStep::Shepherd,
            error: Errno::EPROTO,
        };
        let mut bytes = Vec::new();
        File::from(pipe)
            .take(64)
            .read_to_end(&mut bytes)
            .map_err(|_| unclear)?;
        let mut confined = None;
        for message in bytes.chunks(6) {
            let &[kind, step, a, b, c, d] = message else {
                return Err(unclear);
            };
            let value = [a, b, c, d];
            match kind {
                Self::CONFINED => {
                    confined = Some(MeasureSet::from_bits(u32::from_be_bytes(value)));
                }
                Self::FAILED => {
                    let step = LaunchStep::from_number(step).ok_or(unclear)?;
                    let error = Errno::from_raw(i32::from_be_bytes(value));
                    return Err(LaunchFailure { step, error });
                }
                _ => return Err(unclear),
            }
        }
        confined.ok_or(unclear)
    }
}

/// Borrowed standard input of the shepherd, for duplication.
pub fn standard_input() -> std::io::Result<OwnedFd> {
    std::io::stdin().as_fd().try_clone_to_owned()
}
