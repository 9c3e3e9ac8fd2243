//! The authority: every decision of the agent, in one place that does no IO and reads no clock.
//!
//! It believes nothing the gate says. A call is judged from its raw bytes, the log's proof among them, and from what
//! the authority itself knows: the policy in force, this enclave's identity, the handshake hash it attested,
//! and which calls were made before. Each decision goes into the hash chain, an accepted one before anything is done about
//! it: [`FreshCall`] comes out of [`Authority::judge`] only after that.

use narthex_channel::diagnostics::{
    BundleInForce, CallRequest, Decisions, ReleaseState, SessionStatement,
};
use narthex_channel::{Digest384, HandshakeHash, Message, UnixMillis};
use narthex_ledger::LogReason;
use narthex_policy::{
    BootId, FreshCall, Logged, OrderContext, PersonName, Policy, Reason, Refusal, ReleaseStatus,
    SessionHash, SignedCall, SignedFile, SignedOrder, Succession, UsedCalls,
};

use super::identity::{Identity, agent_version};
use super::reason::CallRefusal;
use super::sessions::{Attested, Session, SessionRefusal, Sessions};
use crate::config::GateConfig;
use crate::decisions::{Decision, DecisionChain, Outcome};
use crate::log::{LogGuard, LogTime, LoggedPolicy, SuccessorRefusal};
use crate::rate::Buckets;
use crate::trusted_time::BootMillis;

/// Orders whose used calls are remembered at once; at 1250 bytes each this is 1.3 MiB, if all allow the most
/// calls and all are used to the last.
const MAX_ORDERS: usize = 1024;
/// Of these, orders of one operator: a single one must not keep the others out for as long as an order may last.
const MAX_ORDERS_PER_OPERATOR: usize = 64;
/// Operators whose rates are kept at once.
const MAX_OPERATORS: usize = 64;

/// Trusted time and the boot clock, read together by the caller.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// Trusted time: for everything that policy decides.
    pub trusted: UnixMillis,
    /// The boot clock: for rates.
    pub boot: BootMillis,
}

impl Now {
    fn policy(self) -> narthex_policy::UnixMillis {
        narthex_policy::UnixMillis(self.trusted.0)
    }
}

/// Why this enclave may not be given keys now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeysWithheld {
    /// The policy in force has expired.
    PolicyExpired,
    /// The policy in force does not list this release as current or previous.
    Release(ReleaseState),
}

/// The authority of one boot.
pub struct Authority {
    identity: Identity,
    in_force: LoggedPolicy,
    boot_bundle: Digest384,
    sessions: Sessions,
    used: UsedCalls,
    operators: Buckets<PersonName>,
    chain: DecisionChain,
    witnessed: Option<UnixMillis>,
    successor_withheld: Option<LogReason>,
}

impl Authority {
    /// Starts with the policy that was verified at boot and extended into PCR16.
    pub fn new(identity: Identity, policy: LoggedPolicy, limits: &GateConfig, now: Now) -> Self {
        let max_sessions = usize::from(limits.connections);
        Self {
            identity,
            boot_bundle: Digest384::from_bytes(policy.policy().digest().0),
            witnessed: policy.seen().and_then(|seen| seen.floor),
            successor_withheld: None,
            in_force: policy,
            sessions: Sessions::new(max_sessions, limits.sessions_per_minute, now.boot),
            used: UsedCalls::new(MAX_ORDERS).with_max_orders_per_person(MAX_ORDERS_PER_OPERATOR),
            operators: Buckets::new(limits.calls_per_minute, MAX_OPERATORS),
            chain: DecisionChain::start(),
        }
    }

    /// Which enclave this is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The policy in force.
    pub fn policy(&self) -> &Policy {
        self.in_force.policy()
    }

    /// The log, as the bundle in force has it.
    pub fn log(&self) -> &LogGuard {
        self.in_force.log()
    }

