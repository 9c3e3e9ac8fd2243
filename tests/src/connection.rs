//! The channel over a blocking socket: the smallest shell around the sans-IO session, for programs
//! that play one end of it.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use narthex_channel::frame::Decoder;
use narthex_channel::{
    Accepting, Address, ChannelError, Initiator, Opening, Progress, Received, Responder,
    SecretBytes, Session,
};

/// Longest silence that a peer is granted.
const TIMEOUT: Duration = Duration::from_secs(20);

/// A socket of any kind that tests use.
pub trait Socket: Read + Write + Send {}
impl<T: Read + Write + Send> Socket for T {}

/// Why a connection ended.
#[derive(Debug)]
pub enum ConnectionError {
    /// The socket failed, or the peer was silent for too long.
    Io(io::Error),
    /// The peer broke a rule of the channel, or said no.
    Channel(ChannelError),
}

impl From<io::Error> for ConnectionError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<ChannelError> for ConnectionError {
    fn from(error: ChannelError) -> Self {
        Self::Channel(error)
    }
}

impl ConnectionError {
    /// The reason, in the words that a report uses.
    #[must_use]
    pub fn reason(&self) -> String {
        match self {
            Self::Io(error) => format!("connection: {error}"),
            Self::Channel(error) => error.id().to_owned(),
        }
    }
}

/// Connects a socket to a `tcp:`, `unix:` or `hybrid:` address.
///
/// # Errors
///
/// What the operating system says.
pub fn connect_socket(address: &Address) -> io::Result<Box<dyn Socket>> {
    match address {
        Address::Tcp(address) => {
            let stream = TcpStream::connect_timeout(address, TIMEOUT)?;
            stream.set_read_timeout(Some(TIMEOUT))?;
            stream.set_write_timeout(Some(TIMEOUT))?;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream))
        }
        Address::Unix(path) => {
            let stream = UnixStream::connect(path)?;
            stream.set_read_timeout(Some(TIMEOUT))?;
            stream.set_write_timeout(Some(TIMEOUT))?;
            Ok(Box::new(stream))
        }
        Address::Hybrid { path, port } => Ok(Box::new(connect_hybrid(path, *port)?)),
        _ => Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "tests use tcp:, unix: and hybrid: addresses",
        )),
    }
}

/// Connects to a port of a virtual machine whose vsock device listens at `path`.
///
/// # Errors
///
/// What the operating system says; [`io::ErrorKind::ConnectionRefused`] when nobody listens in there.
pub fn connect_hybrid(path: &Path, port: u32) -> io::Result<UnixStream> {
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    stream.write_all(format!("CONNECT {port}\n").as_bytes())?;
    // Byte by byte: what comes after the line is not the device's.
    let mut answer = Vec::new();
    let mut byte = [0];
    while byte != *b"\n" {
        if answer.len() > 32 || stream.read(&mut byte)? == 0 {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        answer.push(byte[0]);
    }
    match answer.starts_with(b"OK ") {
        true => Ok(stream),
        false => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// An established session over a socket.
pub struct Connection {
    socket: Box<dyn Socket>,
    decoder: Decoder,
    /// The session, for its handshake hash.
    pub session: Session,
}

impl Connection {
    /// Connects and completes the handshake as initiator.
    ///
    /// # Errors
    ///
    /// [`ConnectionError`].
    pub fn open(address: &Address, opening: &Opening) -> Result<Self, ConnectionError> {
        let mut socket = connect_socket(address)?;
        let (initiator, first) = Initiator::new(opening)?;
        socket.write_all(&first)?;
        let mut decoder = Decoder::new();
        let Some(frame) = next_frame(&mut socket, &mut decoder)? else {
            return Err(ConnectionError::Channel(ChannelError::Truncated));
        };
        let session = initiator.receive(&frame)?;
        decoder.handshake_done();
        Ok(Self {
            socket,
            decoder,
            session,
        })
    }

    /// Completes the handshake as responder on a socket that was accepted.
    ///
    /// # Errors
    ///
    /// [`ConnectionError`].
    pub fn accept(
        mut socket: Box<dyn Socket>,
        accepting: &Accepting<'_>,
    ) -> Result<Self, ConnectionError> {
        let mut decoder = Decoder::new();
        let mut responder = Responder::new(accepting);
        loop {
            let Some(frame) = next_frame(&mut socket, &mut decoder)? else {
                return Err(ConnectionError::Channel(ChannelError::Truncated));
            };
            match responder.receive(&frame) {
                Ok(Progress::Awaiting(next)) => responder = next,
                Ok(Progress::Established { session, reply }) => {
                    socket.write_all(&reply)?;
                    decoder.handshake_done();
                    return Ok(Self {
                        socket,
                        decoder,
                        session: *session,
                    });
                }
                Err(rejection) => {
                    socket.write_all(&rejection.reply)?;
                    return Err(ConnectionError::Channel(rejection.error));
                }
            }
        }
    }

    /// Sends one content.
    ///
    /// # Errors
    ///
    /// [`ConnectionError`].
    pub fn send(&mut self, content: &[u8]) -> Result<(), ConnectionError> {
        let bytes = self.session.send(content)?;
        Ok(self.socket.write_all(&bytes)?)
    }

    /// Receives one content; `None` when the peer closed in good order.
    ///
    /// # Errors
    ///
    /// [`ConnectionError`].
    pub fn receive(&mut self) -> Result<Option<SecretBytes>, ConnectionError> {
        loop {
            let Some(frame) = next_frame(&mut self.socket, &mut self.decoder)? else {
                self.session.transport_ended()?;
                return Ok(None);
            };
            match self.session.receive(&frame)? {
                Received::Partial => {}
                Received::Content(content) => return Ok(Some(content)),
                Received::Closed => return Ok(None),
            }
        }
    }

    /// Closes in good order.
    ///
    /// # Errors
    ///
    /// [`ConnectionError`].
    pub fn close(mut self) -> Result<(), ConnectionError> {
        let bytes = self.session.close()?;
        Ok(self.socket.write_all(&bytes)?)
    }
}

/// The next whole frame; `None` at the end of the stream.
fn next_frame(
    socket: &mut Box<dyn Socket>,
    decoder: &mut Decoder,
) -> Result<Option<Vec<u8>>, ConnectionError> {
    let mut buffer = [0; 4096];
    loop {
        if let Some(frame) = decoder.next_frame()? {
            return Ok(Some(frame));
        }
        match socket.read(&mut buffer) {
            Ok(0) => return Ok(None),
            Ok(count) => decoder.push(buffer.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
}
