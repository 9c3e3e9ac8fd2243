//! `order`: an order for diagnostics was submitted.

use super::{
    Content, Decision, EntryKind,
    field::{Reading, Writing, texts},
    read_extra, require, require_distinct, text, to_leaf, write_extra,
};
use crate::{BootId, Digest384, Evidence, EvidenceDigest, LogError, PersonId, Salt};

texts! {
    /// Which of the two kinds of orders.
    OrderKind, "read or write" {
        /// Only looks.
        Read = "read",
        /// Changes something.
        Write = "write",
    }
}

/// An order for diagnostics was submitted. An agent acts only on a proof that exactly this order was accepted.
///
/// ```json
/// {"actions":["health","memory"],"approvers":[],"bundle":7,"evidence":"<96 hex>","kind":"read","order":"<96 hex>",
///  "outcome":"accepted","requester":"p-<32 hex>","time":1767225600000,"type":"order","v":1}
/// ```
/// A write order has one action, and `"boot":"<32 hex>"` and `"enclave":"<module id>"`. A refused one has
/// `"outcome":"refused","reason":"<id>"`; `requester` is left out if no signature held, and `kind` with all that
/// depends on it if the order could not be read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OrderEntry {
    /// When, in milliseconds since 1970.
    pub time: u64,
    /// Whether an agent may act on it.
    pub decision: Decision,
    /// Plain SHA-384 of the order's bytes; an order holds 16 random bytes, so it cannot be guessed.
    pub order: Digest384,
    /// Order, signature and approvals.
    pub evidence: EvidenceDigest,
    /// Who asks.
    pub requester: Option<PersonId>,
    /// Who approved, nobody twice.
    pub approvers: Vec<PersonId>,
    /// What may be done where.
    pub scope: Option<OrderScope>,
    /// Version of the bundle under which it was judged.
    pub bundle: u64,
}

/// What an order allows. The enclaves that a read order is for stand in the evidence.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum OrderScope {
    /// Only looks.
    Read {
        /// The actions, in the order of the file.
        actions: Vec<String>,
    },
    /// One change to one boot of one enclave.
    Write {
        /// The action.
        action: String,
        /// The enclave's module id.
        enclave: String,
        /// The boot.
        boot: BootId,
    },
}

impl OrderScope {
    /// The actions, in the order of the file.
    #[must_use]
    pub fn actions(&self) -> Vec<&str> {
        match self {
            Self::Read { actions } => actions.iter().map(String::as_str).collect(),
            Self::Write { action, .. } => vec![action],
        }
    }

    /// The enclave of a write order.
    #[must_use]
    pub fn enclave(&self) -> Option<&str> {
        match self {
            Self::Read { .. } => None,
            Self::Write { enclave, .. } => Some(enclave),
        }
    }

    /// Which of the two kinds.
    #[must_use]
    pub const fn kind(&self) -> OrderKind {
        match self {
            Self::Read { .. } => OrderKind::Read,
            Self::Write { .. } => OrderKind::Write,
        }
    }

    fn check(&self) -> Result<(), LogError> {
        match self {
            Self::Read { actions } => {
                require(!actions.is_empty(), "a read order without actions")?;
                require_distinct(actions, "an action is listed twice")?;
                actions.iter().try_for_each(|action| text::action(action))
            }
            Self::Write {
                action, enclave, ..
            } => {
                text::action(action)?;
                text::module_id(enclave)
            }
        }
    }
}

/// What whoever holds an order knows by themselves.
#[derive(Clone, Debug)]
pub struct OrderFacts<'f, S> {
    /// The order's exact bytes.
    pub order: &'f [u8],
    /// The requester's signature, exactly as submitted.
    pub signature: &'f [u8],
    /// The approvals, exactly as submitted, in any order.
    pub approvals: &'f [S],
    /// Who asks: [`PersonId::of`] the name in the order, under the salt of the bundle.
    pub requester: PersonId,
    /// What the order says.
    pub scope: OrderScope,
}

/// What a verifier who holds the order cannot know:
/// `{"approvers":["p-<32 hex>"],"bundle":7,"salt":"<64 hex>","time":1767225600000}`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OrderExtra {
    /// Who approved, by the service's judgement, in the entry's order.
    pub approvers: Vec<PersonId>,
    /// Version of the bundle under which the service judged.
    pub bundle: u64,
    /// The salt of the evidence.
    pub salt: Salt,
    /// When, in milliseconds since 1970.
    pub time: u64,
}

impl OrderExtra {
    /// The bytes in a proof.
    ///
    /// # Errors
    ///
    /// `log.entry` if a number is above 2^53 - 1, or there are too many approvers.
    pub fn to_bytes(&self) -> Result<Vec<u8>, LogError> {
        write_extra(
            Writing::default()
                .put("approvers", &self.approvers)
                .put("bundle", &self.bundle)
                .put("salt", &self.salt)
                .put("time", &self.time),
        )
    }

