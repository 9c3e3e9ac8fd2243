//! The first policy, from an untrusted source, and the log's word that it is the one in force.

use std::collections::BTreeSet;
use std::time::Duration;

use narthex_channel::Address;
use narthex_channel::policy::PolicyAnswer;
use narthex_ledger::LogReason;
use narthex_policy::{Digest384, Policy, SignedFile, TrustAnchor};

use crate::config::{Config, ConfigError};
use crate::error::AgentError;
use crate::init::code::BootCode;
use crate::init::status::{BootReporter, Stage};
use crate::log::{LogRule, LoggedPolicy};
use crate::notice::Notices;
use crate::supervisor::exchange::{ExchangeFailure, Exchanger};
use crate::supervisor::jitter;
use crate::supervisor::policy_watch::{ask, signed_file};
use crate::trusted_time::{BootMillis, TrustedTime};

/// Shortest pause between two attempts.
const SHORTEST_PAUSE: Duration = Duration::from_millis(250);

/// Where the first policy comes from, and what it must satisfy.
pub struct PolicySource {
    address: Address,
    anchor: TrustAnchor,
    log: LogRule,
    longest_pause: Duration,
}

impl PolicySource {
    /// As configured.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] for an address that is none.
    pub fn new(config: &Config) -> Result<Self, ConfigError> {
        Ok(Self {
            address: config.policy.address()?,
            anchor: config.trust.clone(),
            log: LogRule::new(config.insecure_without_ledger),
            longest_pause: Duration::from_secs(u64::from(config.fetcher.retry_max_seconds)),
        })
    }

    /// Asks until there is a policy that the anchor accepts and the log names as the one in force. A source that answers
    /// nonsense, or nothing, is asked again: it is not trusted to end the boot. Only a sandbox that cannot be enforced
    /// ends it.
    ///
    /// # Errors
    ///
    /// [`AgentError::Sandbox`].
    pub async fn policy(
        &self,
        exchanger: &Exchanger,
        time: &TrustedTime,
        notices: Notices,
        reporter: &BootReporter,
    ) -> Result<(LoggedPolicy, PolicyAnswer), AgentError> {
        let mut pause = SHORTEST_PAUSE;
        loop {
            match self.attempt(exchanger, time).await {
                Ok(found) => return Ok(found),
                Err(Failure::Exchange(ExchangeFailure::Sandbox(error))) => {
                    return Err(AgentError::Sandbox(error));
                }
                Err(Failure::Exchange(failure)) => {
                    reporter.say(Stage::Waiting, BootCode::of_exchange(failure));
                    notices.say("the policy source did not answer", failure.id());
                }
                Err(Failure::Policy(reason)) => {
                    reporter.say(Stage::Waiting, BootCode::of_policy(reason));
                    notices.say("the policy source gave no acceptable policy", reason.id());
                }
                Err(Failure::Log(reason)) => {
                    reporter.say(Stage::Waiting, BootCode::of_log(reason));
                    notices.say(
                        "the log does not show that this policy is in force",
                        reason.id(),
                    );
                }
            }
            tokio::time::sleep(jitter(pause)).await;
            pause = pause.saturating_mul(2).min(self.longest_pause);
        }
    }

    async fn attempt(
        &self,
        exchanger: &Exchanger,
        time: &TrustedTime,
    ) -> Result<(LoggedPolicy, PolicyAnswer), Failure> {
        // The anchor's reviewers sign the bundle of that version, or the chain from it.
        let since_version = self.anchor.minimum_bundle_version().saturating_sub(1);
        let answer = ask(exchanger, &self.address, since_version, &BTreeSet::new())
            .await
            .map_err(Failure::Exchange)?;
        let chain: Vec<SignedFile> = answer.bundles.iter().map(signed_file).collect();
        let now = time.now(BootMillis::read());
        let policy = Policy::from_anchor(&self.anchor, &chain, narthex_policy::UnixMillis(now.0))
            .map_err(|refusal| Failure::Policy(refusal.reason()))?;
        let others: Vec<Digest384> = chain
            .iter()
            .map(|file| Digest384::of(&file.bytes))
            .collect();
        let currency = answer.currency.as_deref();
        let policy =
            LoggedPolicy::judge(self.log, policy, currency, &others, now).map_err(Failure::Log)?;
        Ok((policy, answer))
    }
}

enum Failure {
    Exchange(ExchangeFailure),
    Policy(narthex_policy::Reason),
    Log(LogReason),
}
