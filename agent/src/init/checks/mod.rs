//! The self-checks: what this machine must be before anything is served (R28, R29).
//!
//! [`reading`](Reading::read) looks, [`failed`](Reading::failed) judges; the judgement sees values only, so each
//! rule is tested alone. In an enclave the first failure ends the boot with its own code. With `--local` nothing ends:
//! `health.failed_checks` counts what an enclave would have refused.

mod reading;
mod rules;

pub use reading::{DeviceNode, NAMESPACES, Reading};
pub use rules::{ClockKind, OLDEST_KERNEL, SelfCheck};
