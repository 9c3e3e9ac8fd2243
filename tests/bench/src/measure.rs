//! Measures closures in turn and keeps medians.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// How often every row is measured; the median is shown.
const ROUNDS: usize = 41;

/// One thing to measure.
pub struct Row<'a> {
    /// What the table calls it.
    pub name: String,
    /// Does it once. Whatever it returns keeps the compiler from leaving it out.
    pub work: Box<dyn FnMut() -> bool + 'a>,
    /// How many times in one measurement.
    pub repeat: u32,
}

impl<'a> Row<'a> {
    /// A row.
    pub fn new(name: impl Into<String>, repeat: u32, work: impl FnMut() -> bool + 'a) -> Self {
        Self {
            name: name.into(),
            work: Box::new(work),
            repeat,
        }
    }
}

/// The median CPU time of each row, once, in the rows' order.
pub fn medians(rows: &mut [Row<'_>]) -> Vec<Duration> {
    let mut samples = vec![Vec::with_capacity(ROUNDS); rows.len()];
    for round in 0..=ROUNDS {
        for (row, samples) in rows.iter_mut().zip(&mut samples) {
            let start = thread_cpu_time();
            for _ in 0..row.repeat {
                assert!((row.work)(), "{}: the work failed", row.name);
            }
            let spent = thread_cpu_time().saturating_sub(start);
            // The first round only warms caches up.
            if round > 0 {
                samples.push(spent / row.repeat);
            }
        }
    }
    samples
        .into_iter()
        .map(|mut samples| {
            samples.sort();
            samples[samples.len() / 2]
        })
        .collect()
}

/// Prints rows beside their ratio to `unit`.
pub fn print(title: &str, rows: &[Row<'_>], medians: &[Duration], unit: Duration, unit_name: &str) {
    println!("\n{title} (thread CPU time; ratio to {unit_name})");
    for (row, median) in rows.iter().zip(medians) {
        println!(
            "  {:<46} {:>9.1} us  {:>7.3}",
            row.name,
            median.as_secs_f64() * 1e6,
            median.as_secs_f64() / unit.as_secs_f64()
        );
    }
}

fn thread_cpu_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)
        .map(Duration::from)
        .expect("Linux has a CPU clock for every thread")
}
