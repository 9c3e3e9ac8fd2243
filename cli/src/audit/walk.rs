//! Through the log, entry by entry, in order: documents and signatures on all threads, the rest one after the other.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use narthex_ledger::tokio::EarlierEpoch;
use narthex_ledger::{
    CurrentEntry, Digest384, Entry, EpochEntry, EvidenceDigest, EvidenceKind, LogError, LogReader,
    LogStore, PolicyEntry, PolicyFile, PolicyFileKind, PurgeEntry, TrustedCheckpoint,
};
use narthex_policy::{SignedFile, UnixMillis};
use narthex_verifier::{AnchorKind, Backend, ChainCache, TrustAnchors, VerificationContext};

use super::account::Account;
use super::activity::Activity;
use super::check::Check;
use super::claim::Gap;
use super::findings::{Fault, Findings, Notes, Place};
use super::judge::{Bench, DECIDED_BEFORE, Fetched, Later, fetch, groundless, judge};
use super::lineage::{PolicyState, take_file};
use crate::log::Progress;

/// Entries that are judged together.
const BATCH: usize = 512;
/// Entries for which starting threads is not worth it.
const ALONE: usize = 8;
/// How far a clock may step back or be ahead.
const CLOCK_MILLIS: u64 = 60_000;
/// How long a refusal may still have been judged by the policy before.
const POLICY_OVERLAP_MILLIS: u64 = 5_000;
/// Chains of documents that are remembered.
const CACHED_CHAINS: usize = 16_384;

/// One tree of the log.
pub(crate) struct Tree<'a> {
    /// Which.
    pub(crate) number: u32,
    /// Where it is.
    pub(crate) store: &'a dyn LogStore,
    /// Its newest checkpoint, checked.
    pub(crate) head: TrustedCheckpoint,
    /// How many of its entries count.
    pub(crate) size: u64,
    /// The epoch before, as the bundle names it.
    pub(crate) before: Option<&'a EarlierEpoch>,
}

/// Evidence that is not there.
struct Absent {
    /// The entry's time.
    time: u64,
    kind: EvidenceKind,
    place: Place,
    /// Whether the entry before rests on the same piece.
    shared: bool,
}

/// Everything that was found so far.
pub(crate) struct Walk<'a> {
    anchors: &'a TrustAnchors,
    genesis: Option<&'a [u8]>,
    contexts: Vec<VerificationContext>,
    /// The policy in force; `None` before the first bundle, and after one that does not hold.
    pub(crate) state: Option<Arc<PolicyState>>,
    /// The policy before, and when it was replaced.
    previous: Option<(Arc<PolicyState>, u64)>,
    account: Account,
    pub(crate) findings: Findings,
    pub(crate) activity: Activity,
    /// Evidence that is not there.
    absent: Vec<Absent>,
    /// The evidence that was last found absent: several entries of one restore share theirs.
    last_absent: Option<EvidenceDigest>,
    /// Until when evidence of a kind was purged.
    purged: BTreeMap<EvidenceKind, u64>,
    /// How many pieces of evidence purges say they deleted, and how many absent ones they explain.
    deleted: u64,
    explained: u64,
    last_time: u64,
    /// Entries of all trees together.
    pub(crate) entries: u64,
}

impl<'a> Walk<'a> {
    pub(crate) fn new(anchors: &'a TrustAnchors, genesis: Option<&'a [u8]>) -> Self {
        let cache = Arc::new(ChainCache::with_capacity(CACHED_CHAINS));
        let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
        let contexts = (0..threads)
            .map(|_| VerificationContext::new(Backend::default()).with_cache(Arc::clone(&cache)))
            .collect();
        let mut findings = Findings::default();
        match anchors.anchor().kind() {
            AnchorKind::Aws => {}
            AnchorKind::InsecureDevelopment => findings.gap(Gap::DevelopmentRoot),
            _ => findings.gap(Gap::OtherRoot),
        }
        if genesis.is_none() {
            findings.gap(Gap::Genesis);
        }
        Self {
            anchors,
            genesis,
            contexts,
            state: None,
            previous: None,
            account: Account::default(),
            findings,
            activity: Activity::default(),
            absent: Vec::new(),
            last_absent: None,
            purged: BTreeMap::new(),
            deleted: 0,
            explained: 0,
            last_time: 0,
            entries: 0,
        }
    }

