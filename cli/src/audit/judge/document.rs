//! Attestation documents, verified again as of the entry that rests on them.

use std::time::Duration;

use narthex_channel::diagnostics::SessionStatement;
use narthex_policy::{Measurements, Pcr};
use narthex_verifier::{
    AttestationDocument, Expectations, Fields, Parsed, PcrIndex, ReplayAppraised, ReplayAt,
    TrustAnchors, UnixMillis, VerificationContext,
};

use super::moments;
use crate::audit::findings::Fault;
use crate::audit::lineage::{BootBundle, PolicyState};

/// Reads a document.
///
/// # Errors
/// The verifier's reason.
pub(super) fn parse(document: &[u8]) -> Result<Parsed<'_>, Fault> {
    AttestationDocument::parse(document).map_err(|refusal| Fault::from(&refusal))
}

/// Whether the document is genuine and was fresh when the entry was made. What it is bound to is judged apart.
///
/// # Errors
/// The verifier's reason.
pub(super) fn verify(
    parsed: &Parsed<'_>,
    max_age: Duration,
    time: u64,
    anchors: &TrustAnchors,
    context: &mut VerificationContext,
) -> Result<ReplayAppraised, Fault> {
    let user_data = parsed.fields().user_data().unwrap_or_default();
    let expectations = Expectations::builder()
        .user_data(user_data)
        .max_age(max_age)
        .build()
        .map_err(|error| Fault::new("audit.expectations", error))?;
    let mut first = None;
    for moment in moments(time) {
        let at = ReplayAt::Time(UnixMillis::from_millis(moment.0));
        match anchors.verify_and_appraise_replay(parsed, &expectations, at, context) {
            Ok(appraised) => return Ok(appraised),
            Err(refusal) => drop(first.get_or_insert(refusal)),
        }
    }
    Err(first.map_or_else(
        || Fault::new("audit.expectations", "never judged"),
        |refusal| Fault::from(&refusal),
    ))
}

/// Whether an enclave ran in debug mode, where its console is open: AWS then shows zero for the image.
pub(super) fn is_debug(fields: &Fields<'_>) -> bool {
    fields
        .pcr(PcrIndex::IMAGE)
        .is_none_or(|pcr| pcr.iter().all(|byte| *byte == 0))
}

/// PCR0, 1, 2 and 8, as the policy knows releases by.
pub(super) fn measurements(fields: &Fields<'_>) -> Option<Measurements> {
    let register = |index| fields.pcr(index).and_then(to_pcr);
    Some(Measurements {
        pcr0: register(PcrIndex::IMAGE)?,
        pcr1: register(PcrIndex::KERNEL)?,
        pcr2: register(PcrIndex::APPLICATION)?,
        pcr8: register(PcrIndex::SIGNER).filter(|pcr8| *pcr8 != Pcr::ZERO),
    })
}

pub(super) fn to_pcr(bytes: &[u8]) -> Option<Pcr> {
    bytes.try_into().ok().map(Pcr)
}

/// The bundle that the enclave booted with, if the statement agrees with the document about it. The ids are those
/// of the key service.
///
/// # Errors
/// `bundle.pcr16_absent`, `bundle.pcr16_unknown`, `statement.other_enclave`, `statement.other_bundle`.
pub(super) fn booted_with<'s>(
    fields: &Fields<'_>,
    statement: &SessionStatement,
    state: &'s PolicyState,
) -> Result<&'s BootBundle, Fault> {
    let pcr16 = fields
        .pcr(PcrIndex::BUNDLE)
        .ok_or_else(|| Fault::new("bundle.pcr16_absent", "the document shows no PCR16"))?;
    let bundle = state.bundle_of(pcr16).ok_or_else(|| {
        Fault::new(
            "bundle.pcr16_unknown",
            "PCR16 is that of no bundle that was in the log by then",
        )
    })?;
    if statement.module_id.as_str() != fields.module_id() {
        return Err(Fault::new(
            "statement.other_enclave",
            format_args!(
                "the statement is of {}, the document of {}",
                statement.module_id,
                fields.module_id()
            ),
        ));
    }
    if statement.boot_bundle.as_bytes() != bundle.digest.as_bytes() {
        return Err(Fault::new(
            "statement.other_bundle",
            "the statement names another boot bundle than PCR16",
        ));
    }
    Ok(bundle)
}
