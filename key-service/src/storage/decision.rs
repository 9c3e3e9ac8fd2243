//! What a decision is, and what it says.

use serde::{Deserialize, Serialize};

use crate::{
    clock::UnixMillis,
    digest::{Digest, compose},
};

macro_rules! texts {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$variant_doc])* #[serde(rename = $text)] $variant,)*
        }

        impl $name {
            /// The text in the database and in JSON.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }

            /// Back from the text.
            #[must_use]
            pub fn from_text(text: &str) -> Option<Self> {
                match text {
                    $($text => Some(Self::$variant),)*
                    _ => None,
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}
pub(crate) use texts;

texts! {
    /// What was decided about.
    DecisionKind {
        /// The lineage was fixed; always decision 0.
        Genesis = "genesis",
        /// An enclave asked for keys.
        Release = "release",
        /// A person administered keys.
        Administration = "administration",
        /// Policy files were delivered.
        Policy = "policy",
        /// Counts of what was refused and not recorded one by one.
        Summary = "summary",
    }
}

texts! {
    /// How it was decided.
    Outcome {
        /// Done.
        Accepted = "accepted",
        /// Not done.
        Refused = "refused",
    }
}

/// What makes a second use of the same thing noticed: unique over all decisions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mark {
    /// The handshake hash of a session that was answered with keys.
    Session([u8; 32]),
    /// The digest of an order that was carried out.
    Order(Digest),
}

impl Mark {
    pub(super) fn to_bytes(self) -> Vec<u8> {
        match self {
            Self::Session(hash) => [b"s".as_slice(), &hash].concat(),
            Self::Order(digest) => [b"o".as_slice(), digest.as_bytes()].concat(),
        }
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        match bytes.split_first()? {
            (b's', rest) => rest.try_into().ok().map(Self::Session),
            (b'o', rest) => Digest::from_slice(rest).map(Self::Order),
            _ => None,
        }
    }
}

/// A decision about to be recorded.
#[derive(Clone, Debug)]
pub struct Decision {
    /// The service's clock.
    pub time: UnixMillis,
    /// About what.
    pub kind: DecisionKind,
    /// How.
    pub outcome: Outcome,
    /// Why it was refused; empty when it was accepted.
    pub reason: String,
    /// Single use.
    pub mark: Option<Mark>,
    /// The rest.
    pub body: Body,
}

/// What a decision says besides. Digests and key fingerprints, never secrets, never people's names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Body {
    /// The enclave that asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enclave: Option<EnclaveBody>,
    /// The person who asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub person: Option<PersonBody>,
    /// The operation of an administrative call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
    /// Key versions that were released or changed, with the state they have since.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<KeyBody>,
    /// Names of keys that were asked for and not released.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub asked: Vec<String>,
    /// Policy files that were accepted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub policy_files: Vec<PolicyFileBody>,
    /// The root key that came into use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root_key: Option<String>,
    /// Counts by reason, in a summary.
    #[serde(skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub counts: std::collections::BTreeMap<String, u64>,
}

/// See [`Body::enclave`]. Known once its document is verified.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnclaveBody {
    /// `module_id` of the document.
    pub module_id: String,
    /// SHA-384 of the document's signed payload.
    pub document: String,
    /// Handshake hash of the session.
    pub session: String,
    /// The bundle it booted with, when PCR16 is that of a known one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub bundle: Option<String>,
    /// Name and version of the release it runs, when known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub release: Option<String>,
}

/// See [`Body::person`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PersonBody {
    /// Fingerprint of the requester's key.
    pub requester: String,
    /// Fingerprints of the approvers' keys.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub approvers: Vec<String>,
    /// SHA-384 of the order.
    pub order: String,
}

/// See [`Body::keys`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyBody {
    /// Name.
    pub name: String,
    /// Version.
    pub version: u32,
    /// The state it has since.
    pub state: super::key_version::KeyState,
    /// Its commitment.
    pub commitment: String,
}

/// See [`Body::policy_files`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyFileBody {
    /// `bundle`, `release` or `stop`.
    pub kind: String,
    /// SHA-384 of its bytes.
    pub sha384: String,
}

/// A decision that stands in the record.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// Its position, from 0.
    pub sequence: u64,
    /// What was decided.
    pub decision: Decision,
    /// Its chain hash.
    pub hash: Digest,
}

impl Recorded {
    /// One JSON object, for people and tools.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        let Decision {
            time,
            kind,
            outcome,
            reason,
            mark: _,
            body,
        } = &self.decision;
        serde_json::json!({
            "sequence": self.sequence,
            "time": time.to_rfc3339(),
            "kind": kind,
            "outcome": outcome,
            "reason": if reason.is_empty() { serde_json::Value::Null } else { reason.as_str().into() },
            "body": body,
            "hash": self.hash.to_string(),
        })
    }
}

/// How many decisions there are, and the hash of the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// How many.
    pub count: u64,
    /// Chain hash of the last one.
    pub hash: Digest,
}

impl Head {
    /// Before the first decision.
    #[must_use]
    pub fn empty(genesis: &Digest) -> Self {
        Self {
            count: 0,
            hash: Digest::of(&compose("narthex/v1/decision-chain", &[genesis.as_bytes()])),
        }
    }

    /// 56 bytes: u64be count || hash.
    pub(crate) fn to_bytes(self) -> Vec<u8> {
        [self.count.to_be_bytes().as_slice(), self.hash.as_bytes()].concat()
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (count, hash) = bytes.split_first_chunk::<8>()?;
        Some(Self {
            count: u64::from_be_bytes(*count),
            hash: Digest::from_slice(hash)?,
        })
    }
}
