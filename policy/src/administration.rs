//! Orders to the key service: what a named person may do to keys, once, in a window of time.

use core::fmt;

use crate::digest::Digest384;
use crate::names::KeyName;
use crate::order::OrderHead;
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
            Self::Import | Self::Enable | Self::Retire | Self::Restore | Self::RotateRootKey => true,
            Self::List | Self::Create | Self::Rotate | Self::Disable | Self::BackUp => false,
        }
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
}

/// An order to the key service. Says nothing about trust until authorised.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AdministrationOrder {
    /// Project, nonce, requester and times.
    pub head: OrderHead,
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
        }
    }
}

impl AdministrationOrder {
    /// Reads an administration order and checks every rule that needs no policy.
    ///
    /// # Errors
    ///
    /// `file.*`, `time.*`, `name.*`, `hex.*`, [`Reason::OrderLifetime`],
    /// [`Reason::OrderParameters`].
    pub fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        todo!()
    }

    /// Writes the order as the TOML that [`AdministrationOrder::parse`] reads.
    pub fn to_toml(&self) -> String {
        todo!()
    }
}
