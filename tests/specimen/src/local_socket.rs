//! The agent's local socket, used as any workload does.

use std::env;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// Makes a request; returns the status and the body.
pub(crate) fn ask(method: &str, path: &str, body: &[u8]) -> io::Result<(u16, Vec<u8>)> {
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: agent\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
    );
    let answer = send(&[head.as_bytes(), body].concat())?;
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n");
    let (head, body) = end.map_or((answer.as_slice(), &[][..]), |end| {
        let (head, body) = answer.split_at(end);
        (head, body.get(4..).unwrap_or_default())
    });
    let status = String::from_utf8_lossy(head);
    let status = status.split(' ').nth(1).and_then(|text| text.parse().ok());
    status
        .map(|status| (status, body.to_vec()))
        .ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Sends anything; returns what comes back.
pub(crate) fn send(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let path = env::var_os("NARTHEX_SOCKET")
        .ok_or_else(|| io::Error::other("NARTHEX_SOCKET is not set"))?;
    let mut socket = UnixStream::connect(path)?;
    socket.set_read_timeout(Some(Duration::from_secs(30)))?;
    socket.write_all(bytes)?;
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer)?;
    Ok(answer)
}
