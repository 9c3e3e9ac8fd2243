//! A client of the key service that checks nothing.

use std::fs;
use std::path::PathBuf;

use narthex_channel::keys::{
    KeyAnswer, KeyOutcome, KeyRequest, KeyRequestEnvelope, KeyWanted, SealSuite,
};
use narthex_channel::{Address, Digest384, KeyName, Message, Opening, RecipientKey, StaticPublic};
use narthex_nsm::socket::SocketNsm;
use narthex_nsm::{AttestationRequest, Nsm};
use narthex_tests::connection::Connection;
use narthex_tests::statement::example_statement;

/// Asks for a key, and prints `released` or the reason of the refusal
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The key service
    #[arg(long)]
    service: Address,
    /// Its static key
    #[arg(long)]
    service_key: String,
    /// The socket of a mock NSM
    #[arg(long)]
    nsm: PathBuf,
    /// The policy bundle to boot with: PCR16 is extended with it unless it is locked already
    #[arg(long)]
    bundle: PathBuf,
    /// Version of the bundle
    #[arg(long)]
    bundle_version: u64,
    /// The key's name
    #[arg(long)]
    key: String,
    /// Keep the request that was sent, document included
    #[arg(long)]
    keep: Option<PathBuf>,
    /// Send a request that was kept, instead of asking the NSM for a document
    #[arg(long)]
    replay: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<bool, String> {
    let service_key = hex::decode(&arguments.service_key)
        .ok()
        .and_then(|bytes| <[u8; 32]>::try_from(bytes).ok())
        .ok_or("the service's key must be 64 hex digits")?;
    let opening = Opening::Keys {
        service: StaticPublic::from_bytes(service_key),
    };
    let mut connection =
        Connection::open(&arguments.service, &opening).map_err(|error| error.reason())?;
    let envelope = match &arguments.replay {
        Some(file) => fs::read(file).map_err(|error| error.to_string())?,
        None => compose(arguments, &connection)?,
    };
    if let Some(file) = &arguments.keep {
        fs::write(file, &envelope).map_err(|error| error.to_string())?;
    }
    connection.send(&envelope).map_err(|error| error.reason())?;
    let answer = connection
        .receive()
        .map_err(|error| error.reason())?
        .ok_or("the service closed without an answer")?;
    let answer = KeyAnswer::from_bytes(answer.as_bytes()).map_err(|error| error.to_string())?;
    match answer.outcome {
        KeyOutcome::Released(_) => {
            println!("released");
            Ok(true)
        }
        KeyOutcome::Refused { reason } => {
            println!("{reason}");
            Ok(false)
        }
    }
}

/// What an honest agent would send, from whatever the NSM says.
fn compose(arguments: &Arguments, connection: &Connection) -> Result<Vec<u8>, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let nsm = SocketNsm::new(&arguments.nsm);
    let bundle = fs::read(&arguments.bundle).map_err(|error| text(&error))?;
    let description = nsm.describe().map_err(|error| text(&error))?;
    if !nsm.describe_pcr(16).map_err(|error| text(&error))?.locked {
        nsm.extend_pcr(16, Digest384::of(&bundle).as_bytes())
            .map_err(|error| text(&error))?;
        nsm.lock_pcrs(32).map_err(|error| text(&error))?;
    }
    let statement = example_statement(&description.module_id, &bundle, arguments.bundle_version);
    let recipient = RecipientKey::generate().map_err(|error| text(&error))?;
    let request = KeyRequest {
        suite: SealSuite::XWingHkdfSha256Aes256Gcm,
        recipient_key: recipient.public().clone(),
        keys: vec![KeyWanted {
            name: KeyName::new(&arguments.key).map_err(|error| text(&error))?,
            version: None,
        }],
        statement: statement.to_bytes().map_err(|error| text(&error))?.to_vec(),
    };
    let request = request.to_bytes().map_err(|error| text(&error))?.to_vec();
    let user_data = KeyRequestEnvelope::user_data(&connection.session.handshake_hash(), &request);
    let document = nsm
        .attest(AttestationRequest {
            user_data: Some(user_data.as_bytes().to_vec()),
            ..AttestationRequest::default()
        })
        .map_err(|error| text(&error))?;
    let envelope = KeyRequestEnvelope { document, request };
    Ok(envelope.to_bytes().map_err(|error| text(&error))?.to_vec())
}
