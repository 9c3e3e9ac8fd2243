//! Requests for keys: document, binding, policy.

use std::time::Duration;

use narthex_channel::diagnostics::LogCheck;
use narthex_channel::keys::{KeyRequest, KeyRequestEnvelope};
use narthex_channel::{HandshakeHash, Message};
use narthex_ledger::ReleaseEntry;
use narthex_policy::{KeyClaim, KeyName, UnixMillis};
use narthex_verifier::{Fields, PcrIndex, VerificationContext};

use super::document::{booted_with, is_debug, measurements, parse, to_pcr, verify};
use super::statement::Spoken;
use super::{Bench, Later, moments, refusal_agrees};
use crate::audit::check::Check;
use crate::audit::findings::{Fault, Notes};
use crate::audit::lineage::PolicyState;

/// How old a document may be that asks for a key the policy does not know, as the key service has it.
const MAX_AGE_WITHOUT_RULE: Duration = Duration::from_secs(300);

/// A key that was asked for, as the policy of that moment knows it.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    /// Its name.
    pub(crate) name: String,
    /// The version asked for; the newest that may be released when absent.
    pub(crate) version: Option<u32>,
    /// The versions that the policy commits to, if it commits to any.
    pub(crate) commitments: Vec<(u32, [u8; 48])>,
}

/// What stands in the evidence.
struct Asked<'p> {
    session: HandshakeHash,
    document: &'p [u8],
    request_bytes: &'p [u8],
    request: KeyRequest,
}

/// What the document and the policy say about the request.
struct Granted {
    boot_bundle: Option<u64>,
    release: Option<String>,
    outcome: Result<(), Fault>,
}

pub(super) fn judge(
    bench: &Bench<'_>,
    state: &PolicyState,
    context: &mut VerificationContext,
    entry: &ReleaseEntry,
    parts: &[Vec<u8>],
    notes: &mut Notes,
) -> Later {
    let accepted = entry.decision.is_accepted();
    let blame = |check: Check| match accepted {
        true => check,
        false => Check::RefusalRelease,
    };
    let asked = match asked(parts) {
        Ok(asked) => asked,
        Err(fault) => {
            notes.fail(blame(Check::ReleaseBinding), fault);
            return Later::Nothing;
        }
    };
    let parsed = match parse(asked.document) {
        Ok(parsed) => parsed,
        Err(fault) => {
            notes.fail(blame(Check::ReleaseDocument), fault);
            return Later::Nothing;
        }
    };
    let fields = parsed.fields();
    let max_age = max_age(state, &asked.request);
    let genuine = verify(&parsed, max_age, entry.time, bench.anchors, context).map(drop);
    let bound = bound(entry, &asked, &fields);
    let spoken = spoken(&asked, genuine.is_ok() && bound.is_ok());
    let wanted = wanted(state, &asked.request);
    if let Some(reason) = entry.decision.reason() {
        // Only what a genuine document of this session asked for is recorded by itself.
        let said = said_of_refused(bench, entry, &asked, &fields);
        let decided = genuine.and(bound).and(said).and_then(|()| {
            let found: Vec<Option<Fault>> = bench
                .states
                .iter()
                .flat_map(|state| moments(entry.time).map(|at| (state, at)))
                .map(|(state, at)| grant(state, &asked, &fields, at).outcome.err())
                .collect();
            refusal_agrees(reason, &found, notes)
        });
        return match decided {
            Ok(false) => Later::ReleaseRefused(entry.clone(), wanted, spoken),
            outcome => {
                notes.put(Check::RefusalRelease, outcome.map(drop));
                Later::Nothing
            }
        };
    }
    notes.put(Check::ReleaseDocument, genuine);
    notes.put(Check::ReleaseBinding, bound);
    notes.put(
        Check::EnclaveMode,
        match is_debug(&fields) {
            false => Ok(()),
            true => Err(Fault::new("enclave.debug", "the document shows debug mode")),
        },
    );
    notes.put(
        Check::ReleaseToEnclave,
        match entry.enclave == fields.module_id() {
            true => Ok(()),
            false => Err(Fault::differs(
                "the enclave",
                &entry.enclave,
                fields.module_id(),
            )),
        },
    );
    let [at, before] = moments(entry.time);
    let mut granted = grant(state, &asked, &fields, at);
    if granted.outcome.is_err() {
        let earlier = grant(state, &asked, &fields, before);
        if earlier.outcome.is_ok() {
            granted = earlier;
        }
    }
    let says = agrees(state, entry, &asked, &granted);
    notes.put(Check::ReleaseGranted, granted.outcome);
    notes.put(Check::ReleaseEntry, says);
    Later::Released(entry.clone(), wanted, spoken)
}

