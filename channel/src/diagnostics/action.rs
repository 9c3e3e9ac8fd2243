//! The closed list of actions, as results name them.

use crate::closed::closed;

closed! {
    /// What an operator can ask an agent for. There is nothing else.
    pub enum Action {
        /// Whether the agent and its workload are well.
        Health = 1, "health";
        /// Which software is running.
        Version = 2, "version";
        /// How long machine, agent and workload have been running.
        Uptime = 3, "uptime";
        /// Memory in use.
        Memory = 4, "memory";
        /// Processor time in use.
        Cpu = 5, "cpu";
        /// Pressure stall information.
        Pressure = 6, "pressure";
        /// Space on filesystems.
        Filesystems = 7, "filesystems";
        /// Open and refused connections.
        Connections = 8, "connections";
        /// Numbers of processes by state.
        Processes = 9, "processes";
        /// State, restarts and last exit of the workload.
        Workload = 10, "workload";
        /// Kernel messages, counted by class.
        KernelEvents = 11, "kernel-events";
        /// The Nitro Security Module's description and use.
        Nsm = 12, "nsm";
        /// Platform configuration registers.
        Pcrs = 13, "pcrs";
        /// The attestation document of this session.
        Attest = 14, "attest";
        /// The policy in force.
        Policy = 15, "policy";
        /// Names, versions and times of the keys received.
        Keys = 16, "keys";
        /// The agent's trusted time and how the system clock differs from it.
        Clock = 17, "clock";
        /// The state of the kernel's random source.
        Entropy = 18, "entropy";
        /// The workload's declared counters.
        Counters = 19, "counters";
        /// All that the caller may read, in one call.
        Status = 20, "status";
        /// Stop the workload and start it again.
        RestartWorkload = 64, "restart-workload";
        /// Fetch the keys again.
        ReloadKeys = 65, "reload-keys";
        /// Stop the workload and the enclave.
        Shutdown = 66, "shutdown";
    }
}

impl Action {
    /// Whether the action changes something. Codes from 64 on do.
    #[must_use]
    pub const fn is_write(self) -> bool {
        self.code() >= 64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::closed::tests::assert_closed;

    #[test]
    fn the_list_is_closed() {
        assert_closed!(Action);
        assert_eq!(Action::ALL.len(), 23);
        assert_eq!(
            Action::ALL
                .iter()
                .filter(|action| action.is_write())
                .count(),
            3
        );
        assert_eq!(Action::from_name("shell"), None);
    }
}