    /// Goes through one tree.
    ///
    /// # Errors
    /// When entries are not those that the log signed, or the source cannot be read: there is nothing to judge then.
    pub(crate) fn through(
        &mut self,
        tree: &Tree<'_>,
        progress: &mut Progress,
    ) -> Result<(), LogError> {
        let reader = LogReader::at(tree.store, tree.head.clone())?;
        let mut batch = Vec::with_capacity(BATCH);
        for item in reader.entries(0..tree.size) {
            let (index, leaf) = item?;
            let place = Place {
                epoch: tree.number,
                index,
            };
            progress.at("auditing", index, tree.size);
            self.entries += 1;
            self.findings.pass(Check::LogTree);
            let entry = match Entry::from_leaf(&leaf) {
                Ok(entry) => entry,
                Err(error) => {
                    let fault = Fault::from(&error);
                    self.findings.fail(Check::LogEntry, Some(place), fault);
                    continue;
                }
            };
            self.findings.pass(Check::LogEntry);
            if matches!(entry, Entry::Policy(_) | Entry::Epoch(_)) {
                self.batch(&reader, &mut batch)?;
                self.step(&reader, tree, place, &entry)?;
                continue;
            }
            if index == 0 {
                self.begins_wrong(tree, place, &entry);
            }
            batch.push((place, entry));
            if batch.len() >= BATCH {
                self.batch(&reader, &mut batch)?;
            }
        }
        self.batch(&reader, &mut batch)
    }

    /// Judges a batch, in parallel where that pays, then takes the results in order.
    fn batch(
        &mut self,
        reader: &LogReader<'_, dyn LogStore + '_>,
        batch: &mut Vec<(Place, Entry)>,
    ) -> Result<(), LogError> {
        let first_time = batch.first().map_or(0, |(_, entry)| entry.time());
        let previous = self.previous.clone().filter(|(_, until)| {
            self.state.is_some() && first_time.saturating_sub(*until) <= POLICY_OVERLAP_MILLIS
        });
        let state = self.state.clone();
        let states: Vec<&PolicyState> = state
            .iter()
            .map(Arc::as_ref)
            .chain(previous.iter().map(|(state, _)| state.as_ref()))
            .collect();
        let bench = Bench {
            anchors: self.anchors,
            reader,
            states: &states,
        };
        let judged = judge_all(&bench, &mut self.contexts, batch)?;
        for ((place, entry), (notes, later)) in batch.drain(..).zip(judged) {
            self.take(place, &entry, notes, later);
        }
        Ok(())
    }

    fn take(&mut self, place: Place, entry: &Entry, notes: Notes, later: Later) {
        self.seen(place, entry);
        self.findings.take(place, notes);
        if let Later::Absent(time, kind, entry) = &later {
            let digest = entry.evidence().first().copied();
            self.absent.push(Absent {
                time: *time,
                kind: *kind,
                place,
                shared: digest == self.last_absent,
            });
            self.last_absent = digest;
        }
        // Once the policy is lost, states of keys are too: nothing is said about them any more.
        if self.state.is_some() {
            self.account.enter(place, later, &mut self.findings);
        }
        match entry {
            Entry::Current(current) => self.current(place, current),
            Entry::Restore(restore) if self.state.is_some() => {
                self.account.restore(place, restore, &mut self.findings);
            }
            Entry::Purge(purge) => self.purge(place, purge),
            Entry::Summary(summary) => {
                let count = summary
                    .counts
                    .values()
                    .fold(0, |sum: u64, count| sum.saturating_add(*count));
                self.findings.gaps(Gap::SummarisedRefusals, count);
            }
            _ => {}
        }
    }

    /// Evidence was deleted: what is older than the entry says, and not what is yet to come.
    fn purge(&mut self, place: Place, entry: &PurgeEntry) {
        if entry.before > entry.time {
            let fault = Fault::new(
                "log.entry",
                format_args!(
                    "it says that evidence of before {} was deleted at {}",
                    crate::moment::time_text(entry.before),
                    crate::moment::time_text(entry.time)
                ),
            );
            self.findings
                .fail(Check::EvidencePresent, Some(place), fault);
            return;
        }
        self.deleted = self.deleted.saturating_add(entry.count);
        for kind in &entry.kinds {
            let until = self.purged.entry(*kind).or_default();
            *until = entry.before.max(*until);
        }
        self.settle_absent(|time, kind| time < entry.before && entry.kinds.contains(&kind));
    }

