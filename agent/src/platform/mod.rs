//! Operating-system calls that the workload needs, each behind a safe function.
//!
//! This is the one part of the agent with `unsafe` code: system calls for which `nix` has no
//! wrapper, and the one `fork`. Nothing here decides anything; what is asked for, and what may be
//! missing, is decided in [`workload`](crate::workload). PID 1's own duties (mounting `/proc`,
//! bringing the loopback up) belong to [`init`](crate::init), not here.

pub mod capabilities;
pub mod confined_child;
pub mod filesystems;
pub mod isolation;
pub mod mounts;
pub mod own_root;
pub mod process;
pub mod process_stat;
