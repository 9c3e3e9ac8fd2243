//! A call, and its answer.

use super::ResultBody;
use crate::codec::{Message, MessageError, Reader, Writer};
use crate::limits::{
    MAX_APPROVALS, MAX_CALL_BYTES, MAX_DIAGNOSTICS_CONTENT_BYTES, MAX_LOG_PROOF_BYTES,
    MAX_ORDER_BYTES,
};
use crate::name::ReasonId;
use crate::signature::ArmoredSignature;

/// One request of an operator: the order that allows it, who approved the order, the signed call,
/// and the proof that the order was logged.
///
/// ```text
/// [1, order: bstr, order_signature: tstr, approvals: [* tstr],
///  call: bstr, call_signature: tstr, log_proof: bstr / null]
/// ```
///
/// All of it is untrusted: the supervisor checks signatures, roles, approvals, log proof, replay
/// and that the call names this session's handshake hash.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CallRequest {
    /// The order's exact bytes (a TOML file).
    pub order: Vec<u8>,
    /// The requester's signature over the order.
    pub order_signature: ArmoredSignature,
    /// Approvals over the order, by others.
    pub approvals: Vec<ArmoredSignature>,
    /// The call's exact bytes.
    pub call: Vec<u8>,
    /// The operator's signature over the call.
    pub call_signature: ArmoredSignature,
    /// The proof that the order was logged as accepted.
    pub log_proof: Option<Vec<u8>>,
}

impl CallRequest {
    /// The version of this message.
    pub const VERSION: u64 = 1;
}

impl Message for CallRequest {
    const MAX_BYTES: usize = MAX_DIAGNOSTICS_CONTENT_BYTES;

    fn write(&self, writer: &mut Writer) -> Result<(), MessageError> {
        let Self {
            order,
            order_signature,
            approvals,
            call,
            call_signature,
            log_proof,
        } = self;
        writer.array(7);
        writer.number(Self::VERSION);
        writer.filled_bytes("order", order, MAX_ORDER_BYTES)?;
        writer.text(order_signature.as_str());
        write_approvals(writer, approvals)?;
        writer.filled_bytes("call", call, MAX_CALL_BYTES)?;
        writer.text(call_signature.as_str());
        writer.optional_bytes("log proof", log_proof.as_deref(), MAX_LOG_PROOF_BYTES)
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, MessageError> {
        reader.versioned("call request", 7, Self::VERSION)?;
        Ok(Self {
            order: reader.filled_bytes("order", MAX_ORDER_BYTES)?.to_vec(),
            order_signature: ArmoredSignature::new(reader.text("order signature")?)?,
            approvals: read_approvals(reader)?,
            call: reader.filled_bytes("call", MAX_CALL_BYTES)?.to_vec(),
            call_signature: ArmoredSignature::new(reader.text("call signature")?)?,
            log_proof: reader.optional_bytes("log proof", MAX_LOG_PROOF_BYTES)?,
        })
    }
}

pub(crate) fn write_approvals(
    writer: &mut Writer,
    approvals: &[ArmoredSignature],
) -> Result<(), MessageError> {
    writer.list("approvals", approvals.len(), MAX_APPROVALS)?;
    for approval in approvals {
        writer.text(approval.as_str());
    }
    Ok(())
}

pub(crate) fn read_approvals(
    reader: &mut Reader<'_>,
) -> Result<Vec<ArmoredSignature>, MessageError> {
    let approvals = reader.list("approvals", MAX_APPROVALS)?;
    (0..approvals)
        .map(|_| ArmoredSignature::new(reader.text("approval")?))
        .collect()
}

/// The agent's answer to one [`CallRequest`].
///
/// ```text
/// [1, 0, result_body] / [1, 1, reason: tstr]
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum CallAnswer {
    /// It was done.
    Done(ResultBody),
    /// It was refused, and nothing was done.
    Refused {
        /// Why.
        reason: ReasonId,
    },
}

impl CallAnswer {
    /// The version of this message.
    pub const VERSION: u64 = 1;
}

impl Message for CallAnswer {
    const MAX_BYTES: usize = MAX_DIAGNOSTICS_CONTENT_BYTES;

    fn write(&self, writer: &mut Writer) -> Result<(), MessageError> {
        writer.array(3);
        writer.number(Self::VERSION);
        match self {
            Self::Done(body) => {
                writer.number(0_u8);
                body.write(writer)
            }
            Self::Refused { reason } => {
                writer.number(1_u8);
                writer.text(reason.as_str());
                Ok(())
            }
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, MessageError> {
        reader.versioned("call answer", 3, Self::VERSION)?;
        match reader.u64("call answer")? {
            0 => Ok(Self::Done(ResultBody::read(reader)?)),
            1 => Ok(Self::Refused {
                reason: ReasonId::received(reader.text(ReasonId::PART)?)?,
            }),
            code => Err(MessageError::UnknownCode {
                part: "call answer",
                code,
            }),
        }
    }
}
