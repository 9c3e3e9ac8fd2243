//! What the service counts, in Prometheus' text format.
//!
//! Labels come from closed lists of reasons, so their number is bounded, whatever peers send.

use std::{
    collections::BTreeMap,
    fmt::Write,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use narthex_channel::tokio::ServeSummary;
use narthex_ledger::{EntryKind, Outcome};

use crate::log::LogGauges;

/// Upper bounds of the latency buckets, in microseconds.
const LATENCY_MICROS: [u64; 10] = [
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 500_000, 2_500_000,
];
/// Upper bounds of the group size buckets.
const GROUP_SIZES: [u64; 8] = [1, 2, 4, 8, 16, 64, 256, 4096];

/// All counters of one service.
#[derive(Debug, Default)]
pub struct Metrics {
    decisions: Mutex<BTreeMap<(&'static str, &'static str, String), u64>>,
    group_sizes: Histogram<8>,
    commit_micros: Histogram<10>,
    release_micros: Histogram<10>,
    write_failures: AtomicU64,
    altered_keys: AtomicU64,
    unrecorded_refusals: AtomicU64,
}

/// What is true at the moment of asking.
#[derive(Clone, Debug, Default)]
pub struct Gauges {
    /// Seconds until the bundle in force expires; negative when it has.
    pub policy_expiry_seconds: f64,
    /// Version of the bundle in force.
    pub bundle_version: u64,
    /// Name, version, and seconds until expiry of each release statement that is not revoked.
    pub releases: Vec<(String, String, f64)>,
    /// Whether the service would answer a key request.
    pub ready: bool,
    /// How it stands with the log.
    pub log: LogGauges,
    /// What is listened for, where, and what that listener has seen.
    pub listeners: Vec<(&'static str, String, ServeSummary)>,
}

impl Metrics {
    /// A decision was made.
    pub fn decided(&self, kind: EntryKind, outcome: Outcome, reason: &str) {
        let key = (kind.as_str(), outcome.as_str(), reason.to_owned());
        *lock(&self.decisions).entry(key).or_default() += 1;
    }

    /// A refusal was counted and not recorded by itself.
    pub fn unrecorded(&self) {
        self.unrecorded_refusals.fetch_add(1, Ordering::Relaxed);
    }

    /// A group of jobs became durable.
    pub fn group_written(&self, jobs: usize, took: Duration) {
        self.group_sizes.observe(&GROUP_SIZES, jobs as u64);
        self.commit_micros.observe(&LATENCY_MICROS, micros(took));
    }

    /// A group of jobs was lost.
    pub fn write_failed(&self) {
        self.write_failures.fetch_add(1, Ordering::Relaxed);
    }

    /// A key request was answered, one way or the other, `took` after it had arrived whole.
    pub fn release_answered(&self, took: Duration) {
        self.release_micros.observe(&LATENCY_MICROS, micros(took));
    }

    /// So many key rows were found altered.
    pub fn altered_keys(&self, count: u64) {
        self.altered_keys.store(count, Ordering::Relaxed);
    }

    /// The page for Prometheus.
    #[must_use]
    pub fn render(&self, gauges: &Gauges) -> String {
        let mut page = Page::default();
        self.render_gauges(&mut page, gauges);
        page.head(
            "narthex_decisions_total",
            "counter",
            "Decisions by kind, outcome and reason.",
        );
        for ((kind, outcome, reason), count) in lock(&self.decisions).iter() {
            let labels = format!("{{kind=\"{kind}\",outcome=\"{outcome}\",reason=\"{reason}\"}}");
            page.line("narthex_decisions_total", &labels, count);
        }
        page.head(
            "narthex_refusals_unrecorded_total",
            "counter",
            "Refusals that only summaries record.",
        );
        page.line(
            "narthex_refusals_unrecorded_total",
            "",
            self.unrecorded_refusals.load(Ordering::Relaxed),
        );
        page.head(
            "narthex_altered_key_rows",
            "gauge",
            "Key rows that are not what the service wrote.",
        );
        page.line(
            "narthex_altered_key_rows",
            "",
            self.altered_keys.load(Ordering::Relaxed),
        );
        page.head(
            "narthex_write_failures_total",
            "counter",
            "Groups of entries that could not be made durable.",
        );
        page.line(
            "narthex_write_failures_total",
            "",
            self.write_failures.load(Ordering::Relaxed),
        );
        page.histogram(
            "narthex_group_decisions",
            "Jobs made durable with one write.",
            &self.group_sizes,
            &GROUP_SIZES,
            1.0,
        );
        page.histogram(
            "narthex_commit_seconds",
            "Time to make a group durable.",
            &self.commit_micros,
            &LATENCY_MICROS,
            1e6,
        );
        page.histogram(
            "narthex_release_seconds",
            "Time from a whole key request to its answer.",
            &self.release_micros,
            &LATENCY_MICROS,
            1e6,
        );
        page.0
    }

    fn render_gauges(&self, page: &mut Page, gauges: &Gauges) {
        let Gauges {
            policy_expiry_seconds,
            bundle_version,
            releases,
            ready,
            log,
            listeners,
        } = gauges;
        log.render(&mut page.0);
        page.head("narthex_ready", "gauge", "1: key requests are answered.");
        page.line("narthex_ready", "", u8::from(*ready));
        page.head(
            "narthex_bundle_version",
            "gauge",
            "Version of the bundle in force.",
        );
        page.line("narthex_bundle_version", "", bundle_version);
        page.head(
            "narthex_policy_expiry_seconds",
            "gauge",
            "Seconds until the bundle in force expires.",
        );
        page.line("narthex_policy_expiry_seconds", "", policy_expiry_seconds);
        page.head(
            "narthex_release_expiry_seconds",
            "gauge",
            "Seconds until a release statement expires.",
        );
        for (name, version, seconds) in releases {
            let labels = format!("{{release=\"{name}\",version=\"{version}\"}}");
            page.line("narthex_release_expiry_seconds", &labels, seconds);
        }
        let families: [Family; 5] = [
            (
                "narthex_connections_total",
                "counter",
                "Connections accepted.",
                |seen| seen.accepted,
            ),
            (
                "narthex_connections_open",
                "gauge",
                "Connections open now.",
                |seen| seen.open,
            ),
            (
                "narthex_connections_expired_total",
                "counter",
                "Connections that took too long.",
                |seen| seen.expired,
            ),
            (
                "narthex_accept_failures_total",
                "counter",
                "Failed attempts to accept.",
                |seen| seen.failed,
            ),
            (
                "narthex_accept_waits_total",
                "counter",
                "Times that accepting waited because the limit was reached.",
                |seen| seen.waits,
            ),
        ];
        for (family, kind, help, value) in families {
            page.head(family, kind, help);
            for (listener, address, seen) in listeners {
                let labels = format!("{{listener=\"{listener}\",address=\"{address}\"}}");
                page.line(family, &labels, value(seen));
            }
        }
    }
}

/// Name, kind, help, and where the value stands.
type Family = (
    &'static str,
    &'static str,
    &'static str,
    fn(&ServeSummary) -> u64,
);

#[derive(Default)]
struct Page(String);

impl Page {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        // Writing into a string does not fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn line(&mut self, name: &str, labels: &str, value: impl std::fmt::Display) {
        let _ = writeln!(self.0, "{name}{labels} {value}");
    }

    #[allow(clippy::cast_precision_loss)] // Prometheus' numbers are floats.
    fn histogram<const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        histogram: &Histogram<N>,
        bounds: &[u64; N],
        divisor: f64,
    ) {
        self.head(name, "histogram", help);
        let mut below = 0;
        for (bound, bucket) in bounds.iter().zip(&histogram.buckets) {
            below += bucket.load(Ordering::Relaxed);
            let bound = *bound as f64 / divisor;
            self.line(
                &format!("{name}_bucket"),
                &format!("{{le=\"{bound}\"}}"),
                below,
            );
        }
        let count = histogram.count.load(Ordering::Relaxed);
        self.line(&format!("{name}_bucket"), "{le=\"+Inf\"}", count);
        let sum = histogram.sum.load(Ordering::Relaxed) as f64 / divisor;
        self.line(&format!("{name}_sum"), "", sum);
        self.line(&format!("{name}_count"), "", count);
    }
}

