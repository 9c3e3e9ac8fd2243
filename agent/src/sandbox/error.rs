//! Why a sandbox could not be built.

use std::fmt;

/// The step that failed. Each has an exit code of its own, because a confined process has no other way
/// to say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SandboxError {
    /// The process already had several threads; only one would have been confined.
    SeveralThreads,
    /// The agent runs as root, and the plan names no user.
    UserMissing,
    /// User and groups could not be changed.
    User,
    /// Capabilities remained.
    Capabilities,
    /// `no_new_privs`, `dumpable` or the parent-death signal could not be set.
    ProcessFlags,
    /// A resource limit could not be set.
    ResourceLimits,
    /// Landlock is absent, older than ABI 6, or was not enforced in full.
    Landlock,
    /// The system call filter was not accepted.
    Seccomp,
}

impl SandboxError {
    /// All steps, in the order in which they are taken.
    pub const ALL: [Self; 8] = [
        Self::SeveralThreads,
        Self::UserMissing,
        Self::User,
        Self::Capabilities,
        Self::ProcessFlags,
        Self::ResourceLimits,
        Self::Landlock,
        Self::Seccomp,
    ];

    /// Stable text.
    pub fn id(self) -> &'static str {
        match self {
            Self::SeveralThreads => "sandbox.several_threads",
            Self::UserMissing => "sandbox.user_missing",
            Self::User => "sandbox.user",
            Self::Capabilities => "sandbox.capabilities",
            Self::ProcessFlags => "sandbox.process_flags",
            Self::ResourceLimits => "sandbox.resource_limits",
            Self::Landlock => "sandbox.landlock",
            Self::Seccomp => "sandbox.seccomp",
        }
    }

    /// Exit code of a process whose sandbox failed at this step.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::SeveralThreads => 100,
            Self::UserMissing => 101,
            Self::User => 102,
            Self::Capabilities => 103,
            Self::ProcessFlags => 104,
            Self::ResourceLimits => 105,
            Self::Landlock => 106,
            Self::Seccomp => 107,
        }
    }

    /// The step whose exit code this is.
    pub fn from_exit_code(code: i32) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|error| i32::from(error.exit_code()) == code)
    }
}

impl fmt::Display for SandboxError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = match self {
            Self::SeveralThreads => "the process already runs several threads",
            Self::UserMissing => "the agent runs as root: gate.user and gate.group must be given",
            Self::User => "user and group could not be changed",
            Self::Capabilities => "capabilities could not be dropped",
            Self::ProcessFlags => "process flags (no_new_privs, dumpable) could not be set",
            Self::ResourceLimits => "resource limits could not be set",
            Self::Landlock => {
                "Landlock ABI 6 (Linux 6.12) is not enforced in full by this kernel; with --local, \
                 gate.insecure_older_landlock = true makes an older one do, and shows in `health`"
            }
            Self::Seccomp => "the kernel refused the system call filter",
        };
        formatter.write_str(words)
    }
}

impl std::error::Error for SandboxError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_distinct_and_come_back() {
        for error in SandboxError::ALL {
            assert_eq!(
                SandboxError::from_exit_code(i32::from(error.exit_code())),
                Some(error)
            );
        }
        assert_eq!(SandboxError::from_exit_code(0), None);
    }
}
