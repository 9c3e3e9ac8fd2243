//! `[ledger]` of the configuration: where the witnesses are, and how long things may take.
//!
//! Who the witnesses are, and how many of them must agree, is the bundle's to say. Here stands only where they are
//! reached; an address that is wrong costs availability and nothing else.

use std::{collections::BTreeMap, time::Duration};

use serde::Deserialize;

use crate::config::ConfigError;

/// Most witnesses that may have an address; a bundle has fewer.
const MAX_WITNESSES: usize = 64;

/// `[ledger]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LedgerConfig {
    /// Where each witness of the bundle is reached, by the name in its key: `http://HOST:PORT/PREFIX` or `unix:PATH`.
    /// A witness without an address is never asked, and the log on stderr says so.
    pub witnesses: BTreeMap<String, String>,
    /// Seconds that one question to a witness may take, 1 to 60. Default 5.
    pub witness_timeout_seconds: u32,
    /// Seconds that an answer waits for the witnesses' quorum before it becomes the refusal `log.quorum`, 1 to 600.
    /// Default 20. After the same time without a quorum nothing is released until there is one again.
    pub quorum_timeout_seconds: u32,
    /// Seconds between two entries that say which bundle is in force, 60 to 43200. Default 3600. Agents that boot
    /// demand one that witnesses saw as the newest entry within 24 hours.
    pub current_seconds: u32,
    /// Days after which evidence is deleted, 1 to 36500. Absent: never. Entries stay, and so do policy files; the
    /// deletion is an entry itself. What is deleted can no longer be verified again by anybody.
    pub evidence_days: Option<u32>,
}

impl Default for LedgerConfig {
    fn default() -> Self {
        Self {
            witnesses: BTreeMap::new(),
            witness_timeout_seconds: 5,
            quorum_timeout_seconds: 20,
            current_seconds: 3600,
            evidence_days: None,
        }
    }
}

impl LedgerConfig {
    /// Checks every bound and address.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let Self {
            witnesses,
            witness_timeout_seconds,
            quorum_timeout_seconds,
            current_seconds,
            evidence_days,
        } = self;
        let bounded = crate::config::bounded;
        let count = u32::try_from(witnesses.len()).unwrap_or(u32::MAX);
        let most = u32::try_from(MAX_WITNESSES).unwrap_or(u32::MAX);
        bounded("number of ledger.witnesses", count, 0, most)?;
        bounded(
            "ledger.witness_timeout_seconds",
            *witness_timeout_seconds,
            1,
            60,
        )?;
        bounded(
            "ledger.quorum_timeout_seconds",
            *quorum_timeout_seconds,
            1,
            600,
        )?;
        bounded("ledger.current_seconds", *current_seconds, 60, 43_200)?;
        if let Some(days) = evidence_days {
            bounded("ledger.evidence_days", *days, 1, 36_500)?;
        }
        Ok(())
    }

    /// `witness_timeout_seconds` as a duration.
    #[must_use]
    pub fn witness_timeout(&self) -> Duration {
        Duration::from_secs(self.witness_timeout_seconds.into())
    }

    /// `quorum_timeout_seconds` as a duration.
    #[must_use]
    pub fn quorum_timeout(&self) -> Duration {
        Duration::from_secs(self.quorum_timeout_seconds.into())
    }
}
