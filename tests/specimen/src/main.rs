//! What stands in for the agent or for a workload inside virtual machines of the tests. It does what it is told
//! by whoever reaches it, which is why it must not be in any image but theirs.
//!
//! - `narthex-specimen serve`: a workload. Line by line over vsock it is told what to try, and answers what
//!   came of it ([`workload`]).
//! - As process 1: an `/init` that hands `/dev/nsm` to the parent over vsock ([`handout`]): an enclave in the
//!   hands of an attacker, on a genuine module. If its image has an agent at `/rootfs/agent`, it becomes that agent
//!   and leaves behind a child that tells what the agent's processes occupy ([`monitor`]).

#![forbid(unsafe_code)]

mod attempts;
mod console;
mod endings;
mod handout;
mod line;
mod local_socket;
mod monitor;
mod workload;

use std::process::ExitCode;

/// Where the workload is told what to try.
const WORKLOAD_PORT: u32 = 7003;
/// Where the NSM is handed out, in the protocol of `nsm/docs/mock-socket.md`.
const NSM_PORT: u32 = 7001;
/// Where a virtual machine without an agent is told to end, and what it occupies.
const CONTROL_PORT: u32 = 7002;

fn main() -> ExitCode {
    if std::process::id() == 1 {
        // Process 1 must not end: whatever goes wrong is said, and then the machine does.
        let error = match monitor::has_agent() {
            true => monitor::become_agent(),
            false => console::open().and_then(|()| handout::serve()),
        };
        console::end(&error);
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["serve", ..] => workload::serve(),
        ["exit", code] => return ExitCode::from(code.parse().unwrap_or(255)),
        ["forks"] => endings::fork_without_end(),
        ["monitor"] => monitor::serve(),
        _ => {
            eprintln!("narthex-specimen: for the virtual machines of the tests: serve, exit CODE");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("narthex-specimen: {error}");
            ExitCode::from(3)
        }
    }
}
