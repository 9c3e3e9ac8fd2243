//! One entry, its evidence, and the policy as it was: does the one follow from the others?
//!
//! Whatever needs only these three is judged here, on all threads. What depends on the entries before (states of
//! keys, single use) comes back as [`Later`], and is judged in order.

mod administration;
mod document;
mod order;
mod release;
mod statement;

pub(crate) use administration::Change;
pub(crate) use release::Wanted;
pub(crate) use statement::Spoken;

use std::time::Duration;

use narthex_ledger::{
    AdministrationEntry, Decision, Entry, EvidenceKind, LogError, LogReader, LogReason, LogStore,
    OrderEntry, ReleaseEntry, SaltedEvidence, StatementEntry,
};
use narthex_policy::{SignedOrder, UnixMillis};
use narthex_verifier::{TrustAnchors, VerificationContext};

use super::check::Check;
use super::claim::Gap;
use super::findings::{Fault, Notes};
use super::lineage::PolicyState;

/// A decision is made a moment before its entry is written, and both wait for others in between.
pub(crate) const DECIDED_BEFORE: Duration = Duration::from_secs(5);

/// The entry's time, and a little before it.
fn moments(time: u64) -> [UnixMillis; 2] {
    let at = UnixMillis(time);
    [at, at.saturating_sub(DECIDED_BEFORE)]
}

/// What is left to judge in the order of the entries.
#[derive(Debug)]
pub(crate) enum Later {
    /// Nothing.
    Nothing,
    /// An order for diagnostics was accepted.
    OrderAccepted(OrderEntry),
    /// Keys were released, and the policy says that they may have been.
    Released(ReleaseEntry, Vec<Wanted>, Option<Spoken>),
    /// Keys were refused though the policy granted them: the reason must lie in what was stored.
    ReleaseRefused(ReleaseEntry, Vec<Wanted>, Option<Spoken>),
    /// An administrative call was carried out.
    Administered(AdministrationEntry, Change),
    /// An administrative call was refused though the policy allowed it.
    AdministrationRefused(AdministrationEntry, Change),
    /// An agent spoke.
    Stated(StatementEntry, Spoken),
    /// Evidence is not there: `(time, kind)`. What the entry says stands by itself.
    Absent(u64, EvidenceKind, Box<Entry>),
}

/// What entries are judged with.
pub(crate) struct Bench<'a> {
    /// Who signs documents.
    pub(crate) anchors: &'a TrustAnchors,
    /// Where evidence is.
    pub(crate) reader: &'a LogReader<'a, dyn LogStore + 'a>,
    /// The policy in force, and the one before while it may still have been judged by.
    pub(crate) states: &'a [&'a PolicyState],
}

impl<'a> Bench<'a> {
    /// The policy in force.
    fn state(&self) -> Option<&'a PolicyState> {
        self.states.first().copied()
    }

    /// Whether this bundle may have been in force when a refusal was decided.
    fn knows_bundle(&self, version: u64) -> Result<(), Fault> {
        // Several bundles may have come at once, while the refusal was on its way.
        let [state, before @ ..] = self.states else {
            return Ok(());
        };
        let earlier = || state.bundles.iter().any(|known| known.version == version);
        match state.policy.version() == version || (!before.is_empty() && earlier()) {
            true => Ok(()),
            false => Err(Fault::differs(
                "the bundle in force",
                version,
                state.policy.version(),
            )),
        }
    }
}

/// Judges one entry.
///
/// # Errors
/// When the source cannot be read: there is no verdict then.
pub(crate) fn judge(
    bench: &Bench<'_>,
    context: &mut VerificationContext,
    entry: &Entry,
) -> Result<(Notes, Later), LogError> {
    let mut notes = Notes::default();
    let Some((kind, checks)) = kind_of(entry) else {
        return Ok((notes, Later::Nothing));
    };
    let Some(evidence) = evidence(bench, entry, kind, checks, &mut notes)? else {
        let later = match notes.unverified.is_empty() {
            false => Later::Absent(entry.time(), kind, Box::new(entry.clone())),
            true => Later::Nothing,
        };
        return Ok((notes, later));
    };
    let Some(state) = bench.state() else {
        notes.unverified.extend(checks);
        return Ok((notes, Later::Nothing));
    };
    let parts = evidence.evidence.parts();
    let later = match entry {
        Entry::Order(entry) => order::judge(bench, state, entry, parts, &mut notes),
        Entry::Release(entry) => release::judge(bench, state, context, entry, parts, &mut notes),
        Entry::Administration(entry) => {
            administration::judge(bench, state, entry, parts, &mut notes)
        }
        Entry::Statement(entry) => {
            statement::judge(bench, state, context, entry, parts, &mut notes)
        }
        Entry::Policy(_)
        | Entry::Current(_)
        | Entry::Summary(_)
        | Entry::Purge(_)
        | Entry::Epoch(_)
        | Entry::Restore(_) => Later::Nothing,
    };
    Ok((notes, later))
}

