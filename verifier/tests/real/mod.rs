//! Finds and describes the genuine documents.

pub(crate) mod changed_bytes;

use std::fmt;
use std::path::{Path, PathBuf};

use narthex_verifier::{CheckId, Digest384, PcrIndex, ReplayAt, UnixMillis};
use serde::Deserialize;

#[derive(Deserialize)]
struct Index {
    document: Vec<Entry>,
}

/// One entry of `index.toml`.
#[derive(Debug, Deserialize)]
pub(crate) struct Entry {
    pub(crate) file: String,
    pub(crate) kind: String,
    pub(crate) outcome: String,
    pub(crate) debug: Option<bool>,
    pub(crate) module_id: Option<String>,
    pub(crate) timestamp_ms: Option<u64>,
    pub(crate) leaf_not_before: Option<String>,
    pub(crate) leaf_not_after: Option<String>,
    pub(crate) replay_at: Option<String>,
    pub(crate) pcr_count: Option<usize>,
    pub(crate) public_key: Option<String>,
    pub(crate) user_data: Option<String>,
    pub(crate) nonce: Option<String>,
    #[serde(flatten)]
    rest: toml::Table,
}

pub(crate) struct Document {
    pub(crate) entry: Entry,
    pub(crate) bytes: Vec<u8>,
}

impl fmt::Display for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.entry.file)
    }
}

impl Document {
    pub(crate) fn is_accepted(&self) -> bool {
        self.entry.outcome == "accepted"
    }

    pub(crate) fn pcr(&self, index: PcrIndex) -> Option<Digest384> {
        let text = self.entry.rest.get(&format!("pcr{}", index.as_u8()))?;
        Some(Digest384::from_hex(text.as_str().unwrap()).unwrap())
    }

    /// The time that the index states; for documents that must be refused, their own timestamp.
    pub(crate) fn replay_at(&self) -> ReplayAt {
        let Some(text) = &self.entry.replay_at else {
            return ReplayAt::DocumentTimestamp;
        };
        let time: toml::value::Datetime = text.parse().unwrap();
        let (date, clock) = (time.date.unwrap(), time.time.unwrap());
        let days = days_from_civil(date.year.into(), date.month.into(), date.day.into());
        let second = u64::from(clock.second.unwrap_or(0));
        let seconds =
            ((days * 24 + u64::from(clock.hour)) * 60 + u64::from(clock.minute)) * 60 + second;
        let millis = u64::from(clock.nanosecond.unwrap_or(0)) / 1_000_000;
        ReplayAt::Time(UnixMillis::from_millis(seconds * 1000 + millis))
    }

    /// The reason for which a document that must be refused is refused in replay. The index says
    /// it in words.
    pub(crate) fn refused_in_replay(&self) -> CheckId {
        match self.entry.file.split('-').take(3).collect::<Vec<_>>()[..] {
            ["fortanix", "tampered", "certificate"] => CheckId::CertificateDer,
            ["fortanix", "tampered", "signature"] => CheckId::CoseSignature,
            ["worldcoin", "bedrock", "damaged"] => CheckId::ChainRoot,
            ["worldcoin", "bedrock", "truncated"] => CheckId::CborTruncated,
            // The payload's length takes in the signature's head and more.
            ["base", "missing", "3"] => CheckId::CoseSignatureSize,
            ["blocky", "nitrite", "self"] => CheckId::CoseUnprotected,
            _ => panic!("{self}: no reason is known"),
        }
    }

    /// And judged live, where a changed signature is not even looked at.
    pub(crate) fn refused_live(&self) -> CheckId {
        match self.refused_in_replay() {
            CheckId::CoseSignature | CheckId::ChainSignature => CheckId::ChainExpired,
            other => other,
        }
    }
}

fn days_from_civil(year: u64, month: u64, day: u64) -> u64 {
    let days_in = |year: u64, month: u64| match month {
        2 if year.is_multiple_of(4) => 29, // Good for 1901 to 2099.
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    let years: u64 = (1970..year)
        .map(|y| if y.is_multiple_of(4) { 366 } else { 365 })
        .sum();
    years + (1..month).map(|m| days_in(year, m)).sum::<u64>() + day - 1
}

/// Every document of the index, or `None` after saying that the test is skipped.
pub(crate) fn documents(test: &str) -> Option<Vec<Document>> {
    let folder = folder();
    let index = folder.join("index.toml");
    let Ok(text) = std::fs::read_to_string(&index) else {
        let required = std::env::var_os("NARTHEX_REQUIRE_REAL_DOCUMENTS");
        assert!(
            required.is_none_or(|value| value != "1"),
            "{} is not there",
            index.display()
        );
        // Straight to standard error: what `eprintln` says in a test that passes, nobody sees.
        let words = format!(
            "SKIPPED {test}: no genuine documents in {}\n",
            folder.display()
        );
        std::io::Write::write_all(&mut std::io::stderr(), words.as_bytes()).unwrap();
        return None;
    };
    let Index { document } = toml::from_str(&text).unwrap();
    assert!(!document.is_empty());
    let read = |entry: Entry| {
        let bytes = std::fs::read(folder.join(&entry.file)).unwrap();
        Document { entry, bytes }
    };
    Some(document.into_iter().map(read).collect())
}

fn folder() -> PathBuf {
    std::env::var_os("NARTHEX_REAL_DOCUMENTS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/real-documents"),
        PathBuf::from,
    )
}
