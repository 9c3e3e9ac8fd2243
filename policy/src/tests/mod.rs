//! Each refusal has a test in which only that rule is broken; the last test here sees to it.

mod administration;
mod bundles;
mod calls;
mod content;
mod diff_and_lint;
mod keys;
mod ledger;
mod manifests;
mod orders;
mod peers;
mod readers;
mod releases;
mod robustness;
mod security_keys;
mod signatures;
mod stops;
mod world;

use crate::Reason;

/// Sources with tests, to be searched.
const SOURCES: [&str; 20] = [
    include_str!("administration.rs"),
    include_str!("bundles.rs"),
    include_str!("calls.rs"),
    include_str!("content.rs"),
    include_str!("keys.rs"),
    include_str!("ledger.rs"),
    include_str!("manifests.rs"),
    include_str!("orders.rs"),
    include_str!("peers.rs"),
    include_str!("readers.rs"),
    include_str!("releases.rs"),
    include_str!("security_keys.rs"),
    include_str!("signatures.rs"),
    include_str!("stops.rs"),
    include_str!("../time.rs"),
    include_str!("../names.rs"),
    include_str!("../digest.rs"),
    include_str!("../call.rs"),
    include_str!("../anchor.rs"),
    include_str!("../used_calls.rs"),
];

#[test]
fn every_reason_is_asserted_by_a_test() {
    // Only the key service's durable marks can tell it.
    let elsewhere = [Reason::OrderReused];
    for reason in Reason::ALL
        .iter()
        .filter(|reason| !elsewhere.contains(reason))
    {
        let name = format!("Reason::{reason:?}");
        let asserted = SOURCES.iter().any(|source| {
            let tests = source
                .split_once("#[cfg(test)]")
                .map_or(*source, |(_, tests)| tests);
            tests
                .split(&name)
                .skip(1)
                .any(|after| !after.starts_with(|next: char| next.is_alphanumeric()))
        });
        assert!(asserted, "no test asserts {name}");
    }
}
