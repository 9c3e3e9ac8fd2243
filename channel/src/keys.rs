//! Use 2, keys: an agent asks the key service for keys.
//!
//! The agent sends one [`KeyRequestEnvelope`]; the service sends one [`KeyAnswer`]; both close. A
//! second request in the same session is refused: single use means one answered request per
//! handshake hash.

use core::fmt;

use crate::binding::{BindingError, HandshakeHash, Label, binding_digest, check_binding};
use crate::closed::closed;
use crate::codec::{Message, MessageError, Reader, Writer};
use crate::diagnostics::{LogCheck, SessionStatement};
use crate::digest::Digest384;
use crate::limits::{
    MAX_DOCUMENT_BYTES, MAX_KEY_BYTES, MAX_KEYS, MAX_KEYS_CONTENT_BYTES, MAX_LOG_PROOF_BYTES,
    MAX_STATEMENT_BYTES, TAG_BYTES,
};
use crate::name::{KeyName, ReasonId};
use crate::seal::{EncapsulatedKey, RecipientPublicKey};

/// A request for keys; its encoding is what the document binds.
///
/// ```text
/// [1, suite: uint, recipient_key: bstr .size 1216,
///  keys: [1*32 [name: tstr, version: uint / null]], statement: bstr]
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct KeyRequest {
    /// How the keys are to be sealed.
    pub suite: SealSuite,
    /// The one-time key to seal them to.
    pub recipient_key: RecipientPublicKey,
    /// The keys wanted, each name once.
    pub keys: Vec<KeyWanted>,
    /// The encoding of the agent's [`SessionStatement`].
    pub statement: Vec<u8>,
}

/// One key wanted.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct KeyWanted {
    /// Its name in the policy.
    pub name: KeyName,
    /// Its version, or the newest that is enabled.
    pub version: Option<u32>,
}

closed! {
    /// How released keys are sealed.
    pub enum SealSuite {
        /// HPKE base mode with X-Wing (KEM 0x647a), HKDF-SHA256 (KDF 0x0001) and AES-256-GCM
        /// (AEAD 0x0002).
        XWingHkdfSha256Aes256Gcm = 1, "xwing-hkdf-sha256-aes-256-gcm";
    }
}

closed! {
    /// Which shares a key is made of.
    pub enum Shares {
        /// The service's share is the key.
        Service = 1, "service";
    }
}

impl KeyRequest {
    /// The version of this message.
    pub const VERSION: u64 = 1;

    /// Reads the statement. Check the binding before believing it.
    ///
    /// # Errors
    ///
    /// [`MessageError`].
    pub fn session_statement(&self) -> Result<SessionStatement, MessageError> {
        SessionStatement::from_bytes(&self.statement)
    }
}

impl Message for KeyRequest {
    const MAX_BYTES: usize = 8 * 1024;

    fn write(&self, writer: &mut Writer) -> Result<(), MessageError> {
        let Self {
            suite,
            recipient_key,
            keys,
            statement,
        } = self;
        writer.array(5);
        writer.number(Self::VERSION);
        writer.number(suite.code());
        writer.fixed(recipient_key.as_bytes());
        if keys.is_empty() {
            return Err(MessageError::Empty { part: "keys" });
        }
        writer.list("keys", keys.len(), MAX_KEYS)?;
        for KeyWanted { name, version } in keys {
            writer.array(2);
            writer.text(name.as_str());
            match version {
                Some(version) => writer.number(*version),
                None => writer.null(),
            }
        }
        refuse_duplicates(keys.iter().map(|wanted| &wanted.name))?;
        writer.filled_bytes("session statement", statement, MAX_STATEMENT_BYTES)
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, MessageError> {
        reader.versioned("key request", 5, Self::VERSION)?;
        let suite = reader.code("suite", SealSuite::from_code)?;
        let recipient_key = RecipientPublicKey::from_bytes(reader.fixed("recipient key")?);
        let keys = reader.list("keys", MAX_KEYS)?;
        if keys == 0 {
            return Err(MessageError::Empty { part: "keys" });
        }
        let keys = (0..keys)
            .map(|_| KeyWanted::read(reader))
            .collect::<Result<Vec<_>, _>>()?;
        refuse_duplicates(keys.iter().map(|wanted| &wanted.name))?;
        let statement = reader
            .filled_bytes("session statement", MAX_STATEMENT_BYTES)?
            .to_vec();
        Ok(Self {
            suite,
            recipient_key,
            keys,
            statement,
        })
    }
}

impl KeyWanted {
    fn read(reader: &mut Reader<'_>) -> Result<Self, MessageError> {
        reader.array("key wanted", 2)?;
        let name = KeyName::new(reader.text(KeyName::PART)?)?;
        let version = reader.optional("key version", |reader| reader.u32("key version"))?;
        Ok(Self { name, version })
    }
}

fn refuse_duplicates<'a>(
    names: impl ExactSizeIterator<Item = &'a KeyName> + Clone,
) -> Result<(), MessageError> {
    let mut sorted: Vec<_> = names.clone().collect();
    sorted.sort_unstable();
    sorted.dedup();
    if sorted.len() == names.len() {
        Ok(())
    } else {
        Err(MessageError::Duplicate { part: "keys" })
    }
}

