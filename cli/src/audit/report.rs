//! Everything that a report says, whatever it is written in.

use std::time::Duration;

use narthex_ledger::TrustedCheckpoint;
use narthex_verifier::{AnchorKind, TrustAnchors};

use super::activity::Activity;
use super::check::Check;
use super::claim::{Assumption, Claim, Gap, STANDING, Verdict};
use super::findings::{Exception, Findings, Place, Tested};
use super::walk::Walk;
use crate::commands::audit::Arguments;
use crate::log::{OpenLog, People};

/// A report.
pub(crate) struct Report<'a> {
    /// Where the log was read.
    pub(crate) source: &'a str,
    /// The log's name.
    pub(crate) origin: &'a str,
    /// Entries of all epochs together.
    pub(crate) entries: u64,
    /// The signed root.
    pub(crate) root: String,
    /// Who cosigned, when, in seconds.
    pub(crate) cosigned: &'a [(String, u64)],
    /// How many epochs.
    pub(crate) epochs: usize,
    /// The bundle in force at the end: version and SHA-384.
    pub(crate) bundle: Option<(u64, String)>,
    /// The first bundle, and whether it was compared with a digest that the reader brought.
    pub(crate) genesis: Option<(String, bool)>,
    /// The root of documents, in words.
    pub(crate) anchor: String,
    /// Names for pseudonyms, where the reader has a policy.
    pub(crate) people: &'a People,
    /// What was found.
    pub(crate) findings: &'a Findings,
    /// What went on.
    pub(crate) activity: &'a Activity,
    /// What the auditor takes on themselves.
    pub(crate) assumed: Vec<Assumption>,
    /// When the report was made, in milliseconds since 1970.
    pub(crate) made: u64,
    /// How long it took.
    pub(crate) milliseconds: u64,
}

/// What was read.
pub(crate) struct Sources<'a> {
    /// The log.
    pub(crate) log: &'a OpenLog,
    /// Its checkpoint, with the cosignatures that count.
    pub(crate) head: &'a TrustedCheckpoint,
    /// Who signs documents.
    pub(crate) anchors: &'a TrustAnchors,
}

impl<'a> Report<'a> {
    pub(crate) fn new(
        arguments: &Arguments,
        sources: &Sources<'a>,
        walk: &'a Walk<'_>,
        took: Duration,
        made: u64,
    ) -> Self {
        let Sources { log, head, anchors } = *sources;
        let checkpoint = log.head.checkpoint();
        let state = walk.state.as_ref();
        let mut assumed = arguments.assume.clone();
        assumed.sort_unstable();
        assumed.dedup();
        let sha256 = hex::encode(anchors.anchor().sha256());
        Self {
            source: &log.name,
            origin: &checkpoint.origin,
            entries: walk.entries,
            root: checkpoint.root.to_base64(),
            cosigned: head.cosignatures(),
            epochs: log.relying.earlier.len().saturating_add(1),
            bundle: state.map(|state| (state.policy.version(), state.policy.digest().to_string())),
            genesis: state.map(|state| (state.genesis.to_string(), arguments.genesis.is_some())),
            anchor: match anchors.anchor().kind() {
                AnchorKind::Aws => "AWS Nitro Enclaves root G1".to_owned(),
                AnchorKind::InsecureDevelopment => {
                    format!("DEVELOPMENT root given with --root, SHA-256 {sha256}")
                }
                _ => format!("root given with --root, SHA-256 {sha256}"),
            },
            people: &log.relying.people,
            findings: &walk.findings,
            activity: &walk.activity,
            assumed,
            made,
            milliseconds: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        }
    }

    pub(crate) fn verdict(&self, claim: Claim) -> Verdict {
        self.findings.verdict(claim)
    }

    /// The checks of a claim, with what came of them.
    pub(crate) fn checks(&self, claim: Claim) -> Vec<(Check, Tested)> {
        Check::ALL
            .iter()
            .filter(|check| check.claim() == claim)
            .map(|check| (*check, self.findings.check(*check)))
            .collect()
    }

    /// What is not shown about a claim.
    pub(crate) fn gaps(&self, claim: Claim) -> Vec<(Gap, u64)> {
        self.findings
            .open_gaps()
            .filter(|(gap, _)| gap.claims().contains(&claim))
            .collect()
    }

    /// What remains an assumption: id and words.
    pub(crate) fn assumptions(&self) -> Vec<(String, String)> {
        let standing = STANDING
            .iter()
            .map(|(id, words)| ((*id).to_owned(), (*words).to_owned()));
        let assumed = self
            .assumed
            .iter()
            .map(|assumption| (assumption.id().to_owned(), assumption.words().to_owned()));
        assumed.chain(standing).collect()
    }

    /// `12`, or `0/12` where there are several epochs.
    pub(crate) fn place(&self, place: Option<Place>) -> String {
        match place {
            None => "the log".to_owned(),
            Some(place) if self.epochs == 1 => place.index.to_string(),
            Some(place) => format!("{}/{}", place.epoch, place.index),
        }
    }

    /// Words of an exception, with people by name where the reader's policy names them.
    pub(crate) fn words(&self, exception: &Exception) -> String {
        let words = &exception.fault.words;
        let mut named = String::with_capacity(words.len());
        for part in words.split_inclusive([' ', ',', ';', ':', ')']) {
            let end = part.trim_end_matches([' ', ',', ';', ':', ')']).len();
            let (word, rest) = part.split_at_checked(end).unwrap_or((part, ""));
            named.push_str(self.people.name_or_id(word));
            named.push_str(rest);
        }
        named
    }

    /// `no exceptions`, `1 exception`, `n exceptions`.
    pub(crate) fn summary(&self) -> String {
        match self.findings.exceptions() {
            0 => "no exceptions".to_owned(),
            1 => "1 exception".to_owned(),
            count => format!("{count} exceptions"),
        }
    }
}
