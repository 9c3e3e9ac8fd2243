//! Length and encoding of IPC messages.

use std::fmt;
use std::io;

use minicbor::{CborLen, Decode, Encode};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Longest message between supervisor and gate: an attestation document (16 KiB), a session statement, or
/// a call with its approvals and log proof, with room to spare.
pub const MAX_GATE_MESSAGE_BYTES: usize = 256 * 1024;
/// Longest message between supervisor and fetcher: a policy answer.
pub const MAX_FETCHER_MESSAGE_BYTES: usize = 4 * 1024 * 1024 + 64 * 1024;
/// Longest set-up message, which the supervisor sends first.
pub const MAX_SETUP_BYTES: usize = 1024;

/// Why a message was not understood, or not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum IpcError {
    /// The other end is gone.
    Closed,
    /// The other end went away in the middle of a message.
    Truncated,
    /// A message states a length above the limit, or zero.
    Length,
    /// A message is not the one encoding of any known message.
    Malformed,
    /// The message is not one that may come at this point.
    Unexpected,
    /// The socket failed.
    Socket,
}

impl IpcError {
    /// Stable text.
    pub fn id(self) -> &'static str {
        match self {
            Self::Closed => "ipc.closed",
            Self::Truncated => "ipc.truncated",
            Self::Length => "ipc.length",
            Self::Malformed => "ipc.malformed",
            Self::Unexpected => "ipc.unexpected",
            Self::Socket => "ipc.socket",
        }
    }
}

impl fmt::Display for IpcError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.id())
    }
}

impl std::error::Error for IpcError {}

/// Encodes a message, without its length.
pub fn encode<T: Encode<()> + CborLen<()>>(message: &T) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(minicbor::len(message));
    // Writing to a vector cannot fail, and none of our messages has a custom encoder that does. Were that
    // to change, the other end would refuse the empty message.
    if minicbor::encode(message, &mut bytes).is_err() {
        bytes.clear();
    }
    bytes
}

/// Decodes a message that must be exactly its own encoding.
///
/// # Errors
///
/// [`IpcError::Malformed`].
pub fn decode<'b, T>(bytes: &'b [u8]) -> Result<T, IpcError>
where
    T: Decode<'b, ()> + Encode<()> + CborLen<()>,
{
    let message: T = minicbor::decode(bytes).map_err(|_| IpcError::Malformed)?;
    // One comparison refuses trailing bytes, longer spellings of numbers, indefinite lengths, and
    // unknown fields.
    if encode(&message) == bytes {
        Ok(message)
    } else {
        Err(IpcError::Malformed)
    }
}

/// Reads one message of at most `max_bytes`.
///
/// # Errors
///
/// [`IpcError`]; after any of them the socket is of no further use.
pub async fn read_message<S>(socket: &mut S, max_bytes: usize) -> Result<Vec<u8>, IpcError>
where
    S: AsyncRead + Unpin,
{
    let mut length = [0_u8; 4];
    let (first, rest) = length.split_at_mut(1);
    match socket.read(first).await {
        Ok(0) => return Err(IpcError::Closed),
        Ok(_) => {}
        Err(error) => return Err(read_error(&error)),
    }
    socket
        .read_exact(rest)
        .await
        .map_err(|error| read_error(&error))?;
    let mut bytes = vec![0; stated_length(length, max_bytes)?];
    socket
        .read_exact(&mut bytes)
        .await
        .map_err(|error| read_error(&error))?;
    Ok(bytes)
}

/// Writes one message of at most `max_bytes`.
///
/// # Errors
///
/// [`IpcError::Length`] when it is too long, else [`IpcError::Closed`] or [`IpcError::Socket`].
pub async fn write_message<S, T>(
    socket: &mut S,
    message: &T,
    max_bytes: usize,
) -> Result<(), IpcError>
where
    S: AsyncWrite + Unpin,
    T: Encode<()> + CborLen<()>,
{
    let framed = framed(message, max_bytes)?;
    socket
        .write_all(&framed)
        .await
        .map_err(|error| write_error(&error))
}

/// Reads the set-up message, blocking: the confined process has no event loop yet.
///
/// # Errors
///
/// As [`read_message`] and [`decode`].
pub fn read_setup<R: io::Read, T>(socket: &mut R) -> Result<T, IpcError>
where
    T: for<'b> Decode<'b, ()> + Encode<()> + CborLen<()>,
{
    let mut length = [0_u8; 4];
    socket
        .read_exact(&mut length)
        .map_err(|error| read_error(&error))?;
    let mut bytes = vec![0; stated_length(length, MAX_SETUP_BYTES)?];
    socket
        .read_exact(&mut bytes)
        .map_err(|error| read_error(&error))?;
    decode(&bytes)
}

