//! Where a workload's root file system comes from: a folder, a tar archive, or an OCI image.

pub mod archive;
pub mod folder;
mod gzip;
mod member;
pub mod oci;
