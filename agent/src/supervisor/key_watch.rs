//! Fetching keys until they are all there, and again when asked to.

use std::rc::Rc;
use std::time::Duration;

use narthex_channel::diagnostics::ReleaseState;
use narthex_channel::{HandshakeHash, Message, StaticPublic, UnixMillis};
use narthex_nsm::AttestationRequest;
use zeroize::Zeroizing;

use super::authority::KeysWithheld;
use super::core::Core;
use super::exchange::{ExchangeFailure, Peer};
use super::jitter;
use super::keyring::{Judges, KeyFailure, PendingRequest, SentRequest};
use crate::decisions::Outcome;
use crate::workload::KeyFile;

/// Shortest pause between two attempts.
const SHORTEST_PAUSE: Duration = Duration::from_millis(500);

/// Why an attempt was not made, or failed.
#[derive(Clone, Debug, PartialEq, Eq)]
enum FetchFailure {
    /// The policy in force withholds keys from this enclave.
    Withheld(KeysWithheld),
    /// The policy names no key service.
    NoService,
    /// The exchange.
    Exchange(ExchangeFailure),
    /// The answer.
    Keys(KeyFailure),
}

impl FetchFailure {
    fn id(&self) -> &str {
        match self {
            Self::Withheld(KeysWithheld::PolicyExpired) => "keys.policy_expired",
            Self::Withheld(KeysWithheld::Release(ReleaseState::Revoked)) => "keys.release_revoked",
            Self::Withheld(KeysWithheld::Release(ReleaseState::Expired)) => "keys.release_expired",
            Self::Withheld(KeysWithheld::Release(_)) => "keys.release_unknown",
            Self::NoService => "keys.no_service",
            Self::Exchange(failure) => failure.id(),
            // For the person at `--local`: what the authenticated service gave as its reason.
            Self::Keys(KeyFailure::RefusedByService(reason)) => reason.as_str(),
            Self::Keys(failure) => failure.id(),
        }
    }

    /// For the record, which takes closed ids only.
    fn recorded_id(&self) -> &'static str {
        match self {
            Self::Withheld(KeysWithheld::PolicyExpired) => "keys.policy_expired",
            Self::Withheld(KeysWithheld::Release(_)) => "keys.release",
            Self::NoService => "keys.no_service",
            Self::Exchange(failure) => failure.id(),
            Self::Keys(failure) => failure.id(),
        }
    }
}

/// Fetches keys at boot and whenever woken, and starts the workload when the first ones are there. Never ends.
pub async fn watch(core: Rc<Core>) -> std::convert::Infallible {
    let longest = Duration::from_secs(u64::from(core.config.fetcher.retry_max_seconds));
    loop {
        let mut pause = SHORTEST_PAUSE;
        while !core.revoked.get() {
            match fetch(&core).await {
                Ok(()) => {
                    start_workload(&core).await;
                    break;
                }
                Err(failure) => {
                    note(&core, &failure);
                    // A reload that fails leaves the keys that are held, and is asked for again by a person.
                    if core.keyring.borrow().is_complete() {
                        break;
                    }
                    let pause_now = jitter(pause);
                    pause = pause.saturating_mul(2).min(longest);
                    let next = core.now().trusted.0.saturating_add(millis(pause_now));
                    core.key_status.borrow_mut().next = Some(UnixMillis(next));
                    tokio::select! {
                        () = tokio::time::sleep(pause_now) => {}
                        () = core.fetch_keys.notified() => pause = SHORTEST_PAUSE,
                    }
                }
            }
        }
        core.key_status.borrow_mut().next = None;
        core.fetch_keys.notified().await;
    }
}

fn note(core: &Core, failure: &FetchFailure) {
    core.notices.say("keys were not received", failure.id());
    core.key_status.borrow_mut().failed();
    let now = core.now();
    core.authority
        .borrow_mut()
        .record_event(Outcome::Refused, failure.recorded_id(), now);
}

async fn start_workload(core: &Core) {
    // Between this check and the order nothing else runs: a revocation comes before it, or stops the workload
    // after it.
    if core.revoked.get() || core.workload_started.replace(true) {
        return;
    }
    if let Err(error) = core.workload.start().await {
        core.notices.say("the workload was not started", error.id());
    }
}