    /// Reads the extra of a proof.
    ///
    /// # Errors
    ///
    /// `log.entry` unless it is exactly what [`OrderExtra::to_bytes`] writes.
    pub fn from_bytes(extra: &[u8]) -> Result<Self, LogError> {
        let mut reading = read_extra(extra)?;
        let read = Self {
            approvers: reading.get("approvers")?,
            bundle: reading.get("bundle")?,
            salt: reading.get("salt")?,
            time: reading.get("time")?,
        };
        reading.finish()?;
        Ok(read)
    }
}

impl OrderEntry {
    /// The entry that accepts this order. The service writes it so, and a verifier rebuilds it so.
    ///
    /// # Errors
    ///
    /// `log.evidence` if order, signature and approvals are too many or too large.
    pub fn accepted<S: AsRef<[u8]>>(
        facts: &OrderFacts<'_, S>,
        extra: &OrderExtra,
    ) -> Result<Self, LogError> {
        let evidence = Evidence::order(facts.order, facts.signature, facts.approvals)?;
        Ok(Self {
            time: extra.time,
            decision: Decision::Accepted,
            order: Digest384::of(facts.order),
            evidence: evidence.digest(&extra.salt),
            requester: Some(facts.requester),
            approvers: extra.approvers.clone(),
            scope: Some(facts.scope.clone()),
            bundle: extra.bundle,
        })
    }

    /// The leaf that accepts this order: what a verifier looks for in the log. No extra makes it the leaf of a
    /// refusal, of another order, or of other signatures.
    ///
    /// # Errors
    ///
    /// `log.entry` if the extra has another form, or a fact is not as entries have it; `log.evidence` as
    /// [`OrderEntry::accepted`].
    pub fn accepted_leaf<S: AsRef<[u8]>>(
        facts: &OrderFacts<'_, S>,
        extra: &[u8],
    ) -> Result<Vec<u8>, LogError> {
        to_leaf(&Self::accepted(facts, &OrderExtra::from_bytes(extra)?)?)
    }

    /// What a proof of this entry must add; `salt` is that of its evidence.
    #[must_use]
    pub fn extra(&self, salt: Salt) -> OrderExtra {
        OrderExtra {
            approvers: self.approvers.clone(),
            bundle: self.bundle,
            salt,
            time: self.time,
        }
    }
}

impl Content for OrderEntry {
    const KIND: EntryKind = EntryKind::Order;

    fn put<'t>(&'t self, writing: Writing<'t>) -> Writing<'t> {
        let writing = self
            .decision
            .put(writing)
            .put("order", &self.order)
            .put("evidence", &self.evidence)
            .put_some("requester", self.requester.as_ref())
            .put("approvers", &self.approvers)
            .put("bundle", &self.bundle);
        let Some(scope) = &self.scope else {
            return writing;
        };
        let writing = writing.put_text("kind", scope.kind().as_str());
        match scope {
            OrderScope::Read { actions } => writing.put("actions", actions),
            OrderScope::Write {
                action,
                enclave,
                boot,
            } => writing
                .put("actions", core::array::from_ref(action))
                .put("enclave", enclave)
                .put("boot", boot),
        }
    }

    fn take(reading: &mut Reading<'_>, time: u64) -> Result<Self, LogError> {
        Ok(Self {
            time,
            decision: Decision::take(reading)?,
            order: reading.get("order")?,
            evidence: reading.get("evidence")?,
            requester: reading.optional("requester")?,
            approvers: reading.get("approvers")?,
            scope: reading
                .optional("kind")?
                .map(|kind| take_scope(kind, reading))
                .transpose()?,
            bundle: reading.get("bundle")?,
        })
    }

    fn check(&self) -> Result<(), LogError> {
        self.decision.check()?;
        require(
            !self.decision.is_accepted() || (self.requester.is_some() && self.scope.is_some()),
            "an accepted order without requester or kind",
        )?;
        require_distinct(&self.approvers, "an approver is listed twice")?;
        self.scope.as_ref().map_or(Ok(()), OrderScope::check)
    }

    fn time(&self) -> u64 {
        self.time
    }
}

fn take_scope(kind: OrderKind, reading: &mut Reading<'_>) -> Result<OrderScope, LogError> {
    match kind {
        OrderKind::Read => Ok(OrderScope::Read {
            actions: reading.get("actions")?,
        }),
        OrderKind::Write => {
            let [action] = reading.get("actions")?;
            Ok(OrderScope::Write {
                action,
                enclave: reading.get("enclave")?,
                boot: reading.get("boot")?,
            })
        }
    }
}
