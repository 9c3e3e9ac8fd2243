//! One end of a session over a byte stream, with its timeouts.

use core::future::Future;
use core::time::Duration;
use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::{Phase, TransportError};
use crate::binding::HandshakeHash;
use crate::codec::Message;
use crate::error::ChannelError;
use crate::frame::Decoder;
use crate::handshake::{Accepting, Initiator, Opening, Progress, Responder};
use crate::preamble::Use;
use crate::secret::SecretBytes;
use crate::session::{Received, Session};

/// How long each part of a session may take.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Timeouts {
    /// The whole handshake.
    pub handshake: Duration,
    /// Waiting for a message to begin.
    pub idle: Duration,
    /// One message, from its first byte to its last; also for sending one, and for closing.
    pub message: Duration,
}

impl Timeouts {
    /// Ten seconds for the handshake and for each message, one minute of silence: enough for a
    /// slow network, and short enough that a silent peer does not hold a place for long.
    pub const DEFAULT: Self = Self {
        handshake: Duration::from_secs(10),
        idle: Duration::from_secs(60),
        message: Duration::from_secs(10),
    };
}

impl Default for Timeouts {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// How much is read at once.
const READ_BYTES: usize = 16 * 1024;

/// One end of an established session over a byte stream.
///
/// After any error except a [`crate::MessageError`] the session is over.
pub struct Connection<S> {
    stream: S,
    session: Session,
    incoming: Incoming,
    timeouts: Timeouts,
    /// Whether a content has begun to come in.
    within_content: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// Begins a session over a connected stream.
    ///
    /// # Errors
    ///
    /// [`TransportError`]; the stream is dropped.
    pub async fn initiate(
        mut stream: S,
        opening: &Opening,
        timeouts: Timeouts,
    ) -> Result<Self, TransportError> {
        let (initiator, first) = Initiator::new(opening)?;
        let handshake = async {
            write_all(&mut stream, &first, Phase::Handshake).await?;
            let mut incoming = Incoming::new();
            let frame = incoming.next_frame(&mut stream, Phase::Handshake).await?;
            let session = initiator.receive(&frame.ok_or(ChannelError::Truncated)?)?;
            Ok((session, incoming))
        };
        let (session, incoming) = within(timeouts.handshake, Phase::Handshake, handshake).await?;
        Ok(Self::established(stream, session, incoming, timeouts))
    }

    /// Awaits a session over an accepted stream. If the preamble is not acceptable, the initiator
    /// is told why before the stream is dropped.
    ///
    /// # Errors
    ///
    /// [`TransportError`]; the stream is dropped.
    pub async fn respond(
        mut stream: S,
        accepting: &Accepting<'_>,
        timeouts: Timeouts,
    ) -> Result<Self, TransportError> {
        let mut responder = Responder::new(accepting);
        let handshake = async {
            let mut incoming = Incoming::new();
            loop {
                let frame = incoming.next_frame(&mut stream, Phase::Handshake).await?;
                match responder.receive(&frame.ok_or(ChannelError::Truncated)?) {
                    Ok(Progress::Awaiting(next)) => responder = next,
                    Ok(Progress::Established { session, reply }) => {
                        write_all(&mut stream, &reply, Phase::Handshake).await?;
                        return Ok((*session, incoming));
                    }
                    Err(rejection) => {
                        // The reason matters more than whether the peer still listens.
                        let _told =
                            write_all(&mut stream, &rejection.reply, Phase::Handshake).await;
                        let _ended = stream.shutdown().await;
                        return Err(rejection.error.into());
                    }
                }
            }
        };
        let (session, incoming) = within(timeouts.handshake, Phase::Handshake, handshake).await?;
        Ok(Self::established(stream, session, incoming, timeouts))
    }

    fn established(
        stream: S,
        session: Session,
        mut incoming: Incoming,
        timeouts: Timeouts,
    ) -> Self {
        incoming.decoder.handshake_done();
        Self {
            stream,
            session,
            incoming,
            timeouts,
            within_content: false,
        }
    }

    /// The handshake hash `h` of the session.
    #[must_use]
    pub const fn handshake_hash(&self) -> HandshakeHash {
        self.session.handshake_hash()
    }

    /// What the session is for.
    #[must_use]
    pub const fn purpose(&self) -> Use {
        self.session.purpose()
    }

    /// The stream under it, to look at and not to read or write.
    #[must_use]
    pub const fn stream(&self) -> &S {
        &self.stream
    }

    /// Sends one content within the message timeout.
    ///
    /// Not cancel safe: if the future is dropped, part of a frame may have been written, and the
    /// session cannot go on.
    ///
    /// # Errors
    ///
    /// [`TransportError`].
    pub async fn send(&mut self, content: &[u8]) -> Result<(), TransportError> {
        let frames = self.session.send(content)?;
        let writing = write_all(&mut self.stream, &frames, Phase::Send);
        within(self.timeouts.message, Phase::Send, writing).await
    }

    /// Sends one message within the message timeout. Not cancel safe, as [`Connection::send`].
    ///
    /// # Errors
    ///
    /// [`TransportError`].
    pub async fn send_message<M: Message>(&mut self, message: &M) -> Result<(), TransportError> {
        let bytes = message.to_bytes()?;
        self.send(&bytes).await
    }

