//! `cpu`: `/proc/stat`, `/proc/loadavg`, the workload's control group, and the agent's own
//! processes.

use std::time::Duration;

use narthex_channel::diagnostics::{Field, FieldName, Value};
use nix::unistd::getpid;

use super::rounding::{ratio, whole_seconds};
use super::{processes, read_text};
use crate::workload::WorkloadSnapshot;

/// `USER_HZ`: part of the kernel's interface, and 100 on every architecture that has Nitro
/// Enclaves.
const MILLIS_PER_TICK: u64 = 10;

pub(super) fn read(workload: &WorkloadSnapshot) -> Vec<Field> {
    let mut fields = machine(&read_text("/proc/stat").unwrap_or_default());
    fields.extend(load(&read_text("/proc/loadavg").unwrap_or_default()));
    if let Some(usage) = workload.usage {
        let used = usage.processor_micros.map(Duration::from_micros);
        fields.extend(used.map(|time| duration(FieldName::CpuWorkload, time)));
        let held = usage.throttled_micros.map(Duration::from_micros);
        fields.extend(held.map(|time| duration(FieldName::CpuWorkloadThrottled, time)));
    }
    // The agent, and its children themselves: gate, fetchers and the shepherd, not the workload.
    let own: u64 = processes::stats()
        .filter(|(pid, stat)| *pid == getpid().as_raw() || stat.parent == getpid().as_raw())
        .map(|(_, stat)| stat.ticks)
        .fold(0, u64::saturating_add);
    fields.push(duration(FieldName::CpuAgent, ticks(own)));
    fields
}

pub(super) fn machine(stat: &str) -> Vec<Field> {
    let mut fields = Vec::new();
    let processors = stat.lines().filter_map(|line| line.strip_prefix("cpu"));
    let count = processors.filter(|rest| rest.starts_with(|first: char| first.is_ascii_digit()));
    fields.push(Field::single(
        FieldName::CpuCount,
        Value::Count(u64::try_from(count.count()).unwrap_or(u64::MAX)),
    ));
    let Some(sums) = stat.lines().find_map(|line| line.strip_prefix("cpu ")) else {
        return fields;
    };
    // user nice system idle iowait irq softirq steal (proc_stat(5)); missing ones are of older
    // kernels.
    let sums: Vec<u64> = sums
        .split_whitespace()
        .map_while(|sum| sum.parse().ok())
        .collect();
    let sum = |place: usize| sums.get(place).copied().unwrap_or(0);
    for (name, sum) in [
        (FieldName::CpuUser, sum(0).saturating_add(sum(1))),
        (
            FieldName::CpuSystem,
            sum(2).saturating_add(sum(5)).saturating_add(sum(6)),
        ),
        (FieldName::CpuIdle, sum(3)),
        (FieldName::CpuIoWait, sum(4)),
        (FieldName::CpuSteal, sum(7)),
    ] {
        fields.push(duration(name, ticks(sum)));
    }
    fields
}

pub(super) fn load(loadavg: &str) -> Vec<Field> {
    let names = [
        FieldName::CpuLoad1,
        FieldName::CpuLoad5,
        FieldName::CpuLoad15,
    ];
    names
        .into_iter()
        .zip(loadavg.split(' '))
        .filter_map(|(name, load)| {
            let load = parts_per_million(load, 1)?;
            Some(Field::single(name, Value::Ratio(ratio(load))))
        })
        .collect()
}

/// A decimal fraction with two places, times `factor` parts per million of `1/factor`: exact,
/// without floating point. `None` when it is no such number or does not fit.
pub(super) fn parts_per_million(text: &str, percent_of: u32) -> Option<u32> {
    let (whole, hundredths) = text.split_once('.')?;
    if hundredths.len() != 2 || !hundredths.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let whole: u32 = whole.parse().ok()?;
    let hundredths: u32 = hundredths.parse().ok()?;
    let all = whole.checked_mul(100)?.checked_add(hundredths)?;
    all.checked_mul(10_000 / percent_of.max(1))
}

fn ticks(ticks: u64) -> Duration {
    Duration::from_millis(ticks.saturating_mul(MILLIS_PER_TICK))
}

fn duration(name: FieldName, time: Duration) -> Field {
    Field::single(name, Value::Duration(whole_seconds(time)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(fields: &[Field], name: FieldName) -> Option<Value> {
        fields
            .iter()
            .find(|field| field.name == name)
            .map(|field| field.value)
    }

    #[test]
    fn sums_of_all_processors() {
        let stat = "cpu  1000 250 300 4000 99 100 100 500 0 0\ncpu0 1 2 3\ncpu1 4 5 6\nintr 5\n";
        let fields = machine(stat);
        assert_eq!(value(&fields, FieldName::CpuCount), Some(Value::Count(2)));
        assert_eq!(
            value(&fields, FieldName::CpuUser),
            Some(Value::Duration(12_000))
        );
        assert_eq!(
            value(&fields, FieldName::CpuSystem),
            Some(Value::Duration(5_000))
        );
        assert_eq!(
            value(&fields, FieldName::CpuIdle),
            Some(Value::Duration(40_000))
        );
        assert_eq!(
            value(&fields, FieldName::CpuIoWait),
            Some(Value::Duration(0))
        );
        assert_eq!(
            value(&fields, FieldName::CpuSteal),
            Some(Value::Duration(5_000))
        );
    }

    #[test]
    fn strange_text_is_zero_or_absent() {
        for text in [
            "",
            "cpu",
            "cpu \n",
            "cpu  x y",
            "cpuX 1",
            "cpu  99999999999999999999",
        ] {
            let fields = machine(text);
            assert_eq!(
                value(&fields, FieldName::CpuCount),
                Some(Value::Count(0)),
                "{text:?}"
            );
            assert!(matches!(
                value(&fields, FieldName::CpuUser),
                None | Some(Value::Duration(0))
            ));
        }
    }

    #[test]
    fn load_in_parts_per_million() {
        let fields = load("0.57 1.00 16.25 1/200 4242\n");
        assert_eq!(
            value(&fields, FieldName::CpuLoad1),
            Some(Value::Ratio(570_000))
        );
        assert_eq!(
            value(&fields, FieldName::CpuLoad5),
            Some(Value::Ratio(1_000_000))
        );
        assert_eq!(
            value(&fields, FieldName::CpuLoad15),
            Some(Value::Ratio(16_250_000))
        );
        for text in ["", "x y z", "1 2 3", "1.5", "-1.00", "9999999.00", "1.+1"] {
            assert!(load(text).is_empty(), "{text:?}");
        }
    }
}
