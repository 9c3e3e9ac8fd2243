//! Whether an order is in the log as accepted, judged as an agent does: the entry is written down
//! again from what is in the hand, and must be the one that the proof proves.

use narthex_ledger::{
    BootId, LogReason, OrderEntry, OrderExtra, OrderFacts, OrderScope, PersonId, Proof,
    TrustedCheckpoint,
};
use narthex_policy::{Order, ReadOrder, SignedOrder, UnixMillis, WriteOrder};
use serde_json::{Value, json};

use crate::failure::{Failure, Outcome};
use crate::log::{ledger_of, log_failure, trust_of};
use crate::policy_directory::HeldPolicy;

/// How far clocks may lie apart: as the agent has it.
const MAX_SKEW_MILLIS: u64 = 60_000;

/// An order that the log holds as accepted, seen by as many witnesses as the policy asks for.
pub(crate) struct LoggedOrder {
    /// Its entry.
    index: u64,
    /// Which bundle it was judged under.
    bundle: u64,
    /// The checkpoint of the proof.
    head: TrustedCheckpoint,
    /// When it counts as logged: the delay of a change begins here.
    pub(crate) at: UnixMillis,
}

impl LoggedOrder {
    /// Checks `proof` for `order`, as submitted, under the policy held.
    ///
    /// # Errors
    /// `policy.no_ledger`, `log.*`.
    pub(crate) fn check(
        held: &HeldPolicy,
        order: &Order,
        signed: &SignedOrder,
        proof: &[u8],
        now: UnixMillis,
    ) -> Result<Self, Failure> {
        let ledger = ledger_of(held)?;
        let trust = trust_of(ledger)?;
        let proof = parse(proof)?;
        let no_extra = || {
            Failure::refused(
                LogReason::Entry.id(),
                "the proof: it does not say what an order's proof says",
            )
            .next("is it the proof of this order? `narthex order submit` gets a fresh one")
        };
        let extra = proof.extra.as_deref().ok_or_else(no_extra)?;
        let stated = OrderExtra::from_bytes(extra).map_err(|_| no_extra())?;
        let facts = OrderFacts {
            order: &signed.bytes,
            signature: signed.signature.as_bytes(),
            approvals: &signed.approvals,
            requester: PersonId::of(&ledger.salt.0, order.head().requester.as_str()),
            scope: scope(order),
        };
        let refused = |error: narthex_ledger::LogError| match error.reason() {
            LogReason::Inclusion => Failure::refused(
                error.id(),
                "the proof is not for this order, or not for these signatures and approvals",
            )
            .next(
                "the proof, FILE.approvals and the requester's signature belong together, as \
                 `narthex order submit` left them; submit the order again for a fresh proof",
            ),
            _ => log_failure("the proof", &error),
        };
        let leaf = OrderEntry::accepted_leaf(&facts, extra).map_err(refused)?;
        let head = proof.verify(&leaf, &trust).map_err(refused)?;
        let at = match head.seen_at() {
            Some(seconds) if ledger.quorum > 0 => UnixMillis(seconds.saturating_mul(1000)),
            _ => UnixMillis(stated.time),
        };
        if at.0 > now.0.saturating_add(MAX_SKEW_MILLIS) {
            return Err(Failure::refused(
                LogReason::Future.id(),
                format!("the proof: it was cosigned at {at}, which is yet to come"),
            )
            .next("compare the clocks of this machine and the witnesses"));
        }
        if at.0.saturating_add(MAX_SKEW_MILLIS) < order.head().issued.0 {
            return Err(Failure::refused(
                LogReason::Stale.id(),
                format!("the proof: it was cosigned at {at}, before the order was issued"),
            )
            .next("it cannot be this order's: submit the order for its own"));
        }
        Ok(Self {
            index: proof.index,
            bundle: stated.bundle,
            head,
            at,
        })
    }

    /// For scripts.
    pub(crate) fn to_json(&self) -> Value {
        let head = self.head.checkpoint();
        json!({
            "origin": head.origin,
            "index": self.index,
            "checkpoint_size": head.size,
            "logged": self.at.to_string(),
            "judged_under_bundle": self.bundle,
            "witnesses": self.head.cosignatures().iter().map(|(name, _)| name).collect::<Vec<_>>(),
        })
    }

    /// For people: `entry 12 of keys.example/log since TIME`.
    pub(crate) fn words(&self) -> String {
        format!(
            "entry {} of {} since {}",
            self.index,
            self.head.checkpoint().origin,
            self.at
        )
    }
}

/// A proof's text.
///
/// # Errors
/// `log.malformed`.
pub(crate) fn parse(proof: &[u8]) -> Outcome<Proof> {
    let malformed = |words: String| {
        Failure::refused(LogReason::Malformed.id(), words).next(
            "a proof is a text that begins with `c2sp.org/tlog-proof@v1`; was the file cut off?",
        )
    };
    let text =
        std::str::from_utf8(proof).map_err(|_| malformed("the proof is not text".to_owned()))?;
    Proof::parse(text).map_err(|error| malformed(format!("the proof: {}", error.detail())))
}

/// What the entry says about the order.
fn scope(order: &Order) -> OrderScope {
    match order {
        Order::Read(ReadOrder { actions, .. }) => OrderScope::Read {
            actions: actions
                .iter()
                .map(|action| action.name().to_owned())
                .collect(),
        },
        Order::Write(WriteOrder {
            action,
            module_id,
            boot_id,
            ..
        }) => OrderScope::Write {
            action: action.name().to_owned(),
            enclave: module_id.clone(),
            boot: BootId(boot_id.0),
        },
    }
}
