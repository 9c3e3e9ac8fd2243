//! Judging a request for keys: from bytes to what may be released, or to the reason why not.
//!
//! Steps: the messages decode; the document is bound to this session and these bytes; it verifies and is fresh
//! (live, at the service's clock); the session statement agrees with it; the policy grants every key that is asked for. All
//! keys or none. What a key's stored state has to say comes after, at the writer, in one step
//! with the record of the decision.

use std::{sync::Arc, time::Duration};

use narthex_channel::{
    HandshakeHash, KeyName, Message, RecipientPublicKey,
    diagnostics::{LogCheck, SessionStatement},
    keys::{KeyRequest, KeyRequestEnvelope, KeyWanted},
};
use narthex_ledger::{Decision, Evidence, ReleaseEntry, ReleasedKey, SessionHash};
use narthex_policy::{KeyClaim, Measurements, Pcr};
use narthex_verifier::{
    Appraised, AttestationDocument, Expectations, PcrIndex, TrustAnchors, VerificationContext,
};

use crate::{
    clock::UnixMillis,
    digest::Digest,
    lineage::{Lineage, to_policy_time},
    reason::Reason,
    refusal::Refusal,
    storage::{SealedEvidence, StoreError},
};

/// How old a document may be when the policy has no rule for a key that is asked for; the request is refused
/// all the same, but only after the document is known to be genuine and fresh.
const MAX_AGE_WITHOUT_RULE: Duration = Duration::from_secs(300);

/// What a request is judged against.
pub(crate) struct Bench<'a> {
    /// Who signs documents.
    pub(crate) anchors: &'a TrustAnchors,
    /// The policy in force.
    pub(crate) lineage: &'a Lineage,
    /// The service's clock.
    pub(crate) now: UnixMillis,
}

/// An enclave whose document is genuine, and what it asked with.
#[derive(Clone, Debug)]
pub(crate) struct Asker {
    /// `module_id` of the document.
    pub(crate) module_id: String,
    /// Handshake hash of the session.
    pub(crate) session: HandshakeHash,
    /// Version of the bundle it booted with, when PCR16 is that of a known one.
    pub(crate) boot_bundle: Option<u64>,
    /// Version of the bundle in force here.
    pub(crate) in_force: u64,
    /// Name and version of the release it runs, when known.
    pub(crate) release: Option<String>,
    /// The document, as it came.
    document: Vec<u8>,
    /// The request, as it came.
    request: Vec<u8>,
}

impl Asker {
    /// What it is decided on.
    ///
    /// # Errors
    ///
    /// When it is too large, or the operating system gives no random bytes.
    pub(crate) fn evidence(&self) -> Result<SealedEvidence, StoreError> {
        let session = self.session.as_bytes();
        SealedEvidence::new(Evidence::key_request(
            session,
            &self.document,
            &self.request,
        )?)
    }

    /// What the log says about the decision.
    pub(crate) fn entry(
        &self,
        now: UnixMillis,
        decision: Decision,
        evidence: &SealedEvidence,
        keys: Vec<ReleasedKey>,
        asked: Vec<String>,
    ) -> ReleaseEntry {
        ReleaseEntry {
            time: now.0,
            decision,
            enclave: self.module_id.clone(),
            session: SessionHash(*self.session.as_bytes()),
            evidence: evidence.digest(),
            boot_bundle: self.boot_bundle,
            in_force: self.in_force,
            release: self.release.clone(),
            keys,
            asked,
        }
    }
}

/// A request that the policy grants.
pub(crate) struct Granted {
    /// Who asks.
    pub(crate) asker: Arc<Asker>,
    /// The one-time key to seal to.
    pub(crate) recipient: RecipientPublicKey,
    /// The keys, in the order of the request.
    pub(crate) keys: Vec<GrantedKey>,
}

/// A key that the policy grants.
#[derive(Clone, Debug)]
pub(crate) struct GrantedKey {
    /// Its name.
    pub(crate) name: KeyName,
    /// The version asked for; the newest that may be released when absent.
    pub(crate) version: Option<u32>,
    /// The versions that the policy commits to. Empty: it commits to none, and any may be released.
    pub(crate) commitments: Vec<(u32, Digest)>,
}

