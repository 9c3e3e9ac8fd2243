//! A key service that is not the one the policy names.

use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use narthex_channel::{Accepting, StaticSecret};
use narthex_tests::connection::Connection;

/// Answers handshakes on a Unix socket with a static key of its own, until it is killed
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The Unix socket
    #[arg(long)]
    socket: PathBuf,
}

pub(crate) fn run(arguments: &Arguments) -> Result<bool, String> {
    let secret = StaticSecret::generate().map_err(|error| error.to_string())?;
    let listener = UnixListener::bind(&arguments.socket).map_err(|error| error.to_string())?;
    for socket in listener.incoming() {
        let socket = socket.map_err(|error| error.to_string())?;
        let accepting = Accepting::Keys { secret: &secret };
        match Connection::accept(Box::new(socket), &accepting) {
            // Noise NK: the first message is encrypted to the key that the policy names, so this
            // end cannot even read it.
            Ok(_) => return Err("a false service completed a handshake".to_owned()),
            Err(error) => eprintln!("false service: {}", error.reason()),
        }
    }
    Ok(true)
}
