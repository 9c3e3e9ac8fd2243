//! Looking for successors, releases and stops at the untrusted policy source, again and again.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use narthex_channel::limits::MAX_KNOWN_STATEMENTS;
use narthex_channel::policy::{PolicyAnswer, PolicyRequest, Signed};
use narthex_channel::{Address, Digest384, Message};
use narthex_ledger::LogReason;
use narthex_policy::{Reason, Refusal, SignedFile};

use super::authority::{Authority, Now};
use super::core::Core;
use super::exchange::{ExchangeFailure, Exchanger, Peer};
use super::jitter;
use crate::log::SuccessorRefusal;

/// Asks the source once. `since_version` and `known` say what need not be sent.
///
/// # Errors
///
/// [`ExchangeFailure`]; an answer that is none counts as [`ExchangeFailure::Compose`] with its reason.
pub async fn ask(
    exchanger: &Exchanger,
    source: &Address,
    since_version: u64,
    known: &BTreeSet<Digest384>,
) -> Result<PolicyAnswer, ExchangeFailure> {
    let request = PolicyRequest {
        since_version,
        known_statements: known.iter().take(MAX_KNOWN_STATEMENTS).copied().collect(),
    };
    let request = request
        .to_bytes()
        .map_err(|error| ExchangeFailure::Compose(error.id()))?;
    let peer = Peer::PolicySource(source.clone());
    let answer = exchanger
        .exchange(&peer, async |_| Ok(request.to_vec()))
        .await?;
    PolicyAnswer::from_bytes(&answer).map_err(|error| ExchangeFailure::Compose(error.id()))
}

/// A file of the answer, as the policy takes it.
pub fn signed_file(signed: &Signed) -> SignedFile {
    SignedFile {
        bytes: signed.bytes.clone(),
        signatures: signed
            .signatures
            .iter()
            .map(|signature| signature.as_str().to_owned())
            .collect(),
    }
}

/// What was taken out of answers so far.
#[derive(Debug, Default)]
pub struct Intake {
    /// Statements that were taken.
    known: BTreeSet<Digest384>,
    /// Files that were refused by the policy in force, signatures included: a file may come again with
    /// the signature that it lacked. Not judged again until the policy changes.
    refused: BTreeSet<Digest384>,
    /// Successors that were refused for the log's proof, with that proof: they may come again with another.
    unproved: Option<Digest384>,
}

/// What an answer changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Successor bundles taken.
    pub bundles: usize,
    /// Release statements taken.
    pub releases: usize,
    /// Stop statements taken.
    pub stops: usize,
    /// Why a successor was not taken though its signatures hold.
    pub withheld: Option<LogReason>,
}

impl Intake {
    /// The statements that need not be sent again.
    pub fn known(&self) -> &BTreeSet<Digest384> {
        &self.known
    }

    /// Takes what is new and sound out of an answer: stops first, because they only narrow, then bundles,
    /// then releases, and the stops again that only a new bundle allows.
    pub fn take(&mut self, answer: &PolicyAnswer, authority: &mut Authority, now: Now) -> Changes {
        let mut changes = Changes::default();
        changes.stops += self.take_files(&answer.stops, |file| authority.add_stop(file, now));
        let currency = answer.currency.as_deref();
        (changes.bundles, changes.withheld) =
            self.take_bundles(&answer.bundles, currency, authority, now);
        if changes.bundles == 0 {
            authority.confirm(currency, now);
        }
        if changes.bundles > 0 {
            // Who may sign statements may have changed: all are judged anew, and what the new bundle
            // dropped is asked for again.
            self.known.clear();
            self.refused.clear();
        }
        if changes.bundles > 0 {
            changes.stops += self.take_files(&answer.stops, |file| authority.add_stop(file, now));
        }
        changes.releases =
            self.take_files(&answer.releases, |file| authority.add_release(file, now));
        changes
    }

    /// Judges the bundles as one chain: one that has expired leads to one that has not. What leads nowhere,
    /// such as a bundle that was in force long ago, is passed over. What the log does not name as the one in force
    /// is left: how many were taken, and why no more.
    fn take_bundles(
        &mut self,
        bundles: &[Signed],
        currency: Option<&[u8]>,
        authority: &mut Authority,
        now: Now,
    ) -> (usize, Option<LogReason>) {
        let is_new = |signed: &&Signed| {
            let digest = Digest384::of(&signed.bytes);
            let digest = narthex_policy::Digest384(*digest.as_bytes());
            authority.policy().version_of(&digest).is_none()
        };
        let new: Vec<&Signed> = bundles.iter().filter(is_new).collect();
        let parts: Vec<Digest384> = new
            .iter()
            .map(|signed| digest_with_signatures(&Digest384::of(&signed.bytes), signed))
            .collect();
        let parts: Vec<&[u8]> = parts.iter().map(AsRef::as_ref).collect();
        let attempt = Digest384::of_parts(&parts);
        if self.refused.contains(&attempt) {
            return (0, None);
        }
        let chain: Vec<SignedFile> = new.into_iter().map(signed_file).collect();
        if chain.is_empty() {
            authority.no_successor();
            return (0, None);
        }
        let with_proof = digest_with_proof(&attempt, currency);
        if self.unproved == Some(with_proof) {
            return (0, None);
        }
        let (mut rest, mut taken, mut lasting) = (chain.as_slice(), 0, true);
        while let Some((_, after_first)) = rest.split_first() {
            match authority.succeed(rest, currency, now) {
                Ok(steps) => {
                    taken += steps.len();
                    rest = rest.get(steps.len()..).unwrap_or_default();
                }
                Err(SuccessorRefusal::Policy(refusal)) => {
                    lasting &= is_lasting(&refusal);
                    rest = after_first;
                }
                Err(SuccessorRefusal::Log(reason)) => {
                    // Time cures a proof from the future only; any other is not judged again.
                    if reason != LogReason::Future {
                        self.unproved = Some(with_proof);
                    }
                    return (taken, Some(reason));
                }
            }
        }
        if taken == 0 && lasting {
            self.remember_refused(attempt);
        }
        (taken, None)
    }

