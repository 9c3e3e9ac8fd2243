//! How it stands with the log, as metrics and `readyz` show it.

use std::fmt::Write;

use super::agreement::Standing;
use crate::{clock::UnixMillis, service::Service};

/// What is true of the log at the moment of asking.
#[derive(Clone, Debug, Default)]
pub struct LogGauges {
    /// Number of entries that are durable.
    pub size: u64,
    /// Number of entries that the witnesses' quorum has cosigned.
    pub cosigned_size: u64,
    /// Seconds since the newest quorum; `None` before the first.
    pub quorum_age_seconds: Option<f64>,
    /// How many witnesses must agree.
    pub quorum: usize,
    /// Whether the quorum is known to be missing, so that nothing is released.
    pub quorum_missing: bool,
    /// Each witness of the bundle in force, and whether it is missing.
    pub witnesses: Vec<(String, bool)>,
    /// Whether the policy answer has a proof that the newest bundle is in force.
    pub current_proved: bool,
}

impl Service {
    pub(crate) fn log_gauges(&self) -> LogGauges {
        let standing = self.log.agreements.standing();
        let agreed = self.log.agreements.newest();
        let now = self.now();
        LogGauges {
            size: self.log.published.borrow().newest.size,
            cosigned_size: agreed.as_ref().map_or(0, |agreed| agreed.size),
            quorum_age_seconds: agreed.as_ref().map(|agreed| seconds_since(agreed.at, now)),
            quorum: standing.quorum,
            quorum_missing: self.log.agreements.is_quorum_missing(),
            witnesses: self.witnesses(&standing),
            current_proved: self.currency().is_some(),
        }
    }

    /// Names of the witnesses that are missing, in words for `readyz`.
    #[must_use]
    pub fn missing_witnesses(&self) -> Vec<String> {
        let standing = self.log.agreements.standing();
        let described = standing.missing.into_iter().map(|(name, trouble)| {
            let words = trouble.unwrap_or_else(|| "has not cosigned yet".to_owned());
            format!("{name}: {words}")
        });
        described.collect()
    }

    fn witnesses(&self, standing: &Standing) -> Vec<(String, bool)> {
        let lineage = self.lineage.get();
        let ledger = lineage.policy().bundle().ledger.as_ref();
        let witnesses = ledger.map_or(&[][..], |ledger| &ledger.witnesses);
        let is_missing = |name: &str| {
            let missing = standing.missing.iter();
            missing
                .into_iter()
                .any(|(missing, trouble)| missing == name && trouble.is_some())
        };
        witnesses
            .iter()
            .map(|witness| (witness.name().to_owned(), is_missing(witness.name())))
            .collect()
    }
}

#[allow(clippy::cast_precision_loss)] // Milliseconds of this age fit into a float's 53 bits.
fn seconds_since(then: UnixMillis, now: UnixMillis) -> f64 {
    now.0.saturating_sub(then.0) as f64 / 1000.0
}

impl LogGauges {
    /// The lines of the page for Prometheus.
    pub(crate) fn render(&self, page: &mut String) {
        let Self {
            size,
            cosigned_size,
            quorum_age_seconds,
            quorum,
            quorum_missing,
            witnesses,
            current_proved,
        } = self;
        let mut gauge = |name: &str, help: &str, value: &dyn std::fmt::Display| {
            // Writing into a string does not fail.
            let _ = writeln!(
                page,
                "# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}"
            );
        };
        gauge("narthex_log_size", "Durable entries of the log.", size);
        gauge(
            "narthex_log_cosigned_size",
            "Entries that the witnesses' quorum has cosigned.",
            cosigned_size,
        );
        if let Some(age) = quorum_age_seconds {
            gauge(
                "narthex_log_quorum_age_seconds",
                "Seconds since the newest quorum.",
                age,
            );
        }
        gauge("narthex_log_quorum", "Witnesses that must agree.", quorum);
        gauge(
            "narthex_log_quorum_missing",
            "1: the quorum is missing, and nothing is released.",
            &u8::from(*quorum_missing),
        );
        gauge(
            "narthex_log_current_proved",
            "1: agents get a proof that the newest bundle is in force.",
            &u8::from(*current_proved),
        );
        let _ = writeln!(
            page,
            "# HELP narthex_log_witness_missing 1: the witness was asked and did not cosign.\n\
             # TYPE narthex_log_witness_missing gauge"
        );
        for (name, missing) in witnesses {
            let name = name.replace('\\', "\\\\").replace('"', "\\\"");
            let missing = u8::from(*missing);
            let _ = writeln!(
                page,
                "narthex_log_witness_missing{{witness=\"{name}\"}} {missing}"
            );
        }
    }
}
