//! The enclave image format (EIF), version 4: a strict reader, the measurements, a deterministic
//! writer and the signature section. `docs/eif.md` has the format and every refusal.
//!
//! An image that [`Image::parse`] accepts has one spelling: each section once, in one order, at the
//! place that the header names, with nothing between, before or after. So what is measured here is
//! what boots (R52). The metadata section and the header's defaults are not measured by any
//! platform: they are handed on as they are and must not decide anything.
//!
//! ```
//! use narthex_image::eif::{self, Architecture, Image, Metadata, Parts};
//!
//! # fn main() -> Result<(), eif::EifError> {
//! let file = eif::write(&Parts {
//!     architecture: Architecture::X86_64,
//!     kernel: b"a kernel",
//!     command_line: "reboot=k panic=1",
//!     ramdisks: &[b"the agent", b"the workload"],
//!     metadata: Metadata::new("example", "1.0.0"),
//!     default_memory: 256 << 20,
//!     default_cpus: 2,
//! })?;
//! let image = Image::parse(&file)?;
//! assert_eq!(image.ramdisks().len(), 2);
//! assert_eq!(image.measure().pcr8, None);
//! # Ok(())
//! # }
//! ```

mod error;
mod header;
mod image;
mod measure;
mod metadata;
mod signature;
mod write;

pub use error::{EifError, SectionKind, SignError};
pub use header::Architecture;
pub use image::Image;
pub(crate) use image::MAX_COMMAND_LINE_BYTES;
pub use measure::Measurements;
pub use metadata::Metadata;
pub use signature::{P384FileSigner, SignatureRecord, Signer, SigningCertificate, sign};
pub use write::{Parts, write};
