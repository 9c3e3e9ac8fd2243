//! The measures that confine a workload, and which of them hold.
//!
//! An enclave's workload starts with all of them or not at all. On a
//! laptop (`--local`), those that need root may be missing; they are then reported, one by one, and
//! never dropped in silence.

/// One measure that confines the workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum ConfinementMeasure {
    /// A user and group of its own, neither 0 nor the agent's, without supplementary groups.
    OwnUser = 0,
    /// `no_new_privs`: no program it starts can gain rights.
    NoNewPrivileges = 1,
    /// All capability sets are empty; as root, the bounding set too.
    NoCapabilities = 2,
    /// seccomp refuses new user namespaces, and kernel interfaces that no workload here needs.
    NoUserNamespaces = 3,
    /// Limits on open files, processes of its user and core dumps (rlimits).
    ResourceLimits = 4,
    /// A session and process group of its own, without terminal.
    OwnSession = 5,
    /// The kernel kills it when its shepherd dies; the shepherd ends when the agent does.
    EndsWithAgent = 6,
    /// It inherits no open file but `/dev/null` and its two output pipes.
    NoInheritedFiles = 7,
    /// A mount namespace of its own.
    PrivateMounts = 8,
    /// set-user-id bits have no effect on any mount it sees.
    NoSetUserId = 9,
    /// Keys are in a tmpfs that exists in its namespace only.
    PrivateKeyFiles = 10,
    /// `/tmp` is its own.
    PrivateTemporaryFiles = 11,
    /// cgroup v2 `memory.max`.
    MemoryLimit = 12,
    /// cgroup v2 `pids.max`.
    ProcessLimit = 13,
    /// All its processes are in a cgroup v2, so that they can be killed at one stroke.
    OwnControlGroup = 14,
    /// Its root is a folder of its own, read-only, with its own `/proc`, `/dev`, `/tmp` and `/run`.
    OwnRoot = 15,
    /// No file that it can write can be started or loaded as a program.
    NoWrittenPrograms = 16,
    /// System V objects of its own, which end with it.
    OwnIpc = 17,
    /// Landlock: it can signal no process but its own, nor connect to their abstract sockets.
    ScopedSignals = 18,
    /// cgroup v2 `cpu`: however many processes it has, the agent's have their share of the processors.
    ProcessorShare = 19,
}

impl ConfinementMeasure {
    /// All measures, in the order in which they are reported.
    pub const ALL: [Self; 20] = [
        Self::OwnUser,
        Self::NoNewPrivileges,
        Self::NoCapabilities,
        Self::NoUserNamespaces,
        Self::ResourceLimits,
        Self::OwnSession,
        Self::EndsWithAgent,
        Self::NoInheritedFiles,
        Self::PrivateMounts,
        Self::NoSetUserId,
        Self::PrivateKeyFiles,
        Self::PrivateTemporaryFiles,
        Self::MemoryLimit,
        Self::ProcessLimit,
        Self::OwnControlGroup,
        Self::OwnRoot,
        Self::NoWrittenPrograms,
        Self::OwnIpc,
        Self::ScopedSignals,
        Self::ProcessorShare,
    ];

    /// Whether an ordinary user cannot have it.
    pub fn needs_privilege(self) -> bool {
        match self {
            Self::OwnUser
            | Self::PrivateMounts
            | Self::NoSetUserId
            | Self::PrivateKeyFiles
            | Self::PrivateTemporaryFiles
            | Self::MemoryLimit
            | Self::ProcessLimit
            | Self::OwnControlGroup
            | Self::OwnRoot
            | Self::NoWrittenPrograms
            | Self::OwnIpc
            | Self::ProcessorShare => true,
            Self::NoNewPrivileges
            | Self::NoCapabilities
            | Self::NoUserNamespaces
            | Self::ResourceLimits
            | Self::OwnSession
            | Self::EndsWithAgent
            | Self::NoInheritedFiles
            | Self::ScopedSignals => false,
        }
    }

    /// Whether it may be missing with `--local`: an ordinary user cannot have it, or the kernel of a laptop may be
    /// too old for it.
    pub fn may_be_missing(self) -> bool {
        match self {
            // What was asked for is another view of the file system: running in the agent's instead is no
            // weaker form of it.
            Self::OwnRoot => false,
            Self::ScopedSignals => true,
            other => other.needs_privilege(),
        }
    }

