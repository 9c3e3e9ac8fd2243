//! Reading what a mirror has more, and what follows from it, before anything is changed.
//!
//! Every entry is checked against the mirror's checkpoint, every policy file is judged again at the time of its entry,
//! and the checkpoint must have the quorum that the last of those bundles asks for.

use narthex_ledger::{
    Entry, EvidenceDigest, LogError, LogReader, LogReason, LogStore, PolicyEntry, SaltedEvidence,
    SignedNote, TrustedCheckpoint,
};
use narthex_policy::SignedFile;

use super::{super::trust_of, RecoveryError};
use crate::{
    clock::UnixMillis,
    lineage::{AcceptedFile, Lineage, Offered, StatementKind},
    storage::PolicyFile,
};

/// What the mirror holds, once it is known to continue what is here.
pub(super) struct Plan<'m> {
    /// The mirror.
    pub(super) reader: LogReader<'m, dyn LogStore>,
    /// The policy at its end.
    pub(super) lineage: Lineage,
    /// Its newest checkpoint, with the quorum.
    pub(super) head: TrustedCheckpoint,
}

impl<'m> Plan<'m> {
    /// Reads the entries after `here`, our newest checkpoint.
    ///
    /// # Errors
    ///
    /// [`RecoveryError::Mirror`] when the mirror is of another log, does not continue this one, or lacks a policy file;
    /// [`RecoveryError::Policy`].
    pub(super) fn read(
        mirror: &'m (dyn LogStore + 'static),
        here: &SignedNote,
        mut lineage: Lineage,
    ) -> Result<Self, RecoveryError> {
        let trust = trust_of_lineage(&lineage)?;
        let reader = LogReader::open_log_only(mirror, &trust)?;
        let ours = trust.check_log_only(here)?;
        reader.check_extends(&ours).map_err(explain)?;
        for entry in reader.entries(ours.checkpoint().size..reader.size()) {
            let (_, leaf) = entry?;
            if let Entry::Policy(policy) = Entry::from_leaf(&leaf)? {
                (lineage, _) = follow(&reader, lineage, &policy)?;
            }
        }
        let head = trust_of_lineage(&lineage)?.check(reader.head().note())?;
        Ok(Self {
            reader,
            lineage,
            head,
        })
    }
}

/// What is different here must be said in words that help.
fn explain(error: LogError) -> LogError {
    let words = match error.reason() {
        LogReason::Behind => "it holds less than is here: nothing can be caught up with it",
        LogReason::Forked | LogReason::Consistency => {
            "what is here was written after an older copy was put back, and is not in it: put back the copy that \
             nothing was written to, or open a new epoch"
        }
        _ => return error,
    };
    LogError::new(error.reason(), format!("{words} ({})", error.detail()))
}

pub(super) fn trust_of_lineage(lineage: &Lineage) -> Result<narthex_ledger::Trust, LogError> {
    let words = "the bundle in force has no [ledger]";
    let ledger = lineage.ledger();
    trust_of(ledger.ok_or_else(|| LogError::new(LogReason::Policy, words))?)
}

/// The policy after an entry that accepted files, and the files.
///
/// # Errors
///
/// As [`Plan::read`].
pub(super) fn follow<S: LogStore + ?Sized>(
    reader: &LogReader<'_, S>,
    mut lineage: Lineage,
    entry: &PolicyEntry,
) -> Result<(Lineage, Vec<PolicyFile>), RecoveryError> {
    let now = UnixMillis(entry.time);
    let mut files = Vec::new();
    if !entry.decision.is_accepted() {
        return Ok((lineage, files));
    }
    let mut bundles = Vec::new();
    for named in &entry.files {
        let file = signed_file(&evidence(reader, &named.evidence)?)?;
        match named.kind {
            narthex_ledger::PolicyFileKind::Bundle => bundles.push(file),
            narthex_ledger::PolicyFileKind::Release => {
                let offered =
                    lineage.offer(StatementKind::Release, file.bytes, file.signatures, now)?;
                lineage = take(lineage, offered, &mut files);
            }
            narthex_ledger::PolicyFileKind::Stop => {
                let offered =
                    lineage.offer(StatementKind::Stop, file.bytes, file.signatures, now)?;
                lineage = take(lineage, offered, &mut files);
            }
        }
    }
    if !bundles.is_empty() {
        let (next, taken) = lineage.offer_bundles(&bundles, now)?;
        lineage = next;
        files.extend(
            taken
                .into_iter()
                .map(|accepted: AcceptedFile| accepted.file),
        );
    }
    if files.len() == entry.files.len() {
        return Ok((lineage, files));
    }
    let words = "an entry accepts policy files that do not follow from those before it";
    Err(LogError::new(LogReason::Entry, words).into())
}

fn take(lineage: Lineage, offered: Offered, files: &mut Vec<PolicyFile>) -> Lineage {
    match offered {
        Offered::Known => lineage,
        Offered::Accepted { lineage, file } => {
            files.push(file.file);
            *lineage
        }
    }
}

/// Evidence that must be there.
fn evidence<S: LogStore + ?Sized>(
    reader: &LogReader<'_, S>,
    digest: &EvidenceDigest,
) -> Result<SaltedEvidence, LogError> {
    reader.evidence(digest)?.ok_or_else(|| {
        let words = format!("it lacks a policy file (evidence/{digest}), which no log may");
        LogError::new(LogReason::Evidence, words)
    })
}

fn signed_file(evidence: &SaltedEvidence) -> Result<SignedFile, LogError> {
    let wrong = || LogError::new(LogReason::Evidence, "a policy file is none");
    let (bytes, signatures) = evidence.evidence.parts().split_first().ok_or_else(wrong)?;
    let text = |part: &Vec<u8>| String::from_utf8(part.clone()).map_err(|_| wrong());
    Ok(SignedFile {
        bytes: bytes.clone(),
        signatures: signatures.iter().map(text).collect::<Result<_, _>>()?,
    })
}
