//! Enclave images: reading, measuring, writing and signing them.
//!
//! [`eif`] is the file format that a Nitro hypervisor boots, and the measurements that follow from
//! it. Nothing here opens a file, a socket or a clock: bytes come in, values go out.

#![forbid(unsafe_code)]

pub mod eif;
