//! The transparency log: appends that are durable, verification of a large log, and what an entry costs.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use narthex_key_service::config::Config;
use narthex_key_service::metrics::Metrics;
use narthex_key_service::root_key::RootKeys;
use narthex_key_service::storage::{Database, Record, SealedEvidence};
use narthex_ledger::mock::{MockLog, sample_release};
use narthex_ledger::{Entry, Evidence, LogReader, SessionHash};

use crate::setup::Setup;

/// Entries appended by each of the tasks.
const APPENDS_PER_TASK: u64 = 400;
/// Tasks that append at once: so many fit into a group.
const TASKS: u64 = 64;
/// Bytes of the evidence of each: a document and a request.
const EVIDENCE_BYTES: usize = 6_000;
/// Entries of the large log.
const LARGE: u64 = 1_000_000;

/// Appends to the database of a service that was stopped.
pub fn appends(setup: &mut Setup) {
    setup.stop();
    let config = Config::load(&setup.path().join("service.toml")).expect("a configuration");
    let root_keys = RootKeys::load(&config.storage.root_key).expect("root keys");
    let log_key = narthex_key_service::log_key::load(&config.storage.log_key).expect("a key");
    let database = Database::lock(&config.storage).expect("the database");
    let group = usize::try_from(config.limits.group_decisions).expect("small");
    let opened = database
        .open(
            &root_keys,
            Arc::new(log_key),
            group,
            Arc::new(Metrics::default()),
        )
        .expect("the database opens");
    let before = size(&config.storage.database);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .expect("a runtime");
    println!(
        "\nAppends to the log: entry, evidence, tiles and signed checkpoint durable in one transaction per group"
    );
    let mut number = 0;
    for tasks in [1, TASKS] {
        let each = APPENDS_PER_TASK;
        let begun = Instant::now();
        let mut longest = runtime.block_on(async {
            let mut all = tokio::task::JoinSet::new();
            for task in 0..tasks {
                let store = opened.store.clone();
                let first = number + task * each;
                all.spawn(async move {
                    let mut times = Vec::new();
                    for number in first..first + each {
                        let record = release(number);
                        let asked = Instant::now();
                        store
                            .write(move |writing| writing.record(record))
                            .await
                            .expect("recorded");
                        times.push(asked.elapsed());
                    }
                    times
                });
            }
            all.join_all().await.concat()
        });
        number += tasks * each;
        let rate = (tasks * each) as f64 / begun.elapsed().as_secs_f64();
        longest.sort_unstable();
        let at = |hundredth: usize| milliseconds(longest[(longest.len() - 1) * hundredth / 100]);
        println!(
            "  {tasks:>3} at once: {rate:>9.0} a second, each durable after {:.2} ms (median), {:.2} ms (p99)",
            at(50),
            at(99)
        );
    }
    drop(opened.store);
    let _ = opened.writer.join();
    drop(database);
    let grown = size(&config.storage.database).saturating_sub(before);
    println!(
        "  the database grew by {:.0} bytes an entry, {EVIDENCE_BYTES} of them evidence",
        grown as f64 / number as f64
    );
}

fn release(number: u64) -> Record {
    let mut document = vec![0; EVIDENCE_BYTES - 32];
    document[..8].copy_from_slice(&number.to_be_bytes());
    let session: SessionHash = match sample_release(number) {
        Entry::Release(entry) => entry.session,
        _ => SessionHash([0; 32]),
    };
    let evidence = Evidence::key_request(&session.0, &document, b"a request").expect("evidence");
    let evidence = SealedEvidence::new(evidence).expect("random bytes");
    let mut entry = sample_release(number);
    if let Entry::Release(entry) = &mut entry {
        entry.evidence = evidence.digest();
    }
    Record {
        entry,
        evidence: vec![evidence],
    }
}

/// Makes a large log and verifies all of it, as `narthex log verify` does.
pub fn large() {
    let folder = tempfile::Builder::new()
        .prefix("narthex-bench-log")
        .tempdir()
        .expect("a folder");
    let mut log = MockLog::create(folder.path(), "bench.example/log", 1).expect("a log");
    let mut bytes = 0;
    for number in 0..LARGE {
        let leaf = sample_release(number).to_leaf().expect("an entry");
        bytes += leaf.len() as u64;
        log.append_leaf(&leaf).expect("appended");
    }
    log.publish(1_800_000_000).expect("published");
    let trust = log.trust(1).expect("a policy");
    println!(
        "\nVerification of a log of {LARGE} entries: every entry read strictly, every tile and the root"
    );
    for threads in [1, 2] {
        let begun = Instant::now();
        let reader = LogReader::open(log.folder(), &trust).expect("a log");
        let verified = reader.verify_all(threads, |_, leaf| Entry::from_leaf(leaf).map(|_| ()));
        let verified = verified.expect("it is in order");
        let took = begun.elapsed();
        println!(
            "  {threads} thread{}: {:.2} s, {:.0} entries a second",
            if threads == 1 { " " } else { "s" },
            took.as_secs_f64(),
            verified.size as f64 / took.as_secs_f64()
        );
    }
    let on_disk = walk(folder.path());
    println!(
        "  {:.0} bytes an entry; in files, tiles included, {:.0}",
        bytes as f64 / LARGE as f64,
        on_disk as f64 / LARGE as f64
    );
}

fn size(database: &Path) -> u64 {
    ["", "-wal"]
        .iter()
        .filter_map(|end| std::fs::metadata(format!("{}{end}", database.display())).ok())
        .map(|metadata| metadata.len())
        .sum()
}

fn walk(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).expect("a folder").flatten();
    entries
        .map(|entry| match entry.path() {
            path if path.is_dir() => walk(&path),
            path => std::fs::metadata(path).map_or(0, |metadata| metadata.len()),
        })
        .sum()
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
