//! What the agent asks of the transparency log before it acts: no proof, no action.
//!
//! | Before | the log must have | as an entry |
//! |---|---|---|
//! | a bundle comes into force, at boot and later | named it as the one in force, as the last thing it said, no longer ago than a day | `current` |
//! | a call is answered | accepted exactly this order, with exactly these approvals | `order` |
//! | a key is opened | recorded exactly this release, of these keys, in this session | `release` |
//!
//! Nobody is asked: each comes with a proof that is checked here, against the log's key, the witnesses and the quorum of the
//! bundle in force. So work goes on while log, witnesses and key service are down, for as long as an order
//! lasts. The agent writes down itself what the log must have recorded; only what it cannot know (the service's
//! clock, a salt) comes with the proof.
//!
//! `insecure_without_ledger`, of `--local` only, skips these three checks and shows in every answer.
//! No input or output, no clock: bytes and trusted time in, times or a [`LogReason`] out.

mod checks;
mod policy;

use narthex_channel::UnixMillis;
use narthex_channel::diagnostics::LogCheck;
use narthex_ledger::LogReason;
use narthex_policy::{Bundle, Digest384, Policy, SignedOrder};

pub use checks::{LogChecks, LogTime, MAX_CURRENCY_AGE, MAX_SKEW, OrderProof, ReleasedKeys};
pub use policy::{LoggedPolicy, SuccessorRefusal};

/// Whether the log is asked, as the configuration says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogRule {
    /// No proof, no action.
    Required,
    /// `insecure_without_ledger`, for development.
    InsecureWithoutLedger,
}

impl LogRule {
    /// The rule for a configuration with this `insecure_without_ledger`.
    pub fn new(insecure_without_ledger: bool) -> Self {
        if insecure_without_ledger {
            Self::InsecureWithoutLedger
        } else {
            Self::Required
        }
    }
}

/// The log, as the bundle in force has it.
pub enum LogGuard {
    /// Its proofs are demanded and checked.
    Required(Box<LogChecks>),
    /// Nothing is demanded.
    InsecureWithoutLedger,
}

impl LogGuard {
    /// The log of `bundle`.
    ///
    /// # Errors
    ///
    /// [`LogReason::Policy`] for a bundle without `[ledger]`, when one is required.
    pub fn new(rule: LogRule, bundle: &Bundle) -> Result<Self, LogReason> {
        match rule {
            LogRule::Required => Ok(Self::Required(Box::new(LogChecks::of(bundle)?))),
            LogRule::InsecureWithoutLedger => Ok(Self::InsecureWithoutLedger),
        }
    }

    /// The rule it came from.
    pub fn rule(&self) -> LogRule {
        match self {
            Self::Required(_) => LogRule::Required,
            Self::InsecureWithoutLedger => LogRule::InsecureWithoutLedger,
        }
    }

    /// As it is shown in statements and results.
    pub fn log_check(&self) -> LogCheck {
        match self {
            Self::Required(_) => LogCheck::Required,
            Self::InsecureWithoutLedger => LogCheck::InsecureWithoutLedger,
        }
    }

    /// [`LogChecks::check_currency`], if the log is asked.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn check_currency(
        &self,
        proof: Option<&[u8]>,
        policy: &Policy,
        others: &[Digest384],
        now: UnixMillis,
    ) -> Result<Option<LogTime>, LogReason> {
        match self {
            Self::Required(checks) => checks.check_currency(proof, policy, others, now).map(Some),
            Self::InsecureWithoutLedger => Ok(None),
        }
    }

    /// [`LogChecks::open_order`], if the log is asked.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn open_order(
        &self,
        proof: Option<&[u8]>,
        now: UnixMillis,
    ) -> Result<Option<OrderProof>, LogReason> {
        match self {
            Self::Required(checks) => checks.open_order(proof, now).map(Some),
            Self::InsecureWithoutLedger => Ok(None),
        }
    }

    /// [`LogChecks::check_order`], if the log is asked.
    ///
    /// # Errors
    ///
    /// As there; [`LogReason::ProofMissing`] without an opened proof.
    pub fn check_order(
        &self,
        proof: Option<OrderProof>,
        order: &SignedOrder,
    ) -> Result<Option<LogTime>, LogReason> {
        match self {
            Self::Required(checks) => {
                let proof = proof.ok_or(LogReason::ProofMissing)?;
                checks.check_order(proof, order).map(Some)
            }
            Self::InsecureWithoutLedger => Ok(None),
        }
    }

    /// [`LogChecks::check_release`], if the log is asked.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn check_release(
        &self,
        proof: Option<&[u8]>,
        released: &ReleasedKeys<'_>,
        now: UnixMillis,
    ) -> Result<Option<LogTime>, LogReason> {
        match self {
            Self::Required(checks) => checks.check_release(proof, released, now).map(Some),
            Self::InsecureWithoutLedger => Ok(None),
        }
    }
}
