//! Orders to the key service: what a named person may do to keys, once, in a window of time.

use core::fmt;

use serde::Deserialize;
use toml::value::Datetime;

use crate::digest::Digest384;
use crate::file::{limits, parse_toml};
use crate::names::KeyName;
use crate::order::{HeadText, MAX_WRITE_ORDER_LIFETIME, OrderHead};
use crate::reason::{Reason, Refusal};

/// `schema` of an administration order.
pub const ADMINISTRATION_ORDER_SCHEMA: &str = "narthex/administration-order/v1";

/// The kinds of operations, as roles and approval rows name them.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum KeyOperationKind {
    /// `keys-list`: names, versions, states and times.
    List,
    /// `keys-create`: a new key, made inside the service.
    Create,
    /// `keys-import`: a key a person brings, and has seen.
    Import,
    /// `keys-rotate`: a new version of a key.
    Rotate,
    /// `keys-disable`: a version is not released for now.
    Disable,
    /// `keys-enable`: a disabled version is released again.
    Enable,
    /// `keys-retire`: a version is destroyed.
    Retire,
    /// `keys-backup`: the wrapped keys leave as a file.
    BackUp,
    /// `keys-restore`: wrapped keys come back from a file.
    Restore,
    /// `root-key-rotate`: everything is wrapped under a new root key.
    RotateRootKey,
    /// `decisions-list`: what the service decided.
    ListDecisions,
}

impl KeyOperationKind {
    /// All kinds.
    pub const ALL: &'static [Self] = &[
        Self::List,
        Self::Create,
        Self::Import,
        Self::Rotate,
        Self::Disable,
        Self::Enable,
        Self::Retire,
        Self::BackUp,
        Self::Restore,
        Self::RotateRootKey,
        Self::ListDecisions,
    ];

    /// The name in policies, orders and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::List => "keys-list",
            Self::Create => "keys-create",
            Self::Import => "keys-import",
            Self::Rotate => "keys-rotate",
            Self::Disable => "keys-disable",
            Self::Enable => "keys-enable",
            Self::Retire => "keys-retire",
            Self::BackUp => "keys-backup",
            Self::Restore => "keys-restore",
            Self::RotateRootKey => "root-key-rotate",
            Self::ListDecisions => "decisions-list",
        }
    }

    /// Finds a kind by its name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.name() == name)
    }

    /// Whether it loses or widens something, so that the policy must ask for approvals: importing
    /// (a person knows the key), enabling, retiring, restoring, and a new root key.
    pub const fn needs_approval(self) -> bool {
        match self {
            Self::Import | Self::Enable | Self::Retire | Self::Restore | Self::RotateRootKey => {
                true
            }
            Self::List
            | Self::Create
            | Self::Rotate
            | Self::Disable
            | Self::BackUp
            | Self::ListDecisions => false,
        }
    }

    /// Whether it only looks or narrows, so that it goes on under an expired bundle.
    pub const fn survives_expiry(self) -> bool {
        matches!(
            self,
            Self::List | Self::ListDecisions | Self::Disable | Self::BackUp
        )
    }

    /// Finds a kind by its name.
    pub(crate) fn parse(name: &str) -> Result<Self, Refusal> {
        Self::from_name(name)
            .ok_or_else(|| Refusal::new(Reason::NameMalformed, format!("no operation {name:?}")))
    }
}

impl fmt::Display for KeyOperationKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// One operation with its parameters.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum KeyOperation {
    /// Lists keys.
    List,
    /// Makes version 1 of a key.
    Create {
        /// The new key's name.
        key: KeyName,
    },
    /// Takes a key that a person brings as the order's payload.
    Import {
        /// The key's name.
        key: KeyName,
        /// The version it becomes: 1, or one more than the newest.
        version: u32,
        /// The commitment to (name, version, key): ties the payload to the order.
        commitment: Digest384,
    },
    /// Makes a new version of a key.
    Rotate {
        /// The key's name.
        key: KeyName,
    },
    /// Stops releasing a version.
    Disable {
        /// The key's name.
        key: KeyName,
        /// The version.
        version: u32,
    },
    /// Releases a disabled version again.
    Enable {
        /// The key's name.
        key: KeyName,
        /// The version.
        version: u32,
    },
    /// Destroys a version.
    Retire {
        /// The key's name.
        key: KeyName,
        /// The version.
        version: u32,
    },
    /// Hands out a backup of the wrapped keys.
    BackUp,
    /// Takes a backup as the order's payload.
    Restore {
        /// SHA-384 of the backup file.
        backup: Digest384,
    },
    /// Wraps everything under a new root key.
    RotateRootKey,
    /// Lists decisions.
    ListDecisions,
}

/// An order to the key service. Says nothing about trust until authorised.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AdministrationOrder {
    /// Project, nonce, requester and times.
    pub head: OrderHead,
    /// The digest of the service's genesis bundle: an order for one service is none for another.
    pub genesis: Digest384,
    /// What to do.
    pub operation: KeyOperation,
}

