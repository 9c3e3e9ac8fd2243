//! The inside of `narthex mock-nsm`.

mod enclave;
mod faults;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use narthex_nsm::mock::machine::MachineSigner;
use narthex_nsm::mock::mint::{DevelopmentAuthority, Measurement};
use narthex_nsm::mock::server::{Server, ServerLimits, Service};
use narthex_nsm::mock::{MockConfig, MockNsm, SystemClock};
use narthex_nsm::{AttestationRequest, Nsm, NsmError};
use narthex_policy::Digest384;
use serde_json::json;

use crate::commands::mock_nsm::{
    Arguments, AuthorityArguments, Command, DocumentArguments, MeasurementsArguments,
};
use crate::exit::Exit;
use crate::failure::{Failure, Outcome, plain};
use crate::files::{Existing, write_file};
use crate::input::read_file;
use crate::output::Output;
use crate::state::state_directory;
use crate::stop::Stop;
use crate::transport::runtime;

/// The register that holds the bundle a Narthex agent booted with.
const POLICY_PCR: u16 = 16;

/// `narthex mock-nsm`.
pub(crate) fn run(arguments: &Arguments, output: &Output) -> Outcome<Exit> {
    match &arguments.command {
        None => match &arguments.sign_for {
            Some(path) => sign_for(path, arguments, output),
            None => serve(arguments, output),
        },
        Some(Command::Document(document)) => make_document(document, output),
        Some(Command::Measurements(measurements)) => print_measurements(measurements, output),
        Some(Command::Root(root)) => {
            let authority = authority(&root.authority, output)?;
            if root.authority.root_out.is_none() {
                output.data(pem(authority.root_certificate()).as_bytes())?;
            }
            Ok(Exit::Done)
        }
    }
}

fn make_document(arguments: &DocumentArguments, output: &Output) -> Outcome<Exit> {
    let DocumentArguments {
        out,
        nonce,
        user_data,
        public_key,
        bundle,
        enclave,
        authority: _,
    } = arguments;
    let config = enclave::config(enclave)?;
    let authority = authority(&arguments.authority, output)?;
    let nsm = MockNsm::new(authority, config);
    if let Some(bundle) = bundle {
        let bytes = read_file(bundle, narthex_policy::limits::MAX_BUNDLE_BYTES)?;
        nsm.extend_pcr(POLICY_PCR, &Digest384::of(&bytes).0)
            .map_err(|error| refused(&error))?;
        nsm.lock_pcrs(32).map_err(|error| refused(&error))?;
    }
    let public_key = public_key
        .as_ref()
        .map(|path| read_file(path, 4096))
        .transpose()?;
    let request = AttestationRequest {
        user_data: user_data.clone(),
        nonce: nonce.clone(),
        public_key,
    };
    let document = nsm.attest(request).map_err(|error| refused(&error))?;
    match out.as_os_str() == "-" {
        true => output.data(&document)?,
        false => {
            write_file(out, &document, Existing::Replace)?;
            output.say(format_args!(
                "narthex: wrote {} bytes to {1}; try `narthex inspect {1}`",
                document.len(),
                out.display()
            ));
        }
    }
    Ok(Exit::Done)
}

fn refused(error: &NsmError) -> Failure {
    Failure::refused(
        "nsm.refused",
        format!("the mock refuses this as the device would: {error}"),
    )
    .next("user data, nonce and public key have at most 1024 bytes each")
}

/// The same shape as `nitro-cli build-enclave` prints, so that `narthex release new` reads both.
fn print_measurements(arguments: &MeasurementsArguments, output: &Output) -> Outcome<Exit> {
    let [pcr0, pcr1, pcr2] = enclave::measured(&arguments.image_label).map(hex::encode);
    let value = json!({
        "Measurements": {
            "HashAlgorithm": "Sha384 { ... }",
            "PCR0": pcr0,
            "PCR1": pcr1,
            "PCR2": pcr2,
        }
    });
    output.data(format!("{value:#}\n").as_bytes())?;
    Ok(Exit::Done)
}

