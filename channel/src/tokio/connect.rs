//! Opening a connection to any address.

use core::time::Duration;
use std::path::Path;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio_vsock::{VsockAddr, VsockStream};

use super::{Phase, Stream, TransportError};
use crate::address::Address;

/// Opens a connection, the exchange with a hybrid socket's monitor included, within `timeout`.
///
/// # Errors
///
/// [`TransportError::TimedOut`], [`TransportError::Io`], [`TransportError::HybridRefused`] or
/// [`TransportError::HybridReply`].
pub async fn connect(address: &Address, timeout: Duration) -> Result<Stream, TransportError> {
    match tokio::time::timeout(timeout, open(address)).await {
        Ok(opened) => opened,
        Err(_elapsed) => Err(TransportError::TimedOut(Phase::Connect)),
    }
}

async fn open(address: &Address) -> Result<Stream, TransportError> {
    let failed = || TransportError::io(Phase::Connect);
    match address {
        Address::Vsock { cid, port } => {
            let opened = VsockStream::connect(VsockAddr::new(*cid, *port)).await;
            opened.map(Stream::Vsock).map_err(failed())
        }
        Address::Tcp(address) => {
            let stream = TcpStream::connect(address).await.map_err(failed())?;
            // Messages are written whole, so there is nothing to collect.
            stream.set_nodelay(true).map_err(failed())?;
            Ok(Stream::Tcp(stream))
        }
        Address::Unix(path) => open_unix(path).await.map(Stream::Unix),
        Address::Hybrid { path, port } => {
            let mut stream = open_unix(path).await?;
            hybrid_connect(&mut stream, *port).await?;
            Ok(Stream::Unix(stream))
        }
    }
}

async fn open_unix(path: &Path) -> Result<UnixStream, TransportError> {
    UnixStream::connect(path)
        .await
        .map_err(TransportError::io(Phase::Connect))
}

/// The longest reply line: `OK `, ten digits and a line feed, with some room for other monitors'
/// spelling.
const MAX_REPLY_BYTES: usize = 32;

/// Asks the monitor behind a hybrid socket for a port: `CONNECT PORT\n`, answered by
/// `OK NUMBER\n`, or by closing the connection if nothing listens there.
async fn hybrid_connect<S>(stream: &mut S, port: u32) -> Result<(), TransportError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let failed = || TransportError::io(Phase::Connect);
    let request = format!("CONNECT {port}\n");
    stream
        .write_all(request.as_bytes())
        .await
        .map_err(failed())?;

    // Byte by byte: what follows the line belongs to the session.
    let mut line = Vec::with_capacity(MAX_REPLY_BYTES);
    loop {
        let byte = match stream.read_u8().await {
            Ok(byte) => byte,
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof && line.is_empty() => {
                return Err(TransportError::HybridRefused);
            }
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                return Err(TransportError::HybridReply);
            }
            Err(error) => return Err(failed()(error)),
        };
        if byte == b'\n' {
            break;
        }
        if line.len() == MAX_REPLY_BYTES {
            return Err(TransportError::HybridReply);
        }
        line.push(byte);
    }
    let number = line
        .strip_prefix(b"OK ")
        .ok_or(TransportError::HybridReply)?;
    if number.is_empty() || !number.iter().all(u8::is_ascii_digit) {
        return Err(TransportError::HybridReply);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs the exchange against a monitor that answers `reply` and closes; returns also what of
    /// the stream is left for the session.
    async fn exchange(reply: &[u8]) -> (Result<(), TransportError>, Vec<u8>) {
        let (mut here, mut monitor) = tokio::io::duplex(256);
        monitor.write_all(reply).await.unwrap();
        monitor.shutdown().await.unwrap();
        let outcome = hybrid_connect(&mut here, 5000).await;
        let mut asked = [0; 13];
        monitor.read_exact(&mut asked).await.unwrap();
        assert_eq!(&asked, b"CONNECT 5000\n");
        let mut left = Vec::new();
        here.read_to_end(&mut left).await.unwrap();
        (outcome, left)
    }

    #[tokio::test]
    async fn the_reply_line_is_read_and_nothing_more() {
        let (outcome, left) = exchange(b"OK 1073741824\nsession").await;
        assert_eq!(outcome, Ok(()));
        assert_eq!(left, b"session");
    }

    #[tokio::test]
    async fn each_defective_reply_has_its_reason() {
        assert_eq!(exchange(b"").await.0, Err(TransportError::HybridRefused));
        for reply in [
            b"OK".as_slice(),
            b"OK\n",
            b"OK \n",
            b"OK x\n",
            b"NO 1\n",
            b"HTTP/1.1 400 Bad Request\r\n",
            &[b'O'; 100],
        ] {
            assert_eq!(
                exchange(reply).await.0,
                Err(TransportError::HybridReply),
                "{reply:?}"
            );
        }
    }
}
