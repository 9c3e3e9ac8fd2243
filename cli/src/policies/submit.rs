//! `policy submit` and `release submit`: the directory's files to the key service.
//!
//! What has expired stays behind without a word to scripts. What lacks signatures ends the command with
//! "refused", after the rest is delivered: a stop statement that nobody received must not look delivered.

use narthex_channel::policy::{PolicyDelivery, Signed};
use narthex_policy::UnixMillis;

use crate::administration::{deliver, static_key};
use crate::commands::policy::Delivery;
use crate::exit::Exit;
use crate::failure::Outcome;
use crate::moment::now_unix_millis;
use crate::output::Output;
use crate::policy_directory::{FileOnDisk, HeldPolicy};
use crate::session::armored;

/// Delivers what holds; the service counts what it knows already.
pub(crate) fn submit(arguments: &Delivery, output: &Output) -> Outcome<Exit> {
    let now = UnixMillis(now_unix_millis()?);
    let held = HeldPolicy::load(&arguments.directory, arguments.genesis.as_deref(), now)?;
    for left_out in &held.left_out {
        output.say(format_args!(
            "narthex: not sent: {}: {} [{}]",
            left_out.file,
            left_out.refusal.detail(),
            left_out.refusal.id()
        ));
    }
    let service_key = match &arguments.service_key {
        None => static_key(&held)?,
        Some(bytes) => super::init::static_key(bytes)?,
    };
    let holding = |files: &[FileOnDisk]| -> Outcome<Vec<Signed>> {
        files
            .iter()
            .filter(|file| !held.is_left_out(file))
            .map(as_sent)
            .collect()
    };
    let files = PolicyDelivery {
        bundles: holding(&held.directory.bundles)?,
        releases: holding(&held.directory.releases)?,
        stops: holding(&held.directory.stops)?,
    };
    let answered = deliver(&arguments.service, &service_key, &files, arguments.timeout)?;
    let answer = answered.body(&held, arguments.proof.as_deref(), output)?;
    output.result(&answer, || {
        let member = |path: &str| {
            answer
                .pointer(path)
                .map(ToString::to_string)
                .unwrap_or_default()
        };
        format!(
            "bundle {} in force at the service; {} files taken, {} known before\n",
            member("/bundle/version"),
            member("/accepted"),
            member("/known")
        )
    })?;
    let unsigned = |id: &str| id.ends_with(".under_signed") || id.starts_with("signature.");
    match held
        .left_out
        .iter()
        .any(|left_out| unsigned(left_out.refusal.id()))
    {
        true => Ok(Exit::Refused),
        false => Ok(Exit::Done),
    }
}

fn as_sent(file: &FileOnDisk) -> Outcome<Signed> {
    let signatures = file.signed.signatures.iter().map(|text| armored(text));
    Ok(Signed {
        bytes: file.signed.bytes.clone(),
        signatures: signatures.collect::<Outcome<_>>()?,
    })
}
