//! Verified state: the bundle in force, its releases and stops.

use core::time::Duration;

use crate::action::Action;
use crate::administration::KeyOperation;
use crate::anchor::TrustAnchor;
use crate::bundle::{Bundle, KeyRule};
use crate::call::{Parameters, SignedCall};
use crate::digest::{BootId, Digest384, Pcr, SessionHash};
use crate::file::SignedFile;
use crate::names::{KeyName, PersonName, ReleaseName, ReleaseVersion};
use crate::order::SignedOrder;
use crate::reason::{Reason, Refusal};
use crate::release::{Measurements, Release, ReleaseStatus};
use crate::time::UnixMillis;

/// Everything an agent, a service or a person at the command may rely on after its checks.
#[derive(Clone)]
pub struct Policy {
    bundle: Bundle,
}

/// What accepting a bundle changed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Succession {
    /// The version now in force.
    pub version: u64,
    /// Its digest.
    pub digest: Digest384,
    /// Whether the reviewers or their threshold changed; such a bundle belongs to the chain that
    /// agents get at boot.
    pub reviewers_changed: bool,
    /// Releases that the new bundle's authorities did not sign: they are gone until signed again.
    /// Revocations are never dropped.
    pub dropped_releases: Vec<(ReleaseName, ReleaseVersion)>,
}

/// Where and when an order is to be used.
#[derive(Clone, Copy, Debug)]
pub struct OrderContext<'a> {
    /// Trusted time.
    pub now: UnixMillis,
    /// The enclave's `module_id`, from a document of its own NSM.
    pub module_id: &'a str,
    /// Its parent instance's id.
    pub instance_id: &'a str,
    /// The agent's boot id.
    pub boot_id: &'a BootId,
    /// The enclave's own measurements, to find its release.
    pub measurements: &'a Measurements,
}

/// What an enclave shows when it asks for a key. Taken from an appraised document and the session
/// statement bound to it, never from anything else.
#[derive(Clone, Copy, Debug)]
pub struct KeyClaim<'a> {
    /// PCR0, PCR1, PCR2 and PCR8.
    pub measurements: &'a Measurements,
    /// PCR3, if the document has it.
    pub pcr3: Option<&'a Pcr>,
    /// PCR4, if the document has it.
    pub pcr4: Option<&'a Pcr>,
    /// PCR16: the bundle the agent booted with.
    pub pcr16: &'a Pcr,
    /// The digest of the bundle in force, as the session statement names it.
    pub bundle_in_force: &'a Digest384,
    /// The key asked for.
    pub key: &'a KeyName,
}

/// Proof that an order was signed, allowed, approved, is due, and names this enclave. Only
/// [`Policy::authorise_order`] makes it.
#[derive(Clone, Debug)]
pub struct AuthorisedOrder {
    digest: Digest384,
}

/// Proof that a call is signed by the requester of an authorised order, for this session. Only
/// [`Policy::authorise_call`] makes it. It may still be a repetition:
/// [`UsedCalls::claim`](crate::used_calls::UsedCalls::claim) turns it into a
/// [`FreshCall`](crate::used_calls::FreshCall).
#[derive(Debug)]
pub struct AuthorisedCall {
    action: Action,
}

/// Proof that an administration order may be carried out, once. Only
/// [`Policy::authorise_administration`] makes it. The key service marks
/// [`digest`](AuthorisedAdministration::digest) as used, durably, before it acts.
#[derive(Debug)]
pub struct AuthorisedAdministration {
    digest: Digest384,
}

/// Proof that an enclave may have a key. Only [`Policy::authorise_key`] makes it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct KeyGrant {
    key: KeyName,
}

impl Policy {
    /// What an agent does at boot: `chain` holds every bundle since the anchor that changed the
    /// reviewers, in order, and the newest bundle last. Bundles between them may be left out.
    ///
    /// # Errors
    ///
    /// `bundle.*`, `signature.*`, `person.*`, `file.*`. The newest bundle must not be expired.
    pub fn from_anchor(anchor: &TrustAnchor, chain: &[SignedFile], now: UnixMillis) -> Result<Self, Refusal> {
        todo!()
    }

