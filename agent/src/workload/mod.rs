//! The workload: started, confined, supervised, and its ends recorded.
//!
//! [`spawn`] gives a [`WorkloadHandle`]; behind it one task (`runner`) owns everything about the
//! workload. Each run has a process of its own between agent and workload, the [`shepherd`], which
//! confines it and ends all of it. What confines it are [`ConfinementMeasure`]s: all of them in an
//! enclave, and with `--local` those that can be had, the others reported.
//!
//! Room is left for what comes later: a run's output pipes and descriptors are listed in one place
//! each (`messages::Descriptor`), so that sealed logs and a data plane add kinds, not mechanisms.

mod cgroup;
mod exit;
mod handle;
mod key_files;
mod limits;
mod measures;
mod messages;
mod output;
mod restart;
mod run;
mod runner;
mod settings;
pub mod shepherd;
mod system_calls;

pub use cgroup::{ControlGroup, ControlGroupLimits, ControlGroupUsage};
pub use exit::{ExitKind, ExitRecord, LaunchStep};
pub use handle::{WorkloadError, WorkloadHandle, WorkloadSnapshot, WorkloadState, spawn};
pub use key_files::{KeyDirectory, KeyFile, Owner};
pub use measures::{Confinement, ConfinementMeasure, MeasureSet, MeasureState};
pub use restart::{Next, RestartDecider, RestartRules};
pub use settings::{SettingsError, WorkloadSettings};
