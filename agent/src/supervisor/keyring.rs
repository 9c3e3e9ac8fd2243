//! The workload's keys: asked for, opened, checked against the policy, held. No IO, no clock.

use std::collections::BTreeMap;

use narthex_channel::keys::{
    KeyAnswer, KeyOutcome, KeyRequest, KeyRequestEnvelope, KeyWanted, SealSuite, SealedKey,
};
use narthex_channel::{
    Digest384, HandshakeHash, KeyName, Message, MessageError, ReasonId, RecipientKey, SealError,
    SecretBytes, UnixMillis,
};
use narthex_policy::Policy;

use crate::config::{ConfigError, KeysConfig};

/// One key of the configuration.
#[derive(Clone, Debug)]
pub struct WantedKey {
    /// Its name.
    pub name: KeyName,
    /// The wanted version, or the newest.
    pub version: Option<u32>,
    /// The file's name.
    pub file: String,
}

/// One key that was received and matched its commitment.
pub struct HeldKey {
    /// Its version.
    pub version: u32,
    /// Its bytes.
    pub bytes: SecretBytes,
    /// The commitment it matched.
    pub commitment: Digest384,
    /// When it was received.
    pub received: UnixMillis,
}

/// Why keys were not received.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyFailure {
    /// The answer is no key answer, or the request could not be made.
    Message(MessageError),
    /// The service refused; its own reason, which is not to be repeated to anybody.
    RefusedByService(ReasonId),
    /// The answer is not about the keys asked for, in their order.
    OtherKeys,
    /// Another version than the one asked for.
    OtherVersion,
    /// A version older than the one held: the service gave back what it had replaced.
    OlderVersion,
    /// A key does not open, or is not the one its envelope names.
    Seal(SealError),
    /// A stop statement names the key.
    Stopped,
    /// The policy in force names no commitment for this version of this key.
    NoCommitment,
    /// The key is not the one the policy commits to: somebody feeds the workload a key of their own.
    WrongCommitment,
}

impl KeyFailure {
    /// Stable text. What the service said stays out of it.
    pub fn id(&self) -> &'static str {
        match self {
            Self::Message(error) => error.id(),
            Self::RefusedByService(_) => "keys.refused_by_service",
            Self::OtherKeys => "keys.other_keys",
            Self::OtherVersion => "keys.other_version",
            Self::OlderVersion => "keys.older_version",
            Self::Seal(error) => error.id(),
            Self::Stopped => "keys.stopped",
            Self::NoCommitment => "keys.no_commitment",
            Self::WrongCommitment => "keys.wrong_commitment",
        }
    }
}

impl From<MessageError> for KeyFailure {
    fn from(error: MessageError) -> Self {
        Self::Message(error)
    }
}

/// A request under way: the one-time key that its answer is sealed to, and its exact bytes.
pub struct PendingRequest {
    recipient: RecipientKey,
    request: Vec<u8>,
}

impl PendingRequest {
    /// What the document must bind.
    pub fn user_data(&self, handshake_hash: &HandshakeHash) -> Digest384 {
        KeyRequestEnvelope::user_data(handshake_hash, &self.request)
    }

    /// The content to send, with the document that binds it.
    ///
    /// # Errors
    ///
    /// [`KeyFailure::Message`] when the document is too long.
    pub fn envelope(&self, document: Vec<u8>) -> Result<Vec<u8>, KeyFailure> {
        let envelope = KeyRequestEnvelope {
            document,
            request: self.request.clone(),
        };
        Ok(envelope.to_bytes()?.to_vec())
    }
}

/// The keys wanted and held.
pub struct Keyring {
    wanted: Vec<WantedKey>,
    held: BTreeMap<KeyName, HeldKey>,
}

impl Keyring {
    /// Wants what the configuration lists, holds nothing.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] for a name that is none.
    pub fn new(config: &KeysConfig) -> Result<Self, ConfigError> {
        let wanted = config.keys.iter().map(|key| {
            let name = KeyName::new(&key.name)
                .map_err(|_| ConfigError::rule("keys.key.name", "is not a key's name"))?;
            Ok(WantedKey {
                name,
                version: key.version,
                file: key.file_name().to_owned(),
            })
        });
        Ok(Self {
            wanted: wanted.collect::<Result<_, ConfigError>>()?,
            held: BTreeMap::new(),
        })
    }

    /// The keys wanted.
    pub fn wanted(&self) -> &[WantedKey] {
        &self.wanted
    }

