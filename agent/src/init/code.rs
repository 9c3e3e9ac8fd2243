//! Why a boot waits, failed or ended: the closed list that the parent and the console see.
//!
//! `agent/docs/boot.md` has the same list for people; a test compares the two. A number never changes its
//! meaning. The upper byte is the group, the lower one the place in it.

use narthex_ledger::LogReason;
use narthex_nsm::{NsmError, TransportError};
use narthex_policy::Reason;

use super::checks::SelfCheck;
use super::heartbeat::Heartbeat;
use crate::config::{ConfigError, ConfigFault};
use crate::error::AgentError;
use crate::sandbox::SandboxError;
use crate::supervisor::exchange::ExchangeFailure;

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $number:literal, $id:literal;)*) => {
        /// A boot code.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum BootCode {
            $($(#[$doc])* $variant,)*
        }

        impl BootCode {
            /// All codes, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The number in the status message.
            pub const fn number(self) -> u16 {
                match self { $(Self::$variant => $number,)* }
            }

            /// The id on the console.
            pub const fn id(self) -> &'static str {
                match self { $(Self::$variant => $id,)* }
            }
        }
    };
}

codes! {
    /// Nothing to say beyond the stage.
    None = 0x0000, "none";

    /// `/proc` could not be mounted.
    MountProc = 0x0101, "system.mount_proc";
    /// `/sys` could not be mounted.
    MountSys = 0x0102, "system.mount_sys";
    /// `/dev` could not be mounted.
    MountDev = 0x0103, "system.mount_dev";
    /// `/run` could not be mounted.
    MountRun = 0x0104, "system.mount_run";
    /// `/tmp` could not be mounted.
    MountTmp = 0x0105, "system.mount_tmp";
    /// `/sys/fs/cgroup` could not be mounted.
    MountControlGroups = 0x0106, "system.mount_cgroup";
    /// The console or `/dev/null` could not be opened.
    Console = 0x0107, "system.console";
    /// A kernel module of the image could not be loaded.
    Modules = 0x0108, "system.modules";
    /// The loopback device could not be brought up.
    Loopback = 0x0109, "system.loopback";
    /// A kernel setting that keeps things in did not take its value.
    KernelSettings = 0x010a, "system.kernel_settings";
    /// The agent's control group could not be made.
    ControlGroups = 0x010b, "system.control_groups";
    /// The supervisor could not be started.
    Supervisor = 0x010c, "system.supervisor";

    /// The NSM does not feed the kernel's random numbers.
    EntropyRngCurrent = 0x0201, "entropy.rng_current";
    /// The kernel's command line does not say `random.trust_cpu=off`.
    EntropyTrustCpu = 0x0202, "entropy.trust_cpu";
    /// The kernel's command line does not say `random.trust_bootloader=off`.
    EntropyTrustBootloader = 0x0203, "entropy.trust_bootloader";

    /// The kernel is older than 6.12.
    KernelVersion = 0x0301, "kernel.version";
    /// The kernel has no seccomp filters.
    KernelSeccomp = 0x0302, "kernel.seccomp";
    /// The kernel has no Landlock, or one older than ABI 6.
    KernelLandlock = 0x0303, "kernel.landlock";
    /// Control groups cannot limit memory.
    KernelCgroupMemory = 0x0304, "kernel.cgroup_memory";
    /// Control groups cannot limit processes.
    KernelCgroupPids = 0x0305, "kernel.cgroup_pids";
    /// The kernel does not measure pressure.
    KernelPressure = 0x0306, "kernel.pressure";
    /// A kind of namespace is missing.
    KernelNamespaces = 0x0307, "kernel.namespaces";
    /// There is no vsock, or no way out of this machine through it.
    KernelVsock = 0x0308, "kernel.vsock";
    /// Control groups cannot share out processor time.
    KernelCgroupCpu = 0x0309, "kernel.cgroup_cpu";

    /// The kernel's clock source is not one of those accepted.
    ClockSource = 0x0401, "clock.source";

    /// `/dev/nsm` is missing, no device, or open to others than root.
    NsmDevice = 0x0501, "nsm.device";
    /// The NSM could not be reached.
    NsmUnreachable = 0x0502, "nsm.unreachable";
    /// The NSM refused a request or answered something else.
    NsmAnswer = 0x0503, "nsm.answer";
    /// The NSM's own document cannot be read.
    NsmDocument = 0x0504, "agent.nsm_document";
    /// PCR16 was extended or locked before the agent started.
    PcrAlreadyExtended = 0x0505, "agent.pcr_already_extended";
    /// PCR16 is not what it must be, or not every register is locked.
    PcrNotLocked = 0x0506, "agent.pcr_not_locked";

    /// The configuration cannot be read.
    ConfigFile = 0x0601, "config.file";
    /// The configuration breaks a rule.
    ConfigContent = 0x0602, "config.content";

    /// The parent did not take the heartbeat's connection. The boot goes on.
    HeartbeatConnection = 0x0701, "heartbeat.connection";
    /// The parent did not answer the heartbeat. The boot goes on.
    HeartbeatSilent = 0x0702, "heartbeat.silent";
    /// The parent answered the heartbeat with another byte. The boot goes on.
    HeartbeatAnswer = 0x0703, "heartbeat.answer";

    /// No connection to the policy source. It is tried again.
    PolicyConnection = 0x0801, "policy.connection";
    /// The policy source did not answer, or not as the channel asks. It is tried again.
    PolicyAnswer = 0x0802, "policy.answer";
    /// The policy source's bundle is older than the image's minimum. It is asked again.
    PolicyTooOld = 0x0803, "policy.too_old";
    /// Too few of the image's reviewers signed the bundle. It is asked again.
    PolicyUnderSigned = 0x0804, "policy.under_signed";
    /// The bundle has expired, or is from the future. It is asked again.
    PolicyTime = 0x0805, "policy.time";
    /// The bundle is refused for another reason. It is asked again.
    PolicyRefused = 0x0806, "policy.refused";
    /// The log does not show that the bundle is in force. It is asked again.
    PolicyLog = 0x0807, "policy.log";

    /// The system's random source failed.
    Random = 0x0901, "agent.random";
    /// A confined process ended before it was confined.
    ConfinedProcess = 0x0902, "agent.confined_process";
    /// The diagnostics listener could not be opened.
    Listen = 0x0903, "agent.listen";
    /// The runtime directory, the local socket or the event loop could not be made.
    Runtime = 0x0904, "agent.runtime";
    /// The workload's surroundings could not be made.
    Workload = 0x0905, "agent.workload";
    /// A step of the sandbox could not be taken: several threads.
    SandboxSeveralThreads = 0x0911, "sandbox.several_threads";
    /// No user for the confined processes.
    SandboxUserMissing = 0x0912, "sandbox.user_missing";
    /// The user could not be changed.
    SandboxUser = 0x0913, "sandbox.user";
    /// Capabilities remained.
    SandboxCapabilities = 0x0914, "sandbox.capabilities";
    /// Process flags could not be set.
    SandboxProcessFlags = 0x0915, "sandbox.process_flags";
    /// Resource limits could not be set.
    SandboxResourceLimits = 0x0916, "sandbox.resource_limits";
    /// Landlock was not enforced in full.
    SandboxLandlock = 0x0917, "sandbox.landlock";
    /// The system call filter was not accepted.
    SandboxSeccomp = 0x0918, "sandbox.seccomp";

    /// The supervisor panicked.
    SupervisorPanicked = 0x0a01, "supervisor.panicked";
    /// A signal ended the supervisor.
    SupervisorKilled = 0x0a02, "supervisor.killed";
    /// The supervisor ended without a word.
    SupervisorEnded = 0x0a03, "supervisor.ended";
    /// Process 1 panicked.
    InitPanicked = 0x0a04, "init.panicked";
    /// Process 1 could not watch the supervisor.
    InitFailed = 0x0a05, "init.failed";
}

