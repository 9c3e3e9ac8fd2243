//! `release`: an enclave asked for keys.

use super::{
    Content, Decision, EntryKind,
    field::{Reading, Value, Writing},
    json::Json,
    read_extra, require, require_distinct, take_inner, text, to_leaf, write_extra,
};
use crate::{Digest384, Evidence, EvidenceDigest, LogError, Salt, SessionHash};

/// An enclave asked for keys, and got them or not. An agent hands a key to its workload only on a proof that
/// exactly this release was recorded.
///
/// ```json
/// {"boot_bundle":7,"enclave":"<module id>","evidence":"<96 hex>","in_force":7,
///  "keys":[{"commitment":"<96 hex>","name":"payments-db","version":3}],"outcome":"accepted",
///  "release":"payments 1.4.2","session":"<64 hex>","time":1767225600000,"type":"release","v":1}
/// ```
/// A refused one has `"asked":["payments-db"]` instead of `keys`, and `"outcome":"refused","reason":"<id>"`.
/// `boot_bundle` and `release` are left out when they are not known.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ReleaseEntry {
    /// When, in milliseconds since 1970.
    pub time: u64,
    /// Whether keys were released.
    pub decision: Decision,
    /// The enclave's module id, from its attestation document.
    pub enclave: String,
    /// The session's handshake hash; a session is answered with keys once.
    pub session: SessionHash,
    /// Handshake hash, document and request.
    pub evidence: EvidenceDigest,
    /// Version of the bundle that the enclave booted with, if PCR16 is that of a known one.
    pub boot_bundle: Option<u64>,
    /// Version of the bundle that was in force at the service.
    pub in_force: u64,
    /// Name and version of the release that the enclave runs, one space between, when known.
    pub release: Option<String>,
    /// What was released, in the order of the request; nothing if it was refused.
    pub keys: Vec<ReleasedKey>,
    /// The names that were asked for, in the order of the request, if it was refused.
    pub asked: Vec<String>,
}

/// A version of a key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ReleasedKey {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: u32,
    /// The commitment to name, version and key.
    pub commitment: Digest384,
}

/// What the enclave knows by itself.
#[derive(Clone, Debug)]
pub struct ReleaseFacts<'f> {
    /// Its module id.
    pub enclave: &'f str,
    /// The session's handshake hash.
    pub session: SessionHash,
    /// The attestation document, exactly as sent.
    pub document: &'f [u8],
    /// The request, exactly as sent.
    pub request: &'f [u8],
    /// The keys as they came out of their seals, in the order of the request.
    pub keys: &'f [ReleasedKey],
}

/// What the enclave cannot know:
/// `{"boot_bundle":7,"in_force":7,"release":"payments 1.4.2","salt":"<64 hex>","time":1767225600000}`;
/// `boot_bundle` and `release` are left out when the entry has none.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ReleaseExtra {
    /// Version of the bundle that the enclave booted with.
    pub boot_bundle: Option<u64>,
    /// Version of the bundle that was in force at the service.
    pub in_force: u64,
    /// Name and version of the release that the enclave runs.
    pub release: Option<String>,
    /// The salt of the evidence.
    pub salt: Salt,
    /// When, in milliseconds since 1970.
    pub time: u64,
}

impl ReleaseExtra {
    /// The bytes in a proof.
    ///
    /// # Errors
    ///
    /// `log.entry` if a number is above 2^53 - 1, or the release has not the form of one.
    pub fn to_bytes(&self) -> Result<Vec<u8>, LogError> {
        write_extra(
            Writing::default()
                .put_some("boot_bundle", self.boot_bundle.as_ref())
                .put("in_force", &self.in_force)
                .put_some("release", self.release.as_ref())
                .put("salt", &self.salt)
                .put("time", &self.time),
        )
    }

    /// Reads the extra of a proof.
    ///
    /// # Errors
    ///
    /// `log.entry` unless it is exactly what [`ReleaseExtra::to_bytes`] writes.
    pub fn from_bytes(extra: &[u8]) -> Result<Self, LogError> {
        let mut reading = read_extra(extra)?;
        let read = Self {
            boot_bundle: reading.optional("boot_bundle")?,
            in_force: reading.get("in_force")?,
            release: reading.optional("release")?,
            salt: reading.get("salt")?,
            time: reading.get("time")?,
        };
        reading.finish()?;
        Ok(read)
    }
}

