//! Use 5, submissions: a person asks the key service, which keeps the log, to log something.
//!
//! An order is submitted before it is used: no agent acts under one that the log does not name as
//! accepted. A session statement is submitted after a session, so that what an agent says of its
//! own decisions can be compared with the log. Each [`Submission`] is answered by one
//! [`SubmissionAnswer`], in order.

use core::fmt;

use crate::binding::HandshakeHash;
use crate::codec::{Message, MessageError, Reader, Writer};
use crate::diagnostics::{read_approvals, write_approvals};
use crate::digest::Digest384;
use crate::limits::{
    MAX_DOCUMENT_BYTES, MAX_LOG_PROOF_BYTES, MAX_ORDER_BYTES, MAX_STATEMENT_BYTES,
    MAX_SUBMISSION_ANSWER_BYTES, MAX_SUBMISSION_BYTES,
};
use crate::name::ReasonId;
use crate::signature::ArmoredSignature;

/// Something for the log.
///
/// ```text
/// [1, 0, order: bstr, signature: tstr, approvals: [* tstr]] /
/// [1, 1, session: bstr .size 32, document: bstr, statement: bstr]
/// ```
///
/// All of it is untrusted: the service checks the signatures, or the document and what it binds.
#[derive(Clone, Eq, PartialEq)]
pub enum Submission {
    /// An order for agents, to be judged and logged before it is used.
    Order {
        /// The order's exact bytes (a TOML file).
        order: Vec<u8>,
        /// The requester's signature over the order.
        signature: ArmoredSignature,
        /// Approvals over the order, by others.
        approvals: Vec<ArmoredSignature>,
    },
    /// What an agent said of itself at the beginning of a diagnostics session.
    Statement {
        /// The handshake hash of that session.
        session: HandshakeHash,
        /// The attestation document of its welcome. Untrusted until verified.
        document: Vec<u8>,
        /// The encoding of the session statement, exactly as the document binds it.
        statement: Vec<u8>,
    },
}

impl Submission {
    /// The version of this message.
    pub const VERSION: u64 = 1;
}

impl Message for Submission {
    const MAX_BYTES: usize = MAX_SUBMISSION_BYTES;

    fn write(&self, writer: &mut Writer) -> Result<(), MessageError> {
        writer.array(5);
        writer.number(Self::VERSION);
        match self {
            Self::Order {
                order,
                signature,
                approvals,
            } => {
                writer.number(0_u8);
                writer.filled_bytes("order", order, MAX_ORDER_BYTES)?;
                writer.text(signature.as_str());
                write_approvals(writer, approvals)
            }
            Self::Statement {
                session,
                document,
                statement,
            } => {
                writer.number(1_u8);
                writer.fixed(session.as_bytes());
                writer.filled_bytes("document", document, MAX_DOCUMENT_BYTES)?;
                writer.filled_bytes("session statement", statement, MAX_STATEMENT_BYTES)
            }
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, MessageError> {
        reader.versioned("submission", 5, Self::VERSION)?;
        match reader.u64("submission")? {
            0 => Ok(Self::Order {
                order: reader.filled_bytes("order", MAX_ORDER_BYTES)?.to_vec(),
                signature: ArmoredSignature::new(reader.text("signature")?)?,
                approvals: read_approvals(reader)?,
            }),
            1 => Ok(Self::Statement {
                session: HandshakeHash::from_bytes(reader.fixed("session")?),
                document: reader
                    .filled_bytes("document", MAX_DOCUMENT_BYTES)?
                    .to_vec(),
                statement: reader
                    .filled_bytes("session statement", MAX_STATEMENT_BYTES)?
                    .to_vec(),
            }),
            code => Err(MessageError::UnknownCode {
                part: "submission",
                code,
            }),
        }
    }
}

impl fmt::Debug for Submission {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Order {
                order, approvals, ..
            } => formatter
                .debug_struct("Order")
                .field("order", &Digest384::of(order))
                .field("approvals", &approvals.len())
                .finish_non_exhaustive(),
            Self::Statement {
                session,
                document,
                statement,
            } => formatter
                .debug_struct("Statement")
                .field("session", session)
                .field("document", &Digest384::of(document))
                .field("statement", &Digest384::of(statement))
                .finish(),
        }
    }
}

/// The service's answer to one [`Submission`].
///
/// ```text
/// [1, log_proof: bstr / null, reason: tstr / null]
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SubmissionAnswer {
    /// What was decided; `null` on the wire stands for accepted.
    pub outcome: SubmissionOutcome,
    /// The proof that it was logged with this outcome; absent if it is no entry of its own.
    pub log_proof: Option<Vec<u8>>,
}

/// What the service decided about a submission.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum SubmissionOutcome {
    /// It is in the log as accepted.
    Accepted,
    /// It is not accepted.
    Refused {
        /// Why.
        reason: ReasonId,
    },
}

impl SubmissionAnswer {
    /// The version of this message.
    pub const VERSION: u64 = 1;
}

impl Message for SubmissionAnswer {
    const MAX_BYTES: usize = MAX_SUBMISSION_ANSWER_BYTES;

    fn write(&self, writer: &mut Writer) -> Result<(), MessageError> {
        let Self { outcome, log_proof } = self;
        writer.array(3);
        writer.number(Self::VERSION);
        writer.optional_bytes("log proof", log_proof.as_deref(), MAX_LOG_PROOF_BYTES)?;
        match outcome {
            SubmissionOutcome::Accepted => writer.null(),
            SubmissionOutcome::Refused { reason } => writer.text(reason.as_str()),
        }
        Ok(())
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, MessageError> {
        reader.versioned("submission answer", 3, Self::VERSION)?;
        let log_proof = reader.optional_bytes("log proof", MAX_LOG_PROOF_BYTES)?;
        let reason = reader.optional("submission answer", |reader| {
            ReasonId::received(reader.text(ReasonId::PART)?)
        })?;
        Ok(Self {
            outcome: reason.map_or(SubmissionOutcome::Accepted, |reason| {
                SubmissionOutcome::Refused { reason }
            }),
            log_proof,
        })
    }
}