impl BootCode {
    /// The code with this number.
    pub fn from_number(number: u16) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|code| code.number() == number)
    }

    /// Why the policy source's answer was of no use.
    pub fn of_policy(reason: Reason) -> Self {
        match reason {
            Reason::BundleBelowMinimum | Reason::BundleRolledBack => Self::PolicyTooOld,
            Reason::BundleUnderSigned | Reason::BundleUnderSignedByNew => Self::PolicyUnderSigned,
            Reason::BundleExpired | Reason::BundleNotYetValid => Self::PolicyTime,
            _ => Self::PolicyRefused,
        }
    }

    /// Why the log's proof was of no use. One code: which proof fails is the policy source's business, and
    /// a running agent's diagnostics have it in full.
    pub fn of_log(_: LogReason) -> Self {
        Self::PolicyLog
    }

    /// Why there was no answer.
    pub fn of_exchange(failure: ExchangeFailure) -> Self {
        match failure {
            ExchangeFailure::Connect(_) => Self::PolicyConnection,
            ExchangeFailure::Sandbox(error) => error.into(),
            _ => Self::PolicyAnswer,
        }
    }
}

impl From<SelfCheck> for BootCode {
    fn from(check: SelfCheck) -> Self {
        match check {
            SelfCheck::EntropyRngCurrent => Self::EntropyRngCurrent,
            SelfCheck::EntropyTrustCpu => Self::EntropyTrustCpu,
            SelfCheck::EntropyTrustBootloader => Self::EntropyTrustBootloader,
            SelfCheck::KernelVersion => Self::KernelVersion,
            SelfCheck::KernelSeccomp => Self::KernelSeccomp,
            SelfCheck::KernelLandlock => Self::KernelLandlock,
            SelfCheck::KernelCgroupMemory => Self::KernelCgroupMemory,
            SelfCheck::KernelCgroupPids => Self::KernelCgroupPids,
            SelfCheck::KernelCgroupCpu => Self::KernelCgroupCpu,
            SelfCheck::KernelPressure => Self::KernelPressure,
            SelfCheck::KernelNamespaces => Self::KernelNamespaces,
            SelfCheck::KernelVsock => Self::KernelVsock,
            SelfCheck::ClockSource => Self::ClockSource,
            SelfCheck::NsmDevice => Self::NsmDevice,
        }
    }
}

