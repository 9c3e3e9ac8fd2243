//! Session statements: what an agent says of its own decisions, bound by its document, kept for the auditor.
//!
//! Anybody can run the published image in an enclave of their own and make genuine documents with it, so a statement
//! counts only if it is of a policy and a release that are known here, and only so many of each enclave are taken.

use std::{sync::Arc, time::Duration};

use narthex_channel::{
    HandshakeHash, Label, Message, check_binding, diagnostics::SessionStatement,
};
use narthex_ledger::{
    BootId, Digest384, Entry, EntryKind, Evidence, Outcome, SaltedEvidence, SessionHash,
    StatementEntry,
};
use narthex_verifier::{Appraised, AttestationDocument, Expectations, PcrIndex};

use super::{Wait, submissions::Answered};
use crate::{
    clock::UnixMillis,
    reason::Reason,
    refusal::Refusal,
    release::judge::{agree, measurements},
    service::Service,
    storage::{Mark, Record, Recorded, SealedEvidence, StoreError},
};

/// How old a document may be: as old as it can get before the instance's own certificate has expired.
const MAX_AGE: Duration = Duration::from_secs(3 * 3600);

const KIND: EntryKind = EntryKind::Statement;

/// A statement as it was submitted.
struct Submitted {
    session: HandshakeHash,
    document: Vec<u8>,
    statement: Vec<u8>,
}

impl Service {
    /// Judges a session statement and writes it down. The same one again gets a fresh proof of its entry.
    pub(super) async fn submit_statement(
        self: &Arc<Self>,
        session: HandshakeHash,
        document: Vec<u8>,
        statement: Vec<u8>,
    ) -> Answered {
        let submitted = Submitted {
            session,
            document,
            statement,
        };
        if let Some(recorded) = self.logged_statement(&submitted) {
            return self.prove_entry(&recorded).await;
        }
        self.require_quorum(Wait::ForQuorum)
            .map_err(|refusal| self.counted(KIND, refusal))?;
        let said = self
            .judge_statement(&submitted)
            .map_err(|refusal| self.counted(KIND, refusal))?;
        self.require_room(KIND, said.module_id.as_str())?;
        let record = submitted
            .record(&said, self.now())
            .map_err(|error| self.counted(KIND, &error))?;
        match self
            .store
            // Strangers have genuine statements, too: the last room is not theirs.
            .write(move |writing| match writing.is_nearly_full()? {
                true => Err(StoreError::Full),
                false => writing.record(record),
            })
            .await
        {
            Ok(recorded) => {
                self.metrics.decided(KIND, Outcome::Accepted, "");
                tracing::info!(index = recorded.index, "a session statement was logged");
                self.prove_entry(&recorded).await
            }
            // Another statement of the same session, or this one twice at the same moment.
            Err(StoreError::MarkUsed) => match self.logged_statement(&submitted) {
                Some(recorded) => self.prove_entry(&recorded).await,
                None => Err(self.counted(KIND, Reason::SessionUsed)),
            },
            Err(error) => Err(self.counted(KIND, &error)),
        }
    }

    /// The entry of exactly this statement, if it is there.
    fn logged_statement(&self, submitted: &Submitted) -> Option<Recorded> {
        let mark = Mark::Statement(*submitted.session.as_bytes());
        let recorded = self.log.views.with(|view| view.entry_of(mark)).ok()??;
        let Entry::Statement(entry) = &recorded.entry else {
            return None;
        };
        if !self.log.is_provable(&recorded) {
            return None;
        }
        let stored = self.log.views.with(|view| view.evidence(&entry.evidence));
        let stored = SaltedEvidence::open(&entry.evidence, &stored.ok()??).ok()?;
        let same = stored.evidence == submitted.evidence().ok()?;
        same.then_some(recorded)
    }

    fn judge_statement(&self, submitted: &Submitted) -> Result<SessionStatement, Refusal> {
        let Submitted {
            session,
            document,
            statement,
        } = submitted;
        let parsed = AttestationDocument::parse(document).map_err(|error| error.reason())?;
        let user_data = parsed.fields().user_data().unwrap_or_default();
        check_binding(Label::DiagnosticsSession, session, statement, user_data)?;
        let expectations = Expectations::builder()
            .user_data(user_data)
            .max_age(MAX_AGE)
            .build()
            .map_err(|_| Reason::ServiceInternal)?;
        let now = narthex_verifier::UnixMillis::from_millis(self.now().0);
        let appraised = self
            .contexts
            .with(|context| {
                self.anchors
                    .verify_and_appraise(&parsed, &expectations, now, context)
            })
            .ok_or(Reason::ServiceInternal)?
            .map_err(|error| error.reason())?;
        let said =
            SessionStatement::from_bytes(statement).map_err(|_| Reason::StatementMalformed)?;
        self.require_known(&said, &appraised)?;
        Ok(said)
    }

    /// The policy it booted with and the release it runs are of this project, and the statement says the same.
    fn require_known(&self, said: &SessionStatement, appraised: &Appraised) -> Result<(), Refusal> {
        let lineage = self.lineage.get();
        let pcr16 = appraised
            .pcr(PcrIndex::BUNDLE)
            .ok_or(Reason::BundleAbsent)?;
        let bundle = lineage.bundle_of(pcr16).ok_or(Reason::BundleUnknown)?;
        agree(said, appraised, &bundle.digest)?;
        let measured = measurements(appraised)?;
        // Revoked or expired, too: what such an enclave did is of interest most of all.
        let known = lineage.policy().releases().any(|release| {
            let listed = &release.measurements;
            (listed.pcr0, listed.pcr1, listed.pcr2) == (measured.pcr0, measured.pcr1, measured.pcr2)
        });
        if known {
            Ok(())
        } else {
            Err(narthex_policy::Reason::ReleaseUnknown.into())
        }
    }
}

impl Submitted {
    fn evidence(&self) -> Result<Evidence, narthex_ledger::LogError> {
        Evidence::statement(self.session.as_bytes(), &self.document, &self.statement)
    }

    fn record(&self, said: &SessionStatement, now: UnixMillis) -> Result<Record, StoreError> {
        let evidence = SealedEvidence::new(self.evidence()?)?;
        let entry = StatementEntry {
            time: now.0,
            enclave: said.module_id.as_str().to_owned(),
            boot: BootId(said.boot_id.0),
            session: SessionHash(*self.session.as_bytes()),
            evidence: evidence.digest(),
            accepted: said.decisions.accepted,
            refused: said.decisions.refused,
            chain_head: Digest384(*said.chain_head.as_bytes()),
            bundle: Digest384(*said.bundle_in_force.digest.as_bytes()),
            submitter: None,
        };
        Ok(Record {
            entry: Entry::Statement(entry),
            evidence: vec![evidence],
        })
    }
}
