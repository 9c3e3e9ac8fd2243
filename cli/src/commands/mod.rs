//! One file per command: its arguments as typed, their help, and the call of what does it.

pub(crate) mod audit;
pub(crate) mod completions;
pub(crate) mod diag;
pub(crate) mod image;
pub(crate) mod inspect;
pub(crate) mod keys;
pub(crate) mod log;
pub(crate) mod man;
pub(crate) mod measure;
pub(crate) mod mock_nsm;
pub(crate) mod order;
pub(crate) mod policy;
pub(crate) mod relay;
pub(crate) mod release;
pub(crate) mod signing_arguments;
pub(crate) mod verify;
