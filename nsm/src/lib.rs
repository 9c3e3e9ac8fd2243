//! The Nitro Security Module (NSM): what an enclave asks its hypervisor for.
//!
//! [`Nsm`] is the contract. It has three implementations:
//!
//! | Implementation | What it is | Where it runs |
//! |---|---|---|
//! | [`device::NsmDevice`] | `/dev/nsm`, through AWS's own crate | in an enclave |
//! | [`socket::SocketNsm`] | a client of the documented Unix socket protocol | on a laptop, against `narthex mock-nsm` |
//! | `mock::MockNsm` (feature `mock`) | the whole NSM in memory, with its own root | in tests |
//!
//! [`own_document`] reads the time and the module id out of a document that the program got from
//! its *own* NSM. It verifies nothing: judging somebody else's document is `narthex-verifier`'s job.
//!
//! Without the feature `mock` this crate contains no code that could sign a document.

#![forbid(unsafe_code)]

pub mod device;
pub mod own_document;
pub mod socket;

mod error;
#[cfg(feature = "mock")]
pub mod mock;
mod nsm;
mod time;
pub mod wire;

pub use error::{ErrorCode, NsmError, TransportError};
pub use nsm::{
    AttestationRequest, Description, DigestAlgorithm, MAX_REQUEST_BYTES, MAX_RESPONSE_BYTES, Nsm,
    PCR_BYTES, PCR_COUNT, PcrState, Request, Response,
};
pub use time::UnixMillis;
