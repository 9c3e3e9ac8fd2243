//! The sandbox of the processes that read hostile bytes: gate and fetcher.
//!
//! A confined process keeps the descriptors it inherited, its memory and the CPU. It has no user of
//! consequence, no capabilities, no files, no programs, no new sockets, and no way to signal or trace
//! another process. Two mechanisms each deny nearly all of that, so that a mistake in one is not a hole:
//!
//! - **Landlock** (kernel ABI 6 or newer, Linux 6.12): no file system access at all, no TCP bind or
//!   connect, no signals and no abstract Unix sockets beyond the sandbox.
//! - **seccomp**: a list of allowed system calls; any other ends the process with SIGSYS.
//!
//! Nothing here is best effort. If a step cannot be taken in full, [`confine`] fails, the process ends with
//! the step's reason as exit code, and the agent does not serve. The one thing that depends on who starts
//! the agent is the change of user, which needs root; [`Confinement`] says whether it happened.
//!
//! `gate.insecure_older_landlock` makes a laptop's older kernel do, with `--local` only: then the newest ABI that
//! the kernel has is enforced in full, `health` says so, and what that ABI lacks is left to seccomp.
//!
//! # Why ABI 6
//!
//! ABI 4 brought the network rules, ABI 5 `ioctl` on devices and ABI 6 the scoping of signals and abstract
//! sockets. Later ones add nothing that seccomp does not already deny here, and kernels of 6.12 (long-term)
//! are the oldest that an enclave image will carry.

mod error;
mod filesystem;
mod privileges;
mod syscalls;

pub use error::SandboxError;
pub use filesystem::{FULL_LANDLOCK_ABI, LandlockDemand, kernel_landlock_abi};
pub use privileges::UserIds;
pub use syscalls::Profile;

use privileges::Limits;

/// How a process is to be confined.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Which system calls its work needs.
    pub profile: Profile,
    /// The user to become. `None` only without root.
    pub user: Option<UserIds>,
    /// Most descriptors it may hold.
    pub max_open_files: u64,
    /// What Landlock must enforce.
    pub landlock: LandlockDemand,
}

/// What was enforced. Only [`confine`] makes one; everything not named here is always enforced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Confinement {
    user_changed: bool,
    landlock_abi: u8,
}

impl Confinement {
    /// The Landlock ABI that is enforced in full: [`FULL_LANDLOCK_ABI`], unless the plan allowed an
    /// older one.
    pub fn landlock_abi(self) -> u8 {
        self.landlock_abi
    }

    /// Whether the process runs as a user of its own. Without root it shares the supervisor's.
    pub fn user_changed(self) -> bool {
        self.user_changed
    }
}

/// The sandbox up to, and without, the system call filter. What the process still needs to set itself up
/// (its event loop) is made between [`prepare`] and [`Prepared::seal`].
#[must_use]
pub struct Prepared {
    plan: Plan,
    landlock_abi: u8,
}

/// Takes every step of the sandbox but the last.
///
/// Must be called while the process has one thread, before it has read a byte from a peer.
///
/// # Errors
///
/// [`SandboxError`] names the step. The process is then partly confined and must end.
pub fn prepare(plan: Plan) -> Result<Prepared, SandboxError> {
    privileges::require_one_thread()?;
    privileges::drop_all(
        plan.user,
        &Limits {
            max_open_files: plan.max_open_files,
        },
    )?;
    let landlock_abi = filesystem::deny_all(plan.landlock)?;
    Ok(Prepared { plan, landlock_abi })
}

impl Prepared {
    /// Installs the system call filter, the last step.
    ///
    /// # Errors
    ///
    /// [`SandboxError::Seccomp`].
    pub fn seal(self) -> Result<Confinement, SandboxError> {
        syscalls::install(self.plan.profile)?;
        Ok(Confinement {
            user_changed: self.plan.user.is_some(),
            landlock_abi: self.landlock_abi,
        })
    }
}

/// [`prepare`] and [`Prepared::seal`] in one.
///
/// # Errors
///
/// As these.
pub fn confine(plan: Plan) -> Result<Confinement, SandboxError> {
    prepare(plan)?.seal()
}
