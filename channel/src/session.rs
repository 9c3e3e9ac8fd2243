//! A session after its handshake: contents in, frames out, and back.
//!
//! A *content* is one message of [`crate::Message`] kind, 1 byte to the limit of the use. It
//! travels in chunks, each the plaintext of one Noise message: the first begins with the total
//! length (`u32be`), every chunk but the last is full, and an empty plaintext between contents is
//! the close of that direction. So there is one way to cut a content, and whoever cuts a connection
//! is noticed.
//!
//! States of one direction: *open* (between contents), *within* (a content has begun), *closed*
//! (the close has been sent or received). Any error ends the whole session.

use core::fmt;
use std::collections::VecDeque;

use snow::TransportState;
use zeroize::Zeroizing;

use crate::binding::HandshakeHash;
use crate::error::ChannelError;
use crate::frame;
use crate::limits::{MAX_CHUNK_BYTES, MAX_FRAME_BYTES, TAG_BYTES};
use crate::preamble::{Direction, Use};
use crate::secret::SecretBytes;

/// Bytes of the total length at the start of a content.
const HEADER_BYTES: usize = 4;

/// How many frames before or after the expected one are tried to tell a replay or a loss from a
/// change, once a frame has failed. Only the reason depends on it.
const DIAGNOSIS_WINDOW: u64 = 16;

/// One end of an established session.
pub struct Session {
    transport: TransportState,
    handshake_hash: HandshakeHash,
    purpose: Use,
    incoming: Incoming,
    sending: Sending,
    /// Tags of the frames sent last, to recognise them if they come back.
    sent_tags: VecDeque<[u8; TAG_BYTES]>,
    /// Plaintext of one chunk, as large as the longest frame so far; wiped when dropped.
    scratch: Zeroizing<Vec<u8>>,
    failed: Option<ChannelError>,
}

enum Incoming {
    Open,
    Within {
        content: Zeroizing<Vec<u8>>,
        total: usize,
    },
    Closed,
}

#[derive(Eq, PartialEq)]
enum Sending {
    Open,
    Closed,
}

/// What a frame brought.
pub enum Received {
    /// Part of a content; more frames belong to it.
    Partial,
    /// A whole content. Wiped when dropped, because some contents hold keys.
    Content(SecretBytes),
    /// The peer has closed: it will send nothing more.
    Closed,
}

impl fmt::Debug for Received {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Partial => formatter.write_str("Partial"),
            Self::Content(content) => write!(formatter, "Content({} bytes)", content.len()),
            Self::Closed => formatter.write_str("Closed"),
        }
    }
}

impl Session {
    pub(crate) fn new(
        transport: TransportState,
        handshake_hash: HandshakeHash,
        purpose: Use,
    ) -> Self {
        Self {
            transport,
            handshake_hash,
            purpose,
            incoming: Incoming::Open,
            sending: Sending::Open,
            sent_tags: VecDeque::new(),
            scratch: Zeroizing::default(),
            failed: None,
        }
    }

    /// The handshake hash `h`, the same at both ends and in no other session.
    #[must_use]
    pub const fn handshake_hash(&self) -> HandshakeHash {
        self.handshake_hash
    }

    /// What the session is for.
    #[must_use]
    pub const fn purpose(&self) -> Use {
        self.purpose
    }

    /// The frames that carry `content`, to be sent in this order.
    ///
    /// # Errors
    ///
    /// [`ChannelError::SendLength`] or [`ChannelError::SendAfterClose`], which leave the session
    /// as it was; [`ChannelError::Exhausted`]; or the error that ended the session before.
    pub fn send(&mut self, content: &[u8]) -> Result<Vec<u8>, ChannelError> {
        self.check_sending()?;
        let max_bytes = self.purpose.max_content_bytes(self.outgoing());
        let total = u32::try_from(content.len()).unwrap_or(u32::MAX);
        if content.is_empty() || content.len() > max_bytes {
            return Err(ChannelError::SendLength { max_bytes });
        }
        let mut stream = Vec::with_capacity(content.len().saturating_add(64));
        let first = content.len().min(MAX_CHUNK_BYTES - HEADER_BYTES);
        let (first, rest) = content.split_at_checked(first).unwrap_or((content, &[]));
        let first = Zeroizing::new([&total.to_be_bytes(), first].concat());
        self.append_chunk(&mut stream, &first)?;
        for chunk in rest.chunks(MAX_CHUNK_BYTES) {
            self.append_chunk(&mut stream, chunk)?;
        }
        Ok(stream)
    }