/// What the entry says about a request that was refused.
fn said_of_refused(
    bench: &Bench<'_>,
    entry: &ReleaseEntry,
    asked: &Asked<'_>,
    fields: &Fields<'_>,
) -> Result<(), Fault> {
    if entry.enclave != fields.module_id() {
        return Err(Fault::differs(
            "the enclave",
            &entry.enclave,
            fields.module_id(),
        ));
    }
    let names = asked.request.keys.iter().map(|wanted| wanted.name.as_str());
    if !names.clone().eq(entry.asked.iter().map(String::as_str)) {
        let names: Vec<&str> = names.collect();
        return Err(Fault::differs(
            "the keys",
            entry.asked.join(", "),
            names.join(", "),
        ));
    }
    bench.knows_bundle(entry.in_force)
}

fn asked(parts: &[Vec<u8>]) -> Result<Asked<'_>, Fault> {
    let [session, document, request] = parts else {
        return Err(Fault::new(
            "request.malformed",
            "the evidence has not three parts",
        ));
    };
    let session: [u8; 32] = session
        .as_slice()
        .try_into()
        .map_err(|_| Fault::new("request.malformed", "the handshake hash has not 32 bytes"))?;
    Ok(Asked {
        session: HandshakeHash::from_bytes(session),
        document,
        request_bytes: request,
        request: KeyRequest::from_bytes(request)
            .map_err(|error| Fault::new("request.malformed", error))?,
    })
}

/// The shortest age that any rule of the keys asked for allows.
fn max_age(state: &PolicyState, request: &KeyRequest) -> Duration {
    let ages = request.keys.iter().map(|wanted| {
        KeyName::new(wanted.name.as_str())
            .ok()
            .and_then(|name| state.policy.key_rule(&name))
            .map_or(MAX_AGE_WITHOUT_RULE, |rule| rule.max_document_age)
    });
    ages.min().unwrap_or(MAX_AGE_WITHOUT_RULE)
}

fn bound(entry: &ReleaseEntry, asked: &Asked<'_>, fields: &Fields<'_>) -> Result<(), Fault> {
    if entry.session.as_bytes() != asked.session.as_bytes() {
        return Err(Fault::differs("the session", entry.session, asked.session));
    }
    let envelope = KeyRequestEnvelope {
        document: Vec::new(),
        request: asked.request_bytes.to_vec(),
    };
    envelope
        .check_binding(&asked.session, fields.user_data().unwrap_or_default())
        .map_err(|error| Fault::new(error.id(), error))
}

fn spoken(asked: &Asked<'_>, trusted: bool) -> Option<Spoken> {
    let statement = asked.request.session_statement().ok()?;
    trusted.then(|| Spoken::of(&statement))
}

fn wanted(state: &PolicyState, request: &KeyRequest) -> Vec<Wanted> {
    let commitments = |name: &str| {
        let name = KeyName::new(name).ok()?;
        let rule = state.policy.key_rule(&name)?;
        let each = rule.commitments.iter();
        Some(
            each.map(|commitment| (commitment.version, *commitment.sha384.as_bytes()))
                .collect(),
        )
    };
    let keys = request.keys.iter();
    keys.map(|wanted| Wanted {
        name: wanted.name.to_string(),
        version: wanted.version,
        commitments: commitments(wanted.name.as_str()).unwrap_or_default(),
    })
    .collect()
}