/// A key request and the document that binds it.
///
/// ```text
/// [1, document: bstr, request: bstr]
/// ```
#[derive(Clone, Eq, PartialEq)]
pub struct KeyRequestEnvelope {
    /// The attestation document. Untrusted until verified.
    pub document: Vec<u8>,
    /// The encoding of a [`KeyRequest`], exactly as the document binds it.
    pub request: Vec<u8>,
}

impl KeyRequestEnvelope {
    /// The version of this message.
    pub const VERSION: u64 = 1;

    /// The `user_data` that the agent asks its NSM to put into the document.
    #[must_use]
    pub fn user_data(handshake_hash: &HandshakeHash, request: &[u8]) -> Digest384 {
        binding_digest(Label::KeyRequest, handshake_hash, request)
    }

    /// Checks that the document is of this session and binds this request; `user_data` comes from
    /// the document after it was verified.
    ///
    /// # Errors
    ///
    /// [`BindingError`].
    pub fn check_binding(
        &self,
        handshake_hash: &HandshakeHash,
        user_data: &[u8],
    ) -> Result<(), BindingError> {
        check_binding(Label::KeyRequest, handshake_hash, &self.request, user_data)
    }

    /// Reads the request. Check the binding before acting on it.
    ///
    /// # Errors
    ///
    /// [`MessageError`].
    pub fn key_request(&self) -> Result<KeyRequest, MessageError> {
        KeyRequest::from_bytes(&self.request)
    }
}

impl Message for KeyRequestEnvelope {
    const MAX_BYTES: usize = MAX_DOCUMENT_BYTES + KeyRequest::MAX_BYTES + 16;

    fn write(&self, writer: &mut Writer) -> Result<(), MessageError> {
        let Self { document, request } = self;
        writer.array(3);
        writer.number(Self::VERSION);
        writer.filled_bytes("document", document, MAX_DOCUMENT_BYTES)?;
        writer.filled_bytes("key request", request, KeyRequest::MAX_BYTES)
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, MessageError> {
        reader.versioned("key request envelope", 3, Self::VERSION)?;
        Ok(Self {
            document: reader
                .filled_bytes("document", MAX_DOCUMENT_BYTES)?
                .to_vec(),
            request: reader
                .filled_bytes("key request", KeyRequest::MAX_BYTES)?
                .to_vec(),
        })
    }
}

impl fmt::Debug for KeyRequestEnvelope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("KeyRequestEnvelope")
            .field("document", &Digest384::of(&self.document))
            .field("request", &Digest384::of(&self.request))
            .finish()
    }
}

/// The service's answer.
///
/// ```text
/// [1, log_check: uint, log_proof: bstr / null, 0, [1*32 sealed_key]] /
/// [1, log_check: uint, log_proof: bstr / null, 1, reason: tstr]
/// sealed_key = [name: tstr, version: uint, shares: uint, commitment: bstr .size 48,
///               encapsulated: bstr .size 1120, ciphertext: bstr]
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct KeyAnswer {
    /// Whether the decision was made with the log. Part of every answer, refusals among them.
    pub log_check: LogCheck,
    /// The proof that the decision was logged: of the release, or of a refusal that is an entry of
    /// its own. An agent that checks the log hands no key on without it.
    pub log_proof: Option<Vec<u8>>,
    /// What was decided.
    pub outcome: KeyOutcome,
}

