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

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::path::Path;

    use super::*;

    const SHORT: Duration = Duration::from_millis(400);

    /// A parent that takes one connection, reads the heartbeat, and then does as `conduct` says.
    fn parent(path: &Path, conduct: impl FnOnce(UnixStream) + Send + 'static) -> Address {
        let listener = UnixListener::bind(path).unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            assert_eq!(byte, [HEARTBEAT]);
            conduct(stream);
        });
        Address::Unix(path.to_owned())
    }

    fn beat(conduct: impl FnOnce(UnixStream) + Send + 'static) -> Heartbeat {
        let directory = tempfile::tempdir().unwrap();
        let address = parent(&directory.path().join("s"), conduct);
        let begun = Instant::now();
        let heartbeat = send(&address, SHORT);
        assert!(begun.elapsed() < SHORT * 2, "{:?}", begun.elapsed());
        heartbeat
    }

    #[test]
    fn a_parent_that_answers() {
        let answer = |mut stream: UnixStream| stream.write_all(&[HEARTBEAT]).unwrap();
        assert_eq!(beat(answer), Heartbeat::Answered);
    }

    #[test]
    fn a_slow_parent_that_answers_in_time() {
        let answer = |mut stream: UnixStream| {
            std::thread::sleep(SHORT / 4);
            stream.write_all(&[HEARTBEAT]).unwrap();
        };
        assert_eq!(beat(answer), Heartbeat::Answered);
    }

    #[test]
    fn a_parent_that_answers_something_else() {
        let answer = |mut stream: UnixStream| stream.write_all(&[0x7b, HEARTBEAT]).unwrap();
        assert_eq!(beat(answer), Heartbeat::WrongAnswer);
    }

    #[test]
    fn a_parent_that_hangs_up() {
        assert_eq!(beat(drop), Heartbeat::Silent);
    }

    #[test]
    fn a_parent_that_says_nothing() {
        let wait = |stream: UnixStream| {
            std::thread::sleep(SHORT * 3);
            drop(stream);
        };
        assert_eq!(beat(wait), Heartbeat::Silent);
    }

    #[test]
    fn a_parent_that_does_not_listen_is_asked_until_the_limit() {
        let directory = tempfile::tempdir().unwrap();
        let address = Address::Unix(directory.path().join("s"));
        let begun = Instant::now();
        assert_eq!(send(&address, SHORT), Heartbeat::NoConnection);
        assert!(begun.elapsed() > SHORT / 4 && begun.elapsed() < SHORT * 2);
    }

    #[test]
    fn a_parent_that_listens_late_is_heard() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s");
        let late = path.clone();
        std::thread::spawn(move || {
            std::thread::sleep(PAUSE + PAUSE / 2);
            parent(&late, |mut stream| stream.write_all(&[HEARTBEAT]).unwrap());
        });
        assert_eq!(send(&Address::Unix(path), LIMIT), Heartbeat::Answered);
    }
}
