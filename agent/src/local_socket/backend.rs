//! What the supervisor answers to the workload.

use zeroize::Zeroizing;

/// Most bytes of its own that a workload may have attested.
pub const MAX_WORKLOAD_USER_DATA: usize = 492;

/// The supervisor's side of the local socket. All methods run on the supervisor's one thread.
pub trait LocalBackend {
    /// An attestation document for the workload. `user` is its own bytes, at most
    /// [`MAX_WORKLOAD_USER_DATA`]; the supervisor prefixes them, so that the document can never be taken
    /// for the agent's own. `nonce` and `public_key` go in as they are, within AWS's limits.
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

    /// Sets a declared counter.
    ///
    /// # Errors
    ///
    /// [`LocalRefusal`].
    fn set_counter(&self, name: &str, value: u64) -> Result<(), LocalRefusal>;
}

/// What a workload wants attested.
#[derive(Clone, Debug, Default)]
pub struct WorkloadAttestation {
    /// The workload's own bytes, put behind the label.
    pub user: Vec<u8>,
    /// Goes into `nonce`.
    pub nonce: Option<Vec<u8>>,
    /// Goes into `public_key`.
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

/// Why the supervisor refuses the workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocalRefusal {
    /// A field is too long.
    TooLong,
    /// Too many requests in this minute.
    RateLimited,
    /// No counter of that name is declared.
    UnknownCounter,
    /// The value is outside the declared range.
    OutOfRange,
    /// The counter changed less than a minute ago.
    TooSoon,
    /// The NSM did not answer.
    NsmFailed,
}

impl LocalRefusal {
    /// Stable text.
    pub fn id(self) -> &'static str {
        match self {
            Self::TooLong => "local.too_long",
            Self::RateLimited => "local.rate_limited",
            Self::UnknownCounter => "local.unknown_counter",
            Self::OutOfRange => "local.out_of_range",
            Self::TooSoon => "local.too_soon",
            Self::NsmFailed => "local.nsm_failed",
        }
    }
}
