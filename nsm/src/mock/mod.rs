//! A Nitro Security Module in memory, with a root of its own (feature `mock`).
//!
//! Its answers differ from the real one's in one thing only: the root at the top of the chain.
//! Requests, error codes, size limits, the rules of the registers, certificates, lifetimes and the
//! layout of documents are AWS's, so a program cannot tell the difference unless it verifies
//! documents, and a verifier sees it in the root.
//!
//! ```
//! use narthex_nsm::mock::mint::DevelopmentAuthority;
//! use narthex_nsm::mock::{MockConfig, MockNsm};
//! use narthex_nsm::{AttestationRequest, Nsm};
//!
//! let authority = DevelopmentAuthority::insecure_fixed();
//! let nsm = MockNsm::new(authority, MockConfig::example());
//! nsm.extend_pcr(16, b"policy")?;
//! nsm.lock_pcrs(32)?;
//! let document = nsm.attest(AttestationRequest::default())?;
//! # assert!(document.len() > 4000);
//! # Ok::<(), narthex_nsm::NsmError>(())
//! ```

pub mod machine;
pub mod mint;
pub mod server;

mod clock;
mod config;
mod fault;
mod issuer;
mod module;
mod registers;
mod seal;

pub use clock::{Clock, ManualClock, SystemClock};
pub use config::{EnclaveMode, MockConfig, PayloadForm};
pub use fault::{Fault, FaultKind, FaultScope, RequestKind};
pub use module::MockNsm;
