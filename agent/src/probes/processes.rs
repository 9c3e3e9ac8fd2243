//! `processes`: counts by state. Never a name, an argument or an id.

use std::fs;

use narthex_channel::diagnostics::{Field, FieldName, Value};
use nix::unistd::Pid;

use super::rounding::two_bits;
use super::{read_bytes, read_text};
use crate::platform::process::descendants;
use crate::platform::process_stat::{ProcessStat, ProcessState};

/// `shepherd` is the process id above the workload's, while it runs.
pub(super) fn read(shepherd: Option<u32>) -> Vec<Field> {
    let workload = shepherd
        .and_then(|pid| i32::try_from(pid).ok())
        .map_or(0, |pid| descendants(Pid::from_raw(pid)).len());
    let open_files = open_files(&read_text("/proc/sys/fs/file-nr").unwrap_or_default());
    fields(stats().map(|(_, stat)| stat), workload, open_files)
}

/// Every process that can be seen, by one reading of `/proc`.
pub(super) fn stats() -> impl Iterator<Item = (i32, ProcessStat)> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let stat = ProcessStat::parse(&read_bytes(entry.path().join("stat"))?)?;
            Some((pid, stat))
        })
}

fn fields(
    stats: impl Iterator<Item = ProcessStat>,
    workload: usize,
    open_files: Option<u64>,
) -> Vec<Field> {
    let mut counts = Counts::default();
    for stat in stats {
        counts.add(&stat);
    }
    let Counts {
        total,
        running,
        sleeping,
        blocked,
        stopped,
        zombie,
        threads,
    } = counts;
    let mut fields = vec![
        (FieldName::ProcessesTotal, total),
        (FieldName::ProcessesRunning, running),
        (FieldName::ProcessesSleeping, sleeping),
        (FieldName::ProcessesBlocked, blocked),
        (FieldName::ProcessesStopped, stopped),
        (FieldName::ProcessesZombie, zombie),
        (FieldName::ProcessesThreads, threads),
        (
            FieldName::ProcessesWorkload,
            u64::try_from(workload).unwrap_or(u64::MAX),
        ),
    ];
    fields.extend(open_files.map(|count| (FieldName::ProcessesOpenFiles, count)));
    fields
        .into_iter()
        .map(|(name, count)| Field::single(name, Value::Count(two_bits(count))))
        .collect()
}

#[derive(Default)]
struct Counts {
    total: u64,
    running: u64,
    sleeping: u64,
    blocked: u64,
    stopped: u64,
    zombie: u64,
    threads: u64,
}

impl Counts {
    fn add(&mut self, stat: &ProcessStat) {
        let ProcessStat {
            state,
            parent: _,
            ticks: _,
            threads,
        } = *stat;
        self.total = self.total.saturating_add(1);
        self.threads = self.threads.saturating_add(threads);
        let count = match state {
            ProcessState::Running => &mut self.running,
            ProcessState::Sleeping => &mut self.sleeping,
            ProcessState::Blocked => &mut self.blocked,
            ProcessState::Stopped => &mut self.stopped,
            ProcessState::Ended => &mut self.zombie,
            ProcessState::Other => return,
        };
        *count = count.saturating_add(1);
    }
}

/// `/proc/sys/fs/file-nr`: allocated, unused, most.
pub(super) fn open_files(text: &str) -> Option<u64> {
    text.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_by_state_with_two_bits() {
        let stat = |letter| ProcessStat::parse(format!("1 (x) {letter} 1").as_bytes()).unwrap();
        let states = [
            "R", "S", "S", "S", "S", "S", "I", "I", "D", "T", "t", "Z", "W",
        ]
        .map(stat);
        let values: Vec<_> = fields(states.into_iter(), 5, Some(100))
            .into_iter()
            .map(|field| field.value)
            .collect();
        assert_eq!(values, [12, 1, 6, 1, 2, 1, 0, 4, 96].map(Value::Count));
    }

    #[test]
    fn open_files_are_the_first_number() {
        assert_eq!(open_files("1312\t0\t9223372036854775807\n"), Some(1312));
        assert_eq!(open_files(""), None);
        assert_eq!(open_files("x"), None);
    }
}
