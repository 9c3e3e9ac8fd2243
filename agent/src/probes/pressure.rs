//! `pressure`: pressure stall information, `/proc/pressure/*`.

use std::time::Duration;

use narthex_channel::diagnostics::{Field, FieldName, Value};

use super::cpu::parts_per_million;
use super::read_text;
use super::rounding::{ratio, whole_seconds};

/// avg10, avg60, avg300, total.
type Names = [FieldName; 4];

const CPU_SOME: Names = [
    FieldName::PressureCpuSome10,
    FieldName::PressureCpuSome60,
    FieldName::PressureCpuSome300,
    FieldName::PressureCpuSomeTotal,
];
const MEMORY_SOME: Names = [
    FieldName::PressureMemorySome10,
    FieldName::PressureMemorySome60,
    FieldName::PressureMemorySome300,
    FieldName::PressureMemorySomeTotal,
];
const MEMORY_FULL: Names = [
    FieldName::PressureMemoryFull10,
    FieldName::PressureMemoryFull60,
    FieldName::PressureMemoryFull300,
    FieldName::PressureMemoryFullTotal,
];
const IO_SOME: Names = [
    FieldName::PressureIoSome10,
    FieldName::PressureIoSome60,
    FieldName::PressureIoSome300,
    FieldName::PressureIoSomeTotal,
];
const IO_FULL: Names = [
    FieldName::PressureIoFull10,
    FieldName::PressureIoFull60,
    FieldName::PressureIoFull300,
    FieldName::PressureIoFullTotal,
];

pub(super) fn read() -> Vec<Field> {
    let file = |name: &str| read_text(format!("/proc/pressure/{name}"));
    fields(
        file("cpu").as_deref(),
        file("memory").as_deref(),
        file("io").as_deref(),
    )
}

/// The texts of the three files; absent where the kernel has none. What all tasks together wait for
/// on a processor ("full" of cpu) has no meaning for a whole machine.
pub(super) fn fields(cpu: Option<&str>, memory: Option<&str>, io: Option<&str>) -> Vec<Field> {
    let mut fields = Vec::new();
    for (text, kind, names) in [
        (cpu, "some", &CPU_SOME),
        (memory, "some", &MEMORY_SOME),
        (memory, "full", &MEMORY_FULL),
        (io, "some", &IO_SOME),
        (io, "full", &IO_FULL),
    ] {
        fields.extend(
            text.and_then(|text| line(text, kind, names))
                .into_iter()
                .flatten(),
        );
    }
    let available = Value::Flag(!fields.is_empty());
    fields.push(Field::single(FieldName::PressureAvailable, available));
    fields
}

/// `some avg10=0.00 avg60=0.00 avg300=0.00 total=0`; the total in microseconds.
fn line(text: &str, kind: &str, names: &Names) -> Option<[Field; 4]> {
    let rest = text
        .lines()
        .find_map(|line| line.strip_prefix(kind)?.strip_prefix(' '))?;
    let mut parts = rest.split(' ');
    let mut next = |key: &str| parts.next()?.strip_prefix(key)?.strip_prefix('=');
    let [name_10, name_60, name_300, name_total] = *names;
    let mut average = |key: &str, name| {
        let share = parts_per_million(next(key)?, 100)?;
        Some(Field::single(name, Value::Ratio(ratio(share))))
    };
    let averages = [
        average("avg10", name_10)?,
        average("avg60", name_60)?,
        average("avg300", name_300)?,
    ];
    let total = Duration::from_micros(next("total")?.parse().ok()?);
    let [first, second, third] = averages;
    let total = Field::single(name_total, Value::Duration(whole_seconds(total)));
    Some([first, second, third, total])
}

#[cfg(test)]
mod tests {
    use super::*;

    const CPU: &str = "some avg10=24.60 avg60=0.00 avg300=100.00 total=302379730\n\
                       full avg10=0.00 avg60=0.00 avg300=0.00 total=0\n";

    #[test]
    fn shares_and_sums() {
        let values: Vec<_> = fields(Some(CPU), None, None)
            .into_iter()
            .map(|field| field.value)
            .collect();
        assert_eq!(
            values,
            [
                Value::Ratio(240_000),
                Value::Ratio(0),
                Value::Ratio(1_000_000),
                Value::Duration(302_000),
                Value::Flag(true),
            ]
        );
    }

    #[test]
    fn memory_has_both_lines() {
        assert_eq!(fields(None, Some(CPU), None).len(), 9);
    }

    #[test]
    fn a_kernel_without_it_says_so() {
        let absent = [Field::single(
            FieldName::PressureAvailable,
            Value::Flag(false),
        )];
        assert_eq!(fields(None, None, None), absent);
        for text in [
            "",
            "some",
            "some avg10=1",
            "some avg10=x.00 avg60=0.00",
            "full avg10=0.00",
        ] {
            assert_eq!(fields(Some(text), None, None), absent, "{text:?}");
        }
    }
}
