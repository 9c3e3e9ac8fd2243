//! The supervisor's side: spawn, and reap.

// `pre_exec` is unsafe by signature.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

use crate::ipc::{self, IpcError};
use crate::sandbox::SandboxError;

/// Which confined process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The diagnostics listener.
    Gate,
    /// One exchange with the policy source or the key service.
    Fetcher,
}

impl Role {
    /// The word on the command line.
    pub fn word(self) -> &'static str {
        match self {
            Self::Gate => "gate",
            Self::Fetcher => "fetcher",
        }
    }

    /// The role of that word.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Gate, Self::Fetcher]
            .into_iter()
            .find(|role| role.word() == word)
    }
}

/// A running confined process. Dropping it kills and reaps it.
#[derive(Debug)]
pub struct ConfinedChild {
    child: Child,
}

impl ConfinedChild {
    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Kills it if it still runs, reaps it, and returns its exit code if it had one.
    pub fn end(&mut self) -> Option<i32> {
        if let Ok(Some(status)) = self.child.try_wait() {
            return status.code();
        }
        // It may end between the two calls; killing a process that we have not reaped is harmless.
        let _ = self.child.kill();
        self.child.wait().ok().and_then(|status| status.code())
    }

    /// What the kernel says about the confinement, beside what the process itself says: filter, no new
    /// privileges, no capabilities. (Landlock does not show there.)
    ///
    /// # Errors
    ///
    /// [`SandboxError`] names what is missing.
    pub fn check_confined(&self) -> Result<(), SandboxError> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id()))
            .map_err(|_| SandboxError::ProcessFlags)?;
        let value = |name: &str| {
            status
                .lines()
                .find_map(|line| line.strip_prefix(name))
                .map_or("", str::trim)
        };
        let none = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte == b'0');
        if value("Seccomp:") != "2" {
            return Err(SandboxError::Seccomp);
        }
        if value("NoNewPrivs:") != "1" {
            return Err(SandboxError::ProcessFlags);
        }
        if !["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"]
            .into_iter()
            .all(|name| none(value(name)))
        {
            return Err(SandboxError::Capabilities);
        }
        Ok(())
    }

    /// Waits for a process whose socket has closed; one that closed its socket and lives on is killed after
    /// a second. Returns its exit code if it had one.
    pub async fn ended(&mut self) -> Option<i32> {
        for _ in 0..200 {
            match self.child.try_wait() {
                Ok(Some(status)) => return status.code(),
                Ok(None) => tokio::time::sleep(Duration::from_millis(5)).await,
                Err(_) => break,
            }
        }
        self.end()
    }
}

impl Drop for ConfinedChild {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

/// Starts the agent's own program in `role` with the descriptor `work`, sends it `setup`, and returns it with
/// the supervisor's end of the socket pair (non-blocking).
///
/// # Errors
///
/// When the process cannot be started or the set-up not be sent.
pub fn spawn<T>(
    role: Role,
    work: BorrowedFd<'_>,
    setup: &T,
) -> io::Result<(ConfinedChild, UnixStream)>
where
    T: minicbor::Encode<()> + minicbor::CborLen<()>,
{
    let (mut near, far) = UnixStream::pair()?;
    let far = high_duplicate(far.as_fd())?;
    let work = high_duplicate(work)?;
    let passed = [far.as_raw_fd(), work.as_raw_fd()];
    let mut command = Command::new("/proc/self/exe");
    command
        .arg0("narthex-agent")
        .arg("--confined")
        .arg(role.word())
        .args(passed.map(|fd| fd.to_string()))
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    // SAFETY: the closure runs between fork and exec and makes only async-signal-safe calls on
    // descriptors that outlive the spawn.
    unsafe {
        command.pre_exec(move || pass_only(passed));
    }
    let child = ConfinedChild {
        child: command.spawn()?,
    };
    // Only the child may hold the far end, or its death would not show.
    drop(far);
    ipc::write_setup(&mut near, setup).map_err(setup_error)?;
    near.set_nonblocking(true)?;
    Ok((child, near))
}

/// A duplicate with a number above the standard streams' and the spawning pipe's reach.
fn high_duplicate(fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    const LOWEST: RawFd = 20;
    let duplicate = fcntl(fd, FcntlArg::F_DUPFD_CLOEXEC(LOWEST))?;
    // SAFETY: `fcntl` just returned this descriptor, and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(duplicate) })
}

/// Leaves exactly `passed` open across exec, besides the standard streams.
fn pass_only(passed: [RawFd; 2]) -> io::Result<()> {
    // SAFETY: both calls take integers only.
    let closed = unsafe {
        libc::syscall(
            libc::SYS_close_range,
            3_u32,
            libc::c_uint::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        )
    };
    if closed != 0 {
        return Err(io::Error::last_os_error());
    }
    for fd in passed {
        // SAFETY: as above.
        if unsafe { libc::fcntl(fd, libc::F_SETFD, 0) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

fn setup_error(error: IpcError) -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, error)
}