    /// What a key service does at `init`: the first bundle, whose digest its staff were given by
    /// the reviewers.
    ///
    /// # Errors
    ///
    /// [`Reason::BundleGenesis`] if the digest differs, [`Reason::BundleExpired`], and what
    /// [`Policy::from_lineage`] refuses.
    pub fn from_genesis(genesis: &SignedFile, digest: &Digest384, now: UnixMillis) -> Result<Self, Refusal> {
        todo!()
    }

    /// What a key service does at start: replays every bundle from the genesis on, without gaps.
    /// The newest may have expired: the service starts, releases nothing, and takes a successor.
    ///
    /// # Errors
    ///
    /// `bundle.*`, `signature.*`, `person.*`, `file.*`.
    pub fn from_lineage(genesis_digest: &Digest384, chain: &[SignedFile], now: UnixMillis) -> Result<Self, Refusal> {
        todo!()
    }

    /// Takes the next bundle: exactly one version more, naming this one's digest, signed by the
    /// present reviewers, and by the new ones too if they change. Nothing changes on refusal.
    ///
    /// # Errors
    ///
    /// `bundle.*`, `signature.*`, `person.*`, `file.*`.
    pub fn succeed(&mut self, file: &SignedFile, now: UnixMillis) -> Result<Succession, Refusal> {
        todo!()
    }

    /// Takes a release statement. One that is already known changes nothing and is no error.
    ///
    /// # Errors
    ///
    /// `release.*`, `signature.*`, `file.*`.
    pub fn add_release(&mut self, file: &SignedFile, now: UnixMillis) -> Result<&Release, Refusal> {
        todo!()
    }

    /// Takes a stop statement, effective at once. One that is already known changes nothing.
    ///
    /// # Errors
    ///
    /// `stop.*`, `signature.*`, `file.*`.
    pub fn add_stop(&mut self, file: &SignedFile, now: UnixMillis) -> Result<(), Refusal> {
        todo!()
    }

    /// The bundle in force.
    pub fn bundle(&self) -> &Bundle {
        &self.bundle
    }

    /// The digest of the bundle in force.
    pub fn digest(&self) -> &Digest384 {
        todo!()
    }

    /// Whether the bundle in force has expired. Then keys and write actions are refused; read
    /// actions go on.
    pub fn is_expired(&self, now: UnixMillis) -> bool {
        todo!()
    }

    /// Highest serial among the stop statements taken, 0 if none.
    pub fn highest_stop(&self) -> u64 {
        todo!()
    }

    /// Number of stop statements taken.
    pub fn stops(&self) -> usize {
        todo!()
    }

    /// All release statements taken, the newest per name and version.
    pub fn releases(&self) -> impl Iterator<Item = &Release> {
        core::iter::empty()
    }

    /// The release with these measurements.
    ///
    /// # Errors
    ///
    /// [`Reason::ReleaseZeroPcr`], [`Reason::ReleaseUnknown`], [`Reason::ReleaseRevoked`],
    /// [`Reason::ReleaseStopped`], [`Reason::ReleaseExpired`].
    pub fn release_for(&self, measurements: &Measurements, now: UnixMillis) -> Result<&Release, Refusal> {
        todo!()
    }

    /// The newest statement about the release `name`, in `version` if given.
    pub fn release_named(&self, name: &ReleaseName, version: Option<&ReleaseVersion>) -> Option<&Release> {
        todo!()
    }

    /// The rule for a key. Being listed says nothing about who gets it: see
    /// [`Policy::authorise_key`].
    pub fn key_rule(&self, key: &KeyName) -> Option<&KeyRule> {
        todo!()
    }

