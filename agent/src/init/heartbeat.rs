//! The heartbeat: by it the parent's `nitro-cli` learns that the enclave's first program runs.
//!
//! AWS's own init connects to port 9000 of CID 3, writes 0xB7 and reads 0xB7 back (aws-nitro-enclaves-sdk-bootstrap,
//! init.c; nitro-cli listens and ends an enclave from which it hears nothing). It proves nothing to the enclave: whoever
//! answers is the parent, which is not trusted. So a parent that does not answer, or answers nonsense, does not
//! end the boot; it is said in the status and in `health`.

use std::io;
use std::time::{Duration, Instant};

use narthex_channel::Address;

use super::link::Link;

/// The byte, both ways.
pub const HEARTBEAT: u8 = 0xb7;
/// How long all attempts may take.
pub const LIMIT: Duration = Duration::from_secs(4);
/// Pause before another attempt to connect.
const PAUSE: Duration = Duration::from_millis(200);

/// How it went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Heartbeat {
    /// Not in an enclave.
    #[default]
    NotSent,
    /// As it should.
    Answered,
    /// Nobody took the connection.
    NoConnection,
    /// No byte came back.
    Silent,
    /// Another byte came back.
    WrongAnswer,
}

/// Sends the heartbeat to `parent` and waits for the answer, at most `limit` in all. Connecting is tried again
/// until then; what happens afterwards is final.
pub fn send(parent: &Address, limit: Duration) -> Heartbeat {
    let deadline = Instant::now() + limit;
    loop {
        let rest = deadline.saturating_duration_since(Instant::now());
        match Link::connect(parent, rest) {
            Ok(link) => return exchange(link),
            Err(_) if rest <= PAUSE => return Heartbeat::NoConnection,
            Err(_) => std::thread::sleep(PAUSE),
        }
    }
}

fn exchange(mut link: Link) -> Heartbeat {
    let answer: io::Result<Option<u8>> =
        link.write_all(&[HEARTBEAT]).and_then(|()| link.read_byte());
    match answer {
        Ok(Some(HEARTBEAT)) => Heartbeat::Answered,
        Ok(Some(_)) => Heartbeat::WrongAnswer,
        Ok(None) | Err(_) => Heartbeat::Silent,
    }
}