    /// The frame that closes this direction. The peer may still send until it closes too.
    ///
    /// # Errors
    ///
    /// [`ChannelError::SendAfterClose`], [`ChannelError::Exhausted`], or the error that ended the
    /// session before.
    pub fn close(&mut self) -> Result<Vec<u8>, ChannelError> {
        self.check_sending()?;
        let mut stream = Vec::new();
        self.append_chunk(&mut stream, &[])?;
        self.sending = Sending::Closed;
        Ok(stream)
    }

    /// Takes the peer's next frame.
    ///
    /// # Errors
    ///
    /// The rule that was broken. The session is over, and gives the same error from then on.
    pub fn receive(&mut self, frame: &[u8]) -> Result<Received, ChannelError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let received = self
            .open(frame)
            .and_then(|plaintext_bytes| self.take(plaintext_bytes));
        if let Err(error) = received {
            self.failed = Some(error);
            self.incoming = Incoming::Closed;
        }
        received
    }

    /// Judges the end of the transport's stream: it is no error only after the peer's close.
    ///
    /// # Errors
    ///
    /// [`ChannelError::Truncated`], or the error that ended the session before.
    pub fn transport_ended(&mut self) -> Result<(), ChannelError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        match self.incoming {
            Incoming::Closed => Ok(()),
            Incoming::Open | Incoming::Within { .. } => {
                self.failed = Some(ChannelError::Truncated);
                Err(ChannelError::Truncated)
            }
        }
    }

    /// Whether the peer has closed.
    #[must_use]
    pub const fn peer_closed(&self) -> bool {
        matches!(self.incoming, Incoming::Closed) && self.failed.is_none()
    }

    fn check_sending(&self) -> Result<(), ChannelError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        match self.sending {
            Sending::Open => Ok(()),
            Sending::Closed => Err(ChannelError::SendAfterClose),
        }
    }

    fn append_chunk(&mut self, stream: &mut Vec<u8>, chunk: &[u8]) -> Result<(), ChannelError> {
        let mut message = vec![0; chunk.len().saturating_add(TAG_BYTES)];
        if self.transport.write_message(chunk, &mut message).is_err() {
            self.failed = Some(ChannelError::Exhausted);
            return Err(ChannelError::Exhausted);
        }
        if let Some(tag) = message.last_chunk::<TAG_BYTES>() {
            self.sent_tags.push_back(*tag);
        }
        if self.sent_tags.len() > usize::try_from(DIAGNOSIS_WINDOW).unwrap_or(16) {
            self.sent_tags.pop_front();
        }
        frame::append(stream, &message)
    }

    fn outgoing(&self) -> Direction {
        match self.transport.is_initiator() {
            true => Direction::FromInitiator,
            false => Direction::FromResponder,
        }
    }

    fn max_incoming_bytes(&self) -> usize {
        self.purpose.max_content_bytes(match self.outgoing() {
            Direction::FromInitiator => Direction::FromResponder,
            Direction::FromResponder => Direction::FromInitiator,
        })
    }

    /// Decrypts a frame into the scratch buffer, and returns the length of the plaintext.
    fn open(&mut self, frame: &[u8]) -> Result<usize, ChannelError> {
        if frame.len() < TAG_BYTES {
            return Err(ChannelError::FrameTooShort);
        }
        if frame.len() > MAX_FRAME_BYTES {
            let stated_bytes = frame.len();
            return Err(ChannelError::FrameTooLong {
                max_bytes: MAX_FRAME_BYTES,
                stated_bytes,
            });
        }
        if self.scratch.len() < frame.len() {
            // Another one, not a longer one: what the old one held is wiped.
            self.scratch = Zeroizing::new(vec![0; frame.len()]);
        }
        match self.transport.read_message(frame, &mut self.scratch) {
            Ok(plaintext_bytes) => Ok(plaintext_bytes),
            Err(snow::Error::Decrypt) => Err(self.diagnose(frame)),
            Err(_) => Err(ChannelError::Exhausted),
        }
    }

    /// Says why a frame does not authenticate. Nothing of it is used, whatever the answer.
    fn diagnose(&mut self, frame: &[u8]) -> ChannelError {
        if self.sent_tags.iter().any(|tag| frame.ends_with(tag)) {
            return ChannelError::FrameReflected;
        }
        let expected = self.transport.receiving_nonce();
        let mut authenticates_at = |nonce| {
            self.transport.set_receiving_nonce(nonce);
            self.transport
                .read_message(frame, &mut self.scratch)
                .is_ok()
        };
        let earlier = expected.saturating_sub(DIAGNOSIS_WINDOW)..expected;
        let later = expected.saturating_add(1)..=expected.saturating_add(DIAGNOSIS_WINDOW);
        if earlier.rev().any(&mut authenticates_at) {
            ChannelError::FrameReplayed
        } else if later.into_iter().any(&mut authenticates_at) {
            ChannelError::FrameMissing
        } else {
            ChannelError::FrameAuthentication
        }
    }

    /// Takes the plaintext in the scratch buffer as the next chunk.
    fn take(&mut self, plaintext_bytes: usize) -> Result<Received, ChannelError> {
        let max_bytes = self.max_incoming_bytes();
        let chunk = self.scratch.get(..plaintext_bytes).unwrap_or_default();
        let (mut content, total, expected, chunk) =
            match core::mem::replace(&mut self.incoming, Incoming::Closed) {
                Incoming::Closed => return Err(ChannelError::FrameAfterClose),
                Incoming::Open if chunk.is_empty() => return Ok(Received::Closed),
                Incoming::Open => {
                    let (header, chunk) = chunk
                        .split_first_chunk::<HEADER_BYTES>()
                        .ok_or(ChannelError::ContentHeader)?;
                    let total = stated_total(u32::from_be_bytes(*header), max_bytes)?;
                    // The whole of it is reserved at once, so that growing leaves no copies; the
                    // limit of the use bounds it.
                    let content = Zeroizing::new(Vec::with_capacity(total));
                    (
                        content,
                        total,
                        total.min(MAX_CHUNK_BYTES - HEADER_BYTES),
                        chunk,
                    )
                }
                Incoming::Within { content, total } => {
                    let missing = total.saturating_sub(content.len());
                    (content, total, missing.min(MAX_CHUNK_BYTES), chunk)
                }
            };
        if chunk.len() != expected {
            // A close within a content is a cut, and says so.
            return Err(match (chunk.is_empty(), content.is_empty()) {
                (true, false) => ChannelError::Truncated,
                _ => ChannelError::ChunkLength {
                    expected,
                    found: chunk.len(),
                },
            });
        }
        content.extend_from_slice(chunk);
        if content.len() < total {
            self.incoming = Incoming::Within { content, total };
            return Ok(Received::Partial);
        }
        self.incoming = Incoming::Open;
        Ok(Received::Content(SecretBytes::from(core::mem::take(
            &mut *content,
        ))))
    }
}

fn stated_total(stated: u32, max_bytes: usize) -> Result<usize, ChannelError> {
    match usize::try_from(stated) {
        Ok(0) => Err(ChannelError::ContentEmpty),
        Ok(total) if total <= max_bytes => Ok(total),
        _ => Err(ChannelError::ContentTooLong {
            max_bytes,
            stated_bytes: u64::from(stated),
        }),
    }
}
