//! The supervisor's first steps in an enclave, up to where it is the same as anywhere.

use std::os::fd::AsFd;
use std::path::Path;

use super::checks::Reading;
use super::code::BootCode;
use super::heartbeat;
use super::panic;
use super::status::{BootReporter, Stage};
use super::{CONFIG_PATH, HEARTBEAT_ADDRESS};
use crate::config::Config;
use crate::error::AgentError;
use crate::mode::{Mode, Privileges};
use crate::notice::to_standard_error;
use crate::supervisor::run_enclave;

/// The argument by which process 1 starts it. Of no use to a person: without an enclave's configuration and
/// devices it ends at once.
pub const SUBCOMMAND: &str = "enclave-supervisor";

/// The supervisor's main function. Returns its exit code.
pub fn main() -> u8 {
    panic::abort_on_panic();
    let reporter = reporter();
    match run(&reporter) {
        Ok(()) => {
            reporter.say(Stage::ShuttingDown, BootCode::None);
            0
        }
        Err(error) => {
            // A line for people; the next one, by process 1, is for machines.
            to_standard_error(format_args!("narthex-agent: {error}"));
            reporter.say(Stage::Failed, BootCode::from(&error));
            error.exit_code()
        }
    }
}

fn reporter() -> BootReporter {
    std::io::stdin()
        .as_fd()
        .try_clone_to_owned()
        .and_then(BootReporter::to_pipe)
        .unwrap_or_default()
}

fn run(reporter: &BootReporter) -> Result<(), AgentError> {
    let config = Config::load(Path::new(CONFIG_PATH))?;
    config.check_run(Mode::Enclave, Privileges::Root)?;
    if let Some(failed) = Reading::read_settled().failed().first() {
        return Err(AgentError::SelfCheck(*failed));
    }
    let heartbeat = heartbeat::send(&HEARTBEAT_ADDRESS, heartbeat::LIMIT);
    reporter.say(Stage::Waiting, BootCode::from(heartbeat));
    run_enclave(config, heartbeat, reporter)
}
