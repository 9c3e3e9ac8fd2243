//! A session statement for clients that are no agents.

use narthex_channel::diagnostics::{
    AgentVersion, BootId, BundleInForce, Decisions, LogCheck, ReleaseState, SessionStatement,
};
use narthex_channel::{Digest384, ModuleId, UnixMillis};

/// What an agent would state that booted with `bundle` and has it in force.
///
/// # Panics
///
/// If `module_id` is none.
#[must_use]
#[allow(clippy::panic)] // For programs of tests, which call it with constants.
pub fn example_statement(module_id: &str, bundle: &[u8], version: u64) -> SessionStatement {
    let digest = Digest384::of(bundle);
    SessionStatement {
        module_id: ModuleId::new(module_id).unwrap_or_else(|error| panic!("{module_id}: {error}")),
        boot_id: BootId([7; 16]),
        agent_version: AgentVersion {
            major: 0,
            minor: 0,
            patch: 0,
        },
        boot_bundle: digest,
        bundle_in_force: BundleInForce { digest, version },
        release: ReleaseState::Current,
        log_check: LogCheck::Required,
        decisions: Decisions::default(),
        chain_head: Digest384::ZERO,
        now: UnixMillis(0),
    }
}
