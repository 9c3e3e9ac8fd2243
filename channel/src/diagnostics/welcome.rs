//! The first message of a diagnostics session.

use core::fmt;

use super::SessionStatement;
use crate::binding::{BindingError, HandshakeHash, Label, binding_digest, check_binding};
use crate::codec::{Message, MessageError, Reader, Writer};
use crate::digest::Digest384;
use crate::limits::{MAX_DOCUMENT_BYTES, MAX_STATEMENT_BYTES};

/// The agent's first message: an attestation document and the statement that it binds.
///
/// ```text
/// [1, document: bstr, statement: bstr]
/// ```
#[derive(Clone, Eq, PartialEq)]
pub struct Welcome {
    /// The attestation document, as the NSM returned it. Untrusted until verified.
    pub document: Vec<u8>,
    /// The encoding of a [`SessionStatement`], exactly as the document binds it.
    pub statement: Vec<u8>,
}

impl Welcome {
    /// The version of this message.
    pub const VERSION: u64 = 1;

    /// The `user_data` that the agent asks its NSM to put into the document.
    #[must_use]
    pub fn user_data(handshake_hash: &HandshakeHash, statement: &[u8]) -> Digest384 {
        binding_digest(Label::DiagnosticsSession, handshake_hash, statement)
    }

    /// Checks that the document is of this session and binds this statement; `user_data` comes
    /// from the document after it was verified.
    ///
    /// # Errors
    ///
    /// [`BindingError`].
    pub fn check_binding(
        &self,
        handshake_hash: &HandshakeHash,
        user_data: &[u8],
    ) -> Result<(), BindingError> {
        check_binding(
            Label::DiagnosticsSession,
            handshake_hash,
            &self.statement,
            user_data,
        )
    }

    /// Reads the statement. Check the binding before believing it.
    ///
    /// # Errors
    ///
    /// [`MessageError`].
    pub fn session_statement(&self) -> Result<SessionStatement, MessageError> {
        SessionStatement::from_bytes(&self.statement)
    }
}

impl Message for Welcome {
    const MAX_BYTES: usize = MAX_DOCUMENT_BYTES + MAX_STATEMENT_BYTES + 16;

    fn write(&self, writer: &mut Writer) -> Result<(), MessageError> {
        let Self {
            document,
            statement,
        } = self;
        writer.array(3);
        writer.number(Self::VERSION);
        writer.filled_bytes("document", document, MAX_DOCUMENT_BYTES)?;
        writer.filled_bytes("session statement", statement, MAX_STATEMENT_BYTES)
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, MessageError> {
        reader.versioned("welcome", 3, Self::VERSION)?;
        Ok(Self {
            document: reader
                .filled_bytes("document", MAX_DOCUMENT_BYTES)?
                .to_vec(),
            statement: reader
                .filled_bytes("session statement", MAX_STATEMENT_BYTES)?
                .to_vec(),
        })
    }
}

impl fmt::Debug for Welcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Welcome")
            .field("document", &Digest384::of(&self.document))
            .field("statement", &hex::encode(&self.statement))
            .finish()
    }
}
