//! The key service: hands a key to an enclave only when its attestation document, a policy approved by several
//! people, and the stored state of the key all agree, and logs every decision before it acts on it. It is the sequencer
//! of the transparency log: entries, their evidence and the signed checkpoint become durable together.
//!
//! - [`config`] one TOML file; [`init`] fixing the lineage; [`commands`] what the program's subcommands do
//! - [`storage`] what must not be forgotten: keys, policy files, the log; nobody edits it unnoticed
//! - [`root_key`], [`static_key`], [`log_key`], [`secret_file`] the three secrets beside the database; [`hardening`] of
//!   the process that holds them
//! - [`lineage`] the verified policy and the files it follows from
//! - [`service`] what requests are answered with; `release`, `administration` and `distribution` answer them
//! - [`refusals`], [`refusal`], [`reason`] saying no, and keeping account of it
//! - [`server`] sockets, limits, shutdown; [`http`] health and metrics
//!
//! The service keeps no setting that names an attestation root: what AWS's root has not signed gets no key.

#![forbid(unsafe_code)]

mod administration;
pub mod clock;
pub mod commands;
pub mod config;
pub mod digest;
mod distribution;
pub mod hardening;
pub mod http;
pub mod init;
pub mod lineage;
pub mod log;
pub mod log_key;
pub mod logging;
pub mod metrics;
pub mod reason;
pub mod refusal;
pub mod refusals;
mod release;
pub mod root_key;
pub mod secret_file;
pub mod server;
pub mod service;
pub mod static_key;
pub mod storage;
