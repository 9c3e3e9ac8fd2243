//! The agent's program: reads the command line, and becomes what it says.

use std::ffi::OsString;
use std::process::ExitCode;

use narthex_agent::child::{Role, take_inherited};
use narthex_agent::cli::{Command, HELP, Misuse};
use narthex_agent::config::Config;
use narthex_agent::error::AgentError;
use narthex_agent::notice::to_standard_error;
use narthex_agent::{fetcher, gate, init, supervisor, workload};

/// Exit code for wrong arguments and configurations.
const MISUSE: u8 = 2;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os();
    let name = arguments.next();
    // Before the first argument is looked at: inside an enclave none may change anything.
    if init::is_process_one(std::process::id(), name.as_deref()) {
        init::process_one::main();
    }
    let arguments: Vec<OsString> = arguments.collect();
    // Before anything else happens: a shepherd must have one thread and nothing open.
    if arguments.len() == 1
        && arguments
            .first()
            .is_some_and(|word| word == workload::shepherd::SUBCOMMAND)
    {
        return ExitCode::from(workload::shepherd::main());
    }
    match Command::parse(arguments) {
        Ok(Command::Confined {
            role,
            supervisor,
            work,
        }) => {
            let Ok(inherited) = take_inherited(supervisor, work) else {
                return ExitCode::from(MISUSE);
            };
            ExitCode::from(match role {
                Role::Gate => gate::run(inherited),
                Role::Fetcher => fetcher::run(inherited),
            })
        }
        Ok(Command::EnclaveSupervisor) => ExitCode::from(init::supervisor::main()),
        Ok(Command::Version) => {
            println!("narthex-agent {}", env!("CARGO_PKG_VERSION"));
            ExitCode::SUCCESS
        }
        Ok(Command::Help) => {
            print!("{HELP}");
            ExitCode::SUCCESS
        }
        Ok(Command::CheckConfig(mode, path)) => report(
            Config::load(&path)
                .and_then(|config| config.check_mode(mode))
                .map_err(AgentError::from),
        ),
        Ok(Command::Local(path)) => report(
            Config::load(&path)
                .map_err(AgentError::from)
                .and_then(supervisor::run_local),
        ),
        Err(Misuse(what)) => {
            to_standard_error(format_args!("narthex-agent: {what}\n\n{HELP}"));
            ExitCode::from(MISUSE)
        }
    }
}

fn report(result: Result<(), AgentError>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            to_standard_error(format_args!("narthex-agent: {error} ({})", error.id()));
            ExitCode::from(error.exit_code())
        }
    }
}
