//! Times on the wire.

use core::fmt;

/// Milliseconds since 1970-01-01T00:00:00Z, without leap seconds: the unit of an attestation
/// document's `timestamp` and of every time in a Narthex message.
///
/// The channel never reads a clock: a time here is whatever the sender stated.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct UnixMillis(pub u64);

impl fmt::Display for UnixMillis {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ms", self.0)
    }
}