    /// Stable text, for `--local` messages and tests.
    pub fn id(self) -> &'static str {
        match self {
            Self::OwnUser => "own-user",
            Self::NoNewPrivileges => "no-new-privileges",
            Self::NoCapabilities => "no-capabilities",
            Self::NoUserNamespaces => "no-user-namespaces",
            Self::ResourceLimits => "resource-limits",
            Self::OwnSession => "own-session",
            Self::EndsWithAgent => "ends-with-agent",
            Self::NoInheritedFiles => "no-inherited-files",
            Self::PrivateMounts => "private-mounts",
            Self::NoSetUserId => "no-set-user-id",
            Self::PrivateKeyFiles => "private-key-files",
            Self::PrivateTemporaryFiles => "private-temporary-files",
            Self::MemoryLimit => "memory-limit",
            Self::ProcessLimit => "process-limit",
            Self::OwnControlGroup => "own-control-group",
            Self::OwnRoot => "own-root",
            Self::NoWrittenPrograms => "no-written-programs",
            Self::OwnIpc => "own-ipc",
            Self::ScopedSignals => "scoped-signals",
            Self::ProcessorShare => "processor-share",
        }
    }
}

/// A set of measures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MeasureSet(u32);

impl MeasureSet {
    /// All of them.
    pub fn all() -> Self {
        ConfinementMeasure::ALL.into_iter().collect()
    }

    /// Adds one.
    pub fn insert(&mut self, measure: ConfinementMeasure) {
        self.0 |= 1 << (measure as u8);
    }

    /// Whether it is in.
    pub fn contains(self, measure: ConfinementMeasure) -> bool {
        self.0 & (1 << (measure as u8)) != 0
    }

    /// Those in either.
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Those of this set that are not in the other.
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The members, in the order of [`ConfinementMeasure::ALL`].
    pub fn iter(self) -> impl Iterator<Item = ConfinementMeasure> {
        ConfinementMeasure::ALL
            .into_iter()
            .filter(move |&measure| self.contains(measure))
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// For the shepherd's messages: bit n stands for the measure with discriminant n.
    pub(crate) fn bits(self) -> u32 {
        self.0
    }

    /// The opposite of [`MeasureSet::bits`]; unknown bits are dropped.
    pub(crate) fn from_bits(bits: u32) -> Self {
        Self(bits & Self::all().0)
    }
}

impl FromIterator<ConfinementMeasure> for MeasureSet {
    fn from_iter<I: IntoIterator<Item = ConfinementMeasure>>(measures: I) -> Self {
        let mut set = Self::default();
        for measure in measures {
            set.insert(measure);
        }
        set
    }
}

/// What holds for the workload that runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Confinement {
    /// These hold.
    pub enforced: MeasureSet,
    /// Nobody asked for these: a limit that the configuration does not set.
    pub not_asked: MeasureSet,
}

impl Confinement {
    /// Whether one measure holds.
    pub fn state(&self, measure: ConfinementMeasure) -> MeasureState {
        if self.enforced.contains(measure) {
            MeasureState::Enforced
        } else if self.not_asked.contains(measure) {
            MeasureState::NotAsked
        } else {
            MeasureState::NotEnforced
        }
    }

    /// The measures that were asked for and do not hold. Inside an enclave there are none.
    pub fn missing(&self) -> MeasureSet {
        MeasureSet::all()
            .without(self.enforced)
            .without(self.not_asked)
    }
}

/// Whether a measure holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MeasureState {
    /// It holds.
    Enforced,
    /// It was asked for and could not be had: only with `--local`.
    NotEnforced,
    /// The configuration does not ask for it.
    NotAsked,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_measure_is_listed_once_at_its_place() {
        for (position, measure) in ConfinementMeasure::ALL.into_iter().enumerate() {
            assert_eq!(measure as usize, position);
        }
        assert_eq!(
            MeasureSet::all().iter().count(),
            ConfinementMeasure::ALL.len()
        );
    }

    #[test]
    fn a_measure_is_enforced_missing_or_not_asked() {
        let confinement = Confinement {
            enforced: [ConfinementMeasure::OwnUser].into_iter().collect(),
            not_asked: [ConfinementMeasure::MemoryLimit].into_iter().collect(),
        };
        assert_eq!(
            confinement.state(ConfinementMeasure::OwnUser),
            MeasureState::Enforced
        );
        assert_eq!(
            confinement.state(ConfinementMeasure::MemoryLimit),
            MeasureState::NotAsked
        );
        assert_eq!(
            confinement.state(ConfinementMeasure::OwnSession),
            MeasureState::NotEnforced
        );
        assert_eq!(
            confinement.missing().iter().count(),
            ConfinementMeasure::ALL.len() - 2
        );
    }

    #[test]
    fn unknown_bits_do_not_become_measures() {
        assert_eq!(MeasureSet::from_bits(u32::MAX), MeasureSet::all());
        let set: MeasureSet = [ConfinementMeasure::NoSetUserId].into_iter().collect();
        assert_eq!(MeasureSet::from_bits(set.bits()), set);
    }
}