    /// Decides whether an enclave may have a key. The caller has verified and appraised the
    /// document, checked its binding, and checks its age against [`KeyGrant::max_document_age`].
    ///
    /// # Errors
    ///
    /// [`Reason::BundleExpired`], [`Reason::BundleNotInForce`], `release.*`, `key.*`.
    pub fn authorise_key(&self, claim: &KeyClaim<'_>, now: UnixMillis) -> Result<KeyGrant, Refusal> {
        todo!()
    }

    /// Decides whether an order may be used here and now.
    ///
    /// # Errors
    ///
    /// `order.*`, `signature.*`, `person.*`, `file.*`, [`Reason::BundleExpired`] (write orders).
    pub fn authorise_order(&self, order: &SignedOrder, context: &OrderContext<'_>) -> Result<AuthorisedOrder, Refusal> {
        todo!()
    }

    /// Decides whether a call belongs to `order` and to the session with the handshake hash
    /// `session`.
    ///
    /// # Errors
    ///
    /// `call.*`, `signature.*`, `person.*`, [`Reason::OrderExpired`].
    pub fn authorise_call(&self, order: &AuthorisedOrder, call: &SignedCall, session: &SessionHash, now: UnixMillis) -> Result<AuthorisedCall, Refusal> {
        todo!()
    }

    /// Decides whether an administration order may be carried out now.
    ///
    /// # Errors
    ///
    /// `order.*`, `signature.*`, `person.*`, `file.*`, [`Reason::BundleExpired`].
    pub fn authorise_administration(&self, order: &SignedOrder, now: UnixMillis) -> Result<AuthorisedAdministration, Refusal> {
        todo!()
    }
}

impl AuthorisedOrder {
    /// SHA-384 of the order's bytes.
    pub fn digest(&self) -> &Digest384 {
        &self.digest
    }

    /// Who asked.
    pub fn requester(&self) -> &PersonName {
        todo!()
    }

    /// The actions it covers.
    pub fn actions(&self) -> &[Action] {
        todo!()
    }

    /// When it ends.
    pub fn expires(&self) -> UnixMillis {
        todo!()
    }
}

impl AuthorisedCall {
    /// What to do.
    pub fn action(&self) -> Action {
        self.action
    }

    /// With which parameters.
    pub fn parameters(&self) -> Parameters {
        todo!()
    }

    /// Who asked.
    pub fn requester(&self) -> &PersonName {
        todo!()
    }

    /// The order's digest.
    pub fn order(&self) -> &Digest384 {
        todo!()
    }

    /// The call's counter.
    pub fn counter(&self) -> u64 {
        todo!()
    }

    /// The actions of the order that the requester's roles allow: what `status` may show.
    pub fn allowed(&self) -> &[Action] {
        todo!()
    }
}

impl AuthorisedAdministration {
    /// SHA-384 of the order's bytes; single use is by this.
    pub fn digest(&self) -> &Digest384 {
        &self.digest
    }

    /// What to do.
    pub fn operation(&self) -> &KeyOperation {
        todo!()
    }

    /// Who asked.
    pub fn requester(&self) -> &PersonName {
        todo!()
    }

    /// Who approved.
    pub fn approvers(&self) -> &[PersonName] {
        todo!()
    }

    /// From when on the mark of use may be forgotten.
    pub fn expires(&self) -> UnixMillis {
        todo!()
    }
}

impl KeyGrant {
    /// The key.
    pub fn key(&self) -> &KeyName {
        &self.key
    }

    /// The release that gets it.
    pub fn release(&self) -> (&ReleaseName, &ReleaseVersion) {
        todo!()
    }

    /// Its status.
    pub fn release_status(&self) -> ReleaseStatus {
        todo!()
    }

    /// How old the document may be.
    pub fn max_document_age(&self) -> Duration {
        todo!()
    }

    /// The commitment to `version` in the policy, if it states one.
    pub fn commitment(&self, version: u32) -> Option<&Digest384> {
        todo!()
    }
}
