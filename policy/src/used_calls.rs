//! Which calls were made since boot: single use per order and counter, bounded.

use std::collections::BTreeMap;

use crate::digest::Digest384;
use crate::order::MAX_CALLS;
use crate::policy::AuthorisedCall;
use crate::reason::{Reason, Refusal};
use crate::time::UnixMillis;

/// The memory of one boot. Times given to it never go backwards.
#[derive(Debug)]
pub struct UsedCalls {
    max_orders: usize,
    orders: BTreeMap<Digest384, UsedOrder>,
}

#[derive(Debug)]
struct UsedOrder {
    expires: UnixMillis,
    /// One bit per counter, grown as needed, at most `MAX_CALLS` bits.
    used: Vec<u64>,
}

/// Proof that a call is authorised and not a repetition. Only [`UsedCalls::claim`] makes it; what
/// acts on calls takes this.
#[derive(Debug)]
pub struct FreshCall(AuthorisedCall);

impl UsedCalls {
    /// Remembers up to `max_orders` orders at a time (each at most 1,250 bytes of marks).
    pub fn new(max_orders: usize) -> Self {
        Self { max_orders, orders: BTreeMap::new() }
    }

    /// Marks the call's counter as used.
    ///
    /// # Errors
    ///
    /// [`Reason::CallCounterReused`]; [`Reason::OrderTableFull`] if all remembered orders are
    /// still valid.
    pub fn claim(&mut self, call: AuthorisedCall, now: UnixMillis) -> Result<FreshCall, Refusal> {
        todo!()
    }
}

impl core::ops::Deref for FreshCall {
    type Target = AuthorisedCall;

    fn deref(&self) -> &AuthorisedCall {
        &self.0
    }
}
