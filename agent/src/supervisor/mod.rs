//! The supervisor: the one process that holds the NSM, the keys and the policy, and decides everything.
//!
//! [`authority`] is its pure core; around it stand tasks on one thread that share a [`core::Core`]:
//! the gate ([`gate_link`]), the policy source ([`policy_watch`]), the key service ([`key_watch`]), trusted
//! time, the workload's local socket, and signals.

pub mod authority;
pub mod backend;
pub mod connect;
pub mod core;
pub mod exchange;
pub mod gate_link;
pub mod identity;
pub mod key_watch;
pub mod keyring;
pub mod policy_watch;
pub mod reason;
pub mod sessions;

mod run;

pub use run::{Run, assemble, run_enclave, run_local};

use std::time::Duration;

/// `duration` give or take a fifth, at random, so that many agents that start together do not stay together.
pub fn jitter(duration: Duration) -> Duration {
    let mut random = [0_u8; 2];
    // Without randomness there is no jitter; nothing depends on it.
    if getrandom::fill(&mut random).is_err() {
        return duration;
    }
    let fraction = f64::from(u16::from_be_bytes(random)) / f64::from(u16::MAX);
    duration.mul_f64(0.8 + 0.4 * fraction)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_stays_within_a_fifth() {
        for _ in 0..1000 {
            let jittered = jitter(Duration::from_secs(10));
            assert!((Duration::from_secs(8)..=Duration::from_secs(12)).contains(&jittered));
        }
    }
}
