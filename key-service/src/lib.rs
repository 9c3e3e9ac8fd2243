//! narthex-key-service.
#![forbid(unsafe_code)]
pub mod clock;
pub mod config;
pub mod digest;
pub mod metrics;
pub mod reason;
pub mod root_key;
pub mod secret_file;
pub mod storage;