    /// The key with this name, if it is held.
    pub fn held(&self, name: &KeyName) -> Option<&HeldKey> {
        self.held.get(name)
    }

    /// Whether every key wanted is held.
    pub fn is_complete(&self) -> bool {
        self.wanted
            .iter()
            .all(|wanted| self.held.contains_key(&wanted.name))
    }

    /// Forgets and wipes all keys.
    pub fn wipe(&mut self) {
        self.held.clear();
    }

    /// A request for all keys wanted, with a fresh one-time key.
    ///
    /// # Errors
    ///
    /// [`KeyFailure`] when there is no randomness, or nothing is wanted.
    pub fn request(&self, statement: Vec<u8>) -> Result<PendingRequest, KeyFailure> {
        let recipient = RecipientKey::generate().map_err(KeyFailure::Seal)?;
        let request = KeyRequest {
            suite: SealSuite::XWingHkdfSha256Aes256Gcm,
            recipient_key: recipient.public().clone(),
            keys: self
                .wanted
                .iter()
                .map(|wanted| KeyWanted {
                    name: wanted.name.clone(),
                    version: wanted.version,
                })
                .collect(),
            statement,
        };
        let request = request.to_bytes()?.to_vec();
        Ok(PendingRequest { recipient, request })
    }

    /// Takes the service's answer: all keys, or none.
    ///
    /// # Errors
    ///
    /// [`KeyFailure`]; the keys held stay as they were.
    pub fn receive(
        &mut self,
        pending: &PendingRequest,
        handshake_hash: &HandshakeHash,
        answer: &[u8],
        policy: &Policy,
        now: UnixMillis,
    ) -> Result<(), KeyFailure> {
        // This agent runs without the log as well and says so itself: the service's mark changes nothing.
        let KeyAnswer {
            log_check: _,
            log_proof: _,
            outcome,
        } = KeyAnswer::from_bytes(answer)?;
        let sealed = match outcome {
            KeyOutcome::Released(sealed) => sealed,
            KeyOutcome::Refused { reason } => return Err(KeyFailure::RefusedByService(reason)),
        };
        if sealed.len() != self.wanted.len() {
            return Err(KeyFailure::OtherKeys);
        }
        let opened = self.wanted.iter().zip(&sealed).map(|(wanted, sealed)| {
            self.check_identity(wanted, sealed)?;
            check_not_stopped(policy, wanted)?;
            let bytes = pending
                .recipient
                .open(handshake_hash, sealed)
                .map_err(KeyFailure::Seal)?;
            check_commitment(policy, sealed)?;
            let SealedKey {
                name,
                version,
                commitment,
                ..
            } = sealed;
            let held = HeldKey {
                version: *version,
                bytes,
                commitment: *commitment,
                received: now,
            };
            Ok((name.clone(), held))
        });
        self.held = opened.collect::<Result<_, KeyFailure>>()?;
        Ok(())
    }

    fn check_identity(&self, wanted: &WantedKey, sealed: &SealedKey) -> Result<(), KeyFailure> {
        if sealed.name != wanted.name {
            return Err(KeyFailure::OtherKeys);
        }
        if wanted
            .version
            .is_some_and(|version| version != sealed.version)
        {
            return Err(KeyFailure::OtherVersion);
        }
        if self
            .held(&wanted.name)
            .is_some_and(|held| held.version > sealed.version)
        {
            return Err(KeyFailure::OlderVersion);
        }
        Ok(())
    }
}

/// The service refuses a stopped key as well; it may not have heard of the stop, or not care.
fn check_not_stopped(policy: &Policy, wanted: &WantedKey) -> Result<(), KeyFailure> {
    let name = narthex_policy::KeyName::new(wanted.name.as_str());
    match name {
        Ok(name) if !policy.is_key_stopped(&name) => Ok(()),
        Ok(_) | Err(_) => Err(KeyFailure::Stopped),
    }
}

/// The envelope's own commitment was checked against the key when it was opened; here it is checked against
/// what the reviewers signed.
fn check_commitment(policy: &Policy, sealed: &SealedKey) -> Result<(), KeyFailure> {
    let committed = policy
        .bundle()
        .keys
        .iter()
        .filter(|rule| rule.name.as_str() == sealed.name.as_str())
        .flat_map(|rule| &rule.commitments)
        .find(|commitment| commitment.version == sealed.version)
        .ok_or(KeyFailure::NoCommitment)?;
    if Digest384::from_bytes(committed.sha384.0) == sealed.commitment {
        Ok(())
    } else {
        Err(KeyFailure::WrongCommitment)
    }
}