    /// What is true of every entry.
    fn seen(&mut self, place: Place, entry: &Entry) {
        self.activity.count(entry);
        let time = entry.time();
        let outcome = match time.saturating_add(CLOCK_MILLIS) < self.last_time {
            false => Ok(()),
            true => Err(Fault::new(
                "log.time",
                format_args!(
                    "it is of {}, an entry before it of {}",
                    crate::moment::time_text(time),
                    crate::moment::time_text(self.last_time)
                ),
            )),
        };
        self.findings.put(Check::LogTime, Some(place), outcome);
        self.last_time = self.last_time.max(time);
    }

    /// The witnesses saw all of it, so all of it was there by then.
    pub(crate) fn not_in_the_future(&mut self, head: &TrustedCheckpoint) {
        let Some(seen) = head.seen_at() else {
            return;
        };
        let seen = seen.saturating_mul(1000);
        if self.last_time > seen.saturating_add(CLOCK_MILLIS) {
            let fault = Fault::new(
                "log.future",
                format_args!(
                    "an entry is of {}, and the witnesses had seen all of the log by {}",
                    crate::moment::time_text(self.last_time),
                    crate::moment::time_text(seen)
                ),
            );
            self.findings.fail(Check::LogTime, None, fault);
        }
    }

    /// A policy entry, or the first entry of a later epoch.
    fn step(
        &mut self,
        reader: &LogReader<'_, dyn LogStore + '_>,
        tree: &Tree<'_>,
        place: Place,
        entry: &Entry,
    ) -> Result<(), LogError> {
        self.seen(place, entry);
        match entry {
            Entry::Policy(policy) => {
                if place.index == 0 && tree.before.is_some() {
                    self.begins_wrong(tree, place, entry);
                }
                self.policy(reader, place, policy)
            }
            Entry::Epoch(epoch) => self.epoch(reader, tree, place, epoch),
            _ => Ok(()),
        }
    }

    fn policy(
        &mut self,
        reader: &LogReader<'_, dyn LogStore + '_>,
        place: Place,
        entry: &PolicyEntry,
    ) -> Result<(), LogError> {
        let at = UnixMillis(entry.time);
        let before = self.state.clone();
        let first = place.epoch == 0 && place.index == 0;
        if before.is_none() && !first {
            return Ok(());
        }
        let mut state = before.clone();
        let mut notes = Notes::default();
        if first && !entry.decision.is_accepted() {
            let fault = Fault::new("log.entry", "the log begins with a bundle that was refused");
            self.findings.fail(Check::PolicyGenesis, Some(place), fault);
            self.findings.gap(Gap::PolicyBroken);
        }
        let mut bundle = false;
        let mut all = true;
        for said in &entry.files {
            let Some(file) = self.file(reader, place, &said.evidence, &mut notes)? else {
                if entry.decision.is_accepted() {
                    // What it said is not known, so nothing after it can be judged without guessing.
                    all = false;
                    state = None;
                    break;
                }
                continue;
            };
            if let Some(reason) = entry.decision.reason() {
                let agreed = refused_well(state.as_deref(), said, &file, at, reason);
                notes.put(Check::PolicySignatures, agreed);
                continue;
            }
            if state.is_none() {
                self.genesis_is_the_one(&file, &mut notes);
            }
            match take_file(state.as_ref(), said, &file, at, &mut notes) {
                Some(next) => {
                    bundle |= said.kind == PolicyFileKind::Bundle;
                    state = Some(next);
                }
                None if said.kind == PolicyFileKind::Bundle => {
                    all = false;
                    state = None;
                    break;
                }
                None => all = false,
            }
        }
        if let (true, true, Some(state)) = (bundle, all, &state) {
            notes.put(Check::PolicyExpired, not_expired(state, at));
        }
        self.findings.take(place, notes);
        if entry.decision.is_accepted() {
            self.put_in_force(state, entry.time);
        }
        Ok(())
    }

    fn put_in_force(&mut self, state: Option<Arc<PolicyState>>, time: u64) {
        match &state {
            None => self.findings.gap(Gap::PolicyBroken),
            Some(state) => {
                for gap in state.gaps() {
                    self.findings.gap_once(gap);
                }
            }
        }
        self.previous = self.state.take().map(|before| (before, time));
        self.state = state;
    }

