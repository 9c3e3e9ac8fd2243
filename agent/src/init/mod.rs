//! The agent as process 1 of an enclave.
//!
//! Two processes, because their duties do not mix. *Process 1* prepares the machine, starts the supervisor,
//! collects orphans, and restarts the machine when the supervisor has ended, however it ended. It has one thread, no key, no
//! event loop, and reads three bytes at a time from the supervisor and not one from anybody else. The
//! *supervisor* is the agent proper; whatever becomes of it, a panic included, process 1 is there to say so and to restart.
//! (A process 1 that reaped everything's children inside the agent's event loop would steal those that other parts wait for.)
//!
//! | Step | Who | Where |
//! |---|---|---|
//! | mounts, console, kernel settings, modules, loopback, device, control group | process 1 | [`system`] |
//! | configuration, [`checks`], [`heartbeat`] | supervisor | [`supervisor`] |
//! | policy, locks, gate, keys, workload | supervisor | [`boot`](crate::boot) and after |
//! | status to parent and console | process 1, told by the supervisor | [`status`] |
//! | collecting, restarting | process 1 | [`process_one`] |
//!
//! Arguments and environment that the kernel passes are never looked at; the supervisor starts without them. Every
//! reason to end has a number in [`code`], described in `agent/docs/boot.md`.

pub mod checks;
pub mod code;
pub mod heartbeat;
pub mod link;
mod panic;
pub mod process_one;
pub mod status;
pub mod supervisor;
pub mod system;

use std::ffi::OsStr;

use narthex_channel::Address;

/// The parent instance (AWS's documentation of vsock in enclaves).
const PARENT: u32 = 3;
/// Where the parent's `nitro-cli` waits for the heartbeat.
pub const HEARTBEAT_ADDRESS: Address = Address::Vsock {
    cid: PARENT,
    port: 9000,
};
/// Where the parent hears the boot status.
pub const STATUS_ADDRESS: Address = Address::Vsock {
    cid: PARENT,
    port: 9102,
};
/// The configuration inside the image.
pub const CONFIG_PATH: &str = "/narthex/agent.toml";

/// Whether the kernel has started this program as its first.
pub fn is_process_one(process_id: u32, name: Option<&OsStr>) -> bool {
    process_id == 1 && name == Some(OsStr::new("/init"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_kernels_first_program_is_process_one() {
        let init = Some(OsStr::new("/init"));
        assert!(is_process_one(1, init));
        assert!(!is_process_one(2, init));
        // In a container.
        assert!(!is_process_one(1, Some(OsStr::new("narthex-agent"))));
        assert!(!is_process_one(1, None));
    }
}
