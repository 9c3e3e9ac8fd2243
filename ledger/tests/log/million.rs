//! A log of a million entries: not run by default (`cargo test --release -p narthex-ledger --test log -- --ignored
//! --nocapture`), because making it takes longer than reading it.

use std::time::Instant;

use narthex_ledger::{
    Entry, LogReader,
    mock::{MockLog, sample_release},
};

const SIZE: u64 = 1_000_000;

#[test]
#[ignore = "makes a log of a million entries: about 700 MB, a minute"]
fn verifying_a_million_entries() {
    let directory = tempfile::tempdir().unwrap();
    let mut log = MockLog::create(directory.path(), "example.com/log", 1).unwrap();
    let started = Instant::now();
    for number in 0..SIZE {
        log.append(&sample_release(number)).unwrap();
    }
    log.publish(1_000).unwrap();
    println!("made in {:.1} s", started.elapsed().as_secs_f64());

    let trust = log.trust(1).unwrap();
    let reader = LogReader::open(log.folder(), &trust).unwrap();
    for threads in [1, 2] {
        let started = Instant::now();
        let verified = reader.verify_all(threads, |_, _| Ok(())).unwrap();
        let seconds = started.elapsed().as_secs_f64();
        println!(
            "{threads} thread(s): every hash in {seconds:.2} s, {:.0} entries a second, {} bytes an entry",
            f64::from(1_000_000) / seconds,
            verified.bytes / SIZE,
        );
        let started = Instant::now();
        reader
            .verify_all(threads, |_, leaf| Entry::from_leaf(leaf).map(drop))
            .unwrap();
        let seconds = started.elapsed().as_secs_f64();
        println!("{threads} thread(s): and every entry read, {seconds:.2} s");
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find(|line| line.starts_with("VmHWM"));
    println!("{}", peak.unwrap_or_default());
}
