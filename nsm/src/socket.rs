//! A client of the NSM socket: the device's messages over a Unix socket (`docs/mock-socket.md`).
//!
//! For development only. Nothing authenticates the other end, so a program that shall run in an
//! enclave must be configured for the device there.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::error::{ErrorCode, NsmError, TransportError};
use crate::nsm::{MAX_REQUEST_BYTES, MAX_RESPONSE_BYTES, Nsm, Request, Response};
use crate::wire::{WireError, decode_response, encode_request};

/// Bytes of the length before each message.
pub(crate) const LENGTH_BYTES: usize = 4;

/// How long the Linux driver waits for an answer (drivers/misc/nsm.c).
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(120);

/// An NSM behind a Unix socket. Each request takes a connection of its own, so any number of
/// threads can ask at once and a restarted mock is found again.
#[derive(Clone, Debug)]
pub struct SocketNsm {
    path: PathBuf,
    timeout: Duration,
}

impl SocketNsm {
    /// The NSM that listens at `path`. Nothing is connected yet.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            timeout: DEFAULT_TIMEOUT,
        }
    }

    /// The same with another limit for one request and its answer; the default is 120 s. The limit
    /// begins with the connection: a server whose queue is full can keep `connect` waiting.
    #[must_use]
    pub fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    fn exchange_bytes(&self, request: &[u8]) -> Result<Vec<u8>, TransportError> {
        let deadline = Instant::now() + self.timeout;
        let mut stream =
            UnixStream::connect(&self.path).map_err(|error| TransportError::Open(error.kind()))?;
        stream
            .set_write_timeout(Some(remaining(deadline)?))
            .map_err(io_failed)?;
        // The caller has checked the size, which is far below the limit of the prefix.
        let length = u32::try_from(request.len()).map_err(|_| TransportError::TooLarge)?;
        let message = [length.to_be_bytes().as_slice(), request].concat();
        stream.write_all(&message).map_err(io_failed)?;

        let mut length = [0; LENGTH_BYTES];
        read_exact(&mut stream, &mut length, deadline)?;
        let length = usize::try_from(u32::from_be_bytes(length))
            .ok()
            .filter(|length| *length <= MAX_RESPONSE_BYTES)
            .ok_or(TransportError::TooLarge)?;
        let mut response = vec![0; length];
        read_exact(&mut stream, &mut response, deadline)?;
        Ok(response)
    }
}

impl Nsm for SocketNsm {
    fn exchange(&self, request: &Request) -> Result<Response, NsmError> {
        let request = encode_request(request);
        if request.len() > MAX_REQUEST_BYTES {
            // AWS's client gives this answer without asking the device.
            return Ok(Response::Error(ErrorCode::InputTooLarge));
        }
        let response = self.exchange_bytes(&request)?;
        decode_response(&response).map_err(|error| match error {
            WireError::TooLarge => TransportError::TooLarge.into(),
            WireError::Malformed | WireError::UnknownOperation | WireError::InvalidField => {
                TransportError::Malformed.into()
            }
        })
    }
}

/// Fills `buffer` before `deadline`, however slowly the bytes come.
fn read_exact(
    stream: &mut UnixStream,
    buffer: &mut [u8],
    deadline: Instant,
) -> Result<(), TransportError> {
    let mut rest = buffer;
    while !rest.is_empty() {
        stream
            .set_read_timeout(Some(remaining(deadline)?))
            .map_err(io_failed)?;
        match stream.read(rest) {
            Ok(0) => return Err(TransportError::Closed),
            Ok(count) => rest = rest.get_mut(count..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(io_failed(error)),
        }
    }
    Ok(())
}

/// Time left, never zero: a socket takes zero for "no limit".
fn remaining(deadline: Instant) -> Result<Duration, TransportError> {
    Some(deadline.saturating_duration_since(Instant::now()))
        .filter(|left| !left.is_zero())
        .ok_or(TransportError::TimedOut)
}

fn io_failed(error: io::Error) -> TransportError {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => TransportError::TimedOut,
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => TransportError::Closed,
        kind => TransportError::Io(kind),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;
    use std::thread;

    /// A peer that reads one request and answers with these bytes.
    fn peer(answer: Vec<u8>) -> (tempfile::TempDir, SocketNsm) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("nsm");
        let listener = UnixListener::bind(&path).unwrap();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 4 + 10];
            stream.read_exact(&mut request).unwrap();
            assert_eq!(request, *b"\0\0\0\x0a\x69GetRandom");
            stream.write_all(&answer).unwrap();
        });
        (
            directory,
            SocketNsm::new(path).with_timeout(Duration::from_secs(5)),
        )
    }

    fn refusal(answer: &[u8]) -> NsmError {
        let (_directory, nsm) = peer(answer.to_vec());
        nsm.random().unwrap_err()
    }

    #[test]
    fn each_failure_of_the_peer_has_its_own_error() {
        let transport = NsmError::Transport;
        assert_eq!(refusal(b""), transport(TransportError::Closed));
        assert_eq!(
            refusal(b"\0\0\0\x09\x67Lock"),
            transport(TransportError::Closed)
        );
        assert_eq!(
            refusal(b"\0\0\x30\x01"),
            transport(TransportError::TooLarge)
        );
        assert_eq!(
            refusal(b"\xff\xff\xff\xff"),
            transport(TransportError::TooLarge)
        );
        assert_eq!(refusal(b"\0\0\0\0"), transport(TransportError::Malformed));
        assert_eq!(
            refusal(b"\0\0\0\x01\xff"),
            transport(TransportError::Malformed)
        );
        assert_eq!(
            refusal(b"\0\0\0\x08\x67LockPCR"),
            NsmError::UnexpectedResponse
        );
    }

    #[test]
    fn a_silent_peer_times_out() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("nsm");
        let _listener = UnixListener::bind(&path).unwrap();
        let nsm = SocketNsm::new(path).with_timeout(Duration::from_millis(30));
        assert_eq!(
            nsm.random(),
            Err(NsmError::Transport(TransportError::TimedOut))
        );
    }

    #[test]
    fn no_socket_is_said_so() {
        let nsm = SocketNsm::new("/nonexistent/nsm");
        let missing = TransportError::Open(io::ErrorKind::NotFound);
        assert_eq!(nsm.random(), Err(NsmError::Transport(missing)));
    }
}
