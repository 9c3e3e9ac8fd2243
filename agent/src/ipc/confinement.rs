//! What both kinds of confined process are told about their confinement, and report of it.

use minicbor::{CborLen, Decode, Encode};

use crate::config::GateConfig;
use crate::sandbox::{Confinement, FULL_LANDLOCK_ABI, LandlockDemand, UserIds};

/// How a process is to be confined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, CborLen)]
#[cbor(array)]
pub struct ConfinementOrder {
    /// User to become; absent without root.
    #[n(0)]
    user: Option<u32>,
    /// Group to become, as `user`.
    #[n(1)]
    group: Option<u32>,
    /// What Landlock must enforce.
    #[n(2)]
    landlock: LandlockDemand,
}

impl ConfinementOrder {
    /// As configured.
    pub fn new(config: &GateConfig) -> Self {
        Self {
            user: config.user,
            group: config.group,
            landlock: if config.insecure_older_landlock {
                LandlockDemand::InsecureNewest
            } else {
                LandlockDemand::Full
            },
        }
    }

    /// User and group to become.
    pub fn user(&self) -> Option<UserIds> {
        Some(UserIds {
            user: self.user?,
            group: self.group?,
        })
    }

    /// What Landlock must enforce.
    pub fn landlock(&self) -> LandlockDemand {
        self.landlock
    }
}

/// What a confined process says that was enforced, before it reads anything hostile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, CborLen)]
#[cbor(array)]
pub struct ConfinementReport {
    /// Whether it runs as a user of its own.
    #[n(0)]
    pub user_changed: bool,
    /// The Landlock ABI that is enforced in full.
    #[n(1)]
    pub landlock_abi: u8,
}

impl ConfinementReport {
    /// Whether this is what was ordered.
    pub fn meets(&self, order: &ConfinementOrder) -> bool {
        let least = match order.landlock {
            LandlockDemand::Full => FULL_LANDLOCK_ABI,
            LandlockDemand::InsecureNewest => 1,
        };
        self.user_changed == order.user().is_some() && self.landlock_abi >= least
    }
}

impl From<Confinement> for ConfinementReport {
    fn from(confinement: Confinement) -> Self {
        Self {
            user_changed: confinement.user_changed(),
            landlock_abi: confinement.landlock_abi(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn less_than_ordered_does_not_do() {
        let full = ConfinementOrder {
            user: Some(1),
            group: Some(1),
            landlock: LandlockDemand::Full,
        };
        let older = ConfinementOrder {
            landlock: LandlockDemand::InsecureNewest,
            ..full
        };
        let report = |user_changed, landlock_abi| ConfinementReport {
            user_changed,
            landlock_abi,
        };
        assert!(report(true, 6).meets(&full));
        assert!(!report(true, 5).meets(&full));
        assert!(!report(false, 6).meets(&full));
        assert!(report(true, 1).meets(&older));
        assert!(!report(true, 0).meets(&older));
    }
}
