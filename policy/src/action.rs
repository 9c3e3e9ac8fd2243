//! What an operator may ask of an agent: a closed list.

use core::fmt;

use crate::reason::{Reason, Refusal};

/// Whether an action only looks, or changes something.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ActionKind {
    /// Reports numbers, states and digests; covered by read orders.
    Read,
    /// Changes something; needs a write order, approvals and a delay.
    Write,
}

macro_rules! actions {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $kind:ident;)*) => {
        /// An action of the agent. No other can be asked for.
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub enum Action {
            $($(#[$doc])* $variant,)*
        }

        impl Action {
            /// All actions, in the order of the design.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name in policies, orders, calls and on the command line.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// Whether it only looks, or changes something.
            pub const fn kind(self) -> ActionKind {
                match self {
                    $(Self::$variant => ActionKind::$kind,)*
                }
            }
        }
    };
}

actions! {
    /// Whether the agent and its workload are well.
    Health = "health", Read;
    /// Versions of agent and configuration.
    Version = "version", Read;
    /// Times since boot and since the workload's start.
    Uptime = "uptime", Read;
    /// Memory of the enclave.
    Memory = "memory", Read;
    /// Processor time.
    Cpu = "cpu", Read;
    /// Pressure stall information.
    Pressure = "pressure", Read;
    /// Room in the file systems.
    Filesystems = "filesystems", Read;
    /// Number of connections by state.
    Connections = "connections", Read;
    /// Number of processes by state.
    Processes = "processes", Read;
    /// State, exits and restarts of the workload.
    Workload = "workload", Read;
    /// Counts of kernel messages by class.
    KernelEvents = "kernel-events", Read;
    /// The security module's description.
    Nsm = "nsm", Read;
    /// The platform configuration registers.
    Pcrs = "pcrs", Read;
    /// A fresh attestation document, by its digest.
    Attest = "attest", Read;
    /// The policy in force.
    Policy = "policy", Read;
    /// Names, versions and times of keys.
    Keys = "keys", Read;
    /// The agent's time and its sources.
    Clock = "clock", Read;
    /// The random source.
    Entropy = "entropy", Read;
    /// The workload's declared counters.
    Counters = "counters", Read;
    /// All that the caller may read, in one call.
    Status = "status", Read;
    /// Stops and starts the workload.
    RestartWorkload = "restart-workload", Write;
    /// Fetches the keys again and hands them to the workload.
    ReloadKeys = "reload-keys", Write;
    /// Stops the workload and ends the enclave.
    Shutdown = "shutdown", Write;
}

impl Action {
    /// Finds an action by its name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|action| action.name() == name)
    }

    /// Finds an action by its name.
    ///
    /// # Errors
    ///
    /// [`Reason::NameMalformed`] if there is none.
    pub(crate) fn parse(name: &str) -> Result<Self, Refusal> {
        Self::from_name(name)
            .ok_or_else(|| Refusal::new(Reason::NameMalformed, format!("no action {name:?}")))
    }

    /// Whether it changes something.
    pub const fn is_write(self) -> bool {
        matches!(self.kind(), ActionKind::Write)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_and_only_three_write() {
        for action in Action::ALL {
            assert_eq!(Action::from_name(action.name()), Some(*action));
        }
        let writes: Vec<_> = Action::ALL
            .iter()
            .filter(|action| action.is_write())
            .collect();
        assert_eq!(
            writes,
            [
                &Action::RestartWorkload,
                &Action::ReloadKeys,
                &Action::Shutdown
            ]
        );
        assert_eq!(Action::from_name("exec"), None);
    }
}
