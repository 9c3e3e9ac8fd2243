//! What agents say of their own decisions.

use std::time::Duration;

use narthex_channel::diagnostics::{LogCheck, SessionStatement};
use narthex_channel::{HandshakeHash, Label, Message, check_binding};
use narthex_ledger::StatementEntry;
use narthex_verifier::{Fields, VerificationContext};

use super::document::{booted_with, is_debug, measurements, parse, verify};
use super::{Bench, Later};
use crate::audit::check::Check;
use crate::audit::findings::{Fault, Notes};
use crate::audit::lineage::PolicyState;

/// A statement may be handed in until the instance's own certificate has expired.
const MAX_AGE: Duration = Duration::from_secs(3 * 3600);

/// How far an agent had come when it spoke.
#[derive(Clone, Debug)]
pub(crate) struct Spoken {
    /// Enclave and boot.
    pub(crate) boot: (String, [u8; 16]),
    /// The agent's trusted time.
    pub(crate) now: u64,
    /// Decisions that accepted, and that refused.
    pub(crate) decisions: (u64, u64),
    /// Head of the chain of all of them.
    pub(crate) head: [u8; 48],
}

impl Spoken {
    pub(super) fn of(statement: &SessionStatement) -> Self {
        Self {
            boot: (statement.module_id.as_str().to_owned(), statement.boot_id.0),
            now: statement.now.0,
            decisions: (statement.decisions.accepted, statement.decisions.refused),
            head: *statement.chain_head.as_bytes(),
        }
    }
}

pub(super) fn judge(
    bench: &Bench<'_>,
    state: &PolicyState,
    context: &mut VerificationContext,
    entry: &StatementEntry,
    parts: &[Vec<u8>],
    notes: &mut Notes,
) -> Later {
    let [session, document, statement] = parts else {
        notes.fail(
            Check::StatementDocument,
            Fault::new("statement.malformed", "the evidence has not three parts"),
        );
        return Later::Nothing;
    };
    let parsed = match parse(document) {
        Ok(parsed) => parsed,
        Err(fault) => {
            notes.fail(Check::StatementDocument, fault);
            return Later::Nothing;
        }
    };
    let fields = parsed.fields();
    let said = verify(&parsed, MAX_AGE, entry.time, bench.anchors, context)
        .and_then(|_| bound(session, statement, &fields))
        .and_then(|()| {
            let said = SessionStatement::from_bytes(statement)
                .map_err(|error| Fault::new("statement.malformed", error))?;
            known(state, &fields, &said)?;
            Ok(said)
        });
    let said = match said {
        Ok(said) => said,
        Err(fault) => {
            notes.fail(Check::StatementDocument, fault);
            return Later::Nothing;
        }
    };
    notes.pass(Check::StatementDocument);
    notes.put(
        Check::EnclaveMode,
        match is_debug(&fields) {
            false => Ok(()),
            true => Err(Fault::new("enclave.debug", "the document shows debug mode")),
        },
    );
    notes.put(Check::StatementEntry, agrees(entry, session, &said));
    notes.put(
        Check::StatementLogRequired,
        match said.log_check {
            LogCheck::Required => Ok(()),
            // The list may grow; whatever is not this demand is weaker.
            _ => Err(Fault::new(
                "agent.insecure_without_ledger",
                "this agent acts without a proof of the log",
            )),
        },
    );
    Later::Stated(entry.clone(), Spoken::of(&said))
}

fn bound(session: &[u8], statement: &[u8], fields: &Fields<'_>) -> Result<(), Fault> {
    let session: [u8; 32] = session
        .try_into()
        .map_err(|_| Fault::new("binding.length", "the handshake hash has not 32 bytes"))?;
    check_binding(
        Label::DiagnosticsSession,
        &HandshakeHash::from_bytes(session),
        statement,
        fields.user_data().unwrap_or_default(),
    )
    .map_err(|error| Fault::new(error.id(), error))
}

/// The enclave runs a release that the policy knows, revoked ones among them, under a bundle that it knows.
fn known(state: &PolicyState, fields: &Fields<'_>, said: &SessionStatement) -> Result<(), Fault> {
    booted_with(fields, said, state)?;
    let measured = measurements(fields);
    let known = measured.is_some_and(|measured| {
        state.policy.releases().any(|release| {
            let listed = &release.measurements;
            (listed.pcr0, listed.pcr1, listed.pcr2) == (measured.pcr0, measured.pcr1, measured.pcr2)
        })
    });
    match known {
        true => Ok(()),
        false => Err(Fault::new(
            "release.unknown",
            "no release statement has these measurements",
        )),
    }
}

fn agrees(entry: &StatementEntry, session: &[u8], said: &SessionStatement) -> Result<(), Fault> {
    if let Some(person) = entry.submitter {
        // Nothing that was handed in says by whom.
        return Err(Fault::differs("the submitter", person, "nobody"));
    }
    if entry.session.as_bytes().as_slice() != session {
        return Err(Fault::new("entry.differs", "the session is another one"));
    }
    if entry.enclave != said.module_id.as_str() {
        return Err(Fault::differs(
            "the enclave",
            &entry.enclave,
            &said.module_id,
        ));
    }
    if *entry.boot.as_bytes() != said.boot_id.0 {
        return Err(Fault::differs("the boot", entry.boot, said.boot_id));
    }
    let decisions = said.decisions;
    if (entry.accepted, entry.refused) != (decisions.accepted, decisions.refused) {
        return Err(Fault::differs(
            "the decisions",
            format_args!("{} accepted, {} refused", entry.accepted, entry.refused),
            format_args!("{} and {}", decisions.accepted, decisions.refused),
        ));
    }
    if entry.chain_head.as_bytes() != said.chain_head.as_bytes() {
        return Err(Fault::differs(
            "the head of the chain",
            entry.chain_head,
            said.chain_head,
        ));
    }
    let in_force = said.bundle_in_force.digest;
    match entry.bundle.as_bytes() == in_force.as_bytes() {
        true => Ok(()),
        false => Err(Fault::differs(
            "the bundle in force",
            entry.bundle,
            in_force,
        )),
    }
}
