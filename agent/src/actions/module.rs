//! `nsm`, `pcrs` and `attest`: what the Nitro Security Module says.

use narthex_channel::Digest384;
use narthex_channel::diagnostics::{Field, FieldName, Value};
use narthex_nsm::Description;
use narthex_policy::Parameters;

use super::{count, duration};
use crate::module::ModuleCounts;
use crate::supervisor::core::Core;
use crate::supervisor::reason::CallRefusal;
use crate::supervisor::sessions::{Attested, SessionRefusal};

/// The module's description, and how it was used.
pub(super) async fn nsm(core: &Core) -> Result<Vec<Field>, CallRefusal> {
    let description = core.module.describe().await.map_err(|_| nsm_failed())?;
    let Description {
        version_major,
        version_minor,
        version_patch,
        max_pcrs,
        locked_pcrs,
        // Stands in the session statement.
        module_id: _,
        digest: _,
    } = description;
    let ModuleCounts {
        requests,
        failures,
        document_duration,
        document_slowest,
        documents: _,
    } = core.module.counts();
    let number = |name, number: u16| count(name, u64::from(number));
    let locked = u64::try_from(locked_pcrs.len()).unwrap_or(u64::MAX);
    Ok(vec![
        number(FieldName::NsmVersionMajor, version_major),
        number(FieldName::NsmVersionMinor, version_minor),
        number(FieldName::NsmVersionPatch, version_patch),
        number(FieldName::NsmMaxPcrs, max_pcrs),
        count(FieldName::NsmLockedPcrs, locked),
        count(FieldName::NsmRequests, requests),
        count(FieldName::NsmFailures, failures),
        duration(FieldName::NsmDocumentDuration, document_duration),
        duration(FieldName::NsmDocumentSlowest, document_slowest),
    ])
}

/// All registers that are not zero, and whether they are locked.
pub(super) async fn pcrs(core: &Core) -> Result<Vec<Field>, CallRefusal> {
    let indices = (0..narthex_nsm::PCR_COUNT).collect();
    let registers = core
        .module
        .registers(indices)
        .await
        .map_err(|_| nsm_failed())?;
    let mut fields = Vec::new();
    for (index, register) in registers {
        let Ok(value) = <[u8; 48]>::try_from(register.data) else {
            continue;
        };
        let value = Digest384::from_bytes(value);
        if value != Digest384::ZERO {
            fields.push(Field::indexed(
                FieldName::PcrValue,
                index,
                Value::Digest(value),
            ));
        }
        fields.push(Field::indexed(
            FieldName::PcrLocked,
            index,
            Value::Flag(register.locked),
        ));
    }
    Ok(fields)
}

/// The document of this session; with a nonce, a fresh one for the same session that carries it.
pub(super) async fn attest(
    core: &Core,
    connection: u32,
    parameters: Parameters,
) -> Result<Vec<Field>, CallRefusal> {
    let of_session = core
        .authority
        .borrow()
        .session(connection)
        .and_then(|session| session.attested().copied())
        .ok_or(CallRefusal::Session(SessionRefusal::NotAttested))?;
    let attested = match parameters {
        Parameters::Nonce(nonce) => {
            let fresh = core.attest(of_session.binding, Some(nonce.to_vec())).await;
            fresh.map_err(CallRefusal::Session)?.1
        }
        Parameters::None | Parameters::GraceSeconds(_) => of_session,
    };
    let Attested {
        binding,
        document,
        document_bytes,
        timestamp,
    } = attested;
    Ok(vec![
        Field::single(FieldName::AttestDocument, Value::Digest(document)),
        Field::single(FieldName::AttestLength, Value::Bytes(document_bytes)),
        Field::single(FieldName::AttestTime, Value::Time(timestamp)),
        Field::single(FieldName::AttestBinding, Value::Digest(binding)),
        count(FieldName::AttestCount, core.module.counts().documents),
    ])
}

/// A module that does not answer fails the action; within `status` the others still answer.
fn nsm_failed() -> CallRefusal {
    CallRefusal::Session(SessionRefusal::NsmFailed)
}
