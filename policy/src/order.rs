//! Orders: who may do what to which enclaves, from when to when, how often (DESIGN section 7).
//!
//! A *read order* covers a set of read actions for a shift of up to 12 hours, a *write order* one
//! change to one boot of one enclave. Both are TOML files signed by the requester in the namespace
//! `order@narthex`; a write order carries approvals (`approve@narthex`) over the same bytes.

use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::action::Action;
use crate::call::Parameters;
use crate::digest::BootId;
use crate::file::{limits, parse_toml};
use crate::names::{NamePattern, PersonName, ProjectName};
use crate::reason::{Reason, Refusal};
use crate::time::UnixMillis;

/// `schema` of a read order.
pub const READ_ORDER_SCHEMA: &str = "narthex/read-order/v1";
/// `schema` of a write order.
pub const WRITE_ORDER_SCHEMA: &str = "narthex/write-order/v1";

/// Longest time between `not_before` and `expires` of a read order: one shift.
pub const MAX_READ_ORDER_LIFETIME: Duration = Duration::from_secs(12 * 3600);
/// Longest time between `issued` and `expires` of a write order: the delay and the wait for
/// approvals must fit, a forgotten order must not.
pub const MAX_WRITE_ORDER_LIFETIME: Duration = Duration::from_secs(24 * 3600);
/// Most calls under one read order, per enclave and boot.
pub const MAX_CALLS: u64 = 10_000;
/// Most enclaves, or patterns of them, one read order may name.
pub const MAX_TARGETS: usize = 256;
/// Longest module or instance id, in bytes.
const MAX_ID_BYTES: usize = 128;

/// A signed order as it arrives at the agent or the key service. Says nothing about trust.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SignedOrder {
    /// The order file, exactly as signed.
    pub bytes: Vec<u8>,
    /// The requester's armoured signature, namespace `order@narthex`.
    pub signature: String,
    /// Armoured approvals over the same bytes, namespace `approve@narthex`.
    pub approvals: Vec<String>,
}

/// A diagnostics order. Says nothing about trust until authorised.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Order {
    /// Read actions for a shift.
    Read(ReadOrder),
    /// One change.
    Write(WriteOrder),
}

/// The fields both kinds share.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OrderHead {
    /// The project whose policy the order is made under.
    pub project: ProjectName,
    /// 16 random bytes, so that no two orders have one digest.
    pub nonce: [u8; 16],
    /// Who asks, and signs.
    pub requester: PersonName,
    /// When the order was written, by the requester's word.
    pub issued: UnixMillis,
    /// First moment of use.
    pub not_before: UnixMillis,
    /// First moment at which it is of no use any more.
    pub expires: UnixMillis,
}

/// Read actions for a shift.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ReadOrder {
    /// The shared fields.
    pub head: OrderHead,
    /// The actions allowed, all of them read actions.
    pub actions: Vec<Action>,
    /// Calls allowed per enclave and boot: counters run from 0 to one below this.
    pub calls: u64,
    /// Which enclaves; one match suffices.
    pub targets: Targets,
}

/// The enclaves a read order is for. At least one list has an entry.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Targets {
    /// Enclaves by `module_id`.
    pub module_ids: Vec<String>,
    /// All enclaves of these parent instances.
    pub instance_ids: Vec<String>,
    /// All enclaves whose measurements the policy knows under such a release name.
    pub releases: Vec<NamePattern>,
}

/// One change to one boot of one enclave.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct WriteOrder {
    /// The shared fields.
    pub head: OrderHead,
    /// The action, a write action.
    pub action: Action,
    /// Its parameters; a call must repeat them.
    pub parameters: Parameters,
    /// The enclave's `module_id`.
    pub module_id: String,
    /// The boot id of the agent, from its session statement.
    pub boot_id: BootId,
}

impl Order {
    /// Reads an order of either kind and checks every rule that needs no policy: bounds, lifetime,
    /// kinds of actions, parameters.
    ///
    /// # Errors
    ///
    /// `file.*`, `time.*`, `name.*`, `hex.*`, [`Reason::OrderLifetime`], [`Reason::OrderContent`],
    /// [`Reason::OrderParameters`].
    pub fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        todo!()
    }

    /// Writes the order as the TOML that [`Order::parse`] reads; this is what gets signed.
    pub fn to_toml(&self) -> String {
        todo!()
    }

    /// The fields both kinds share.
    pub fn head(&self) -> &OrderHead {
        match self {
            Self::Read(order) => &order.head,
            Self::Write(order) => &order.head,
        }
    }
}
