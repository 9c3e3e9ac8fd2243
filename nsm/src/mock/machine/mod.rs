//! Signing what a virtual machine's NSM says (`docs/machine-signing.md`).
//!
//! QEMU's `nitro-enclave` machine has an NSM with registers of its own, measured from the image it
//! booted, and makes documents that nobody signs. [`MachineSigner`] takes such a document and makes
//! the one that AWS's hypervisor would have made of it, under a development root: the machine stays
//! the source of everything that is said about the enclave, and the program inside cannot tell the
//! difference from an enclave on EC2 unless it verifies the root.
//!
//! ```
//! use narthex_nsm::mock::SystemClock;
//! use narthex_nsm::mock::machine::MachineSigner;
//! use narthex_nsm::mock::mint::DevelopmentAuthority;
//!
//! # let unsigned = include_bytes!("../../../tests/machine/unsigned-1.bin");
//! let signer = MachineSigner::new(DevelopmentAuthority::insecure_fixed(), SystemClock);
//! let document = signer.sign(unsigned)?;
//! # assert!(document.len() > 4000);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod signer;
mod unsigned;

pub use signer::{MachineSigner, SignError};
pub use unsigned::{MAX_UNSIGNED_BYTES, UnsignedDocument, UnsignedDocumentError};