/// What is judged here, by which evidence; and the checks that count as not made when that is gone.
fn kind_of(entry: &Entry) -> Option<(EvidenceKind, &'static [Check])> {
    use Check as C;
    let refused = matches!(entry.decision(), Some(Decision::Refused { .. }));
    let choose = |when_accepted: &'static [Check], when_refused: &'static [Check]| match refused {
        true => when_refused,
        false => when_accepted,
    };
    match entry {
        Entry::Order(_) => Some((
            EvidenceKind::Order,
            choose(
                &[
                    C::OrderAuthorised,
                    C::OrderEntry,
                    C::OrderActions,
                    C::OrderScope,
                ],
                &[C::RefusalOrder],
            ),
        )),
        Entry::Release(_) => Some((
            EvidenceKind::KeyRequest,
            choose(
                &[
                    C::ReleaseDocument,
                    C::ReleaseBinding,
                    C::ReleaseGranted,
                    C::ReleaseEntry,
                    C::ReleaseToEnclave,
                    C::EnclaveMode,
                ],
                &[C::RefusalRelease],
            ),
        )),
        Entry::Administration(_) => Some((
            EvidenceKind::Administration,
            choose(
                &[
                    C::AdministrationAuthorised,
                    C::AdministrationEntry,
                    C::AdministrationNoKey,
                    C::AdministrationState,
                ],
                &[C::RefusalAdministration],
            ),
        )),
        Entry::Statement(_) => Some((
            EvidenceKind::Statement,
            &[
                C::StatementDocument,
                C::StatementEntry,
                C::StatementLogRequired,
                C::EnclaveMode,
            ],
        )),
        Entry::Policy(_)
        | Entry::Current(_)
        | Entry::Summary(_)
        | Entry::Purge(_)
        | Entry::Epoch(_)
        | Entry::Restore(_) => None,
    }
}

/// The entry's evidence, if it is there and is what was recorded.
fn evidence(
    bench: &Bench<'_>,
    entry: &Entry,
    kind: EvidenceKind,
    checks: &[Check],
    notes: &mut Notes,
) -> Result<Option<SaltedEvidence>, LogError> {
    let Some(digest) = entry.evidence().first().copied() else {
        return Ok(None);
    };
    match fetch(bench.reader, &digest, kind)? {
        Fetched::Found(found) => {
            notes.pass(Check::EvidencePresent);
            notes.pass(Check::EvidenceDigest);
            Ok(Some(found))
        }
        Fetched::Altered(fault) => {
            notes.pass(Check::EvidencePresent);
            notes.fail(Check::EvidenceDigest, fault);
            Ok(None)
        }
        Fetched::Absent => {
            notes.unverified.extend(checks);
            Ok(None)
        }
    }
}

/// What became of a look for evidence.
pub(crate) enum Fetched {
    /// It is there, and what was recorded.
    Found(SaltedEvidence),
    /// Something else is there.
    Altered(Fault),
    /// Nothing is there.
    Absent,
}

/// Looks for evidence.
///
/// # Errors
/// When the source cannot be read.
pub(crate) fn fetch(
    reader: &LogReader<'_, dyn LogStore + '_>,
    digest: &narthex_ledger::EvidenceDigest,
    kind: EvidenceKind,
) -> Result<Fetched, LogError> {
    match reader.evidence(digest) {
        Ok(Some(found)) if found.evidence.kind() == kind => Ok(Fetched::Found(found)),
        Ok(Some(found)) => Ok(Fetched::Altered(Fault::differs(
            "the kind of evidence",
            kind,
            found.evidence.kind(),
        ))),
        Ok(None) => Ok(Fetched::Absent),
        Err(error) if matches!(error.reason(), LogReason::Evidence | LogReason::Malformed) => {
            Ok(Fetched::Altered(Fault::from(&error)))
        }
        Err(error) => Err(error),
    }
}

/// Order, signature and approvals, out of evidence.
fn signed_order(parts: &[Vec<u8>]) -> Result<SignedOrder, Fault> {
    let text = |part: &[u8]| {
        String::from_utf8(part.to_vec())
            .map_err(|_| Fault::new("signature.malformed", "a signature is not text"))
    };
    let [order, signature, approvals @ ..] = parts else {
        return Err(Fault::new("file.malformed", "the evidence holds no order"));
    };
    Ok(SignedOrder {
        bytes: order.clone(),
        signature: text(signature)?,
        approvals: approvals
            .iter()
            .map(|approval| text(approval))
            .collect::<Result<_, _>>()?,
    })
}

/// Reasons that lie inside the service: its storage, its load, secrets that are no evidence.
pub(crate) fn is_service_reason(reason: &str) -> bool {
    [
        "service.",
        "storage.",
        "log.",
        "import.",
        "backup.",
        "answer.",
        "administration.",
    ]
    .iter()
    .any(|prefix| reason.starts_with(prefix))
        || reason == "request.recipient_key"
}

/// A refusal that the policy of that moment should have given.
///
/// `found` are the reasons that the evidence gives now, one for each policy and moment that may have counted;
/// `None` stands for no reason at all. `Ok(true)`: agreed. `Ok(false)`: it must be judged by what was stored.
fn refusal_agrees(reason: &str, found: &[Option<Fault>], notes: &mut Notes) -> Result<bool, Fault> {
    if found.iter().flatten().any(|fault| fault.reason == reason) {
        return Ok(true);
    }
    if is_service_reason(reason) {
        notes.gaps.push(Gap::ServiceRefusals);
        return Ok(true);
    }
    match found.iter().any(Option::is_none) {
        true => Ok(false),
        false => Err(Fault::new(
            "refusal.reason",
            format_args!(
                "refused as {reason}; the evidence gives {}",
                found
                    .iter()
                    .flatten()
                    .next()
                    .map_or_else(String::new, |fault| format!(
                        "{}: {}",
                        fault.reason, fault.words
                    ))
            ),
        )),
    }
}

/// A refusal for which there was no reason.
pub(crate) fn groundless(reason: &str) -> Fault {
    Fault::new(
        "refusal.groundless",
        format_args!("refused as {reason}; by its evidence it should have been accepted"),
    )
}