    /// When the log's witnesses last saw that the bundle in force is the one in force. `None` without a log.
    pub fn current_at(&self) -> Option<UnixMillis> {
        self.in_force.seen().map(|seen| seen.at)
    }

    /// Why the newest successor that was offered is not in force, though its signatures hold: the log's word.
    pub fn successor_withheld(&self) -> Option<LogReason> {
        self.successor_withheld
    }

    /// The latest moment at which a quorum of the log's witnesses is known to have signed: a floor of trusted time.
    pub fn witnessed(&self) -> Option<UnixMillis> {
        self.witnessed
    }

    /// SHA-384 of the bundle in PCR16.
    pub fn boot_bundle(&self) -> Digest384 {
        self.boot_bundle
    }

    /// SHA-384 of the bundle in force.
    pub fn bundle_in_force(&self) -> Digest384 {
        Digest384::from_bytes(self.policy().digest().0)
    }

    /// The chain of decisions.
    pub fn chain(&self) -> &DecisionChain {
        &self.chain
    }

    /// Sessions open now.
    pub fn open_sessions(&self) -> usize {
        self.sessions.len()
    }

    /// What the policy in force says of this enclave's own release.
    pub fn release_state(&self, now: Now) -> ReleaseState {
        match self
            .policy()
            .release_for(&self.identity.measurements, now.policy())
        {
            Ok(release) => match release.status {
                ReleaseStatus::Current => ReleaseState::Current,
                ReleaseStatus::Previous => ReleaseState::Previous,
                ReleaseStatus::Revoked => ReleaseState::Revoked,
            },
            Err(refusal) => match refusal.reason() {
                Reason::ReleaseRevoked | Reason::ReleaseStopped => ReleaseState::Revoked,
                Reason::ReleaseExpired => ReleaseState::Expired,
                _ => ReleaseState::Unknown,
            },
        }
    }

    /// Whether the bundle in force has expired.
    pub fn is_expired(&self, now: Now) -> bool {
        self.policy().is_expired(now.policy())
    }

    /// Whether this enclave may be given keys now: the bundle in force has not expired, and lists this release as
    /// current or previous.
    ///
    /// # Errors
    ///
    /// [`KeysWithheld`].
    pub fn may_have_keys(&self, now: Now) -> Result<(), KeysWithheld> {
        if self.is_expired(now) {
            return Err(KeysWithheld::PolicyExpired);
        }
        match self.release_state(now) {
            ReleaseState::Current | ReleaseState::Previous => Ok(()),
            other => Err(KeysWithheld::Release(other)),
        }
    }

    /// The session statement as of now.
    pub fn statement(&self, now: Now) -> SessionStatement {
        SessionStatement {
            module_id: self.identity.module_id.clone(),
            boot_id: self.identity.boot_id,
            agent_version: agent_version(),
            boot_bundle: self.boot_bundle,
            bundle_in_force: BundleInForce {
                digest: self.bundle_in_force(),
                version: self.policy().bundle().version,
            },
            release: self.release_state(now),
            log_check: self.log().log_check(),
            decisions: Decisions {
                accepted: self.chain.accepted(),
                refused: self.chain.refused(),
            },
            chain_head: self.chain.head(),
            now: now.trusted,
        }
    }

    /// Enters a session that the gate says was opened. The caller has it attested next.
    ///
    /// # Errors
    ///
    /// [`SessionRefusal`]; recorded.
    pub fn open_session(
        &mut self,
        connection: u32,
        handshake_hash: HandshakeHash,
        now: Now,
    ) -> Result<(), SessionRefusal> {
        self.sessions
            .open(connection, handshake_hash, now.boot)
            .inspect_err(|refusal| {
                self.chain.record(&Decision {
                    now: now.trusted,
                    outcome: Outcome::Refused,
                    subject: refusal.id(),
                    order: None,
                    session: Some(handshake_hash),
                });
            })
    }