#[derive(Debug)]
struct Histogram<const N: usize> {
    buckets: [AtomicU64; N],
    count: AtomicU64,
    sum: AtomicU64,
}

impl<const N: usize> Default for Histogram<N> {
    fn default() -> Self {
        Self {
            buckets: std::array::from_fn(|_| AtomicU64::new(0)),
            count: AtomicU64::new(0),
            sum: AtomicU64::new(0),
        }
    }
}

impl<const N: usize> Histogram<N> {
    fn observe(&self, bounds: &[u64; N], value: u64) {
        let bucket = bounds
            .iter()
            .zip(&self.buckets)
            .find(|(bound, _)| value <= **bound);
        if let Some((_, bucket)) = bucket {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.count.fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(value, Ordering::Relaxed);
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// A panic while counting leaves at worst a wrong count.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_shows_what_was_counted() {
        let metrics = Metrics::default();
        metrics.decided(EntryKind::Release, Outcome::Refused, "key.retired");
        metrics.decided(EntryKind::Release, Outcome::Refused, "key.retired");
        metrics.group_written(3, Duration::from_millis(2));
        let page = metrics.render(&Gauges {
            policy_expiry_seconds: 3600.5,
            bundle_version: 7,
            releases: vec![("shop".to_owned(), "1.0".to_owned(), -1.0)],
            ready: true,
            log: LogGauges {
                size: 12,
                witnesses: vec![("a\"b".to_owned(), true)],
                ..LogGauges::default()
            },
            listeners: vec![(
                "keys",
                "tcp:127.0.0.1:1".to_owned(),
                ServeSummary {
                    accepted: 9,
                    ..ServeSummary::default()
                },
            )],
        });
        for line in [
            "narthex_decisions_total{kind=\"release\",outcome=\"refused\",reason=\"key.retired\"} 2",
            "narthex_policy_expiry_seconds 3600.5",
            "narthex_release_expiry_seconds{release=\"shop\",version=\"1.0\"} -1",
            "narthex_log_size 12",
            "narthex_log_witness_missing{witness=\"a\\\"b\"} 1",
            "narthex_group_decisions_bucket{le=\"2\"} 0",
            "narthex_group_decisions_bucket{le=\"4\"} 1",
            "narthex_commit_seconds_sum 0.002",
            "narthex_connections_total{listener=\"keys\",address=\"tcp:127.0.0.1:1\"} 9",
        ] {
            assert!(page.lines().any(|found| found == line), "{line}\n{page}");
        }
    }
}