impl ReleaseEntry {
    /// The entry that releases these keys. The service writes it so, and the enclave rebuilds it so.
    ///
    /// # Errors
    ///
    /// `log.evidence` if document and request are too large.
    pub fn accepted(facts: &ReleaseFacts<'_>, extra: &ReleaseExtra) -> Result<Self, LogError> {
        let session = facts.session;
        let evidence = Evidence::key_request(session.as_bytes(), facts.document, facts.request)?;
        Ok(Self {
            time: extra.time,
            decision: Decision::Accepted,
            enclave: facts.enclave.to_owned(),
            session,
            evidence: evidence.digest(&extra.salt),
            boot_bundle: extra.boot_bundle,
            in_force: extra.in_force,
            release: extra.release.clone(),
            keys: facts.keys.to_vec(),
            asked: Vec::new(),
        })
    }

    /// The leaf that releases these keys: what the enclave looks for in the log. No extra makes it the leaf of a
    /// refusal, of another session, enclave or request, or of other keys.
    ///
    /// # Errors
    ///
    /// `log.entry` if the extra has another form, or a fact is not as entries have it; `log.evidence` as
    /// [`ReleaseEntry::accepted`].
    pub fn accepted_leaf(facts: &ReleaseFacts<'_>, extra: &[u8]) -> Result<Vec<u8>, LogError> {
        to_leaf(&Self::accepted(facts, &ReleaseExtra::from_bytes(extra)?)?)
    }

    /// What a proof of this entry must add; `salt` is that of its evidence.
    #[must_use]
    pub fn extra(&self, salt: Salt) -> ReleaseExtra {
        ReleaseExtra {
            boot_bundle: self.boot_bundle,
            in_force: self.in_force,
            release: self.release.clone(),
            salt,
            time: self.time,
        }
    }
}

impl Content for ReleaseEntry {
    const KIND: EntryKind = EntryKind::Release;

    fn put<'t>(&'t self, writing: Writing<'t>) -> Writing<'t> {
        let writing = self
            .decision
            .put(writing)
            .put("enclave", &self.enclave)
            .put("session", &self.session)
            .put("evidence", &self.evidence)
            .put_some("boot_bundle", self.boot_bundle.as_ref())
            .put("in_force", &self.in_force)
            .put_some("release", self.release.as_ref());
        if self.decision.is_accepted() {
            writing.put("keys", &self.keys)
        } else {
            writing.put("asked", &self.asked)
        }
    }

    fn take(reading: &mut Reading<'_>, time: u64) -> Result<Self, LogError> {
        let decision = Decision::take(reading)?;
        let (keys, asked) = if decision.is_accepted() {
            (reading.get("keys")?, Vec::new())
        } else {
            (Vec::new(), reading.get("asked")?)
        };
        Ok(Self {
            time,
            decision,
            enclave: reading.get("enclave")?,
            session: reading.get("session")?,
            evidence: reading.get("evidence")?,
            boot_bundle: reading.optional("boot_bundle")?,
            in_force: reading.get("in_force")?,
            release: reading.optional("release")?,
            keys,
            asked,
        })
    }

    fn check(&self) -> Result<(), LogError> {
        self.decision.check()?;
        text::module_id(&self.enclave)?;
        self.release.as_deref().map_or(Ok(()), text::version)?;
        if self.decision.is_accepted() {
            require(!self.keys.is_empty(), "an accepted release of no keys")?;
            require(self.asked.is_empty(), "`asked` in an accepted release")?;
        } else {
            require(self.keys.is_empty(), "keys in a refused release")?;
        }
        let names: Vec<_> = self
            .keys
            .iter()
            .map(|key| &key.name)
            .chain(&self.asked)
            .collect();
        require_distinct(&names, "a key is listed twice")?;
        names.into_iter().try_for_each(|name| text::key_name(name))
    }

    fn time(&self) -> u64 {
        self.time
    }
}

impl Value for ReleasedKey {
    fn to_json(&self) -> Json<'_> {
        Writing::default()
            .put("name", &self.name)
            .put("version", &self.version)
            .put("commitment", &self.commitment)
            .into_json()
    }

    fn from_json(json: Json<'_>) -> Result<Self, LogError> {
        take_inner(json, |reading| {
            Ok(Self {
                name: reading.get("name")?,
                version: reading.get("version")?,
                commitment: reading.get("commitment")?,
            })
        })
    }
}