fn serve(arguments: &Arguments, output: &Output) -> Outcome<Exit> {
    let config = enclave::config(&arguments.enclave)?;
    let faults = faults::faults(arguments)?;
    let authority = authority(&arguments.authority, output)?;
    let socket = arguments
        .socket
        .as_deref()
        .ok_or_else(|| Failure::misuse("misuse.arguments", "--socket is missing"))?;
    let describe = describe(&config);
    let nsm = MockNsm::new(authority, config);
    for fault in faults {
        nsm.inject(fault);
    }
    let served = Served {
        what: "mock NSM",
        details: format!("{describe}\n         its documents show nothing about any machine"),
    };
    serve_until_stopped(socket, nsm, &served, output)
}

/// The other end of QEMU's `signer=`.
fn sign_for(socket: &Path, arguments: &Arguments, output: &Output) -> Outcome<Exit> {
    let faults = faults::faults(arguments)?;
    let authority = authority(&arguments.authority, output)?;
    let signer = MachineSigner::new(authority, SystemClock).on_refusal({
        let output = *output;
        move |error| output.say(format_args!("narthex: a document was not signed: {error}"))
    });
    for fault in faults {
        signer.inject(fault);
    }
    let served = Served {
        what: "insecure machine signer",
        details: "whatever machine asks is signed for, under the development root".to_owned(),
    };
    serve_until_stopped(socket, signer, &served, output)
}

/// What people are told about a server.
struct Served {
    what: &'static str,
    details: String,
}

fn serve_until_stopped(
    socket: &Path,
    service: impl Service + 'static,
    served: &Served,
    output: &Output,
) -> Outcome<Exit> {
    let Served { what, details } = served;
    let server = Server::bind(socket, Arc::new(service), ServerLimits::default())
        .map_err(|error| cannot_serve(socket, &error))?
        .spawn()
        .map_err(|error| cannot_serve(socket, &error))?;
    output.say(format_args!(
        "narthex: {what} on {}: {details}",
        socket.display()
    ));
    // Served by threads of its own; this one waits for SIGINT or SIGTERM.
    runtime()?.block_on(async {
        let mut stop = Stop::listening()?;
        stop.asked().await;
        Ok(())
    })?;
    server.stop();
    output.say(format_args!("narthex: {what} ended"));
    Ok(Exit::Done)
}

fn cannot_serve(socket: &Path, error: &io::Error) -> Failure {
    let failure = Failure::environment(
        "mock.cannot_serve",
        format!("cannot serve on {}: {}", socket.display(), plain(error)),
    );
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            failure.next("another process serves there; choose another path")
        }
        io::ErrorKind::AlreadyExists => {
            failure.next("something else is there; nothing was removed")
        }
        io::ErrorKind::NotFound => {
            failure.next("the folder that the socket should be made in is not there")
        }
        _ => failure,
    }
}

fn describe(config: &MockConfig) -> String {
    let hex = |measurement: &Measurement| -> String {
        hex::encode(measurement).chars().take(12).collect()
    };
    format!(
        "{}, PCR0 {}…",
        config.identity.module_id(),
        hex(&config.pcr0)
    )
}

/// The authority, made on first use; its certificate goes where it was asked for.
fn authority(arguments: &AuthorityArguments, output: &Output) -> Outcome<DevelopmentAuthority> {
    let directory: PathBuf = match &arguments.state {
        Some(directory) => directory.clone(),
        None => state_directory()?.join("development-authority"),
    };
    let authority = DevelopmentAuthority::load_or_create(&directory)
        .map_err(|error| Failure::environment(error.id(), error.to_string()))?;
    if let Some(path) = &arguments.root_out {
        let der = authority.root_certificate();
        match path.extension().is_some_and(|extension| extension == "der") {
            true => write_file(path, der, Existing::Replace)?,
            false => write_file(path, pem(der).as_bytes(), Existing::Replace)?,
        }
        output.say(format_args!(
            "narthex: wrote the development root to {}",
            path.display()
        ));
    }
    Ok(authority)
}

/// RFC 7468.
fn pem(der: &[u8]) -> String {
    let encoded = STANDARD.encode(der);
    let mut text = String::from("-----BEGIN CERTIFICATE-----\n");
    let mut rest = encoded.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at_checked(64).unwrap_or((rest, ""));
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    text.push_str("-----END CERTIFICATE-----\n");
    text
}