/// Writes the set-up message, blocking; it fits any socket buffer.
///
/// # Errors
///
/// As [`write_message`].
pub fn write_setup<W, T>(socket: &mut W, message: &T) -> Result<(), IpcError>
where
    W: io::Write,
    T: Encode<()> + CborLen<()>,
{
    let framed = framed(message, MAX_SETUP_BYTES)?;
    socket
        .write_all(&framed)
        .map_err(|error| write_error(&error))
}

fn framed<T: Encode<()> + CborLen<()>>(message: &T, max_bytes: usize) -> Result<Vec<u8>, IpcError> {
    let bytes = encode(message);
    if bytes.len() > max_bytes {
        return Err(IpcError::Length);
    }
    let length = u32::try_from(bytes.len()).map_err(|_| IpcError::Length)?;
    let mut framed = Vec::with_capacity(bytes.len() + 4);
    framed.extend_from_slice(&length.to_be_bytes());
    framed.extend_from_slice(&bytes);
    Ok(framed)
}

fn stated_length(length: [u8; 4], max_bytes: usize) -> Result<usize, IpcError> {
    let length = usize::try_from(u32::from_be_bytes(length)).map_err(|_| IpcError::Length)?;
    if length == 0 || length > max_bytes {
        Err(IpcError::Length)
    } else {
        Ok(length)
    }
}

fn read_error(error: &io::Error) -> IpcError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => IpcError::Truncated,
        io::ErrorKind::ConnectionReset => IpcError::Closed,
        _ => IpcError::Socket,
    }
}

fn write_error(error: &io::Error) -> IpcError {
    match error.kind() {
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => IpcError::Closed,
        _ => IpcError::Socket,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{FromGate, GateTally};
    use super::*;

    fn message() -> FromGate {
        FromGate::Tally(GateTally {
            limited: 1,
            faulty: 2,
            timed_out: 3,
        })
    }

    #[test]
    fn a_message_comes_back() {
        let bytes = encode(&message());
        assert_eq!(decode::<FromGate>(&bytes).unwrap(), message());
    }

    #[test]
    fn trailing_bytes_are_refused() {
        let mut bytes = encode(&message());
        bytes.push(0);
        assert_eq!(decode::<FromGate>(&bytes), Err(IpcError::Malformed));
    }

    #[test]
    fn a_longer_spelling_of_a_number_is_refused() {
        // The tally's first count is 1; 0x18 0x01 is the same number in two bytes.
        let bytes = encode(&message());
        let position = bytes.iter().rposition(|byte| *byte == 1).unwrap();
        let mut longer = bytes[..position].to_vec();
        longer.push(0x18);
        longer.extend_from_slice(&bytes[position..]);
        assert!(
            minicbor::decode::<FromGate>(&longer).is_ok(),
            "the decoder alone would take it"
        );
        assert_eq!(decode::<FromGate>(&longer), Err(IpcError::Malformed));
    }

    #[test]
    fn every_one_byte_change_is_refused_or_another_message() {
        let bytes = encode(&message());
        for position in 0..bytes.len() {
            for value in 0..=255 {
                let mut changed = bytes.clone();
                changed[position] = value;
                if let Ok(decoded) = decode::<FromGate>(&changed) {
                    assert_eq!(encode(&decoded), changed);
                }
            }
        }
    }

    #[tokio::test]
    async fn lengths_above_the_limit_and_zero_are_refused_before_reading_on() {
        for length in [0_u32, 17, u32::MAX] {
            let (mut near, mut far) = tokio::io::duplex(64);
            far.write_all(&length.to_be_bytes()).await.unwrap();
            assert_eq!(read_message(&mut near, 16).await, Err(IpcError::Length));
        }
    }

    #[tokio::test]
    async fn an_end_between_messages_is_closed_and_within_one_is_truncated() {
        let (mut near, far) = tokio::io::duplex(64);
        drop(far);
        assert_eq!(read_message(&mut near, 16).await, Err(IpcError::Closed));
        for bytes in [&[0_u8][..], &[0, 0, 0, 2, 1][..]] {
            let (mut near, mut far) = tokio::io::duplex(64);
            far.write_all(bytes).await.unwrap();
            drop(far);
            assert_eq!(read_message(&mut near, 16).await, Err(IpcError::Truncated));
        }
    }
}