    fn take_files(
        &mut self,
        files: &[Signed],
        mut take: impl FnMut(&SignedFile) -> Result<(), Refusal>,
    ) -> usize {
        let mut taken = 0;
        for signed in files {
            let digest = Digest384::of(&signed.bytes);
            let with_signatures = digest_with_signatures(&digest, signed);
            if self.known.contains(&digest) || self.refused.contains(&with_signatures) {
                continue;
            }
            match take(&signed_file(signed)) {
                Ok(()) => {
                    if self.known.len() < MAX_KNOWN_STATEMENTS {
                        self.known.insert(digest);
                    }
                    taken += 1;
                }
                Err(refusal) if is_lasting(&refusal) => self.remember_refused(with_signatures),
                Err(_) => {}
            }
        }
        taken
    }

    /// A hostile source could invent files without end; some digests make room then, and their files are
    /// judged again if they come again.
    fn remember_refused(&mut self, digest: Digest384) {
        if self.refused.len() >= MAX_KNOWN_STATEMENTS {
            self.refused.pop_first();
        }
        self.refused.insert(digest);
    }
}

/// Whether time alone cannot change the refusal. What is not yet valid will be: to forget about it would be to
/// forget a stop statement whose signer's clock ran ahead.
fn is_lasting(refusal: &Refusal) -> bool {
    !matches!(
        refusal.reason(),
        Reason::BundleNotYetValid | Reason::ReleaseNotYetValid | Reason::StopNotYetValid
    )
}

fn digest_with_proof(attempt: &Digest384, proof: Option<&[u8]>) -> Digest384 {
    let proof = proof.map(Digest384::of);
    let parts: Vec<&[u8]> = std::iter::once(attempt)
        .chain(&proof)
        .map(|part| part.as_ref())
        .collect();
    Digest384::of_parts(&parts)
}

fn digest_with_signatures(digest: &Digest384, signed: &Signed) -> Digest384 {
    let signatures: Vec<Digest384> = signed
        .signatures
        .iter()
        .map(|signature| Digest384::of(signature.as_str().as_bytes()))
        .collect();
    let parts: Vec<&[u8]> = std::iter::once(digest)
        .chain(&signatures)
        .map(|part| part.as_ref())
        .collect();
    // Parts of one length each: the concatenation is unambiguous.
    Digest384::of_parts(&parts)
}

/// Looks again and again, and acts on what is found. Never ends.
pub async fn watch(core: Rc<Core>, mut intake: Intake) -> std::convert::Infallible {
    let interval = Duration::from_secs(u64::from(core.config.policy.poll_seconds));
    loop {
        tokio::time::sleep(jitter(interval)).await;
        look(&core, &mut intake).await;
        // Also without news: a release may have expired, or a stop come into effect by time.
        core.act_on_release_state().await;
    }
}

async fn look(core: &Rc<Core>, intake: &mut Intake) {
    core.policy_status.borrow_mut().requested();
    let since_version = core.authority.borrow().policy().version();
    let answer = ask(
        &core.exchanger,
        &core.policy_source,
        since_version,
        intake.known(),
    )
    .await;
    let now = core.now();
    match answer {
        Ok(answer) => {
            core.policy_status.borrow_mut().succeeded = Some(now.trusted);
            let changes = intake.take(&answer, &mut core.authority.borrow_mut(), now);
            let Changes {
                bundles,
                releases,
                stops,
                withheld,
            } = changes;
            core.learn_time();
            if let Some(reason) = withheld {
                core.notices.say(
                    "a successor bundle is not taken: the log does not show that it is in force",
                    reason.id(),
                );
            }
            for (count, what) in [
                (bundles, "a successor bundle is in force"),
                (releases, "a release statement was taken"),
                (stops, "a stop statement was taken"),
            ] {
                if count > 0 {
                    core.notices.say(what, "");
                }
            }
            if bundles > 0 && !core.keyring.borrow().is_complete() {
                // The new bundle may be what the keys waited for.
                core.fetch_keys.notify_one();
            }
        }
        Err(failure) => {
            core.policy_status.borrow_mut().failed();
            core.notices
                .say("the policy source did not answer", failure.id());
        }
    }
}
