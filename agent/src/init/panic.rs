//! A panic in an enclave ends in a clean restart, and its text stays inside: it may quote values.

use std::panic::{Location, PanicHookInfo};

use super::code::BootCode;
use super::process_one;
use crate::notice::to_standard_error;

/// In the supervisor: says where, and ends by SIGABRT, which process 1 sees.
pub(super) fn abort_on_panic() {
    std::panic::set_hook(Box::new(|info| {
        say_where(info);
        std::process::abort();
    }));
}

/// In process 1: says where, tells the parent, restarts.
pub(super) fn restart_on_panic() {
    std::panic::set_hook(Box::new(|info| {
        say_where(info);
        process_one::fail(BootCode::InitPanicked);
    }));
}

fn say_where(info: &PanicHookInfo<'_>) {
    let location = info.location();
    let (file, line) = location.map_or(("?", 0), |at: &Location<'_>| (at.file(), at.line()));
    to_standard_error(format_args!("narthex-agent: panic at {file}:{line}"));
}
