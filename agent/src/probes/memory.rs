//! `memory`: `/proc/meminfo`, and the workload's control group.

use narthex_channel::diagnostics::{Field, FieldName, Value};

use super::read_text;
use super::rounding::{share, two_bits};
use crate::workload::WorkloadSnapshot;

pub(super) fn read(workload: &WorkloadSnapshot) -> Vec<Field> {
    let mut fields = machine(&read_text("/proc/meminfo").unwrap_or_default());
    fields.extend(of_workload(workload));
    fields
}

pub(super) fn machine(meminfo: &str) -> Vec<Field> {
    let Some(total) = kibibytes(meminfo, "MemTotal") else {
        return Vec::new();
    };
    let sum = |first: Option<u64>, second: Option<u64>| Some(first?.saturating_add(second?));
    let cached = sum(kibibytes(meminfo, "Cached"), kibibytes(meminfo, "Buffers"));
    let mut fields = vec![Field::single(FieldName::MemoryTotal, Value::Bytes(total))];
    for (name, bytes) in [
        (
            FieldName::MemoryAvailable,
            kibibytes(meminfo, "MemAvailable"),
        ),
        (FieldName::MemoryFree, kibibytes(meminfo, "MemFree")),
        (FieldName::MemoryCached, cached),
        (FieldName::MemoryShared, kibibytes(meminfo, "Shmem")),
        (FieldName::MemorySlab, kibibytes(meminfo, "Slab")),
        (
            FieldName::MemoryCommitted,
            kibibytes(meminfo, "Committed_AS"),
        ),
    ] {
        let rounded = bytes.map(|bytes| share(bytes, total));
        fields.extend(rounded.map(|bytes| Field::single(name, Value::Bytes(bytes))));
    }
    fields
}

fn of_workload(workload: &WorkloadSnapshot) -> Vec<Field> {
    let mut fields = Vec::new();
    if let Some(usage) = workload.usage {
        let limit = usage.memory_limit_bytes;
        // Without a limit: in steps of 16 MiB, a 64th of one GiB.
        let whole = limit.unwrap_or(1 << 30);
        for (name, bytes) in [
            (
                FieldName::MemoryWorkload,
                usage.memory_bytes.map(|bytes| share(bytes, whole)),
            ),
            (
                FieldName::MemoryWorkloadPeak,
                usage.memory_peak_bytes.map(|bytes| share(bytes, whole)),
            ),
            (FieldName::MemoryWorkloadLimit, limit),
        ] {
            fields.extend(bytes.map(|bytes| Field::single(name, Value::Bytes(bytes))));
        }
        let hits = usage.memory_limit_hits.map(two_bits);
        let name = FieldName::MemoryWorkloadLimitHits;
        fields.extend(hits.map(|hits| Field::single(name, Value::Count(hits))));
    }
    let kills = Value::Count(two_bits(workload.oom_kills));
    fields.push(Field::single(FieldName::MemoryWorkloadOomKills, kills));
    fields
}

/// The value of a line `Key:   123 kB`, in bytes.
pub(super) fn kibibytes(meminfo: &str, key: &str) -> Option<u64> {
    meminfo.lines().find_map(|line| {
        let value = line
            .strip_prefix(key)?
            .strip_prefix(':')?
            .strip_suffix("kB")?;
        value.trim().parse::<u64>().ok()?.checked_mul(1024)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::ControlGroupUsage;

    fn bytes(fields: &[Field], name: FieldName) -> Option<u64> {
        fields.iter().find_map(|field| match field.value {
            Value::Bytes(bytes) if field.name == name => Some(bytes),
            _ => None,
        })
    }

    #[test]
    fn meminfo_in_64ths_of_the_whole() {
        let meminfo = "MemTotal:       65536000 kB\nMemFree:  1024001 kB\nMemAvailable: 65535999 kB
Buffers: 512000 kB\nCached: 512000 kB\nHugePages_Total:       0\n";
        let fields = machine(meminfo);
        let unit = 1_024_000 * 1024;
        assert_eq!(bytes(&fields, FieldName::MemoryTotal), Some(64 * unit));
        assert_eq!(bytes(&fields, FieldName::MemoryFree), Some(unit));
        assert_eq!(bytes(&fields, FieldName::MemoryAvailable), Some(63 * unit));
        assert_eq!(bytes(&fields, FieldName::MemoryCached), Some(unit));
        assert_eq!(
            bytes(&fields, FieldName::MemoryShared),
            None,
            "absent, not zero"
        );
    }

    #[test]
    fn strange_text_is_no_reading() {
        for text in [
            "",
            "MemTotal",
            "MemTotal:",
            "MemTotal: x kB",
            "MemTotal: -1 kB",
            "\0\0",
        ] {
            assert!(machine(text).is_empty(), "{text:?}");
        }
        let overflow = format!("MemTotal: {} kB", u64::MAX);
        assert!(machine(&overflow).is_empty());
    }

    #[test]
    fn the_workloads_share_is_of_its_limit() {
        let usage = ControlGroupUsage {
            memory_bytes: Some((129 << 20) + 5),
            memory_limit_bytes: Some(128 << 20),
            memory_limit_hits: Some(7),
            ..Default::default()
        };
        let workload = WorkloadSnapshot {
            usage: Some(usage),
            ..Default::default()
        };
        let fields = of_workload(&workload);
        assert_eq!(bytes(&fields, FieldName::MemoryWorkload), Some(128 << 20));
        assert_eq!(
            bytes(&fields, FieldName::MemoryWorkloadLimit),
            Some(128 << 20)
        );
    }
}