    /// Notes what was attested for a session.
    ///
    /// # Errors
    ///
    /// [`SessionRefusal::Unknown`].
    pub fn session_attested(
        &mut self,
        connection: u32,
        handshake_hash: &HandshakeHash,
        attested: Attested,
    ) -> Result<(), SessionRefusal> {
        self.sessions.attest(connection, handshake_hash, attested)
    }

    /// Forgets a session that could not be attested.
    pub fn abandon_session(&mut self, connection: u32, handshake_hash: &HandshakeHash) {
        self.sessions.abandon(connection, handshake_hash);
    }

    /// The session on `connection`.
    pub fn session(&self, connection: u32) -> Option<&Session> {
        self.sessions.get(connection)
    }

    /// Forgets a session.
    pub fn close_session(&mut self, connection: u32) {
        self.sessions.close(connection);
    }

    /// Forgets all sessions: their gate is gone.
    pub fn close_all_sessions(&mut self) {
        self.sessions.close_all();
    }

    /// Judges the raw bytes of a call that the gate says came on `connection`, and records the decision.
    ///
    /// # Errors
    ///
    /// [`CallRefusal`]; nothing may then be done.
    pub fn judge(
        &mut self,
        connection: u32,
        content: &[u8],
        now: Now,
    ) -> Result<FreshCall, CallRefusal> {
        let mut seen = Seen::default();
        let judgement = self.examine(connection, content, now, &mut seen);
        let Seen { session, order } = seen;
        let (outcome, subject) = match &judgement {
            Ok(call) => (Outcome::Accepted, call.action().name()),
            Err(refusal) => (Outcome::Refused, refusal.id()),
        };
        self.chain.record(&Decision {
            now: now.trusted,
            outcome,
            subject,
            order,
            session,
        });
        judgement
    }

    fn examine(
        &mut self,
        connection: u32,
        content: &[u8],
        now: Now,
        seen: &mut Seen,
    ) -> Result<FreshCall, CallRefusal> {
        let handshake_hash = *self
            .sessions
            .attempt(connection, now.boot)?
            .handshake_hash();
        seen.session = Some(handshake_hash);
        let CallRequest {
            order,
            order_signature,
            approvals,
            call,
            call_signature,
            log_proof,
        } = CallRequest::from_bytes(content)?;
        seen.order = Some(Digest384::of(&order));
        let proof = self.log().open_order(log_proof.as_deref(), now.trusted)?;
        let signed = SignedOrder {
            bytes: order,
            signature: order_signature.as_str().to_owned(),
            approvals: approvals
                .iter()
                .map(|approval| approval.as_str().to_owned())
                .collect(),
        };
        let logged = match (self.log(), &proof) {
            (_, Some(proof)) => Logged::At(narthex_policy::UnixMillis(proof.logged().0)),
            (LogGuard::Required(_), None) => return Err(LogReason::ProofMissing.into()),
            (LogGuard::InsecureWithoutLedger, None) => Logged::InsecureNotLooked,
        };
        let boot_id = BootId(self.identity.boot_id.0);
        let context = OrderContext {
            now: now.policy(),
            module_id: self.identity.module_id.as_str(),
            instance_id: self.identity.instance_id(),
            boot_id: &boot_id,
            measurements: &self.identity.measurements,
            logged,
        };
        let order = self.policy().authorise_order(&signed, &context)?;
        // Only now is the order something that a known person signed, and taken apart.
        let logged = self.log().check_order(proof, &signed)?;
        self.learn(logged);
        let call = SignedCall {
            bytes: call,
            signature: call_signature.as_str().to_owned(),
        };
        let session = SessionHash(*handshake_hash.as_bytes());
        let call = self
            .policy()
            .authorise_call(&order, &call, &session, now.policy())?;
        if call.action().is_write() {
            self.require_release_in_good_standing(call.action(), now)?;
        }
        if !self.operators.take(&call.requester().person, now.boot) {
            return Err(CallRefusal::RateLimited);
        }
        Ok(self.used.claim(call, now.policy())?)
    }