    fn epoch(
        &mut self,
        reader: &LogReader<'_, dyn LogStore + '_>,
        tree: &Tree<'_>,
        place: Place,
        entry: &EpochEntry,
    ) -> Result<(), LogError> {
        let expected = tree.before.is_some_and(|before| {
            place.index == 0
                && (entry.old_origin.as_str(), entry.old_size, entry.old_root)
                    == (before.log.name(), before.size, before.root)
        });
        let outcome = match expected {
            true => Ok(()),
            false => Err(Fault::new(
                "log.entry",
                "it does not continue the log before as the bundle says",
            )),
        };
        self.findings.put(Check::LogEpoch, Some(place), outcome);
        let mut notes = Notes::default();
        let at = UnixMillis(entry.time);
        let file = self.file(reader, place, &entry.evidence, &mut notes)?;
        let Some(before) = self.state.clone() else {
            self.findings.take(place, notes);
            return Ok(());
        };
        let known = before.policy.digest().as_bytes() == entry.bundle.as_bytes();
        let state = match file {
            _ if known => Some(before),
            None => None,
            Some(file) => {
                let said = PolicyFile {
                    kind: PolicyFileKind::Bundle,
                    sha384: entry.bundle,
                    version: entry.version.to_string(),
                    evidence: entry.evidence,
                    signers: entry.signers.clone(),
                };
                take_file(Some(&before), &said, &file, at, &mut notes)
            }
        };
        if let Some(state) = &state {
            notes.put(Check::PolicyExpired, not_expired(state, at));
        }
        self.findings.take(place, notes);
        self.put_in_force(state, entry.time);
        Ok(())
    }

    /// The first entry of a tree must be a policy entry or an epoch.
    fn begins_wrong(&mut self, tree: &Tree<'_>, place: Place, entry: &Entry) {
        let check = match tree.before {
            Some(_) => Check::LogEpoch,
            None => Check::PolicyGenesis,
        };
        let fault = Fault::new(
            "log.entry",
            format_args!("the log begins with an entry of type {}", entry.kind()),
        );
        self.findings.fail(check, Some(place), fault);
    }

    fn genesis_is_the_one(&self, file: &SignedFile, notes: &mut Notes) {
        let found = file.digest();
        let outcome = match self.genesis {
            Some(expected) if expected != found.as_bytes() => Err(Fault::new(
                "bundle.genesis",
                format_args!("the first bundle in the log is {found}"),
            )),
            Some(_) | None => Ok(()),
        };
        notes.put(Check::PolicyGenesis, outcome);
    }

    /// A policy file out of its evidence.
    fn file(
        &mut self,
        reader: &LogReader<'_, dyn LogStore + '_>,
        place: Place,
        digest: &EvidenceDigest,
        notes: &mut Notes,
    ) -> Result<Option<SignedFile>, LogError> {
        match fetch(reader, digest, EvidenceKind::PolicyFile)? {
            Fetched::Absent => {
                self.absent.push(Absent {
                    time: u64::MAX,
                    kind: EvidenceKind::PolicyFile,
                    place,
                    shared: false,
                });
                notes.unverified.push(Check::PolicySignatures);
                Ok(None)
            }
            Fetched::Altered(fault) => {
                notes.pass(Check::EvidencePresent);
                notes.fail(Check::EvidenceDigest, fault);
                Ok(None)
            }
            Fetched::Found(found) => {
                notes.pass(Check::EvidencePresent);
                notes.pass(Check::EvidenceDigest);
                let mut parts = found.evidence.parts().iter();
                let bytes = parts.next().cloned().unwrap_or_default();
                let signatures = parts.map(|part| String::from_utf8_lossy(part).into_owned());
                Ok(Some(SignedFile {
                    bytes,
                    signatures: signatures.collect(),
                }))
            }
        }
    }

    fn current(&mut self, place: Place, entry: &CurrentEntry) {
        let Some(state) = &self.state else { return };
        let found = (
            Digest384(*state.policy.digest().as_bytes()),
            state.policy.version(),
        );
        let outcome = match (entry.bundle, entry.version) == found {
            true => Ok(()),
            false => Err(Fault::new(
                "log.not_current",
                format_args!(
                    "it names bundle {}; by the entries before, bundle {} is in force",
                    entry.version, found.1
                ),
            )),
        };
        self.findings
            .put(Check::PolicyCurrent, Some(place), outcome);
    }

