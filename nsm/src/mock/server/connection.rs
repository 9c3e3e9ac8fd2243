//! One connection: length, request, answer, and again.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use super::{ServerLimits, Service};
use crate::socket::LENGTH_BYTES;

/// Serves a peer until it closes, stalls, or sends a length that no request has.
pub(super) fn serve(
    mut stream: UnixStream,
    service: &dyn Service,
    limits: &ServerLimits,
) -> io::Result<()> {
    // A socket from a non-blocking listener blocks on Linux; other systems hand the mode on.
    stream.set_nonblocking(false)?;
    stream.set_write_timeout(Some(limits.transfer_timeout))?;
    while let Some(length) = read_length(&mut stream, limits)? {
        if length > service.max_request_bytes() {
            // The rest cannot be skipped within the limit, so this is the last answer.
            return write(&mut stream, &service.answer_too_large());
        }
        let mut request = vec![0; length];
        read_exact(
            &mut stream,
            &mut request,
            Instant::now() + limits.transfer_timeout,
        )?;
        write(&mut stream, &service.answer(&request))?;
    }
    Ok(())
}

/// The length of the next request; `None` when the peer has closed between two requests. The first
/// byte may take as long as a connection may be idle, the others as long as a transfer.
fn read_length(stream: &mut UnixStream, limits: &ServerLimits) -> io::Result<Option<usize>> {
    let mut length = [0; LENGTH_BYTES];
    let [first, rest @ ..] = &mut length;
    if read_some(
        stream,
        std::slice::from_mut(first),
        Instant::now() + limits.idle_timeout,
    )? == 0
    {
        return Ok(None);
    }
    read_exact(stream, rest, Instant::now() + limits.transfer_timeout)?;
    Ok(Some(
        usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX),
    ))
}

fn read_exact(stream: &mut UnixStream, buffer: &mut [u8], deadline: Instant) -> io::Result<()> {
    let mut rest = buffer;
    while !rest.is_empty() {
        match read_some(stream, rest, deadline)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => rest = rest.get_mut(count..).unwrap_or_default(),
        }
    }
    Ok(())
}

/// At least one byte, or zero at the end of the stream.
fn read_some(stream: &mut UnixStream, buffer: &mut [u8], deadline: Instant) -> io::Result<usize> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        // Rounded up: a socket takes less than a microsecond for "no limit".
        stream.set_read_timeout(Some(left.max(Duration::from_millis(1))))?;
        match stream.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            outcome => return outcome,
        }
    }
}

/// Length and answer in one write. Answers are bounded by the service.
fn write(stream: &mut UnixStream, response: &[u8]) -> io::Result<()> {
    let length = u32::try_from(response.len()).map_err(io::Error::other)?;
    stream.write_all(&[length.to_be_bytes().as_slice(), response].concat())
}