/// A request that is refused.
#[derive(Clone, Debug)]
pub(crate) struct Refused {
    /// Why.
    pub(crate) refusal: Refusal,
    /// Who asked, if the document is genuine: then the refusal can be attributed.
    pub(crate) asker: Option<Arc<Asker>>,
    /// The names asked for, if they could be read.
    pub(crate) asked: Vec<String>,
}

/// Judges the content of a key session.
///
/// # Errors
///
/// [`Refused`] with the first rule that does not hold.
pub(crate) fn judge(
    bench: &Bench<'_>,
    context: &mut VerificationContext,
    session: &HandshakeHash,
    content: &[u8],
) -> Result<Granted, Refused> {
    let anonymous = |refusal: Refusal| Refused {
        refusal,
        asker: None,
        asked: Vec::new(),
    };
    let envelope =
        KeyRequestEnvelope::from_bytes(content).map_err(|error| anonymous((&error).into()))?;
    let request = envelope
        .key_request()
        .map_err(|error| anonymous((&error).into()))?;
    let asked: Vec<_> = request
        .keys
        .iter()
        .map(|wanted| wanted.name.to_string())
        .collect();
    let named = |refusal: Refusal| Refused {
        refusal,
        asker: None,
        asked: asked.clone(),
    };
    let appraised = appraise(bench, context, session, &envelope, &request).map_err(named)?;
    let mut asker = describe(bench, session, &appraised, envelope);
    let granted = grant(bench, &appraised, &request, &mut asker);
    let asker = Arc::new(asker);
    match granted {
        Ok(keys) => Ok(Granted {
            asker,
            recipient: request.recipient_key,
            keys,
        }),
        Err(refusal) => Err(Refused {
            refusal,
            asker: Some(asker),
            asked,
        }),
    }
}

fn appraise(
    bench: &Bench<'_>,
    context: &mut VerificationContext,
    session: &HandshakeHash,
    envelope: &KeyRequestEnvelope,
    request: &KeyRequest,
) -> Result<Appraised, Refusal> {
    let parsed = AttestationDocument::parse(&envelope.document).map_err(|error| error.reason())?;
    // First with the channel's words, which say *how* a document belongs elsewhere; the verifier checks the
    // same again, so that what it appraises is bound without this line.
    envelope.check_binding(session, parsed.fields().user_data().unwrap_or_default())?;
    let user_data = KeyRequestEnvelope::user_data(session, &envelope.request);
    let expectations = Expectations::builder()
        .user_data(user_data.as_bytes())
        .max_age(max_age(bench, request))
        .build()
        .map_err(|_| Reason::ServiceInternal)?;
    let now = narthex_verifier::UnixMillis::from_millis(bench.now.0);
    bench
        .anchors
        .verify_and_appraise(&parsed, &expectations, now, context)
        .map_err(|error| error.reason().into())
}

/// The shortest age that any rule of the keys asked for allows.
fn max_age(bench: &Bench<'_>, request: &KeyRequest) -> Duration {
    request
        .keys
        .iter()
        .map(|wanted| {
            policy_name(&wanted.name)
                .and_then(|name| {
                    bench
                        .lineage
                        .policy()
                        .key_rule(&name)
                        .map(|rule| rule.max_document_age)
                })
                .unwrap_or(MAX_AGE_WITHOUT_RULE)
        })
        .min()
        .unwrap_or(MAX_AGE_WITHOUT_RULE)
}

fn describe(
    bench: &Bench<'_>,
    session: &HandshakeHash,
    appraised: &Appraised,
    envelope: KeyRequestEnvelope,
) -> Asker {
    Asker {
        module_id: appraised.module_id().to_owned(),
        session: *session,
        boot_bundle: appraised
            .pcr(PcrIndex::BUNDLE)
            .and_then(|pcr16| bench.lineage.bundle_of(pcr16))
            .map(|bundle| bundle.version),
        in_force: bench.lineage.policy().version(),
        release: None,
        document: envelope.document,
        request: envelope.request,
    }
}