/// What the service decided about a request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum KeyOutcome {
    /// All keys asked for, in the order of the request.
    Released(Vec<SealedKey>),
    /// None of them.
    Refused {
        /// Why.
        reason: ReasonId,
    },
}

/// One key, sealed to the recipient key of the request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SealedKey {
    /// Its name.
    pub name: KeyName,
    /// Its version.
    pub version: u32,
    /// What it is made of.
    pub shares: Shares,
    /// The commitment to it, which the agent compares with the policy's or the log's.
    pub commitment: Digest384,
    /// The encapsulated shared secret.
    pub encapsulated: EncapsulatedKey,
    /// The sealed key: as many bytes as the key, and a tag of 16.
    pub ciphertext: Vec<u8>,
}

impl KeyAnswer {
    /// The version of this message.
    pub const VERSION: u64 = 1;
}

impl Message for KeyAnswer {
    const MAX_BYTES: usize = MAX_KEYS_CONTENT_BYTES;

    fn write(&self, writer: &mut Writer) -> Result<(), MessageError> {
        let Self {
            log_check,
            log_proof,
            outcome,
        } = self;
        writer.array(5);
        writer.number(Self::VERSION);
        writer.number(log_check.code());
        writer.optional_bytes("log proof", log_proof.as_deref(), MAX_LOG_PROOF_BYTES)?;
        match outcome {
            KeyOutcome::Released(keys) => {
                writer.number(0_u8);
                if keys.is_empty() {
                    return Err(MessageError::Empty { part: "keys" });
                }
                writer.list("keys", keys.len(), MAX_KEYS)?;
                keys.iter().try_for_each(|key| key.write(writer))?;
                refuse_duplicates(keys.iter().map(|key| &key.name))
            }
            KeyOutcome::Refused { reason } => {
                writer.number(1_u8);
                writer.text(reason.as_str());
                Ok(())
            }
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, MessageError> {
        reader.versioned("key answer", 5, Self::VERSION)?;
        let log_check = reader.code("log check", LogCheck::from_code)?;
        let log_proof = reader.optional_bytes("log proof", MAX_LOG_PROOF_BYTES)?;
        let outcome = match reader.u64("key answer")? {
            0 => {
                let keys = reader.list("keys", MAX_KEYS)?;
                if keys == 0 {
                    return Err(MessageError::Empty { part: "keys" });
                }
                let keys = (0..keys).map(|_| SealedKey::read(reader));
                let keys = keys.collect::<Result<Vec<_>, _>>()?;
                refuse_duplicates(keys.iter().map(|key| &key.name))?;
                KeyOutcome::Released(keys)
            }
            1 => KeyOutcome::Refused {
                reason: ReasonId::received(reader.text(ReasonId::PART)?)?,
            },
            code => {
                return Err(MessageError::UnknownCode {
                    part: "key answer",
                    code,
                });
            }
        };
        Ok(Self {
            log_check,
            log_proof,
            outcome,
        })
    }
}

impl SealedKey {
    const MAX_CIPHERTEXT_BYTES: usize = MAX_KEY_BYTES + TAG_BYTES;

    fn write(&self, writer: &mut Writer) -> Result<(), MessageError> {
        let Self {
            name,
            version,
            shares,
            commitment,
            encapsulated,
            ciphertext,
        } = self;
        writer.array(6);
        writer.text(name.as_str());
        writer.number(*version);
        writer.number(shares.code());
        writer.fixed(commitment.as_ref());
        writer.fixed(encapsulated.as_bytes());
        writer.filled_bytes("ciphertext", ciphertext, Self::MAX_CIPHERTEXT_BYTES)
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, MessageError> {
        reader.array("sealed key", 6)?;
        Ok(Self {
            name: KeyName::new(reader.text(KeyName::PART)?)?,
            version: reader.u32("key version")?,
            shares: reader.code("shares", Shares::from_code)?,
            commitment: reader.digest("commitment")?,
            encapsulated: EncapsulatedKey::from_bytes(reader.fixed("encapsulated key")?),
            ciphertext: reader
                .filled_bytes("ciphertext", Self::MAX_CIPHERTEXT_BYTES)?
                .to_vec(),
        })
    }
}
