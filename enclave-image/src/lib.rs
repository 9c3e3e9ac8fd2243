//! Enclave images: reading, measuring, writing and signing them.
//!
//! [`eif`] is the file format that a Nitro hypervisor boots, and the measurements that follow from
//! it. [`recipe`] says what an image is made of, [`build`](build::build) makes it, and [`manifest`]
//! is what people sign about it; [`tree`], [`source`] and [`ramdisk`] are what lies between.
//!
//! Nothing here opens a socket or reads a clock. Bytes come in, values go out; only
//! [`build::Inputs::read`] and [`source::folder`] open files, those that a recipe names.

#![forbid(unsafe_code)]

pub mod build;
mod digest;
pub mod eif;
pub mod manifest;
pub mod ramdisk;
pub mod recipe;
mod refusal;
pub mod source;
pub mod tree;

pub use digest::{Sha256Digest, Sha384Digest};
pub use refusal::{Fault, Refusal, Refusals, Rule};
