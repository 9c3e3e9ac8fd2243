//! A policy that the log names as the one in force.

use narthex_channel::UnixMillis;
use narthex_ledger::LogReason;
use narthex_policy::{Digest384, Policy, Refusal, SignedFile, Succession};

use super::checks::LogTime;
use super::{LogGuard, LogRule};

/// A policy for which the log's word was heard: its witnesses have seen, no longer ago than a day, that no other bundle
/// was in force. Only [`LoggedPolicy::judge`] makes it, so what holds one cannot act on a frozen policy by
/// mistake.
///
/// ```compile_fail
/// let policy = narthex_agent::log::LoggedPolicy { ..todo!() };
/// ```
pub struct LoggedPolicy {
    policy: Policy,
    log: LogGuard,
    seen: Option<LogTime>,
}

/// Why a successor is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SuccessorRefusal {
    /// The policy itself, signatures included.
    Policy(Refusal),
    /// The log does not show that it is the one in force.
    Log(LogReason),
}

impl SuccessorRefusal {
    /// Stable text.
    pub fn id(&self) -> &'static str {
        match self {
            Self::Policy(refusal) => refusal.id(),
            Self::Log(reason) => reason.id(),
        }
    }
}

impl LoggedPolicy {
    /// Asks of `currency` that the log names `policy`'s bundle as the one in force. `others` are bundles that it could
    /// be about instead.
    ///
    /// # Errors
    ///
    /// See [`LogGuard::check_currency`].
    pub fn judge(
        rule: LogRule,
        policy: Policy,
        currency: Option<&[u8]>,
        others: &[Digest384],
        now: UnixMillis,
    ) -> Result<Self, LogReason> {
        let log = LogGuard::new(rule, policy.bundle())?;
        let seen = log.check_currency(currency, &policy, others, now)?;
        Ok(Self { policy, log, seen })
    }

    /// The policy.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The log as its bundle has it.
    pub fn log(&self) -> &LogGuard {
        &self.log
    }

    /// When the log's witnesses last saw that its bundle is the one in force. `None` without a log.
    pub fn seen(&self) -> Option<LogTime> {
        self.seen
    }

    /// Takes the bundles that follow, as [`Policy::succeed_chain`] does, if `currency` shows that the last of them is
    /// the one in force.
    ///
    /// # Errors
    ///
    /// [`SuccessorRefusal`]; nothing has changed then.
    pub fn succeed(
        &mut self,
        chain: &[SignedFile],
        currency: Option<&[u8]>,
        now: UnixMillis,
    ) -> Result<Vec<Succession>, SuccessorRefusal> {
        let mut next = self.policy.clone();
        let steps = next
            .succeed_chain(chain, narthex_policy::UnixMillis(now.0))
            .map_err(SuccessorRefusal::Policy)?;
        let mut others = vec![*self.policy.digest()];
        others.extend(steps.iter().map(|step| step.digest));
        *self = Self::judge(self.log.rule(), next, currency, &others, now)
            .map_err(SuccessorRefusal::Log)?;
        Ok(steps)
    }

    /// Takes a newer proof that the bundle in force still is. One that does not hold changes nothing: it may be about a
    /// successor that is still on its way.
    pub fn confirm(&mut self, currency: Option<&[u8]>, now: UnixMillis) {
        let seen = self.log.check_currency(currency, &self.policy, &[], now);
        if let Ok(Some(seen)) = seen {
            let newer = self.seen.is_none_or(|known| known.at < seen.at);
            if newer {
                self.seen = Some(seen);
            }
        }
    }

    /// [`Policy::add_release`]: releases need no word of the log.
    ///
    /// # Errors
    ///
    /// The policy's refusal.
    pub fn add_release(&mut self, file: &SignedFile, now: UnixMillis) -> Result<(), Refusal> {
        let now = narthex_policy::UnixMillis(now.0);
        self.policy.add_release(file, now).map(|_| ())
    }

    /// [`Policy::add_stop`]: what only narrows must not wait for the log.
    ///
    /// # Errors
    ///
    /// The policy's refusal.
    pub fn add_stop(&mut self, file: &SignedFile, now: UnixMillis) -> Result<(), Refusal> {
        let now = narthex_policy::UnixMillis(now.0);
        self.policy.add_stop(file, now)
    }
}
