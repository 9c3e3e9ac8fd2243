//! The attested channel: how an operator's tool, an agent and a key service talk through a host
//! that none of them trusts.
//!
//! A session goes through these steps; the exact bytes stand in `PROTOCOL.md`.
//!
//! 1. The initiator sends a [`preamble`] with version and use, and a Noise message; the responder
//!    answers with another ([`Initiator`], [`Responder`]). Both now hold the same
//!    [`HandshakeHash`].
//! 2. Contents travel in both directions through a [`Session`], which cuts them into [`frame`]s.
//! 3. Each content is a [`Message`]: see [`diagnostics`], [`keys`], [`administration`], [`policy`],
//!    [`submissions`].
//! 4. An attestation document is tied to the session by a [`binding`], and released keys are
//!    sealed once more by [`mod@seal`].
//!
//! All of this is bytes in, values out: no sockets, no files, no clock. Randomness comes from the
//! operating system. The feature `tokio` adds a thin shell with sockets and timeouts.
//!
//! # What a session does not show
//!
//! Noise NN authenticates nobody, and Noise NK authenticates the responder only. Who an agent is
//! shows its document, verified by `narthex-verifier` and bound by [`check_binding`]; who an
//! operator or administrator is shows a signature, checked by `narthex-policy`.

#![forbid(unsafe_code)]

mod closed;

pub mod address;
pub mod administration;
pub mod binding;
pub mod codec;
pub mod diagnostics;
pub mod digest;
pub mod error;
pub mod frame;
pub mod fuzzing;
pub mod handshake;
pub mod keys;
pub mod limits;
pub mod name;
pub mod policy;
pub mod preamble;
pub mod seal;
pub mod secret;
pub mod session;
pub mod signature;
pub mod submissions;
pub mod time;
pub mod x25519;

#[cfg(feature = "tokio")]
pub mod tokio;

#[cfg(test)]
mod tests;

pub use address::{Address, AddressError};
pub use binding::{
    BindingError, HandshakeHash, Label, WorkloadDataError, binding_digest, check_binding,
    workload_user_data,
};
pub use codec::{Message, MessageError};
pub use digest::Digest384;
pub use error::ChannelError;
pub use handshake::{Accepting, Initiator, Opening, Progress, Rejection, Responder};
pub use name::{DeclaredName, KeyName, ModuleId, ReasonId};
pub use preamble::{Direction, ProtocolVersion, Use};
pub use seal::{RecipientKey, RecipientPublicKey, SealContext, SealError, commitment, seal};
pub use secret::SecretBytes;
pub use session::{Received, Session};
pub use signature::ArmoredSignature;
pub use time::UnixMillis;
pub use x25519::{StaticPublic, StaticSecret};
