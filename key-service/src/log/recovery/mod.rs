//! When the database was lost or put back: catching up with a mirror of the log, or opening a new epoch.
//!
//! Both are done while nothing is served, by a command of the program, and both are entries.

mod apply;
mod catch_up;
mod error;
mod mirror;
mod new_epoch;
mod plan;

pub use self::{
    catch_up::{CaughtUp, catch_up},
    error::RecoveryError,
    new_epoch::{Opened as OpenedEpoch, new_epoch},
};