/// One attempt: all keys or none.
async fn fetch(core: &Rc<Core>) -> Result<(), FetchFailure> {
    if core.keyring.borrow().wanted().is_empty() {
        return Ok(());
    }
    core.key_status.borrow_mut().requested();
    let peer = key_service(core)?;
    let statement = {
        let authority = core.authority.borrow();
        authority.statement(core.now()).to_bytes()
    };
    let statement = statement.map_err(|error| FetchFailure::Keys(KeyFailure::Message(error)))?;
    let pending = core
        .keyring
        .borrow()
        .request(statement.to_vec())
        .map_err(FetchFailure::Keys)?;
    let mut sent: Option<SentRequest> = None;
    let answer = core
        .exchanger
        .exchange(&peer, async |handshake_hash| {
            let document = attest(core, &pending, handshake_hash).await?;
            let envelope = pending.envelope(document.clone());
            sent = Some(SentRequest {
                handshake_hash,
                document,
            });
            envelope.map_err(|error| error.id())
        })
        .await
        .map_err(FetchFailure::Exchange)?;
    let answer = Zeroizing::new(answer);
    let Some(sent) = sent else {
        return Err(FetchFailure::Exchange(ExchangeFailure::Timeout));
    };
    // The release may have been revoked, or the policy have expired, while the answer was on its way. From here
    // to the order to deliver nothing else runs, and `receive` judges by the policy as it is now.
    let now = core.now();
    let seen = {
        let authority = core.authority.borrow();
        authority
            .may_have_keys(now)
            .map_err(FetchFailure::Withheld)?;
        let judges = Judges {
            module_id: &authority.identity().module_id,
            policy: authority.policy(),
            log: authority.log(),
            now: now.trusted,
        };
        core.keyring
            .borrow_mut()
            .receive(&pending, &sent, &answer, &judges)
            .map_err(FetchFailure::Keys)?
    };
    core.key_status.borrow_mut().succeeded = Some(now.trusted);
    {
        let mut authority = core.authority.borrow_mut();
        authority.learn(seen);
        authority.record_event(Outcome::Accepted, "keys.received", now);
    }
    core.learn_time();
    core.notices.say("keys were received", "");
    let files = key_files(core);
    if let Err(error) = core.workload.deliver_keys(files).await {
        core.notices
            .say("the key files were not written", error.id());
        // Held here, and not by the workload before its next start: who looks must see a difference.
        core.key_status.borrow_mut().failed();
    }
    Ok(())
}

/// Whether keys may be asked for at all, and where.
fn key_service(core: &Core) -> Result<Peer, FetchFailure> {
    let authority = core.authority.borrow();
    authority
        .may_have_keys(core.now())
        .map_err(FetchFailure::Withheld)?;
    let address = core.key_service.clone().ok_or(FetchFailure::NoService)?;
    let identity = authority.policy().bundle().key_service.as_ref();
    let static_key = identity.ok_or(FetchFailure::NoService)?.static_key;
    Ok(Peer::KeyService {
        address,
        static_key: StaticPublic::from_bytes(static_key.0),
    })
}

/// A document that binds the request to this session.
async fn attest(
    core: &Core,
    pending: &PendingRequest,
    handshake_hash: HandshakeHash,
) -> Result<Vec<u8>, &'static str> {
    let user_data = Some(pending.user_data(&handshake_hash).as_bytes().to_vec());
    let request = AttestationRequest {
        user_data,
        nonce: None,
        public_key: None,
    };
    core.module
        .attest(request)
        .await
        .map_err(|error| error.id())
}

fn key_files(core: &Core) -> Vec<KeyFile> {
    let keyring = core.keyring.borrow();
    keyring
        .wanted()
        .iter()
        .filter_map(|wanted| {
            let held = keyring.held(&wanted.name)?;
            let bytes = Zeroizing::new(held.bytes.as_bytes().to_vec());
            Some(KeyFile {
                file: wanted.file.clone(),
                bytes,
            })
        })
        .collect()
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
