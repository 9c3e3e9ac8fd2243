//! The one unit of time in this crate.

/// Milliseconds since 1970-01-01T00:00:00Z, without leap seconds: the unit of a document's
/// `timestamp` (attestation_process.md, section 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixMillis(pub u64);

impl UnixMillis {
    /// Whole seconds since the epoch, rounded down.
    #[must_use]
    pub fn seconds(self) -> u64 {
        self.0 / 1000
    }
}

impl From<u64> for UnixMillis {
    fn from(unix_millis: u64) -> Self {
        Self(unix_millis)
    }
}