    /// A revoked release may be shut down, and not be started again or given keys.
    fn require_release_in_good_standing(
        &self,
        action: narthex_policy::Action,
        now: Now,
    ) -> Result<(), CallRefusal> {
        let revoked = self.release_state(now) == ReleaseState::Revoked;
        if revoked && action != narthex_policy::Action::Shutdown {
            return Err(CallRefusal::ReleaseRevoked);
        }
        Ok(())
    }

    /// Takes the bundles of the untrusted source that follow, as many as hold, if `currency` shows that the log
    /// names the last of them as the one in force; records the decision about each. See
    /// [`Policy::succeed_chain`].
    ///
    /// # Errors
    ///
    /// [`SuccessorRefusal`]; the bundle in force stays.
    pub fn succeed(
        &mut self,
        chain: &[SignedFile],
        currency: Option<&[u8]>,
        now: Now,
    ) -> Result<Vec<Succession>, SuccessorRefusal> {
        let result = self.in_force.succeed(chain, currency, now.trusted);
        match &result {
            Ok(taken) => {
                self.successor_withheld = None;
                self.learn(self.in_force.seen());
                taken
                    .iter()
                    .for_each(|_| self.record_event(Outcome::Accepted, "policy.bundle", now));
            }
            Err(refusal) => {
                if let SuccessorRefusal::Log(reason) = refusal {
                    self.successor_withheld = Some(*reason);
                }
                self.record_event(Outcome::Refused, refusal.id(), now);
            }
        }
        result
    }

    /// Hears that no successor is on offer any more.
    pub fn no_successor(&mut self) {
        self.successor_withheld = None;
    }

    /// Takes what `currency` says about the bundle in force. Records nothing: nothing changes but what is known.
    pub fn confirm(&mut self, currency: Option<&[u8]>, now: Now) {
        self.in_force.confirm(currency, now.trusted);
        self.learn(self.in_force.seen());
    }

    /// Takes note of when the log's witnesses signed.
    pub fn learn(&mut self, seen: Option<LogTime>) {
        let witnessed = seen.and_then(|seen| seen.floor);
        self.witnessed = self.witnessed.max(witnessed);
    }

    /// Takes a release statement from the untrusted source, and records the decision.
    ///
    /// # Errors
    ///
    /// The policy's refusal.
    pub fn add_release(&mut self, file: &SignedFile, now: Now) -> Result<(), Refusal> {
        let result = self.in_force.add_release(file, now.trusted);
        self.record_statement("policy.release", result.as_ref().err(), now);
        result
    }

    /// Takes a stop statement from the untrusted source, and records the decision.
    ///
    /// # Errors
    ///
    /// The policy's refusal.
    pub fn add_stop(&mut self, file: &SignedFile, now: Now) -> Result<(), Refusal> {
        let result = self.in_force.add_stop(file, now.trusted);
        self.record_statement("policy.stop", result.as_ref().err(), now);
        result
    }

    /// Records an event that is nobody's call: keys received, a release found revoked.
    pub fn record_event(&mut self, outcome: Outcome, subject: &'static str, now: Now) {
        let decision = Decision {
            now: now.trusted,
            outcome,
            subject,
            order: None,
            session: None,
        };
        self.chain.record(&decision);
    }

    fn record_statement(&mut self, accepted: &'static str, refusal: Option<&Refusal>, now: Now) {
        match refusal {
            None => self.record_event(Outcome::Accepted, accepted, now),
            Some(refusal) => self.record_event(Outcome::Refused, refusal.id(), now),
        }
    }
}

/// What was learnt about a call before it was refused.
#[derive(Default)]
struct Seen {
    session: Option<HandshakeHash>,
    order: Option<Digest384>,
}
