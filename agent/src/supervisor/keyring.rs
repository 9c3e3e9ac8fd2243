//! The workload's keys: asked for, opened, checked against the policy, held. No IO, no clock.

use std::collections::BTreeMap;

use narthex_channel::keys::{
    KeyAnswer, KeyOutcome, KeyRequest, KeyRequestEnvelope, KeyWanted, SealSuite, SealedKey,
};
use narthex_channel::{
    Digest384, HandshakeHash, KeyName, Message, MessageError, ModuleId, ReasonId, RecipientKey,
    SealError, SecretBytes, UnixMillis,
};
use narthex_ledger::LogReason;
use narthex_policy::Policy;

use crate::config::{ConfigError, KeysConfig};
use crate::log::{LogGuard, LogTime, ReleasedKeys};

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
    /// The log does not show that these keys were released to this enclave in this session.
    Log(LogReason),
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
            Self::Log(reason) => reason.id(),
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

/// The session in which a request was sent, and the document sent with it: the log names both.
pub struct SentRequest {
    /// The session's handshake hash.
    pub handshake_hash: HandshakeHash,
    /// The document, exactly as sent.
    pub document: Vec<u8>,
}

/// By what an answer is judged.
pub struct Judges<'a> {
    /// Which enclave this is.
    pub module_id: &'a ModuleId,
    /// The policy in force.
    pub policy: &'a Policy,
    /// The log as that policy has it.
    pub log: &'a LogGuard,
    /// Trusted time.
    pub now: UnixMillis,
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

    /// Takes the service's answer: all keys, or none. Nothing is opened before the log shows that exactly these
    /// keys were released; returns when its witnesses saw that.
    ///
    /// # Errors
    ///
    /// [`KeyFailure`]; the keys held stay as they were.
    pub fn receive(
        &mut self,
        pending: &PendingRequest,
        sent: &SentRequest,
        answer: &[u8],
        judges: &Judges<'_>,
    ) -> Result<Option<LogTime>, KeyFailure> {
        let Judges {
            module_id,
            policy,
            log,
            now,
        } = *judges;
        let SentRequest {
            handshake_hash,
            document,
        } = sent;
        // What the service says about its own log check changes nothing: the proof counts.
        let KeyAnswer {
            log_check: _,
            log_proof,
            outcome,
        } = KeyAnswer::from_bytes(answer)?;
        let sealed = match outcome {
            KeyOutcome::Released(sealed) => sealed,
            KeyOutcome::Refused { reason } => return Err(KeyFailure::RefusedByService(reason)),
        };
        if sealed.len() != self.wanted.len() {
            return Err(KeyFailure::OtherKeys);
        }
        for (wanted, sealed) in self.wanted.iter().zip(&sealed) {
            self.check_identity(wanted, sealed)?;
            check_not_stopped(policy, wanted)?;
        }
        let released = ReleasedKeys {
            module_id,
            handshake_hash,
            document,
            request: &pending.request,
            keys: &sealed,
        };
        let seen = log
            .check_release(log_proof.as_deref(), &released, now)
            .map_err(KeyFailure::Log)?;
        let opened = sealed.iter().map(|sealed| {
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
        Ok(seen)
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
