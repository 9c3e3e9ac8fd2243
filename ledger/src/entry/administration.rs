//! `administration`: somebody administered keys.

use super::{
    Content, Decision, EntryKind,
    field::{Reading, Value, Writing, texts},
    json::Json,
    require, require_distinct, take_inner, text,
};
use crate::{Digest384, EvidenceDigest, LogError, PersonId, RootKeyId};

texts! {
    /// What may happen with a version of a key.
    KeyState, "a state of a key" {
        /// It may be released.
        Enabled = "enabled",
        /// It is kept, not released.
        Disabled = "disabled",
        /// It came from a backup, and is inert until somebody enables it.
        Restored = "restored",
        /// Its material is destroyed.
        Retired = "retired",
    }
}

/// Somebody administered keys, or was refused.
///
/// ```json
/// {"approvers":["p-<32 hex>"],"evidence":"<96 hex>",
///  "keys":[{"commitment":"<96 hex>","name":"payments-db","state":"retired","version":2}],
///  "operation":"keys-retire","order":"<96 hex>","outcome":"accepted","requester":"p-<32 hex>",
///  "time":1767225600000,"type":"administration","v":1}
/// ```
/// A rotation of the root key has `"root_key":"<32 hex>"`. A refused one has `"outcome":"refused","reason":"<id>"`
/// and no keys; `requester` is left out if no signature held, and `operation` if the order could not be read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AdministrationEntry {
    /// When, in milliseconds since 1970.
    pub time: u64,
    /// Whether it was done.
    pub decision: Decision,
    /// The operation, as orders name it.
    pub operation: Option<String>,
    /// Plain SHA-384 of the order's bytes.
    pub order: Digest384,
    /// Order, signature and approvals.
    pub evidence: EvidenceDigest,
    /// Who asked.
    pub requester: Option<PersonId>,
    /// Who approved, nobody twice.
    pub approvers: Vec<PersonId>,
    /// The versions that changed, each with the state it has since. A change of more versions than fit one entry is
    /// several entries about the same order, one after the other.
    pub keys: Vec<KeyChange>,
    /// The root key that came into use.
    pub root_key: Option<RootKeyId>,
}

/// What became of a version of a key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct KeyChange {
    /// The key's name.
    pub name: String,
    /// The version.
    pub version: u32,
    /// The state it has since.
    pub state: KeyState,
    /// The commitment to name, version and key.
    pub commitment: Digest384,
}

impl Content for AdministrationEntry {
    const KIND: EntryKind = EntryKind::Administration;

    fn put<'t>(&'t self, writing: Writing<'t>) -> Writing<'t> {
        self.decision
            .put(writing)
            .put_some("operation", self.operation.as_ref())
            .put("order", &self.order)
            .put("evidence", &self.evidence)
            .put_some("requester", self.requester.as_ref())
            .put("approvers", &self.approvers)
            .put("keys", &self.keys)
            .put_some("root_key", self.root_key.as_ref())
    }

    fn take(reading: &mut Reading<'_>, time: u64) -> Result<Self, LogError> {
        Ok(Self {
            time,
            decision: Decision::take(reading)?,
            operation: reading.optional("operation")?,
            order: reading.get("order")?,
            evidence: reading.get("evidence")?,
            requester: reading.optional("requester")?,
            approvers: reading.get("approvers")?,
            keys: reading.get("keys")?,
            root_key: reading.optional("root_key")?,
        })
    }

    fn check(&self) -> Result<(), LogError> {
        self.decision.check()?;
        if self.decision.is_accepted() {
            require(
                self.operation.is_some() && self.requester.is_some(),
                "an accepted order without operation or requester",
            )?;
        } else {
            require(
                self.keys.is_empty() && self.root_key.is_none(),
                "a refused order that changed something",
            )?;
        }
        self.operation.as_deref().map_or(Ok(()), text::action)?;
        require_distinct(&self.approvers, "an approver is listed twice")?;
        let versions: Vec<_> = self
            .keys
            .iter()
            .map(|key| (&key.name, key.version))
            .collect();
        require_distinct(&versions, "a version of a key is listed twice")?;
        self.keys
            .iter()
            .try_for_each(|key| text::key_name(&key.name))
    }

    fn time(&self) -> u64 {
        self.time
    }
}

impl Value for KeyChange {
    fn to_json(&self) -> Json<'_> {
        Writing::default()
            .put("name", &self.name)
            .put("version", &self.version)
            .put("state", &self.state)
            .put("commitment", &self.commitment)
            .into_json()
    }

    fn from_json(json: Json<'_>) -> Result<Self, LogError> {
        take_inner(json, |reading| {
            Ok(Self {
                name: reading.get("name")?,
                version: reading.get("version")?,
                state: reading.get("state")?,
                commitment: reading.get("commitment")?,
            })
        })
    }
}