    /// Absent evidence that an entry explains is no exception.
    fn settle_absent(&mut self, explained: impl Fn(u64, EvidenceKind) -> bool) {
        let (mut settled, mut pieces) = (0, 0);
        self.absent.retain(|absent| {
            let is_explained = explained(absent.time, absent.kind);
            settled += u64::from(is_explained);
            pieces += u64::from(is_explained && !absent.shared);
            !is_explained
        });
        self.explained = self.explained.saturating_add(pieces);
        self.findings.gaps(Gap::PurgedEvidence, settled);
    }

    /// What can only be said at the end.
    pub(crate) fn finish(&mut self) {
        let purged = std::mem::take(&mut self.purged);
        self.settle_absent(|time, kind| purged.get(&kind).is_some_and(|before| time < *before));
        if self.explained > self.deleted {
            let fault = Fault::new(
                "log.evidence",
                format_args!(
                    "{} pieces of evidence are gone that purges could have deleted; the purges say {}",
                    self.explained, self.deleted
                ),
            );
            self.findings.fail(Check::EvidencePresent, None, fault);
        }
        let absent = std::mem::take(&mut self.absent);
        for Absent { kind, place, .. } in &absent {
            let fault = Fault::new(
                "log.evidence",
                format_args!(
                    "its {kind} evidence is not there, and no entry says that it was purged"
                ),
            );
            self.findings
                .fail(Check::EvidencePresent, Some(*place), fault);
        }
        let count = u64::try_from(absent.len()).unwrap_or(u64::MAX);
        self.findings.gaps(Gap::NoEvidence, count);
        let statements = self
            .activity
            .kinds
            .get(&narthex_ledger::EntryKind::Statement);
        if statements.is_none() {
            self.findings.gap(Gap::NoStatements);
        }
        for gap in [Gap::RootKeyFile, Gap::ServiceHost, Gap::ResultTypes] {
            self.findings.gap(gap);
        }
    }
}

/// Whether the bundle may be put in force; it was judged a moment before it was written down.
fn not_expired(state: &PolicyState, at: UnixMillis) -> Result<(), Fault> {
    let judged = at.saturating_sub(DECIDED_BEFORE);
    match state.policy.is_expired(judged) {
        false => Ok(()),
        true => Err(Fault::new(
            "bundle.expired",
            format_args!(
                "bundle {} had expired at {}",
                state.policy.version(),
                state.policy.bundle().expires
            ),
        )),
    }
}

/// A refused policy file must be refused again, for the same reason.
fn refused_well(
    state: Option<&PolicyState>,
    said: &PolicyFile,
    file: &SignedFile,
    at: UnixMillis,
    reason: &str,
) -> Result<(), Fault> {
    let Some(state) = state else { return Ok(()) };
    let refusal = match state.with(said.kind, file, at) {
        Ok(next) => not_expired(&next, at).err(),
        Err(refusal) => Some(Fault::from(&refusal)),
    };
    match refusal {
        Some(fault) if fault.reason == reason => Ok(()),
        Some(fault) => Err(Fault::new(
            "refusal.reason",
            format_args!("refused as {reason}; its evidence gives {}", fault.reason),
        )),
        None => Err(groundless(reason)),
    }
}

type Judged = (Notes, Later);

/// Judges all entries, each by itself.
fn judge_all(
    bench: &Bench<'_>,
    contexts: &mut [VerificationContext],
    batch: &[(Place, Entry)],
) -> Result<Vec<Judged>, LogError> {
    if let (true, Some(context)) = (batch.len() <= ALONE, contexts.first_mut()) {
        let entries = batch.iter();
        return entries
            .map(|(_, entry)| judge(bench, context, entry))
            .collect();
    }
    let next = AtomicUsize::new(0);
    let work = |context: &mut VerificationContext| {
        let mut judged = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some((_, entry)) = batch.get(number) else {
                return Ok(judged);
            };
            judged.push((number, judge(bench, context, entry)?));
        }
    };
    let parts: Vec<Result<Vec<(usize, Judged)>, LogError>> = std::thread::scope(|scope| {
        let threads: Vec<_> = contexts
            .iter_mut()
            .map(|context| scope.spawn(|| work(context)))
            .collect();
        threads
            .into_iter()
            .map(|thread| match thread.join() {
                Ok(part) => part,
                Err(panic) => std::panic::resume_unwind(panic),
            })
            .collect()
    });
    let mut judged = Vec::with_capacity(batch.len());
    for part in parts {
        judged.extend(part?);
    }
    judged.sort_unstable_by_key(|(number, _)| *number);
    Ok(judged.into_iter().map(|(_, judged)| judged).collect())
}
