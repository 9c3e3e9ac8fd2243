//! How a workload ended: the part that people lose today (exit codes 137 and 139 tell an OOM kill
//! from a crash).

use std::time::Duration;

/// How the workload's main process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitKind {
    /// It called `exit`, with this code.
    Code(u8),
    /// This signal ended it.
    Signal(u8),
    /// It never ran: this step of the launch failed, with this error number.
    NotStarted(LaunchStep, i32),
    /// The shepherd ended without a word; the kernel killed the workload with it.
    Unknown,
}

impl ExitKind {
    /// Whether a restart policy `on-failure` counts it as one.
    pub fn is_failure(self) -> bool {
        self != Self::Code(0)
    }
}

/// One end of the workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExitRecord {
    /// How.
    pub kind: ExitKind,
    /// Whether the agent had asked for it (`stop`, `restart`).
    pub requested: bool,
    /// How long it had run.
    pub ran_for: Duration,
    /// Processes of this run that the kernel killed for want of memory.
    pub oom_kills: u64,
    /// Processes that this run was refused because it had as many as it may.
    pub process_limit_hits: u64,
}

/// The steps between the agent's decision and the workload's first instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum LaunchStep {
    /// The shepherd: starting it, or a message from it.
    Shepherd = 0,
    /// Making the keys' tmpfs or directory, or writing the key files.
    KeyFiles = 1,
    /// The control group.
    ControlGroup = 2,
    /// `fork`.
    Fork = 3,
    /// Session and signals.
    Session = 4,
    /// The mount namespace and what is mounted in it.
    Mounts = 5,
    /// Resource limits.
    ResourceLimits = 6,
    /// User and groups.
    User = 7,
    /// Capabilities.
    Capabilities = 8,
    /// `no_new_privs` and seccomp.
    SystemCalls = 9,
    /// Standard input, output and error, and closing everything else.
    Files = 10,
    /// The working directory.
    WorkingDirectory = 11,
    /// The program itself.
    Program = 12,
    /// The workload's root folder, and what is mounted in it (`/proc`, `/dev`, `/tmp`, `/run`).
    Root = 13,
}

impl LaunchStep {
    const ALL: [Self; 14] = [
        Self::Shepherd,
        Self::KeyFiles,
        Self::ControlGroup,
        Self::Fork,
        Self::Session,
        Self::Mounts,
        Self::ResourceLimits,
        Self::User,
        Self::Capabilities,
        Self::SystemCalls,
        Self::Files,
        Self::WorkingDirectory,
        Self::Program,
        Self::Root,
    ];

    /// The step with this discriminant.
    pub(crate) fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|&step| step as u8 == number)
    }

    /// Stable text, for `--local` messages and tests.
    pub fn id(self) -> &'static str {
        match self {
            Self::Shepherd => "shepherd",
            Self::KeyFiles => "key-files",
            Self::ControlGroup => "control-group",
            Self::Fork => "fork",
            Self::Session => "session",
            Self::Mounts => "mounts",
            Self::ResourceLimits => "resource-limits",
            Self::User => "user",
            Self::Capabilities => "capabilities",
            Self::SystemCalls => "system-calls",
            Self::Files => "files",
            Self::WorkingDirectory => "working-directory",
            Self::Program => "program",
            Self::Root => "root",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_zero_is_no_failure() {
        assert!(!ExitKind::Code(0).is_failure());
        assert!(ExitKind::Code(1).is_failure());
        assert!(ExitKind::Signal(9).is_failure());
        assert!(ExitKind::NotStarted(LaunchStep::Program, 2).is_failure());
        assert!(ExitKind::Unknown.is_failure());
    }

    #[test]
    fn every_step_is_found_by_its_number() {
        for (position, step) in LaunchStep::ALL.into_iter().enumerate() {
            assert_eq!(step as usize, position);
            assert_eq!(LaunchStep::from_number(step as u8), Some(step));
        }
        assert_eq!(LaunchStep::from_number(14), None);
    }
}