    /// Receives the next content, or nothing if the peer has closed.
    ///
    /// The idle timeout runs until its first byte is there, the message timeout from then on.
    /// Cancel safe: what was received is kept for the next call.
    ///
    /// # Errors
    ///
    /// [`TransportError`].
    pub async fn receive(&mut self) -> Result<Option<SecretBytes>, TransportError> {
        if self.session.peer_closed() {
            return Ok(None);
        }
        if self.incoming.decoder.is_empty() && !self.within_content {
            let reading = self.incoming.read_some(&mut self.stream, Phase::Idle);
            if within(self.timeouts.idle, Phase::Idle, reading).await? == Read::Ended {
                self.session.transport_ended()?;
                return Ok(None);
            }
        }
        let timeout = self.timeouts.message;
        within(timeout, Phase::Receive, self.receive_rest()).await
    }

    async fn receive_rest(&mut self) -> Result<Option<SecretBytes>, TransportError> {
        loop {
            let frame = self
                .incoming
                .next_frame(&mut self.stream, Phase::Receive)
                .await?;
            let Some(frame) = frame else {
                self.session.transport_ended()?;
                return Ok(None);
            };
            match self.session.receive(&frame)? {
                Received::Partial => self.within_content = true,
                Received::Content(content) => {
                    self.within_content = false;
                    return Ok(Some(content));
                }
                Received::Closed => return Ok(None),
            }
        }
    }

    /// Receives the next message, or nothing if the peer has closed.
    ///
    /// # Errors
    ///
    /// [`TransportError`]. After [`TransportError::Message`] the session itself can go on.
    pub async fn receive_message<M: Message>(&mut self) -> Result<Option<M>, TransportError> {
        match self.receive().await? {
            Some(content) => Ok(Some(M::from_bytes(content.as_bytes())?)),
            None => Ok(None),
        }
    }

    /// Closes this direction, and waits for the peer's close so that nothing sent is lost to a
    /// reset; contents that still come are discarded. All of it within the message timeout.
    ///
    /// # Errors
    ///
    /// [`TransportError`]; everything sent before has been written all the same. That a peer which
    /// has closed too no longer listens is no error.
    pub async fn close(self) -> Result<(), TransportError> {
        let Self {
            stream,
            mut session,
            mut incoming,
            timeouts,
            within_content: _,
        } = self;
        let frame = session.close()?;
        let (mut reader, mut writer) = tokio::io::split(stream);
        let reading = async {
            while !session.peer_closed() {
                match incoming.next_frame(&mut reader, Phase::Close).await? {
                    Some(frame) => drop(session.receive(&frame)?),
                    None => session.transport_ended()?,
                }
            }
            Ok(())
        };
        let closing = async {
            let writing = write_all(&mut writer, &frame, Phase::Close);
            let (_written, read) = tokio::join!(writing, reading);
            // The transport is shut only now: some relays take half a shutdown for a whole one,
            // and would cut off what the peer is still sending.
            let _shut = writer.shutdown().await;
            read
        };
        within(timeouts.message, Phase::Close, closing).await
    }
}

#[derive(Eq, PartialEq)]
enum Read {
    Some,
    Ended,
}

/// What has come in and was not yet taken. The buffer lives on the heap, so that futures stay small.
struct Incoming {
    decoder: Decoder,
    buffer: Box<[u8]>,
}

impl Incoming {
    fn new() -> Self {
        Self {
            decoder: Decoder::new(),
            buffer: vec![0; READ_BYTES].into_boxed_slice(),
        }
    }

    /// Reads once. A read of zero bytes is the end of the stream.
    async fn read_some<S: AsyncRead + Unpin>(
        &mut self,
        stream: &mut S,
        phase: Phase,
    ) -> Result<Read, TransportError> {
        loop {
            match stream.read(&mut self.buffer).await {
                Ok(0) => return Ok(Read::Ended),
                Ok(count) => {
                    self.decoder
                        .push(self.buffer.get(..count).unwrap_or_default());
                    return Ok(Read::Some);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // A reset is an end: whether it came too early, the session judges.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                    return Ok(Read::Ended);
                }
                Err(error) => return Err(TransportError::io(phase)(error)),
            }
        }
    }

    /// The next frame, or nothing if the stream has ended before one began.
    async fn next_frame<S: AsyncRead + Unpin>(
        &mut self,
        stream: &mut S,
        phase: Phase,
    ) -> Result<Option<Vec<u8>>, TransportError> {
        loop {
            if let Some(frame) = self.decoder.next_frame()? {
                return Ok(Some(frame));
            }
            if self.read_some(stream, phase).await? == Read::Ended {
                return match self.decoder.is_empty() {
                    true => Ok(None),
                    false => Err(ChannelError::Truncated.into()),
                };
            }
        }
    }
}

/// Writes everything, however little the stream takes at a time.
async fn write_all<S: AsyncWrite + Unpin>(
    stream: &mut S,
    bytes: &[u8],
    phase: Phase,
) -> Result<(), TransportError> {
    stream
        .write_all(bytes)
        .await
        .map_err(TransportError::io(phase))?;
    stream.flush().await.map_err(TransportError::io(phase))
}

async fn within<T>(
    timeout: Duration,
    phase: Phase,
    work: impl Future<Output = Result<T, TransportError>>,
) -> Result<T, TransportError> {
    match tokio::time::timeout(timeout, work).await {
        Ok(outcome) => outcome,
        Err(_elapsed) => Err(TransportError::TimedOut(phase)),
    }
}
