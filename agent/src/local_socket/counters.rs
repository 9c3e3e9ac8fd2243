//! The workload's declared counters: the one place where a workload chooses numbers that operators
//! see.
//!
//! A workload that colludes could signal with them, so they are bounded in number (16), range and
//! step (declared in measured configuration) and rate (one change a minute each): a counter carries
//! at most log2((max − min) / step + 1) bits a minute. Names are declared, never sent.

use narthex_channel::diagnostics::{Field, FieldName, Selector, Value};
use narthex_channel::{DeclaredName, UnixMillis};

use super::backend::LocalRefusal;
use crate::config::CounterConfig;
use crate::trusted_time::BootMillis;

/// Shortest time between two changes of one counter.
pub const CHANGE_INTERVAL_MILLIS: u64 = 60_000;
/// Refusals are counted up to here: their number is the workload's choice as well.
const MAX_REFUSALS: u64 = 15;

/// All declared counters. Pure: times are arguments.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    counters: Vec<Counter>,
}

#[derive(Clone, Debug)]
struct Counter {
    name: DeclaredName,
    min: u64,
    max: u64,
    step: u64,
    value: u64,
    changed: Option<(BootMillis, UnixMillis)>,
    refused: u64,
}

impl Counters {
    /// Counters at their smallest values. A declaration whose name the channel would not carry is
    /// left out; the configuration's own check refuses those first.
    pub fn declare(declared: &[CounterConfig]) -> Self {
        let counters = declared
            .iter()
            .filter_map(
                |CounterConfig {
                     name,
                     min,
                     max,
                     step,
                 }| {
                    let name = DeclaredName::new(name).ok()?;
                    let (min, max, step) = (*min, *max, (*step).max(1));
                    Some(Counter {
                        name,
                        min,
                        max,
                        step,
                        value: min,
                        changed: None,
                        refused: 0,
                    })
                },
            )
            .collect();
        Self { counters }
    }

    /// Sets a counter to `value`, rounded down to its step. Setting what it already shows is no
    /// change and always allowed.
    ///
    /// # Errors
    ///
    /// [`LocalRefusal::UnknownCounter`], `OutOfRange` or `TooSoon`; the counter stays as it was.
    pub fn set(
        &mut self,
        name: &str,
        value: u64,
        boot: BootMillis,
        now: UnixMillis,
    ) -> Result<(), LocalRefusal> {
        let counter = self
            .counters
            .iter_mut()
            .find(|counter| counter.name.as_str() == name)
            .ok_or(LocalRefusal::UnknownCounter)?;
        counter.set(value, boot, now).inspect_err(|_| {
            counter.refused = counter.refused.saturating_add(1).min(MAX_REFUSALS);
        })
    }

    /// What the action `counters` returns.
    pub fn fields(&self) -> Vec<Field> {
        self.counters.iter().flat_map(Counter::fields).collect()
    }

    /// The most bits a minute that all counters together can carry, rounded up.
    pub fn bits_per_minute(&self) -> u32 {
        self.counters.iter().map(Counter::bits_per_minute).sum()
    }
}

impl Counter {
    fn set(&mut self, value: u64, boot: BootMillis, now: UnixMillis) -> Result<(), LocalRefusal> {
        if !(self.min..=self.max).contains(&value) {
            return Err(LocalRefusal::OutOfRange);
        }
        let above = value - self.min;
        let rounded = self.min + above - above % self.step;
        if rounded == self.value {
            return Ok(());
        }
        if let Some((last, _)) = self.changed
            && boot.0.saturating_sub(last.0) < CHANGE_INTERVAL_MILLIS
        {
            return Err(LocalRefusal::TooSoon);
        }
        self.value = rounded;
        self.changed = Some((boot, now));
        Ok(())
    }

    fn fields(&self) -> Vec<Field> {
        let field = |name, value| Field {
            name,
            selector: Selector::Declared(self.name.clone()),
            value,
        };
        let mut fields = vec![field(FieldName::CounterValue, Value::Count(self.value))];
        if let Some((_, when)) = self.changed {
            // To the minute: the moment within it would be a number of the workload's choice.
            let minute = when.0 - when.0 % CHANGE_INTERVAL_MILLIS;
            fields.push(field(
                FieldName::CounterChanged,
                Value::Time(UnixMillis(minute)),
            ));
        }
        fields.push(field(FieldName::CounterRefused, Value::Count(self.refused)));
        fields
    }

    fn bits_per_minute(&self) -> u32 {
        let highest = (self.max - self.min) / self.step;
        u64::BITS - highest.leading_zeros()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counters() -> Counters {
        let declare = |name: &str, min, max, step| CounterConfig {
            name: name.to_owned(),
            min,
            max,
            step,
        };
        Counters::declare(&[
            declare("served", 10, 100, 10),
            declare("full", 0, u64::MAX, 1),
        ])
    }

    fn shown(counters: &Counters, name: &str) -> u64 {
        counters
            .fields()
            .into_iter()
            .find_map(|field| match (&field.selector, field.name, field.value) {
                (Selector::Declared(declared), FieldName::CounterValue, Value::Count(value))
                    if declared.as_str() == name =>
                {
                    Some(value)
                }
                _ => None,
            })
            .unwrap()
    }

    #[test]
    fn values_are_rounded_down_to_the_step() {
        let mut counters = counters();
        assert_eq!(shown(&counters, "served"), 10);
        counters
            .set("served", 39, BootMillis(0), UnixMillis(0))
            .unwrap();
        assert_eq!(shown(&counters, "served"), 30);
    }

    #[test]
    fn each_refusal_by_its_own_reason_changes_nothing() {
        let mut counters = counters();
        counters
            .set("served", 50, BootMillis(0), UnixMillis(0))
            .unwrap();
        for (name, value, boot, reason) in [
            ("unknown", 50, 60_000, LocalRefusal::UnknownCounter),
            ("", 50, 60_000, LocalRefusal::UnknownCounter),
            ("served", 9, 60_000, LocalRefusal::OutOfRange),
            ("served", 101, 60_000, LocalRefusal::OutOfRange),
            ("served", 60, 59_999, LocalRefusal::TooSoon),
        ] {
            let refused = counters.set(name, value, BootMillis(boot), UnixMillis(boot));
            assert_eq!(refused, Err(reason), "{name} {value} {boot}");
            assert_eq!(shown(&counters, "served"), 50);
        }
        counters
            .set("served", 60, BootMillis(60_000), UnixMillis(60_000))
            .unwrap();
        assert_eq!(shown(&counters, "served"), 60);
    }

    #[test]
    fn the_same_value_is_no_change() {
        let mut counters = counters();
        counters
            .set("served", 50, BootMillis(0), UnixMillis(0))
            .unwrap();
        counters
            .set("served", 59, BootMillis(1), UnixMillis(1))
            .unwrap();
    }

    #[test]
    fn the_moment_of_a_change_is_shown_to_the_minute() {
        let mut counters = counters();
        counters
            .set("served", 50, BootMillis(0), UnixMillis(3_723_456))
            .unwrap();
        let changed: Vec<_> = counters
            .fields()
            .into_iter()
            .filter(|field| field.name == FieldName::CounterChanged)
            .map(|field| field.value)
            .collect();
        assert_eq!(changed, [Value::Time(UnixMillis(3_720_000))]);
    }

    #[test]
    fn the_bits_a_minute_are_known() {
        // 10 values: 4 bits; all of u64: 64.
        assert_eq!(counters().bits_per_minute(), 68);
    }
}
