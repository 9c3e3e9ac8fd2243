//! How the agent runs, and what that lets it confine.

/// Where the agent runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// As PID 1 of an enclave: everything must be enforced.
    Enclave,
    /// As an ordinary process on a laptop (`--local`).
    Local,
}

/// Whether the agent has the rights to change users, mount and make cgroups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Privileges {
    /// Effective user 0.
    Root,
    /// Any other user: only in [`Mode::Local`]. What cannot be confined is shown in `health` and
    /// `status`.
    Unprivileged,
}

impl Privileges {
    /// The privileges of this process.
    pub fn current() -> Self {
        if nix::unistd::geteuid().is_root() {
            Self::Root
        } else {
            Self::Unprivileged
        }
    }
}
