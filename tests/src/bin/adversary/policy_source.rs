//! A policy source that gives out what it likes: an old bundle, or one that too few people signed.

use std::fs;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use narthex_channel::policy::{PolicyAnswer, PolicyRequest, Signed};
use narthex_channel::{Accepting, ArmoredSignature, Message};
use narthex_tests::connection::{Connection, ConnectionError};

/// Serves exactly these bundles on a Unix socket, until it is killed
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The Unix socket
    #[arg(long)]
    socket: PathBuf,
    /// A bundle; its signatures are the files BUNDLE.PERSON.sig beside it; may be repeated
    #[arg(long, required = true)]
    bundle: Vec<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<bool, String> {
    let bundles = arguments
        .bundle
        .iter()
        .map(|file| signed(file))
        .collect::<Result<_, _>>()?;
    let answer = PolicyAnswer {
        bundles,
        ..PolicyAnswer::default()
    };
    let answer = answer.to_bytes().map_err(|error| error.to_string())?;
    let listener = UnixListener::bind(&arguments.socket).map_err(|error| error.to_string())?;
    for socket in listener.incoming() {
        let socket = socket.map_err(|error| error.to_string())?;
        if let Err(error) = serve(Box::new(socket), &answer) {
            eprintln!("policy source: {}", error.reason());
        }
    }
    Ok(true)
}

fn serve(
    socket: Box<dyn narthex_tests::connection::Socket>,
    answer: &[u8],
) -> Result<(), ConnectionError> {
    let mut connection = Connection::accept(socket, &Accepting::Policy)?;
    while let Some(request) = connection.receive()? {
        if PolicyRequest::from_bytes(request.as_bytes()).is_err() {
            break;
        }
        connection.send(answer)?;
    }
    connection.close()
}

/// A bundle with every signature that stands beside it.
fn signed(bundle: &Path) -> Result<Signed, String> {
    let text = |error: std::io::Error| format!("{}: {error}", bundle.display());
    let name = bundle
        .file_name()
        .and_then(|name| name.to_str())
        .ok_or("a bundle has a name")?;
    let folder = bundle.parent().ok_or("a bundle is in a folder")?;
    let mut signatures = Vec::new();
    for entry in fs::read_dir(folder).map_err(text)? {
        let path = entry.map_err(text)?.path();
        let beside = path
            .file_name()
            .and_then(|other| other.to_str())
            .is_some_and(|other| {
                other
                    .strip_prefix(name)
                    .is_some_and(|rest| rest.ends_with(".sig"))
            });
        if beside {
            let armoured = fs::read_to_string(&path).map_err(text)?;
            signatures.push(ArmoredSignature::new(&armoured).map_err(|error| error.to_string())?);
        }
    }
    Ok(Signed {
        bytes: fs::read(bundle).map_err(text)?,
        signatures,
    })
}
