//! The example's workload: a notary. It signs digests with a key that only the approved image can have, and proves
//! with an attestation document that the public key is its own.
//!
//! | File | Job |
//! |---|---|
//! | `request.rs` | the protocol: what a client may send, from bytes |
//! | `notary.rs` | the key, signatures, and what is attested |
//! | `local.rs` | what the workload asks of its agent, over the local socket |
//! | `serve.rs` | the listener: limits, times, one thread a connection |
//!
//! `narthex-example-workload vsock:PORT` inside an enclave; `unix:PATH` for a laptop. It needs `NARTHEX_KEYS` and
//! `NARTHEX_SOCKET`, which the agent sets, and a key named `notary` of 32 bytes.

mod local;
mod notary;
mod request;
mod serve;

use std::path::PathBuf;
use std::process::ExitCode;

use local::Agent;
use notary::Notary;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            // Nobody reads this in an enclave; with `show_output` a developer does.
            eprintln!("narthex-example-workload: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let usage = || "usage: narthex-example-workload vsock:PORT | unix:PATH".to_owned();
    let mut arguments = std::env::args().skip(1);
    let (Some(address), None) = (arguments.next(), arguments.next()) else {
        return Err(usage());
    };
    let path = |name: &str| {
        std::env::var_os(name).map(PathBuf::from).ok_or_else(|| {
            format!("{name} is not set: the agent sets it when it starts a workload")
        })
    };
    let notary = Notary::new(
        path("NARTHEX_KEYS")?.join("notary"),
        Agent::new(path("NARTHEX_SOCKET")?),
    );
    let listener = match address.split_once(':') {
        Some(("vsock", port)) => serve::vsock(port.parse().map_err(|_not_a_number| usage())?),
        Some(("unix", path)) => serve::unix(path.as_ref()),
        _ => return Err(usage()),
    };
    let listener = listener.map_err(|error| format!("listening on {address}: {error}"))?;
    // Without its key it is of no use: say so before saying that it is ready.
    notary
        .public_key()
        .map_err(|error| format!("the key `notary`: {error}"))?;
    notary
        .agent()
        .say_ready()
        .map_err(|error| format!("telling the agent: {error}"))?;
    serve::forever(&listener, notary);
    Ok(())
}