impl KeyOperation {
    /// The kind, without parameters.
    pub const fn kind(&self) -> KeyOperationKind {
        match self {
            Self::List => KeyOperationKind::List,
            Self::Create { .. } => KeyOperationKind::Create,
            Self::Import { .. } => KeyOperationKind::Import,
            Self::Rotate { .. } => KeyOperationKind::Rotate,
            Self::Disable { .. } => KeyOperationKind::Disable,
            Self::Enable { .. } => KeyOperationKind::Enable,
            Self::Retire { .. } => KeyOperationKind::Retire,
            Self::BackUp => KeyOperationKind::BackUp,
            Self::Restore { .. } => KeyOperationKind::Restore,
            Self::RotateRootKey => KeyOperationKind::RotateRootKey,
            Self::ListDecisions => KeyOperationKind::ListDecisions,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AdministrationText {
    #[serde(rename = "schema")]
    _schema: String,
    project: String,
    genesis: String,
    nonce: String,
    requester: String,
    issued: Datetime,
    not_before: Option<Datetime>,
    expires: Datetime,
    operation: String,
    key: Option<String>,
    version: Option<u32>,
    commitment: Option<String>,
    backup: Option<String>,
}

impl KeyOperation {
    /// The key it is about.
    pub fn key(&self) -> Option<&KeyName> {
        match self {
            Self::Create { key }
            | Self::Import { key, .. }
            | Self::Rotate { key }
            | Self::Disable { key, .. }
            | Self::Enable { key, .. }
            | Self::Retire { key, .. } => Some(key),
            Self::List
            | Self::BackUp
            | Self::Restore { .. }
            | Self::RotateRootKey
            | Self::ListDecisions => None,
        }
    }

    /// The version it is about.
    pub fn version(&self) -> Option<u32> {
        match self {
            Self::Import { version, .. }
            | Self::Disable { version, .. }
            | Self::Enable { version, .. }
            | Self::Retire { version, .. } => Some(*version),
            _ => None,
        }
    }

    /// Each kind has exactly its parameters: a missing or superfluous one is a misunderstanding.
    fn from_text(text: &AdministrationText) -> Result<Self, Refusal> {
        let kind = KeyOperationKind::parse(&text.operation)?;
        let key = text.key.as_deref().map(KeyName::new).transpose()?;
        let commitment = text
            .commitment
            .as_deref()
            .map(Digest384::from_hex)
            .transpose()?;
        let backup = text
            .backup
            .as_deref()
            .map(Digest384::from_hex)
            .transpose()?;
        if text.version == Some(0) {
            return Err(Refusal::new(
                Reason::OrderParameters,
                "versions of keys start at 1",
            ));
        }
        match (kind, key, text.version, commitment, backup) {
            (KeyOperationKind::List, None, None, None, None) => Ok(Self::List),
            (KeyOperationKind::Create, Some(key), None, None, None) => Ok(Self::Create { key }),
            (KeyOperationKind::Import, Some(key), Some(version), Some(commitment), None) => {
                Ok(Self::Import {
                    key,
                    version,
                    commitment,
                })
            }
            (KeyOperationKind::Rotate, Some(key), None, None, None) => Ok(Self::Rotate { key }),
            (KeyOperationKind::Disable, Some(key), Some(version), None, None) => {
                Ok(Self::Disable { key, version })
            }
            (KeyOperationKind::Enable, Some(key), Some(version), None, None) => {
                Ok(Self::Enable { key, version })
            }
            (KeyOperationKind::Retire, Some(key), Some(version), None, None) => {
                Ok(Self::Retire { key, version })
            }
            (KeyOperationKind::BackUp, None, None, None, None) => Ok(Self::BackUp),
            (KeyOperationKind::Restore, None, None, None, Some(backup)) => {
                Ok(Self::Restore { backup })
            }
            (KeyOperationKind::RotateRootKey, None, None, None, None) => Ok(Self::RotateRootKey),
            (KeyOperationKind::ListDecisions, None, None, None, None) => Ok(Self::ListDecisions),
            _ => Err(Refusal::new(
                Reason::OrderParameters,
                format!(
                    "{kind} lacks one of key, version, commitment, backup, or has one too many"
                ),
            )),
        }
    }
}

impl AdministrationOrder {
    /// Reads an administration order and checks every rule that needs no policy. This says nothing
    /// about who signed it.
    ///
    /// # Errors
    ///
    /// `file.*`, `time.*`, `name.*`, `hex.*`, [`Reason::OrderLifetime`],
    /// [`Reason::OrderParameters`].
    pub fn parse_unverified(bytes: &[u8]) -> Result<Self, Refusal> {
        let text: AdministrationText =
            parse_toml(bytes, limits::MAX_ORDER_BYTES, ADMINISTRATION_ORDER_SCHEMA)?;
        let head = OrderHead::from_text(&HeadText {
            project: &text.project,
            nonce: &text.nonce,
            requester: &text.requester,
            issued: &text.issued,
            not_before: text.not_before.as_ref(),
            expires: &text.expires,
        })?;
        head.check_lifetime(head.issued, MAX_WRITE_ORDER_LIFETIME)?;
        Ok(Self {
            head,
            genesis: Digest384::from_hex(&text.genesis)?,
            operation: KeyOperation::from_text(&text)?,
        })
    }

    /// Writes the order as the TOML that [`AdministrationOrder::parse_unverified`] reads.
    pub fn to_toml(&self) -> String {
        let Self {
            head,
            genesis,
            operation,
        } = self;
        let mut text = format!(
            "schema = \"{ADMINISTRATION_ORDER_SCHEMA}\"\n{}genesis = \"{genesis}\"\n\n\
             operation = \"{}\"\n",
            head.to_toml(),
            operation.kind()
        );
        if let Some(key) = operation.key() {
            text.push_str(&format!("key = \"{key}\"\n"));
        }
        if let Some(version) = operation.version() {
            text.push_str(&format!("version = {version}\n"));
        }
        match operation {
            KeyOperation::Import { commitment, .. } => {
                text.push_str(&format!("commitment = \"{commitment}\"\n"));
            }
            KeyOperation::Restore { backup } => {
                text.push_str(&format!("backup = \"{backup}\"\n"));
            }
            _ => {}
        }
        text
    }
}
