//! The key service's program: reads the command line and the configuration, and does what they say.

mod cli;
mod error;

use std::{io::Write, path::Path, process::ExitCode, sync::Arc};

use clap::Parser;
use narthex_key_service::{
    clock::{Clock, SystemClock},
    commands,
    config::Config,
    hardening, init,
    log::recovery::{self, CaughtUp},
    log_key, logging,
    server::Server,
    static_key,
    storage::Findings,
};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    cli::{Cli, Command, NewEpochArguments, RootKeyCommand},
    error::{Failure, Fault},
};

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("narthex-key-service: {failure}");
            failure.exit_code()
        }
    }
}

fn run(command: Command) -> Result<(), Failure> {
    hardening::harden()
        .map_err(|error| Failure::new(Fault::Environment, "hardening", error.to_string()))?;
    match command {
        Command::StaticKey(argument) => {
            let config = load(&argument.config)?;
            let public = static_key::load_or_create(&config.storage.static_key)?;
            print(&hex::encode(public.as_bytes()))
        }
        Command::LogKey(arguments) => {
            let config = load(&arguments.config)?;
            let public = log_key::load_or_create(&config.storage.log_key, &arguments.origin)?;
            print(&public.to_string())
        }
        Command::Init(arguments) => {
            let config = load(&arguments.config)?;
            let now = SystemClock.now();
            let fixed = init::init(
                &config.storage,
                &arguments.genesis,
                &arguments.signature,
                now,
            )?;
            eprintln!(
                "The lineage is fixed. Back up {} somewhere else than the database: without it every key is \
                 lost, with both every key is readable.",
                config.storage.root_key.display()
            );
            print(
                &json!({ "genesis": fixed.genesis.to_string(), "root_key": fixed.root_key.to_string() })
                    .to_string(),
            )
        }
        Command::Run(argument) => serve(&load(&argument.config)?),
        Command::Check(argument) => check(&load(&argument.config)?),
        Command::Entries(argument) => entries(&load(&argument.config)?),
        Command::CatchUp(arguments) => catch_up(&load(&arguments.config)?, &arguments.mirror),
        Command::NewEpoch(arguments) => new_epoch(&load(&arguments.config)?, &arguments),
        Command::RootKey(command) => root_key(&command),
    }
}

fn load(path: &Path) -> Result<Config, Failure> {
    Ok(Config::load(path)?)
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Fault::Environment, "runtime", error.to_string()))
}

fn catch_up(config: &Config, mirror: &str) -> Result<(), Failure> {
    logging::install(&config.log);
    let caught_up = recovery::catch_up(config, mirror, Arc::new(SystemClock));
    let CaughtUp {
        from_size,
        to_size,
        missing_evidence,
        lost,
    } = runtime()?.block_on(caught_up)?;
    let lost = lost
        .iter()
        .map(|key| json!({ "name": key.name, "version": key.version }));
    print(
        &json!({
            "from_size": from_size,
            "to_size": to_size,
            "missing_evidence": missing_evidence,
            "lost": lost.collect::<Vec<_>>(),
        })
        .to_string(),
    )
}

fn new_epoch(config: &Config, arguments: &NewEpochArguments) -> Result<(), Failure> {
    logging::install(&config.log);
    let NewEpochArguments {
        config: _,
        bundle,
        signature,
    } = arguments;
    let opened = recovery::new_epoch(config, bundle, signature, Arc::new(SystemClock));
    let opened = runtime()?.block_on(opened)?;
    eprintln!(
        "The log {} goes on as {}. Give its key to the witnesses before the service starts, and deliver the bundle \
         to everybody who checks.",
        opened.old_origin, opened.origin
    );
    print(
        &json!({
            "epoch": opened.epoch,
            "origin": opened.origin,
            "old_origin": opened.old_origin,
            "old_size": opened.old_size,
            "old_root": opened.old_root.to_base64(),
        })
        .to_string(),
    )
}

fn serve(config: &Config) -> Result<(), Failure> {
    logging::install(&config.log);
    raise_descriptor_limit();
    let runtime = runtime()?;
    runtime.block_on(async {
        let io_error =
            |error: std::io::Error| Failure::new(Fault::Environment, "signal", error.to_string());
        let mut terminate = signal(SignalKind::terminate()).map_err(io_error)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(io_error)?;
        let server = Server::start(config).await?;
        server
            .serve(async {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
            })
            .await?;
        Ok(())
    })
}

/// The usual soft limit of 1024 descriptors is below what the listeners may take together.
fn raise_descriptor_limit() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
}

fn check(config: &Config) -> Result<(), Failure> {
    let Findings {
        entries,
        head,
        evidence,
        keys,
        policy_files,
        altered_keys,
    } = commands::check(&config.storage)?;
    let altered: Vec<_> = altered_keys.iter().chain(&evidence.altered).collect();
    print(
        &json!({
            "entries": entries,
            "log": { "epoch": head.epoch, "size": head.size, "root": head.root.to_base64() },
            "evidence": { "sound": evidence.sound, "purged": evidence.purged },
            "keys": keys,
            "policy_files": policy_files,
            "altered": altered.iter().map(ToString::to_string).collect::<Vec<_>>(),
        })
        .to_string(),
    )?;
    match altered.first() {
        None => Ok(()),
        Some(finding) => Err((*finding).clone().into()),
    }
}

fn entries(config: &Config) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    let mut written = Ok(());
    commands::entries(&config.storage, |recorded| {
        if written.is_ok() {
            written = writeln!(out, "{}", recorded.to_json());
        }
    })?;
    written.map_err(|error| Failure::new(Fault::Environment, "stdout", error.to_string()))
}

fn root_key(command: &RootKeyCommand) -> Result<(), Failure> {
    match command {
        RootKeyCommand::List(argument) => {
            for (id, needed) in commands::list_root_keys(&load(&argument.config)?.storage)? {
                print(&json!({ "root_key": id.to_string(), "needed": needed }).to_string())?;
            }
            Ok(())
        }
        RootKeyCommand::Import(arguments) => {
            let config = load(&arguments.config)?;
            let added = commands::import_root_keys(&config.storage, &arguments.from)?;
            print(&json!({ "added": added }).to_string())
        }
        RootKeyCommand::Forget(arguments) => {
            let config = load(&arguments.config)?;
            let id = commands::forget_root_key(&config.storage, &arguments.id)?;
            print(&json!({ "forgotten": id.to_string() }).to_string())
        }
    }
}

fn print(line: &str) -> Result<(), Failure> {
    writeln!(std::io::stdout(), "{line}")
        .map_err(|error| Failure::new(Fault::Environment, "stdout", error.to_string()))
}
