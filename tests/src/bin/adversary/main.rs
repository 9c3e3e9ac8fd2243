//! What the demonstration and the scenarios use to misbehave on purpose.
//!
//! - `ask` asks a key service for a key without any of an agent's own checks, so that what refuses is
//!   the service; it can keep the request it sent and replay it in another session.
//! - `false-service` plays a key service with a static key of its own.
//! - `leaky-workload` plants secrets wherever a workload can.
//! - `policy-source` gives out bundles of its choice.

mod ask;
mod false_service;
mod leaky_workload;
mod policy_source;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Misbehaves on purpose: for demonstrations and tests.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Ask(ask::Arguments),
    FalseService(false_service::Arguments),
    LeakyWorkload(leaky_workload::Arguments),
    PolicySource(policy_source::Arguments),
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Ask(arguments) => ask::run(&arguments),
        Command::FalseService(arguments) => false_service::run(&arguments),
        Command::LeakyWorkload(arguments) => leaky_workload::run(&arguments),
        Command::PolicySource(arguments) => policy_source::run(&arguments),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("narthex-adversary: {error}");
            ExitCode::from(3)
        }
    }
}
