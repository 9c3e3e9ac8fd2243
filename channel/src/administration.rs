//! Use 3, administration: a person asks the key service to do something with keys.
//!
//! Each [`AdministrationRequest`] is answered by one [`AdministrationAnswer`], in order.

use core::fmt;

use crate::codec::{Message, MessageError, Reader, Writer};
use crate::diagnostics::{read_approvals, write_approvals};
use crate::limits::{
    MAX_ADMINISTRATION_CONTENT_BYTES, MAX_BODY_BYTES, MAX_LOG_PROOF_BYTES, MAX_ORDER_BYTES,
    MAX_PAYLOAD_BYTES,
};
use crate::name::ReasonId;
use crate::secret::SecretBytes;
use crate::signature::ArmoredSignature;

/// One request of an administrator.
///
/// ```text
/// [1, order: bstr, signature: tstr, approvals: [* tstr], payload: bstr / null]
/// ```
///
/// All of it is untrusted until the signature is checked. It has no `Debug`, because the payload
/// may be a key.
pub struct AdministrationRequest {
    /// The order's exact bytes (a TOML file).
    pub order: Vec<u8>,
    /// The administrator's signature over the order.
    pub signature: ArmoredSignature,
    /// Approvals over the order, by others.
    pub approvals: Vec<ArmoredSignature>,
    /// What must not stand in an order: a key to import, or a backup to restore.
    pub payload: Option<SecretBytes>,
}

impl AdministrationRequest {
    /// The version of this message.
    pub const VERSION: u64 = 1;
}

impl Message for AdministrationRequest {
    const MAX_BYTES: usize = MAX_ADMINISTRATION_CONTENT_BYTES;

    fn write(&self, writer: &mut Writer) -> Result<(), MessageError> {
        let Self {
            order,
            signature,
            approvals,
            payload,
        } = self;
        writer.array(5);
        writer.number(Self::VERSION);
        writer.filled_bytes("order", order, MAX_ORDER_BYTES)?;
        writer.text(signature.as_str());
        write_approvals(writer, approvals)?;
        match payload {
            Some(payload) => writer.filled_bytes("payload", payload.as_bytes(), MAX_PAYLOAD_BYTES),
            None => {
                writer.null();
                Ok(())
            }
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, MessageError> {
        reader.versioned("administration request", 5, Self::VERSION)?;
        Ok(Self {
            order: reader.filled_bytes("order", MAX_ORDER_BYTES)?.to_vec(),
            signature: ArmoredSignature::new(reader.text("signature")?)?,
            approvals: read_approvals(reader)?,
            payload: reader.optional("payload", |reader| {
                reader
                    .filled_bytes("payload", MAX_PAYLOAD_BYTES)
                    .map(SecretBytes::copied_from)
            })?,
        })
    }
}

/// The service's answer to one [`AdministrationRequest`], or to one
/// [`PolicyDelivery`](crate::policy::PolicyDelivery).
///
/// ```text
/// [1, 0, body: bstr, log_proof: bstr / null] / [1, 1, reason: tstr, log_proof: bstr / null]
/// ```
#[derive(Clone, Eq, PartialEq)]
pub enum AdministrationAnswer {
    /// It was done.
    Done {
        /// JSON for the administrator's tool. Never a key.
        body: Vec<u8>,
        /// The proof that it was logged; absent if nothing was: a delivery without news.
        log_proof: Option<Vec<u8>>,
    },
    /// It was refused, and nothing was done.
    Refused {
        /// Why.
        reason: ReasonId,
        /// The proof that the refusal was logged; absent if it is no entry of its own.
        log_proof: Option<Vec<u8>>,
    },
}

impl AdministrationAnswer {
    /// The version of this message.
    pub const VERSION: u64 = 1;
}

impl Message for AdministrationAnswer {
    const MAX_BYTES: usize = MAX_ADMINISTRATION_CONTENT_BYTES;

    fn write(&self, writer: &mut Writer) -> Result<(), MessageError> {
        writer.array(4);
        writer.number(Self::VERSION);
        let log_proof = match self {
            Self::Done { body, log_proof } => {
                writer.number(0_u8);
                writer.bytes("body", body, MAX_BODY_BYTES)?;
                log_proof
            }
            Self::Refused { reason, log_proof } => {
                writer.number(1_u8);
                writer.text(reason.as_str());
                log_proof
            }
        };
        writer.optional_bytes("log proof", log_proof.as_deref(), MAX_LOG_PROOF_BYTES)
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, MessageError> {
        reader.versioned("administration answer", 4, Self::VERSION)?;
        match reader.u64("administration answer")? {
            0 => Ok(Self::Done {
                body: reader.bytes("body", MAX_BODY_BYTES)?.to_vec(),
                log_proof: reader.optional_bytes("log proof", MAX_LOG_PROOF_BYTES)?,
            }),
            1 => Ok(Self::Refused {
                reason: ReasonId::received(reader.text(ReasonId::PART)?)?,
                log_proof: reader.optional_bytes("log proof", MAX_LOG_PROOF_BYTES)?,
            }),
            code => Err(MessageError::UnknownCode {
                part: "administration answer",
                code,
            }),
        }
    }
}

impl fmt::Debug for AdministrationAnswer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done { body, .. } => write!(formatter, "Done({} bytes)", body.len()),
            Self::Refused { reason, .. } => write!(formatter, "Refused({reason})"),
        }
    }
}
