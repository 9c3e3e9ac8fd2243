//! How much a workload can say through its declared counters (claim C2).
//!
//! A counter has a declared range and step, and changes at most once a minute: a workload that
//! colludes can send one of `(max - min) / step + 1` values with it per minute, so that many bits.

use serde::Deserialize;

use crate::file::not_toml;
use crate::reason::{Reason, Refusal};

/// A counter as the agent's measured configuration declares it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct DeclaredCounter {
    /// Its name.
    pub name: String,
    /// Lowest value.
    pub min: u64,
    /// Highest value.
    pub max: u64,
    /// Values are `min` plus a multiple of this.
    pub step: u64,
}

impl DeclaredCounter {
    /// Reads the `[[counter]]` tables of an agent's configuration and nothing else in it.
    ///
    /// # Errors
    ///
    /// [`Reason::FileMalformed`]; [`Reason::BundleBound`] for a step of 0 or an empty range.
    pub fn of_agent_configuration(text: &str) -> Result<Vec<Self>, Refusal> {
        #[derive(Deserialize)]
        struct Counters {
            #[serde(default)]
            counter: Vec<DeclaredCounter>,
        }
        let Counters { counter: counters } =
            toml::from_str(text).map_err(|error| not_toml(&error))?;
        match counters
            .iter()
            .find(|counter| counter.step == 0 || counter.min >= counter.max)
        {
            Some(counter) => Err(Refusal::new(
                Reason::BundleBound,
                format!(
                    "counter {:?}: step above 0, and min below max",
                    counter.name
                ),
            )),
            None => Ok(counters),
        }
    }

    /// Bits that this counter can carry per minute: the binary logarithm of its number of values.
    pub fn bits_per_minute(&self) -> f64 {
        let Self {
            name: _,
            min,
            max,
            step,
        } = self;
        let steps = max.saturating_sub(*min).checked_div(*step).unwrap_or(0);
        // A bound for people to read: the rounding of a float does not matter.
        (steps as f64 + 1.0).log2()
    }
}

/// Bits that all of `counters` can carry per minute together.
pub fn bits_per_minute(counters: &[DeclaredCounter]) -> f64 {
    counters.iter().map(DeclaredCounter::bits_per_minute).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_the_logarithm_of_the_values() {
        let text = "[gate]\nlisten = \"x\"\n\
            [[counter]]\nname = \"a\"\nmin = 0\nmax = 255\nstep = 1\n\
            [[counter]]\nname = \"b\"\nmin = 10\nmax = 80\nstep = 10\n";
        let counters = DeclaredCounter::of_agent_configuration(text).unwrap();
        assert_eq!(counters[0].bits_per_minute(), 8.0);
        assert_eq!(counters[1].bits_per_minute(), 3.0);
        assert_eq!(bits_per_minute(&counters), 11.0);
        let full = DeclaredCounter {
            name: "c".into(),
            min: 0,
            max: u64::MAX,
            step: 1,
        };
        assert_eq!(full.bits_per_minute(), 64.0);
    }

    #[test]
    fn refuses_counters_without_values() {
        for line in [
            "min = 0\nmax = 10\nstep = 0",
            "min = 10\nmax = 10\nstep = 1",
        ] {
            let text = format!("[[counter]]\nname = \"a\"\n{line}\n");
            let refusal = DeclaredCounter::of_agent_configuration(&text).unwrap_err();
            assert_eq!(refusal.reason(), Reason::BundleBound);
        }
        let refusal = DeclaredCounter::of_agent_configuration("counter = 1").unwrap_err();
        assert_eq!(refusal.reason(), Reason::FileMalformed);
        assert_eq!(DeclaredCounter::of_agent_configuration(""), Ok(Vec::new()));
    }
}
