//! Large logs: what it costs, and that memory stays bounded. Run by hand:
//! `cargo test --release -p narthex --features dev-root --test audit load -- --ignored --nocapture`.

use std::time::Instant;

use crate::fixture::{Asking, Project};

/// Entries that decide nothing are cheap; requests for keys are verified on all cores.
#[test]
#[ignore = "takes minutes; prints what it measured"]
fn load_of_a_large_log() {
    let count = |name: &str, default: u64| {
        std::env::var(name).map_or(default, |text| text.parse().unwrap())
    };
    let (small, releases) = (
        count("NARTHEX_AUDIT_ENTRIES", 1_000_000),
        count("NARTHEX_AUDIT_RELEASES", 2_000),
    );
    let mut project = Project::new();
    project.seconds_between_entries = 1;
    for number in 0..releases {
        let mut asking = Asking::new(0);
        asking.session[..8].copy_from_slice(&number.to_be_bytes());
        project.release(asking);
    }
    for _ in 0..small {
        project.current();
    }
    let began = Instant::now();
    let output = project.audit_measured();
    let took = began.elapsed();
    let words = String::from_utf8_lossy(&output.stderr);
    let peak = words
        .lines()
        .find_map(|line| line.strip_prefix("peak-kib "))
        .unwrap();
    println!("{small} small entries and {releases} releases: {took:?}, peak {peak} KiB");
    assert_eq!(output.status.code(), Some(0), "{words}");
    assert!(peak.parse::<u64>().unwrap() < 256 * 1024);
}