/// What the policy of that moment says, in the order in which the service asks.
fn grant(state: &PolicyState, asked: &Asked<'_>, fields: &Fields<'_>, at: UnixMillis) -> Granted {
    let mut granted = Granted {
        boot_bundle: fields
            .pcr(PcrIndex::BUNDLE)
            .and_then(|pcr16| state.bundle_of(pcr16))
            .map(|bundle| bundle.version),
        release: None,
        outcome: Ok(()),
    };
    granted.outcome = decide(state, asked, fields, at, &mut granted.release);
    granted
}

fn decide(
    state: &PolicyState,
    asked: &Asked<'_>,
    fields: &Fields<'_>,
    at: UnixMillis,
    release: &mut Option<String>,
) -> Result<(), Fault> {
    let missing = |index: &str| Fault::new("release.unknown", format_args!("no {index}"));
    // In the order in which the service asks, so that the first reason is the same one.
    let pcr16 = fields
        .pcr(PcrIndex::BUNDLE)
        .and_then(to_pcr)
        .ok_or_else(|| Fault::new("bundle.pcr16_absent", "the document shows no PCR16"))?;
    if state.bundle_of(pcr16.as_bytes()).is_none() {
        return Err(Fault::new(
            "bundle.pcr16_unknown",
            "PCR16 is that of no bundle that was in the log by then",
        ));
    }
    let statement = match asked.request.session_statement() {
        Ok(statement) => statement,
        Err(error) => return Err(Fault::new("statement.malformed", error)),
    };
    booted_with(fields, &statement, state)?;
    let measurements = measurements(fields).ok_or_else(|| missing("PCR0, PCR1 or PCR2"))?;
    let in_force = narthex_policy::Digest384(*statement.bundle_in_force.digest.as_bytes());
    let pcr3 = fields.pcr(PcrIndex::ROLE).and_then(to_pcr);
    let pcr4 = fields.pcr(PcrIndex::INSTANCE).and_then(to_pcr);
    if let Ok(found) = state.policy.release_for(&measurements, at) {
        *release = Some(format!("{} {}", found.name, found.version));
    }
    if statement.log_check != LogCheck::Required {
        return Err(Fault::new(
            "statement.without_log",
            "the agent says that it acts without the log",
        ));
    }
    for wanted in &asked.request.keys {
        let name = KeyName::new(wanted.name.as_str())
            .map_err(|_| Fault::new("key.unknown", format_args!("no rule for {}", wanted.name)))?;
        let claim = KeyClaim {
            measurements: &measurements,
            pcr3: pcr3.as_ref(),
            pcr4: pcr4.as_ref(),
            pcr16: &pcr16,
            bundle_in_force: &in_force,
            key: &name,
        };
        state
            .policy
            .authorise_key(&claim, at)
            .map_err(|refusal| Fault::from(&refusal))?;
    }
    Ok(())
}

fn agrees(
    state: &PolicyState,
    entry: &ReleaseEntry,
    asked: &Asked<'_>,
    granted: &Granted,
) -> Result<(), Fault> {
    let text = |version: Option<u64>| {
        version.map_or_else(|| "none".to_owned(), |version| version.to_string())
    };
    if entry.in_force != state.policy.version() {
        return Err(Fault::differs(
            "the bundle in force",
            entry.in_force,
            state.policy.version(),
        ));
    }
    if entry.boot_bundle != granted.boot_bundle {
        return Err(Fault::differs(
            "the boot bundle",
            text(entry.boot_bundle),
            text(granted.boot_bundle),
        ));
    }
    if entry.release != granted.release {
        return Err(Fault::differs(
            "the release",
            entry.release.as_deref().unwrap_or("none"),
            granted.release.as_deref().unwrap_or("none"),
        ));
    }
    let said: Vec<&str> = entry.keys.iter().map(|key| key.name.as_str()).collect();
    let found = asked.request.keys.iter().map(|wanted| wanted.name.as_str());
    let found: Vec<&str> = found.collect();
    match said == found {
        true => Ok(()),
        false => Err(Fault::differs(
            "the keys",
            said.join(", "),
            found.join(", "),
        )),
    }
}
