//! What the supervisor answers to the workload.

use narthex_channel::diagnostics::State;
use narthex_channel::{Digest384, UnixMillis};
use zeroize::Zeroizing;

/// Most bytes of its own that a workload may have attested.
pub const MAX_WORKLOAD_USER_DATA: usize = narthex_channel::binding::MAX_WORKLOAD_BYTES;
/// Most bytes of a nonce (AWS's specification of documents).
pub const MAX_NONCE: usize = 512;
/// Most bytes of a public key (AWS's specification of documents).
pub const MAX_PUBLIC_KEY: usize = 1024;

/// The supervisor's side of the local socket. All methods run on the supervisor's one thread.
pub trait LocalBackend {
    /// An attestation document for the workload. Lengths have been checked, except the reserved
    /// one; the supervisor composes `user_data` by
    /// [`workload_user_data`](narthex_channel::workload_user_data), so that the document can never
    /// be taken for the agent's own. `nonce` and `public_key` go in as they are.
    ///
    /// # Errors
    ///
    /// [`LocalRefusal`].
    fn attest(
        &self,
        request: WorkloadAttestation,
    ) -> impl Future<Output = Result<Vec<u8>, LocalRefusal>>;

    /// The keys the agent holds for the workload.
    fn keys(&self) -> Vec<LocalKey>;

    /// Whether everything the workload needs is there (keys, when any are configured).
    fn ready(&self) -> Readiness;

    /// The workload says whether it is ready. The usual implementation is
    /// [`WorkloadHandle::set_ready`](crate::workload::WorkloadHandle::set_ready).
    ///
    /// # Errors
    ///
    /// [`LocalRefusal::TooSoon`].
    fn set_ready(&self, readiness: WorkloadReadiness) -> Result<(), LocalRefusal>;

    /// Sets a declared counter.
    ///
    /// # Errors
    ///
    /// [`LocalRefusal`].
    fn set_counter(&self, name: &str, value: u64) -> Result<(), LocalRefusal>;

    /// The policy in force. `None` before there is one.
    fn policy(&self) -> Option<LocalPolicy>;
}

/// What a workload wants attested.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkloadAttestation {
    /// The workload's own bytes, put behind the label; at most [`MAX_WORKLOAD_USER_DATA`].
    pub user: Vec<u8>,
    /// Goes into `nonce`; at most [`MAX_NONCE`].
    pub nonce: Option<Vec<u8>>,
    /// Goes into `public_key`; at most [`MAX_PUBLIC_KEY`].
    pub public_key: Option<Vec<u8>>,
}

/// A key as the workload sees it.
pub struct LocalKey {
    /// Name in the policy.
    pub name: String,
    /// Version.
    pub version: u32,
    /// The key's bytes.
    pub bytes: Zeroizing<Vec<u8>>,
}

/// The policy as the workload sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalPolicy {
    /// Version of the bundle in force.
    pub version: u64,
    /// SHA-384 of the bundle in force.
    pub bundle: Digest384,
    /// SHA-384 of the bundle in PCR16.
    pub boot_bundle: Digest384,
    /// When the bundle in force expires.
    pub expires: UnixMillis,
    /// Status of the release that is running.
    pub release: State,
}

/// Whether the workload has what it needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// Everything is there.
    Ready,
    /// The agent still waits for keys.
    WaitingForKeys,
    /// The release was revoked; keys are wiped.
    ReleaseRevoked,
}

/// What the workload says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkloadReadiness {
    /// It serves.
    Ready,
    /// It does not serve, or no longer.
    NotReady,
}

/// Why the supervisor refuses the workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocalRefusal {
    /// A field is too long.
    TooLong,
    /// The workload's bytes have the one length that is reserved.
    ReservedLength,
    /// Too many requests in this minute.
    RateLimited,
    /// No counter of that name is declared.
    UnknownCounter,
    /// The value is outside the declared range.
    OutOfRange,
    /// The counter, or the readiness, changed less than a minute ago.
    TooSoon,
    /// The NSM did not answer.
    NsmFailed,
}

impl LocalRefusal {
    /// Stable text.
    pub fn id(self) -> &'static str {
        match self {
            Self::TooLong => "local.too_long",
            Self::ReservedLength => "local.reserved_length",
            Self::RateLimited => "local.rate_limited",
            Self::UnknownCounter => "local.unknown_counter",
            Self::OutOfRange => "local.out_of_range",
            Self::TooSoon => "local.too_soon",
            Self::NsmFailed => "local.nsm_failed",
        }
    }
}
