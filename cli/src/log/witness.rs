//! `narthex log witness`: the daemon's outer layer.

use std::sync::Arc;

use narthex_ledger::WitnessAnswer;
use narthex_ledger::tokio::{HttpListener, ServeLimits, ServeStatistics, Witness, WitnessEvent};
use serde_json::json;

use super::address::ListenAddress;
use super::witness_key::{read_signing_key, state_failure, state_folder, verifier_keys};
use crate::commands::log::witnessing::WitnessArguments;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::moment::time_text;
use crate::output::{Form, Output};
use crate::stop::Stop;
use crate::transport::runtime;

/// `narthex log witness`: until it is told to stop.
pub(super) fn witness(arguments: &WitnessArguments, output: &Output) -> Outcome<Exit> {
    let key = read_signing_key(&arguments.key)?;
    let mut logs = Vec::new();
    for typed in &arguments.log {
        logs.extend(verifier_keys(typed)?);
    }
    let folder = match &arguments.state {
        Some(folder) => folder.clone(),
        None => state_folder(&arguments.key),
    };
    let told = *output;
    let witness = Witness::open(&folder, key, logs)
        .map_err(|error| state_failure(&error))?
        .observed(move |event| tell(event, &told));
    let witness = Arc::new(witness);
    for (origin, seen, time) in witness.seen() {
        output.say(match time {
            0 => format!("narthex: witnessing {origin}, never cosigned yet"),
            _ => format!(
                "narthex: witnessing {origin}, last cosigned at {} entries, {}",
                seen.size,
                time_text(time.saturating_mul(1000))
            ),
        });
    }
    let statistics = Arc::new(ServeStatistics::default());
    runtime()?.block_on(async {
        let mut stop = Stop::listening()?;
        let listeners = listen(&arguments.listen, "witness", output).await?;
        Arc::clone(&witness)
            .serve(
                listeners,
                ServeLimits::default(),
                Arc::clone(&statistics),
                stop.asked(),
            )
            .await;
        Ok(())
    })?;
    ended("witness", &statistics, output)
}

/// Binds every address, and says where it listens.
///
/// # Errors
/// `io.listen`.
pub(super) async fn listen(
    addresses: &[ListenAddress],
    what: &str,
    output: &Output,
) -> Outcome<Vec<HttpListener>> {
    let mut listeners = Vec::new();
    for ListenAddress(address) in addresses {
        let listener = HttpListener::bind(address).await.map_err(|error| {
            let failure = Failure::environment(
                "io.listen",
                format!(
                    "cannot listen on {address}: {}",
                    crate::failure::plain(&error)
                ),
            );
            match error.kind() {
                std::io::ErrorKind::AddrInUse => failure
                    .next("something listens there already; choose another address, or end it"),
                std::io::ErrorKind::PermissionDenied => {
                    failure.next("choose a port above 1023, or a folder that is yours")
                }
                _ => failure.next("is this an address of this machine?"),
            }
        })?;
        let bound = listener.local_address().unwrap_or_else(|_| address.clone());
        output.say(format_args!("narthex: {what} listens on {bound}"));
        listeners.push(listener);
    }
    Ok(listeners)
}

/// The last words of a server.
pub(super) fn ended(what: &str, statistics: &ServeStatistics, output: &Output) -> Outcome<Exit> {
    let (answered, refused, failed) = (
        statistics.answered(),
        statistics.refused(),
        statistics.failed(),
    );
    output.say(format_args!(
        "narthex: {what} ended: {} connections, {answered} answered, {refused} refused, {failed} failed",
        statistics.connections()
    ));
    if output.form() == Form::Json {
        let value = json!({
            "connections": statistics.connections(),
            "answered": answered,
            "refused": refused,
            "failed": failed,
        });
        output.result(&value, String::new)?;
    }
    Ok(Exit::Done)
}

/// The body of a 409 is a bare number, which a person would wonder about.
fn why(answer: &WitnessAnswer) -> String {
    match answer {
        WitnessAnswer::Conflict { size } => {
            format!(
                "the request begins elsewhere than at the {size} entries that this witness remembers"
            )
        }
        WitnessAnswer::SameSizeOtherRoot { size } => {
            format!("another tree of {size} entries was cosigned here before")
        }
        other => other.body().trim_end().to_owned(),
    }
}

/// Cosignatures and what speaks against a log; a stranger's malformed requests are only counted.
fn tell(event: &WitnessEvent<'_>, output: &Output) {
    match event {
        WitnessEvent::Cosigned { origin, size, .. } => {
            output.say(format_args!("narthex: cosigned {origin} at {size} entries"));
        }
        WitnessEvent::Refused {
            origin: Some(origin),
            answer,
        } => output.say(format_args!("narthex: refused {origin}: {}", why(answer))),
        WitnessEvent::Forked {
            origin,
            size,
            evidence,
        } => output.say(format_args!(
            "narthex: {origin} HAS FORKED at {size} entries; {}",
            match evidence {
                Some(file) => format!(
                    "both signed checkpoints are in {}: tell everybody who relies on it",
                    file.display()
                ),
                None => "the two checkpoints could not be written down".to_owned(),
            }
        )),
        WitnessEvent::Unable { origin, trouble } => {
            output.say(format_args!("narthex: cannot cosign {origin}: {trouble}"));
        }
        _ => {}
    }
}