impl From<Heartbeat> for BootCode {
    fn from(heartbeat: Heartbeat) -> Self {
        match heartbeat {
            Heartbeat::NotSent | Heartbeat::Answered => Self::None,
            Heartbeat::NoConnection => Self::HeartbeatConnection,
            Heartbeat::Silent => Self::HeartbeatSilent,
            Heartbeat::WrongAnswer => Self::HeartbeatAnswer,
        }
    }
}

impl From<SandboxError> for BootCode {
    fn from(error: SandboxError) -> Self {
        match error {
            SandboxError::SeveralThreads => Self::SandboxSeveralThreads,
            SandboxError::UserMissing => Self::SandboxUserMissing,
            SandboxError::User => Self::SandboxUser,
            SandboxError::Capabilities => Self::SandboxCapabilities,
            SandboxError::ProcessFlags => Self::SandboxProcessFlags,
            SandboxError::ResourceLimits => Self::SandboxResourceLimits,
            SandboxError::Landlock => Self::SandboxLandlock,
            SandboxError::Seccomp => Self::SandboxSeccomp,
        }
    }
}

impl From<NsmError> for BootCode {
    fn from(error: NsmError) -> Self {
        match error {
            NsmError::Transport(
                TransportError::Open(_)
                | TransportError::Io(_)
                | TransportError::TimedOut
                | TransportError::Closed,
            ) => Self::NsmUnreachable,
            NsmError::Transport(TransportError::TooLarge | TransportError::Malformed)
            | NsmError::Code(_)
            | NsmError::UnexpectedResponse => Self::NsmAnswer,
        }
    }
}

impl From<&AgentError> for BootCode {
    fn from(error: &AgentError) -> Self {
        match error {
            AgentError::Config(ConfigError {
                fault: ConfigFault::File,
                ..
            }) => Self::ConfigFile,
            AgentError::Config(_) | AgentError::LocalAsInit => Self::ConfigContent,
            AgentError::SelfCheck(check) => (*check).into(),
            AgentError::Nsm(error) => (*error).into(),
            AgentError::NsmDocument => Self::NsmDocument,
            AgentError::PcrAlreadyExtended => Self::PcrAlreadyExtended,
            AgentError::PcrNotLocked => Self::PcrNotLocked,
            AgentError::Random => Self::Random,
            AgentError::Sandbox(error) => (*error).into(),
            AgentError::ConfinedProcess => Self::ConfinedProcess,
            AgentError::Listen(_) => Self::Listen,
            AgentError::Runtime { .. } => Self::Runtime,
            AgentError::Workload(_) => Self::Workload,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_ids_are_distinct_and_come_back() {
        let mut ids = std::collections::BTreeSet::new();
        let mut last = None;
        for &code in BootCode::ALL {
            assert_eq!(BootCode::from_number(code.number()), Some(code));
            assert!(ids.insert(code.id()), "{} twice", code.id());
            assert!(last < Some(code.number()), "{}", code.id());
            last = Some(code.number());
        }
        assert_eq!(BootCode::from_number(0xffff), None);
    }

    #[test]
    fn the_page_lists_exactly_these_codes() {
        let page = include_str!("../../docs/boot.md");
        let listed: Vec<(u16, &str)> = page
            .lines()
            .filter_map(|line| {
                let (number, rest) = line.strip_prefix("| `0x")?.split_once("` | `")?;
                Some((
                    u16::from_str_radix(number, 16).ok()?,
                    rest.split_once('`')?.0,
                ))
            })
            .collect();
        let codes: Vec<(u16, &str)> = BootCode::ALL
            .iter()
            .map(|code| (code.number(), code.id()))
            .collect();
        assert_eq!(listed, codes);
    }

    #[test]
    fn errors_keep_their_ids() {
        let same = [
            AgentError::NsmDocument,
            AgentError::PcrAlreadyExtended,
            AgentError::PcrNotLocked,
            AgentError::Random,
            AgentError::ConfinedProcess,
            AgentError::Listen(std::io::ErrorKind::Other),
        ];
        for error in same {
            assert_eq!(BootCode::from(&error).id(), error.id());
        }
        for error in SandboxError::ALL {
            assert_eq!(BootCode::from(error).id(), error.id());
        }
        for check in SelfCheck::ALL {
            assert_eq!(BootCode::from(check).id(), check.id());
        }
    }
}
