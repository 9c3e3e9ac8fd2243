//! Which calls were made since boot: single use per order and counter, bounded.

use std::collections::BTreeMap;

use crate::digest::Digest384;
use crate::names::PersonName;
use crate::order::MAX_CALLS;
use crate::policy::AuthorisedCall;
use crate::reason::{Reason, Refusal};
use crate::time::UnixMillis;

/// The memory of one boot. Times given to it never go backwards.
#[derive(Debug)]
pub struct UsedCalls {
    max_orders: usize,
    max_orders_per_person: usize,
    orders: BTreeMap<Digest384, UsedOrder>,
}

#[derive(Debug)]
struct UsedOrder {
    requester: PersonName,
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
        Self {
            max_orders,
            max_orders_per_person: max_orders,
            orders: BTreeMap::new(),
        }
    }

    /// Remembers at most so many orders of one requester, so that one person who signs order after
    /// order does not keep the others out until these expire.
    #[must_use]
    pub fn with_max_orders_per_person(self, max_orders_per_person: usize) -> Self {
        Self {
            max_orders_per_person,
            ..self
        }
    }

    /// Marks the call's counter as used.
    ///
    /// # Errors
    ///
    /// [`Reason::CallCounterReused`]; [`Reason::OrderTableFull`] if all remembered orders are
    /// still valid, or all that the requester may have; [`Reason::CallCounter`] above [`MAX_CALLS`].
    pub fn claim(&mut self, call: AuthorisedCall, now: UnixMillis) -> Result<FreshCall, Refusal> {
        // An expired order is refused before it comes here, so forgetting it loses nothing.
        self.orders.retain(|_, order| now < order.expires);
        if !self.orders.contains_key(call.order()) {
            self.check_room(&call.requester().person)?;
        }
        let (word, mask) = position(call.counter()).ok_or_else(|| {
            Refusal::new(
                Reason::CallCounter,
                format!("counter {} of {MAX_CALLS}", call.counter()),
            )
        })?;
        let order = self
            .orders
            .entry(*call.order())
            .or_insert_with(|| UsedOrder {
                requester: call.requester().person.clone(),
                expires: call.expires(),
                used: Vec::new(),
            });
        if order.used.len() <= word {
            order.used.resize(word + 1, 0);
        }
        match order.used.get_mut(word) {
            Some(marks) if *marks & mask == 0 => {
                *marks |= mask;
                Ok(FreshCall(call))
            }
            _ => Err(Refusal::new(
                Reason::CallCounterReused,
                format!("counter {} was used before", call.counter()),
            )),
        }
    }

    fn check_room(&self, requester: &PersonName) -> Result<(), Refusal> {
        let full = |count: usize, whose: &str| {
            Refusal::new(
                Reason::OrderTableFull,
                format!("{count} orders{whose} are in use and remembered until they expire"),
            )
        };
        if self.orders.len() >= self.max_orders {
            return Err(full(self.max_orders, ""));
        }
        let own = self
            .orders
            .values()
            .filter(|order| order.requester == *requester)
            .count();
        if own >= self.max_orders_per_person {
            return Err(full(own, &format!(" of {requester}")));
        }
        Ok(())
    }
}

/// Word and bit of a counter; none above the bound that every order keeps.
fn position(counter: u64) -> Option<(usize, u64)> {
    let word = usize::try_from(counter / 64).ok()?;
    (counter < MAX_CALLS).then_some((word, 1 << (counter % 64)))
}

impl core::ops::Deref for FreshCall {
    type Target = AuthorisedCall;

    fn deref(&self) -> &AuthorisedCall {
        &self.0
    }
}