fn grant(
    bench: &Bench<'_>,
    appraised: &Appraised,
    request: &KeyRequest,
    asker: &mut Asker,
) -> Result<Vec<GrantedKey>, Refusal> {
    let pcr16 = appraised
        .pcr(PcrIndex::BUNDLE)
        .and_then(to_pcr)
        .ok_or(Reason::BundleAbsent)?;
    let boot_bundle = bench
        .lineage
        .bundle_of(pcr16.as_bytes())
        .ok_or(Reason::BundleUnknown)?;
    let statement = request
        .session_statement()
        .map_err(|_| Reason::StatementMalformed)?;
    agree(&statement, appraised, &boot_bundle.digest)?;
    let measurements = measurements(appraised)?;
    let policy = bench.lineage.policy();
    let now = to_policy_time(bench.now);
    let in_force = narthex_policy::Digest384(*statement.bundle_in_force.digest.as_bytes());
    let (pcr3, pcr4) = (
        appraised.pcr(PcrIndex::ROLE).and_then(to_pcr),
        appraised.pcr(PcrIndex::INSTANCE).and_then(to_pcr),
    );
    if let Ok(release) = policy.release_for(&measurements, now) {
        asker.release = Some(format!("{} {}", release.name, release.version));
    }
    if statement.log_check != LogCheck::Required {
        return Err(Reason::StatementWithoutLog.into());
    }
    let mut granted = Vec::with_capacity(request.keys.len());
    for KeyWanted { name, version } in &request.keys {
        let policy_name = policy_name(name).ok_or(narthex_policy::Reason::KeyUnknown)?;
        let claim = KeyClaim {
            measurements: &measurements,
            pcr3: pcr3.as_ref(),
            pcr4: pcr4.as_ref(),
            pcr16: &pcr16,
            bundle_in_force: &in_force,
            key: &policy_name,
        };
        policy
            .authorise_key(&claim, now)
            .map_err(|refusal| Refusal::from(&refusal))?;
        let commitments = policy
            .key_rule(&policy_name)
            .map(|rule| rule.commitments.as_slice())
            .unwrap_or_default();
        granted.push(GrantedKey {
            name: name.clone(),
            version: *version,
            commitments: commitments
                .iter()
                .map(|commitment| (commitment.version, Digest(*commitment.sha384.as_bytes())))
                .collect(),
        });
    }
    Ok(granted)
}

/// The statement is the agent's word, bound by the document. Where it repeats what the document proves, it
/// must say the same, or the agent that wrote it is not the one that was measured.
pub(crate) fn agree(
    statement: &SessionStatement,
    appraised: &Appraised,
    boot_bundle: &Digest,
) -> Result<(), Refusal> {
    if statement.module_id.as_str() != appraised.module_id() {
        return Err(Reason::StatementOtherEnclave.into());
    }
    if statement.boot_bundle.as_bytes() != boot_bundle.as_bytes() {
        return Err(Reason::StatementOtherBundle.into());
    }
    Ok(())
}

pub(crate) fn measurements(appraised: &Appraised) -> Result<Measurements, Refusal> {
    let register = |index| {
        appraised
            .pcr(index)
            .and_then(to_pcr)
            .ok_or_else(|| Refusal::from(narthex_policy::Reason::ReleaseUnknown))
    };
    Ok(Measurements {
        pcr0: register(PcrIndex::IMAGE)?,
        pcr1: register(PcrIndex::KERNEL)?,
        pcr2: register(PcrIndex::APPLICATION)?,
        pcr8: appraised
            .pcr(PcrIndex::SIGNER)
            .and_then(to_pcr)
            .filter(|pcr8| *pcr8 != Pcr::ZERO),
    })
}

fn to_pcr(bytes: &[u8]) -> Option<Pcr> {
    bytes.try_into().ok().map(Pcr)
}

fn policy_name(name: &KeyName) -> Option<narthex_policy::KeyName> {
    narthex_policy::KeyName::new(name.as_str()).ok()
}
